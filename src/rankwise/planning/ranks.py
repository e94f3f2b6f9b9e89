"""Sites and a budget → ranks: the rank of every linear layer under the recipe's policy.

What an adapter trains grows by the same count with each rank, so `rank: max`, the largest that stays under the cap, is one
division.
"""

from __future__ import annotations

from rankwise.encoders.describe import Encoder
from rankwise.errors import PlanError
from rankwise.planning.by_importance import bought_ranks
from rankwise.planning.entries import ledger_of
from rankwise.planning.method import LowRank
from rankwise.planning.methods import method_of
from rankwise.planning.policies import explicit_ranks, layer_weight, targeted_sites
from rankwise.recipe import AdapterSpec, ByImportance, Explicit, HeadSpec


def allocate(encoder: Encoder, adapter: AdapterSpec, head: HeadSpec, cap: int | None) -> dict[str, int]:
    """The rank of each adapted site, by module path; sites of rank 0 are left out. `adapter` is `solved` already.

    Raises PlanError for a rank that is larger than its linear layer, or where none would get one.
    """
    method = method_of(adapter)
    if not isinstance(method, LowRank):
        return {}
    if isinstance(adapter.allocate, Explicit):
        ranks = explicit_ranks(encoder, adapter.allocate)
    elif isinstance(adapter.allocate, ByImportance):
        ranks = bought_ranks(encoder, adapter, method, _to_spend(encoder, adapter, head, cap))
    else:
        ranks = _weighted_ranks(encoder, adapter, method.start_rank(adapter))
    ranks = {name: rank for name, rank in ranks.items() if rank > 0}
    _check(encoder, adapter, method, ranks)
    return ranks


def solved(encoder: Encoder, adapter: AdapterSpec, head: HeadSpec, cap: int | None) -> AdapterSpec:
    """The adapter with `rank: max` as a number; by-importance shares the rest of the cap itself."""
    if adapter.rank != "max" or not adapter.has_ranks or isinstance(adapter.allocate, ByImportance):
        return adapter
    return adapter.model_copy(update={"rank": largest_rank(encoder, adapter, head, cap)})


def largest_rank(encoder: Encoder, adapter: AdapterSpec, head: HeadSpec, cap: int | None) -> int:
    """The largest rank that stays under the cap; 1 when none does, so that the refusal can say by how much."""
    method, cap = method_of(adapter), _needed(cap)
    assert isinstance(method, LowRank), "only these have ranks"
    weights = _weighted_ranks(encoder, adapter, 1)
    limits = [method.largest_rank(site) // weights[site.name] for site in encoder.sites if weights.get(site.name)]
    if not limits:
        return 1
    first, second = (_trained(encoder, adapter, head, start) for start in (1, 2))
    start = 1 + (cap - 1 - first) // (second - first)
    return max(1, method.rank_from_start(min(start, *limits)))


def _weighted_ranks(encoder: Encoder, adapter: AdapterSpec, rank: int) -> dict[str, int]:
    """`rank` times its layer's weight under the policy, by module path of each targeted site."""
    sites = targeted_sites(encoder, adapter)
    return {site.name: rank * layer_weight(adapter, site.layer, encoder.layers) for site in sites}


def _trained(encoder: Encoder, adapter: AdapterSpec, head: HeadSpec, start: int) -> int:
    """Parameters that train at a start rank, without asking whether the linear layers are large enough for it."""
    return ledger_of(encoder, adapter, head, _weighted_ranks(encoder, adapter, start), None).trainable_parameters


def _to_spend(encoder: Encoder, adapter: AdapterSpec, head: HeadSpec, cap: int | None) -> int:
    """What adapters may take: with `rank: max` all that is left under the cap, else as much as a uniform rank."""
    fixed = ledger_of(encoder, adapter, head, {}, None).trainable_parameters
    if adapter.rank == "max":
        return _needed(cap) - 1 - fixed
    return _trained(encoder, adapter, head, adapter.rank) - fixed


def _needed(cap: int | None) -> int:
    if cap is None:
        raise PlanError("adapter.rank is 'max' but budget.parameters is null; give a cap: --budget 1000000")
    return cap


def _check(encoder: Encoder, adapter: AdapterSpec, method: LowRank, ranks: dict[str, int]) -> None:
    explicit = isinstance(adapter.allocate, Explicit)
    setting = "rank" if adapter.init_rank is None else "init_rank"
    typed = f"type --set adapter.{setting}=N with a smaller N"
    lower = "give it a smaller one in adapter.allocate.ranks" if explicit else typed
    for site in encoder.sites:
        if ranks.get(site.name, 0) > method.largest_rank(site):
            raise PlanError(
                f"rank {ranks[site.name]} at {site.address} exceeds what a linear layer from {site.d_in} to {site.d_out} "
                f"takes, at most {method.largest_rank(site)}; {lower}"
            )
    if not ranks:
        how = "give one in adapter.allocate.ranks" if explicit else "type --set adapter.targets=all"
        raise PlanError(f"no linear layer would get a rank above 0; {how}")
