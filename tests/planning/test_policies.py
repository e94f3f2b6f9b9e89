"""Each policy gives its layers the ranks that it says."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from plans import by_layer, explicit, planned

from rankwise.encoders.base import KNOWN
from rankwise.errors import PlanError
from rankwise.planning.policies import depth_group, layer_weight
from rankwise.recipe.adapter import AdapterSpec, LastK


@pytest.mark.parametrize(
    ("base", "ranks"), [("roberta-base", [8] * 4 + [16] * 4 + [32] * 4), ("minilm", [8, 8, 16, 16, 32, 32])]
)
def test_by_depth_is_report_002s_rule(base, ranks):
    found = planned(f"base={base}", recipe="depth-scaled-query")
    assert by_layer(found) == ranks
    assert by_layer(found, "key") == [0] * len(ranks)
    assert {found.ranks[name]: alpha for name, alpha in found.alphas.items()} == {8: 16, 16: 32, 32: 64}


@pytest.mark.parametrize(
    ("base", "k", "adapted"),
    [
        ("roberta-base", "half", range(6, 12)),
        ("roberta-base", "third", range(8, 12)),
        ("roberta-base", "quarter", range(9, 12)),
        ("roberta-base", "5", range(7, 12)),
        ("roberta-base", "40", range(12)),
        ("minilm", "half", range(3, 6)),
        ("minilm", "third", range(4, 6)),
        ("minilm", "quarter", range(4, 6)),
        ("minilm", "2", range(4, 6)),
        ("roberta-large", "third", range(16, 24)),
        ("albert-base-v2", "quarter", range(1)),
    ],
)
def test_last_k_adapts_the_last_layers_and_none_below(base, k, adapted):
    found = planned(
        f"base={base}", f"adapter.allocate={{policy: last-k, k: {k}}}", "adapter.rank=2", "budget.parameters=null"
    )
    assert by_layer(found) == [2 if layer in adapted else 0 for layer in range(found.encoder.layers)]
    assert found.lowest_layer == adapted[0]


@pytest.mark.parametrize(
    ("base", "k", "ranks"),
    [
        ("minilm", 1, [6, 2, 2, 2, 2, 6]),
        ("minilm", 2, [6, 6, 2, 2, 6, 6]),
        ("minilm", 5, [6] * 6),
        ("roberta-base", 1, [6, *[2] * 10, 6]),
    ],
)
def test_first_and_last_emphasises_both_ends(base, k, ranks):
    policy = f"adapter.allocate={{policy: first-and-last, k: {k}, emphasis: 3}}"
    assert by_layer(planned(f"base={base}", policy, "adapter.rank=2")) == ranks


@pytest.mark.parametrize(
    ("base", "groups", "weights"),
    [
        ("minilm", 6, [1, 1, 2, 3, 5, 8]),
        ("roberta-base", 6, [1, 1, 1, 1, 2, 2, 3, 3, 5, 5, 8, 8]),
        ("roberta-base", 3, [1] * 8 + [2] * 4),
        ("minilm", 1, [1] * 6),
    ],
)
def test_fibonacci_grows_as_the_numbers_do(base, groups, weights):
    policy = f"adapter.allocate={{policy: fibonacci, groups: {groups}}}"
    assert by_layer(planned(f"base={base}", policy, "adapter.rank=2")) == [2 * weight for weight in weights]


@given(st.integers(1, 48), st.integers(1, 12))
def test_depth_groups_rise_by_one_and_differ_in_size_by_at_most_one(layers, groups):
    assume(groups <= layers)
    found = [depth_group(layer, layers, groups) for layer in range(layers)]
    assert found == sorted(found)
    assert set(found) == set(range(groups))
    sizes = [found.count(group) for group in range(groups)]
    assert max(sizes) - min(sizes) <= 1


@given(st.integers(0, 11))
def test_thirds_of_twelve_layers_are_report_002s_floor(layer):
    assert depth_group(layer, 12, 3) == layer // 4


@given(st.one_of(st.integers(1, 60), st.sampled_from(["half", "third", "quarter"])), st.integers(1, 48))
def test_the_last_layers_are_at_least_one_and_at_most_all(k, layers):
    adapter = AdapterSpec(allocate=LastK(policy="last-k", k=k))
    adapted = [layer for layer in range(layers) if layer_weight(adapter, layer, layers)]
    assert 1 <= len(adapted) <= layers
    assert adapted == list(range(layers))[-len(adapted) :]


def test_an_explicit_map_ranks_what_its_patterns_match_and_nothing_else():
    found = explicit({"*.query": 4, "11.ffn_*": 2}, "base=roberta-base")
    assert by_layer(found) == [4] * 12
    assert (by_layer(found, "ffn_in"), by_layer(found, "ffn_out")) == ([0] * 11 + [2], [0] * 11 + [2])
    assert by_layer(found, "value") == [0] * 12


def test_the_last_matching_pattern_wins_and_0_takes_an_adapter_away():
    found = explicit({"*.query": 4, "1*.query": 9, "11.*": 0})
    assert by_layer(found) == [4, 9, *[4] * 8, 9, 0]


def test_a_pattern_that_matches_no_map_is_refused_with_the_nearest():
    with pytest.raises(PlanError) as caught:
        explicit({"*.query": 4, "*.quary": 4})
    assert str(caught.value).startswith(
        "adapter.allocate.ranks: '*.quary' matches no linear layer of roberta-base; did you mean '"
    )
    assert "Patterns look like '*.query' or '11.*'" in str(caught.value)


def test_an_explicit_map_needs_no_targets_that_the_encoder_has():
    found = explicit({"*.query_key_value": 2}, "base=modernbert-base")
    assert by_layer(found, "query_key_value") == [2] * 22


@pytest.mark.parametrize(
    ("override", "how"),
    [
        ("adapter.targets=[]", "type --set adapter.targets=all"),
        ('adapter.allocate={policy: explicit, ranks: {"*": 0}}', "give one in adapter.allocate.ranks"),
    ],
)
def test_a_plan_that_would_adapt_nothing_is_refused_with_what_to_give(override, how):
    with pytest.raises(PlanError, match=f"no linear layer would get a rank above 0; {how}"):
        planned(override)


@pytest.mark.parametrize(
    ("base", "kinds"),
    [("modernbert-base", "query_key_value, attention_output, ffn_in, ffn_out"), ("xlnet-base-cased", "ffn_in, ffn_out")],
)
def test_targets_that_the_encoder_does_not_have_are_answered_with_those_it_has(base, kinds):
    with pytest.raises(PlanError, match=f"has no linear layer of kind query, key, value; it has {kinds}; type --set"):
        planned(f"base={base}")


def test_all_targets_are_every_site():
    for base in KNOWN:
        found = planned(f"base={base}", "adapter.targets=all", "adapter.rank=1", "budget.parameters=null")
        assert set(found.ranks) == {site.name for site in found.encoder.sites}, base
        assert found.ledger.sections()["adapter"] == sum(site.d_in + site.d_out for site in found.encoder.sites), base


@pytest.mark.parametrize(
    ("overrides", "where", "lower"),
    [
        (["adapter.rank=769"], "rank 769 at 0.query", "adapter.rank=N"),
        (["adapter.rank=400", "adapter.allocate={policy: by-depth}"], "rank 800 at 4.query", "adapter.rank=N"),
        (["adapter.method=adalora", "adapter.init_rank=800"], "rank 800 at 0.query", "adapter.init_rank=N"),
        (['adapter.allocate={policy: explicit, ranks: {"3.key": 2000}}'], "rank 2000 at 3.key", "adapter.allocate.ranks"),
    ],
)
def test_a_rank_larger_than_the_map_is_refused_with_the_map_and_the_setting(overrides, where, lower):
    with pytest.raises(PlanError, match="takes, at most 768") as caught:
        planned(*overrides, "budget.parameters=null")
    assert str(caught.value).startswith(f"{where} exceeds what a linear layer from 768 to 768 takes, at most 768")
    assert lower in str(caught.value)


def test_the_full_rank_of_a_map_is_allowed():
    assert set(planned("adapter.rank=768", "budget.parameters=null").ranks.values()) == {768}
