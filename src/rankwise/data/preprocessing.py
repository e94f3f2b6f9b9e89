"""What makes tokens of raw text, the same in training and serving; it travels with the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rankwise.data.clean import clean


@dataclass(frozen=True)
class Preprocessing:
    """The settings that lead from raw text to tokens, and the classes."""

    classes: tuple[str, ...]
    clean: tuple[str, ...]
    max_length: int
    join: str = " . "
    text: tuple[str | int, ...] = ()
    """Column names of the training file, for prediction files that say nothing else."""
    numbering: tuple[str, ...] = ()
    """Class names in the order that whole-number labels count them; empty where nothing says the order."""

    def as_dict(self) -> dict[str, Any]:
        """The settings as JSON has them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocessing:
        """The settings that `as_dict` gave."""
        return cls(
            classes=tuple(values["classes"]),
            clean=tuple(values["clean"]),
            max_length=int(values["max_length"]),
            join=values["join"],
            text=tuple(values["text"]),
            numbering=tuple(values["numbering"]),
        )

    def apply(self, text: str) -> str:
        """The clean text, which a tokenizer takes."""
        return clean(text, self.clean)
