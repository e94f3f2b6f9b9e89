"""`rankwise evaluate --shift`: a line and an example a kind in 80 columns, the worst marked; JSON; a file beside the run."""

from __future__ import annotations

import json
import re

import pytest
from typer.testing import CliRunner

from conftest import Rows, separable
from rankwise.cli.app import app
from rankwise.cli.console import out
from rankwise.cli.verbs.evaluate import excerpt
from rankwise.data.shifts import KINDS


@pytest.fixture
def folder(run_for, copy_of):
    return copy_of(run_for("distilbert", "train.epochs=6"))


@pytest.fixture
def data(tmp_path):
    """Rows whose first sentence says another class than the whole, so that a title alone misleads."""
    known = separable(12, seed=5)
    other = {"fruit": "zinc iron tin", "metal": "nile congo don", "river": "apple pear fig"}
    texts = [f"{other[label]}. {text} {text} {text}" for text, label in zip(known.texts, known.labels, strict=True)]
    return str(Rows(texts, known.labels).write(tmp_path / "new.csv"))


def typed(*words):
    return CliRunner().invoke(app, ["evaluate", *words], catch_exceptions=False)


def test_each_kind_has_its_scores_and_an_example(folder, data, monkeypatch):
    monkeypatch.setattr(out, "_width", 80)
    answer = typed(str(folder), data, "--shift")
    assert answer.exit_code == 0
    table = answer.stdout.partition("under shift")[2].splitlines()
    kinds = [re.split(r"  +", line)[0] for line in table[1:] if re.match(r"\w.* \d+\.\d \[", line)]
    assert kinds == ["original", *(kind.replace("_", " ") for kind in KINDS)]
    assert max(map(len, table)) <= 80
    assert [line.split()[0] for line in table if line.endswith("  worst")] == ["title"]
    assert "12 rows, the same under every kind" in answer.stdout
    assert table[0].endswith("inputs changed"), "lower case changes texts, but not what an encoder without case gets"
    assert "Inputs changed: rows whose tokens are others" in " ".join(table)
    assert "macro-F1 %" in answer.stdout.partition("under shift")[0], "the usual scores come first"


def test_json_and_the_file_are_the_report(folder, data):
    answer = json.loads(typed(str(folder), data, "--shift", "--json").stdout)
    kept = json.loads((folder / "shift.json").read_text("utf-8"))
    assert kept.pop("sha256")
    assert answer["shift"] == kept
    assert answer["shift"]["kinds"][0]["accuracy"] == answer["accuracy"]


def test_without_the_option_nothing_is_shifted(folder, data):
    assert "under shift" not in typed(str(folder), data).stdout
    assert not (folder / "shift.json").exists()


def test_an_excerpt_starts_shortly_before_what_changed():
    before = "a " * 100 + "old end"
    after = "a " * 100 + "new end"
    assert excerpt(before, after) == "…" + "a " * 12 + "new end"
    assert excerpt("short", "shirt") == "shirt"
    assert len(excerpt(before, before)) == 76
    assert excerpt("one\n two", "one\n three") == "one three"
