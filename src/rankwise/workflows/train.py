"""From a recipe to a run folder, straight down the page: read, plan, prepare, build, fit, evaluate, save.

Whoever reads one file reads this one. Nothing here prints; listeners hear the events.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import ProjectConfiguration, broadcast_object_list
from numpy.typing import NDArray

from rankwise.data.audit import audit
from rankwise.data.batches import Padding
from rankwise.data.files.table import Table, table_of
from rankwise.data.labelled import Labelled, read_labelled, split_tables
from rankwise.data.prepare import Prepared, Split, prepare
from rankwise.data.shifts import shifted_tokens
from rankwise.data.tasks import SingleLabel
from rankwise.data.tokens import tokenize
from rankwise.errors import RecipeError, RunError, require
from rankwise.inference.baselines import baselines, fitted_baselines
from rankwise.inference.evaluation import Evaluation
from rankwise.model.adapters import Classifier, build
from rankwise.model.hidden_cache import HiddenStatesCache
from rankwise.model.load import check_match, load_tokenizer, locate, longest_text
from rankwise.planning.forecast import Forecast, forecast
from rankwise.planning.plan import Plan
from rankwise.planning.plan import plan as make_plan
from rankwise.planning.workload import Work
from rankwise.recipe import Recipe
from rankwise.run.card import model_card
from rankwise.run.finished import MANIFEST
from rankwise.run.folder import DRAFT, PROBE_ROWS, STARTED, Run, ScoredRows, portable, save, write_json
from rankwise.stats.scores import score
from rankwise.system.cache import cache_folder
from rankwise.system.cores import default_threads, usable_cores
from rankwise.system.device import resolve_precision, stays_on_cpu
from rankwise.system.events import (
    AlreadyComplete,
    CostPredicted,
    DataPrepared,
    Evaluated,
    Event,
    EventFile,
    Events,
    Listener,
    MachineMeasured,
    PlanMade,
    RunScored,
    UpdateLogged,
)
from rankwise.system.files import make_folder
from rankwise.system.memory import bound_kernel_cache, forget_peak, peak_resident_bytes
from rankwise.system.speed import fastest_threads
from rankwise.system.torch_speed import gflops
from rankwise.training.checkpoint import Checkpoints
from rankwise.training.loop import Fitted, fit
from rankwise.training.validation import Validation
from rankwise.workflows import by_importance as importance


def train(  # noqa: PLR0915 - straight down one page
    recipe: Recipe | str | Path,
    out: str | Path | None = None,
    *,
    overrides: Iterable[str] = (),
    texts: Sequence[str] | None = None,
    labels: Sequence[str | int] | None = None,
    labelled: Labelled | None = None,
    listeners: Iterable[Listener] = (),
    resume: bool = False,
    overwrite: bool = False,
    started: float | None = None,
) -> Run:
    """Train a recipe (or a built-in name, or a YAML file) and return its finished run.

    `out` is the run folder; the next free `runs/NAME` when left out. A folder with something in it is refused unless
    `resume` (go on where it stopped; a finished run is returned as it is) or `overwrite`. `texts` and `labels` train on
    Python lists instead of the recipe's files; `labelled` are the recipe's files, where the caller has read them already.
    `listeners` are called with each event. Raises a RankwiseError that says what to change: nothing is downloaded or
    trained before recipe, data and budget are found in order.
    """
    started = time.monotonic() if started is None else started
    recipe = recipe.with_overrides(overrides) if isinstance(recipe, Recipe) else Recipe.load(recipe, overrides)
    on_cpu = stays_on_cpu()
    _forget_peaks()
    state = PartialState(cpu=on_cpu)  # told outright: otherwise several processes on CPUs don't find each other
    if recipe.budget.memory_gb:
        bound_kernel_cache()
    threads, measured = _choose_threads(recipe, state)

    if texts is not None:  # the run's recipe names no files, for none were read
        given = recipe.data.model_copy(update=dict.fromkeys(("source", "train", "validation", "test")))
        recipe = recipe.model_copy(update={"data": given})
    if labelled is None:
        labelled = read_labelled(recipe.data) if texts is None else split_tables(recipe.data, table_of(texts, labels))
    data_sha256 = digest(labelled)
    recipe = importance.with_scores(recipe, labelled, data_sha256=data_sha256, device=state.device)
    plan = make_plan(recipe, classes=len(labelled.classes))
    precision = resolve_precision(recipe.train.precision, state.device)
    for tracker in recipe.train.trackers:
        require(tracker, extra=tracker)
    folder, finished = _opened(recipe, out, data_sha256, state, resume=resume, overwrite=overwrite)
    if finished is not None:
        Events(*listeners if state.is_main_process else ()).emit(AlreadyComplete(folder=str(folder)))
        return finished

    trackers = ProjectConfiguration(str(folder), logging_dir=str(folder / "trackers"))
    accelerator = Accelerator(cpu=on_cpu, log_with=list(recipe.train.trackers) or None, project_config=trackers)
    with ExitStack() as open_files:
        heard: list[Listener] = []  # of several processes only the main one tells, writes and saves
        if accelerator.is_main_process:
            heard = [open_files.enter_context(EventFile(folder / "events.jsonl")), *listeners]
        events = Events(*heard, *_tracking(accelerator, recipe))
        events.emit(_plan_made(recipe, plan, labelled.classes))
        events.emit(
            MachineMeasured(threads=threads, gflops=measured, precision=precision, processes=accelerator.num_processes)
        )

        base = locate(recipe.base, revision=recipe.revision)
        tokenizer = load_tokenizer(base)
        longest = longest_text(tokenizer, plan.encoder, prefix=plan.prefix_length)
        data = prepare(recipe.data, tokenizer, longest=longest, labelled=labelled)
        warnings = _warnings(labelled, data)
        longest = data.preprocessing.max_length
        events.emit(DataPrepared(**_sizes(data), max_length=longest, notes=tuple(data.notes), warnings=warnings))

        cost = _forecast(plan, recipe, data, measured.get(threads), threads, precision, accelerator.device)
        events.emit(CostPredicted(**cost.as_dict()))
        wanted = recipe.evaluate.baselines and accelerator.is_main_process
        beside = fitted_baselines(data) if wanted else {}  # before training, whose time is what they leave

        by_shift = recipe.train.select_by == "worst_shift"
        shifted = shifted_tokens(
            labelled.validation.texts,
            data.validation.tokens,
            recipe.evaluate.shifts if by_shift else (),
            tokenizer,
            data.preprocessing,
        )

        classifier = build(base, plan, data.classes, seed=recipe.train.seed)
        check_match(tokenizer, classifier.model, recipe.base)
        checkpoints = Checkpoints(
            folder / "checkpoints",
            keep=recipe.train.keep,
            fingerprint=f"{recipe.with_paths(_last_part).fingerprint}:{data_sha256}",
        )
        fitted = fit(
            classifier,
            data,
            recipe.train,
            padding=Padding.of(tokenizer),
            checkpoints=checkpoints,
            accelerator=accelerator,
            events=events,
            scoring=recipe.evaluate,
            shifted=shifted,
            resume=resume,
            cache=shared_cache(),
            cost=cost,
            ends_at=started + 60 * recipe.budget.minutes if recipe.budget.minutes else None,
        )

        scoring = recipe.evaluate.model_copy(update={"batch_size": cost.evaluation_batch_size})
        scorer = Validation(classifier, Padding.of(tokenizer), scoring.batch_size, accelerator=accelerator)
        test = scorer.evaluate(data.test, scoring)  # the only time the test split is scored, in fp32
        scores = _final_scores(test, data, recipe, fitted, labelled, beside)
        events.emit(RunScored(accuracy=test.scores.accuracy, macro_f1=test.scores.macro_f1, log_loss=test.scores.log_loss))
        classifier.model.to("cpu")  # where the saved folder is loaded again and compared, bit by bit

    facts = {
        "data_sha256": data_sha256,
        "trained_parameters": {"planned": plan.ledger.trainable_parameters, "counted": _counted(classifier)},
        **({"ranks": classifier.live_ranks()} if plan.method.prunes_ranks else {}),
        "best": fitted.best,
        "steps": fitted.steps,
        "stopped_early": fitted.stopped_early,
        "seconds": {
            "training": round(fitted.seconds, 2),
            "all": round(fitted.earlier_seconds + time.monotonic() - started, 2),
        },
        "promised": {"seconds": round(cost.seconds, 1), "peak_bytes": cost.peak_bytes, "updates": cost.steps},
        "actual": {"peak_bytes": _peak_bytes(accelerator.device)},
        "rows": _sizes(data),
        "token_lengths": asdict(data.lengths),
        "threads": threads,
        "precision": precision,
        "processes": accelerator.num_processes,
        "device": str(accelerator.device),
        "notes": [*data.notes, *warnings],
    }
    if accelerator.is_main_process:
        save(
            folder,
            recipe=recipe,
            base=base,
            classifier=classifier,
            tokenizer=tokenizer,
            preprocessing=data.preprocessing,
            scores=scores,
            facts=facts,
            card=model_card(recipe, plan, base, scores),
            probe=tokenize(tokenizer, data.validation.texts[:PROBE_ROWS], max_length=data.preprocessing.max_length),
            scored_rows=ScoredRows(data.test.rows, test.truth, test.probabilities.astype(np.float32)),
            scratch=checkpoints.folder if recipe.train.keep == 1 else None,
        )
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return Run.load(folder)


def with_scores(recipe: Recipe, labelled: Labelled | None = None) -> Recipe:
    """The recipe with the scores that `by-importance` needs to be planned, probed on its data; other recipes as they are."""
    labelled = read_labelled(recipe.data) if labelled is None else labelled
    return importance.with_scores(recipe, labelled, data_sha256=digest(labelled))


def shared_cache() -> HiddenStatesCache:
    """The machine's cache of frozen layers' outputs and trials' tokens: RANKWISE_CACHE, up to RANKWISE_CACHE_GB."""
    given = os.environ.get("RANKWISE_CACHE_GB", "10")
    try:
        limit_bytes = round(float(given) * 1e9)
    except ValueError:
        raise RecipeError(
            f"RANKWISE_CACHE_GB is '{given}'; expected a number of gigabytes, such as 10, or 0 for none"
        ) from None
    return HiddenStatesCache(cache_folder() / "prefix", limit_bytes=limit_bytes)


