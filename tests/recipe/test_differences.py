"""Recipes of one name are told apart by the settings that one would type, and by no more of them than it takes."""

from __future__ import annotations

from rankwise import Recipe
from rankwise.recipe.differences import differences, names, settings_of, short_keys, typed


def settings(*overrides: str):
    return settings_of(Recipe(name="one").with_overrides(overrides))


def test_differences_are_settings_and_not_names_seeds_or_places():
    other = ["adapter.rank=1", "train.seed=5", "name=other", "data.clean=[urls]", "data.source=there.csv"]
    unlike = differences([settings("adapter.rank=2"), settings(*other)])
    assert unlike == [{"data.clean": "[]", "adapter.rank": "2"}, {"data.clean": "[urls]", "adapter.rank": "1"}]


def test_a_name_that_no_other_has_stays_as_it_is():
    assert names(["one", "two"], [settings(), settings("adapter.rank=1")]) == ["one", "two"]


def test_a_name_has_as_much_of_a_key_as_tells_it_from_the_others():
    changed = settings("adapter.rank=1", "train.learning_rate=1e-3")
    assert names(["one", "one"], [settings("adapter.rank=2"), changed])[1] == "one rank=1 learning_rate=0.001"
    probed = "adapter.allocate=by-importance"
    ends_alike = settings(probed, "adapter.allocate.rows=20", "data.rows=10")
    assert names(["one", "one"], [settings(probed), ends_alike])[1] == "one data.rows=10 allocate.rows=20"


def test_how_scores_are_made_makes_no_system():
    assert settings("evaluate.resamples=200", "evaluate.baselines=false", "evaluate.batch_size=8") == settings()


def test_numbers_are_rounded_unless_that_makes_them_alike():
    rates = ["train.learning_rate=0.00319389968833", "train.learning_rate=0.001"]
    assert names(["one"] * 2, [settings(rate) for rate in rates])[0] == "one learning_rate=0.003194"
    rates[1] = "train.learning_rate=0.0031939"
    assert names(["one"] * 2, [settings(rate) for rate in rates])[0] == "one learning_rate=0.00319389968833"


def test_three_settings_do_unless_more_are_needed():
    shared = ["data.max_length=90", "adapter.rank=1", "adapter.alpha_per_rank=1"]
    unique = names(["one"] * 2, [settings(), settings(*shared, "train.epochs=9")])
    assert all(len(name.split()) == 4 for name in unique)
    unique = names(["one"] * 3, [settings(), settings(*shared), settings(*shared, "train.epochs=9")])
    assert len(set(unique)) == 3
    assert unique[2].endswith("epochs=9")


def test_a_key_that_a_recipe_has_not_is_not_in_its_name():
    probing, plain = names(["one"] * 2, [settings("adapter.allocate={policy: by-importance}"), settings()])
    assert plain == "one policy=uniform"
    assert probing.startswith("one policy=by-importance ")


def test_keys_are_called_by_their_end():
    assert short_keys(["adapter.rank", "train.optimizer.name", "train.rates.head"]) == {
        "adapter.rank": "rank",
        "train.optimizer.name": "optimizer",
        "train.rates.head": "head",
    }
    alike = ["train.batch_size", "evaluate.batch_size"]
    assert list(short_keys(alike).values()) == alike
    assert list(short_keys(["a.b.c", "d.b.c", "c.b"]).values()) == ["a.b.c", "d.b.c", "b"]
    assert short_keys([]) == {}


def test_recipes_that_are_alike_are_numbered():
    assert names(["one", "one"], [settings(), settings()]) == ["one 1", "one 2"]


def test_settings_are_written_as_one_would_type_them():
    values = [None, True, 3, 3.0, 1e-4, "third", ["query", "value"], []]
    assert [typed(value) for value in values] == ["null", "true", "3", "3", "0.0001", "third", "[query,value]", "[]"]
