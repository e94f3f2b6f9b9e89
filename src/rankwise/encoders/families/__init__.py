"""The encoder families by model type: one file each, which registers what it describes. A new file here is a new family."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from rankwise.encoders.family import FAMILIES

__all__ = ["FAMILIES"]

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
