"""What a run will cost: seconds, peak memory, operations and cache, from a plan, a recipe and the lengths of the texts.

A product of T tokens with a map of P weights takes 2·P·T operations. Forward reads every map once; backward makes the
gradient of each map's input, only in maps that stand above the lowest adapted one; full fine-tuning also makes the weights'
gradients, as large again. Frozen layers below are computed once per text where their output is cached. Seconds are
operations over the machine's measured speed times a utilisation; memory is a sum of named parts. Units: bytes, seconds,
operations (a multiplication and an addition are two). No torch; `benchmarks/memory.py` measures what the constants say.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rankwise.encoders.describe import Encoder
from rankwise.errors import OverTime
from rankwise.planning.memory import (
    BASELINE_FEW,
    BASELINE_MOST,
    GB,
    fit_evaluation_batch,
    fit_micro_batch,
    has_fast_path,
    peak_bytes,
)
from rankwise.planning.plan import Plan
from rankwise.planning.workload import Work
from rankwise.recipe import Recipe, TrainSpec

# --- time: constants measured on two shared cores of an AMD EPYC with AVX-512, MiniLM on AG News; re-tune with
# benchmarks/memory.py, which prints predicted and actual seconds
TRAINING_UTILISATION = 0.85  # of the measured fp32 matrix-product speed, on real tokens
INFERENCE_UTILISATION = 0.85
GPU_GFLOPS = 10_000.0  # taken of a GPU that has not been measured; small encoders wait for Python there, not for products
BF16_GAIN = 1.5  # over fp32, where the hardware multiplies bf16
UPDATE_SECONDS = 0.008  # of an update beside its products: collating, clipping, the optimiser's many small tensors
OPTIMIZER_SECONDS_PER_WEIGHT = 6e-9  # Adam reads and writes about 28 bytes for each trained weight
START_SECONDS = 6.0  # importing the libraries, loading the encoder and the tokenizer
END_SECONDS = 4.0  # intervals, saving, loading the folder again and comparing
BASELINE_SECONDS_PER_TOKEN = 20e-6  # TF-IDF with word pairs and logistic regression
BASELINE_SECONDS_PER_TOKEN_FEW = 60e-6  # ... where rows are so few that pairs that come once are kept
TOKENIZE_SECONDS_PER_TOKEN = 5e-6
SHIFT_SHARE = 0.5  # of the tokens of a split that a kind of shift changes, on average: letter case none where it is not known

LEAST_UPDATES = 10  # fewer teach nothing
REFUSED_FROM = 1.25  # times the budget that the least run is predicted to take: below, the prediction may be what is wrong

_STAGES = {"attention": 1, "attention_output": 2, "ffn_in": 3, "ffn_out": 4}  # the order in a layer; query, key, value first
_READ_BY_ALL = ("key", "value")  # in the last layer, what the first token attends to


@dataclass(frozen=True)
class Operations:
    """Operations of one pass over one token or row, and what depends on nothing but the plan."""

    prefix_token: float
    """Forward through the layers whose output is cached; 0 where none is."""
    forward_token: float
    """Forward through the other layers."""
    forward_row: float
    """Forward of what is computed for the first token of a text only."""
    backward_token: float
    backward_row: float


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
        found = {key: value for key, value in vars(self).items() if key != "work"}
        rounded = {key: round(value, 4) if isinstance(value, float) else value for key, value in found.items()}
        return {**rounded, "operations": float(f"{self.operations:.4g}"), "work": dict(vars(self.work))}

    def lines(self) -> list[str]:
        """What a person reads: one line of predictions, and one for each budget that changes something."""
        cores = "the GPU" if self.gpu else "1 core" if self.threads == 1 else f"{self.threads} cores"
        cache = f", cache {_gigabytes(self.cache_bytes)}" if self.cache_bytes else ""
        costs = f"{_duration(self.seconds)} on {cores}, {_gigabytes(self.peak_bytes)} of memory"
        rows = f" for {self.work.train_rows:,} rows of {self.work.longest} tokens" if self.work.source == "assumed" else ""
        found = [f"predicted{rows}: about {costs}, {_operations(self.operations)}{cache}"]
        if self.minutes is not None and self.steps < self.planned_steps:
            found.append(f"{self.minutes:g} min are enough for about {self.steps:,} of {self.planned_steps:,} updates")
        elif self.minutes is not None:
            found.append(f"{self.minutes:g} min are enough for all {self.planned_steps:,} updates")
        if self.memory_gb is not None and not self.memory_cuts:
            found.append(f"{self.memory_gb:g} GB are enough as it is")
        elif self.memory_gb is not None:
            rows = "1 row" if self.micro_batch_size == 1 else f"{self.micro_batch_size} rows"
            found.append(
                f"to stay under {self.memory_gb:g} GB, {rows} at a time in training, {self.evaluation_batch_size} in scoring"
            )
        return found


def forecast(
    plan: Plan, recipe: Recipe, work: Work, *, gflops: float, threads: int, bf16: bool = False, gpu: bool = False
) -> Forecast:
    """The cost of a recipe's run at `gflops` fp32 matrix-product speed on all `threads` together; `bf16` where used.

    On a GPU, `gflops` is its speed, and memory is what is allocated there.

    A budget of minutes cuts the updates, one of memory the rows at a time. Raises OverTime and OverMemory where even the
    least is too much.
    """
    spec = recipe.train
    each = operations(plan, spec, mean_tokens=work.mean_tokens)
    speed = max(gflops, 1e-3) * 1e9 * (BF16_GAIN if bf16 else 1.0)
    training_speed, inference_speed = speed * TRAINING_UTILISATION, speed * INFERENCE_UTILISATION

    planned = planned_steps(work.train_rows, spec)
    share = 1 / max(1, steps_per_epoch(work.train_rows, spec))  # of an epoch in one update
    forward = each.forward_token * work.train_tokens + each.forward_row * work.train_rows
    backward = each.backward_token * work.train_tokens + each.backward_row * work.train_rows
    update = (forward + backward) * share
    evaluation = each.forward_token * work.validation_tokens + each.forward_row * work.validation_rows
    if spec.select_by == "worst_shift":  # shifted texts run through every layer, for none of theirs is cached
        shifts = SHIFT_SHARE * len(recipe.evaluate.shifts)
        evaluation += shifts * (each.prefix_token * work.validation_tokens + evaluation)
    prefix = each.prefix_token * (work.train_tokens + work.validation_tokens)
    test = (each.prefix_token + each.forward_token) * work.test_tokens + each.forward_row * work.test_rows

    trained = plan.ledger.trainable_parameters
    update_seconds = update / training_speed + UPDATE_SECONDS + OPTIMIZER_SECONDS_PER_WEIGHT * trained
    evaluation_seconds = evaluation / inference_speed
    tokens = work.train_tokens + work.validation_tokens + work.test_tokens
    start_seconds = START_SECONDS + TOKENIZE_SECONDS_PER_TOKEN * tokens + prefix / inference_speed
    start_seconds += _baseline_seconds(work) if recipe.evaluate.baselines else 0.0
    end_seconds = END_SECONDS + test / inference_speed

    every = evaluation_interval(work.train_rows, spec)
    steps = planned
    minutes = None if work.source == "assumed" else recipe.budget.minutes
    if minutes is not None:
        left = 60 * minutes - start_seconds - end_seconds
        least = min(planned, LEAST_UPDATES)
        steps = affordable_steps(left, update_seconds, evaluation_seconds, every=every, most=planned)
        needed = start_seconds + end_seconds + least * update_seconds + evaluations(least, every) * evaluation_seconds
        if steps < least and needed > REFUSED_FROM * 60 * minutes:
            raise OverTime(_too_short(minutes, needed, least))
        steps = max(steps, least)
    passes = evaluations(steps, every)
    seconds = start_seconds + steps * update_seconds + passes * evaluation_seconds + end_seconds
    rows = fit_micro_batch(plan, recipe, work, bf16=bf16, gpu=gpu)
    scored = fit_evaluation_batch(plan, recipe, work, rows=rows, bf16=bf16, gpu=gpu)
    return Forecast(
        seconds=seconds,
        peak_bytes=peak_bytes(plan, recipe, work, rows=rows, scored=scored, bf16=bf16, gpu=gpu),
        operations=prefix + steps * update + passes * evaluation + test,
        cache_bytes=cache_bytes(plan, spec, work),
        steps=steps,
        planned_steps=planned,
        epoch_steps=steps_per_epoch(work.train_rows, spec),
        update_seconds=update_seconds,
        evaluation_seconds=evaluation_seconds,
        start_seconds=start_seconds,
        end_seconds=end_seconds,
        test_seconds=test / inference_speed,
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


# ---------------------------------------------------------------------------------------------------------- operations


def operations(plan: Plan, spec: TrainSpec, *, mean_tokens: float) -> Operations:
    """Operations for one token and for one row. Attention's products, 4·H·T for a token of a text of T, are counted."""
    encoder, cached = plan.encoder, cached_layers(plan, spec)
    first_only = has_fast_path(plan) and spec.speed.first_token
    lowest, repeats = _lowest(plan), encoder.layer_runs
    seen = mean_tokens + plan.prefix_length
    attention = 2 * encoder.hidden * seen  # two products for each token, of H weights for each token that it sees
    sums: defaultdict[str, float] = defaultdict(float)
    for layer in range(encoder.layers):
        for kind, weights in (*_maps(encoder, layer), ("attention", attention)):
            forward = 2.0 * weights * repeats
            on_row = first_only and layer == encoder.layers - 1 and kind not in _READ_BY_ALL
            if layer < cached:
                sums["prefix"] += forward / mean_tokens if on_row else forward
                continue
            needs_inputs = (layer, _STAGES.get(kind, 0)) > lowest or (repeats > 1 and layer >= lowest[0])
            products = needs_inputs * (2 if kind == "attention" else 1)  # both factors of attention's products vary
            products += plan.method.trains_weights and kind != "attention"
            sums["forward row" if on_row else "forward token"] += forward
            sums["backward row" if on_row else "backward token"] += forward * products
    # folded into the weights going forward; four products going back
    sums["backward token"] += 4.0 * plan.ledger.section("adapter") * repeats
    return Operations(
        prefix_token=sums["prefix"],
        forward_token=sums["forward token"],
        forward_row=sums["forward row"],
        backward_token=sums["backward token"],
        backward_row=sums["backward row"],
    )


