"""LoRA (arXiv 2106.09685): W + alpha/R · B·A."""

from __future__ import annotations

from rankwise.planning.method import LowRank, register


@register
class Lora(LowRank):
    name = "lora"
