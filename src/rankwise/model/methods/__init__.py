"""The model half of every PEFT method: one file each, which registers what it describes. A new file is a new method."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from rankwise.model.method import METHODS, LiveAdapter, LiveMethod
from rankwise.planning.plan import Plan

__all__ = ["METHODS", "adapter_method", "live_method"]

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")


def live_method(plan: Plan) -> LiveMethod:
    """The model half of a plan's method."""
    return METHODS[plan.adapter.method]


def adapter_method(plan: Plan) -> LiveAdapter:
    """The same of a plan whose method adds an adapter to the encoder."""
    method = live_method(plan)
    assert isinstance(method, LiveAdapter), f"{method.name} adds no adapter"
    return method
