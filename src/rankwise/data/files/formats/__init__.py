"""The file formats, one file each, which registers what it describes. A new file here is a new format."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from rankwise.data.files.format import FORMATS, Format

__all__ = ["FORMATS", "READERS", "WRITERS"]

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

READERS: dict[str, Format] = {suffix: format for format in FORMATS for suffix in format.reads}
WRITERS: dict[str, Format] = {suffix: format for format in FORMATS for suffix in format.writes}
