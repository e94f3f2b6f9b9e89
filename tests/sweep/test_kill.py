"""Real processes, real SIGKILL: no finished trial is lost, none is trained again, and the same command goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import fakes
import pytest

from rankwise.sweep.study import Study

pytestmark = pytest.mark.long

GRID = "{sampler: grid, finalists: 2, finalist_seeds: 2}"
CONFIGURATIONS = {(rank, rate) for rank in (2, 4, 8, 16) for rate in (1e-3, 1e-2)}


class Drivers:
    """Drivers of one sweep, each a process with workers of its own."""

    def __init__(
        self, space: Path, folder: Path, storage: str = "", objective: str = "scored", patience_seconds: float = 2
    ) -> None:
        self.space, self.folder, self.storage, self.objective = space, folder, storage, objective
        self.log = folder / "log"
        self.log.touch()
        self.environment = {
            **os.environ,
            "RANKWISE_FAKE_LOG": str(self.log),
            "RANKWISE_FAKE_SECONDS": "0.6",
            "RANKWISE_FAKE_PATIENCE": str(patience_seconds),
        }

    def start(self, out: str = "sweep", jobs: int = 2) -> subprocess.Popen:
        given = [str(self.space), str(self.folder / out), str(jobs), self.storage, self.objective]
        command = [sys.executable, fakes.__file__, *given]
        return subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def finish(self, *drivers: subprocess.Popen) -> dict:
        for driver in drivers:
            told, problem = driver.communicate(timeout=120)
            assert driver.returncode == 0, problem
        return json.loads(told)

    def lines(self, kind: str) -> list[tuple]:
        return [line for line in fakes.log(self.log) if line[0] == kind]

    def wait_for(self, kind: str, count: int) -> None:
        wait(lambda: len(self.lines(kind)) >= count, f"fewer than {count} lines say '{kind}'")

    def wait_until_told(self, count: int) -> None:
        """Wait until the study knows of so many finished trials."""
        source = f"{self.storage}#sweep" if self.storage else self.folder / "sweep"
        wait(lambda: Study.load(source).count("finished") >= count, f"fewer than {count} trials are finished")

    def workers(self) -> list[int]:
        return sorted({json.loads(line)[4] for line in self.log.read_text("utf-8").splitlines()})

    def check(self, out: str = "sweep") -> Study:
        """Every configuration has one finished trial, and was trained to its end."""
        study = Study.load(self.folder / out)
        assert study.count("finished") == len(study.trials) == 8
        assert {tuple(trial.params.values()) for trial in study.trials} == CONFIGURATIONS
        assert {line[1:3] for line in self.lines("end")} == CONFIGURATIONS
        return study


def wait(holds: Callable[[], bool], problem: str) -> None:
    until = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < until, problem
        time.sleep(0.05)


@pytest.fixture
def drivers(space_file, tmp_path):
    return Drivers(space_file(GRID), tmp_path)


def test_a_killed_driver_takes_its_workers_along_and_the_same_command_goes_on(drivers):
    first = drivers.start()
    drivers.wait_for("end", 3)
    drivers.wait_until_told(2)
    first.kill()
    first.communicate()
    wait(lambda: not any(fakes.lives(process) for process in drivers.workers()), "a worker lives on")
    told = [trial.number for trial in Study.load(drivers.folder / "sweep").trials if trial.state == "finished"]
    before = {line[1:3] for line in drivers.lines("end")}
    begun = len(drivers.lines("begin"))

    result = drivers.finish(drivers.start())
    study = drivers.check()
    assert result == {"finished": 8, "finals": 4, "best": {"adapter.rank": 8, "train.learning_rate": 1e-3}}
    assert len(told) >= 2
    assert [trial.number for trial in study.trials if trial.number in told] == told, "no finished trial is lost"
    again = {line[1:3] for line in drivers.lines("begin")[begun:]}
    kept = {tuple(trial.params.values()) for trial in study.trials if trial.number in told}
    assert kept <= before
    assert not again & kept, "no finished trial is trained again"


def test_a_killed_worker_costs_the_trial_that_it_had_and_is_replaced(drivers):
    driver = drivers.start()
    drivers.wait_for("end", 2)
    drivers.wait_for("begin", 4)
    victim = drivers.workers()[0]
    os.kill(victim, signal.SIGKILL)
    drivers.finish(driver)
    drivers.check()
    assert len(drivers.lines("end")) == 8, "each configuration ends once"
    assert len(drivers.workers()) == 3
    assert len(drivers.lines("begin")) in (8, 9), "only what the worker had is begun again"


@pytest.mark.slow
def test_a_configuration_that_kills_its_process_is_given_up_after_three(space_file, tmp_path):
    drivers = Drivers(space_file(GRID), tmp_path, objective="deadly")
    drivers.finish(drivers.start())
    study = Study.load(tmp_path / "sweep")
    failed = [trial for trial in study.trials if trial.state == "failed"]
    assert sorted(trial.params["train.learning_rate"] for trial in failed) == [1e-3, 1e-2]
    assert {trial.reason for trial in failed} == {"its process died 3 times"}
    assert study.count("finished") == 6
    assert Counter(line[1] for line in drivers.lines("begin"))[8] == 6


def test_a_driver_killed_among_the_finalists_goes_on_with_them(drivers):
    first = drivers.start()
    drivers.wait_for("final", 1)
    first.kill()
    first.communicate()
    assert drivers.finish(drivers.start())["finals"] == 4
    study = drivers.check()
    assert len(drivers.lines("end")) == 8, "the search is not repeated"
    assert sorted((final.trial, final.seed) for final in study.finals) == sorted(
        (trial.number, seed) for trial in study.finished[:2] for seed in (1, 2)
    )


def test_two_drivers_share_one_file_and_train_nothing_twice(space_file, tmp_path):
    drivers = Drivers(space_file(GRID), tmp_path, patience_seconds=30)  # neither is taken for dead on a busy machine
    pair = [drivers.start(jobs=2), drivers.start(jobs=2)]
    drivers.finish(*pair)
    drivers.check()
    assert len(drivers.lines("end")) == len(drivers.lines("begin")) == 8
    assert len(drivers.lines("final")) == 4


@pytest.mark.slow
def test_one_driver_finishes_what_another_was_killed_at(drivers):
    one, other = drivers.start(jobs=1), drivers.start(jobs=1)
    drivers.wait_for("begin", 3)
    one.kill()
    one.communicate()
    drivers.finish(other)
    drivers.check()


@pytest.mark.slow
def test_drivers_share_a_study_in_postgresql_one_of_them_killed(space_file, tmp_path, postgres):
    drivers = Drivers(space_file(GRID), tmp_path, storage=postgres)
    (tmp_path / "elsewhere").mkdir()
    one, other = drivers.start(jobs=2), drivers.start(out="elsewhere/sweep", jobs=2)
    drivers.wait_for("end", 2)
    drivers.wait_until_told(2)
    one.kill()
    one.communicate()
    kept = {tuple(trial.params.values()) for trial in Study.load(f"{postgres}#sweep").trials if trial.state == "finished"}
    begun = len(drivers.lines("begin"))
    drivers.finish(other)
    study = drivers.check("elsewhere/sweep")
    assert len(kept) >= 1
    assert not kept & {line[1:3] for line in drivers.lines("begin")[begun:]}, "no finished trial is trained again"
    assert Study.load(f"{postgres}#sweep").trials == study.trials
    assert len(study.finals) == 4
    assert not (tmp_path / "elsewhere" / "sweep" / "study.db").exists()
    assert drivers.finish(drivers.start())["finished"] == 8, "the killed one's command finds everything done"
