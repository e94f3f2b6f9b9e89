"""A forecast adds up, and budgets cut what must be cut."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from itertools import pairwise

import pytest

from rankwise.encoders.base import KNOWN
from rankwise.errors import OverTime
from rankwise.planning.forecast import LEAST_UPDATES, Forecast, forecast
from rankwise.planning.plan import plan
from rankwise.planning.workload import Work
from rankwise.recipe import Recipe
from rankwise.system.files import to_json
from rankwise.system.speed import Throughput

WORK = Work(9000, 1000, 7600, 9000 * 55.0, 1000 * 55.0, 7600 * 55.0, 128)
LAST_2 = ("adapter.allocate={policy: last-k, k: 2}", "train.encoder_dropout=off")


@cache
def planned(*overrides):
    recipe = Recipe.load("quickstart", ["budget.parameters=null", *overrides])
    return plan(recipe, classes=4), recipe


def predicted(*overrides, work=WORK, gflops=100.0):
    found, recipe = planned(*overrides)
    return forecast(found, recipe, work, gflops=gflops, threads=2)


def test_every_known_encoder_is_forecast_and_a_larger_one_of_its_family_costs_more():
    costs = {name: predicted(f"base={name}", "adapter.targets=all", "adapter.rank=1") for name in KNOWN}
    for smaller, larger in pairwise(["distilroberta-base", "roberta-base", "roberta-large"]):
        assert costs[smaller].seconds < costs[larger].seconds
        assert costs[smaller].peak_bytes < costs[larger].peak_bytes
        assert costs[smaller].operations < costs[larger].operations


def test_a_forecast_adds_up():
    found = predicted()
    assert found.planned_steps == found.steps == 3 * 563
    parts = found.start_seconds + found.steps * found.update_seconds + 3 * found.evaluation_seconds + found.end_seconds
    assert found.seconds == pytest.approx(parts)
    assert found.test_seconds < found.end_seconds


def test_half_the_speed_takes_longer_and_as_many_operations():
    fast, slow = predicted(gflops=200.0), predicted(gflops=100.0)
    assert 1.7 * fast.seconds < slow.seconds < 2 * fast.seconds
    assert fast.operations == slow.operations


def test_caching_the_frozen_layers_saves_what_the_cost_model_says():
    """(L + k)·E·N without it, L·N + 2·k·E·N with it, for k of L layers adapted and E epochs: 24 against 18 layers here."""
    cached, not_cached = (
        predicted(*LAST_2, *more, "train.speed.first_token=false") for more in ((), ("train.prefix_cache=off",))
    )
    assert cached.cache_bytes > not_cached.cache_bytes == 0
    whole = not_cached.steps * not_cached.update_seconds
    rest = cached.steps * cached.update_seconds
    assert rest / whole == pytest.approx(2 * 2 / (6 + 2), abs=0.06)
    assert cached.start_seconds > not_cached.start_seconds


def test_minutes_cut_the_updates_and_nothing_else():
    whole, cut = predicted(), predicted("budget.minutes=8")
    assert LEAST_UPDATES < cut.steps < cut.planned_steps == whole.steps
    assert 0.95 * 480 < cut.seconds <= 480
    assert cut.update_seconds == whole.update_seconds
    assert predicted("budget.minutes=800").steps == whole.steps


def test_minutes_that_are_far_too_few_are_refused_with_what_to_type():
    with pytest.raises(OverTime, match=r"budget.minutes is 0.5, but starting, 10 updates, scoring and saving") as refused:
        predicted("budget.minutes=0.5")
    typed = str(refused.value).split("--minutes ")[1].split(",")[0]
    assert predicted(f"budget.minutes={typed}").steps >= LEAST_UPDATES


def test_a_little_too_few_minutes_are_not_refused_for_the_prediction_may_be_wrong():
    with pytest.raises(OverTime) as refused:
        predicted("budget.minutes=0.5")
    typed = float(str(refused.value).split("--minutes ")[1].split(",")[0])
    assert predicted(f"budget.minutes={0.9 * typed}").steps == LEAST_UPDATES


def test_a_ladder_is_not_refused_for_updates_where_its_first_rung_makes_none():
    pooled = ("head.kind=pooled", "head.start=fitted", "budget.minutes=0.5")
    little_to_score = Work(9000, 10, 10, 9000 * 55.0, 550.0, 550.0, 128)
    with pytest.raises(OverTime, match="10 updates"):
        predicted(*pooled, "rungs=[top,all]", work=little_to_score, gflops=5.0)
    assert predicted(*pooled, "rungs=[tfidf,all]", work=little_to_score, gflops=5.0).steps < LEAST_UPDATES


def test_words_are_counted_in_minutes_in_which_an_encoder_could_not_read_the_test_rows():
    climb = ("head.kind=pooled", "head.start=fitted", "budget.minutes=2", "data.windows=32")
    much_to_score = Work(2000, 200, 25_000, 2000 * 300.0, 200 * 300.0, 25_000 * 300.0, 128)
    assert predicted(*climb, "rungs=[tfidf,features,all]", work=much_to_score).end_seconds > 2 * 1.25 * 60
    with pytest.raises(OverTime, match="the rung features"):
        predicted(*climb, "rungs=[features,all]", work=much_to_score)


def test_minutes_that_are_far_too_few_for_the_first_rung_are_refused_with_what_to_type():
    climb = ("head.kind=pooled", "head.start=fitted", "rungs=[features,all]")
    with pytest.raises(OverTime, match="starting, the rung features, scoring and saving are predicted") as refused:
        predicted(*climb, "budget.minutes=0.5")
    typed = str(refused.value).split("--minutes ")[1].split(",")[0]
    assert predicted(*climb, f"budget.minutes={typed}").minutes == float(typed)


def test_what_is_over_once_texts_are_tokens_takes_the_place_of_what_was_predicted():
    found = predicted()
    assert found.assembled(300.0).start_seconds < 300 + found.start_seconds
    assert found.assembled(300.0).start_seconds - found.assembled(0.0).start_seconds == pytest.approx(300)
    assert found.assembled(0.0).start_seconds > 0


def test_memory_cuts_the_rows_at_a_time_and_not_the_updates():
    whole, cut = predicted("train.batch_size=64"), predicted("train.batch_size=64", "budget.memory_gb=1.2")
    assert cut.micro_batch_size < whole.micro_batch_size == 64
    assert cut.evaluation_batch_size <= whole.evaluation_batch_size
    assert cut.peak_bytes <= 1.2e9 < whole.peak_bytes
    assert cut.steps == whole.steps


def test_a_forecast_is_plain_json_and_readable_lines():
    found = predicted("budget.minutes=8", "budget.memory_gb=1.2", "train.batch_size=64")
    assert json.loads(json.dumps(to_json(found.rounded())))["steps"] == found.steps
    first, answering, minutes, memory = found.lines()
    assert first.startswith("predicted: about 8 min on 2 cores, ")
    assert answering == "deployed: 92.5 MB, 42 ms a text of 128 tokens"
    assert f"{found.steps:,} of {found.planned_steps:,} updates" in minutes
    assert f"{found.micro_batch_size} rows at a time" in memory


def test_few_rows_are_told_in_how_many_epochs_they_come_and_cost_as_many_updates():
    few = {"train.epochs=2", "train.batch_size=16"}
    plain, least = predicted(*few), predicted(*few, "train.min_updates=5000")
    assert least.planned_steps == least.steps == 5000 > plain.steps
    assert least.seconds - plain.seconds == pytest.approx((5000 - plain.steps) * plain.update_seconds)
    rows = f"{plain.work.train_rows:,}"
    assert f"{5000 / plain.epoch_steps:.3g} epochs instead of 2, for 5,000 updates on {rows} rows" in least.lines()[2]
    in_time = predicted(*few, "train.min_updates=5000", "budget.minutes=8")
    assert in_time.steps < in_time.planned_steps == 5000
    assert not plain.more_epochs
    assert len(plain.lines()) == 2


def test_without_data_the_lines_speak_of_a_thousand_rows_and_minutes_are_left_aside():
    found, recipe = planned("budget.minutes=0.01")
    assumed = forecast(found, recipe, Work.assumed(max_length=128), gflops=100, threads=1)
    assert assumed.lines()[0].startswith("predicted for 1,000 rows of 128 tokens: about ")
    assert len(assumed.lines()) == 2


@pytest.mark.parametrize(
    ("seconds", "said"), [(59.6, "60 s"), (600.0, "10 min"), (7200.0, "2.0 h")], ids=["seconds", "minutes", "hours"]
)
def test_times_are_told_in_a_fitting_unit(seconds, said):
    values = {**vars(predicted()), "seconds": seconds}
    assert f"about {said} on" in Forecast(**values).lines()[0]


def test_choosing_by_the_worst_shift_makes_evaluations_dearer_by_its_kinds():
    plain, all_kinds, two = (
        predicted(*settings)
        for settings in (
            [],
            ["train.select_by=worst_shift"],
            ["train.select_by=worst_shift", "evaluate.shifts=[typos, title]"],
        )
    )
    assert all_kinds.evaluation_seconds == pytest.approx(5 * plain.evaluation_seconds)  # half of the tokens in each of 8
    assert two.evaluation_seconds == pytest.approx(2 * plain.evaluation_seconds)
    assert all_kinds.seconds > two.seconds > plain.seconds
    assert all_kinds.update_seconds == plain.update_seconds


def test_measured_speeds_go_before_the_machines():
    slow, fast = (Throughput(speed, 2 * speed, speed) for speed in (1e9, 1e11))
    found, recipe = planned()
    costs = [forecast(found, recipe, WORK, gflops=100.0, threads=2, measured=one) for one in (slow, fast)]
    assert costs[0].update_seconds == pytest.approx(100 * costs[1].update_seconds)
    assert costs[0].evaluation_seconds == pytest.approx(100 * costs[1].evaluation_seconds)
    in_fp32 = replace(fast, testing=1e9)
    assert forecast(found, recipe, WORK, gflops=1.0, threads=2, measured=in_fp32).test_seconds == pytest.approx(
        100 * costs[1].test_seconds
    )


@pytest.mark.parametrize("folds", [0, 3])
def test_a_rung_of_folds_costs_each_of_them_and_the_whole(folds):
    recipe = Recipe.load("auto", ["train.early_stop=null"])
    work = replace(Work(270, 30, 100, 270 * 55.0, 30 * 55.0, 100 * 55.0, 128), folds=folds)
    measured = Throughput(1e11, 1e11, 1e11)
    cost = forecast(plan(recipe, classes=4), recipe, work, gflops=1.0, threads=1, measured=measured)
    updates = cost.update_seconds * cost.planned_steps
    assert set(cost.rungs) == ({"tfidf", "features", "all"} if folds else {"tfidf", "features", "top", "all"})
    assert (4 if folds else 1) * updates < cost.rungs["all"] < (6 if folds else 2) * updates
    assert cost.rungs["features"] < 0.2 * cost.rungs["all"]
