"""A plan over its cap → OverBudget, with the cheapest ways to fit and what each would train."""

from __future__ import annotations

from rankwise.allocate import allocate, largest_rank, solved
from rankwise.budget import Ledger
from rankwise.encoders import Encoder
from rankwise.entries import head_entries, ledger_of, prefix_entries
from rankwise.errors import OverBudget
from rankwise.specs import AdapterSpec, Explicit, HeadSpec, LastK


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
    tries = [(adapter, slim)] if slimmer else []
    if adapter.has_ranks:
        tries += [(rest, head) for rest in _smaller(encoder, adapter, head, cap)]
        if slimmer:
            tries += [(rest, slim) for rest in _lower_rank(encoder, adapter, slim, cap)]
    else:
        methods = ({"method": method, "virtual_tokens": None} for method in ("bias", "head"))
        biases, alone = (adapter.model_copy(update=change) for change in methods)
        tries += [(rest, head) for rest in (*_shorter(encoder, adapter, head, cap), *_upper_half(adapter), biases, alone)]
        if slimmer:
            tries.append((alone, slim))
    found = {}
    for changed, with_head in tries:
        exact = solved(encoder, changed, with_head, cap)
        trained = ledger_of(encoder, exact, with_head, allocate(encoder, exact, with_head, cap), None).trainable_parameters
        if trained < cap:
            settings = [*(["head.kind=slim"] if with_head != head else []), *_settings(adapter, changed)]
            found[" ".join(f"--set {setting}" for setting in settings)] = trained
    return dict(sorted(found.items(), key=lambda fix: -fix[1]))


def _smaller(encoder: Encoder, adapter: AdapterSpec, head: HeadSpec, cap: int) -> list[AdapterSpec]:
    """A lower rank, one kind of map less, or the upper half of the layers."""
    kinds = encoder.kinds if adapter.targets == "all" else adapter.targets
    fewer = [adapter.model_copy(update={"targets": kinds[:-1]})] if len(kinds) > 1 else []
    return [*_lower_rank(encoder, adapter, head, cap), *fewer, *_upper_half(adapter)]


def _upper_half(adapter: AdapterSpec) -> list[AdapterSpec]:
    """The same in the upper half of the layers, where it is in all of them."""
    if adapter.allocate.policy != "uniform" or not (adapter.has_ranks or adapter.method == "ia3"):
        return []
    return [adapter.model_copy(update={"allocate": LastK(policy="last-k", k="half")})]


def _lower_rank(encoder: Encoder, adapter: AdapterSpec, head: HeadSpec, cap: int) -> list[AdapterSpec]:
    """The largest rank that fits, where a number stands for it."""
    if isinstance(adapter.allocate, Explicit) or adapter.rank == "max":
        return []
    free = adapter.model_copy(update={"init_rank": None})
    return [free.model_copy(update={"rank": min(largest_rank(encoder, free, head, cap), int(adapter.rank))})]


def _shorter(encoder: Encoder, adapter: AdapterSpec, head: HeadSpec, cap: int) -> list[AdapterSpec]:
    """The longest prefix that fits, where it has to be shorter."""
    if adapter.method != "prefix":
        return []
    each = sum(entry.parameters for entry in prefix_entries(encoder, adapter.model_copy(update={"virtual_tokens": 1})))
    left = cap - 1 - sum(entry.parameters for entry in head_entries(encoder, head))
    return [adapter.model_copy(update={"virtual_tokens": left // each})] if each <= left else []


def _settings(before: AdapterSpec, after: AdapterSpec) -> list[str]:
    """What makes one adapter of the other."""
    settings = []
    if after.method != before.method:
        settings.append(f"adapter.method={after.method}")
    if after.virtual_tokens != before.virtual_tokens:
        settings.append(f"adapter.virtual_tokens={after.virtual_tokens or 'null'}")
    if after.init_rank != before.init_rank:
        settings.append("adapter.init_rank=null")
    if after.rank != before.rank:
        settings.append(f"adapter.rank={after.rank}")
    if after.targets != before.targets:
        settings.append(f"adapter.targets=[{','.join(after.targets)}]")
    if after.allocate != before.allocate:
        settings += ["adapter.allocate.policy=last-k", "adapter.allocate.k=half"]
    return settings
