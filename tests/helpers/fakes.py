"""Objectives that train nothing, for sweeps in processes of their own: importing this loads no torch.

What they are to do comes through the environment, which workers inherit: RANKWISE_FAKE_LOG is a file that gets a line when a
trial begins and ends, RANKWISE_FAKE_SECONDS how long one takes. While the file RANKWISE_FAKE_HOLD is there, no trial ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import sys
import tempfile
import threading
import time
from pathlib import Path

from rankwise.errors import DataError, NonFiniteLoss, OverBudget, TrainingError
from rankwise.recipe import Recipe
from rankwise.sweep.engines.local import perform
from rankwise.sweep.results import Result

EVALUATIONS = 4


def score_of(recipe, seed=0):
    """Best at rank 8 and a learning rate of 1e-3; a seed moves it by at most 0.002."""
    return 0.9 - abs(int(recipe.adapter.rank) - 8) / 100 - abs(recipe.train.learning_rate - 1e-3) + seed % 3 / 1000


def note(kind, recipe):
    if path := os.environ.get("RANKWISE_FAKE_LOG"):
        with open(path, "a", encoding="utf-8") as file:
            file.write(
                json.dumps([kind, recipe.adapter.rank, recipe.train.learning_rate, recipe.train.seed, os.getpid()]) + "\n"
            )


def scored(recipe, report):
    """A score that grows over four evaluations."""
    note("begin", recipe)
    final = score_of(recipe, recipe.train.seed)
    history = []
    for step in range(1, EVALUATIONS + 1):
        time.sleep(float(os.environ.get("RANKWISE_FAKE_SECONDS", "0")) / EVALUATIONS)
        accuracy = final - (EVALUATIONS - step) / 100
        entry = {"step": step, "epoch": float(step), "accuracy": accuracy, "log_loss": 1 - accuracy}
        history.append(entry)
        cost = {"seconds": float(step), "trained_parameters": 1000 * int(recipe.adapter.rank)}
        report({**entry, **cost, "is_last": step == EVALUATIONS})
    held = Path(os.environ.get("RANKWISE_FAKE_HOLD", os.devnull + "/none"))
    if held.exists():
        note("held", recipe)
        while held.exists():
            time.sleep(0.05)
    note("end", recipe)
    scores = {"accuracy": final, "macro_f1": final - 0.01, "mcc": final - 0.02, "log_loss": 1 - final}
    return Result(scores, 1000 * int(recipe.adapter.rank), 4.0 + recipe.adapter.rank, tuple(history), 100, "the data")


def capped(recipe, report):
    """Refuses ranks above 8, as a planner does."""
    if recipe.adapter.rank > 8:
        raise OverBudget("too much", trained=1000 * recipe.adapter.rank, cap=8001, fixes={})
    return scored(recipe, report)


def diverging(recipe, report):
    if recipe.adapter.rank == 8:
        raise NonFiniteLoss("the loss became nan at update 3")
    return scored(recipe, report)


def fussy(recipe, report):
    """Has no rows of 999 rows, and no fp16."""
    if recipe.data.rows == 999:
        raise DataError("data.rows is 999, and there are 8")
    if recipe.train.precision == "fp16":
        raise TrainingError("train.precision is fp16, which needs a GPU")
    return scored(recipe, report)


def without_data(recipe, report):
    raise DataError("news.csv: no such file")


def broken(recipe, report):
    raise ZeroDivisionError("a mistake of ours")


def deadly(recipe, report):
    if recipe.adapter.rank == 8:
        note("begin", recipe)
        os.kill(os.getpid(), 9)
    return scored(recipe, report)


def where(task, report):
    return task, os.getpid(), os.environ["OMP_NUM_THREADS"]


def counted(task, report):
    for step in range(task):
        report({"step": step})


def raising(task, report):
    if task == "data":
        raise DataError("news.csv: no such file")
    if task == "die":
        os.kill(os.getpid(), 9)
    return task if task == "live" else 1 / 0


def sleeping(task, report):
    time.sleep(600)


def sleeping_beside_files(task, report):
    with tempfile.TemporaryDirectory(dir=task):
        report({"step": 1})
        time.sleep(600)


def retrained(recipe, folder):
    note("final", recipe)
    Path(folder).mkdir(parents=True, exist_ok=True)
    time.sleep(float(os.environ.get("RANKWISE_FAKE_SECONDS", "0")))
    final = score_of(recipe, recipe.train.seed)
    scores, test = {"accuracy": final}, {"accuracy": final - 0.03}
    return Result(scores, 1000 * int(recipe.adapter.rank), 9.0, data_sha256="the data", test=test)


class InlineEngine:
    """An engine of threads, for tests that need no processes."""

    def __init__(self, work, slots=1):
        self.work, self.slots = work, slots
        self.told = queue.Queue()
        self.answers = {}
        self.tasks = []

    def start(self, number, task):
        self.tasks.append(task)
        self.answers[number] = queue.Queue()
        mine = {"send": self.told.put, "receive": self.answers[number].get}
        threading.Thread(target=perform, args=(number, self.work, task), kwargs=mine, daemon=True).start()

    def events(self, timeout):
        with contextlib.suppress(queue.Empty):
            yield self.told.get(timeout=timeout)

    def answer(self, number, go_on):
        self.answers[number].put(go_on)

    def close(self):
        for answers in self.answers.values():
            answers.put(False)


def log(path):
    """The lines of a log, as tuples without the process."""
    return [tuple(json.loads(line)[:4]) for line in Path(path).read_text("utf-8").splitlines()]


def lives(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text("utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


if __name__ == "__main__":  # a driver of its own: fakes.py SPACE OUT JOBS STORAGE OBJECTIVE
    from functools import partial

    from rankwise.sweep.driver import sweep
    from rankwise.sweep.engines.local import LocalEngine
    from rankwise.sweep.results import TrialWork
    from rankwise.sweep.space import Space
    from rankwise.sweep.storage import Store

    space, out, jobs, storage, objective = sys.argv[1:6]
    study = sweep(
        Recipe.load("rank4-adam"),
        Space.load(space),
        TrialWork(globals()[objective], retrained),
        Store(Path(out), storage or None, float(os.environ.get("RANKWISE_FAKE_PATIENCE", "2"))),
        engine=partial(LocalEngine, jobs=int(jobs)),
    )
    print(json.dumps({"finished": study.count("finished"), "finals": len(study.finals), "best": dict(study.best.params)}))