def _forget_peaks() -> None:
    """So that a run's peak of memory is its own, and not that of one before it in this process."""
    forget_peak()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def _choose_threads(recipe: Recipe, state: PartialState) -> tuple[int, dict[int, float]]:
    """Set torch's threads, those of the recipe or else the fastest of a short measurement; (threads, GFLOP/s by threads).

    OMP_NUM_THREADS is an upper limit, as is this process's share of the cores.
    """
    if recipe.train.threads:
        torch.set_num_threads(recipe.train.threads)
        return recipe.train.threads, {}
    share = max(1, min(usable_cores(), default_threads()) // max(1, state.num_processes))
    threads, measured = fastest_threads(share, gflops)
    torch.set_num_threads(threads)
    return threads, {count: round(speed, 1) for count, speed in measured.items()}


def _forecast(
    plan: Plan, recipe: Recipe, data: Prepared, speed: float | None, threads: int, precision: str, device: torch.device
) -> Forecast:
    """What the run will cost, from the texts' real lengths and the speed just measured."""
    work = Work.of_tokens(data.train.tokens.lengths, data.validation.tokens.lengths, data.test.tokens.lengths)
    gpu = device.type != "cpu"
    if gpu or speed is None:
        speed = gflops(threads, device=device)
    return forecast(plan, recipe, work, gflops=speed, threads=threads, bf16=precision != "fp32", gpu=gpu)


def _opened(
    recipe: Recipe, out: str | Path | None, data_sha256: str, state: PartialState, *, resume: bool, overwrite: bool
) -> tuple[Path, Run | None]:
    """`open_folder` by the main process, and its answer for all."""
    answer: list[Any] = [None, None]
    if state.is_main_process:
        folder, finished = open_folder(recipe, out, data_sha256, resume=resume, overwrite=overwrite)
        answer = [str(folder), finished is not None]
    if state.num_processes > 1:
        broadcast_object_list(answer)
    folder = Path(answer[0])
    return folder, Run.load(folder) if answer[1] else None


def open_folder(
    recipe: Recipe, out: str | Path | None, data_sha256: str, *, resume: bool, overwrite: bool
) -> tuple[Path, Run | None]:
    """The folder to train into, and the run in it if it is already complete. Raises RunError when something is in the way."""
    folder = Path(out) if out is not None else _next_free(Path("runs") / recipe.name, resume=resume)
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file; give a folder: --out runs/NAME")
    started = folder / STARTED
    if folder.exists() and any(path.name != f"{STARTED}{DRAFT}" for path in folder.iterdir()):
        if overwrite:
            _clear(folder)
        elif not resume:
            raise RunError(f"{folder} is not empty; type --resume to go on with it, --overwrite to start again, or --out")
        elif (folder / MANIFEST).is_file():
            run = Run.load(folder)
            _check_same(run.recipe, portable(recipe), run.facts["data_sha256"], data_sha256, folder)
            return folder, run
        elif started.is_file():
            before = json.loads(started.read_text("utf-8"))
            _check_same(Recipe.from_dict(before["recipe"]), portable(recipe), before["data_sha256"], data_sha256, folder)
        else:
            raise RunError(f"{folder} holds no run to resume; type --overwrite to replace what is there, or --out")
    make_folder(folder)
    write_json(started, {"recipe": portable(recipe).to_dict(), "data_sha256": data_sha256})
    return folder, None


def digest(labelled: Labelled) -> str:
    """sha256 over every text and label of the three splits, in order."""
    total = hashlib.sha256()
    for table in (labelled.train, labelled.validation, labelled.test):
        for text, label in zip(table.texts, table.labels or (), strict=True):
            total.update(f"{len(text)} {text} {label}\n".encode("utf-8", "surrogatepass"))
        total.update(b"\n")
    return total.hexdigest()


def _tracking(accelerator: Accelerator, recipe: Recipe) -> list[Listener]:
    """A listener that hands numbers to Accelerate's trackers, where the recipe asks for any."""
    if not recipe.train.trackers:
        return []
    flat = {"recipe": recipe.name, "base": portable(recipe).base, "fingerprint": recipe.fingerprint}
    accelerator.init_trackers("rankwise", config=flat)

    def log(event: Event) -> None:
        if isinstance(event, (UpdateLogged, Evaluated)):
            numbers = {f"{event.kind}/{key}": value for key, value in vars(event).items() if isinstance(value, float)}
            accelerator.log(numbers, step=event.step)

    return [log]


def _next_free(folder: Path, *, resume: bool) -> Path:
    """runs/NAME, or runs/NAME-2 and so on; when resuming, the newest that exists."""
    numbered = [folder, *(folder.with_name(f"{folder.name}-{number}") for number in range(2, 10_000))]
    free = next(place for place, path in enumerate(numbered) if not path.exists())
    return numbered[max(0, free - 1)] if resume else numbered[free]


def _clear(folder: Path) -> None:
    """Remove a run, finished or not. Raises RunError when the folder holds none."""
    if not (_holds(folder / STARTED, "data_sha256") or _holds(folder / MANIFEST, "sha256")):
        raise RunError(f"{folder} holds no run of rankwise, so --overwrite won't empty it; give another --out")
    shutil.rmtree(folder)


def _holds(path: Path, key: str) -> bool:
    """Whether a JSON object with `key` is there; web pages, too, come with a manifest.json."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return False
    return isinstance(found, dict) and key in found


def _check_same(before: Recipe, now: Recipe, data_before: str, data_now: str, folder: Path) -> None:
    same_data = data_before == data_now  # then it does not matter where they lie
    recipes = (recipe.with_paths(_last_part) for recipe in (before, now))
    then, today = (recipe.identity() if same_data else recipe.to_dict() for recipe in recipes)
    changed = list(_differences(then, today))
    if not same_data:
        changed.append("the texts or labels of the data")
    if changed:
        raise RunError(
            f"{folder} was started with other settings, so it can't be resumed:\n  "
            + "\n  ".join(changed)
            + "\nType the same command as before, or --overwrite to start again"
        )


def _last_part(path: str) -> str:
    """Of a path that leads elsewhere, which depends on where one stands; names of encoders and hub data sets as they are."""
    return Path(path).name if path.startswith((os.sep, ".", "~")) else path


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], path: str = "") -> Iterable[str]:
    for key in {**before, **now}:
        if key in ("name", "summary", "published"):
            continue
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _differences(old, new, f"{path}{key}.")
        elif old != new:
            yield f"{path}{key}: {old} → {new}"


def _plan_made(recipe: Recipe, plan: Plan, classes: tuple[str, ...]) -> PlanMade:
    return PlanMade(
        recipe=recipe.name,
        classes=classes,
        trainable_parameters=plan.ledger.trainable_parameters,
        total_parameters=plan.ledger.total_parameters,
        budget=plan.ledger.budget,
        notes=plan.notes,
    )


def _warnings(labelled: Labelled, data: Prepared) -> tuple[str, ...]:
    """What an audit warns about in the texts that the encoder reads."""
    train, validation, test = (
        _cleaned(getattr(labelled, name), getattr(data, name)) for name in ("train", "validation", "test")
    )
    return audit(train, validation=validation, test=test).warnings


def _cleaned(table: Table, split: Split) -> Table:
    """The table's rows that are in the split, with the texts that the encoder reads."""
    kept = table
    if len(split) < len(table.texts):
        kept = table.take(np.flatnonzero(np.isin(table.rows, split.rows)))
    return replace(kept, texts=split.texts)


def _peak_bytes(device: torch.device) -> int | None:
    """The most memory that was taken so far: resident on a CPU, allocated on a GPU; None where the system does not say."""
    return torch.cuda.max_memory_allocated() if device.type == "cuda" else peak_resident_bytes()


def _sizes(data: Prepared) -> dict[str, int]:
    return {"train": len(data.train), "validation": len(data.validation), "test": len(data.test)}


def _final_scores(
    test: Evaluation,
    data: Prepared,
    recipe: Recipe,
    fitted: Fitted,
    labelled: Labelled,
    fitted_beside: Mapping[str, NDArray[np.float64]],
) -> dict[str, Any]:
    """The test split's scores beside the baselines'; where texts leaked from training, also of the others alone."""
    beside = baselines(data, SingleLabel(data.classes).decide(test.probabilities), recipe.evaluate, fitted_beside)
    return {
        "classes": list(data.classes),
        "test": test.as_dict(),
        "validation": fitted.best,
        "baselines": {
            baseline.name: {**baseline.scores.as_dict(), "difference": baseline.difference.as_dict()} for baseline in beside
        },
        "history": fitted.history,
        **_clean_scores(test, labelled.leaked, recipe),
    }


def _clean_scores(test: Evaluation, leaked: NDArray[np.bool_], recipe: Recipe) -> dict[str, Any]:
    if not leaked.any() or leaked.all():
        return {}
    names = [row.name for row in test.scores.per_class]
    clean = score(
        test.probabilities[~leaked],
        test.truth[~leaked],
        names,
        resamples=recipe.evaluate.resamples,
        confidence=recipe.evaluate.confidence,
    )
    return {"test_not_in_training": {key: getattr(clean, key).as_dict() for key in ("accuracy", "macro_f1")}}


def _counted(classifier: Classifier) -> int:
    return sum(weight.numel() for weight in classifier.trainable().values())
