"""`sweep(base, space, objective, out=…) -> Study`: ask for configurations, run them side by side, tell what came of them.

The driver is the only one that talks to the storage; what trains is handed to an engine. A driver that is killed loses the
trials that were running, and the same call goes on from there. What a trial does is not known here: `objective` trains and
scores one recipe, `retrain` makes a whole run of a finalist.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from rankwise.recipe import Recipe
from rankwise.sweep.engines.local import Engine, LocalEngine, Work
from rankwise.sweep.engines.work import TrialWork
from rankwise.sweep.finals import Finals
from rankwise.sweep.opening import open_studies
from rankwise.sweep.results import Objective, Retrain
from rankwise.sweep.search import Search, most
from rankwise.sweep.space import Space
from rankwise.sweep.stage import Stage, Sweep
from rankwise.sweep.storage import PATIENCE_SECONDS, Board
from rankwise.sweep.study import Study
from rankwise.sweep.timing import Timing
from rankwise.system.cores import usable_cores
from rankwise.system.events import Events, Listener
from rankwise.system.files import make_folder


def sweep(
    base: Recipe,
    space: Space,
    objective: Objective,
    *,
    out: str | Path,
    retrain: Retrain | None = None,
    storage: str | None = None,
    jobs: int | None = None,
    minutes: float | None = None,
    engine: Callable[[Work], Engine] | None = None,
    listeners: Iterable[Listener] = (),
    patience_seconds: float = PATIENCE_SECONDS,
) -> Study:
    """Search `space` around `base`, and return everything that was found; called again, it goes on where it was.

    `out` is the sweep's folder, whose name is the study's. Trials are kept there in one file, or in the PostgreSQL database
    that `storage` names, which several machines may share: each makes this call. `jobs` trials run beside each other, as many
    as there are cores when left out, or where `engine` says. `minutes` bounds the whole: what is unfinished then waits for
    the next call. The best configurations become whole runs in `out`/finals where `retrain` says how.

    Raises RunError where `out` holds another sweep, and what a trial raises for the data, the model or a missing library.
    """
    ends_at = None if minutes is None else time.monotonic() + 60 * minutes
    space.check(base)
    folder = make_folder(out)
    work = TrialWork(objective, retrain)
    with open_studies(folder, storage, base, space) as (study, finals):
        running = engine(work) if engine else LocalEngine(work, jobs=min(jobs or usable_cores(), most(space)))
        earlier = [(trial.seconds or 0.0) * len(trial.seeds) for trial in Study.of(study).finished]
        runs = 0 if retrain is None else space.search.finalists * space.search.finalist_seeds
        timing = Timing(running, seeds=space.search.seeds, finals=runs, ends_at=ends_at, earlier=earlier)
        shared = Sweep(base, space, running, folder, Events(*listeners), timing, study)
        trials = Board(study, patience_seconds=patience_seconds)
        finalists = Board(finals, trials.driver, patience_seconds=patience_seconds)
        search = Search(shared, trials)
        stages: list[Stage] = [search]
        try:
            search.run()
            if retrain is not None:
                stages.append(Finals(shared, finalists, Study.of(study)))
                stages[-1].run()
        finally:
            running.close()
            interrupted = sum(stage.give_back() for stage in stages)
            if interrupted or any(stage.is_wanting() for stage in stages):
                shared.events.emit("stopped", interrupted=interrupted, **search.standing())
        return Study.of(study, finals)
