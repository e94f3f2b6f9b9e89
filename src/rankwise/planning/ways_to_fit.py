"""A plan over its cap → OverBudget, with the cheapest ways to fit and what each would train."""

from __future__ import annotations

from typing import Literal

from rankwise.encoders.describe import Encoder
from rankwise.errors import OverBudget
from rankwise.planning.ledger import Ledger
from rankwise.planning.methods import method_of
from rankwise.planning.ranks import allot, head_entries, largest_rank
from rankwise.recipe import AdapterSpec, Explicit, HeadSpec, LastK
from rankwise.recipe.methods import METHODS

ENOUGH = 3  # ways to fit, of which none gives up all adapters
Way = list[tuple[AdapterSpec, HeadSpec]]  # changes of one sort, those that give up least first; one is enough


def over_budget(encoder: Encoder, adapter: AdapterSpec, head: HeadSpec, ledger: Ledger) -> OverBudget:
    """The refusal of a ledger that does not fit; `adapter` as the recipe has it, with `rank: max` where that stands."""
    cap, trained = ledger.budget, ledger.trainable_parameters
    assert cap is not None, "a plan without a cap always fits"
    least = sum(entry.parameters for entry in head_entries(encoder, HeadSpec(kind="slim")))
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
    left = cap - 1 - sum(entry.parameters for entry in head_entries(encoder, head))
    ways: list[Way] = [[(adapter, slim)]] if slimmer else []
    ways.append([(changed, head) for changed in method_of(adapter).smaller(encoder, adapter, left)])
    if adapter.has_ranks:
        ways.append([(changed, head) for changed in _lower_rank(encoder, adapter, head, cap)])
        ways.append([(changed, head) for changed in _fewer_kinds(encoder, adapter)])
        if slimmer:
            ways.append([(changed, slim) for changed in _lower_rank(encoder, adapter, slim, cap)])
    else:
        ways.append([(_without_adapter(adapter, "bias"), head)])
    ways.append([(changed, head) for changed in _upper_layers(encoder, adapter)])
    fixes = _fitting(encoder, adapter, head, cap, ways)
    if not adapter.has_ranks or len(fixes) < ENOUGH:
        alone = _without_adapter(adapter, "head")
        fixes |= _fitting(encoder, adapter, head, cap, [[(alone, head)], [(alone, slim)] if slimmer else []])
    return dict(sorted(fixes.items(), key=lambda fix: -fix[1]))


def _fitting(encoder: Encoder, adapter: AdapterSpec, head: HeadSpec, cap: int, ways: list[Way]) -> dict[str, int]:
    """The first change of each way that fits: what to type, and what it trains."""
    fixes: dict[str, int] = {}
    for way in ways:
        for changed, with_head in way:
            ledger = allot(encoder, changed, with_head, cap)[-1]
            if ledger.fits:
                settings = [*(["head.kind=slim"] if with_head != head else []), *_settings(adapter, changed)]
                fixes[" ".join(f"--set {setting}" for setting in settings)] = ledger.trainable_parameters
                break
    return fixes


def _without_adapter(adapter: AdapterSpec, method: Literal["bias", "head"]) -> AdapterSpec:
    """The biases and the head, or the head alone, without the options that are the adapter's own."""
    own = dict.fromkeys(key for row in METHODS.values() for key in row.options)
    return adapter.model_copy(update={**own, "method": method, "bias": "none", "quantize": "none"})


def _fewer_kinds(encoder: Encoder, adapter: AdapterSpec) -> list[AdapterSpec]:
    """One kind of linear layer less, two less, and so on."""
    kinds = encoder.kinds if adapter.targets == "all" else adapter.targets
    return [adapter.model_copy(update={"targets": kinds[:count]}) for count in range(len(kinds) - 1, 0, -1)]


def _upper_layers(encoder: Encoder, adapter: AdapterSpec) -> list[AdapterSpec]:
    """The same in the upper half of the layers, or in fewer, where it is in all of them."""
    if adapter.allocate.policy != "uniform" or not method_of(adapter).by_layer:
        return []
    layers: list[Literal["half"] | int] = ["half", *range((encoder.layers - 1) // 2, 0, -1)]
    return [adapter.model_copy(update={"allocate": LastK(policy="last-k", k=k)}) for k in layers]


def _lower_rank(encoder: Encoder, adapter: AdapterSpec, head: HeadSpec, cap: int) -> list[AdapterSpec]:
    """The largest rank that fits, where a number stands for it."""
    if isinstance(adapter.allocate, Explicit) or adapter.rank == "max":
        return []
    free = adapter.model_copy(update={"init_rank": None})
    return [free.model_copy(update={"rank": min(largest_rank(encoder, free, head, cap), int(adapter.rank))})]


def _settings(before: AdapterSpec, after: AdapterSpec) -> list[str]:
    """The `--set` settings that make one adapter of the other."""
    settings = []
    for key in (key for key in AdapterSpec.model_fields if getattr(after, key) != getattr(before, key)):
        value = getattr(after, key)
        if isinstance(value, LastK):
            settings += ["adapter.allocate.policy=last-k", f"adapter.allocate.k={value.k}"]
        elif isinstance(value, tuple):
            settings.append(f"adapter.{key}=[{','.join(value)}]")
        else:
            settings.append(f"adapter.{key}={'null' if value is None else value}")
    return settings