def cached_layers(plan: Plan, spec: TrainSpec) -> int:
    """How many layers from the input have their output cached: those below the lowest adapted one, where it pays."""
    below = plan.lowest_layer
    constant = spec.encoder_dropout != "keep" or not plan.encoder.has_dropout
    pays = spec.prefix_cache == "auto" and spec.epochs > 1.5  # writing and reading back costs about half a pass
    return below if has_fast_path(plan) and constant and pays else 0


def cache_bytes(plan: Plan, spec: TrainSpec, work: Work) -> int:
    """fp16 numbers of every training and validation token, or of every text where no layer is left to run."""
    cached = cached_layers(plan, spec)
    if cached == 0:
        return 0
    whole = cached == plan.encoder.layers
    held = work.train_rows + work.validation_rows if whole else work.train_tokens + work.validation_tokens
    return round(held * plan.encoder.hidden * 2)


# --------------------------------------------------------------------------------------------------------------- steps


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
    low, high = done, max(done, most)
    while low < high:
        middle = (low + high + 1) // 2
        cost = (middle - done) * update_seconds + evaluations(middle, every, done=done) * evaluation_seconds
        if cost <= seconds:
            low = middle
        else:
            high = middle - 1
    return low


# ------------------------------------------------------------------------------------------------- the encoder, words


