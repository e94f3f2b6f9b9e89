"""What trains, and what it costs: a site is one linear map of the encoder, a ledger adds up everything that trains.

A low-rank adapter of rank R on a map from d_in to d_out adds A (R, d_in) and B (d_out, R): `R * (d_in + d_out)` parameters
(Hu et al., arXiv 2106.09685). Counts are exact; the head is counted once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Site:
    """One linear map that can be adapted: `y = W x + b`, W of shape (d_out, d_in)."""

    name: str
    """The module's path in the transformers classification model."""
    kind: str
    layer: int
    d_in: int
    d_out: int
    bias: bool = True

    def cost(self, rank: int) -> int:
        """Parameters of a rank-`rank` adapter."""
        return rank * (self.d_in + self.d_out)

    @property
    def largest_rank(self) -> int:
        return min(self.d_in, self.d_out)

    @property
    def address(self) -> str:
        """`layer.kind`, what explicit rank maps match against."""
        return f"{self.layer}.{self.kind}"


@dataclass(frozen=True)
class Entry:
    """One line of the ledger: `parameters` that train, where they sit and, for adapters, at which rank."""

    section: str
    """adapter, magnitude, vector, prefix, bias, encoder or head."""
    item: str
    parameters: int
    layer: int | None = None
    kind: str | None = None
    rank: int | None = None


@dataclass(frozen=True)
class Ledger:
    """Everything that trains at the start, line by line, against the cap."""

    entries: tuple[Entry, ...]
    total_parameters: int
    """Of the whole model with its adapters, trained or not; the head counted once."""
    budget: int | None
    """Fewer than this many may train; None for no cap."""

    @property
    def trainable_parameters(self) -> int:
        return sum(entry.parameters for entry in self.entries)

    @property
    def fits(self) -> bool:
        return self.budget is None or self.trainable_parameters < self.budget

    @property
    def share(self) -> float | None:
        """Trained parameters over the cap."""
        return None if self.budget is None else self.trainable_parameters / self.budget

    def section(self, name: str) -> int:
        """Trained parameters of one section."""
        return sum(entry.parameters for entry in self.entries if entry.section == name)

    def sections(self) -> dict[str, int]:
        """Trained parameters by section, in the order in which sections come."""
        return {name: self.section(name) for name in dict.fromkeys(entry.section for entry in self.entries)}

    def as_dict(self) -> dict[str, Any]:
        return {
            "trainable_parameters": self.trainable_parameters,
            "total_parameters": self.total_parameters,
            "budget": self.budget,
            "share": self.share,
            "sections": self.sections(),
            "ledger": [{key: value for key, value in vars(entry).items() if value is not None} for entry in self.entries],
        }
