"""The first stage of a sweep: ask for configurations, have them trained, tell what came of them."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from rankwise.errors import DataError, RankwiseError, RecipeError
from rankwise.recipe import Recipe
from rankwise.sweep.results import COSTS, Rejected, Result, SearchStarted, Standing, Task, TrialEnded, configured
from rankwise.sweep.stage import Running, Stage, Sweep, waits
from rankwise.sweep.storage import ENDED, ENOUGH, MOST_DEATHS, Board, counts, labels_of
from rankwise.sweep.study import Study, ended_trial

MOST_REFUSED = 100  # configurations in a row that were repeated or rejected: then the search has nothing new to say
MOST_REPEATED = 10  # of them before TPE is given what was never tried, where that can be listed


class Search(Stage):
    """Trials of the space, until there are enough."""

    def __init__(self, sweep: Sweep, board: Board) -> None:
        super().__init__(sweep, board, sweep.timing.allows_trial)
        self.most = sweep.space.wanted
        self.refused = 0  # configurations in a row that were not trained
        listed = list(sweep.space.listed()) if sweep.space.size is not None else []
        random.Random(sweep.space.search.seed).shuffle(listed)  # it covers the space from its beginning
        self.listed = {_key(labels): labels for labels in listed}

    def run(self) -> None:
        self.sweep.events.emit(SearchStarted(self.sweep.engine.slots, self.standing()))
        super().run()

    def is_wanting(self) -> bool:
        trials = self.board.trials()
        ended = {trial.user_attrs["fingerprint"] for trial in trials if trial.state in ENDED and counts(trial)}
        if len(ended) >= self.most:
            return False
        if waits(trials):
            return True
        exhausted = self._untried(trials) is None if self.listed else self.refused >= MOST_REFUSED
        return not exhausted and len({t.user_attrs["fingerprint"] for t in trials if counts(t)}) < self.most

    def start(self) -> bool:
        base, search = self.sweep.base, self.sweep.space.search
        while self.is_wanting():
            self.board.beat()
            self._enqueue_listed()
            trial = self.board.ask()
            params = self.sweep.space.suggest(trial)
            recipe, key = self._resolved(params)
            if not self.board.claim(trial, key, params, most=self.most, waiting=self.waiting):
                self.refused += 1
            elif isinstance(recipe, RecipeError):
                self._tell(trial, asdict(Rejected("rejected", str(recipe).splitlines()[0])))
            else:
                self.hand_over(trial, Task(recipe, tuple(range(base.train.seed, base.train.seed + search.seeds))))
                return True
        return False

    def goes_on(self, running: Running) -> bool:
        objectives, entry = self.sweep.space.objectives, running.entries[-1]
        if len(objectives) > 1 or objectives[0] not in entry:
            return True  # Optuna prunes by one objective
        try:
            running.trial.report(entry[objectives[0]], step=len(running.entries))
        except optuna.exceptions.UpdateFinishedTrialError:  # taken for lost while this machine slept
            return False
        if entry.get("is_last") and self.sweep.space.search.seeds == 1:
            return True  # it is trained, and there is nothing left to save
        return not running.trial.should_prune()

    def finish(self, running: Running, end: list[Result] | Rejected | None) -> None:
        seconds = time.monotonic() - running.started
        if isinstance(end, Rejected):
            self._tell(running.trial, asdict(end))
        elif end is None:
            self.sweep.timing.cut_short.append(seconds)
            self._tell(running.trial, self._pruned(running))
        else:
            self.sweep.timing.took.append(seconds)
            self.check_data(running.trial.user_attrs["params"], end[0].data_sha256)
            self._tell(running.trial, self._score(end))

    def gives_up(self, running: Running) -> None:
        self.finish(running, Rejected("failed", f"its process died {MOST_DEATHS} times"))

    def failed(self, running: Running, problem: RankwiseError) -> None:
        """Goes on after settings of data that don't suit the data, which suit them with other settings."""
        varies_data = any(key.startswith("data.") for key in running.trial.user_attrs["params"])
        finished = (trial.state == TrialState.COMPLETE for trial in self.board.trials())
        if not (isinstance(problem, DataError) and varies_data and any(finished)):
            raise problem
        self.finish(running, Rejected("failed", str(problem).splitlines()[0]))

    def standing(self) -> Standing:
        study = Study.of(self.board.study)
        done = study.count("finished", "pruned", "failed")
        total, size = self.most, self.sweep.space.size
        if size is not None:
            total = min(total, size - study.count("rejected"))
        total = max(total, done)  # as where fewer trials are asked for than there are
        return Standing(
            done=done,
            total=total,
            eta_seconds=self.sweep.timing.remaining(max(0, total - done)),
            best=study.finished[0] if study.finished else None,
        )

    def _score(self, results: Sequence[Result]) -> dict[str, Any]:
        """The outcome of a trial whose seeds were all trained."""
        scores = {name: [result.scores[name] for result in results] for name in results[0].scores}
        values = scores | {name: [getattr(result, name) for result in results] for name in COSTS}
        first = self.sweep.base.train.seed
        return {
            "state": "finished",
            "objectives": [fmean(values[name]) for name in self.sweep.space.objectives],
            "scores": scores,
            "seeds": list(range(first, first + len(results))),
            "seconds": fmean(values["seconds"]),
            "trained_parameters": results[0].trained_parameters,
            "history": [list(result.history) for result in results],
            "validation_rows": results[0].validation_rows,
        }

    def _pruned(self, running: Running) -> dict[str, Any]:
        last, first = running.entries[-1], self.sweep.space.objectives[0]
        apart = ("trained_parameters", "is_last")
        plain = [{key: value for key, value in entry.items() if key not in apart} for entry in running.entries]
        return {
            "state": "pruned",
            "reason": f"behind at evaluation {len(plain)}: {first} {last[first]:.4g}",
            "history": [plain],
            "seconds": last.get("seconds"),
            "trained_parameters": last.get("trained_parameters"),
            "seeds": [self.sweep.base.train.seed],
        }

    def _tell(self, trial: optuna.Trial, outcome: Mapping[str, Any]) -> None:
        self.refused = self.refused + 1 if outcome["state"] == "rejected" else 0
        self.board.finish(trial, outcome)
        ended = ended_trial(trial.number, trial.user_attrs["params"], self.sweep.space.objectives, outcome)
        self.sweep.events.emit(TrialEnded(ended, self.standing()))

    def _untried(self, trials: Sequence[FrozenTrial]) -> dict[str, Any] | None:
        """The list's next configuration that no trial has had, in Optuna's names and labels."""
        had = {_key(labels_of(trial)) for trial in trials if trial.user_attrs.get("given up") != ENOUGH}
        return next((labels for key, labels in self.listed.items() if key not in had), None)

    def _enqueue_listed(self) -> None:
        """Queue the list's next configuration for `ask`, unless one waits, or TPE still draws what is new."""
        trials = self.board.trials()
        draws = self.sweep.space.search.sampler == "tpe" and self.refused < MOST_REPEATED
        if not draws and not waits(trials) and (labels := self._untried(trials)):
            params = self.sweep.space.suggest(optuna.trial.FixedTrial(labels))
            attrs = {"params": params, "fingerprint": self._resolved(params)[1]}
            self.board.study.enqueue_trial(labels, user_attrs=attrs)

    def _resolved(self, params: Mapping[str, Any]) -> tuple[Recipe | RecipeError, str]:
        """The recipe of a configuration, or why there is none; and what tells it from others."""
        try:
            recipe = configured(self.sweep.base, params)
        except RecipeError as problem:
            return problem, _key(params)
        return recipe, recipe.fingerprint


def _key(labels: Mapping[str, Any]) -> str:
    return json.dumps(labels, sort_keys=True)
