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


def in_two_processes(recipe, folder):
    """The run that the command line leaves under torchrun in two processes, on gloo, and what it prints."""
    path = folder.with_suffix(".yaml")
    path.write_text(recipe.to_yaml(), "utf-8")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    command = [*launcher, "-m", "rankwise", "train", str(path), "--out", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return Run.load(folder), done.stdout


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
