"""What a run will cost: seconds, peak memory, operations and cache, from a plan, a recipe and the lengths of the texts.

Seconds are operations over the machine's measured speed times a utilisation; operations count a multiplication and an
addition as two. The constants were measured on two shared cores of an AMD EPYC with AVX-512, MiniLM on AG News;
`benchmarks/memory.py` prints predicted and actual seconds, to re-tune them.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from rankwise.errors import OverTime
from rankwise.planning.deployment import Deployment, answering_gflops, deployment, rows_line
from rankwise.planning.memory import GB, fit_batches, of_baselines, peak_bytes
from rankwise.planning.operations import Operations, cache_bytes, operations
from rankwise.planning.plan import Plan, rungs_of
from rankwise.planning.plan import plan as make_plan
from rankwise.planning.workload import Work
from rankwise.recipe import Recipe
from rankwise.recipe.recipe import COUNTED_WORDS
from rankwise.system.events import Event
from rankwise.system.speed import Throughput

GPU_GFLOPS = 10_000.0  # taken of a GPU that has not been measured; small encoders wait for Python there, not for products
TRAINING_UTILISATION = 0.85  # of the measured fp32 matrix-product speed, on real tokens
INFERENCE_UTILISATION = 0.85
BF16_GAIN = 1.5  # over fp32, where the hardware multiplies bf16
UPDATE_SECONDS = 0.008  # of an update beside its products: collating, clipping, the optimiser's many small tensors
OPTIMIZER_SECONDS_PER_WEIGHT = 6e-9  # Adam reads and writes about 28 bytes for each trained weight
START_SECONDS = 6.0  # importing the libraries, loading the encoder and the tokenizer
LOADING_SECONDS = 3.0  # of them, once texts are tokens: the encoder
END_SECONDS = 4.0  # intervals, saving, loading the folder again and comparing
BASELINE_SECONDS_PER_TOKEN = (1.8e-6, 0.033e-6)  # TF-IDF with word pairs; the logistic regression, for each class
BASELINE_SECONDS_PER_TOKEN_FEW = (3.0e-6, 0.057e-6)  # ... where rows are so few that pairs that come once are kept
TOKENIZE_SECONDS_PER_TOKEN = 5e-6

LEAST_UPDATES = 10  # fewer teach nothing
REFUSED_FROM = 1.25  # times the budget that the least run is predicted to take: below, the prediction may be what is wrong


@dataclass(frozen=True, kw_only=True)
class Durations:
    """How long the parts of a run take."""

    start_seconds: float
    """Before the first update: imports, loading, tokenising, baselines, filling the cache."""
    update_seconds: float
    evaluation_seconds: float
    """Of one pass over the validation texts."""
    end_seconds: float
    """After the last evaluation: the test texts, intervals, saving, checking."""
    test_seconds: float
    """The part of it that is the pass over the test texts."""

    def whole(self, steps: int, passes: int) -> float:
        """Seconds of a run with so many updates and evaluations."""
        return self.start_seconds + steps * self.update_seconds + passes * self.evaluation_seconds + self.end_seconds


@dataclass(frozen=True, kw_only=True)
class Forecast(Durations, Event, kind="forecast"):
    """What a run is expected to cost; as an event, what it was told to cost."""

    seconds: float
    """From start to saved folder, the recipe's minutes kept."""
    peak_bytes: int
    operations: float
    """Useful ones, on real tokens."""
    cache_bytes: int
    """Of the frozen layers' output on disk; 0 where there is none."""
    steps: int
    """Updates that will be made."""
    planned_steps: int
    """Updates that the recipe asks for."""
    epoch_steps: int
    """Updates in which every training text comes once."""
    epochs: float
    """In which the planned updates are made."""
    recipe_epochs: float
    """The recipe's own, which are fewer where it asks for more updates than they come to."""
    micro_batch_size: int
    evaluation_batch_size: int
    threads: int
    gflops: float
    work: Work
    gpu: bool
    minutes: float | None
    memory_gb: float | None
    memory_cuts: bool
    """Whether the rows at a time are fewer than the recipe's, to stay under that."""
    rungs: Mapping[str, float] = field(default_factory=dict)
    """Seconds that each rung of a ladder takes if it is tried; empty where the recipe has none."""

    measured: bool = False
    """Whether it comes from what the classifier itself was measured to do."""
    deployment: Deployment | None = None
    """What answering will cost."""
    max_loss: float | None = None
    """Points that 8 bits may lose; None where no budget asks for anything to be written."""

    def assembled(self, elapsed: float) -> Self:
        """The same of a run whose texts were tokens after `elapsed` seconds, however long that was predicted to take."""
        tokens = self.work.train_tokens + self.work.validation_tokens + self.work.test_tokens
        predicted = START_SECONDS - LOADING_SECONDS + TOKENIZE_SECONDS_PER_TOKEN * tokens
        return replace(self, start_seconds=self.start_seconds - predicted + elapsed)

    def tried(self, rungs: Iterable[str]) -> float:
        """Seconds of the whole run if these rungs are tried."""
        return self.start_seconds + sum(self.rungs[rung] for rung in rungs) + self.end_seconds

    def rounded(self) -> Self:
        """The same in the digits that an estimate is good for."""
        floats: dict[str, Any] = {key: round(value, 4) for key, value in vars(self).items() if isinstance(value, float)}
        return replace(self, **{**floats, "operations": float(f"{self.operations:.4g}")})

    @property
    def more_epochs(self) -> str:
        """A line on rows so few that the recipe's least updates take more epochs; empty where they don't."""
        if self.epochs <= self.recipe_epochs:
            return ""
        updates = f"{self.planned_steps:,} updates on {self.work.train_rows:,} rows"
        return f"{self.epochs:.3g} epochs instead of {self.recipe_epochs:g}, for {updates} (train.min_updates)"

    def lines(self) -> list[str]:
        """What a person reads: one line of predictions, and one for all that changes what the recipe asks for."""
        cores = "the GPU" if self.gpu else "1 core" if self.threads == 1 else f"{self.threads} cores"
        cache = f", cache {gigabytes(self.cache_bytes)}" if self.cache_bytes else ""
        costs = f"{duration(self.seconds)} on {cores}, {gigabytes(self.peak_bytes)} of memory"
        rows = f" for {self.work.train_rows:,} rows of {self.work.longest} tokens" if self.work.source == "assumed" else ""
        about = "at most, with every rung, " if len(self.rungs) > 1 else "about "
        known = "measured" if self.measured else "predicted"
        lines = [f"{known}{rows}: {about}{costs}, {_operations(self.operations)}{cache}"]
        if self.deployment is not None:
            lines.append(self.deployment.line())
            if self.deployment.bits == 8 and self.max_loss is not None:
                lines.append(rows_line(0 if self.work.folds else self.work.validation_rows, self.max_loss))
        if self.more_epochs:
            lines.append(self.more_epochs)
        if self.minutes is not None:
            part = f"about {self.steps:,} of" if self.steps < self.planned_steps else "all"
            lines.append(f"{self.minutes:g} min are enough for {part} {self.planned_steps:,} updates")
        if self.memory_gb is not None and not self.memory_cuts:
            lines.append(f"{self.memory_gb:g} GB are enough as it is")
        elif self.memory_gb is not None:
            rows = "1 row" if self.micro_batch_size == 1 else f"{self.micro_batch_size} rows"
            lines.append(
                f"to stay under {self.memory_gb:g} GB, {rows} at a time in training, {self.evaluation_batch_size} in scoring"
            )
        return list(filter(None, lines))


