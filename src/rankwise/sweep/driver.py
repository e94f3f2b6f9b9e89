"""`sweep(base, space, work, store) -> Study`: ask for configurations, run them side by side, tell what came of them.

The driver is the only one that talks to the storage; an engine runs `work.objective`, which trains and scores one recipe, and
`work.retrain`, which makes a whole run of a finalist. A driver that is killed loses the trials that were running.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

import optuna
from optuna.trial import TrialState

from rankwise.errors import RunError
from rankwise.recipe import Recipe
from rankwise.sweep.engines.local import Engine, LocalEngine, Work
from rankwise.sweep.results import OBJECTIVES, SweepStopped, TrialWork
from rankwise.sweep.search import Finals, Search
from rankwise.sweep.space import Space
from rankwise.sweep.stage import CLOSING_SECONDS, Stage, Sweep, Timing
from rankwise.sweep.storage import Board, Store, studies_in
from rankwise.sweep.study import Study
from rankwise.system.events import Events, Listener
from rankwise.system.storage import make_folder

RACES: Mapping[str, Callable[..., optuna.pruners.BasePruner]] = {
    "halving": optuna.pruners.SuccessiveHalvingPruner,
    "hyperband": optuna.pruners.HyperbandPruner,
}


def sweep(
    base: Recipe,
    space: Space,
    work: TrialWork,
    store: Store,
    *,
    engine: Callable[[Work], Engine] = LocalEngine,
    minutes: float | None = None,
    listeners: Iterable[Listener] = (),
) -> Study:
    """Search `space` around `base`, and return all trials and finalists; called again, it goes on where it was.

    `store` says where trials are kept; its folder's name is the study's. `engine` runs the trials: processes of this machine,
    one for each core, unless another one is passed. `minutes` bounds the whole: what is unfinished then waits for the next
    call. The best configurations become whole runs in the folder's `finals` where `work.retrain` says how. Of a base with
    rungs the dearest is what trials and finalists train: climbed, each might hand over another one.

    Raises RunError where the folder holds another sweep, and whatever a trial raises for data, model or a missing library.
    """
    ends_at = math.inf if minutes is None else time.monotonic() + 60 * minutes - CLOSING_SECONDS
    base = base.without_climb
    space.check(base)
    folder = make_folder(store.folder)
    with _studies(store, base, space) as (study, finals):
        running = engine(work)
        earlier = [(trial.seconds or 0.0) * len(trial.seeds) for trial in Study.of(study).finished]
        runs = 0 if work.retrain is None else space.search.finalists * space.search.finalist_seeds
        timing = Timing(running, ends_at, space.search.seeds, runs, earlier)
        events = Events(*listeners)
        shared = Sweep(base, space, running, folder, timing, study)
        trials = Board(study, events, patience_seconds=store.patience_seconds)
        finalists = Board(finals, events, trials.driver, patience_seconds=store.patience_seconds)
        stages: list[Stage] = [Search(shared, trials)]
        try:
            stages[0].run()
            if work.retrain is not None:
                stages.append(Finals(shared, finalists))
                stages[-1].run()
        finally:
            running.close()
            interrupted = sum(stage.give_back() for stage in stages)
            if interrupted or any(stage.is_wanting() for stage in stages):
                events.emit(SweepStopped())
        return Study.of(study, finals)


@contextmanager
def _studies(store: Store, base: Recipe, space: Space) -> Iterator[tuple[optuna.Study, optuna.Study]]:
    """The search's study and the finalists', made where there are none. Raises RunError where another sweep has this name."""
    name = store.folder.resolve().name
    directions = [OBJECTIVES[objective] for objective in space.objectives]
    signature = _signature(base, space)
    facts = {"base": base.to_dict(), "objectives": space.objectives, "varied": space.keys, "signature": signature}
    with ExitStack() as stack:
        with store.alone(name):
            storage = stack.enter_context(store.connected())
            study, finals = studies_in(storage, name, directions)
            before = study.user_attrs.get("sweep", facts)["signature"]
            changed = [part for part, digest in signature.items() if digest != before.get(part)]
            has_trained = any(t.state not in (TrialState.WAITING, TrialState.FAIL) for t in study.get_trials(deepcopy=False))
            if changed and has_trained:
                raise RunError(
                    f"{store.folder} holds a sweep that differs in {' and '.join(changed)}; type the same command as before "
                    "to go on with it, or give another --out"
                )
            if changed:  # as after a first command with a mistake in it
                optuna.delete_study(study_name=study.study_name, storage=storage)
                optuna.delete_study(study_name=finals.study_name, storage=storage)
                study, finals = studies_in(storage, name, directions)
            if not has_trained:
                study.set_user_attr("sweep", facts)  # now with the path of the data that is right
            store.remember(name)
        fresh = not study.get_trials(deepcopy=False)
        sampler = optuna.samplers.TPESampler if space.search.sampler == "tpe" else optuna.samplers.RandomSampler
        study.sampler = sampler(seed=space.search.seed if fresh else None)  # who joins must not draw the same again
        pruner = space.search.pruner
        race = RACES.get(pruner.name)
        study.pruner = race(min_resource=pruner.least, reduction_factor=pruner.keep) if race else optuna.pruners.NopPruner()
        yield study, finals


def _signature(base: Recipe, space: Space) -> dict[str, str]:
    """What must be the same for two calls to be the same sweep, by what a person calls it. Paths of data may differ."""
    parts = {
        "the base recipe": base.identity(),
        "the space": space.as_dict(),
        "objectives": space.objectives,
        "search.seeds": space.search.seeds,
    }
    return {name: hashlib.sha256(json.dumps(part, sort_keys=True).encode()).hexdigest() for name, part in parts.items()}
