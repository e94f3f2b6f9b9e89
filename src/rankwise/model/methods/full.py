"""A full fine-tune: every parameter trains, and the whole model is saved."""

from __future__ import annotations

from rankwise.model.method import LiveMethod, register


@register
class Full(LiveMethod):
    name = "full"

    def trains(self, name: str) -> bool:
        return True
