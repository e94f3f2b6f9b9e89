"""PiSSA (arXiv 2404.02948): LoRA whose factors start as the weight's principal components. It trains what LoRA trains."""

from __future__ import annotations

from rankwise.planning.method import LowRank, register


@register
class Pissa(LowRank):
    name = "pissa"
