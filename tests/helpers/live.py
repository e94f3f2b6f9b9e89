"""What a live model holds, counted without its weights: what the planner's arithmetic is held against."""

from __future__ import annotations

import torch

from rankwise.model.adapters import adapt
from rankwise.model.load import empty_encoder
from rankwise.planning.plan import Plan


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
