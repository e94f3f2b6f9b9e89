"""A cap that LoRA's lowest rank does not fit → the best known way to train under it, as large as the cap holds.

Which way is best under which cap was measured (benchmarks/board.py); each comes with the learning rate that did best there.
"""

from collections.abc import Iterator

from rankwise.encoders.encoder import Encoder
from rankwise.errors import PlanError
from rankwise.planning.methods import method_of
from rankwise.planning.methods.small_caps import UNDER_SMALL_CAPS
from rankwise.planning.ranks import Draft
from rankwise.recipe import Recipe
from rankwise.recipe.adapter import LastK


def under_cap(recipe: Recipe, encoder: Encoder) -> Recipe:
    """The recipe, or where `budget.shrink` says so and its plan does not fit, with the best known way that does.

    Where not even the head alone fits it stays as it is, to be refused.
    """
    draft = Draft(encoder, recipe.adapter, recipe.head, recipe.budget.parameters)
    if not recipe.budget.shrink or recipe.adapter.rank != "max" or draft.cap is None or draft.ledger.fits:
        return recipe
    for way in UNDER_SMALL_CAPS:
        found = largest(draft.adapted(method=way.method, bias="none", quantize="none", dropout=0.0))
        if found is not None and _layers(found) >= way.least * encoder.layers:
            rate = {} if way.rate is None else {"learning_rate": way.rate}
            changed = {"adapter": found.adapter, "train": recipe.train.model_copy(update=rate)}
            return recipe.model_copy(update=changed)
    return recipe


def largest(draft: Draft) -> Draft | None:
    """The draft with its own options, in as many upper layers, or on as many kinds of linear layer of the last, as its
    cap holds; None where nothing of it fits.
    """
    return next((smaller for smaller in _smaller(draft) if _fits(smaller)), None)


def _smaller(draft: Draft) -> Iterator[Draft]:
    """The draft, or the same with less and less."""
    assert draft.cap is not None, "there is a cap"
    method = method_of(draft.adapter)
    left = draft.cap - 1 - sum(entry.parameters for entry in draft.head_entries)
    options = method.smaller(draft.encoder, draft.adapter, left) if left > 0 else {}
    yield draft.adapted(**options)
    if method.by_layer and draft.adapter.allocate.policy in ("uniform", "last-k"):
        upper = [draft.adapted(allocate=LastK(policy="last-k", k=k)) for k in range(draft.encoder.layers - 1, 0, -1)]
        yield from upper
        kinds = draft.encoder.kinds if draft.adapter.targets == "all" else draft.adapter.targets
        yield from (
            draft.adapted(allocate=LastK(policy="last-k", k=1), targets=kinds[:n]) for n in range(len(kinds) - 1, 0, -1)
        )


def _layers(draft: Draft) -> int:
    """In how many layers a draft of `largest` trains."""
    policy = draft.adapter.allocate
    return policy.k if isinstance(policy, LastK) and isinstance(policy.k, int) else draft.encoder.layers


def _fits(draft: Draft) -> bool:
    try:
        return draft.ledger.fits
    except PlanError:  # the method can't be placed on this encoder
        return False
