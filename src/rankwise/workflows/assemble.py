"""Recipe + labelled tables + device → Job: the one way in which a training is put together.

A run, a trial of a sweep, a probe for `by-importance`, a benchmark and a test all start here, so they get the same set-up.
"""

import json
import os
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from accelerate import PartialState

from rankwise.data.labelled import Labelled
from rankwise.data.prepare import Prepared, prepare
from rankwise.data.shifts import shifted_tokens
from rankwise.encoders.base import Base, locate
from rankwise.errors import RecipeError
from rankwise.model.hidden_cache import HiddenStatesCache
from rankwise.model.load import load_tokenizer, longest_text, match_segments, reading_apart
from rankwise.planning.deployment import answering_gflops, deployment
from rankwise.planning.plan import Plan, plan, trained
from rankwise.planning.workload import Work
from rankwise.recipe import Recipe
from rankwise.system.cache import Cache, cache_folder
from rankwise.system.device import Device, stays_on_cpu
from rankwise.system.memory import bound_kernel_cache
from rankwise.system.torch_speed import Speed, measure_speed
from rankwise.training.job import Job, cost_of
from rankwise.workflows.forecasting import work_of

KEPT = 4  # data sets that a process keeps at hand in the tokens of an encoder

T = TypeVar("T")


@dataclass
class Memo:
    """Tokenizers and prepared data, the last few of them, for a process that trains many recipes on the same files."""

    cache: Cache | None = None
    """Where processes share the tokens of texts."""
    prepared: dict[Hashable, tuple[Any, Prepared]] = field(default_factory=dict)

    def prepare(self, recipe: Recipe, planned: Plan, base: Base, labelled: Labelled) -> tuple[Any, Prepared]:
        """The tokenizer, and the rows in its tokens. `labelled` must be what `recipe.data` names. Raises DataError."""

        def make() -> tuple[Any, Prepared]:
            tokenizer = load_tokenizer(base)
            tokenizer.padding_side = planned.encoder.traits.padding_side or tokenizer.padding_side
            if labelled.train.layout.text_pair:
                match_segments(tokenizer, planned.encoder)
            if planned.encoder.reads == "apart":
                tokenizer = reading_apart(tokenizer)
            longest = longest_text(tokenizer, planned.encoder, prefix=planned.prefix_length)
            return tokenizer, prepare(recipe.data, tokenizer, longest=longest, labelled=labelled, cache=self.cache)

        reads_apart = planned.encoder.reads == "apart"
        key = [recipe.data.model_dump(mode="json"), base.location, base.revision, planned.prefix_length, reads_apart]
        return keep(self.prepared, json.dumps(key), make)


def keep(kept: dict[Hashable, T], key: Hashable, make: Callable[[], T], *, most: int = KEPT) -> T:
    """The value of a key, made and kept where it is new; the oldest one makes room."""
    if key not in kept:
        if len(kept) >= most:
            kept.pop(next(iter(kept)))
        kept[key] = make()
    return kept[key]


