"""Sites and a budget → a Plan: the rank of every map, and the ledger that proves it fits.

A policy is a function from a layer's depth to a whole-number weight; a map's rank is `rank * weight`. `rank: max` finds the
largest `rank` whose ledger stays under the cap. Nothing here loads torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Any

from rankwise.budget import Entry, Ledger, Site
from rankwise.encoders import Encoder, find
from rankwise.errors import OverBudget, PlanError, nearest
from rankwise.recipe import Recipe
from rankwise.specs import (
    AdapterSpec,
    ByDepth,
    Explicit,
    Fibonacci,
    FirstAndLast,
    HeadSpec,
    LastK,
)


@dataclass(frozen=True)
class Plan:
    """What will train. `ranks` and `alphas` hold one number per adapted site, by module path."""

    encoder: Encoder = field(repr=False)
    adapter: AdapterSpec
    head: HeadSpec
    ranks: Mapping[str, int]
    alphas: Mapping[str, float]
    frozen_head: tuple[str, ...]
    """Head modules that are saved with the adapter but do not train (a slim head's layer before the last)."""
    ledger: Ledger
    notes: tuple[str, ...] = ()

    @property
    def sites(self) -> tuple[Site, ...]:
        """The adapted sites."""
        return tuple(site for site in self.encoder.sites if site.name in self.ranks)

    @property
    def lowest_layer(self) -> int:
        """The lowest layer that owns a trained parameter; below it nothing needs a gradient."""
        if self.adapter.method in ("full", "bias") or self.adapter.bias == "all":
            return 0
        return min((site.layer for site in self.sites), default=self.encoder.layers)

    def as_dict(self) -> dict[str, Any]:
        return {
            "base": self.encoder.name,
            "family": self.encoder.family,
            "method": self.adapter.method,
            "head": self.head.kind,
            **self.ledger.as_dict(),
            "ranks": dict(self.ranks.items()),
            "alphas": dict(self.alphas.items()),
            "frozen_head": list(self.frozen_head),
            "notes": list(self.notes),
        }


def plan(recipe: Recipe, *, classes: int, encoder: Encoder | None = None) -> Plan:
    """The plan of a recipe for `classes` classes; `encoder` when it is already known.

    Raises PlanError where adapters can't be placed, and OverBudget, which names the cheapest ways to fit.
    """
    encoder = encoder or find(recipe.base, classes=classes, revision=recipe.revision)
    cap = recipe.budget.parameters
    adapter = _solved(encoder, recipe.adapter, recipe.head, cap)
    ranks = allocate(encoder, adapter)
    ledger = _ledger(encoder, adapter, recipe.head, ranks, cap)
    if not ledger.fits:
        raise _over_budget(encoder, recipe.adapter, recipe.head, ledger)
    return Plan(
        encoder=encoder,
        adapter=adapter,
        head=recipe.head,
        ranks=ranks,
        alphas={name: _alpha(adapter, rank) for name, rank in ranks.items()},
        frozen_head=tuple(part.path for part in encoder.head[:-1]) if recipe.head.kind == "slim" else (),
        ledger=ledger,
        notes=_notes(encoder, recipe, ranks, ledger),
    )


def allocate(encoder: Encoder, adapter: AdapterSpec) -> dict[str, int]:
    """The rank of each adapted site, by module path; sites of rank 0 are left out. `adapter.rank` is a number here."""
    if not adapter.has_ranks:
        return {}
    if isinstance(adapter.allocate, Explicit):
        ranks = _explicit(encoder, adapter.allocate)
    else:
        unit, sites = int(adapter.rank), _targeted(encoder, adapter)
        ranks = {site.name: unit * layer_weight(adapter, site.layer, encoder.layers) for site in sites}
    ranks = {name: rank for name, rank in ranks.items() if rank > 0}
    for site in encoder.sites:
        if ranks.get(site.name, 0) > site.largest_rank:
            raise PlanError(
                f"rank {ranks[site.name]} at {site.address} is larger than the map itself "
                f"({site.d_in} to {site.d_out}, so at most {site.largest_rank}); type --set adapter.rank=N with a smaller N"
            )
    if not ranks:
        raise PlanError("no map would get a rank above 0; give adapter.targets or adapter.allocate that match something")
    return ranks


def layer_weight(adapter: AdapterSpec, layer: int, layers: int) -> int:
    """How many times `rank` a layer gets under the adapter's policy; layers count from 0 at the input."""
    policy = adapter.allocate
    if isinstance(policy, ByDepth):
        return int(policy.growth ** depth_group(layer, layers, policy.groups))
    if isinstance(policy, Fibonacci):
        return _fibonacci(depth_group(layer, layers, policy.groups))
    if isinstance(policy, LastK):
        return int(layer >= layers - last_layers(policy.k, layers))
    if isinstance(policy, FirstAndLast):
        return policy.emphasis if layer < policy.k or layer >= layers - policy.k else 1
    return 1


def depth_group(layer: int, layers: int, groups: int) -> int:
    """Which of `groups` equal groups of layers, from the input upwards, `layer` belongs to: report 002's floor(i/4)."""
    return layer * groups // layers


def last_layers(k: int | str, layers: int) -> int:
    """`k` as a number of layers; a fraction is rounded to at least one layer."""
    if isinstance(k, int):
        return min(k, layers)
    return max(1, round(layers / {"half": 2, "third": 3, "quarter": 4}[k]))


def _fibonacci(index: int) -> int:
    before, number = 0, 1
    for _ in range(index):
        before, number = number, before + number
    return number


def _targeted(encoder: Encoder, adapter: AdapterSpec) -> list[Site]:
    if adapter.targets == "all":
        return list(encoder.sites)
    missing = [kind for kind in adapter.targets if kind not in encoder.kinds]
    if missing:
        raise PlanError(
            f"{encoder.name} ({encoder.family}) has no map of kind {', '.join(missing)}; it has "
            f"{', '.join(encoder.kinds)}; type --set adapter.targets=[{encoder.kinds[0]}] or --set adapter.targets=all"
        )
    return [site for site in encoder.sites if site.kind in adapter.targets]


def _explicit(encoder: Encoder, policy: Explicit) -> dict[str, int]:
    addresses = [site.address for site in encoder.sites]
    for pattern in policy.ranks:
        if not any(fnmatchcase(address, pattern) for address in addresses):
            raise PlanError(
                f"adapter.allocate.ranks: '{pattern}' matches no map of {encoder.name}{nearest(pattern, addresses) or '.'} "
                f"Patterns look like '*.query' or '{encoder.layers - 1}.*'"
            )
    ranks = {}
    for site in encoder.sites:
        matching = [rank for pattern, rank in policy.ranks.items() if fnmatchcase(site.address, pattern)]
        ranks[site.name] = matching[-1] if matching else 0
    return ranks


def _alpha(adapter: AdapterSpec, rank: int) -> float:
    if adapter.alpha is not None:
        return adapter.alpha
    return (adapter.alpha_per_rank or 2.0) * rank


def _ledger(encoder: Encoder, adapter: AdapterSpec, head: HeadSpec, ranks: Mapping[str, int], cap: int | None) -> Ledger:
    entries = [*_encoder_entries(encoder, adapter, ranks), *_head_entries(encoder, head)]
    added = sum(entry.parameters for entry in entries if entry.section in ("adapter", "magnitude"))
    return Ledger(tuple(entries), total_parameters=encoder.total_parameters + added, budget=cap)


def _encoder_entries(encoder: Encoder, adapter: AdapterSpec, ranks: Mapping[str, int]) -> list[Entry]:
    if adapter.method == "full":
        return [Entry("encoder", part.path, part.parameters) for part in encoder.body]
    if adapter.method == "head":
        return []
    if adapter.method == "bias":
        biases = [Entry("bias", name, parameters) for name, parameters in encoder.biases]
    elif adapter.bias == "all":  # peft's rule: tensors that are called bias, not those whose name only has it
        biases = [Entry("bias", name, parameters) for name, parameters in encoder.biases if name.endswith(".bias")]
    elif adapter.bias == "lora_only":
        adapted = [site for site in encoder.sites if site.name in ranks and site.bias]
        biases = [Entry("bias", f"{site.name}.bias", site.d_out, site.layer, site.kind) for site in adapted]
    else:
        biases = []
    return [*_rank_entries(encoder, adapter, ranks), *biases]


def _rank_entries(encoder: Encoder, adapter: AdapterSpec, ranks: Mapping[str, int]) -> list[Entry]:
    entries = []
    for site in encoder.sites:
        if rank := ranks.get(site.name):
            entries.append(Entry("adapter", site.name, site.cost(rank), site.layer, site.kind, rank))
            if adapter.method == "dora":
                entries.append(Entry("magnitude", site.name, site.d_out, site.layer, site.kind))
    return entries


def _head_entries(encoder: Encoder, head: HeadSpec) -> list[Entry]:
    parts = encoder.head[-1:] if head.kind == "slim" else encoder.head
    return [Entry("head", part.path, part.parameters) for part in parts]


def _solved(encoder: Encoder, adapter: AdapterSpec, head: HeadSpec, cap: int | None) -> AdapterSpec:
    """The adapter with `rank: max` as a number."""
    if adapter.rank != "max" or not adapter.has_ranks:
        return adapter
    return adapter.model_copy(update={"rank": _largest_rank(encoder, adapter, head, cap)})


def _largest_rank(encoder: Encoder, adapter: AdapterSpec, head: HeadSpec, cap: int | None) -> int:
    """The largest rank that stays under the cap; 1 when none does, so that the refusal can say by how much."""
    if cap is None:
        raise PlanError("adapter.rank is 'max' but budget.parameters is null; give a cap: --budget 1000000")
    low, high = 1, max((site.largest_rank for site in encoder.sites), default=1)
    while low < high:
        middle = (low + high + 1) // 2
        if _trained(encoder, adapter, head, middle) < cap:
            low = middle
        else:
            high = middle - 1
    return _clamped(encoder, adapter, low)


def _trained(encoder: Encoder, adapter: AdapterSpec, head: HeadSpec, rank: int) -> int:
    """Parameters that `rank` would train, without asking whether the maps are large enough for it."""
    weights = {site.name: layer_weight(adapter, site.layer, encoder.layers) for site in _targeted(encoder, adapter)}
    ranks = {name: rank * weight for name, weight in weights.items() if weight}
    return _ledger(encoder, adapter, head, ranks, None).trainable_parameters


def _clamped(encoder: Encoder, adapter: AdapterSpec, rank: int) -> int:
    """`rank`, lowered where a generous cap would ask for more than a map has."""
    for site in _targeted(encoder, adapter):
        if weight := layer_weight(adapter, site.layer, encoder.layers):
            rank = min(rank, site.largest_rank // weight)
    return max(rank, 1)


def _over_budget(encoder: Encoder, adapter: AdapterSpec, head: HeadSpec, ledger: Ledger) -> OverBudget:
    cap, trained = ledger.budget, ledger.trainable_parameters
    assert cap is not None, "a plan without a cap always fits"
    least = sum(entry.parameters for entry in _head_entries(encoder, HeadSpec(kind="slim")))
    fixes = _fixes(encoder, adapter, head, cap)
    fixes[f"--budget {trained + 1}"] = trained
    lines = [f"  {typed}  trains {count:,}" for typed, count in fixes.items()]
    message = f"the plan trains {trained:,} of {cap:,} parameters on {encoder.name}; fewer than {cap:,} may train"
    if least >= cap:
        message += f" (the last layer of the head alone has {least:,})"
    return OverBudget("\n".join([f"{message}. Ways to fit:", *lines]), trained=trained, cap=cap, fixes=fixes)


def _fixes(encoder: Encoder, adapter: AdapterSpec, head: HeadSpec, cap: int) -> dict[str, int]:
    """What to type to fit, and what that trains; the changes that give up least come first."""
    slim = HeadSpec(kind="slim")
    slimmer = head.kind == "stock" and len(encoder.head) > 1
    tries: list[tuple[str, AdapterSpec, HeadSpec]] = [("--set head.kind=slim", adapter, slim)] if slimmer else []
    if adapter.has_ranks:
        tries += [("", rest, head) for rest in _smaller(encoder, adapter, head, cap)]
        if slimmer:
            tries += [("--set head.kind=slim ", rest, slim) for rest in _lower_rank(encoder, adapter, slim, cap)]
    else:
        biases, alone = (adapter.model_copy(update={"method": method}) for method in ("bias", "head"))
        tries.append(("--set adapter.method=bias", biases, head))
        tries.append(("--set adapter.method=head", alone, head))
        if slimmer and adapter.method != "head":
            tries.append(("--set adapter.method=head --set head.kind=slim", alone, slim))
    found = {}
    for typed, changed, with_head in tries:
        solved = _solved(encoder, changed, with_head, cap)
        trained = _ledger(encoder, solved, with_head, allocate(encoder, solved), None).trainable_parameters
        if trained < cap:
            found[typed + _typed_change(adapter, changed)] = trained
    return dict(sorted(found.items(), key=lambda fix: -fix[1]))


def _smaller(encoder: Encoder, adapter: AdapterSpec, head: HeadSpec, cap: int) -> list[AdapterSpec]:
    kinds = encoder.kinds if adapter.targets == "all" else adapter.targets
    fewer = [tuple(kind for kind in kinds if kind != dropped) for dropped in reversed(kinds)] if len(kinds) > 1 else []
    smaller = [adapter.model_copy(update={"targets": rest}) for rest in fewer[:1]]
    if adapter.allocate.policy == "uniform":
        smaller.append(adapter.model_copy(update={"allocate": LastK(policy="last-k", k="half")}))
    return [*_lower_rank(encoder, adapter, head, cap), *smaller]


def _lower_rank(encoder: Encoder, adapter: AdapterSpec, head: HeadSpec, cap: int) -> list[AdapterSpec]:
    if isinstance(adapter.allocate, Explicit) or adapter.rank == "max":
        return []
    rank = _largest_rank(encoder, adapter, head, cap)
    return [adapter.model_copy(update={"rank": rank})] if rank < int(adapter.rank) else []


def _typed_change(before: AdapterSpec, after: AdapterSpec) -> str:
    if after.method != before.method:
        return ""
    if after.rank != before.rank:
        return f"--set adapter.rank={after.rank}"
    if after.targets != before.targets:
        return f"--set adapter.targets=[{','.join(after.targets)}]"
    if after.allocate != before.allocate:
        return "--set adapter.allocate.policy=last-k --set adapter.allocate.k=half"
    return ""


def _notes(encoder: Encoder, recipe: Recipe, ranks: Mapping[str, int], ledger: Ledger) -> tuple[str, ...]:
    notes = list(_idle_tiers(encoder, recipe.train.rates.tiers, ranks, recipe))
    if recipe.head.kind == "slim" and len(encoder.head) == 1:
        notes.append(f"{encoder.family}'s stock head is a single projection, so slim and stock are the same here")
    published = recipe.published
    if published and published.trainable_parameters and recipe.base == encoder.name:
        difference = published.trainable_parameters - ledger.trainable_parameters
        if difference and abs(difference) < 1000:
            notes.append(
                f"the report prints {published.trainable_parameters:,}, {abs(difference):,} "
                f"{'more' if difference > 0 else 'fewer'} than these layers have"
            )
    return tuple(notes)


def _idle_tiers(encoder: Encoder, tiers: Sequence[float], ranks: Mapping[str, int], recipe: Recipe) -> list[str]:
    """One note for each learning-rate tier that owns no trained parameter."""
    if not tiers or recipe.adapter.method in ("full", "bias") or recipe.adapter.bias == "all":
        return []
    owned = Counter(depth_group(site.layer, encoder.layers, len(tiers)) for site in encoder.sites if site.name in ranks)
    starts = [-(-group * encoder.layers // len(tiers)) for group in range(len(tiers) + 1)]
    return [
        f"learning-rate tier {group + 1} ({_span(first, end - 1)}, {tiers[group]:g}) owns no trained parameter"
        for group, (first, end) in enumerate(pairwise(starts))
        if not owned[group]
    ]


def _span(first: int, last: int) -> str:
    if first > last:
        return "no layer"  # more tiers than layers
    return f"layer {first}" if first == last else f"layers {first}-{last}"