def forecast(
    plan: Plan,
    recipe: Recipe,
    work: Work,
    *,
    gflops: float,
    threads: int,
    bf16: bool = False,
    gpu: bool = False,
    measured: Throughput | None = None,
) -> Forecast:
    """The cost of a recipe's run at `gflops` fp32 matrix-product speed, of all `threads` or the GPU; `bf16` where used.

    What was `measured` of the classifier itself goes before that speed. On a GPU, memory is what is allocated there. A budget
    of minutes cuts the updates, one of memory the rows at a time. Raises OverTime and OverMemory where even the least is too
    much, and OverDeployment where no way to hand the run over keeps a budget.
    """
    spec, answering = recipe.train, answering_gflops() if gpu or recipe.budget.deploys else gflops
    computed = operations(plan, recipe, work)
    speed = 1e9 * max(gflops, 1e-3)
    faster = speed * (BF16_GAIN if bf16 else 1.0)
    pace = measured or Throughput(
        faster * TRAINING_UTILISATION, faster * INFERENCE_UTILISATION, speed * INFERENCE_UTILISATION, assumed=True
    )
    durations = _durations(plan, recipe, work, computed, pace)
    minutes = None if work.source == "assumed" else recipe.budget.minutes
    steps = steps_in(minutes, recipe, work.train_rows, durations)
    passes = evaluations(steps, spec.evaluation_interval(work.train_rows))
    rows, scored = fit_batches(plan, recipe, work, bf16=bf16, gpu=gpu)
    rungs: dict[str, float] = {
        rung: (1 + work.folds) * counting_seconds(work, plan.encoder.classes)
        if rung == COUNTED_WORDS
        else _rung_seconds(recipe.rung(rung, few=work.folds > 0), plan.encoder.classes, work, pace)
        for rung in rungs_of(recipe, classes=plan.encoder.classes, few=work.folds > 0, pairs=work.pairs)
    }
    seconds = durations.whole(steps, passes)
    if rungs and minutes is not None and recipe.starts_at_once and measured is None:  # later there soon is something
        saved = durations.end_seconds - (recipe.rungs[0] == COUNTED_WORDS) * durations.test_seconds  # the encoder's
        needed = durations.start_seconds + rungs[recipe.rungs[0]] + saved
        fewer = "fewer rows: --set data.rows=N --set data.test_rows=N"
        _check_least(f"the rung {recipe.rungs[0]}", needed, minutes, fewer)
    if rungs:
        whole = durations.start_seconds + sum(rungs.values()) + durations.end_seconds
        seconds = whole if minutes is None else min(whole, 60 * minutes)
    return Forecast(
        **vars(durations),
        seconds=seconds,
        rungs=rungs,
        measured=measured is not None,
        peak_bytes=peak_bytes(plan, recipe, work, rows=rows, scored=scored, bf16=bf16, gpu=gpu),
        operations=computed.caching + steps * computed.update + passes * computed.evaluation + computed.test,
        cache_bytes=cache_bytes(plan, spec, work),
        steps=steps,
        planned_steps=spec.planned_steps(work.train_rows),
        epoch_steps=spec.steps_per_epoch(work.train_rows),
        epochs=spec.passes(work.train_rows),
        recipe_epochs=spec.epochs,
        micro_batch_size=rows,
        evaluation_batch_size=scored,
        threads=threads,
        gflops=gflops,
        work=work,
        gpu=gpu,
        minutes=minutes,
        memory_gb=recipe.budget.memory_gb,
        deployment=deployment(plan, recipe.budget, window=work.longest, windows=work.windows, gflops=answering),
        max_loss=recipe.budget.max_loss if recipe.budget.deploys else None,
        memory_cuts=rows < (spec.micro_batch_size or spec.batch_size) or scored < recipe.evaluate.batch_size,
    )


