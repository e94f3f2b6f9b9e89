"""A sweep's studies, made in its storage or opened there: whether this is the same sweep, who draws, what is pruned."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import optuna
from optuna.trial import TrialState

from rankwise.errors import RunError
from rankwise.recipe import Recipe
from rankwise.sweep.results import OBJECTIVES
from rankwise.sweep.space import Space
from rankwise.sweep.storage import alone, database_of, discard, facts_of, opened, remember


@contextmanager
def open_studies(
    folder: Path, storage: str | None, base: Recipe, space: Space
) -> Iterator[tuple[optuna.Study, optuna.Study]]:
    """The search's study and the finalists', made where there are none. Raises RunError where another sweep has this name."""
    name = folder.resolve().name
    url = database_of(storage, folder)
    directions = [OBJECTIVES[objective] for objective in space.objectives]
    with ExitStack() as stack:
        with alone(url, name):
            study, finals = stack.enter_context(opened(url, name, directions))
            if _is_stillborn(study) and _changed(study, base, space):
                discard(url, name)
                study, finals = stack.enter_context(opened(url, name, directions))
            _check_same(study, base, space, folder)
            if _is_stillborn(study):
                _describe(study, base, space)  # now with the path of the data that is right
            remember(folder, storage, name)
        fresh = not study.get_trials(deepcopy=False)
        study.sampler = _sampler(space, seed=space.search.seed if fresh else None)  # who joins must not draw the same again
        study.pruner = _pruner(space)
        yield study, finals


def signature(base: Recipe, space: Space) -> dict[str, str]:
    """What must be the same for two calls to be the same sweep, by what a person calls it. Paths of data may differ."""
    parts = {
        "the base recipe": base.identity(),
        "the space": space.as_dict(),
        "objectives": space.objectives,
        "search.seeds": space.search.seeds,
    }
    return {name: hashlib.sha256(json.dumps(part, sort_keys=True).encode()).hexdigest() for name, part in parts.items()}


def _is_stillborn(study: optuna.Study) -> bool:
    """Whether a sweep trained nothing and trains nothing now, as a first command with a mistake in it leaves one."""
    trials = study.get_trials(deepcopy=False)
    return "sweep" in study.user_attrs and all(trial.state in (TrialState.WAITING, TrialState.FAIL) for trial in trials)


def _changed(study: optuna.Study, base: Recipe, space: Space) -> list[str]:
    """The parts in which a study is another sweep than this one."""
    theirs = facts_of(study)["signature"]
    return [part for part, digest in signature(base, space).items() if digest != theirs.get(part)]


def _check_same(study: optuna.Study, base: Recipe, space: Space, folder: Path) -> None:
    """Say in a new study what sweep it is; raises RunError where it is another one."""
    if "sweep" not in study.user_attrs:
        _describe(study, base, space)
    if changed := _changed(study, base, space):
        raise RunError(
            f"{folder} holds a sweep that differs in {' and '.join(changed)}; type the same command as before to go on "
            "with it, or give another --out"
        )


def _describe(study: optuna.Study, base: Recipe, space: Space) -> None:
    facts = {"base": base.to_dict(), "objectives": space.objectives, "varied": space.keys}
    study.set_user_attr("sweep", {**facts, "signature": signature(base, space)})


def _sampler(space: Space, *, seed: int | None) -> optuna.samplers.BaseSampler:
    tpe = space.search.sampler == "tpe"
    return optuna.samplers.TPESampler(seed=seed) if tpe else optuna.samplers.RandomSampler(seed=seed)


def _pruner(space: Space) -> optuna.pruners.BasePruner:
    pruner = space.search.pruner
    if pruner.name == "none":
        return optuna.pruners.NopPruner()
    race = optuna.pruners.SuccessiveHalvingPruner if pruner.name == "halving" else optuna.pruners.HyperbandPruner
    return race(min_resource=pruner.least, reduction_factor=pruner.keep)
