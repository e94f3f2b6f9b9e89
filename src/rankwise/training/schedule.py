"""The learning rate over a training: a factor on every group's peak rate, as pure functions of the recipe."""

from __future__ import annotations

import math

from rankwise.recipe import TrainSpec


def schedule_factor(step: float, *, total: int, spec: TrainSpec) -> float:
    """The factor, in [0, 1], for update `step` (from 0) of `total`; a plateau's halvings come on top."""
    warmup = warmup_steps(spec, total)
    if step < warmup:
        return (step + 1) / (warmup + 1)  # transformers starts at 0, which spends the first update on nothing
    if spec.schedule in ("constant", "reduce-on-plateau"):
        return 1.0
    left = max(0.0, (total - step) / max(1, total - warmup))
    if spec.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * (1 - left)))
    return left**spec.power if spec.schedule == "polynomial" else left


def plateau_factor(stalls: int, spec: TrainSpec) -> float:
    """The factor after so many evaluations that were no better than the best before them: halved by each on a plateau."""
    return 0.5**stalls if spec.schedule == "reduce-on-plateau" else 1.0


def warmup_steps(spec: TrainSpec, total: int) -> int:
    """Warm-up in updates; a number below 1 is a share of all updates, rounded up."""
    return math.ceil(spec.warmup * total) if spec.warmup < 1 else int(spec.warmup)
