"""Sites and a budget → a Plan: the rank of every map, and the ledger that proves it fits.

A policy is a function from a layer's depth to a whole-number weight; a map's rank is `rank * weight`. `rank: max` finds the
largest `rank` whose ledger stays under the cap. `by-importance` knows no layers, only scores: it buys ranks one by one.
Nothing here loads torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Any

from rankwise.budget import Entry, Ledger, Site, buy
from rankwise.encoders import Encoder, find
from rankwise.errors import OverBudget, PlanError, nearest
from rankwise.families import FAMILIES
from rankwise.recipe import Recipe
from rankwise.specs import (
    AdapterSpec,
    ByDepth,
    ByImportance,
    Explicit,
    Fibonacci,
    FirstAndLast,
    HeadSpec,
    LastK,
)

# Rates at which methods that need higher ones than LoRA learn the sample news in 120 updates: benchmarks/methods.py
USUAL_RATES = {"adalora": 5e-3, "ia3": 1e-2, "prefix": 1e-2}


@dataclass(frozen=True)
class Plan:
    """What will train. `ranks` and `alphas` hold one number per low-rank adapter, by its site's module path."""

    encoder: Encoder = field(repr=False)
    adapter: AdapterSpec
    head: HeadSpec
    ranks: Mapping[str, int]
    """What training starts at; adalora's fall from there."""
    alphas: Mapping[str, float]
    frozen_head: tuple[str, ...]
    """Head modules that are saved with the adapter but do not train (a slim head's layer before the last)."""
    ledger: Ledger
    notes: tuple[str, ...] = ()

    @property
    def sites(self) -> tuple[Site, ...]:
        """The adapted sites: maps with a low-rank adapter, a vector or a prefix."""
        adapted = {entry.item for entry in self.ledger.entries if entry.section in ("adapter", "vector", "prefix")}
        return tuple(site for site in self.encoder.sites if site.name in adapted)

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
            "layers": self.encoder.layers,
            "kinds": list(self.encoder.kinds),
            "method": self.adapter.method,
            "policy": self.adapter.allocate.policy if self.adapter.has_ranks else None,
            "head": self.head.kind,
            **self.ledger.as_dict(),
            "ranks": dict(self.ranks.items()),
            "alphas": dict(self.alphas.items()),
            **self._scores(),
            "frozen_head": list(self.frozen_head),
            "notes": list(self.notes),
        }

    def _scores(self) -> dict[str, Any]:
        """What the ranks were given for, where a probing pass scored the maps."""
        policy = self.adapter.allocate
        if not self.adapter.has_ranks or not isinstance(policy, ByImportance):
            return {}
        return {"criterion": policy.criterion, "scores": {name: list(gains) for name, gains in policy.scores.items()}}


def plan(recipe: Recipe, *, classes: int, encoder: Encoder | None = None) -> Plan:
    """The plan of a recipe for `classes` classes; `encoder` when it is already known.

    Raises PlanError where adapters can't be placed, and OverBudget, which names the cheapest ways to fit.
    """
    encoder = encoder or find(recipe.base, classes=classes, revision=recipe.revision)
    cap = recipe.budget.parameters
    adapter = _solved(encoder, recipe.adapter, recipe.head, cap)
    ranks = allocate(encoder, adapter, recipe.head, cap)
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
        notes=(*_method_notes(encoder, adapter, recipe.train.learning_rate), *_notes(encoder, recipe, ranks, ledger)),
    )


def allocate(encoder: Encoder, adapter: AdapterSpec, head: HeadSpec, cap: int | None) -> dict[str, int]:
    """The rank of each adapted site, by module path; sites of rank 0 are left out. `rank: max` is solved already."""
    if not adapter.has_ranks:
        return {}
    if isinstance(adapter.allocate, Explicit):
        ranks = _explicit(encoder, adapter.allocate)
    elif isinstance(adapter.allocate, ByImportance):
        ranks = _bought(encoder, adapter, adapter.allocate, _to_spend(encoder, adapter, head, cap))
    else:
        unit, sites = adapter.start_rank, _targeted(encoder, adapter)
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


