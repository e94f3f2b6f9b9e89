"""The head alone trains, and the whole model is saved."""

from __future__ import annotations

from rankwise.model.method import LiveMethod, register


@register
class Head(LiveMethod):
    name = "head"
