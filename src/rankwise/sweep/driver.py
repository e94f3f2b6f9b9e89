"""`sweep(base, space, objective, out=…) -> Study`: ask for configurations, run them side by side, tell what came of them.

The driver is the only one that talks to the storage; what trains is handed to an engine. A driver that is killed loses the
trials that were running, and the same call goes on from there. What a trial does is not known here: `objective` trains and
scores one recipe, `retrain` makes a whole run of a finalist.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean, median
from typing import Any

import optuna
from filelock import FileLock
from optuna.trial import TrialState

from rankwise import errors, machine
from rankwise.errors import Defect, RankwiseError, RecipeError, RunError
from rankwise.fitting.events import Events, Listener
from rankwise.recipe import Recipe
from rankwise.sweep.engine import Died, Done, Engine, Event, Failed, LocalEngine, Reported, Stopped, Work
from rankwise.sweep.space import TRIALS, Space
from rankwise.sweep.storage import (
    ALIVE,
    MOST_DEATHS,
    PATIENCE_SECONDS,
    Board,
    counts,
    database_of,
    facts_of,
    opened,
    remember,
)
from rankwise.sweep.study import Study
from rankwise.sweep.trials import (
    OBJECTIVES,
    FinalResult,
    Objective,
    Retrain,
    Trial,
    TrialResult,
    configured,
    values_of,
)
from rankwise.sweep.work import Rejected, Task, TrialWork

TICK_SECONDS = 1.0  # that the driver waits for an event before it looks at the other drivers again
MOST_REFUSED = 100  # configurations in a row that were repeated or rejected: then the search has nothing new to say
MOST_REPEATED = 10  # of them before what was never tried is listed, where it can be
CLOSING_SECONDS = 2.0  # of `minutes`, for ending processes and writing tables
FINAL_FACTOR = 1.5  # a finalist's whole run, over a trial's training: scoring the test rows, saving, checking


@dataclass
class _Running:
    """A trial that is in the engine."""

    trial: optuna.Trial
    started: float
    entries: list[Mapping[str, float]] = field(default_factory=list)


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
    started = time.monotonic()
    folder = Path(out)
    space.check(base)
    folder.mkdir(parents=True, exist_ok=True)
    ends_at = None if minutes is None else started + 60 * minutes - CLOSING_SECONDS
    jobs = jobs or machine.cores()
    work = TrialWork(objective, retrain)
    with ExitStack() as stack:
        study, finals = _opened(stack, folder, storage, base, space)
        running = engine(work) if engine else LocalEngine(work, jobs=min(jobs, _most(space) or jobs))
        driver = _Driver(base, space, study, finals, running, folder, Events(*listeners), ends_at, patience_seconds)
        stack.callback(driver.give_back)
        stack.callback(running.close)
        driver.search()
        if retrain is not None:
            driver.finals()
    return driver.found


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


def _opened(
    stack: ExitStack, folder: Path, storage: str | None, base: Recipe, space: Space
) -> tuple[optuna.Study, optuna.Study]:
    """The search's and the finalists' studies, made or found. Raises RunError where another sweep has this name."""
    name = folder.resolve().name
    url = database_of(storage, folder)
    directions = [OBJECTIVES[objective] for objective in space.objectives]
    with FileLock(folder / ".lock"):
        study, finals = stack.enter_context(opened(url, name, directions))
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
        remember(folder, storage, name)
    fresh = not study.get_trials(deepcopy=False)
    study.sampler = _sampler(space, seed=space.search.seed if fresh else None)  # who joins must not draw the same again
    study.pruner = _pruner(space)
    return study, finals


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


def _most(space: Space) -> int | None:
    """How many configurations are to be trained: what the search says, else a whole grid, else some."""
    if space.search.trials is not None:
        return space.search.trials if space.size is None else min(space.search.trials, space.size)
    return space.size if space.search.sampler == "grid" else min(TRIALS, space.size or TRIALS)


class _Driver:
    """One process's work on a sweep: its trials, then its share of the finalists."""

    def __init__(
        self,
        base: Recipe,
        space: Space,
        study: optuna.Study,
        finals: optuna.Study,
        engine: Engine,
        folder: Path,
        events: Events,
        ends_at: float | None,
        patience_seconds: float,
    ) -> None:
        self.base, self.space, self.engine, self.folder, self.events = base, space, engine, folder, events
        self.trials = Board(study, patience_seconds=patience_seconds)
        self.finalists = Board(finals, self.trials.driver, patience_seconds=patience_seconds)
        self.board = self.trials  # of the two, the one whose trials are running
        self.ends_at = ends_at
        self.most = _most(space)
        self.running: dict[int, _Running] = {}
        self.found = self.study  # so far; at the end, all
        self.took: list[float] = []  # wall seconds of the trials that ended here
        self.took_before = [(trial.seconds or 0.0) * len(trial.seeds) for trial in self.found.finished]
        self.refused = 0  # configurations in a row that were not trained
        self.listed: dict[str, dict[str, Any]] | None = None  # configurations by key, where they are not drawn
        if space.search.sampler != "tpe" and space.size is not None:
            self.listed = _shuffled(space)

    @property
    def study(self) -> Study:
        return Study.of(self.trials.study, self.finalists.study)

    # ---------------------------------------------------------------------------------------------------------- the search

    def search(self) -> None:
        """Run trials until there are enough, or time is up."""
        self.events.emit("sweep", jobs=self.engine.slots, **self._standing())
        while not self._is_late():
            self.board.beat()
            self.board.recover()
            while len(self.running) < self.engine.slots and self._has_time() and self._start():
                pass
            if not self.running:
                elsewhere = sum(trial.state == TrialState.RUNNING for trial in self.board.trials())
                if not self._has_time() or not (elsewhere or self._is_wanting()):
                    return
                self.events.emit("waiting", trials=elsewhere)
                time.sleep(self.board.patience_seconds / 20)
            for event in self.engine.events(TICK_SECONDS):
                self._heard(event)

    def _is_wanting(self) -> bool:
        """Whether a configuration is still to be started."""
        trials = self.trials.trials()
        if any(trial.state == TrialState.WAITING for trial in trials):
            return True
        if self.refused >= MOST_REFUSED if self.listed is None else self._untried(trials) is None:
            return False
        return self.most is None or len({t.user_attrs["fingerprint"] for t in trials if counts(t)}) < self.most

    def _start(self) -> bool:
        """Hand one more configuration to the engine; False where there is none for now."""
        while self._is_wanting():
            self.board.beat()
            self._enqueue_listed()
            trial = self.board.ask()
            params = self.space.suggest(trial)
            recipe, fingerprint = self._resolved(params)
            if why := self.board.claim(trial, fingerprint, params, most=self.most):
                self.board.yield_to(trial, why)
                self.refused += 1
                continue
            if isinstance(recipe, RecipeError):
                self._settle(trial, Rejected("rejected", str(recipe).splitlines()[0], 1.0))
                continue
            seeds = tuple(range(self.base.train.seed, self.base.train.seed + self.space.search.seeds))
            self.running[trial.number] = _Running(trial, time.monotonic())
            self.engine.start(trial.number, Task(recipe, seeds))
            return True
        return False

    def _heard(self, event: Event) -> None:
        running = self.running[event.number]
        trial = running.trial
        if isinstance(event, Reported):
            running.entries.append(event.entry)
            self.engine.answer(event.number, go_on=not self._is_pruned(trial, running))
            return
        del self.running[event.number]
        if isinstance(event, Failed):
            self.board.drop(event.number)
            raise _raised(event)
        if isinstance(event, Died):
            self._died(trial)
            return
        if isinstance(event, Done) and isinstance(event.result, Rejected):
            self._settle(trial, event.result)
            return
        self.took.append(time.monotonic() - running.started)
        if isinstance(event, Stopped):
            self._pruned(trial, running)
        else:
            self._scored(trial, event.result)

    def _is_pruned(self, trial: optuna.Trial, running: _Running) -> bool:
        if len(self.space.objectives) > 1:
            return False  # Optuna prunes by one objective
        first = self.space.objectives[0]
        if first not in running.entries[-1]:
            return False
        try:
            trial.report(running.entries[-1][first], step=len(running.entries))
        except optuna.exceptions.UpdateFinishedTrialError:  # taken for lost while this machine slept
            return True
        return bool(trial.should_prune())

    def _scored(self, trial: optuna.Trial, results: Sequence[TrialResult]) -> None:
        self._check_data(results[0])
        values = values_of(self.space.objectives, results)
        outcome = {
            "state": "finished",
            "objectives": [values[name] for name in self.space.objectives],
            "scores": {name: [result.scores[name] for result in results] for name in results[0].scores},
            "seeds": list(range(self.base.train.seed, self.base.train.seed + len(results))),
            "seconds": fmean(result.seconds for result in results),
            "trained_parameters": results[0].trained_parameters,
            "history": [[dict(entry) for entry in result.history] for result in results],
            "validation_rows": results[0].validation_rows,
        }
        self._finish(trial, outcome)

    def _pruned(self, trial: optuna.Trial, running: _Running) -> None:
        last = running.entries[-1]
        plain = [{key: value for key, value in entry.items() if key != "trained_parameters"} for entry in running.entries]
        reason = f"behind at evaluation {len(plain)}: {self.space.objectives[0]} {last[self.space.objectives[0]]:.4g}"
        self._finish(trial, {
            "state": "pruned", "reason": reason, "history": [plain], "seconds": last.get("seconds"),
            "trained_parameters": last.get("trained_parameters"), "seeds": [self.base.train.seed],
        })  # fmt: skip

    def _settle(self, trial: optuna.Trial, rejected: Rejected) -> None:
        """A configuration that gave no score: over the cap, impossible, or diverged."""
        self._finish(trial, {"state": rejected.state, "reason": rejected.reason, "excess": rejected.excess})

    def _died(self, trial: optuna.Trial) -> None:
        if trial.user_attrs.get("deaths", 0) + 1 >= MOST_DEATHS:
            self._settle(trial, Rejected("failed", f"its process died {MOST_DEATHS} times", 1.0))
        else:
            self._note_death(trial)

    def _finish(self, trial: optuna.Trial, outcome: Mapping[str, Any]) -> None:
        self.refused = self.refused + 1 if outcome["state"] == "rejected" else 0
        self.board.finish(trial, outcome)
        facts = {key: outcome.get(key) for key in ("state", "reason", "seconds", "trained_parameters")}
        values = dict(zip(self.space.objectives, outcome.get("objectives", ()), strict=False))
        params = trial.user_attrs["params"]
        self.events.emit("trial", number=trial.number, params=params, values=values, **facts, **self._standing())

    def _check_data(self, result: TrialResult) -> None:
        known = self.board.study.user_attrs.get("data_sha256")
        if known is None:
            self.board.study.set_user_attr("data_sha256", result.data_sha256)
        elif known != result.data_sha256:
            raise RunError(
                f"{self.folder}: the texts or labels are not those that the sweep began with, so scores can't be compared; "
                "give the same data, or another --out"
            )

    def _untried(self, trials: Sequence[optuna.trial.FrozenTrial]) -> dict[str, Any] | None:
        """The list's next configuration that no trial has had, in Optuna's names and labels."""
        had = {_key({**trial.system_attrs.get("fixed_params", {}), **trial.params}) for trial in trials}
        return next((labels for key, labels in (self.listed or {}).items() if key not in had), None)

    def _enqueue_listed(self) -> None:
        """Put the list's next configuration where `ask` finds it; where draws only repeat themselves, make a list first."""
        trials = self.board.trials()
        if any(trial.state == TrialState.WAITING for trial in trials):
            return
        if self.listed is None and self.refused >= MOST_REPEATED and self.space.size is not None:
            self.listed = _shuffled(self.space)
        if labels := self._untried(trials):
            params = self.space.suggest(optuna.trial.FixedTrial(labels))
            self.board.enqueue(labels, {"params": params, "fingerprint": self._resolved(params)[1]})

    def _resolved(self, params: Mapping[str, Any]) -> tuple[Recipe | RecipeError, str]:
        """The recipe of a configuration, or why there is none; and what tells it from others."""
        try:
            recipe = configured(self.base, params)
        except RecipeError as problem:
            return problem, _key(params)
        return recipe, recipe.fingerprint

    # -------------------------------------------------------------------------------------------------------------- finalists

    def finals(self) -> None:
        """Train the best configurations again, as whole runs on fresh seeds; the test rows are scored once in each."""
        wanted = self._wanted_finals()
        self.board = self.finalists
        self.events.emit("finalists", runs=len(wanted), trials=list(dict.fromkeys(number for number, _ in wanted)))
        while not self._is_late():
            self.board.beat()
            self.board.recover()
            self._enqueue_finals(wanted)
            while len(self.running) < self.engine.slots and self._has_time(final=True) and self._start_final(wanted):
                pass
            if not self.running:
                elsewhere = sum(trial.state in ALIVE for trial in self.board.trials())
                if not self._has_time(final=True) or not elsewhere:
                    return
                self.events.emit("waiting", trials=elsewhere)
                time.sleep(self.board.patience_seconds / 20)
            for event in self.engine.events(TICK_SECONDS):
                self._heard_final(event)

    def _enqueue_finals(self, wanted: Mapping[tuple[int, int], Recipe]) -> None:
        held = (trial.user_attrs for trial in self.board.trials() if "given up" not in trial.user_attrs)
        known = {attrs.get("fingerprint") for attrs in held}
        for (number, seed), recipe in wanted.items():
            fingerprint = f"{recipe.fingerprint}:{seed}"
            if fingerprint not in known:
                folder = str(self.folder / "finals" / f"trial-{number}-seed-{seed}")
                params = {"trial": number, "seed": seed, "folder": folder}
                self.board.enqueue({}, {"params": params, "fingerprint": fingerprint})

    def _wanted_finals(self) -> dict[tuple[int, int], Recipe]:
        """(trial, seed) of each run, and its recipe."""
        search = self.space.search
        study = self.study
        best: Sequence[Trial] = study.front() if len(study.objectives) > 1 else study.finished
        first = self.base.train.seed + search.seeds
        return {
            (trial.number, seed): configured(self.base, trial.params)
            for trial in best[: search.finalists] for seed in range(first, first + search.finalist_seeds)
        }  # fmt: skip

    def _start_final(self, wanted: Mapping[tuple[int, int], Recipe]) -> bool:
        while any(trial.state == TrialState.WAITING for trial in self.board.trials()):
            trial = self.board.ask()
            params = trial.user_attrs.get("params", {})
            recipe = wanted.get((params.get("trial"), params.get("seed")))
            if recipe is None:  # another driver took what waited, so Optuna made this one; or a former call wanted it
                self.board.yield_to(trial, "not wanted")
            elif why := self.board.claim(trial, trial.user_attrs["fingerprint"], params):
                self.board.yield_to(trial, why)
            else:
                self.running[trial.number] = _Running(trial, time.monotonic())
                self.engine.start(trial.number, Task(recipe, (params["seed"],), params["folder"]))
                return True
        return False

    def _heard_final(self, event: Event) -> None:
        trial = self.running.pop(event.number).trial
        params = trial.user_attrs["params"]
        if isinstance(event, Failed):
            self.board.drop(event.number)
            raise _raised(event)
        if isinstance(event, Died):  # it waits again, and goes on from its last checkpoint
            if self._note_death(trial) >= MOST_DEATHS:
                raise RunError(
                    f"{params['folder']}: its process died {MOST_DEATHS} times, as it does where memory runs out; try fewer "
                    "trials at a time: --jobs 1"
                )
            return
        assert isinstance(event, Done), f"a whole run neither reports nor is stopped, but here is {event}"
        result: FinalResult | Rejected = event.result
        if isinstance(result, Rejected):  # it diverges with this seed, which is worth knowing
            self.board.finish(trial, {"state": result.state, "reason": result.reason})
            self.events.emit("final", **params, reason=result.reason)
            return
        score = result.validation.get(self.space.objectives[0], 0.0)
        self.board.finish(trial, {"state": "finished", "objectives": [score], "final": {**params, **asdict(result)}})
        self.events.emit("final", **params, **asdict(result))

    def _note_death(self, trial: optuna.Trial) -> int:
        """Let a trial whose process died wait again; how often that has happened to its configuration."""
        deaths = int(trial.user_attrs.get("deaths", 0)) + 1
        trial.set_user_attr("deaths", deaths)
        self.board.drop(trial.number)
        self.events.emit("died", number=trial.number, params=trial.user_attrs["params"], deaths=deaths)
        return deaths

    # ------------------------------------------------------------------------------------------------------------------- time

    def give_back(self) -> None:
        """Let what was running here wait again; for when the engine is closed."""
        for number in self.running:
            self.board.drop(number)
        interrupted = len(self.running)
        self.running.clear()
        self.board.recover()
        self.found = self.study
        waiting = any(trial.state == TrialState.WAITING for trial in self.finalists.trials())
        if interrupted or waiting or self._is_wanting():
            self.events.emit("stopped", interrupted=interrupted, **self._standing())

    def _is_late(self) -> bool:
        return self.ends_at is not None and time.monotonic() >= self.ends_at

    def _has_time(self, *, final: bool = False) -> bool:
        """Whether a trial that starts now is over in time, and finalists can still be trained after it."""
        if self.ends_at is None:
            return True
        left = self.ends_at - time.monotonic()
        return left > (FINAL_FACTOR * self._one_seed() if final else self._typical() + self._reserved())

    def _typical(self) -> float:
        """Wall seconds of a trial, as those that ended here took, or else earlier ones; 0 where none has."""
        return median(self.took or self.took_before or [0.0])

    def _one_seed(self) -> float:
        return self._typical() / self.space.search.seeds

    def _reserved(self) -> float:
        search = self.space.search
        rounds = -(-search.finalists * search.finalist_seeds // self.engine.slots)
        return FINAL_FACTOR * rounds * self._one_seed()

    def _standing(self) -> dict[str, Any]:
        """Numbers for a progress display, of all drivers together."""
        study = self.study
        counted = {state: study.count(state) for state in ("finished", "pruned", "rejected", "failed")}
        done = sum(counted.values()) - counted["rejected"]
        most = self.most
        if most is not None and self.space.size is not None:
            most = min(most, self.space.size - counted["rejected"])
        left = max(0, (most or done) - done)
        eta = left * self._typical() / self.engine.slots + self._reserved() if self._typical() else None
        best = study.finished[0] if study.finished else None
        return {
            **counted, "done": done, "total": most, "eta_seconds": eta,
            "best": best and {"number": best.number, "values": dict(best.values), "params": dict(best.params)},
        }  # fmt: skip


def _raised(event: Failed) -> Exception:
    """What a trial raised, to be raised here: the user's mistake as it was, anything else as a defect with its traceback."""
    if not event.is_mistake:
        return Defect(f"trial {event.number} raised {event.kind}:\n{event.message}")
    kind = getattr(errors, event.kind, RankwiseError)
    return kind(event.message) if kind.__init__ is RankwiseError.__init__ else RankwiseError(event.message)


def _shuffled(space: Space) -> dict[str, dict[str, Any]]:
    """All configurations by key, in an order that covers the space from its beginning."""
    listed = list(space.listed())
    random.Random(space.search.seed).shuffle(listed)
    return {_key(labels): labels for labels in listed}


def _key(labels: Mapping[str, Any]) -> str:
    return json.dumps(labels, sort_keys=True)
