"""`sweep(base, space, work, store) -> Study`: ask for configurations, run them side by side, tell what came of them.

The driver is the only one that talks to the storage; what trains is handed to an engine. A driver that is killed loses the
trials that were running, and the same call goes on from there. What a trial does is not known here: `work.objective` trains
and scores one recipe, `work.retrain` makes a whole run of a finalist.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from rankwise.recipe import Recipe
from rankwise.sweep.engines.local import Engine, LocalEngine, Work
from rankwise.sweep.engines.work import TrialWork
from rankwise.sweep.finals import Finals
from rankwise.sweep.opening import open_studies
from rankwise.sweep.results import SweepStopped
from rankwise.sweep.search import Search
from rankwise.sweep.space import Space
from rankwise.sweep.stage import Stage, Sweep
from rankwise.sweep.storage import Board, Store
from rankwise.sweep.study import Study
from rankwise.sweep.timing import Timing
from rankwise.system.events import Events, Listener
from rankwise.system.files import make_folder


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
    call. The best configurations become whole runs in the folder's `finals` where `work.retrain` says how.

    Raises RunError where the folder holds another sweep, and whatever a trial raises for data, model or a missing library.
    """
    ends_at = None if minutes is None else time.monotonic() + 60 * minutes
    space.check(base)
    folder = make_folder(store.folder)
    with open_studies(folder, store.url, base, space) as (study, finals):
        running = engine(work)
        earlier = [(trial.seconds or 0.0) * len(trial.seeds) for trial in Study.of(study).finished]
        runs = 0 if work.retrain is None else space.search.finalists * space.search.finalist_seeds
        timing = Timing(running, seeds=space.search.seeds, finals=runs, ends_at=ends_at, earlier=earlier)
        shared = Sweep(base, space, running, folder, Events(*listeners), timing, study)
        trials = Board(study, patience_seconds=store.patience_seconds)
        finalists = Board(finals, trials.driver, patience_seconds=store.patience_seconds)
        search = Search(shared, trials)
        stages: list[Stage] = [search]
        try:
            search.run()
            if work.retrain is not None:
                stages.append(Finals(shared, finalists, Study.of(study)))
                stages[-1].run()
        finally:
            running.close()
            interrupted = sum(stage.give_back() for stage in stages)
            if interrupted or any(stage.is_wanting() for stage in stages):
                shared.events.emit(SweepStopped(interrupted, search.standing()))
        return Study.of(study, finals)
