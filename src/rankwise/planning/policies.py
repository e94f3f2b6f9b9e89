"""Policies: which sites get an adapter, and how many times `rank` each layer of them; explicit ranks are given one by one."""

from fnmatch import fnmatchcase

from rankwise.encoders.encoder import Encoder, Site
from rankwise.errors import PlanError, as_set, nearest
from rankwise.recipe.adapter import AdapterSpec, ByDepth, Explicit, Fibonacci, FirstAndLast, LastK

FRACTIONS = {"half": 2, "third": 3, "quarter": 4}


def layer_weight(adapter: AdapterSpec, layer: int, layers: int) -> int:
    """How many times `rank` a layer gets under the adapter's policy; layers count from 0 at the input."""
    policy = adapter.allocate
    if isinstance(policy, ByDepth):
        return int(policy.growth ** depth_group(layer, layers, policy.groups))
    if isinstance(policy, Fibonacci):
        before, weight = 0, 1
        for _ in range(depth_group(layer, layers, policy.groups)):
            before, weight = weight, before + weight
        return weight
    if isinstance(policy, LastK):
        last = policy.k if isinstance(policy.k, int) else max(1, round(layers / FRACTIONS[policy.k]))
        return int(layer >= layers - last)
    if isinstance(policy, FirstAndLast):
        return policy.emphasis if layer < policy.k or layer >= layers - policy.k else 1
    return 1


def depth_group(layer: int, layers: int, groups: int) -> int:
    """Which of `groups` equal groups of layers, from the input upwards, `layer` belongs to: report 002's floor(i/4)."""
    return layer * groups // layers


def targeted_sites(encoder: Encoder, adapter: AdapterSpec) -> list[Site]:
    """The encoder's linear layers of the kinds that `adapter.targets` names. Raises PlanError for a kind that it has not."""
    if not encoder.sites:
        raise PlanError(
            f"{encoder.name} ({encoder.family}) has no linear layers that an adapter could stand in; type --set "
            "adapter.method=bias or --set adapter.method=full"
        )
    if adapter.targets == "all":
        return list(encoder.sites)
    missing = [kind for kind in adapter.targets if kind not in encoder.kinds]
    if missing:
        raise PlanError(
            f"{encoder.name} ({encoder.family}) has no linear layer of kind {', '.join(missing)}; it has "
            f"{', '.join(encoder.kinds)}; type {as_set('adapter.targets', [encoder.kinds[0]])} or --set adapter.targets=all"
        )
    return [site for site in encoder.sites if site.kind in adapter.targets]


def explicit_ranks(encoder: Encoder, policy: Explicit) -> dict[str, int]:
    """The rank of every linear layer, by module path, 0 where no pattern matches. Raises PlanError for an idle pattern."""
    ranks = dict.fromkeys((site.name for site in encoder.sites), 0)
    for pattern, rank in policy.ranks.items():
        matching = [site.name for site in encoder.sites if fnmatchcase(site.address, pattern)]
        if not matching:
            addresses = [site.address for site in encoder.sites]
            raise PlanError(
                f"adapter.allocate.ranks: '{pattern}' matches no linear layer of {encoder.name}"
                f"{nearest(pattern, addresses) or '.'} Patterns look like '*.query' or '{encoder.layers - 1}.*'"
            )
        ranks |= dict.fromkeys(matching, rank)  # the last match wins
    return ranks
