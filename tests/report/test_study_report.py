"""A study → a page: every trial, what mattered, what more bought, the finalists."""

from __future__ import annotations

import dataclasses

import optuna
import pytest
from matplotlib.text import Text
from pages import checked, downloads, section

from rankwise.recipe import Recipe
from rankwise.report.page import render
from rankwise.report.study import report_of_study
from rankwise.sweep.results import Final, Trial
from rankwise.sweep.study import Study

pytestmark = pytest.mark.long

KEYS = ("adapter.rank", "train.learning_rate", "train.optimizer.name")


def trial(number: int, rank: int, rate: float, optimizer: str, accuracy: float) -> Trial:
    """Two seeds, two evaluations each."""
    scores = {"accuracy": accuracy, "macro_f1": accuracy - 0.01, "mcc": accuracy - 0.1, "log_loss": 1 - accuracy}
    history = tuple({"epoch": epoch, "step": 10 * epoch, "accuracy": accuracy - (2 - epoch) / 10} for epoch in (1, 2))
    return Trial(
        number,
        "finished",
        dict(zip(KEYS, (rank, rate, optimizer), strict=True)),
        {"accuracy": accuracy},
        {name: (value - 0.005, value + 0.005) for name, value in scores.items()},
        (0, 1),
        seconds=10.0 * rank,
        trained_parameters=1000 * rank,
        history=(history, history),
        validation_rows=640,
    )


TRIALS = (
    trial(0, 2, 1e-3, "adam", 0.80),
    trial(1, 8, 1e-3, "adam", 0.90),
    trial(2, 8, 1e-5, "sgd", 0.50),
    Trial(3, "rejected", dict(zip(KEYS, (64, 1e-3, "adam"), strict=True)), reason="trains 1,200,000 of 1,000,000"),
    Trial(4, "pruned", dict(zip(KEYS, (4, 1e-2, "sgd"), strict=True)), reason="behind after 1 of 2 evaluations"),
    trial(5, 4, 5e-4, "muon", 0.85),
    trial(6, 16, 1e-4, "adam", 0.88),
)


def study(*trials: Trial, finals: tuple[Final, ...] = (), objective: str = "accuracy") -> Study:
    distributions = {
        "adapter.rank": optuna.distributions.IntDistribution(1, 64),
        "train.learning_rate": optuna.distributions.FloatDistribution(1e-6, 1, log=True),
        "train.optimizer.name": optuna.distributions.CategoricalDistribution(("adam", "sgd", "muon")),
    }
    complete = tuple(
        optuna.trial.create_trial(params=dict(one.params), distributions=distributions, value=one.values[objective])
        for one in trials
        if one.state == "finished"
    )
    return Study("grid", (objective,), Recipe.load("rank4-adam", ["base=minilm"]), trials, finals, KEYS, complete)


@pytest.fixture(scope="module")
def page():
    return checked(render(report_of_study(study(*TRIALS))))


def seen(figure) -> list[str]:
    """The texts of a figure, as matplotlib draws them."""
    return [text.get_text() for text in figure.picture.findobj(Text) if text.get_visible()]


def test_every_trial_is_listed_the_best_first_those_without_a_score_last(page):
    rows = downloads(page)["trials.csv"]
    assert [row["trial"] for row in rows] == ["1", "6", "5", "0", "2", "3", "4"]
    assert [row["state"] for row in rows[-2:]] == ["rejected", "pruned"]
    assert rows[-2]["reason"] == "trains 1,200,000 of 1,000,000"
    assert (rows[0]["adapter.rank"], rows[0]["train.learning_rate"], rows[0]["train.optimizer.name"]) == (
        "8",
        "0.001",
        "adam",
    )
    assert float(rows[0]["accuracy"]) == pytest.approx(0.9)  # the mean of its two seeds
    assert float(rows[0]["accuracy_sd"]) == pytest.approx(0.01 / 2**0.5)


