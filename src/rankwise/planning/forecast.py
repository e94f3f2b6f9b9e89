"""What a run will cost: seconds, peak memory, operations and cache, from a plan, a recipe and the lengths of the texts.

Units: bytes, seconds, operations (a multiplication and an addition are two). No torch; `benchmarks/memory.py` measures what
the constants say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rankwise.planning.memory import GB, fit_evaluation_batch, fit_micro_batch, peak_bytes
from rankwise.planning.operations import cache_bytes, operations
from rankwise.planning.plan import Plan
from rankwise.planning.time import duration, seconds_of, steps_in
from rankwise.planning.workload import Work
from rankwise.recipe import Recipe
from rankwise.recipe.steps import evaluation_interval, evaluations, planned_steps, steps_per_epoch

GPU_GFLOPS = 10_000.0  # taken of a GPU that has not been measured; small encoders wait for Python there, not for products


@dataclass(frozen=True)
class Forecast:
    """What a run is expected to cost."""

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
    update_seconds: float
    evaluation_seconds: float
    """Of one pass over the validation texts."""
    start_seconds: float
    """Before the first update: imports, loading, tokenising, baselines, filling the cache."""
    end_seconds: float
    """After the last evaluation: the test texts, intervals, saving, checking."""
    test_seconds: float
    """The part of it that is the pass over the test texts."""
    micro_batch_size: int
    evaluation_batch_size: int
    threads: int
    gflops: float
    work: Work
    gpu: bool = False
    minutes: float | None = None
    memory_gb: float | None = None
    memory_cuts: bool = False
    """Whether the rows at a time are fewer than the recipe's, to stay under that."""

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, rounded to what an estimate is good for."""
        values = {key: value for key, value in vars(self).items() if key != "work"}
        rounded = {key: round(value, 4) if isinstance(value, float) else value for key, value in values.items()}
        return {**rounded, "operations": float(f"{self.operations:.4g}"), "work": dict(vars(self.work))}

    def lines(self) -> list[str]:
        """What a person reads: one line of predictions, and one for each budget that changes something."""
        cores = "the GPU" if self.gpu else "1 core" if self.threads == 1 else f"{self.threads} cores"
        cache = f", cache {_gigabytes(self.cache_bytes)}" if self.cache_bytes else ""
        costs = f"{duration(self.seconds)} on {cores}, {_gigabytes(self.peak_bytes)} of memory"
        rows = f" for {self.work.train_rows:,} rows of {self.work.longest} tokens" if self.work.source == "assumed" else ""
        lines = [f"predicted{rows}: about {costs}, {_operations(self.operations)}{cache}"]
        if self.minutes is not None and self.steps < self.planned_steps:
            lines.append(f"{self.minutes:g} min are enough for about {self.steps:,} of {self.planned_steps:,} updates")
        elif self.minutes is not None:
            lines.append(f"{self.minutes:g} min are enough for all {self.planned_steps:,} updates")
        if self.memory_gb is not None and not self.memory_cuts:
            lines.append(f"{self.memory_gb:g} GB are enough as it is")
        elif self.memory_gb is not None:
            rows = "1 row" if self.micro_batch_size == 1 else f"{self.micro_batch_size} rows"
            lines.append(
                f"to stay under {self.memory_gb:g} GB, {rows} at a time in training, {self.evaluation_batch_size} in scoring"
            )
        return lines


def forecast(
    plan: Plan, recipe: Recipe, work: Work, *, gflops: float, threads: int, bf16: bool = False, gpu: bool = False
) -> Forecast:
    """The cost of a recipe's run at `gflops` fp32 matrix-product speed on all `threads` together; `bf16` where used.

    On a GPU, `gflops` is its speed, and memory is what is allocated there.

    A budget of minutes cuts the updates, one of memory the rows at a time. Raises OverTime and OverMemory where even the
    least is too much.
    """
    spec = recipe.train
    computed = operations(plan, recipe, work)
    seconds = seconds_of(plan, recipe, work, computed, gflops=gflops, bf16=bf16)
    minutes = None if work.source == "assumed" else recipe.budget.minutes
    steps = steps_in(minutes, recipe, work.train_rows, seconds)
    passes = evaluations(steps, evaluation_interval(work.train_rows, spec))
    rows = fit_micro_batch(plan, recipe, work, bf16=bf16, gpu=gpu)
    scored = fit_evaluation_batch(plan, recipe, work, rows=rows, bf16=bf16, gpu=gpu)
    return Forecast(
        seconds=seconds.whole(steps, passes),
        peak_bytes=peak_bytes(plan, recipe, work, rows=rows, scored=scored, bf16=bf16, gpu=gpu),
        operations=computed.caching + steps * computed.update + passes * computed.evaluation + computed.test,
        cache_bytes=cache_bytes(plan, spec, work),
        steps=steps,
        planned_steps=planned_steps(work.train_rows, spec),
        epoch_steps=steps_per_epoch(work.train_rows, spec),
        update_seconds=seconds.update,
        evaluation_seconds=seconds.evaluation,
        start_seconds=seconds.start,
        end_seconds=seconds.end,
        test_seconds=seconds.test,
        micro_batch_size=rows,
        evaluation_batch_size=scored,
        threads=threads,
        gflops=gflops,
        work=work,
        gpu=gpu,
        minutes=minutes,
        memory_gb=recipe.budget.memory_gb,
        memory_cuts=rows < (spec.micro_batch_size or spec.batch_size) or scored < recipe.evaluate.batch_size,
    )


def _gigabytes(count: float) -> str:
    return f"{count / GB:.1f} GB" if count >= 0.1 * GB else f"{count / 1e6:.0f} MB"


def _operations(count: float) -> str:
    for unit, name in ((1e15, "Pflop"), (1e12, "Tflop")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count / 1e9:.0f} Gflop"
