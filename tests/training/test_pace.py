"""Runs end on time with their schedule complete: on clocks that are noisy, slow down, speed up, start late or stand still."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankwise.recipe import TrainSpec
from rankwise.training.optimizers import schedule_factor
from rankwise.training.pace import Deadline, Pace

TOKENS = 880  # of an average update


@dataclass
class Simulated:
    """A run on a made-up clock."""

    used: float
    """Of the deadline: 1 is on time."""
    steps: int
    evaluations: int
    fractions: list[float]
    """Before each update and after the last."""
    positions: list[float]


def simulate(
    minutes=5.0,
    planned=100_000,
    every=400,
    update=0.2,
    evaluation=8.0,
    test=20.0,
    saving=6.0,
    noise=0.3,
    slowness=lambda _: 1.0,
    first=3.0,
    pauses=0.0,
    seed=0,
    **forecast,
):
    """Updates of very different lengths take `update` seconds on average; the test's pass and saving follow the loop."""
    rng, now = random.Random(seed), [1000.0]
    seconds = math.inf if minutes is None else 60 * minutes
    estimates = {"evaluation_updates": evaluation / update, "mean_tokens": TOKENS, **forecast}
    deadline = Deadline(seconds, reserve_seconds=saving, reserve_evaluations=test / evaluation, **estimates)
    pace = Pace(planned, every=every, deadline=deadline, clock=lambda: now[0])

    def spend(seconds):
        now[0] += seconds * slowness(now[0] - 1000)

    fractions, positions, evaluations = [], [], 0
    while not pace.done:
        fractions.append(pace.fraction)
        positions.append(pace.position)
        tokens = TOKENS * rng.uniform(0.5, 1.5)
        lasted = update * tokens / TOKENS * math.exp(rng.gauss(0, noise) - noise**2 / 2)
        lasted *= 50 if rng.random() < pauses else 1
        spend(lasted + (first if pace.step == 0 else 0))
        pace.note_update(tokens)
        if pace.evaluates:
            evaluations += 1
            spend(evaluation)
            pace.note_evaluation()
    spend(test + saving)
    used = (now[0] - 1000) / (1 if minutes is None else seconds or 1)
    return Simulated(used, pace.step, evaluations, [*fractions, pace.fraction], [*positions, pace.position])


# ----------------------------------------------------------------------------------------------------------- on time

CLOCKS = {
    "an even machine": {},
    "twice as slow from half way": {"slowness": lambda second: 2.0 if second > 150 else 1.0},
    "twice as fast from half way": {"slowness": lambda second: 0.5 if second > 150 else 1.0},
    "a machine that comes and goes": {"slowness": lambda second: 1.5 + 0.5 * math.sin(second / 20)},
    "very noisy updates": {"noise": 0.8},
    "pauses": {"pauses": 0.004},
    "a first update of a minute": {"first": 60.0},
    "evaluations that take a third": {"every": 50, "evaluation": 6.0},
    "one evaluation, at the end": {"every": None},
    "few slow updates": {"update": 5.0, "every": None, "noise": 0.1},
    "a forecast ten times too slow": {"update_seconds": 2.0},
    "a forecast ten times too fast": {"update_seconds": 0.02},
}


@pytest.mark.parametrize("clock", CLOCKS.values(), ids=CLOCKS.keys())
def test_a_run_ends_within_a_tenth_of_its_minutes_and_its_schedule_at_one_after_small_steps(clock):
    for seed in range(3):
        run = simulate(**clock, seed=seed)
        assert 0.9 < run.used < 1.1, run.used
        assert run.steps > 15
        assert run.fractions[0] == 0
        assert run.fractions[-1] == 1
        assert all(before <= after for before, after in pairwise(run.fractions))
        assert run.fractions[-2] > 1 - max(0.04, 1.5 / run.steps), "the rate came down before time ran out"


def test_an_even_machine_ends_within_three_percent_and_not_late():
    used = [simulate(seed=seed).used for seed in range(5)]
    assert min(used) > 0.96
    assert max(used) <= 1.0


def test_a_machine_that_gets_slower_makes_fewer_updates_and_one_that_gets_faster_more():
    even, slow, fast = (simulate(**CLOCKS[name]).steps for name in list(CLOCKS)[:3])
    assert slow < 0.8 * even < even < 0.8 * fast


def test_a_slow_end_of_which_no_update_gives_warning_is_late_by_what_scoring_takes_longer():
    run = simulate(slowness=lambda second: 2.0 if second > 250 else 1.0)
    assert run.used < 1.0 + (20 + 6 + 8) / 300


def test_the_probe_tells_what_scoring_takes_where_the_forecast_was_wrong():
    now = [0.0]
    pace = Pace(10_000, deadline=Deadline(100, evaluation_updates=1, reserve_evaluations=1), clock=lambda: now[0])
    for _ in range(3):
        now[0] += 0.1
        pace.note_update(TOKENS)
    before = pace.total
    now[0] += 1.0
    pace.note_probe(share=0.05)  # 20 seconds each for validation and test
    assert before - pace.total == pytest.approx((1 + 2 * 20) / 0.1, rel=0.02)


