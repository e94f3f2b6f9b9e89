"""The README is true: its commands and its Python run in order, its tables are what the commands print."""

from __future__ import annotations

import csv
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import Rows
from rankwise import Recipe, Run
from rankwise.workflows.export import export

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)
COMMANDS = [line for kind, text in BLOCKS if kind == "console" for line in text.splitlines() if line.startswith("rankwise ")]
PYTHON = [text for kind, text in BLOCKS if kind == "python"]
(EXAMPLE,) = [text for text in PYTHON if "rankwise.train(" in text]
(BY_HAND,) = [text for text in PYTHON if "onnxruntime.InferenceSession" in text]
(SEARCH,) = [text for text in PYTHON if "GridSearchCV" in text]


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "80"}
    environment.pop("OMP_NUM_THREADS", None)  # which suits the tests' tiny encoders
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=900, check=False)


def rankwise(command: str) -> list[str]:
    return [str(Path(sys.executable).with_name("rankwise")), *shlex.split(command)[1:]]


@pytest.mark.slow
def test_the_tables_are_what_their_command_prints() -> None:
    done = run([sys.executable, str(ROOT / "benchmarks" / "tables.py"), "--check"], ROOT)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("rankwise plan")])
def test_a_plan_command_prints_what_trains(command: str, tmp_path: Path) -> None:
    done = run(rankwise(command), tmp_path)
    assert done.returncode == 0, done.stderr
    assert "total trained" in done.stdout
    assert done.stderr == ""


def test_the_python_example_runs_on_a_tiny_encoder(
    recipe_for: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loads = 'rankwise.Recipe.load("quickstart", ["train.epochs=2"])'
    assert loads in EXAMPLE
    monkeypatch.chdir(tmp_path)
    exec(EXAMPLE.replace(loads, "recipe"), {"recipe": recipe_for("bert")})
    counts, accuracy, prediction = capsys.readouterr().out.splitlines()[-3:]
    assert " of " in counts
    assert "%" in accuracy
    assert 0 < float(prediction.split()[-1]) <= 1


def test_the_search_with_scikit_learn_runs_on_a_tiny_encoder(
    recipe_for: Callable[..., Recipe],
    rows: Rows,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    named = 'RankwiseClassifier(rung="top")'
    assert named in SEARCH
    monkeypatch.chdir(tmp_path)
    recipe = recipe_for("bert", "train.encoder_dropout=off", "adapter.allocate={policy: last-k, k: 1}")
    known = {"recipe": recipe, "texts": rows.texts, "labels": rows.labels}
    exec(SEARCH.replace(named, "RankwiseClassifier(recipe)"), known)
    assert "'rank'" in capsys.readouterr().out
    assert Run.load("runs/best").preprocessing.classes == tuple(sorted(set(rows.labels)))


@pytest.mark.long
def test_an_export_is_run_by_hand(
    run_for: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = run_for("bert")
    export(trained, "onnx-int8", tmp_path / "export", max_loss=99)
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    exec(BY_HAND, {})
    (prediction,) = trained.predict(["Goalkeeper out for the season"])
    assert capsys.readouterr().out.split() == [prediction.label]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_command_and_the_python_example_run_in_order(tmp_path: Path) -> None:
    assert len(COMMANDS) >= 10
    for command in COMMANDS:
        done = run(rankwise(command), tmp_path)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        too_wide = [line for line in done.stdout.splitlines() if len(line) > 80 and "next" not in line and "--" not in line]
        assert not too_wide, f"{command} prints lines wider than 80 columns: {too_wide[:3]}"
    with (tmp_path / "predictions.csv").open(newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 32
    assert (tmp_path / "submission.csv").read_text("utf-8").startswith("ID,Label\n")
    done = run([sys.executable, "-c", EXAMPLE], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Sports" in done.stdout