def _bought(encoder: Encoder, adapter: AdapterSpec, policy: ByImportance, spend: int) -> dict[str, int]:
    """Ranks by score per parameter; where not one fits, the best one alone, to be refused with its count."""
    sites = _targeted(encoder, adapter)
    scores = {site.name: _scores_of(site, policy, encoder) for site in sites}
    along = {site.name: _comes_along(adapter, site) for site in sites}
    ranks = buy(sites, scores, spend=spend, along=along)
    if any(ranks.values()):
        return ranks
    best = max(sites, key=lambda site: scores[site.name][0] / site.cost(1), default=None)
    return {best.name: 1} if best else {}


def _scores_of(site: Site, policy: ByImportance, encoder: Encoder) -> tuple[float, ...]:
    if not policy.scores:
        raise PlanError(
            "adapter.allocate is by-importance, whose scores come from probing the data; rankwise plan and rankwise train "
            "do that, in Python: rankwise.pipeline.with_scores"
        )
    if site.address not in policy.scores:
        raise PlanError(
            f"adapter.allocate.scores: no score for '{site.address}' of {encoder.name}; leave scores out to probe again: "
            "--set adapter.allocate.scores={}"
        )
    return policy.scores[site.address]


def _to_spend(encoder: Encoder, adapter: AdapterSpec, head: HeadSpec, cap: int | None) -> int:
    """What adapters may take: with `rank: max` all that is left under the cap, else as much as a uniform rank."""
    fixed = _ledger(encoder, adapter, head, {}, None).trainable_parameters
    if adapter.rank == "max":
        return _needed(cap) - 1 - fixed
    return _trained(encoder, adapter, head, adapter.rank) - fixed


def _comes_along(adapter: AdapterSpec, site: Site) -> int:
    """Parameters that train with an adapter whatever its rank."""
    magnitudes = site.d_out if adapter.method == "dora" else 0
    biases = site.d_out if adapter.bias == "lora_only" and site.bias else 0
    return magnitudes + biases


def _alpha(adapter: AdapterSpec, rank: int) -> float:
    if adapter.alpha is not None:
        return adapter.alpha
    return (adapter.alpha_per_rank or 2.0) * rank


def _ledger(encoder: Encoder, adapter: AdapterSpec, head: HeadSpec, ranks: Mapping[str, int], cap: int | None) -> Ledger:
    entries = [*_encoder_entries(encoder, adapter, ranks), *_head_entries(encoder, head)]
    added = sum(entry.parameters for entry in entries if entry.section in ("adapter", "magnitude", "vector", "prefix"))
    return Ledger(tuple(entries), total_parameters=encoder.total_parameters + added, budget=cap)


def _encoder_entries(encoder: Encoder, adapter: AdapterSpec, ranks: Mapping[str, int]) -> list[Entry]:
    if adapter.method == "full":
        return [Entry("encoder", part.path, part.parameters) for part in encoder.body]
    if adapter.method == "head":
        return []
    if adapter.method == "ia3":
        return _vector_entries(encoder, adapter)
    if adapter.method == "prefix":
        return _prefix_entries(encoder, adapter)
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
            cost = site.cost(rank) + (rank if adapter.method == "adalora" else 0)  # a singular value for each rank
            entries.append(Entry("adapter", site.name, cost, site.layer, site.kind, rank))
            if adapter.method == "dora":
                entries.append(Entry("magnitude", site.name, site.d_out, site.layer, site.kind))
    return entries


def _vector_entries(encoder: Encoder, adapter: AdapterSpec) -> list[Entry]:
    """IA3 (arXiv 2205.05638): a scale for each key, each value and each inner activation, in layers that the policy gives."""
    if not {"key", "value"} <= set(encoder.kinds):
        raise PlanError(
            f"{encoder.name} ({encoder.family}) has no maps of its own for keys and values, which ia3 scales; "
            "type --set adapter.method=lora or --set adapter.method=bias"
        )
    return [
        Entry("vector", site.name, site.d_in if site.kind == "ffn_out" else site.d_out, site.layer, site.kind)
        for site in encoder.sites
        if site.kind in ("key", "value", "ffn_out") and layer_weight(adapter, site.layer, encoder.layers)
    ]


