"""Sites and a budget → ranks: the rank of every map under the recipe's policy.

`rank: max` is the largest `rank` whose ledger stays under the cap. `by-importance` knows no layers, only scores: it buys
ranks one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heappush

from rankwise.encoders.describe import Encoder
from rankwise.encoders.site import Site
from rankwise.errors import PlanError
from rankwise.planning.entries import ledger_of
from rankwise.planning.policies import explicit_ranks, layer_weight, targeted_sites
from rankwise.recipe import AdapterSpec, ByImportance, Explicit, HeadSpec


def allocate(encoder: Encoder, adapter: AdapterSpec, head: HeadSpec, cap: int | None) -> dict[str, int]:
    """The rank of each adapted site, by module path; sites of rank 0 are left out. `adapter` is `solved` already.

    Raises PlanError for a rank that is larger than its map, or where no map would get one.
    """
    if not adapter.has_ranks:
        return {}
    if isinstance(adapter.allocate, Explicit):
        ranks = explicit_ranks(encoder, adapter.allocate)
    elif isinstance(adapter.allocate, ByImportance):
        ranks = _bought(encoder, adapter, adapter.allocate, _to_spend(encoder, adapter, head, cap))
    else:
        unit, sites = adapter.start_rank, targeted_sites(encoder, adapter)
        ranks = {site.name: unit * layer_weight(adapter, site.layer, encoder.layers) for site in sites}
    ranks = {name: rank for name, rank in ranks.items() if rank > 0}
    for site in encoder.sites:
        if ranks.get(site.name, 0) > site.largest_rank:
            raise PlanError(
                f"rank {ranks[site.name]} at {site.address} is larger than the map itself ({site.d_in} to {site.d_out}, so "
                f"at most {site.largest_rank}); {_how_to_lower(adapter)}"
            )
    if not ranks:
        explicit = isinstance(adapter.allocate, Explicit)
        how = "give one in adapter.allocate.ranks" if explicit else "type --set adapter.targets=all"
        raise PlanError(f"no map would get a rank above 0; {how}")
    return ranks


def solved(encoder: Encoder, adapter: AdapterSpec, head: HeadSpec, cap: int | None) -> AdapterSpec:
    """The adapter with `rank: max` as a number; by-importance shares the rest of the cap itself."""
    if adapter.rank != "max" or not adapter.has_ranks or isinstance(adapter.allocate, ByImportance):
        return adapter
    return adapter.model_copy(update={"rank": largest_rank(encoder, adapter, head, cap)})


def largest_rank(encoder: Encoder, adapter: AdapterSpec, head: HeadSpec, cap: int | None) -> int:
    """The largest rank that stays under the cap; 1 when none does, so that the refusal can say by how much."""
    cap = _needed(cap)
    low, high = 1, max((site.largest_rank for site in encoder.sites), default=1)
    while low < high:
        middle = (low + high + 1) // 2
        if _trained(encoder, adapter, head, middle) < cap:
            low = middle
        else:
            high = middle - 1
    return _clamped(encoder, adapter, low)


def _how_to_lower(adapter: AdapterSpec) -> str:
    if isinstance(adapter.allocate, Explicit):
        return "give it a smaller one in adapter.allocate.ranks"
    return f"type --set adapter.{'rank' if adapter.init_rank is None else 'init_rank'}=N with a smaller N"


def _needed(cap: int | None) -> int:
    if cap is None:
        raise PlanError("adapter.rank is 'max' but budget.parameters is null; give a cap: --budget 1000000")
    return cap


def _trained(encoder: Encoder, adapter: AdapterSpec, head: HeadSpec, rank: int) -> int:
    """Parameters that `rank` would train, without asking whether the maps are large enough for it."""
    start = adapter.model_copy(update={"rank": rank}).start_rank
    weights = {site.name: layer_weight(adapter, site.layer, encoder.layers) for site in targeted_sites(encoder, adapter)}
    ranks = {name: start * weight for name, weight in weights.items() if weight}
    return ledger_of(encoder, adapter, head, ranks, None).trainable_parameters


def _clamped(encoder: Encoder, adapter: AdapterSpec, rank: int) -> int:
    """`rank`, lowered where a generous cap would ask for more than a map has."""
    for site in targeted_sites(encoder, adapter):
        if weight := layer_weight(adapter, site.layer, encoder.layers):
            most = site.largest_rank // weight
            rank = min(rank, 2 * most // 3 if adapter.method == "adalora" else most)  # adalora starts half as high again
    return max(rank, 1)


def _bought(encoder: Encoder, adapter: AdapterSpec, policy: ByImportance, spend: int) -> dict[str, int]:
    """Ranks by score per parameter; where not one fits, the best one alone, to be refused with its count."""
    sites = targeted_sites(encoder, adapter)
    scores = {site.name: _scores_of(site, policy, encoder) for site in sites}
    along = {site.name: _comes_along(adapter, site) for site in sites}
    ranks = _buy(sites, scores, spend=spend, along=along)
    if any(ranks.values()):
        return ranks
    best = max(sites, key=lambda site: scores[site.name][0] / site.cost(1), default=None)
    return {best.name: 1} if best else {}


def _buy(
    sites: Sequence[Site], scores: Mapping[str, Sequence[float]], *, spend: int, along: Mapping[str, int]
) -> dict[str, int]:
    """A rank for each site, by name: bought one by one, the most gain per parameter first, until none fits into `spend`.

    `scores` are each site's gains, as `_gain` reads them; `along` are the parameters that come with its first rank. Gains
    that fall make this the best use of `spend`, but for the last few parameters. Equal gains go to the lower rank.
    """
    ranks = dict.fromkeys((site.name for site in sites), 0)

    def price(site: Site, rank: int) -> int:
        return site.cost(1) + (along.get(site.name, 0) if rank == 1 else 0)

    def offer(place: int, rank: int) -> tuple[float, int, int]:
        """A map's next rank, as a heap wants it: the best is the smallest."""
        site = sites[place]
        return -_gain(scores[site.name], rank) / price(site, rank), rank, place

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


