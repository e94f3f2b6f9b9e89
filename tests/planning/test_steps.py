"""Updates and evaluations are counted as the training loop makes them, and a time is enough for as many as it says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rankwise.planning.forecast import affordable_steps, evaluations
from rankwise.recipe import TrainSpec
from rankwise.training.pace import Pace

SPECS = st.builds(
    TrainSpec,
    epochs=st.floats(0.05, 5),
    min_updates=st.none() | st.integers(1, 300),
    max_steps=st.none() | st.integers(1, 300),
    batch_size=st.integers(1, 40),
    evaluate_every=st.sampled_from(["epoch", "end"]) | st.integers(1, 50) | st.floats(0.01, 0.9),
)


@given(SPECS, st.integers(1, 400))
def test_the_loop_makes_as_many_updates_and_evaluations_as_are_counted_here(spec, rows):
    pace = Pace(spec.planned_steps(rows), every=spec.evaluation_interval(rows))
    scored = 0
    while not pace.done:
        pace.note_update(1)
        scored += pace.evaluates
    assert pace.step == spec.planned_steps(rows)
    assert scored == evaluations(pace.step, spec.evaluation_interval(rows))


@given(SPECS, st.integers(1, 400))
def test_the_least_updates_are_made_unless_the_most_are_fewer_and_rows_enough_for_them_change_nothing(spec, rows):
    steps, plain = spec.planned_steps(rows), spec.model_copy(update={"min_updates": None})
    assert steps >= min(spec.min_updates or 1, spec.max_steps or 300)
    assert spec.passes(rows) * spec.steps_per_epoch(rows) > steps - 1
    if steps == plain.planned_steps(rows):
        assert (spec.passes(rows), spec.evaluation_interval(rows)) == (plain.passes(rows), plain.evaluation_interval(rows))


def test_few_rows_come_in_more_epochs_and_are_evaluated_as_often_as_the_recipe_has_epochs():
    spec = TrainSpec(epochs=3, batch_size=16, min_updates=100)
    assert spec.planned_steps(140) == 100  # 9 updates an epoch
    assert spec.passes(140) == 100 / 9
    assert spec.evaluation_interval(140) == 34
    assert evaluations(100, 34) == 3


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