def test_the_first_numbers_are_the_best_trials(page):
    first = {node.all("dt")[0].text: node.all("dd")[0].text for node in page.all("header")[0].all("div")}
    assert first == {
        "accuracy of the best": "90.0 %",
        "its trained parameters": "8,000",
        "its training time": "1 min 20 s",
        "trials finished": "5 of 7",
    }
    assert "5 finished, 1 pruned and 1 rejected" in page.all("header")[0].text


def test_importances_are_the_studys(page):
    rows = downloads(page)["importance.csv"]
    assert {row["setting"]: float(row["importance"]) for row in rows} == pytest.approx(study(*TRIALS).importances())


def test_parallel_coordinates_have_a_rail_for_each_setting_and_the_result(page):
    assert [row["trial"] for row in downloads(page)["parallel.csv"]] == ["1", "6", "5", "0", "2"]
    (picture,) = [figure for figure in page.all("figure") if figure.all("figcaption")[0].text.startswith("Settings")]
    words = {node.text for node in picture.all("svg")[0].all("text")}
    assert {*KEYS, "accuracy, %", "adam", "muon", "sgd"} <= words


def test_a_setting_that_stands_in_groups_has_the_importance_of_them_all():
    names = {"train.learning_rate (adam)": 0.5, "train.learning_rate (sgd)": 0.3, "adapter.rank": 0.2}

    class Grouped(Study):
        def importances(self):
            return names

    plain = study(*TRIALS)
    grouped = Grouped(plain.name, plain.objectives, plain.base, plain.trials, varied=KEYS, complete=plain.complete)
    figure = next(one for one in report_of_study(grouped).figures() if one.table.name == "parallel")
    texts = [text for text in seen(figure) if text in (*KEYS, "accuracy, %")]
    assert texts == ["train.optimizer.name", "adapter.rank", "train.learning_rate", "accuracy, %"]


def test_numbers_drawn_from_a_range_stand_on_an_axis_however_few_they_are():
    drawn = [trial(number, 8, rate, "adam", 0.8) for number, rate in enumerate((0.00122216347, 0.0033798, 0.00350657541))]
    figure = next(one for one in report_of_study(study(*drawn)).figures() if one.table.name == "parallel")
    assert not [text for text in seen(figure) if text.startswith("0.00122")]


def test_numbers_stand_in_their_order_and_before_words():
    ranks = [16, "max", 4, 8]
    drawn = [trial(number, 8, 1e-3, "adam", 0.8) for number in range(4)]
    mixed = [dataclasses.replace(one, params={**one.params, KEYS[0]: rank}) for one, rank in zip(drawn, ranks, strict=True)]
    distributions = {KEYS[0]: optuna.distributions.CategoricalDistribution(ranks)}
    complete = [optuna.trial.create_trial(params={KEYS[0]: rank}, distributions=distributions, value=0.8) for rank in ranks]
    found = dataclasses.replace(study(*drawn), trials=tuple(mixed), complete=tuple(complete))
    figure = next(one for one in report_of_study(found).figures() if one.table.name == "parallel")
    assert [text for text in seen(figure) if text in ("4", "8", "16", "max")] == ["4", "8", "16", "max"]


def test_the_fronts_are_of_time_and_of_parameters(page):
    files = downloads(page)
    for name in ("accuracy-seconds.csv", "accuracy-trained_parameters.csv"):
        assert [row["trial"] for row in files[name] if row["on_front"] == "yes"] == ["1", "5", "0"]


def test_the_best_so_far_never_falls(page):
    rows = downloads(page)["progress.csv"]
    assert [float(row["best"]) for row in rows] == [0.8, 0.9, 0.9, 0.9, 0.9]
    assert [row["epoch"] for row in downloads(page)["learning.csv"]] == ["1", "2"]