def _gain(scores: Sequence[float], rank: int) -> float:
    """What a map's `rank`-th rank brings; past the scores that are known it falls as 1/rank.

    With one score a map, ranks come out in proportion to score per parameter (D'Hondt's divisors).
    """
    return scores[rank - 1] if rank <= len(scores) else scores[-1] * len(scores) / rank


def _scores_of(site: Site, policy: ByImportance, encoder: Encoder) -> tuple[float, ...]:
    if not policy.scores:
        raise PlanError(
            "adapter.allocate is by-importance, whose scores come from probing the data; rankwise plan and rankwise train "
            "do that, in Python: rankwise.workflows.train.with_scores"
        )
    if site.address not in policy.scores:
        raise PlanError(
            f"adapter.allocate.scores: no score for '{site.address}' of {encoder.name}; leave scores out to probe again: "
            "--set adapter.allocate.scores={}"
        )
    return policy.scores[site.address]


def _to_spend(encoder: Encoder, adapter: AdapterSpec, head: HeadSpec, cap: int | None) -> int:
    """What adapters may take: with `rank: max` all that is left under the cap, else as much as a uniform rank."""
    fixed = ledger_of(encoder, adapter, head, {}, None).trainable_parameters
    if adapter.rank == "max":
        return _needed(cap) - 1 - fixed
    return _trained(encoder, adapter, head, adapter.rank) - fixed


def _comes_along(adapter: AdapterSpec, site: Site) -> int:
    """Parameters that train with an adapter whatever its rank."""
    magnitudes = site.d_out if adapter.method == "dora" else 0
    biases = site.d_out if adapter.bias == "lora_only" and site.bias else 0
    return magnitudes + biases
