"""PiSSA (arXiv 2404.02948) as peft has it: LoRA whose A and B start as W's principal components, and W as what is left.

peft saves A and B of the residual weight, and takes the components out of W again when it loads them.
"""

from __future__ import annotations

from typing import Any

from rankwise.model.method import LiveLora, register
from rankwise.planning.plan import Plan


@register
class Pissa(LiveLora):
    name = "pissa"
    merges_exactly = False  # peft takes the components out of W by its own decomposition, which rounds otherwise

    def config(self, plan: Plan, *, seed: int | None) -> dict[str, Any]:
        return {**super().config(plan, seed=seed), "init_lora_weights": True if seed is None else "pissa"}
