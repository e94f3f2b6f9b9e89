"""Rank-stabilised LoRA (arXiv 2312.03732) as peft has it: W + alpha/√R · B·A."""

from __future__ import annotations

from typing import Any

from rankwise.model.method import LiveLora, register
from rankwise.planning.plan import Plan


@register
class RsLora(LiveLora):
    name = "rslora"

    def config(self, plan: Plan, *, seed: int | None) -> dict[str, Any]:
        return {**super().config(plan, seed=seed), "use_rslora": True}

    def scale(self, plan: Plan, path: str) -> float:
        return float(plan.alphas[path] / plan.ranks[path] ** 0.5)