# ------------------------------------------------------------------------------------------------------- enough time


@given(st.integers(1, 400), st.integers(1, 50) | st.none(), st.floats(0.001, 10))
def test_without_a_deadline_the_recipe_is_followed_to_the_letter(planned, every, update):
    run = simulate(minutes=None, planned=planned, every=every, update=update)
    assert run.steps == planned
    assert run.positions == list(range(planned + 1))
    assert run.fractions == [step / planned for step in range(planned + 1)]
    assert run.evaluations == (planned // every + (planned % every != 0) if every else 1)


def test_a_deadline_with_time_to_spare_changes_nothing():
    assert simulate(planned=300, update_seconds=0.2).positions == list(range(301))


SCHEDULES = ("linear", "cosine", "polynomial", "constant")


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_schedule_read_at_the_position_is_the_recipes_where_no_update_is_cut(schedule):
    spec = TrainSpec(schedule=schedule, warmup=0.1)
    run = simulate(minutes=None, planned=50)
    assert [schedule_factor(position, total=50, spec=spec) for position in run.positions] == [
        schedule_factor(step, total=50, spec=spec) for step in range(51)
    ]


@pytest.mark.parametrize("schedule", SCHEDULES[:3])
def test_a_cut_schedule_warms_up_and_comes_down_to_nearly_nothing(schedule):
    spec = TrainSpec(schedule=schedule, warmup=0.1)
    run = simulate()
    factors = [schedule_factor(position, total=100_000, spec=spec) for position in run.positions]
    peak = factors.index(max(factors))
    assert 0.05 < run.fractions[peak] < 0.15
    assert max(factors) > 0.95
    assert factors[-2] < 0.05
    assert factors[-1] == pytest.approx(0, abs=1e-9)


# --------------------------------------------------------------------------------------------------- too little time


@pytest.mark.parametrize("minutes", [0.0, 0.001, 0.3])
def test_an_update_or_two_are_made_however_little_time_there_is(minutes):
    run = simulate(minutes=minutes, test=30.0)
    assert run.steps in (1, 2)  # the first tells nothing but whether time is over
    assert run.evaluations == 1
    assert run.fractions[-1] == 1


def test_time_that_runs_out_at_once_still_brings_the_rate_down_in_a_few_updates():
    run = simulate(slowness=lambda second: 1000.0 if 150 < second < 151 else 1.0, noise=0.0)
    assert run.fractions[-1] == 1
    late = [after - before for before, after in pairwise(run.fractions)][-5:]
    assert max(late) < 0.2, "no single leap to the end"


# ------------------------------------------------------------------------------------------------------------- resumed


def test_a_resumed_run_goes_on_in_its_schedule():
    now = [0.0]
    pace = Pace(1000, deadline=Deadline(30, update_seconds=0.1), clock=lambda: now[0])
    pace.resume(200, 0.5)
    assert pace.fraction == 0.5
    assert pace.position == 500
    assert 450 < pace.total < 500
    now[0] += 0.1
    pace.note_update(TOKENS)
    assert 0.5 < pace.fraction < 0.502


def test_a_resumed_run_that_was_not_cut_keeps_its_positions():
    pace = Pace(100)
    pace.resume(40, 0.4)
    assert (pace.position, pace.total, pace.fraction) == (40, 100, 0.4)


def test_processes_settle_on_one_count():
    heard = []
    deadline = Deadline(30, update_seconds=0.1)
    pace = Pace(1000, deadline=deadline, agree=lambda total: heard.append(total) or 120, clock=lambda: 0.0)
    assert pace.total == 120
    assert heard[0] > 250


# ---------------------------------------------------------------------------------------------------------- arithmetic


@settings(deadline=None)
@given(
    st.floats(1, 200),
    st.lists(st.tuples(st.floats(1, 5000), st.floats(0.001, 20)), min_size=1, max_size=80),
    st.integers(1, 60),
    st.integers(1, 20) | st.none(),
)
def test_whatever_the_clock_says_progress_rises_to_one_and_no_more_updates_than_planned_are_made(
    deadline, updates, planned, every
):
    now = [0.0]
    pace = Pace(planned, deadline=Deadline(deadline), every=every, clock=lambda: now[0])
    before = pace.fraction
    for tokens, seconds in updates:
        if pace.done:
            break
        now[0] += seconds
        pace.note_update(tokens)
        assert before <= pace.fraction <= 1
        assert 1 <= pace.total <= planned
        assert pace.done == (pace.fraction == 1)
        before = pace.fraction
        if pace.evaluates:
            now[0] += seconds
            pace.note_evaluation()
            assert before <= pace.fraction <= 1
            before = pace.fraction
    assert pace.step <= planned
