"""Live models without weights: what an encoder's description and the planner's arithmetic are held against."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

from rankwise.encoders.encoder import Encoder
from rankwise.model.adapters import adapt
from rankwise.model.load import quiet
from rankwise.model.methods import live_method
from rankwise.model.pooled import PooledClassifier
from rankwise.planning.plan import Plan

LOOKING_AT_NUMBERS = ("unilora", "prompt")  # methods that peft can't place where tensors have none


def empty_encoder(encoder: Encoder, classes: int, device: str = "meta") -> Any:
    """The live classification model, as a rule on the meta device: names and shapes without weights, in no time."""
    config = dict(encoder.config)
    with quiet(), torch.device(device):
        kind = config.pop("model_type")
        live = AutoConfig.for_model(kind, **config, num_labels=classes)
        if encoder.pools:
            return PooledClassifier(AutoModel.from_config(live), encoder, [str(number) for number in range(classes)])  # type: ignore[no-untyped-call]
        return AutoModelForSequenceClassification.from_config(live)  # type: ignore[no-untyped-call]


def count_live(plan: Plan, classes: int) -> tuple[int, int]:
    """(trained, total) parameters of the plan on the live model, with the head once and what adapters share once."""
    names = [str(number) for number in range(classes)]
    device = "cpu" if plan.adapter.method in LOOKING_AT_NUMBERS else "meta"
    with torch.device(device):
        model = adapt(empty_encoder(plan.encoder, classes, device), plan, names, new=(), seed=0).model
    notes = ("original_module", "ranknum")  # the head as it was; peft's note of AdaLoRA's ranks
    counted = [weight for name, weight in model.named_parameters() if not any(note in name for note in notes)]
    saved, marker = model.state_dict(), live_method(plan).marker  # peft keeps what is frozen as buffers
    frozen = [tensor for name, tensor in model.named_buffers() if marker and marker in name and name in saved]
    return sum(weight.numel() for weight in counted if weight.requires_grad), sum(
        tensor.numel() for tensor in counted + frozen
    )
