"""Two processes make the update that one makes: the same gradients, one run folder, one voice."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from conftest import save_tiny
from rankwise.run.folder import Run
from rankwise.workflows.train import train

pytestmark = pytest.mark.long


def in_two_processes(recipe, folder, *words, program=("-m", "rankwise")):
    """The run that the command line leaves under torchrun in two processes, on gloo, and what it prints."""
    path = folder.with_suffix(".yaml")
    path.write_text(recipe.to_yaml(), "utf-8")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    command = [*launcher, *program, "train", str(path), "--out", str(folder), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return Run.load(folder), done.stdout


CLIMB = """
import os, signal, sys
from rankwise.workflows import ladder

ladder._is_worth_more = lambda _: True  # to the top, whatever the rungs gain
ladder.GAINS = {"features": (1.0, 1e-6), "top": (1.0, 1e-6)}
log, dies_at = open(f"{os.environ['LOG']}-{os.environ['RANK']}", "ab", buffering=0), os.environ["DIES_AT"]
WRITES = ("open", "os.mkdir", "os.rename", "os.remove", "shutil.rmtree")


def heard(event, arguments):
    if event in WRITES and isinstance(arguments[0], (str, os.PathLike)):
        target = os.fspath(arguments[1 if event == "os.rename" else 0])
        if "/checkpoints/" in target and (event != "open" or arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
            log.write(f"{target}\\n".encode())
            if dies_at and target.endswith(dies_at):
                os.kill(os.getpid(), signal.SIGKILL)


sys.addaudithook(heard)
from rankwise.cli.app import main

main()
"""


@pytest.mark.slow
def test_two_processes_climb_a_ladder_whose_notes_one_of_them_writes_and_go_on_after_a_kill(
    recipe_for, tmp_path, monkeypatch
):
    base = save_tiny("bert", tmp_path / "quiet", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    rungs = ("rungs=[features,top,all]", "head.kind=pooled", "head.start=fitted", "train.max_steps=4")
    recipe = recipe_for("bert", f"base={base}", *rungs, "train.evaluate_every=2", "evaluate.baselines=false")
    (tmp_path / "climb.py").write_text(CLIMB, "utf-8")

    def climbed(name, *words, dies_at=""):
        monkeypatch.setenv("LOG", str(tmp_path / name))
        monkeypatch.setenv("DIES_AT", dies_at)
        return in_two_processes(recipe, tmp_path / name, *words, program=(str(tmp_path / "climb.py"),))[0]

    whole = climbed("whole")
    written, by_the_other = ((tmp_path / f"whole-{rank}").read_text("utf-8") for rank in (0, 1))
    for note in ("features/held_out", "features/spent", "all/held_out", "all/spent"):
        assert f"checkpoints/{note}\n" in written, "whole, by a new name"
    assert by_the_other == ""

    with pytest.raises(AssertionError, match="Signal 9"):
        climbed("killed", dies_at="all/held_out")  # when all of its folds have trained
    assert not (tmp_path / "killed" / "manifest.json").exists()
    again = climbed("killed", "--resume")
    assert [(rung.rung, rung.accuracy, rung.gain) for rung in again.facts.ladder.rungs] == [
        (rung.rung, rung.accuracy, rung.gain) for rung in whole.facts.ladder.rungs
    ]
    assert len(whole.facts.ladder.rungs) == 2
    weights = [load_file(run.folder / "adapter_model.safetensors") for run in (whole, again)]
    torch.testing.assert_close(weights[1], weights[0], rtol=0, atol=0)


APART = """
import os, time

from rankwise.training import frozen_layers, loop
from rankwise.workflows import ladder

ladder._is_worth_more = lambda _: True
if os.environ["RANK"] == "1":  # whose clock says that no time is left, and whose memory is full
    ladder.time = type("Late", (), {"monotonic": staticmethod(lambda: time.monotonic() + 1e4)})
    frozen_layers.available_bytes = lambda: 0
kept = loop.frozen_layers


def told(*args, **named):
    found = kept(*args, **named)
    with open(f"{os.environ['LOG']}-{os.environ['RANK']}", "a") as log:
        log.write(f"{found.recomputed}\\n")
    return found


loop.frozen_layers = told
from rankwise.cli.app import main

main()
"""


@pytest.mark.slow
def test_of_two_processes_the_main_one_says_what_there_is_time_and_room_for(recipe_for, tmp_path, monkeypatch):
    monkeypatch.setenv("RANKWISE_CACHE_GB", "0")
    monkeypatch.setenv("LOG", str(tmp_path / "recomputed"))
    rungs = ("rungs=[features,all]", "head.kind=pooled", "head.start=fitted", "train.max_steps=2", "budget.minutes=10")
    top = ("adapter.allocate.policy=last-k", "adapter.allocate.k=1", "train.encoder_dropout=off")
    (tmp_path / "apart.py").write_text(APART, "utf-8")
    recipe = recipe_for("bert", *rungs, *top, "evaluate.baselines=false")
    run, _ = in_two_processes(recipe, tmp_path / "run", program=(str(tmp_path / "apart.py"),))
    assert [rung.rung for rung in run.facts.ladder.rungs] == ["features", "all"]
    main, other = ((tmp_path / f"recomputed-{rank}").read_text("utf-8") for rank in (0, 1))
    assert main == other
    assert "True" not in main


@pytest.mark.slow
def test_two_processes_give_the_gradients_of_one(recipe_for, tmp_path):
    """One step of plain SGD at rate 1 moves each weight by its gradient; shares of 7 and 6 rows."""
    base = save_tiny("bert", tmp_path / "quiet", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    recipe = recipe_for(
        "bert",
        f"base={base}",
        "train.batch_size=13",
        "train.max_steps=1",
        "train.optimizer=sgd",
        "train.learning_rate=1",
        "train.schedule=constant",
        "train.clip_norm=null",
        "evaluate.baselines=false",
        "train.class_weights=balanced",
    )
    one = train(recipe, tmp_path / "one")
    two, printed = in_two_processes(recipe, tmp_path / "two")
    weights = [load_file(run.folder / "adapter_model.safetensors") for run in (one, two)]
    torch.testing.assert_close(weights[1], weights[0], rtol=1e-4, atol=1e-6)
    assert two.facts.processes == 2
    assert two.scores.test.accuracy == one.scores.test.accuracy
    events = [json.loads(line)["event"] for line in (two.folder / "events.jsonl").read_text("utf-8").splitlines()]
    assert events.count("start") == 1, "one process tells"
    assert printed.count("whole model") == 1, "one process prints"


@pytest.mark.parametrize("method", ["lora", pytest.param("adalora", marks=pytest.mark.slow)])
def test_a_longer_training_in_two_processes_ends_where_one_does(recipe_for, tmp_path, method):
    base = save_tiny("bert", tmp_path / "quiet", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    settings = [f"base={base}", f"adapter.method={method}", "train.learning_rate=1e-3", "evaluate.baselines=false"]
    recipe = recipe_for("bert", *settings)
    one, (two, _) = train(recipe, tmp_path / "one"), in_two_processes(recipe, tmp_path / "two")
    for alone, together in zip(one.scores.history, two.scores.history, strict=True):
        assert together.train_loss == pytest.approx(alone.train_loss, rel=1e-3)
        assert together.log_loss == pytest.approx(alone.log_loss, rel=1e-2)
