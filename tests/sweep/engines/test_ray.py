"""A simulated cluster of two machines: a sweep runs on both, outlives the loss of one, and ends as it does on one machine."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import fakes
import pytest
from typer.testing import CliRunner

from rankwise.cli.app import app
from rankwise.errors import Defect, RunError
from rankwise.recipe import Recipe
from rankwise.sweep.driver import sweep
from rankwise.sweep.engines.local import Done, Reported
from rankwise.sweep.results import TrialWork
from rankwise.sweep.space import Space
from rankwise.sweep.storage import Store
from rankwise.sweep.study import Study

pytest.importorskip("ray")
pytestmark = [
    pytest.mark.slow,
    # what Ray's own modules do as they are loaded and left
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]
CONFIGURATIONS = {(rank, rate) for rank in (2, 4, 8, 16) for rate in (1e-3, 1e-2)}


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Two nodes of one core each, whose processes find the fakes and write into one log."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(fakes.__file__).parent), *filter(None, sys.path)]))
    monkeypatch.setenv("RANKWISE_FAKE_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("RANKWISE_FAKE_HOLD", str(tmp_path / "hold"))
    monkeypatch.setenv("RANKWISE_FAKE_SECONDS", "2")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.second = made.add_node(num_cpus=1)
    made.wait_for_nodes()
    monkeypatch.setenv("RAY_ADDRESS", made.address)
    yield made
    made.shutdown()


def engine_on(cluster):
    from rankwise.sweep.engines.ray import RayEngine

    return partial(RayEngine, address=cluster.address)


def wait_until(holds, seconds=240):
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it has come to nothing"
        time.sleep(0.1)


def test_a_sweep_outlives_the_loss_of_one_of_two_machines(cluster, space_file, tmp_path):
    """It is lost in the middle of a trial: one that has ended there, but whose end was not written down yet, is trained
    again, and rightly; and for a moment its process goes on."""
    log, hold = tmp_path / "log", tmp_path / "hold"
    log.touch()

    def count(kind):
        return sum(line[0] == kind for line in fakes.log(log))

    def lose_one():
        wait_until(lambda: count("end") >= 2)
        hold.touch()
        wait_until(lambda: count("held") == 2 and Study.load(tmp_path / "sweep").count("finished") == count("end"))
        held = [json.loads(line)[4] for line in log.read_text("utf-8").splitlines() if line.startswith('["held"')]
        cluster.remove_node(cluster.second, allow_graceful=False)
        wait_until(lambda: sum(map(fakes.lives, held)) == 1)
        hold.unlink()

    space = Space.load(str(space_file("{sampler: grid, finalists: 1, finalist_seeds: 1}")))
    with ThreadPoolExecutor(1) as pool:
        losing = pool.submit(lose_one)
        study = sweep(
            Recipe.load("rank4-adam"),
            space,
            TrialWork(fakes.scored, fakes.retrained),
            Store(tmp_path / "sweep"),
            engine=engine_on(cluster),
        )
        losing.result()
    assert study.count("finished") == len(study.trials) == len(CONFIGURATIONS)
    assert {tuple(trial.params.values()) for trial in study.trials} == CONFIGURATIONS
    ends = Counter(line[1:3] for line in fakes.log(log) if line[0] == "end")
    assert set(ends.values()) == {1}, "none was trained to its end twice"
    assert len(study.finals) == 1
    assert dict(study.best.params) == {"adapter.rank": 8, "train.learning_rate": 1e-3}


@pytest.mark.timeout(1200)  # Ray's processes stand back for all others
def test_the_command_trains_on_the_cluster_what_it_trains_on_one_machine(cluster, recipe_for, tmp_path):
    (tmp_path / "base.yaml").write_text(recipe_for("bert", "train.max_steps=4").to_yaml(), "utf-8")
    (tmp_path / "space.yaml").write_text(
        f"base: {tmp_path / 'base.yaml'}\nsearch: {{sampler: grid, finalists: 1, finalist_seeds: 1}}\n"
        "space:\n  adapter.rank: [1, 2]\n",
        "utf-8",
    )
    studies = []
    for out, how in (("local", ["--jobs", "1"]), ("cluster", ["--engine", "ray"])):
        done = CliRunner().invoke(app, ["sweep", str(tmp_path / "space.yaml"), "--out", str(tmp_path / out), *how])
        assert done.exit_code == 0, done.output
        studies.append(Study.load(tmp_path / out))
    scores = [{trial.params["adapter.rank"]: trial.scores for trial in study.trials} for study in studies]
    assert scores[0] == scores[1]
    assert len(scores[0]) == 2
    assert [final.test for final in studies[0].finals] == [final.test for final in studies[1].finals]


def test_both_machines_take_tasks_reports_are_answered_and_mistakes_are_told(cluster):
    engine = engine_on(cluster)(fakes.counted)
    try:
        assert engine.slots == 2
        engine.start(1, 2)
        engine.start(2, "a mistake of ours")  # range() of a text
        heard = []
        until = time.monotonic() + 120
        while sum(isinstance(event, Done) for event in heard) < 2 and time.monotonic() < until:
            for event in engine.events(1.0):
                heard.append(event)
                if isinstance(event, Reported):
                    engine.answer(event.number, go_on=True)
        assert [event.entry["step"] for event in heard if isinstance(event, Reported)] == [0, 1]
        assert {type(event) for event in heard if event.number == 1} == {Reported, Done}
        (failed,) = (event for event in heard if event.number == 2)
        assert isinstance(failed.result, Defect)
        assert "raised TypeError" in str(failed.result)
    finally:
        engine.close()


def test_without_a_cluster_it_says_how_to_start_one(monkeypatch):
    from rankwise.sweep.engines.ray import RayEngine

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert "RAY_ADDRESS" not in os.environ
    with pytest.raises(RunError, match="ray start --head"):
        RayEngine(fakes.where, address="127.0.0.1:1")
    monkeypatch.setenv("RAY_ADDRESS", "ray://127.0.0.1:10001")
    with pytest.raises(RunError, match=r"ray://127\.0\.0\.1:10001 is an address for Ray's client"):
        RayEngine(fakes.where)
