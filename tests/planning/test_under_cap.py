"""`auto` plans under every cap above its head, as large a way as the cap holds, and else says the smallest cap."""

from __future__ import annotations

import pytest
from plans import applied, encoder

from rankwise.errors import OverBudget
from rankwise.planning.methods.small_caps import UNDER_SMALL_CAPS
from rankwise.planning.plan import plan, rungs_of, trained
from rankwise.recipe import Recipe
from rankwise.recipe.methods import HEAD_ALONE

HEADS = {("minilm", 2): 770, ("minilm", 4): 1540, ("minilm", 28): 10_780}
HEADS |= {("roberta-base", 2): 1538, ("roberta-base", 4): 3076, ("roberta-base", 28): 21_532}
CAPS = (5_000, 10_000, 25_000, 50_000, 100_000)


def auto(base, cap, *changes):
    return Recipe.load("auto", [f"base={base}", f"budget.parameters={cap}", *changes])


@pytest.mark.parametrize("cap", CAPS)
@pytest.mark.parametrize(("base", "classes"), HEADS)
@pytest.mark.parametrize("head", ["pooled", "slim"])
def test_auto_spends_a_small_cap_on_the_encoder_where_the_head_leaves_some(base, classes, cap, head):
    recipe, least = auto(base, cap, f"head.kind={head}"), HEADS[base, classes]
    if least >= cap:
        with pytest.raises(OverBudget) as refused:
            plan(recipe, classes=classes)
        assert refused.value.fixes[f"--budget {least + 1}"] == least
        recipe = recipe.with_overrides(applied(f"--budget {least + 1}"))
        assert plan(recipe, classes=classes).ledger.trainable_parameters == least
        return
    found = plan(recipe, classes=classes)
    assert least < found.ledger.trainable_parameters < cap
    again = trained(recipe, classes=classes)
    assert plan(again, classes=classes).facts() == plan(trained(again, classes=classes), classes=classes).facts()
    assert again.adapter.method == found.adapter.method


def test_the_rate_is_that_at_which_the_way_did_best():
    recipe = auto("minilm", 10_000)
    found = trained(recipe, classes=4)
    assert (found.adapter.method, found.train.learning_rate) in {(way.method, way.rate) for way in UNDER_SMALL_CAPS}
    notes = plan(recipe, classes=4).notes
    told = "lora on every layer does not fit the cap of 10,000, so the best known way that does: "
    assert any(note.startswith(told + found.adapter.method) for note in notes)
    assert not any("learns slowly" in note for note in notes), "its own rate is not advised against"


def test_of_ways_that_a_small_cap_makes_the_same_one_is_tried():
    small, large = auto("minilm", 10_000), auto("minilm", 1_000_000)
    assert rungs_of(small, classes=4, few=False) == ("tfidf", "features", "all")
    assert rungs_of(large, classes=4, few=False) == ("tfidf", "features", "top", "all")


def test_where_nothing_but_the_head_fits_the_head_trains():
    found = plan(auto("minilm", 1541), classes=4)
    assert (found.adapter.method, found.ledger.trainable_parameters) == (HEAD_ALONE, 1540)


def test_a_cap_that_lora_fits_and_a_rank_that_somebody_gave_are_left_alone():
    assert trained(auto("minilm", 50_000), classes=4).adapter == auto("minilm", 50_000).adapter
    with pytest.raises(OverBudget):
        plan(auto("minilm", 10_000, "adapter.rank=8"), classes=4)
    with pytest.raises(OverBudget):
        plan(auto("minilm", 10_000, "budget.shrink=false"), classes=4)


@pytest.mark.parametrize("family", ["xlnet", "modernbert", "eurobert"])
def test_a_way_that_an_encoder_has_no_place_for_is_passed_over(family):
    recipe = auto("minilm", 100, "data.max_length=8", "head.kind=pooled")
    found = plan(recipe, classes=4, encoder=encoder(family))
    assert found.adapter.method in {way.method for way in UNDER_SMALL_CAPS}
    assert UNDER_SMALL_CAPS[-1].method == HEAD_ALONE, "which every encoder has"


@pytest.mark.parametrize(
    ("base", "taken"),
    [
        ("minilm", {5_000: "beft", 10_000: "ln-tuning", 25_000: "ln-tuning", 50_000: "lora", 100_000: "lora"}),
        ("roberta-base", {10_000: "beft", 25_000: "ln-tuning", 50_000: "ln-tuning", 100_000: "ln-tuning"}),
    ],
)
def test_norms_are_taken_where_those_of_half_of_the_layers_fit_and_biases_of_values_under_that(base, taken):
    assert {cap: plan(auto(base, cap, "head.kind=pooled"), classes=4).adapter.method for cap in taken} == taken