def _prefix_entries(encoder: Encoder, adapter: AdapterSpec) -> list[Entry]:
    """Prefix tuning (arXiv 2101.00190): keys and values of virtual tokens, of each layer its own."""
    if not encoder.takes_prefix:
        able = ", ".join(name for name, row in FAMILIES.items() if row.takes_prefix)
        raise PlanError(
            f"{encoder.name} ({encoder.family}): transformers takes no keys and values from outside there, so prefix tuning "
            f"works for {able} only; type --set adapter.method=lora, or take another base"
        )
    length = adapter.prefix_length
    if encoder.longest is not None and encoder.longest - length < 4:
        raise PlanError(
            f"{encoder.name} has {encoder.longest} positions, and a prefix of {length} leaves no room for a text; "
            f"type --set adapter.virtual_tokens=N with N under {encoder.longest - 3}"
        )
    return [
        Entry("prefix", site.name, adapter.prefix_length * site.d_out, site.layer, site.kind)
        for site in encoder.sites
        if site.kind in ("key", "value")
    ]


def _head_entries(encoder: Encoder, head: HeadSpec) -> list[Entry]:
    parts = encoder.head[-1:] if head.kind == "slim" else encoder.head
    return [Entry("head", part.path, part.parameters) for part in parts]


def _solved(encoder: Encoder, adapter: AdapterSpec, head: HeadSpec, cap: int | None) -> AdapterSpec:
    """The adapter with `rank: max` as a number; by-importance shares the rest of the cap itself."""
    if adapter.rank != "max" or not adapter.has_ranks or isinstance(adapter.allocate, ByImportance):
        return adapter
    return adapter.model_copy(update={"rank": _largest_rank(encoder, adapter, head, cap)})


def _largest_rank(encoder: Encoder, adapter: AdapterSpec, head: HeadSpec, cap: int | None) -> int:
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


def _needed(cap: int | None) -> int:
    if cap is None:
        raise PlanError("adapter.rank is 'max' but budget.parameters is null; give a cap: --budget 1000000")
    return cap


def _trained(encoder: Encoder, adapter: AdapterSpec, head: HeadSpec, rank: int) -> int:
    """Parameters that `rank` would train, without asking whether the maps are large enough for it."""
    start = adapter.model_copy(update={"rank": rank}).start_rank
    weights = {site.name: layer_weight(adapter, site.layer, encoder.layers) for site in _targeted(encoder, adapter)}
    ranks = {name: start * weight for name, weight in weights.items() if weight}
    return _ledger(encoder, adapter, head, ranks, None).trainable_parameters


