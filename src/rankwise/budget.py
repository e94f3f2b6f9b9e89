"""What trains, and what it costs: a site is one linear map of the encoder, a ledger adds up everything that trains, and
`buy` spends parameters where they bring most.

A low-rank adapter of rank R on a map from d_in to d_out adds A (R, d_in) and B (d_out, R): `R * (d_in + d_out)` parameters
(Hu et al., arXiv 2106.09685). Counts are exact; the head is counted once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
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
        return {name: self.section(name) for name in _unique(entry.section for entry in self.entries)}

    def as_dict(self) -> dict[str, Any]:
        return {
            "trainable_parameters": self.trainable_parameters,
            "total_parameters": self.total_parameters,
            "budget": self.budget,
            "share": self.share,
            "sections": self.sections(),
            "ledger": [{key: value for key, value in vars(entry).items() if value is not None} for entry in self.entries],
        }


def buy(
    sites: Sequence[Site], scores: Mapping[str, Sequence[float]], *, spend: int, along: Mapping[str, int]
) -> dict[str, int]:
    """A rank for each site, by name: bought one by one, the most gain per parameter first, until none fits into `spend`.

    `scores` are each site's gains, as `gain` reads them; `along` are the parameters that come with its first rank. Gains that
    fall make this the best use of `spend`, but for the last few parameters. Equal gains go to the lower rank.
    """
    ranks = dict.fromkeys((site.name for site in sites), 0)

    def price(site: Site, rank: int) -> int:
        return site.cost(1) + (along.get(site.name, 0) if rank == 1 else 0)

    def offer(place: int, rank: int) -> tuple[float, int, int]:
        """A map's next rank, as a heap wants it: the best is the smallest."""
        site = sites[place]
        return -gain(scores[site.name], rank) / price(site, rank), rank, place

    offers = [offer(place, 1) for place in range(len(sites))]
    heapify(offers)
    while offers:
        _, rank, place = heappop(offers)
        site = sites[place]
        if price(site, rank) > spend:
            continue  # nor will it later
        spend -= price(site, rank)
        ranks[site.name] = rank
        if rank < site.largest_rank:
            heappush(offers, offer(place, rank + 1))
    return ranks


def gain(scores: Sequence[float], rank: int) -> float:
    """What a map's `rank`-th rank brings; past the scores that are known it falls as 1/rank.

    With one score a map, ranks come out in proportion to score per parameter (D'Hondt's divisors).
    """
    return scores[rank - 1] if rank <= len(scores) else scores[-1] * len(scores) / rank


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
