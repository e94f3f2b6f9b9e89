"""DoRA (arXiv 2402.09353) as peft has it: m · (W + scale·B·A) / ‖W + scale·B·A‖, a norm for each output.

The norm depends on A and B, so its gradients need peft's own forward, and nothing is folded.
"""

from __future__ import annotations

from typing import Any

from rankwise.model.method import LoraConfigured, register
from rankwise.planning.plan import Plan


@register
class Dora(LoraConfigured):
    name = "dora"

    def config(self, plan: Plan, *, seed: int | None) -> dict[str, Any]:
        return {**super().config(plan, seed=seed), "use_dora": True}

    def saved_name(self, name: str) -> str:
        return super().saved_name(name.replace(".lora_magnitude_vector.default.weight", ".lora_magnitude_vector"))
