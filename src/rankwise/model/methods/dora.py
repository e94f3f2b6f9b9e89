"""DoRA (arXiv 2402.09353) as peft has it: m · (W + scale·B·A) / ‖W + scale·B·A‖, a norm for each output."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rankwise.model.method import LiveLowRank, SavedTensors, register
from rankwise.planning.plan import Plan


@register
class Dora(LiveLowRank):
    name = "dora"
    is_low_rank_update = False  # the norm depends on A and B, so its gradients need peft's own forward

    def config(self, plan: Plan, *, seed: int | None) -> dict[str, Any]:
        return {**super().config(plan, seed=seed), "use_dora": True}

    def saved_name(self, name: str) -> str:
        return super().saved_name(name.replace(".lora_magnitude_vector.default.weight", ".lora_magnitude_vector"))

    def merge(self, weight: Tensor, bias: Tensor | None, tensors: SavedTensors, scale: float) -> tuple[Tensor, Tensor | None]:
        changed, bias = super().merge(weight, bias, tensors, scale)
        return (tensors["lora_magnitude_vector"] / torch.linalg.norm(changed, dim=1))[:, None] * changed, bias
