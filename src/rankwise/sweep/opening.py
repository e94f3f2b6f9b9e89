"""A sweep's studies, made in its storage or found there: whether this is the same sweep, who draws, what is pruned."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import optuna
from filelock import FileLock

from rankwise.errors import RunError
from rankwise.recipe import Recipe
from rankwise.sweep.space import Space
from rankwise.sweep.storage import database_of, facts_of, opened, remember
from rankwise.sweep.trials import OBJECTIVES


@contextmanager
def open_studies(
    folder: Path, storage: str | None, base: Recipe, space: Space
) -> Iterator[tuple[optuna.Study, optuna.Study]]:
    """The search's and the finalists' studies, made or found. Raises RunError where another sweep has this name."""
    name = folder.resolve().name
    url = database_of(storage, folder)
    directions = [OBJECTIVES[objective] for objective in space.objectives]
    with ExitStack() as stack:
        with FileLock(folder / ".lock"):
            study, finals = stack.enter_context(opened(url, name, directions))
            _check_same(study, base, space, folder)
            remember(folder, storage, name)
        fresh = not study.get_trials(deepcopy=False)
        study.sampler = _sampler(space, seed=space.search.seed if fresh else None)  # who joins must not draw the same again
        study.pruner = _pruner(space)
        yield study, finals


def signature(base: Recipe, space: Space) -> dict[str, str]:
    """What must be the same for two calls to be the same sweep, by what a person calls it. Paths of data may differ."""
    recipe = base.to_dict()
    for key in ("name", "summary", "published"):
        recipe.pop(key)
    data = recipe["data"]
    for key in ("source", "train", "validation", "test"):
        data[key] = None
    recipe["train"].pop("trackers")
    parts = {
        "the base recipe": recipe,
        "the space": space.as_dict(),
        "objectives": space.objectives,
        "search.seeds": space.search.seeds,
    }
    return {name: hashlib.sha256(json.dumps(part, sort_keys=True).encode()).hexdigest() for name, part in parts.items()}


def _check_same(study: optuna.Study, base: Recipe, space: Space, folder: Path) -> None:
    """Say in a new study what sweep it is; raises RunError where it is another one."""
    mine = signature(base, space)
    if "sweep" not in study.user_attrs:
        facts = {"base": base.to_dict(), "objectives": space.objectives, "varied": space.keys, "signature": mine}
        study.set_user_attr("sweep", facts)
    theirs = facts_of(study)["signature"]
    if changed := [part for part in mine if mine[part] != theirs.get(part)]:
        raise RunError(
            f"{folder} holds a sweep that differs in {' and '.join(changed)}; type the same command as before to go on "
            "with it, or give another --out"
        )


def _sampler(space: Space, *, seed: int | None) -> optuna.samplers.BaseSampler:
    if space.search.sampler == "tpe":
        return optuna.samplers.TPESampler(seed=seed)
    return optuna.samplers.RandomSampler(seed=seed)


def _pruner(space: Space) -> optuna.pruners.BasePruner:
    pruner = space.search.pruner
    if pruner.name == "halving":
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=pruner.least, reduction_factor=pruner.keep)
    if pruner.name == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=pruner.least, reduction_factor=pruner.keep)
    return optuna.pruners.NopPruner()
