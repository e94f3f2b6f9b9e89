"""Sites and a budget → the rank of every linear layer under the recipe's policy, and the ledger of what then trains."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from heapq import merge
from typing import Any, Self

from rankwise.encoders.encoder import Encoder, Site
from rankwise.errors import PlanError
from rankwise.planning.ledger import ADDED, Entry, Ledger
from rankwise.planning.methods import LowRank, method_of
from rankwise.planning.policies import explicit_ranks, layer_weight, targeted_sites
from rankwise.recipe.adapter import AdapterSpec, ByImportance, Explicit, HeadSpec


@dataclass(frozen=True)
class Draft:
    """What is to train on an encoder, and the cap; the rank of each linear layer and the ledger follow from these.

    They raise PlanError for a rank that is larger than its linear layer, where none would get one, and where the method can't
    be placed on the encoder.
    """

    encoder: Encoder
    adapter: AdapterSpec
    """As a recipe has it, with `rank: max` where that stands."""
    head: HeadSpec
    cap: int | None

    def adapted(self, **changes: Any) -> Self:
        """The same with other options of the adapter."""
        return replace(self, adapter=self.adapter.model_copy(update=changes))

    @cached_property
    def solved(self) -> AdapterSpec:
        """The adapter with `rank: max` as a number; by-importance shares the rest of the cap itself."""
        adapter = self.adapter
        if adapter.rank != "max" or not adapter.has_ranks or isinstance(adapter.allocate, ByImportance):
            return adapter
        return adapter.model_copy(update={"rank": self.largest_rank})

    @cached_property
    def ranks(self) -> dict[str, int]:
        """The rank of each adapted site, by module path; sites of rank 0 are left out."""
        adapter, method = self.solved, method_of(self.adapter)
        if not isinstance(method, LowRank):
            return {}
        if isinstance(adapter.allocate, Explicit):
            ranks = explicit_ranks(self.encoder, adapter.allocate)
        elif isinstance(adapter.allocate, ByImportance):
            ranks = _bought_ranks(self.encoder, adapter, method, self._to_spend)
        else:
            ranks = _weighted_ranks(self.encoder, adapter, method.start_rank(adapter))
        ranks = {name: rank for name, rank in ranks.items() if rank > 0}
        _check(self.encoder, adapter, method, ranks)
        return ranks

    @cached_property
    def ledger(self) -> Ledger:
        """All that trains, tensor by tensor, against the cap."""
        return self.ledger_of(self.ranks)

    def ledger_of(self, ranks: Mapping[str, int]) -> Ledger:
        """All that would train with these ranks, by module path, without asking whether linear layers are large enough."""
        encoder, method = self.encoder, method_of(self.adapter)
        entries = method.entries(encoder, self.adapter, ranks)
        added = sum(entry.parameters for entry in entries if entry.section in ADDED)
        total = encoder.total_parameters + added + method.frozen_parameters(encoder, ranks)
        return Ledger((*entries, *self.head_entries), total, self.cap)

    @property
    def head_entries(self) -> list[Entry]:
        """All of a stock head; a slim one's last projection alone."""
        parts = self.encoder.head[-1:] if self.head.kind == "slim" else self.encoder.head
        return [Entry("head", part.path, part.parameters) for part in parts]

    @property
    def largest_rank(self) -> int:
        """The largest rank that stays under the cap; the least when none does, so that the refusal can say by how much."""
        method = method_of(self.adapter)
        assert isinstance(method, LowRank), "only these have ranks"
        weights = _weighted_ranks(self.encoder, self.adapter, 1)
        limits = [method.largest_rank(site) // weights[site.name] for site in self.encoder.sites if weights.get(site.name)]
        limit = min(limits, default=0)

        def is_too_large(rank: int) -> bool:
            start = method.start_rank(self.adapter.model_copy(update={"rank": rank}))
            return start > limit or self._trained(start) >= self._needed_cap

        largest = bisect_left(range(1, 1 + limit), True, key=is_too_large)
        return max(method.step, largest // method.step * method.step)

    @property
    def _to_spend(self) -> int:
        """What adapters may take: with `rank: max` all that is left under the cap, else as much as a uniform rank."""
        most = self._needed_cap - 1 if self.adapter.rank == "max" else self._trained(self.adapter.rank)
        return most - self.ledger_of({}).trainable_parameters

    def _trained(self, start: int) -> int:
        return self.ledger_of(_weighted_ranks(self.encoder, self.adapter, start)).trainable_parameters

    @property
    def _needed_cap(self) -> int:
        if self.cap is None:
            raise PlanError("adapter.rank is 'max' but budget.parameters is null; give a cap: --budget 1000000")
        return self.cap


def _weighted_ranks(encoder: Encoder, adapter: AdapterSpec, rank: int) -> dict[str, int]:
    """`rank` times its layer's weight under the policy, by module path of each targeted site."""
    sites = targeted_sites(encoder, adapter)
    return {site.name: rank * layer_weight(adapter, site.layer, encoder.layers) for site in sites}


def _bought_ranks(encoder: Encoder, adapter: AdapterSpec, method: LowRank, spend: int) -> dict[str, int]:
    """The rank of each targeted site, by module path: the one with the most gain per parameter, until none fits in `spend`.

    Gains that fall make this the best use of `spend`, but for the last few parameters. Equal gains go to the lower rank.
    Where not one rank fits, the best one alone, so that its refusal can say how much that trains.
    """
    assert isinstance(adapter.allocate, ByImportance)
    sites = targeted_sites(encoder, adapter)
    scores = [_scores_of(site, adapter.allocate, encoder) for site in sites]
    ranks = dict.fromkeys((site.name for site in sites), 0)

    def price(site: Site, rank: int) -> int:
        if rank > 1:
            return method.cost(site, rank) - method.cost(site, rank - 1)
        return method.cost(site, 1) + sum(entry.parameters for entry in method.along(adapter, site))

    def offers(index: int) -> Iterator[tuple[float, int, int]]:
        """A site's ranks one after another, as a merge wants them: the best is the smallest."""
        site = sites[index]
        for rank in range(1, 1 + min(method.largest_rank(site), spend // method.cost(site, 1))):
            yield -_gain(scores[index], rank) / price(site, rank), rank, index

    for _, rank, index in merge(*map(offers, range(len(sites)))):
        site = sites[index]
        if ranks[site.name] == rank - 1 and price(site, rank) <= spend:  # where one was too much, so are those after it
            spend -= price(site, rank)
            ranks[site.name] = rank
    if sites and not any(ranks.values()):
        best = max(range(len(sites)), key=lambda index: scores[index][0] / method.cost(sites[index], 1))
        ranks[sites[best].name] = 1
    return ranks


def _gain(scores: Sequence[float], rank: int) -> float:
    """What a site's `rank`-th rank brings; past the scores that are known it falls as 1/rank.

    `workflows/by_importance.py` measures a score for each of a linear layer's first ranks. With one score a site, ranks come
    out in proportion to score per parameter (D'Hondt's divisors).
    """
    return scores[rank - 1] if rank <= len(scores) else scores[-1] * len(scores) / rank


def _scores_of(site: Site, policy: ByImportance, encoder: Encoder) -> tuple[float, ...]:
    if not policy.scores:
        raise PlanError(
            "adapter.allocate is by-importance, whose scores come from probing the data; rankwise plan and rankwise train "
            "do that, in Python: rankwise.workflows.by_importance.with_scores"
        )
    if site.address not in policy.scores:
        raise PlanError(
            f"adapter.allocate.scores: no score for '{site.address}' of {encoder.name}; leave scores out to probe again: "
            "--set 'adapter.allocate.scores={}'"
        )
    return policy.scores[site.address]


def _check(encoder: Encoder, adapter: AdapterSpec, method: LowRank, ranks: dict[str, int]) -> None:
    explicit = isinstance(adapter.allocate, Explicit)
    typed = f"type --set adapter.{'rank' if adapter.init_rank is None else 'init_rank'}=N with a smaller N"
    lower = "give it a smaller one in adapter.allocate.ranks" if explicit else typed
    for site in encoder.sites:
        if ranks.get(site.name, 0) > method.largest_rank(site):
            raise PlanError(
                f"rank {ranks[site.name]} at {site.address} exceeds what a linear layer from {site.d_in} to {site.d_out} "
                f"takes, at most {method.largest_rank(site)}; {lower}"
            )
    if odd := next((rank for rank in ranks.values() if rank % method.step), None):
        raise PlanError(f"{adapter.method} has ranks that are multiples of {method.step}, found {odd}; {typed}")
    if not ranks:
        how = "give one in adapter.allocate.ranks" if explicit else "type --set adapter.targets=all"
        raise PlanError(f"no linear layer would get a rank above 0; {how}")
