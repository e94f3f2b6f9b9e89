"""Rank-stabilised LoRA (arXiv 2312.03732): W + alpha/√R · B·A. It trains what LoRA trains."""

from __future__ import annotations

from rankwise.planning.method import LowRank, register


@register
class RsLora(LowRank):
    name = "rslora"
