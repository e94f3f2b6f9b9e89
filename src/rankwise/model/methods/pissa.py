"""PiSSA (arXiv 2404.02948) as peft has it: LoRA whose A and B start as W's principal components, and W as what is left.

peft saves A and B of the residual weight, and takes the components out of W again when it loads them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rankwise.model.method import LiveLowRank, SavedTensors, register
from rankwise.planning.plan import Plan


@register
class Pissa(LiveLowRank):
    name = "pissa"
    merges_exactly = False  # peft takes the components out of W by its own decomposition, which rounds otherwise

    def config(self, plan: Plan, *, seed: int | None) -> dict[str, Any]:
        return {**super().config(plan, seed=seed), "init_lora_weights": True if seed is None else "pissa"}

    def merge(self, weight: Tensor, bias: Tensor | None, tensors: SavedTensors, scale: float) -> tuple[Tensor, Tensor | None]:
        left, values, right = torch.linalg.svd(weight, full_matrices=False)
        root = (values[: len(tensors["lora_A.weight"])] / scale).sqrt()  # (R,)
        start = (left[:, : len(root)] * root) @ (root[:, None] * right[: len(root)])  # B·A when training started
        return super().merge(weight - scale * start, bias, tensors, scale)
