"""BitFit (arXiv 2106.10199): what has `bias` in its name trains, and the head; the whole model is saved."""

from __future__ import annotations

from rankwise.model.method import LiveMethod, register


@register
class Bias(LiveMethod):
    name = "bias"

    def trains(self, name: str) -> bool:
        return "bias" in name
