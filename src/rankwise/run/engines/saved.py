"""What an engine reads of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rankwise.data.preprocessing import Preprocessing
    from rankwise.encoders.base import Base
    from rankwise.planning.plan import Plan


class SavedRun(Protocol):
    """A finished run on disk, such as run/folder.py's."""

    @property
    def folder(self) -> Path:
        """The run folder."""

    @property
    def preprocessing(self) -> Preprocessing:
        """The classes, the cleaning and the max length."""

    def base(self) -> Base:
        """The base encoder, found again and checked. Raises ModelError or RunError."""

    def plan(self) -> Plan:
        """The plan, made again from the recipe."""
