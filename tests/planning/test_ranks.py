"""`rank: max` is the largest rank under the cap."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from plans import CHOICES, SMALL, encoder, planned

from rankwise.errors import OverBudget, PlanError
from rankwise.planning.methods import method_of
from rankwise.planning.policies import layer_weight, targeted_sites
from rankwise.planning.ranks import Draft
from rankwise.recipe import Recipe


@pytest.mark.parametrize(
    ("targets", "rank", "trained"),
    [("[query,value]", 11, 999_172), ("[query,key,value]", 7, 980_740), ("[query,key,value,attention_output]", 5, 962_308)],
)
def test_rank_max_on_roberta_base_with_its_stock_head(targets, rank, trained):
    found = planned("adapter.rank=max", f"adapter.targets={targets}")
    assert set(found.ranks.values()) == {rank}
    assert found.adapter.rank == rank
    assert found.ledger.trainable_parameters == trained


@settings(deadline=None, max_examples=120)
@given(st.sampled_from(sorted(SMALL)), CHOICES, st.integers(50, 20_000))
def test_rank_max_is_the_largest_rank_that_fits(family, choices, cap):
    settings_ = [f"{key}={value}" for key, value in choices.items()]
    settings_ += [f"budget.parameters={cap}", "adapter.targets=all"]
    try:
        found = planned(*settings_, "adapter.rank=max", on=family)
    except OverBudget as refusal:
        with pytest.raises(OverBudget, match=f"the plan trains {refusal.trained:,} of"):
            planned(*settings_, "adapter.rank=1", on=family)
        return
    except PlanError:
        assume(False)  # a policy that asks more of a map than it has at rank 1
    assert found.ledger.trainable_parameters < cap
    with pytest.raises(PlanError):  # OverBudget, or larger than a map
        planned(*settings_, f"adapter.rank={found.adapter.rank + 1}", on=family)


def searched_rank(draft):
    """The largest rank that stays under the cap, found by trying every one, the smallest first."""
    on, adapter = draft.encoder, draft.adapter
    method = method_of(adapter)
    weights = {site: layer_weight(adapter, site.layer, on.layers) for site in targeted_sites(on, adapter)}
    best = 1
    for rank in range(1, max(map(method.largest_rank, on.sites)) + 1):
        start = method.start_rank(adapter.model_copy(update={"rank": rank}))
        ranks = {site.name: start * weight for site, weight in weights.items() if weight}
        fits = draft.ledger_of(ranks).fits
        if fits and all(ranks[site.name] <= method.largest_rank(site) for site in weights if site.name in ranks):
            best = rank
    return best


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(sorted(SMALL)), CHOICES, st.integers(1, 30_000))
def test_the_division_for_rank_max_gives_what_trying_every_rank_gives(family, choices, cap):
    settings_ = [f"{key}={value}" for key, value in choices.items()]
    recipe = Recipe.load("auto", [*settings_, "adapter.targets=all", "adapter.rank=max", f"budget.parameters={cap}"])
    draft = Draft(encoder(family), recipe.adapter, recipe.head, cap)
    assert draft.largest_rank == searched_rank(draft)


def test_rank_max_counts_the_biases_of_adapted_linear_layers_only():
    policy = ("adapter.allocate={policy: last-k, k: 1}", "adapter.bias=lora_only", "adapter.rank=max")
    found = planned(*policy, "budget.parameters=605189")
    assert set(found.ranks.values()) == {2}
    assert found.ledger.trainable_parameters == 593_668 + 3 * 2 * 1536 + 3 * 768 == 605_188


def test_rank_max_stops_at_the_size_of_the_maps():
    found = planned("adapter.rank=max", "budget.parameters=900000000")
    assert set(found.ranks.values()) == {768}


def test_rank_max_stops_where_the_deepest_group_has_its_full_rank():
    found = planned("adapter.rank=max", "budget.parameters=900000000", recipe="depth-scaled-query")
    assert sorted(set(found.ranks.values())) == [192, 384, 768]


def test_rank_max_without_a_cap_is_refused():
    with pytest.raises(PlanError, match="give a cap: --budget 1000000"):
        planned("adapter.rank=max", "budget.parameters=null")
