"""Scores of linear layers → ranks: bought one by one, where a parameter brings most, until what may be spent is spent.

A score is a list of gains, one for each of a linear layer's first ranks; `workflows/by_importance.py` measures them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heappush

from rankwise.encoders.describe import Encoder
from rankwise.encoders.site import Site
from rankwise.errors import PlanError
from rankwise.planning.method import LowRank
from rankwise.planning.policies import targeted_sites
from rankwise.recipe import AdapterSpec, ByImportance


def bought_ranks(encoder: Encoder, adapter: AdapterSpec, method: LowRank, spend: int) -> dict[str, int]:
    """The rank of each targeted site, by module path, for at most `spend` parameters.

    Where not one rank fits, the best one alone, so that its refusal can say how much that trains. Raises PlanError for scores
    that are missing.
    """
    assert isinstance(adapter.allocate, ByImportance)
    sites = targeted_sites(encoder, adapter)
    scores = {site.name: _scores_of(site, adapter.allocate, encoder) for site in sites}
    ranks = _buy(adapter, method, sites, scores, spend)
    if any(ranks.values()):
        return ranks
    best = max(sites, key=lambda site: scores[site.name][0] / method.cost(site, 1), default=None)
    return {best.name: 1} if best else {}


def _buy(
    adapter: AdapterSpec, method: LowRank, sites: Sequence[Site], scores: Mapping[str, Sequence[float]], spend: int
) -> dict[str, int]:
    """Buy the rank with the most gain per parameter, again and again, until none fits into `spend`.

    Gains that fall make this the best use of `spend`, but for the last few parameters. Equal gains go to the lower rank.
    """
    ranks = dict.fromkeys((site.name for site in sites), 0)

    def price(site: Site, rank: int) -> int:
        return method.cost(site, 1) + (method.comes_along(adapter, site) if rank == 1 else 0)

    def offer(index: int, rank: int) -> tuple[float, int, int]:
        """A site's next rank, as a heap wants it: the best is the smallest."""
        site = sites[index]
        return -_gain(scores[site.name], rank) / price(site, rank), rank, index

    offers = [offer(index, 1) for index in range(len(sites))]
    heapify(offers)
    while offers:
        _, rank, index = heappop(offers)
        site = sites[index]
        if price(site, rank) > spend:
            continue  # nor will it later
        spend -= price(site, rank)
        ranks[site.name] = rank
        if rank < method.largest_rank(site):
            heappush(offers, offer(index, rank + 1))
    return ranks


def _gain(scores: Sequence[float], rank: int) -> float:
    """What a site's `rank`-th rank brings; past the scores that are known it falls as 1/rank.

    With one score a site, ranks come out in proportion to score per parameter (D'Hondt's divisors).
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
            "--set adapter.allocate.scores={}"
        )
    return policy.scores[site.address]
