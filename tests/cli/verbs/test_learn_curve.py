"""`rankwise learn-curve`: sizes, law and gain in 80 columns, JSON, a CSV; a second call trains nothing again."""

from __future__ import annotations

import csv
import json

import pytest
from typer.testing import CliRunner

from rankwise.cli.app import app
from rankwise.cli.console import out


@pytest.fixture
def recipe(recipe_for, tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(recipe_for("bert", "train.epochs=1").to_yaml(), "utf-8")
    return str(path)


def typed(*words):
    return CliRunner().invoke(app, ["learn-curve", *words], catch_exceptions=False)


def test_sizes_law_and_gain_are_shown_and_kept(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(out, "_width", 80)
    folder = tmp_path / "curve"
    answer = typed(recipe, "--rows", "9,18,36", "--seeds", "2", "--out", str(folder))
    assert answer.exit_code == 0
    assert [line.split()[0] for line in answer.stdout.splitlines()[1:4]] == ["9", "18", "36"]
    assert "error = " in answer.stdout
    assert "2x the rows (72): +" in answer.stdout
    assert max(map(len, answer.stdout.splitlines())) <= 80
    assert answer.stderr.count(" s\n") == 6

    again = typed(recipe, "--rows", "9,18,36", "--seeds", "2", "--out", str(folder), "--json")
    assert again.stderr.count("from before") == 6
    found = json.loads(again.stdout)
    assert [size["rows"] for size in found["sizes"]] == [9, 18, 36]
    with (folder / "curve.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["accuracy"]) for row in rows] == pytest.approx([size["accuracy"]["value"] for size in found["sizes"]])


def test_rows_that_are_no_numbers_are_refused(recipe):
    answer = typed(recipe, "--rows", "many")
    assert answer.exit_code == 2
    assert "--rows many: expected whole numbers with commas between them" in answer.stderr
