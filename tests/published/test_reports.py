"""The five reports, as data: what they printed is what their recipes carry, and the counts are the planner's."""

from __future__ import annotations

import pytest

from rankwise.errors import RecipeError
from rankwise.published.reports import Experiment, find_report, reports
from rankwise.recipe import Recipe, builtin_recipes

REPORTS = reports()
EXPERIMENTS = [(report, experiment) for report in REPORTS for experiment in report.experiments]


def test_there_are_five_reports():
    assert [report.number for report in REPORTS] == ["000", "001", "002", "003", "004"]


def test_an_experiment_is_a_recipe_of_its_report():
    for report, experiment in EXPERIMENTS:
        recipe = experiment.load()
        source = Recipe.load(experiment.recipe)
        assert source.published.report == f"{report.number}: {report.title}"
        assert recipe.name == experiment.name
        if experiment.asks is None and not experiment.overrides and experiment.data == "ag_news":
            assert recipe.fingerprint == source.fingerprint, experiment.name
            assert experiment.trained_parameters == source.published.trainable_parameters, experiment.name


def test_the_recipes_of_reports_are_all_run():
    assert {experiment.recipe for _, experiment in EXPERIMENTS} == set(builtin_recipes()) - {
        "quickstart",
        "auto",
        "kaggle-decoder",
    }


# Counted by building the models on the meta device.
COUNTED = {
    "000": {"adamw": 691_972, "rmsprop": 691_972, "rmsprop-one-rate": 691_972, "adamw-qlora": 691_972},
    "001": {"uniform-qkv": 980_740, "all-lengths": 980_740, "uniform-qkv-qlora": 980_740},
    "002": {"by-depth": 937_732, "first-and-last": 937_732, "fibonacci": 900_868, "uniform": 925_444, "mc-dropout": 937_732},
    "003": {
        "grid-best": 759_556,
        "epochs-8": 759_556,
        "rank-8": 907_012,
        "alpha-32": 759_556,
        "dropout-10": 759_556,
        "no-biases": 741_124,
        "rate-3e-4": 759_556,
        "batch-32": 759_556,
        "sgd": 759_556,
        "muon": 759_556,
    },
    "004": {"imdb-full": 66_955_010, "imdb-lora": 739_586, "ag-news-full": 66_956_548, "ag-news-lora": 741_124},
}


def test_an_experiment_counts_what_it_trains_on_the_reports_encoder():
    counts = {(report.number, experiment.name): experiment.counted() for report, experiment in EXPERIMENTS}
    expected = {(number, name): count for number, named in COUNTED.items() for name, count in named.items()}
    assert {which: counts[which] for which in expected} == expected
    assert {name for (_, name), count in counts.items() if count >= 1_000_000} == {"imdb-full", "ag-news-full"}


def test_the_rates_by_depth_of_report_000_move_nothing():
    tiers, one = (experiment.load() for experiment in find_report("000").experiments[1:3])
    assert one.train.rates.tiers == ()
    assert tiers.train.rates.tiers[-1] == tiers.train.learning_rate
    assert tiers.adapter.allocate.policy == "last-k"


@pytest.mark.parametrize("name", ["002", "2", "depth-scaled-query"])
def test_a_report_is_found_by_number_and_by_recipe(name):
    assert find_report(name).number == "002"


def test_an_unknown_report_names_the_nearest():
    with pytest.raises(RecipeError, match="no report is called 'depth-scaled'; did you mean 'depth-scaled-query'"):
        find_report("depth-scaled")


def test_choosing_an_experiment_brings_the_one_that_it_asks_and_keeps_the_order():
    report = find_report("002")
    assert [one.name for one in report.chosen(["mc-dropout", "uniform"])] == ["by-depth", "uniform", "mc-dropout"]
    assert report.chosen([]) == report.experiments
    with pytest.raises(RecipeError, match="report 002 has no experiment 'uniforms'; did you mean 'uniform'"):
        report.chosen(["uniforms"])


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: report.number)
def test_whoever_asks_comes_after_who_is_asked(report):
    seen: dict[str, Experiment] = {}
    for experiment in report.experiments:
        assert experiment.asks is None or seen[experiment.asks].load().fingerprint == experiment.load().fingerprint
        assert (experiment.asks is None) == (experiment.mc_dropout is None)
        seen[experiment.name] = experiment
    assert len(seen) == len(report.experiments)