def assemble(
    recipe: Recipe, labelled: Labelled, device: Device, *, memo: Memo | None = None, speed: Speed | None = None
) -> Job:
    """What a recipe comes to on these tables and this device, ready to be fitted; torch's thread count is set to it.

    The threads and the forecast go by a `speed` that is known of this run, or the machine's is measured. Raises PlanError,
    RecipeError for what the task does not have, TrainingError for arithmetic that the device lacks, ModelError, DataError,
    OverTime, OverMemory and OverDeployment.
    """
    labelled.task.check(recipe)
    recipe = trained(recipe, classes=len(labelled.classes), pairs=labelled.pairs)
    planned = plan(recipe, classes=len(labelled.classes))
    precision = device.resolve_precision(recipe.train.precision)
    if speed is None:
        speed = machine_speed(recipe, device)
    torch.set_num_threads(speed.threads)

    base = locate(recipe.base, revision=recipe.revision)
    read = _read_in_time(recipe, planned, labelled)
    tokenizer, data = (memo or Memo()).prepare(read, planned, base, labelled)
    if read is not recipe:
        most = f"{read.data.windows} windows of " * (read.data.windows > 1) + f"{data.preprocessing.max_length} tokens"
        cut = f"of a text at most {most} are read, to answer it in budget.latency_ms, {recipe.budget.latency_ms:g}"
        data = replace(data, warnings=(*labelled.warnings, cut))  # in place of what to type to read more
    if planned.encoder.reads == "apart" and not data.preprocessing.reads_pairs:
        raise RecipeError(
            "head.pooling is apart, which is for pairs, and the data has single texts; leave it out, or name the column of "
            "the second text: --set data.text_pair=COLUMN"
        )
    if not labelled.task.has_classes and len(planned.encoder.head[-1].tensors) < 2:
        raise RecipeError(
            f"the head of {planned.encoder.name} ({planned.encoder.family}) has no bias, and a number needs one; type "
            "--set head.kind=pooled"
        )
    kinds = recipe.evaluate.shifts if recipe.train.select_by == "worst_shift" else ()
    shifted = shifted_tokens(labelled.validation.texts, data.validation.tokens, kinds, tokenizer, data.preprocessing)

    work = replace(_work(data), folds=labelled.fold_count, pairs=labelled.pairs)
    return Job(
        recipe=recipe,
        labelled=labelled,
        plan=planned,
        base=base,
        tokenizer=tokenizer,
        data=data,
        shifted=tuple(shifted),
        device=device,
        precision=precision,
        speed=speed,
        forecast=cost_of(planned, recipe, work, speed=speed, precision=precision, device=device),
    )


def machine_speed(recipe: Recipe, device: Device) -> Speed:
    """What this machine computes, on the recipe's threads or the fastest number of them.

    Under a memory limit oneDNN's cache of kernels is bounded, which works only where torch has computed nothing before.
    """
    if recipe.budget.memory_gb:
        bound_kernel_cache()
    return measure_speed(recipe.train.threads, device)


def _read_in_time(recipe: Recipe, planned: Plan, labelled: Labelled) -> Recipe:
    """The recipe, with texts cut where `budget.latency_ms` asks for that."""
    spec = recipe.data
    if recipe.budget.latency_ms is None or planned.counts_words:
        return recipe
    work = work_of(recipe, planned, labelled.volume)
    speed = answering_gflops()
    read = deployment(planned, recipe.budget, window=work.longest, windows=work.windows, gflops=speed)
    cut = {"max_length": float(read.window), "windows": read.windows}
    return recipe.model_copy(update={"data": spec.model_copy(update=cut)}) if read.cuts else recipe


def _work(data: Prepared) -> Work:
    """Rows and tokens, and the longest window, which is what runs at a time."""
    splits = [split.tokens for split in (data.train, data.validation, data.test)]
    work = Work.of_tokens(*(tokens.text_lengths for tokens in splits))
    longest = max((int(tokens.lengths.max()) for tokens in splits if len(tokens)), default=1)
    windows = max((int(tokens.window_counts.max()) for tokens in splits[:1] if len(tokens)), default=1)
    return replace(work, longest=longest, windows=windows)


def training_device() -> Device:
    """The device that this process trains on, as Accelerate shares them out among the processes of one launch."""
    state = PartialState(cpu=stays_on_cpu())  # said outright: otherwise several processes on CPUs don't find each other
    return Device(state.device, processes=state.num_processes)


def shared_cache() -> HiddenStatesCache:
    """The machine's cache of frozen layers' hidden states and trials' tokens: RANKWISE_CACHE, up to RANKWISE_CACHE_GB."""
    gigabytes = os.environ.get("RANKWISE_CACHE_GB", "10")
    try:
        limit_bytes = round(float(gigabytes) * 1e9)
    except (ValueError, OverflowError):  # inf is a float and no size
        limit_bytes = -1
    if limit_bytes < 0:
        raise RecipeError(f"RANKWISE_CACHE_GB is '{gigabytes}'; expected a number of gigabytes, such as 10, or 0 for none")
    return HiddenStatesCache(cache_folder() / "prefix", limit_bytes=limit_bytes)