def test_finalists_have_their_test_scores_and_a_way_to_see_more():
    scores = {"accuracy": 0.87, "macro_f1": 0.86, "log_loss": 0.4}
    finals = tuple(Final(6, seed, f"sweeps/grid/finals/trial-6-seed-{seed}", scores, scores, 60.0) for seed in (7, 8))
    root = checked(render(report_of_study(study(*TRIALS, finals=finals))))
    assert [float(row["test_accuracy"]) for row in downloads(root)["finalists.csv"]] == [0.87, 0.87]
    assert "rankwise report sweeps/grid/finals/trial-6-seed-7 sweeps/grid/finals/trial-6-seed-8" in root.text
    (bold,) = [row for row in root.all("tr") if row.attributes.get("class") == "marked"]
    assert bold.children[0].text == "6"  # the finalists choose, not the search


def test_a_finalist_that_diverged_has_its_reason_and_no_run_to_report():
    scores = {"accuracy": 0.87, "macro_f1": 0.86, "log_loss": 0.4}
    lost = Final(1, 8, "sweeps/grid/finals/trial-1-seed-8", reason="the loss became nan at update 3")
    finals = (Final(6, 7, "sweeps/grid/finals/trial-6-seed-7", scores, scores, 60.0), lost)
    root = checked(render(report_of_study(study(*TRIALS, finals=finals))))
    assert [row["reason"] for row in downloads(root)["finalists.csv"]] == ["", "the loss became nan at update 3"]
    assert "rankwise report sweeps/grid/finals/trial-6-seed-7" in root.text
    assert "trial-6-seed-7 sweeps/grid" not in root.text


def test_nothing_as_a_setting_is_told_from_no_setting():
    drawn = [trial(number, 8, 1e-3, "adam", 0.8 + number / 100) for number in range(4)]
    clips = [None, 1.0, None]
    norms = [
        dataclasses.replace(one, params={"train.clip_norm": clip, "train.max_steps": 1000 + one.number})
        for one, clip in zip(drawn, clips, strict=False)
    ]
    apart = dataclasses.replace(drawn[3], params={"train.max_steps": 1003})
    keys = ("train.clip_norm", "train.max_steps")
    found = dataclasses.replace(study(*drawn), trials=(*norms, apart), varied=keys, complete=())
    root = checked(render(report_of_study(found)))
    rows = downloads(root)["trials.csv"]
    assert {row["trial"]: row["train.clip_norm"] for row in rows} == {"0": "null", "1": "1.0", "2": "null", "3": ""}
    assert "1,003" in root.text
    assert "1e+03" not in root.text


def test_any_objective_has_a_column():
    trials = [dataclasses.replace(one, values={"mcc": one.mean("mcc")}) for one in TRIALS if one.state == "finished"]
    rows = downloads(checked(render(report_of_study(study(*trials, objective="mcc")))))["trials.csv"]
    assert float(rows[0]["mcc"]) == pytest.approx(0.8)


def test_the_best_recipe_is_given_whole():
    root = checked(render(report_of_study(study(*TRIALS))))
    best = section(root, "best-section").text
    assert "rank: 8" in best
    assert "base: minilm" in best


def test_a_long_study_shows_the_best_ten_and_folds_the_rest():
    many = [dataclasses.replace(TRIALS[0], number=number, values={"accuracy": 0.5 + number / 100}) for number in range(30)]
    root = checked(render(report_of_study(study(*many))))
    files = downloads(root)
    assert (len(files["best-trials.csv"]), len(files["trials.csv"])) == (10, 30)


@pytest.mark.parametrize("trials", [(), TRIALS[3:5], TRIALS[:1], (TRIALS[0], dataclasses.replace(TRIALS[0], number=1))])
def test_a_study_that_has_little_to_tell_still_has_a_page(trials):
    root = checked(render(report_of_study(study(*trials))))
    assert root.all("h1")[0].text == "grid"


def test_costs_may_be_what_is_searched_for():
    trials = [dataclasses.replace(one, values={"seconds": one.seconds or 0.0}) for one in TRIALS]
    root = checked(render(report_of_study(study(*trials, objective="seconds"))))
    assert downloads(root)["trials.csv"][0]["trial"] == "0"
