"""`rankwise compare`: a table that fits, verdicts in words, JSON and CSV; one clear line for a mistake."""

from __future__ import annotations

import csv
import json

import pytest
from typer.testing import CliRunner

from rankwise.cli import app
from rankwise.comparison import compare
from rankwise.console import out


@pytest.fixture
def folders(run_for):
    """Two recipes, one of them with two seeds."""
    changes = (), ("train.seed=1",), ("train.epochs=1", "train.learning_rate=1e-5")
    return [str(run_for("bert", *change).folder) for change in changes]


def typed(*words):
    return CliRunner().invoke(app, ["compare", *words], catch_exceptions=False)


def test_it_prints_a_line_a_system_and_a_verdict_a_pair_in_80_columns(folders, monkeypatch):
    monkeypatch.setattr(out, "_width", 80)
    answer = typed(*folders)
    assert answer.exit_code == 0
    lines = answer.stdout.splitlines()
    assert lines[0].split() == ["system", "seeds", "accuracy", "%", "F1", "%", "loss", "trained", "seconds", "GB"]
    assert max(map(len, lines)) <= 80
    assert "tiny train.epochs=2" in answer.stdout
    assert "12 test rows, the same for all" in answer.stdout
    assert "is better than" in answer.stdout or "no difference shown" in answer.stdout
    assert "only one seed of tiny" in answer.stdout.replace("\n", " ")


def test_json_is_the_comparison(folders):
    answer = typed(*folders, "--json")
    assert json.loads(answer.stdout) == json.loads(json.dumps(compare_folders(folders).as_dict()))


def compare_folders(folders):
    from rankwise.run import Run

    return compare(Run.load(folder) for folder in folders)


def test_the_table_goes_to_a_csv_too(folders, tmp_path):
    typed(*folders, "--out", str(tmp_path / "table.csv"), "--metric", "macro-f1")
    with (tmp_path / "table.csv").open(newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 2


def test_one_run_is_a_mistake_and_says_what_to_type(folders):
    answer = typed(folders[0])
    assert answer.exit_code == 2
    assert f"found one run, {folders[0]}; expected two or more to compare: rankwise compare runs/*" in answer.stderr