def _maps(encoder: Encoder, layer: int) -> Iterator[tuple[str, int]]:
    """(kind, weights) of each matrix of a layer; matrices that take no adapter, such as XLNet's attention, have no kind."""
    for part in encoder.body:
        if part.layer == layer:
            for _, shape in part.tensors:
                if len(shape) >= 2:
                    yield (part.site.kind if part.site else ""), math.prod(shape)


def _lowest(plan: Plan) -> tuple[int, int]:
    """(layer, stage in it) of the lowest map that owns a trained parameter; (-1, 0) where what enters layer 0 trains."""
    if plan.lowest_layer >= plan.encoder.layers:
        return plan.encoder.layers, 0
    if plan.trains_embeddings:
        return -1, 0
    return min((site.layer, _STAGES.get(site.kind, 0)) for site in plan.sites)


def _baseline_seconds(work: Work) -> float:
    each = BASELINE_SECONDS_PER_TOKEN_FEW if work.train_rows <= BASELINE_FEW else BASELINE_SECONDS_PER_TOKEN
    return each * work.mean_tokens * min(work.train_rows, BASELINE_MOST)


def _too_short(minutes: float, needed: float, least: int) -> str:
    return (
        f"budget.minutes is {minutes:g}, but starting, {least} updates, scoring and saving are predicted to take "
        f"{_duration(needed)}; type --minutes {math.ceil(needed / 6) / 10:g}, or fewer rows to score: "
        "--set data.split.validation=N --set data.test_rows=N"
    )


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _gigabytes(count: float) -> str:
    return f"{count / GB:.1f} GB" if count >= 0.1 * GB else f"{count / 1e6:.0f} MB"


def _operations(count: float) -> str:
    for unit, name in ((1e15, "Pflop"), (1e12, "Tflop")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count / 1e9:.0f} Gflop"
