"""Costs follow the mathematics: what is adapted lower costs more, what is cached costs once, budgets cut what must be cut."""

from __future__ import annotations

import json
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankwise.encoders.known import KNOWN
from rankwise.errors import OverTime
from rankwise.planning.forecast import (
    LEAST_UPDATES,
    Forecast,
    affordable_steps,
    cache_bytes,
    cached_layers,
    evaluation_interval,
    evaluations,
    forecast,
    operations,
    planned_steps,
)
from rankwise.planning.plan import plan
from rankwise.planning.workload import Work
from rankwise.recipe import Recipe, TrainSpec
from rankwise.training.pace import Pace

WORK = Work(9000, 1000, 7600, 9000 * 55.0, 1000 * 55.0, 7600 * 55.0, 128)
LAYER = 4 * 384 * 384 + 2 * 384 * 1536  # weights of one of MiniLM's six layers
LAST_2 = ("adapter.allocate={policy: last-k, k: 2}", "train.encoder_dropout=off")


@cache
def planned(*overrides):
    recipe = Recipe.load("quickstart", ["budget.parameters=null", *overrides])
    return plan(recipe, classes=4), recipe


def counted(*overrides, mean_tokens=1e-9):
    """Operations with attention's own products made negligible."""
    found, recipe = planned(*overrides)
    return operations(found, recipe.train, mean_tokens=mean_tokens)


def predicted(*overrides, work=WORK, gflops=100.0):
    found, recipe = planned(*overrides)
    return forecast(found, recipe, work, gflops=gflops, threads=2)


# ---------------------------------------------------------------------------------------------------------- operations


def test_forward_is_two_operations_a_weight_and_the_last_layer_mostly_for_the_first_token():
    found = counted()
    assert found.forward_token == pytest.approx(2 * (5 * LAYER + 2 * 384 * 384))  # keys and values of every token
    assert found.forward_row == pytest.approx(2 * (LAYER - 2 * 384 * 384))
    assert found.prefix_token == 0
    whole = counted("train.speed.first_token=false")
    assert (whole.forward_token, whole.forward_row) == (pytest.approx(2 * 6 * LAYER), 0)


def test_ten_twelfths_of_the_last_layer_are_saved():
    short, whole = counted(), counted("train.speed.first_token=false")
    assert (whole.forward_token - short.forward_token) / (2 * LAYER) == pytest.approx(10 / 12)


def test_the_lowest_layer_needs_no_gradient_of_what_enters_its_lowest_adapted_maps():
    whole = ["train.speed.first_token=false", "adapter.rank=1"]

    def backward(*targets):
        found, _ = planned(*whole, f"adapter.targets=[{','.join(targets)}]")
        adapters = 4 * found.ledger.section("adapter")
        return counted(*whole, f"adapter.targets=[{','.join(targets)}]").backward_token - adapters

    assert backward("query", "value") == pytest.approx(2 * (6 * LAYER - 3 * 384 * 384))
    assert backward("attention_output") == pytest.approx(2 * (6 * LAYER - 4 * 384 * 384))
    assert backward("ffn_in") == pytest.approx(2 * (5 * LAYER + 384 * 1536))
    assert backward("ffn_out") == pytest.approx(2 * 5 * LAYER)
    assert backward("ffn_out", "query") == backward("query")


def test_full_fine_tuning_makes_the_gradients_of_inputs_and_of_weights():
    found = counted("adapter.method=full", "train.speed.first_token=false")
    assert found.backward_token == pytest.approx(2 * found.forward_token)


def test_biases_alone_need_every_inputs_gradient_and_the_head_none():
    biases = counted("adapter.method=bias", "train.speed.first_token=false")
    assert biases.backward_token == pytest.approx(biases.forward_token)
    head = counted("adapter.method=head")
    assert (head.backward_token, head.backward_row) == (0, 0)


def test_layers_below_the_lowest_adapted_one_are_cached_where_they_are_constant_and_it_pays():
    assert counted(*LAST_2).prefix_token == pytest.approx(2 * 4 * LAYER)
    for setting in ("train.encoder_dropout=keep", "train.epochs=1", "train.prefix_cache=off"):
        assert counted(*LAST_2, setting).prefix_token == 0
    assert counted("base=albert-base-v2").prefix_token == 0


def test_attention_costs_four_times_the_width_for_each_token_seen():
    short, long = counted("train.speed.first_token=false", mean_tokens=100), counted("train.speed.first_token=false")
    assert short.forward_token - long.forward_token == pytest.approx(6 * 4 * 384 * 100)


