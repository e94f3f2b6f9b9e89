"""A space reads as it is written; what it may not say is refused with the file, the line and what to type instead."""

from __future__ import annotations

import math

import optuna
import pytest

from rankwise.errors import RecipeError
from rankwise.recipe import Recipe
from rankwise.sweep.domains import Groups, Range, Values
from rankwise.sweep.results import configured
from rankwise.sweep.space import Space

SPACE = """\
name: news
base: rank4-adam
objectives: [accuracy]
search: {sampler: random, trials: 7, pruner: none}
space:
  adapter.rank: [2, 4, max]
  adapter.dropout: {low: 0.0, high: 0.2, step: 0.1}
  adapter.targets: [[query], [query, value]]
  optimiser:
    - {train.optimizer.name: adam, train.learning_rate: {low: 1e-4, high: 1e-2, log: true}}
    - {train.optimizer.name: sgd, train.learning_rate: [1e-2, 1e-1]}
"""


@pytest.fixture
def load(tmp_path):
    def write(text=SPACE, *search):
        (tmp_path / "news.yaml").write_text(text, "utf-8")
        return Space.load(tmp_path / "news.yaml", search)

    return write


def drawn(space, seed=0):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    return space.suggest(study.ask())


def test_lists_ranges_and_groups_are_read(load):
    space = load()
    assert space.domains["adapter.rank"] == Values((2, 4, "max"))
    assert space.domains["adapter.dropout"] == Range(0.0, 0.2, step=0.1)
    assert space.domains["optimiser"] == Groups(
        {
            "adam": {"train.optimizer.name": Values(("adam",)), "train.learning_rate": Range(1e-4, 1e-2, log=True)},
            "sgd": {"train.optimizer.name": Values(("sgd",)), "train.learning_rate": Values((1e-2, 1e-1))},
        }
    )
    assert space.keys == ("adapter.rank", "adapter.dropout", "adapter.targets", "train.optimizer.name", "train.learning_rate")
    assert space.search.trials == 7


def test_every_draw_is_a_recipe_with_the_rate_of_its_group(load):
    space = load()
    base = Recipe.load(space.base)
    for recipe in (configured(base, drawn(space, seed)) for seed in range(20)):
        rate = recipe.train.learning_rate
        assert recipe.adapter.rank in (2, 4, "max")
        assert recipe.adapter.targets in (("query",), ("query", "value"))
        assert rate in (1e-2, 1e-1) if recipe.train.optimizer.name == "sgd" else 1e-4 <= rate <= 1e-2


def test_what_can_be_listed_is_listed_once(load):
    space = load(SPACE.replace("{low: 1e-4, high: 1e-2, log: true}", "[1e-4, 1e-3, 1e-2]"))
    recipes = [
        configured(Recipe.load(space.base), space.suggest(optuna.trial.FixedTrial(labels))) for labels in space.listed()
    ]
    assert len(recipes) == space.size == 3 * 3 * 2 * (3 + 2)
    assert len({recipe.fingerprint for recipe in recipes}) == space.size


def test_a_space_with_a_range_has_no_size(load):
    assert load().size is None


def test_a_range_is_of_whole_numbers_only_where_the_key_takes_no_others(load):
    ranges = "name: n\nbase: rank4-adam\nspace: {adapter.rank: {low: 2, high: 9}, adapter.alpha: {low: 1, high: 9}}\n"
    space = load(ranges)
    assert space.domains["adapter.rank"].whole
    assert not space.domains["adapter.alpha"].whole
    assert space.domains["adapter.rank"].points() == [2, 3, 4, 5, 6, 7, 8, 9]
    assert space.domains["adapter.alpha"].size == math.inf


def test_a_space_without_a_name_is_called_after_its_file(load):
    assert load(SPACE.replace("name: news", "summary: no name")).name == "news"
    assert load(SPACE.replace("name: news", "name: other")).name == "other"


def test_search_settings_come_on_top(load):
    search = load(SPACE, "sampler=tpe", "pruner={name: halving, keep: 2}", "finalists=0").search
    assert (search.sampler, search.pruner.name, search.pruner.keep, search.finalists) == ("tpe", "halving", 2, 0)


def test_search_settings_reach_into_a_section_that_is_a_string_or_empty(load):
    space = "name: n\nbase: rank4-adam\nsearch: {pruner: halving}\nspace: {adapter.rank: [2, 4]}\n"
    pruner = load(space, "pruner.keep=2").search.pruner
    assert (pruner.name, pruner.keep) == ("halving", 2)
    assert load(space.replace(" {pruner: halving}", ""), "trials=3").search.trials == 3


@pytest.mark.parametrize(
    ("before", "setting", "message"),
    [
        ("", "trials", "--set search.trials: expected key=value, such as train.epochs=2"),
        ("", "trials=", "--set search.trials=: search.trials: found '', expected a valid integer"),
        ("search: tpe\n", "trials=3", r"news.yaml:3: search: found 'tpe', expected a mapping such as {sampler: random}"),
    ],
)
def test_search_settings_that_can_not_be_read_are_refused(load, before, setting, message):
    with pytest.raises(RecipeError, match=message):
        load(f"name: n\nbase: rank4-adam\n{before}space: {{adapter.rank: [2, 4]}}\n", setting)


