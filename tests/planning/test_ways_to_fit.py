"""A plan over its cap is refused with ways to fit that hold when typed."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from plans import CHOICES, SMALL, applied, planned, refusal

from rankwise.encoders.base import KNOWN
from rankwise.errors import OverBudget, PlanError
from rankwise.recipe import Recipe, builtin_recipes


def test_query_key_value_at_rank_8_is_refused_with_the_ways_to_fit():
    problem = refusal("adapter.rank=8")
    assert (problem.trained, problem.cap) == (1_036_036, 1_000_000)
    assert str(problem).startswith("the plan trains 1,036,036 of 1,000,000 parameters on roberta-base")
    assert problem.fixes == {
        "--set adapter.rank=7": 980_740,
        "--set 'adapter.targets=[query,key]'": 888_580,
        "--set adapter.allocate.policy=last-k --set adapter.allocate.k=half": 814_852,
        "--set head.kind=slim": 445_444,
        "--budget 1036037": 1_036_036,
    }
    assert all(f"  {typed}  trains {count:,}" in str(problem) for typed, count in problem.fixes.items())


def test_the_cap_is_strict():
    assert planned("budget.parameters=980741").ledger.fits
    assert refusal("budget.parameters=980740").trained == 980_740


@pytest.mark.parametrize("name", [name for name in builtin_recipes() if Recipe.load(name).base in KNOWN])
def test_each_fix_when_typed_fits_and_trains_what_it_promised(name):
    caps = (1_000, 4_000, 20_000, 60_000, 300_000)  # none holds what it trains, the last two of which auto fits
    for cap in caps[:3] if name == "auto" else caps:
        changes = (f"budget.parameters={cap}", "budget.shrink=false")
        for typed, promised in refusal(*changes, recipe=name).fixes.items():
            fixed = planned(*changes, *applied(typed), recipe=name).ledger
            assert fixed.trainable_parameters == promised, (cap, typed)
            assert promised < (fixed.budget if typed.startswith("--budget") else cap)


@settings(deadline=None, max_examples=80)
@given(
    st.sampled_from(sorted(SMALL)),
    CHOICES,
    st.integers(100, 9000),
    st.sampled_from(["max", "1", "3", "8"]),
    st.sampled_from(["lora", "full", "head", "bias"]),
)
def test_each_fix_holds_on_any_encoder_policy_and_cap(family, choices, cap, rank, method):
    if method != "lora":
        choices = {"adapter.method": method, "head.kind": choices["head.kind"]}
    changes = [f"{key}={value}" for key, value in choices.items()]
    changes += [f"budget.parameters={cap}", f"adapter.rank={rank}", "adapter.targets=all"]
    fixes = {}
    try:
        assert planned(*changes, on=family).ledger.trainable_parameters < cap
    except OverBudget as problem:
        fixes = problem.fixes
    except PlanError:
        assume(False)
    for typed, promised in fixes.items():
        fixed = planned(*changes, *applied(typed), on=family)
        assert fixed.ledger.trainable_parameters == promised < fixed.ledger.budget


def test_a_fix_for_rank_max_promises_what_the_largest_rank_will_train():
    problem = refusal("adapter.rank=max", "budget.parameters=500000")
    assert problem.fixes["--set head.kind=slim"] == 445_444


def test_the_fixes_that_give_up_least_come_first():
    counts = [count for typed, count in refusal("adapter.rank=20").fixes.items() if not typed.startswith("--budget")]
    assert counts == sorted(counts, reverse=True)
    assert len(counts) >= 2


@pytest.mark.parametrize(("on", "overrides"), [("bert", []), ("roberta", ["head.kind=slim"])])
def test_a_slim_head_is_not_offered_where_it_would_change_nothing(on, overrides):
    for method in ("lora", "head", "full"):
        changes = ["adapter.targets=all", "budget.parameters=300", f"adapter.method={method}"]
        try:
            planned(*changes, *overrides, on=on)
        except OverBudget as problem:
            assert "slim" not in str(problem.fixes)  # noqa: PT017 - some of them fit


def test_a_cap_that_hardly_any_rank_fits_under_is_told_of_fewer_kinds_fewer_layers_and_the_head_alone():
    fixes = refusal("budget.parameters=20000", "budget.shrink=false", recipe="auto").fixes
    assert fixes == {
        "--set 'adapter.targets=[query,key,value,attention_output]'": 19_972,
        "--set adapter.allocate.policy=last-k --set adapter.allocate.k=2": 15_364,
        "--set adapter.method=head": 1_540,
        "--budget 43013": 43_012,
    }


def test_under_a_cap_below_every_head_auto_can_count_words():
    assert refusal("budget.parameters=1540", recipe="auto").fixes == {
        "--budget 1541": 1_540,
        "--rung tfidf": 1_539,
        "--budget 43013": 43_012,
    }


def test_a_cap_below_the_heads_last_layer_says_how_much_that_has():
    problem = refusal("budget.parameters=3076", "head.kind=slim", "adapter.method=head")
    assert "the last layer of the head alone has 3,076" in str(problem)
    assert planned("budget.parameters=3077", "head.kind=slim", "adapter.method=head").ledger.fits