def _durations(plan: Plan, recipe: Recipe, work: Work, computed: Operations, pace: Throughput) -> Durations:
    """The parts of a run."""
    tokens = work.train_tokens + work.validation_tokens + work.test_tokens
    classes = plan.encoder.classes
    baselines = recipe.evaluate.baselines * counting_seconds(work, classes)
    beside = UPDATE_SECONDS + OPTIMIZER_SECONDS_PER_WEIGHT * plan.ledger.trainable_parameters
    before = START_SECONDS + TOKENIZE_SECONDS_PER_TOKEN * tokens + baselines
    if pace.elapsed_seconds is not None:
        before = pace.elapsed_seconds
    test = computed.test / pace.testing
    return Durations(
        start_seconds=before + computed.caching / pace.inference,
        update_seconds=computed.update / pace.training + beside * pace.assumed,
        evaluation_seconds=computed.evaluation / pace.inference,
        end_seconds=END_SECONDS + test,
        test_seconds=test,
    )


def counting_seconds(work: Work, classes: int) -> float:
    """Seconds in which the words of the training texts are counted and weighed."""
    return of_baselines(work, classes, few=BASELINE_SECONDS_PER_TOKEN_FEW, many=BASELINE_SECONDS_PER_TOKEN)


def _rung_seconds(recipe: Recipe, classes: int, work: Work, pace: Throughput) -> float:
    """Seconds that trying a rung takes: of each fold, and of all rows."""
    planned, spec = make_plan(recipe, classes=classes), recipe.train
    if not work.folds:
        return _fit_seconds(planned, recipe, work, pace, fits_head=spec.max_steps == 0)
    whole = work.joined
    if spec.max_steps == 0:  # a fitted head's folds take a moment
        return _fit_seconds(planned, recipe, whole, pace, fits_head=True)
    folds = work.folds * _fit_seconds(planned, recipe, whole.fold, pace, fits_head=planned.head.start == "fitted")
    return folds + _fit_seconds(planned, recipe, whole, pace, fits_head=False)