def _clamped(encoder: Encoder, adapter: AdapterSpec, rank: int) -> int:
    """`rank`, lowered where a generous cap would ask for more than a map has."""
    for site in _targeted(encoder, adapter):
        if weight := layer_weight(adapter, site.layer, encoder.layers):
            most = site.largest_rank // weight
            rank = min(rank, 2 * most // 3 if adapter.method == "adalora" else most)  # adalora starts half as high again
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
        tries += [("", rest, head) for rest in (*_shorter(encoder, adapter, head, cap), *_upper_half(adapter))]
        changes = ({"method": method, "virtual_tokens": None} for method in ("bias", "head"))
        biases, alone = (adapter.model_copy(update=change) for change in changes)
        tries.append(("--set adapter.method=bias", biases, head))
        tries.append(("--set adapter.method=head", alone, head))
        if slimmer and adapter.method != "head":
            tries.append(("--set adapter.method=head --set head.kind=slim", alone, slim))
    found = {}
    for typed, changed, with_head in tries:
        solved = _solved(encoder, changed, with_head, cap)
        trained = _ledger(encoder, solved, with_head, allocate(encoder, solved, with_head, cap), None).trainable_parameters
        if trained < cap:
            found[typed + _typed_change(adapter, changed)] = trained
    return dict(sorted(found.items(), key=lambda fix: -fix[1]))


def _smaller(encoder: Encoder, adapter: AdapterSpec, head: HeadSpec, cap: int) -> list[AdapterSpec]:
    kinds = encoder.kinds if adapter.targets == "all" else adapter.targets
    fewer = [tuple(kind for kind in kinds if kind != dropped) for dropped in reversed(kinds)] if len(kinds) > 1 else []
    smaller = [adapter.model_copy(update={"targets": rest}) for rest in fewer[:1]]
    return [*_lower_rank(encoder, adapter, head, cap), *smaller, *_upper_half(adapter)]


def _upper_half(adapter: AdapterSpec) -> list[AdapterSpec]:
    """The same in the upper half of the layers, where it is in all of them."""
    if adapter.allocate.policy != "uniform" or not (adapter.has_ranks or adapter.method == "ia3"):
        return []
    return [adapter.model_copy(update={"allocate": LastK(policy="last-k", k="half")})]


def _lower_rank(encoder: Encoder, adapter: AdapterSpec, head: HeadSpec, cap: int) -> list[AdapterSpec]:
    if isinstance(adapter.allocate, Explicit) or adapter.rank == "max":
        return []
    free = adapter.model_copy(update={"init_rank": None})
    lower = free.model_copy(update={"rank": min(_largest_rank(encoder, free, head, cap), int(adapter.rank))})
    return [lower] if lower != adapter else []


def _shorter(encoder: Encoder, adapter: AdapterSpec, head: HeadSpec, cap: int) -> list[AdapterSpec]:
    """The longest prefix that fits, where it has to be shorter."""
    if adapter.method != "prefix":
        return []
    each = sum(entry.parameters for entry in _prefix_entries(encoder, adapter.model_copy(update={"virtual_tokens": 1})))
    left = cap - 1 - sum(entry.parameters for entry in _head_entries(encoder, head))
    return [adapter.model_copy(update={"virtual_tokens": left // each})] if each <= left else []


def _typed_change(before: AdapterSpec, after: AdapterSpec) -> str:
    if after.method != before.method:
        return "" if after.virtual_tokens == before.virtual_tokens else " --set adapter.virtual_tokens=null"
    if after.virtual_tokens != before.virtual_tokens:
        return f"--set adapter.virtual_tokens={after.virtual_tokens}"
    if after.init_rank != before.init_rank:
        rank = "" if after.rank == before.rank else f" --set adapter.rank={after.rank}"
        return f"--set adapter.init_rank=null{rank}"
    if after.rank != before.rank:
        return f"--set adapter.rank={after.rank}"
    if after.targets != before.targets:
        return f"--set adapter.targets=[{','.join(after.targets)}]"
    if after.allocate != before.allocate:
        return "--set adapter.allocate.policy=last-k --set adapter.allocate.k=half"
    return ""


def _method_notes(encoder: Encoder, adapter: AdapterSpec, learning_rate: float) -> list[str]:
    """What the ledger can't say of a method."""
    method, notes = adapter.method, []
    if method == "adalora":
        notes.append(
            f"adalora starts at rank {adapter.start_rank}, which the cap counts, and prunes to a mean of {adapter.rank}"
        )
    if method == "prefix" and encoder.longest is not None:
        length = adapter.prefix_length
        notes.append(f"a prefix of {length} takes as many positions, so a text has at most {encoder.longest - length} tokens")
    if learning_rate < 0.5 * USUAL_RATES.get(method, 0.0):
        rate = f"{USUAL_RATES[method]:g}"
        notes.append(f"{method} learns slowly at a rate of {learning_rate:g}; try --set train.learning_rate={rate}")
    return notes


def _notes(encoder: Encoder, recipe: Recipe, ranks: Mapping[str, int], ledger: Ledger) -> tuple[str, ...]:
    notes = list(_idle_tiers(encoder, recipe.train.rates.tiers, ledger, recipe))
    policy = recipe.adapter.allocate
    if recipe.adapter.has_ranks and isinstance(policy, ByImportance):
        without = len(_targeted(encoder, recipe.adapter)) - len(ranks)
        probed = f"probed on at most {policy.rows:,} texts"
        notes.append(f"ranks by gradient {policy.criterion}, {probed}; {without} maps get none")
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


def _idle_tiers(encoder: Encoder, tiers: Sequence[float], ledger: Ledger, recipe: Recipe) -> list[str]:
    """One note for each learning-rate tier that owns no trained parameter."""
    if not tiers or recipe.adapter.method in ("full", "bias") or recipe.adapter.bias == "all":
        return []
    if recipe.adapter.method == "prefix":
        return [f"a prefix is one tensor for all layers, so it learns at the last tier's rate, {tiers[-1]:g}"]
    layers = [entry.layer for entry in ledger.entries if entry.layer is not None]
    owned = Counter(depth_group(layer, encoder.layers, len(tiers)) for layer in layers)
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
