"""Live models without weights: what an encoder's description and the planner's arithmetic are held against."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

from rankwise.encoders.describe import Encoder
from rankwise.model.adapters import adapt
from rankwise.model.load import quiet
from rankwise.model.pooled import PooledClassifier
from rankwise.planning.plan import Plan


def empty_encoder(encoder: Encoder, classes: int) -> Any:
    """The live classification model on the meta device: names and shapes without weights, in a fraction of a second."""
    config = dict(encoder.config)
    with quiet(), torch.device("meta"):
        kind = config.pop("model_type")
        live = AutoConfig.for_model(kind, **config, num_labels=classes)
        if encoder.pools:
            return PooledClassifier(AutoModel.from_config(live), encoder, [str(number) for number in range(classes)])  # type: ignore[no-untyped-call]
        return AutoModelForSequenceClassification.from_config(live)  # type: ignore[no-untyped-call]


def count_live(plan: Plan, classes: int) -> tuple[int, int]:
    """(trained, total) parameters of the plan on the live model, with the head once and what adapters share once."""
    names = [str(number) for number in range(classes)]
    with torch.device("meta"):
        model = adapt(empty_encoder(plan.encoder, classes), plan, names, new=(), seed=0).model
    notes = ("original_module", "ranknum")  # the head as it was; peft's note of AdaLoRA's ranks
    counted = [weight for name, weight in model.named_parameters() if not any(note in name for note in notes)]
    frozen = [tensor for name, tensor in model.named_buffers() if "vera_" in name]  # which peft keeps as buffers
    return sum(weight.numel() for weight in counted if weight.requires_grad), sum(
        tensor.numel() for tensor in counted + frozen
    )
