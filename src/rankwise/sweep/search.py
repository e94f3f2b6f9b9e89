"""The two stages of a sweep: search among configurations, then train the best again."""

import json
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from rankwise.errors import DataError, RankwiseError, RecipeError, RunError
from rankwise.recipe import Recipe
from rankwise.sweep import results
from rankwise.sweep.results import COSTS, Final, Rejected, Result, Standing, Task, configured
from rankwise.sweep.stage import Running, Stage, Sweep, waits
from rankwise.sweep.storage import ENDED, ENOUGH, MOST_DEATHS, Board, counts, labels_of
from rankwise.sweep.study import Study, ended_trial

MOST_REFUSED = 100  # configurations in a row that were repeated or rejected: then the search has nothing new to say
MOST_REPEATED = 10  # of them before TPE is given what was never tried, where that can be listed


class Search(Stage):
    """The first stage: trials of the space, until there are enough."""

    def __init__(self, sweep: Sweep, board: Board) -> None:
        super().__init__(sweep, board, sweep.timing.allows_trial)
        self.most = sweep.space.wanted
        self.refused = 0  # configurations in a row that were not trained
        listed = list(sweep.space.listed()) if sweep.space.size is not None else []
        random.Random(sweep.space.search.seed).shuffle(listed)  # it covers the space from its beginning
        self.listed = {_key(labels): labels for labels in listed}

    def run(self) -> None:
        self.board.events.emit(results.SearchStarted(self.sweep.engine.slots, self.standing()))
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
            if not self.board.claim(trial, key, params, most=self.most):
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
        done, size = study.count("finished", "pruned", "failed"), self.sweep.space.size
        wanted = self.most if size is None else min(self.most, size - study.count("rejected"))
        total = max(wanted, done)  # there are more where fewer trials are asked for than there were
        return Standing(done, total, self.sweep.timing.remaining(total - done), best=next(iter(study.finished), None))

    def _score(self, by_seed: Sequence[Result]) -> dict[str, Any]:
        scores = {name: [result.scores[name] for result in by_seed] for name in by_seed[0].scores}
        values = scores | {name: [getattr(result, name) for result in by_seed] for name in COSTS}
        first = self.sweep.base.train.seed
        if strange := next((name for name in self.sweep.space.objectives if name not in values), None):
            raise RecipeError(f"the objective {strange} is not of this data; expected some of {', '.join(values)}")
        return {
            "state": "finished",
            "objectives": [fmean(values[name]) for name in self.sweep.space.objectives],
            "scores": scores,
            "seeds": list(range(first, first + len(by_seed))),
            "seconds": fmean(values["seconds"]),
            "trained_parameters": by_seed[0].trained_parameters,
            "history": [list(result.history) for result in by_seed],
            "validation_rows": by_seed[0].validation_rows,
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
        self.board.events.emit(results.TrialEnded(ended, self.standing()))

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


class Finals(Stage):
    """The second stage: the best configurations as whole runs on fresh seeds, each of which scores the test rows once."""

    def __init__(self, sweep: Sweep, board: Board) -> None:
        super().__init__(sweep, board, sweep.timing.allows_final)
        study = Study.of(sweep.searched)
        search, first = sweep.space.search, sweep.base.train.seed + sweep.space.search.seeds
        best = study.front() if len(study.objectives) > 1 else study.finished
        self.wanted = {  # (trial, seed) of each run, and its recipe
            (trial.number, seed): configured(sweep.base, trial.params)
            for trial in best[: search.finalists]
            for seed in range(first, first + search.finalist_seeds)
        }
        self.searched = {trial.number: trial.params for trial in study.finished}

    def run(self) -> None:
        trials = tuple(dict.fromkeys(number for number, _ in self.wanted))
        self.board.events.emit(results.FinalistsChosen(len(self.wanted), trials))
        self._enqueue()
        super().run()

    def is_wanting(self) -> bool:
        return waits([trial for trial in self.board.trials() if self._recipe(trial) is not None])

    def start(self) -> bool:
        self._enqueue()
        while self.is_wanting():
            trial = self.board.ask()
            recipe = self._recipe(trial)
            if recipe is None:  # another driver took what waited, so Optuna made this one; or a former call wanted it
                self.board.give_up(trial, "not wanted")
                continue
            params = trial.user_attrs["params"]
            folder = str(self.sweep.folder / "finals" / f"trial-{params['trial']}-seed-{params['seed']}")
            params = {**params, "folder": folder}  # this driver's; another one has its own
            if self.board.claim(trial, trial.user_attrs["fingerprint"], params):
                self.hand_over(trial, Task(recipe, (params["seed"],), folder))
                return True
        return False

    def finish(self, running: Running, end: list[Result] | Rejected | None) -> None:
        assert end is not None, "a whole run is not stopped early"
        params = running.trial.user_attrs["params"]
        if isinstance(end, Rejected):  # it diverges with this seed, which is worth knowing
            final = Final(**params, reason=end.reason)
            outcome: dict[str, Any] = {"state": end.state, "reason": end.reason}
        else:
            (result,) = end
            self.check_data(self.searched[params["trial"]], result.data_sha256)
            final = Final(**params, validation=result.scores, test=result.test, seconds=result.seconds)
            score = result.scores.get(self.sweep.space.objectives[0], 0.0)
            outcome = {"state": "finished", "objectives": [score], "final": asdict(final)}
        self.board.finish(running.trial, outcome)
        self.board.events.emit(final)

    def gives_up(self, running: Running) -> None:
        """Leaves it to the next call, which goes on from its last checkpoint."""
        raise RunError(
            f"{running.trial.user_attrs['params']['folder']}: its process died {MOST_DEATHS} times, as it does where memory "
            "runs out; try fewer trials at a time: --jobs 1"
        )

    def _recipe(self, trial: optuna.Trial | FrozenTrial) -> Recipe | None:
        """What a trial of this study is to train; None where that is not wanted here."""
        params = trial.user_attrs.get("params", {})
        return self.wanted.get((params.get("trial"), params.get("seed")))

    def _enqueue(self) -> None:
        held = (trial.user_attrs for trial in self.board.trials() if "given up" not in trial.user_attrs)
        known = {attrs.get("fingerprint") for attrs in held}
        for (number, seed), recipe in self.wanted.items():
            key = f"{recipe.fingerprint}:{seed}"
            if key not in known:
                attrs = {"params": {"trial": number, "seed": seed}, "fingerprint": key}
                self.board.study.enqueue_trial({}, user_attrs=attrs)


def _key(labels: Mapping[str, Any]) -> str:
    return json.dumps(labels, sort_keys=True)
