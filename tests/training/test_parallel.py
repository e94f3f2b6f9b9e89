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


def train_in(processes, recipe, folder, tmp_path):
    """Run the command line under torchrun in so many processes, on gloo."""
    path = tmp_path / f"recipe-{processes}.yaml"
    path.write_text(recipe.to_yaml(), "utf-8")
    launcher = ["-m", "torch.distributed.run", f"--nproc-per-node={processes}", "--standalone", "-m", "rankwise"]
    alone = ["-m", "rankwise"]
    done = subprocess.run(
        [sys.executable, *(launcher if processes > 1 else alone), "train", str(path), "--out", str(folder)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("batch_size", [16, 13], ids=["even shares", "shares of 7 and 6 rows"])
def test_two_processes_give_the_gradients_of_one(recipe_for, tmp_path, batch_size):
    """One step of plain SGD at rate 1 moves each weight by its gradient."""
    base = save_tiny("bert", tmp_path / "quiet", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    recipe = recipe_for(
        "bert",
        f"base={base}",
        f"train.batch_size={batch_size}",
        "train.max_steps=1",
        "train.optimizer=sgd",
        "train.learning_rate=1",
        "train.schedule=constant",
        "train.clip_norm=null",
        "evaluate.baselines=false",
        "train.class_weights=balanced",
    )
    weights, outputs = {}, {}
    for processes in (1, 2):
        outputs[processes] = train_in(processes, recipe, tmp_path / f"run-{processes}", tmp_path)
        weights[processes] = load_file(tmp_path / f"run-{processes}" / "adapter_model.safetensors")
    for name, weight in weights[1].items():
        torch.testing.assert_close(weights[2][name], weight, rtol=1e-4, atol=1e-6)
    runs = {processes: Run.load(tmp_path / f"run-{processes}") for processes in (1, 2)}
    assert runs[2].facts.processes == 2
    assert runs[2].scores.test.accuracy == runs[1].scores.test.accuracy
    events = [json.loads(line)["event"] for line in (tmp_path / "run-2" / "events.jsonl").read_text("utf-8").splitlines()]
    assert events.count("start") == 1, "one process tells"
    assert outputs[2].count("whole model") == outputs[1].count("whole model") == 1, "one process prints"


@pytest.mark.parametrize("method", ["lora", "adalora"])
def test_a_longer_training_in_two_processes_ends_where_one_does(recipe_for, tmp_path, method):
    base = save_tiny("bert", tmp_path / "quiet", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    settings = [f"base={base}", f"adapter.method={method}", "train.learning_rate=1e-3", "evaluate.baselines=false"]
    recipe = recipe_for("bert", *settings)
    scores = {}
    for processes in (1, 2):
        train_in(processes, recipe, tmp_path / f"run-{processes}", tmp_path)
        scores[processes] = Run.load(tmp_path / f"run-{processes}").scores.history
    for one, two in zip(scores[1], scores[2], strict=True):
        assert two.train_loss == pytest.approx(one.train_loss, rel=1e-3)
        assert two.log_loss == pytest.approx(one.log_loss, rel=1e-2)