def test_a_range_of_too_many_numbers_has_no_size_and_is_no_grid(load):
    rows = "name: n\nbase: rank4-adam\nspace: {data.rows: {low: 1, high: 1000000000000}}\n"
    assert load(rows).size is None
    with pytest.raises(RecipeError, match=r"a grid needs values, and 'data\.rows' is a range; give a list, or a step"):
        load(rows, "sampler=grid")
    with pytest.raises(RecipeError, match="this grid has over 100,000 configurations"):
        load(rows.replace("}}", ", step: 2}}"), "sampler=grid")


def test_a_step_is_the_same_number_drawn_or_listed(load):
    space = load("name: n\nbase: rank4-adam\nspace: {adapter.dropout: {low: 0.0, high: 0.9, step: 0.1}}\n")
    listed = [labels["adapter.dropout"] for labels in space.listed()]
    assert listed == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    assert {drawn(space, seed)["adapter.dropout"] for seed in range(60)} <= set(listed)


def test_set_takes_a_key_out_of_the_space_but_not_out_of_a_group(load):
    space = load()
    assert "adapter.rank" not in space.without(["adapter.rank"]).keys
    with pytest.raises(RecipeError, match="the space varies it in the group 'optimiser'"):
        space.without(key for key in ["train.epochs", "train.learning_rate"])
    with pytest.raises(RecipeError, match=r"--set train\.optimizer: the space varies it in the group 'optimiser'"):
        space.without(["train.optimizer"])
    assert "adapter.rank" not in space.without(["adapter"]).keys
    with pytest.raises(RecipeError, match="the space varies nothing"):
        space.without(["adapter.rank", "adapter.dropout", "adapter.targets", "optimiser"])


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("adapter.rank", "adapter.rnk", r"news.yaml:6: unknown key 'adapter.rnk'; did you mean 'adapter.rank'\?"),
        ("adapter.rank:", "adapter.rank.x:", "news.yaml:6: adapter.rank: found {'x': 2}, expected a valid integer, or 'max'"),
        ("[2, 4, max]", "[2, four]", r"news.yaml:6: adapter.rank: found 'four', expected a valid integer"),
        ("[2, 4, max]", "[2, 0]", "news.yaml:6: adapter.rank: found 0, expected greater than or equal to 1"),
        ("adapter.rank: [2, 4, max]", "data.source: [a, b]", "news.yaml:6: data.source: scores on other data"),
        ("adapter.rank: [2, 4, max]", "train.seed: [0, 1]", "news.yaml:6: train.seed: .* where search.seeds says so"),
        ("[2, 4, max]", "[]", "news.yaml:6: adapter.rank: an empty list"),
        ("[2, 4, max]", "[2, 2]", "news.yaml:6: adapter.rank: .* names a value twice"),
        ("[2, 4, max]", "4", "news.yaml:6: adapter.rank: found 4, expected a list of values or a range"),
        ("high: 0.2, step", "hihg: 0.2, step", "news.yaml:7: adapter.dropout: a range is"),
        ("low: 0.0, high: 0.2", "low: 0.5, high: 0.2", "news.yaml:7: adapter.dropout: low 0.5 is not below high 0.2$"),
        ("high: 0.2", "high: 1.5", "news.yaml:7: adapter.dropout: found 1.5, expected less than 1"),
        ("[2, 4, max]", "{low: 2, high: 4, step: 0.5}", "news.yaml:6: adapter.rank: found 2.5, expected a valid integer"),
        ("step: 0.1", "log: no", "news.yaml:7: adapter.dropout: log is true or false; found 'no'"),
        ("low: 1e-4", "low: 0.0", "news.yaml:10: train.learning_rate: low 0.0 is not above 0, as log: true wants it$"),
        ("optimizer.name: sgd", "optimizer.name: sdg", "news.yaml:11: train.optimizer.name: found 'sdg'"),
        ("optimiser:", "train.optimizer:", "news.yaml:9: unknown key 'train.optimizer.train.optimizer.name'"),
        ("sampler: random", "sampler: gird", "news.yaml:4: search.sampler: found 'gird', expected 'grid', 'random' or 'tpe'"),
        ("sampler: random", "sampler: grid", "a grid needs values, and 'train.learning_rate' is a range"),
        ("trials: 7", "trails: 7", r"news.yaml:4: unknown key 'search.trails'; did you mean 'search.trials'\?"),
        ("[accuracy]", "[acuracy]", "news.yaml:3: 'acuracy' is no objective; did you mean 'accuracy'"),
        ("pruner: none", "pruner: halfing", "news.yaml:4: search.pruner.name: found 'halfing'"),
        ("[accuracy]", "[accuracy, accuracy]", "news.yaml:3: .* name one twice"),
        ("base: rank4-adam", "bas: rank4-adam", "unknown key 'bas'; did you mean 'base'"),
        ("base: rank4-adam", "base: rank4-adm", "news.yaml:2: base: no recipe is called 'rank4-adm'; did you mean"),
        ("base: rank4-adam", "base:", "news.yaml:2: base: found nothing, expected a valid string such as auto$"),
        ("name: news", "set: data.rows=64", r"news.yaml:1: set: found 'data.rows=64', expected a list such as \[data.rows"),
        ("name: news", "set: [data.rows]", "news.yaml:1: set: data.rows: expected key=value, such as train.epochs=2$"),
        ("name: news", "set: [data.row=6]", "news.yaml:1: set: data.row=6: unknown key 'data.row'; did you mean 'data.rows'"),
        ("optimizer.name: sgd", "optimizer.nme: sgd", "news.yaml:11: .*; did you mean 'train.optimizer.name'"),
        (
            "    - {train.optimizer.name: sgd",
            "    - [sgd]\n    - {train.optimizer.name: sgd",
            r"news.yaml:9: optimiser: option 2 is \['sgd'\], expected a mapping such as {train.optimizer.name: adam}$",
        ),
        ("step: 0.1", "step: 0.3", "news.yaml:7: adapter.dropout: step 0.3 does not fit between low 0.0 and high 0.2$"),
        ("name: news", "name: [", "news.yaml:"),
    ],
)
def test_what_a_space_may_not_say_is_refused_with_its_line(load, before, after, message):
    assert before in SPACE
    with pytest.raises(RecipeError, match=message):
        load(SPACE.replace(before, after, 1))


