"""How long the parts of a run take, and how many updates a budget of minutes is enough for.

Seconds are operations over the machine's measured speed times a utilisation. The constants were measured on two shared cores
of an AMD EPYC with AVX-512, MiniLM on AG News; `benchmarks/memory.py` prints predicted and actual seconds, to re-tune them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from rankwise.errors import OverTime
from rankwise.planning.memory import BASELINE_FEW, BASELINE_MOST
from rankwise.planning.operations import Operations
from rankwise.planning.plan import Plan
from rankwise.planning.workload import Work
from rankwise.recipe import Recipe
from rankwise.recipe.steps import affordable_steps, evaluation_interval, evaluations, planned_steps

TRAINING_UTILISATION = 0.85  # of the measured fp32 matrix-product speed, on real tokens
INFERENCE_UTILISATION = 0.85
BF16_GAIN = 1.5  # over fp32, where the hardware multiplies bf16
UPDATE_SECONDS = 0.008  # of an update beside its products: collating, clipping, the optimiser's many small tensors
OPTIMIZER_SECONDS_PER_WEIGHT = 6e-9  # Adam reads and writes about 28 bytes for each trained weight
START_SECONDS = 6.0  # importing the libraries, loading the encoder and the tokenizer
END_SECONDS = 4.0  # intervals, saving, loading the folder again and comparing
BASELINE_SECONDS_PER_TOKEN = 20e-6  # TF-IDF with word pairs and logistic regression
BASELINE_SECONDS_PER_TOKEN_FEW = 60e-6  # ... where rows are so few that pairs that come once are kept
TOKENIZE_SECONDS_PER_TOKEN = 5e-6

LEAST_UPDATES = 10  # fewer teach nothing
REFUSED_FROM = 1.25  # times the budget that the least run is predicted to take: below, the prediction may be what is wrong


@dataclass(frozen=True)
class Seconds:
    """How long the parts of a run take."""

    start: float
    """Before the first update: imports, loading, tokenising, baselines, filling the cache."""
    update: float
    evaluation: float
    """Of one pass over the validation texts."""
    end: float
    """After the last evaluation: the test texts, intervals, saving, checking."""
    test: float
    """The part of `end` that is the pass over the test texts."""

    def whole(self, steps: int, passes: int) -> float:
        """Of a run with so many updates and evaluations."""
        return self.start + steps * self.update + passes * self.evaluation + self.end


def seconds_of(plan: Plan, recipe: Recipe, work: Work, computed: Operations, *, gflops: float, bf16: bool) -> Seconds:
    """The parts of a run on a machine with `gflops` of fp32 matrix-product speed."""
    speed = max(gflops, 1e-3) * 1e9 * (BF16_GAIN if bf16 else 1.0)
    training, inference = speed * TRAINING_UTILISATION, speed * INFERENCE_UTILISATION
    tokens = work.train_tokens + work.validation_tokens + work.test_tokens
    start = START_SECONDS + TOKENIZE_SECONDS_PER_TOKEN * tokens + computed.caching / inference
    trained = plan.ledger.trainable_parameters
    test = computed.test / inference
    return Seconds(
        start=start + (_baseline_seconds(work) if recipe.evaluate.baselines else 0.0),
        update=computed.update / training + UPDATE_SECONDS + OPTIMIZER_SECONDS_PER_WEIGHT * trained,
        evaluation=computed.evaluation / inference,
        end=END_SECONDS + test,
        test=test,
    )


def steps_in(minutes: float | None, recipe: Recipe, rows: int, seconds: Seconds) -> int:
    """The updates that `minutes` are enough for, of those that the recipe asks for on `rows` training texts.

    Raises OverTime where a run of LEAST_UPDATES is predicted to take much longer.
    """
    planned, every = planned_steps(rows, recipe.train), evaluation_interval(rows, recipe.train)
    if minutes is None:
        return planned
    left = 60 * minutes - seconds.start - seconds.end
    steps = affordable_steps(left, seconds.update, seconds.evaluation, every=every, most=planned)
    least = min(planned, LEAST_UPDATES)
    needed = seconds.whole(least, evaluations(least, every))
    if steps < least and needed > REFUSED_FROM * 60 * minutes:
        raise OverTime(
            f"budget.minutes is {minutes:g}, but starting, {least} updates, scoring and saving are predicted to take "
            f"{duration(needed)}; type --minutes {math.ceil(needed / 6) / 10:g}, or fewer rows to score: "
            "--set data.split.validation=N --set data.test_rows=N"
        )
    return max(steps, least)


def duration(seconds: float) -> str:
    """In the unit that a person would take: 40 s, 12 min, 3.4 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _baseline_seconds(work: Work) -> float:
    per_token = BASELINE_SECONDS_PER_TOKEN_FEW if work.train_rows <= BASELINE_FEW else BASELINE_SECONDS_PER_TOKEN
    return per_token * work.mean_tokens * min(work.train_rows, BASELINE_MOST)