def _fit_seconds(plan: Plan, recipe: Recipe, work: Work, pace: Throughput, *, fits_head: bool) -> float:
    """Seconds of one training: loading, the cache, passes that fit the head, updates and evaluations."""
    computed, spec = operations(plan, recipe, work), recipe.train
    found, steps = _durations(plan, recipe, work, computed, pace), spec.planned_steps(work.train_rows)
    passes = max(1, evaluations(steps, spec.evaluation_interval(work.train_rows)))
    before = pace.loading_seconds + (computed.caching + fits_head * computed.reading) / pace.inference
    refits = spec.refit_head * passes * computed.reading / pace.inference
    return before + steps * found.update_seconds + refits + passes * found.evaluation_seconds


def steps_in(minutes: float | None, recipe: Recipe, rows: int, durations: Durations) -> int:
    """The updates that `minutes` are enough for, of those that the recipe asks for on `rows` training texts.

    Raises OverTime where a run of LEAST_UPDATES is predicted to take much longer, but not where a first rung makes none.
    """
    planned, every = recipe.train.planned_steps(rows), recipe.train.evaluation_interval(rows)
    if minutes is None:
        return planned
    left = 60 * minutes - durations.start_seconds - durations.end_seconds
    steps = affordable_steps(left, durations.update_seconds, durations.evaluation_seconds, every=every, most=planned)
    least = 0 if recipe.starts_at_once else min(planned, LEAST_UPDATES)
    if steps < least:
        fewer = "fewer rows to score: --set data.split.validation=N --set data.test_rows=N"
        _check_least(f"{least} updates", durations.whole(least, evaluations(least, every)), minutes, fewer)
    return max(steps, least)


def _check_least(what: str, needed: float, minutes: float, fewer: str) -> None:
    """Raise OverTime where the least that is worth a run is predicted to take much longer than there is."""
    if needed > REFUSED_FROM * 60 * minutes:
        raise OverTime(
            f"budget.minutes is {minutes:g}, but starting, {what}, scoring and saving are predicted to take "
            f"{duration(needed)}; type --minutes {math.ceil(needed / 6) / 10:g}, or {fewer}"
        )


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


def duration(seconds: float) -> str:
    """In the unit that a person would take: 40 s, 12 min, 3.4 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def gigabytes(count: float) -> str:
    """`1.2 GB`, or `85 MB`."""
    return f"{count / GB:.1f} GB" if count >= 0.1 * GB else f"{count / 1e6:.0f} MB"


def _operations(count: float) -> str:
    if count >= 1e15:
        return f"{count / 1e15:.1f} Pflop"
    return f"{count / 1e12:.1f} Tflop" if count >= 1e12 else f"{count / 1e9:.0f} Gflop"
