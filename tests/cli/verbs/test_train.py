"""A training that is told to end by the system, as `docker stop` and schedulers do, hands over what is finished."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest

from rankwise.run.folder import Run

pytestmark = pytest.mark.long


@pytest.fixture
def started(recipe_for, tmp_path):
    """A climb whose second rung never ends, in a process of its own."""
    changes = ("rungs=[features,all]", "head.kind=pooled", "head.start=fitted", "train.max_steps=100000", "train.log_every=1")
    path, out = tmp_path / "recipe.yaml", tmp_path / "run"
    path.write_text(recipe_for("bert", *changes).to_yaml(), "utf-8")
    command = [sys.executable, "-m", "rankwise", "train", str(path), "--out", str(out), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    yield process, out
    process.kill()
    process.wait()


def wait_for(kind, out, process):
    """Wait until an event of this kind stands in the run's file."""
    for _ in range(1200):
        path = out / "events.jsonl"
        if path.exists() and f'"event": "{kind}"' in path.read_text("utf-8"):
            return
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.1)
    raise AssertionError(f"no {kind} came")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_after_the_first_rung_hands_it_over(started, number):
    process, out = started
    wait_for("step", out, process)
    process.send_signal(number)
    told, complaint = process.communicate(timeout=120)
    assert process.returncode == 0, complaint
    assert [rung["rung"] for rung in json.loads(told)["ladder"]["rungs"] if rung["handed_over"]] == ["features"]
    assert Run.load(out).predict(["apple"])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_before_it_ends_the_process_with_what_to_type_next(started, number, code):
    process, out = started
    for _ in range(1200):
        if (out / "events.jsonl").exists():
            break
        time.sleep(0.05)
    process.send_signal(number)
    _, complaint = process.communicate(timeout=120)
    assert process.returncode == code, complaint
    assert complaint == "error: stopped; a training goes on from its last checkpoint with --resume\n"
