"""LoRA (arXiv 2106.09685) as peft has it: W + alpha/R · B·A, B at 0 when training starts."""

from __future__ import annotations

from rankwise.model.method import LiveLora, register


@register
class Lora(LiveLora):
    name = "lora"
