"""The planning half of every PEFT method: one file each, which registers what it describes. A new file is a new method."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from rankwise.planning.method import METHODS, Method
from rankwise.recipe import AdapterSpec

__all__ = ["METHODS", "method_of"]

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")


def method_of(adapter: AdapterSpec) -> Method:
    """The method that an adapter's recipe names."""
    return METHODS[adapter.method]
