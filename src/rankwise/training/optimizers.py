"""Optimisers, parameter groups and schedules, as pure functions of the recipe.

A parameter's rate is: the head's own for the head; else its depth tier's (or the recipe's), times the LoRA+ ratio for B
matrices (Hayou et al., arXiv 2402.12354). Weight decay falls on tensors of two or more dimensions only, as in
transformers' Trainer. A schedule is a factor in [0, 1] on every group's peak rate.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from rankwise.encoders.describe import Encoder
from rankwise.errors import TrainingError, nearest
from rankwise.model.classifier import Classifier
from rankwise.planning.policies import depth_group
from rankwise.recipe import OptimizerSpec, TrainSpec
from rankwise.system.device import Device

Group = dict[str, Any]


def parameter_groups(classifier: Classifier, spec: TrainSpec) -> list[Group]:
    """Groups of trained parameters with `name`, `params`, `lr` (the peak rate) and `weight_decay`."""
    encoder = classifier.plan.encoder
    groups: dict[tuple[str, float, float], list[nn.Parameter]] = defaultdict(list)
    for name, weight in classifier.trainable().items():
        label, rate = learning_rate(name, encoder, spec, factor=classifier.method.factor(name))
        decay = spec.optimizer.weight_decay if weight.ndim >= 2 else 0.0
        groups[label, rate, decay].append(weight)
    return [
        {"name": label, "params": weights, "lr": rate, "peak_lr": rate, "weight_decay": decay}
        for (label, rate, decay), weights in groups.items()
    ]


def learning_rate(name: str, encoder: Encoder, spec: TrainSpec, *, factor: str | None) -> tuple[str, float]:
    """(a label for its group, the peak rate) of a trained parameter; `factor` is A or B in a low-rank adapter."""
    if is_head(name, encoder):
        return "head", spec.rates.head or spec.learning_rate
    tiers = spec.rates.tiers
    tier = depth_group(encoder.depth_of(name), encoder.layers, len(tiers)) if tiers else None
    rate = spec.learning_rate if tier is None else tiers[tier]
    label = "encoder" if tier is None else f"tier {tier + 1}"
    if factor == "B":
        rate *= spec.rates.b_over_a
    return (f"{label} {factor}" if factor else label), rate


def is_head(name: str, encoder: Encoder) -> bool:
    return any(f".{module}." in f".{name}" for module in encoder.head_modules) and encoder.layer_of(name) is None


def build_optimizers(classifier: Classifier, spec: TrainSpec) -> list[torch.optim.Optimizer]:
    """The optimisers that together update every trained parameter once: one, or two with Muon."""
    groups = parameter_groups(classifier, spec)
    if spec.optimizer.name != "muon":
        return [_optimizer(groups, spec.optimizer)]
    matrices = [group for group in groups if group["name"].endswith((" A", " B"))]
    matrices = [group for group in matrices if all(weight.ndim == 2 for weight in group["params"])]
    rest = [group for group in groups if all(group is not other for other in matrices)]
    found = [_muon(matrices, spec.optimizer)] if matrices else []
    return [*found, *([_optimizer(rest, spec.optimizer.model_copy(update={"name": "adamw"}))] if rest else [])]


def schedule_factor(step: float, *, total: int, spec: TrainSpec) -> float:
    """The factor on the peak rates for update `step` (from 0) of `total`; a plateau's halvings come on top."""
    warmup = warmup_steps(spec, total)
    if step < warmup:
        return (step + 1) / (warmup + 1)  # transformers starts at 0, which spends the first update on nothing
    if spec.schedule in ("constant", "reduce-on-plateau"):
        return 1.0
    left = max(0.0, (total - step) / max(1, total - warmup))
    if spec.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * (1 - left)))
    return left**spec.power if spec.schedule == "polynomial" else left


def warmup_steps(spec: TrainSpec, total: int) -> int:
    """Warm-up in updates; a number below 1 is a share of all updates, rounded up."""
    return math.ceil(spec.warmup * total) if spec.warmup < 1 else int(spec.warmup)


def set_rates(optimizers: list[torch.optim.Optimizer], factor: float) -> None:
    """Every group's rate := its peak times `factor`."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak_lr"] * factor


def class_weights(spec: TrainSpec, counts: Mapping[str, int]) -> torch.Tensor | None:
    """Loss weight of each class (C,), in the order of `counts`; balanced means rows / (C · rows of the class).

    Raises TrainingError for a weight of a class that is not there.
    """
    if spec.class_weights == "none":
        return None
    if spec.class_weights == "balanced":
        rows = sum(counts.values())
        return torch.tensor([rows / (len(counts) * max(1, count)) for count in counts.values()])
    for name in spec.class_weights:
        if name not in counts:
            raise TrainingError(
                f"train.class_weights has '{name}', which is no class; expected {', '.join(counts)}{nearest(name, counts)}"
            )
    return torch.tensor([float(spec.class_weights.get(name, 1.0)) for name in counts])


def _optimizer(groups: list[Group], spec: OptimizerSpec) -> torch.optim.Optimizer:
    if spec.name == "rmsprop":
        return torch.optim.RMSprop(groups, eps=spec.eps, momentum=spec.momentum)
    if spec.name == "sgd":
        return torch.optim.SGD(groups, momentum=spec.momentum)
    kind = torch.optim.Adam if spec.name == "adam" else torch.optim.AdamW
    fused = all(Device(weight.device).fuses_optimizers for group in groups for weight in group["params"])
    return kind(groups, betas=spec.betas, eps=spec.eps, fused=fused or None)  # one kernel for all tensors


def _muon(groups: list[Group], spec: OptimizerSpec) -> torch.optim.Optimizer:
    # match_rms_adamw makes one learning rate mean about the same as AdamW's (Moonlight, arXiv 2502.16982)
    return torch.optim.Muon(groups, momentum=spec.momentum or 0.95, adjust_lr_fn="match_rms_adamw")