def test_alberts_shared_layer_runs_as_often_as_it_has_layers():
    found = counted("base=albert-base-v2")
    site_weights = sum(site.d_in * site.d_out for site in planned("base=albert-base-v2")[0].encoder.sites)
    assert found.forward_token == pytest.approx(2 * 12 * site_weights)


@pytest.mark.parametrize("base", KNOWN)
def test_every_known_encoder_is_forecast(base):
    found = predicted(f"base={base}", "adapter.targets=all", "adapter.rank=1")
    assert found.seconds > 0
    assert found.peak_bytes > 0
    assert found.operations > 0


# --------------------------------------------------------------------------------------------------------------- cache


def test_the_cache_holds_two_bytes_a_number_for_every_training_and_validation_token():
    found, recipe = planned(*LAST_2)
    assert cache_bytes(found, recipe.train, WORK) == 10_000 * 55 * 384 * 2


def test_where_no_layer_is_left_the_cache_holds_one_token_a_text():
    found, recipe = planned("adapter.method=head", "train.encoder_dropout=off")
    assert cache_bytes(found, recipe.train, WORK) == 10_000 * 384 * 2
    assert cached_layers(found, recipe.train) == 6


# --------------------------------------------------------------------------------------------------------------- steps

SPECS = st.builds(
    TrainSpec,
    epochs=st.floats(0.05, 5),
    max_steps=st.none() | st.integers(1, 300),
    batch_size=st.integers(1, 40),
    evaluate_every=st.sampled_from(["epoch", "end"]) | st.integers(1, 50) | st.floats(0.01, 0.9),
)


@given(SPECS, st.integers(1, 400))
def test_the_loop_makes_as_many_updates_and_evaluations_as_are_counted_here(spec, rows):
    pace = Pace(planned_steps(rows, spec), every=evaluation_interval(rows, spec))
    scored = 0
    while not pace.done:
        pace.note_update(1, 1)
        scored += pace.evaluates
    assert pace.step == planned_steps(rows, spec)
    assert scored == evaluations(pace.step, evaluation_interval(rows, spec))


@given(
    st.floats(0, 500),
    st.floats(0.01, 5),
    st.floats(0, 60),
    st.integers(1, 20) | st.none(),
    st.integers(0, 200),
    st.integers(0, 50),
)
def test_the_last_affordable_update_is_affordable_and_the_next_is_not(seconds, update, evaluation, every, most, done):
    found = affordable_steps(seconds, update, evaluation, every=every, most=most, done=done)
    assert done <= found <= max(done, most)

    def cost(steps):
        return (steps - done) * update + evaluations(steps, every, done=done) * evaluation

    assert found == done or cost(found) <= seconds
    if found < most:
        assert cost(found + 1) > seconds


@given(st.integers(0, 300), st.integers(0, 300), st.integers(1, 40) | st.none())
def test_evaluations_come_at_every_interval_and_at_the_end(done, more, every):
    steps = done + more
    moments = {step for step in range(done + 1, steps + 1) if (every and step % every == 0) or step == steps}
    assert evaluations(steps, every, done=done) == len(moments)


# ------------------------------------------------------------------------------------------------------------ forecast


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


def test_memory_cuts_the_rows_at_a_time_and_not_the_updates():
    whole, cut = predicted("train.batch_size=64"), predicted("train.batch_size=64", "budget.memory_gb=1.2")
    assert cut.micro_batch_size < whole.micro_batch_size == 64
    assert cut.evaluation_batch_size <= whole.evaluation_batch_size
    assert cut.peak_bytes <= 1.2e9 < whole.peak_bytes
    assert cut.steps == whole.steps


def test_a_forecast_is_plain_json_and_readable_lines():
    found = predicted("budget.minutes=8", "budget.memory_gb=1.2", "train.batch_size=64")
    assert json.loads(json.dumps(found.as_dict()))["steps"] == found.steps
    first, minutes, memory = found.lines()
    assert first.startswith("predicted: about 8 min on 2 cores, ")
    assert f"{found.steps:,} of {found.planned_steps:,} updates" in minutes
    assert f"{found.micro_batch_size} rows at a time" in memory


def test_without_data_the_lines_speak_of_a_thousand_rows_and_minutes_are_left_aside():
    found, recipe = planned("budget.minutes=0.01")
    assumed = forecast(found, recipe, Work.assumed(max_length=128), gflops=100, threads=1)
    assert assumed.lines()[0].startswith("predicted for 1,000 rows of 128 tokens: about ")
    assert len(assumed.lines()) == 1


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
