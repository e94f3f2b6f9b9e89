"""A plan over its cap → OverBudget, with the cheapest ways to fit and what each would train."""

from dataclasses import replace
from typing import Literal

from rankwise.errors import OverBudget, as_typed
from rankwise.planning.methods import method_of
from rankwise.planning.ranks import Draft
from rankwise.recipe.adapter import Explicit, LastK
from rankwise.recipe.differences import flat, typed
from rankwise.recipe.methods import METHODS
from rankwise.recipe.recipe import COUNTED_WORDS

ENOUGH = 3  # ways to fit, of which none gives up all adapters
Way = list[Draft]  # changes of one sort, those that give up least first; one is enough


def over_budget(draft: Draft, *, counts_words: bool = False, shrinks: bool = False) -> OverBudget:
    """The refusal of a draft whose ledger does not fit; a recipe that `counts_words`, too, can do without an encoder.

    One that `shrinks` to fit is planned under any cap that is above its head.
    """
    cap, trained, encoder = draft.cap, draft.ledger.trainable_parameters, draft.encoder
    assert cap is not None, "a plan without a cap always fits"
    fixes = _fixes(draft, cap)
    least = sum(entry.parameters for entry in draft.head_entries)
    if shrinks and draft.adapter.rank == "max":
        fixes[f"--budget {least + 1}"] = least
    fixes[f"--budget {trained + 1}"] = trained
    message = f"the plan trains {trained:,} of {cap:,} parameters on {encoder.name}; fewer than {cap:,} may train"
    if (least := encoder.head[-1].parameters) >= cap:
        message += f" (the last layer of the head alone has {least:,})"
        if counts_words:
            fixes[f"--rung {COUNTED_WORDS}"] = cap - 1  # at most: as many words are counted as the cap allows
    lines = [f"  {typed}  trains {count:,}" for typed, count in fixes.items()]
    return OverBudget("\n".join([f"{message}. Ways to fit:", *lines]), trained=trained, cap=cap, fixes=fixes)


def _fixes(draft: Draft, cap: int) -> dict[str, int]:
    """What to type to fit, and what that trains; the changes that give up least come first."""
    adapter = draft.adapter
    # where the head is slim already, what is typed for this one is what is typed for the draft
    slim = [replace(draft, head=draft.head.model_copy(update={"kind": "slim"}))] if len(draft.encoder.head) > 1 else []
    left = cap - 1 - sum(entry.parameters for entry in draft.head_entries)
    ways = [slim]
    if options := method_of(adapter).smaller(draft.encoder, adapter, left):
        ways.append([draft.adapted(**options)])
    if adapter.has_ranks:
        kinds = draft.encoder.kinds if adapter.targets == "all" else adapter.targets
        fewer_kinds = [draft.adapted(targets=kinds[:count]) for count in range(len(kinds) - 1, 0, -1)]
        ways += [_lower_rank(draft), fewer_kinds, *map(_lower_rank, slim)]
    else:
        ways.append([_without_adapter(draft, "bias")])
    if adapter.allocate.policy == "uniform" and method_of(adapter).by_layer:
        layers: list[Literal["half"] | int] = ["half", *range((draft.encoder.layers - 1) // 2, 0, -1)]
        ways.append([draft.adapted(allocate=LastK(policy="last-k", k=k)) for k in layers])
    fixes = _fitting(draft, ways)
    if not adapter.has_ranks or len(fixes) < ENOUGH:
        fixes |= _fitting(draft, [[_without_adapter(kept, "head")] for kept in (draft, *slim)])
    return dict(sorted(fixes.items(), key=lambda fix: -fix[1]))


def _fitting(draft: Draft, ways: list[Way]) -> dict[str, int]:
    """The first change of each way that fits: what to type, and what it trains."""
    first = [next((changed for changed in way if changed.ledger.fits), None) for way in ways]
    return {_typed(draft, changed): changed.ledger.trainable_parameters for changed in first if changed}


def _without_adapter(draft: Draft, method: Literal["bias", "head"]) -> Draft:
    """The biases and the head, or the head alone, without the options that are the adapter's own."""
    own = dict.fromkeys(key for row in METHODS.values() for key in row.options)
    return draft.adapted(**own, method=method, bias="none", quantize="none")


def _lower_rank(draft: Draft) -> Way:
    """The largest rank that fits, where a number stands for it."""
    if isinstance(draft.adapter.allocate, Explicit) or draft.adapter.rank == "max":
        return []
    free = draft.adapted(init_rank=None)
    return [free.adapted(rank=min(free.largest_rank, draft.adapter.rank))]


def _typed(before: Draft, after: Draft) -> str:
    """The `--set` settings that make one draft of the other."""
    old, new = (flat({"head": draft.head.model_dump(), "adapter": draft.adapter.model_dump()}) for draft in (before, after))
    return " ".join(f"--set {as_typed(f'{key}={typed(value)}')}" for key, value in new.items() if value != old.get(key))
