"""How many updates and evaluations a recipe asks for, and how many of them a time is enough for."""

from __future__ import annotations

import math
from bisect import bisect_right

from rankwise.recipe.train import TrainSpec


def steps_per_epoch(rows: int, spec: TrainSpec) -> int:
    return math.ceil(rows / spec.batch_size)


def planned_steps(rows: int, spec: TrainSpec) -> int:
    """Updates that the recipe asks for."""
    steps = max(1, math.ceil(spec.epochs * steps_per_epoch(rows, spec)))
    return min(steps, spec.max_steps) if spec.max_steps else steps


def evaluation_interval(rows: int, spec: TrainSpec) -> int | None:
    """Updates from one evaluation to the next; None where only the last update is followed by one."""
    if spec.evaluate_every == "end":
        return None
    if spec.evaluate_every == "epoch":
        return max(1, steps_per_epoch(rows, spec))
    if spec.evaluate_every < 1:
        return max(1, round(spec.evaluate_every * planned_steps(rows, spec)))
    return int(spec.evaluate_every)


def evaluations(steps: int, every: int | None, *, done: int = 0) -> int:
    """Evaluations after the updates from `done` + 1 to `steps`, the last of which is always followed by one."""
    if steps <= done:
        return 0
    if every is None:
        return 1
    return steps // every - done // every + (steps % every != 0)


def affordable_steps(
    seconds: float, update_seconds: float, evaluation_seconds: float, *, every: int | None, most: int, done: int = 0
) -> int:
    """The last update, of at most `most`, that `seconds` are enough for, evaluations included, after `done` of them.

    The least is `done`: no further update.
    """

    def cost(step: int) -> float:
        return (step - done) * update_seconds + evaluations(step, every, done=done) * evaluation_seconds

    return done + bisect_right(range(done, max(done, most) + 1), seconds, lo=1, key=cost) - 1
