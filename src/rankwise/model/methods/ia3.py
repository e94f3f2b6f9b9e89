"""IA3 (arXiv 2205.05638) as peft has it: keys and values scaled after their linear layer, inner activations before theirs."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from rankwise.model.method import LiveAdapter, linear, register
from rankwise.planning.plan import Plan


@register
class Ia3(LiveAdapter):
    name = "ia3"
    marker = "ia3_"

    def config(self, plan: Plan, *, seed: int | None) -> dict[str, Any]:
        inner = [site.name for site in plan.sites if site.kind == "ffn_out"]
        return {"peft_type": "IA3", "target_modules": [site.name for site in plan.sites], "feedforward_modules": inner}

    def apply(self, module: Any, x: Tensor) -> Tensor:
        (name,) = module.active_adapters
        scale = module.ia3_l[name].flatten()  # in fp32, for bf16 has no number between 1 and 1.008
        base = module.base_layer
        return linear(base, (x * scale).to(x.dtype)) if module.is_feedforward else (linear(base, x) * scale).to(x.dtype)
