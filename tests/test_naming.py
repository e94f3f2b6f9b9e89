"""Recipes of one name are told apart by the settings that one would type, and by no more of them than it takes."""

from __future__ import annotations

from rankwise import Recipe
from rankwise.naming import differences, names, settings_of, typed


def settings(*overrides: str):
    return settings_of(Recipe(name="one").with_overrides(overrides))


def test_differences_are_settings_and_not_names_seeds_or_places():
    other = ["adapter.rank=1", "train.seed=5", "name=other", "data.clean=[urls]", "data.source=there.csv"]
    found = differences([settings("adapter.rank=2"), settings(*other)])
    assert found == [{"data.clean": "[]", "adapter.rank": "2"}, {"data.clean": "[urls]", "adapter.rank": "1"}]


def test_a_name_that_no_other_has_stays_as_it_is():
    assert names(["one", "two"], [settings(), settings("adapter.rank=1")]) == ["one", "two"]


def test_a_name_can_be_typed_after_set():
    changed = settings("adapter.rank=1", "train.learning_rate=1e-3")
    first, second = names(["one", "one"], [settings("adapter.rank=2"), changed])
    assert first.split()[1] == "adapter.rank=2"
    assert settings(*second.removeprefix("one ").split()) == changed


def test_three_settings_do_unless_more_are_needed():
    shared = ["data.max_length=90", "adapter.rank=1", "adapter.alpha_per_rank=1"]
    found = names(["one"] * 2, [settings(), settings(*shared, "train.epochs=9")])
    assert all(len(name.split()) == 4 for name in found)
    found = names(["one"] * 3, [settings(), settings(*shared), settings(*shared, "train.epochs=9")])
    assert len(set(found)) == 3
    assert found[2].endswith("train.epochs=9")


def test_a_key_that_a_recipe_has_not_is_not_in_its_name():
    probing, plain = names(["one"] * 2, [settings("adapter.allocate={policy: by-importance}"), settings()])
    assert plain == "one adapter.allocate.policy=uniform"
    assert probing.startswith("one adapter.allocate.policy=by-importance adapter.allocate.")


def test_recipes_that_are_alike_are_numbered():
    assert names(["one", "one"], [settings(), settings()]) == ["one 1", "one 2"]


def test_settings_are_written_as_one_would_type_them():
    values = [None, True, 3, 3.0, 1e-4, "third", ["query", "value"], []]
    assert [typed(value) for value in values] == ["null", "true", "3", "3", "0.0001", "third", "[query,value]", "[]"]
