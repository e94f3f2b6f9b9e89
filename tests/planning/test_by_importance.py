"""Ranks by importance are bought where a parameter brings most, until nothing fits."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plans import SMALL, by_layer, encoder, planned, refusal, small_plan

from rankwise.errors import OverBudget, PlanError
from rankwise.planning.plan import Plan


def scored_plan(family, scores, *overrides):
    """A plan by importance on a family's small encoder."""
    policy = json.dumps({"policy": "by-importance", "scores": scores})
    return planned("adapter.targets=all", f"adapter.allocate={policy}", *overrides, on=family)


def next_ranks(found: Plan):
    """What one more rank of each map would train, magnitudes and biases of a first one too."""
    for site in found.encoder.sites:
        rank = found.ranks.get(site.name, 0)
        if rank < site.largest_rank:
            magnitude = site.d_out if found.adapter.method == "dora" and not rank else 0
            yield (
                site.cost(1) + magnitude + (site.d_out if found.adapter.bias == "lora_only" and site.bias and not rank else 0)
            )


@settings(deadline=None, max_examples=100)
@given(
    st.sampled_from(sorted(SMALL)),
    st.sampled_from(["lora", "dora"]),
    st.sampled_from(["none", "lora_only", "all"]),
    st.integers(400, 30_000),
    st.data(),
)
def test_by_importance_fills_the_cap_until_no_rank_fits(family, method, bias, cap, data):
    gains = st.lists(st.floats(0, 1), min_size=1, max_size=4).map(lambda found: sorted(found, reverse=True))
    scores = {site.address: data.draw(gains) for site in encoder(family).sites}
    changes = (f"adapter.method={method}", f"adapter.bias={bias}", f"budget.parameters={cap}", "adapter.rank=max")
    try:
        found = scored_plan(family, scores, *changes)
    except OverBudget:
        with pytest.raises(OverBudget):  # nor does any other policy find room for one rank
            planned("adapter.targets=all", *changes[:3], "adapter.rank=1", on=family)
        return
    left = cap - 1 - found.ledger.trainable_parameters
    assert 0 <= left < min(next_ranks(found), default=10**9)


def test_ranks_go_where_a_parameter_brings_most():
    sites = encoder("bert").sites
    scores = {site.address: [0.0] for site in sites} | {"1.query": [0.9, 0.5, 0.1], "2.ffn_in": [0.9, 0.9]}
    query, wide = (next(site for site in sites if site.address == name) for name in ("1.query", "2.ffn_in"))
    assert (query.cost(1), wide.cost(1)) == (32, 40)  # per parameter: .028, .016, .003 against .0225, .0225, .015 (a third)
    head = planned("adapter.method=head", on="bert").ledger.trainable_parameters
    for spend, expected in ((32, (1, 0)), (72, (1, 1)), (112, (1, 2)), (144, (2, 2)), (184, (2, 3))):
        found = scored_plan("bert", scores, f"budget.parameters={head + spend + 1}", "adapter.rank=max")
        assert (found.ranks.get(query.name, 0), found.ranks.get(wide.name, 0)) == expected
        assert found.ledger.trainable_parameters == head + spend


def test_one_score_a_map_shares_rank_in_proportion():
    scores = {site.address: [0.0] for site in encoder("bert").sites} | {"0.query": [0.3], "1.query": [0.2], "2.query": [0.1]}
    found = scored_plan("bert", scores, "adapter.rank=2", "adapter.targets=[query]", "budget.parameters=null")
    assert by_layer(found) == [3, 2, 1]


def test_a_number_spends_what_a_uniform_rank_would():
    scores = {site.address: [1 / (place + 1)] for place, site in enumerate(encoder("bert").sites)}
    uniform = small_plan("bert", "adapter.rank=3", "adapter.bias=lora_only").ledger.trainable_parameters
    found = scored_plan("bert", scores, "adapter.rank=3", "adapter.bias=lora_only", "budget.parameters=null")
    assert uniform - min(next_ranks(found)) < found.ledger.trainable_parameters <= uniform
    assert len(set(found.ranks.values())) > 2


def test_a_plan_by_importance_tells_its_scores_and_how_many_maps_get_none():
    scores = {site.address: [1.0 if site.kind == "value" else 1e-9] for site in encoder("bert").sites}
    found = scored_plan("bert", scores, "adapter.rank=1", "budget.parameters=null")
    assert f"{len(encoder('bert').sites) - len(found.ranks)} linear layers get none" in found.notes[0]
    assert found.facts().scores["2.value"] == (1.0,)
    assert found.facts().policy == "by-importance"


def test_by_importance_without_scores_says_who_probes():
    with pytest.raises(PlanError, match="rankwise plan and rankwise train"):
        planned("adapter.allocate=by-importance")


def test_by_importance_over_a_cap_that_the_head_fills_is_refused_with_ways_to_fit():
    scores = {site.address: [1.0] for site in encoder("roberta-base").sites}
    policy = json.dumps({"policy": "by-importance", "scores": scores})
    problem = refusal(f"adapter.allocate={policy}", "adapter.rank=max", "budget.parameters=500000")
    assert problem.fixes["--set head.kind=slim"] < 500_000