@pytest.mark.parametrize(
    ("text", "found"), [("", "nothing"), ("# later\n", "nothing"), ("- a\n- b\n", "a list"), ("a", "'a'")]
)
def test_a_file_that_is_no_mapping_is_told_what_it_is(load, text, found):
    with pytest.raises(RecipeError, match=rf"news\.yaml: expected a mapping such as 'base: auto', found {found}$"):
        load(text)


def test_a_space_of_a_list_is_told_that_it_is_a_mapping(load):
    with pytest.raises(
        RecipeError, match=r"news.yaml:2: space: found \['adapter.rank'\], expected a mapping such as {adapter.rank:"
    ):
        load("base: auto\nspace: [adapter.rank]\n")


def test_a_key_is_set_in_one_place_only(load):
    with pytest.raises(
        RecipeError,
        match=r"news.yaml:\d+: 'train.learning_rate' is also set by 'train.learning_rate' in the group 'optimiser'",
    ):
        load(SPACE + "  train.learning_rate: [1e-3, 1e-4]\n")
    with pytest.raises(
        RecipeError, match=r"'train.learning_rate' in the group 'optimiser' is also set by 'train.learning_rate'"
    ):
        load(SPACE.replace("space:\n", "space:\n  train.learning_rate: [1e-3, 1e-4]\n"))
    with pytest.raises(
        RecipeError, match=r"'train.optimizer' is also set by 'train.optimizer.name' in the group 'optimiser'"
    ):
        load(SPACE + "  train.optimizer: [adam, sgd]\n")


def test_several_objectives_and_a_pruner_do_not_go_together(load):
    with pytest.raises(RecipeError, match=r"there are 2 objectives; set search\.pruner: none"):
        load(SPACE.replace("[accuracy]", "[accuracy, seconds]"), "pruner=halving")


def test_a_pruner_wants_several_evaluations_a_run(load):
    space = load(SPACE, "pruner=halving")
    with pytest.raises(RecipeError, match=r"type --set train\.evaluate_every=10%"):
        space.check(Recipe.load("rank4-adam"))
    space.check(Recipe.load("rank4-adam", ["train.evaluate_every=10%"]))
    space.check(Recipe.load("rank4-adam", ["train.epochs=3"]))


def test_a_space_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(RecipeError, match="no space is called 'rank-grid'; did you mean 'rank4-grid'"):
        Space.load("rank-grid")
    with pytest.raises(RecipeError, match="no such file"):
        Space.load("spaces/mine.yaml")


def test_the_grid_of_report_003_holds_its_best_and_asks_for_more_than_the_cap_too():
    space = Space.load("rank4-grid")
    best = {
        "adapter.rank": 4,
        "adapter.alpha": 16,
        "adapter.dropout": 0.0,
        "adapter.bias": "lora_only",
        "train.batch_size": 16,
        "train.optimizer.name": "adam",
        "train.learning_rate": 1e-3,
    }
    listed = [space.suggest(optuna.trial.FixedTrial(labels)) for labels in space.listed()]
    assert best in listed
    assert {params["train.optimizer.name"] for params in listed} == {"adam", "sgd", "muon"}
    assert max(params["adapter.rank"] for params in listed) == 16
