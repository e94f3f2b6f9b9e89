"""`rankwise gate`: exit code 0, 3 or 4 and why, in 80 columns, JSON and Markdown; 2 and one line for a mistake."""

from __future__ import annotations

import json

import pytest

from conftest import separable
from rankwise.cli import console


@pytest.fixture
def good(run_for):
    return run_for("bert", "train.epochs=6").folder


@pytest.fixture
def bad(run_for):
    return run_for("bert", "train.epochs=1", "train.learning_rate=1e-5").folder


@pytest.fixture
def file(tmp_path):
    """A hundred rows that no run has seen."""
    return separable(100, seed=9).write(tmp_path / "new.csv")


def test_a_run_that_is_worse_ends_in_3_and_one_that_is_not_in_0(typed, good, bad, file):
    code, out, err = typed("gate", bad, "--against", good, "--data", file)
    assert (code, err) == (3, "")
    assert "fails: NEW is worse than OLD by more than 0.5 points of accuracy: the difference is -" in out
    code, out, err = typed("gate", good, "--against", bad, "--data", file)
    assert (code, err) == (0, "")
    assert "passes: NEW is not worse than OLD by more than 0.5 points of accuracy: the difference is +" in out


def test_too_few_rows_end_in_4_with_how_many_would_be_enough(typed, good, run_for):
    code, out, err = typed("gate", run_for("bert", "train.epochs=6", "train.seed=1").folder, "--against", good)
    assert (code, err) == (4, "")
    assert "not told: not enough rows to tell whether NEW is worse than OLD by more than 0.5 points of accuracy" in out
    assert "rows would be enough, where one of the two alone is right on " in out
    assert "12 rows: the test rows that both kept" in out
    assert "what 12 such rows tell: " in out


def test_it_fits_80_columns(typed, good, bad, file, monkeypatch):
    monkeypatch.setattr(console.out, "_width", 80)
    _, out, _ = typed("gate", bad, "--against", good, "--data", file)
    assert max(map(len, out.splitlines())) <= 80


def test_json_alone_is_printed_and_the_exit_code_is_the_same(typed, good, bad, file):
    code, out, _ = typed("gate", bad, "--against", good, "--data", file, "--score", "macro-f1", "--json")
    found = json.loads(out)
    assert code == found["exit_code"] == 3
    assert (found["outcome"], found["score"], found["rows"], found["margin"]) == ("worse", "macro_f1", 100, 0.5)
    assert found["new"]["run"] == str(bad)


def test_the_summary_is_added_to_a_file(typed, good, bad, file, tmp_path):
    (tmp_path / "summary.md").write_text("before\n", "utf-8")
    how = ("--data", file, "--margin", "1.5", "--summary", "summary.md")
    code, out, _ = typed("gate", good, "--against", bad, *how)
    written = (tmp_path / "summary.md").read_text("utf-8")
    assert code == 0
    assert written.startswith("before\n### Gate: passes\n\nNEW is not worse than OLD by more than 1.5 points of accuracy: ")
    assert "the summary → summary.md" in out


def test_both_read_the_columns_that_are_named(typed, good, bad, tmp_path):
    rows = separable(100, seed=9)
    lines = [f"x,{text},{label}" for text, label in zip(rows.texts, rows.labels, strict=True)]
    (tmp_path / "odd.csv").write_text("\n".join(["text,words,kind", *lines, ""]), "utf-8")
    named = ("--text-column", "words", "--label-column", "kind")
    code, out, err = typed("gate", good, "--against", bad, "--data", "odd.csv", *named)
    assert (code, err) == (0, "")
    assert "100 rows: odd.csv: CSV" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["GOOD", "--against", "GOOD"], "NEW and OLD are one folder, "),
        (["nowhere", "--against", "GOOD"], "nowhere: no such folder; expected a run folder"),
        (["BAD", "--against", "GOOD", "--margin", "0"], "--margin 0: expected points that NEW may lose"),
        (["BAD", "--against", "GOOD", "--data", "no.csv"], "no.csv: no such file or folder"),
        (["BAD", "--against", "GOOD", "--summary", "no/s.md"], "--summary no/s.md: no such folder; give a file in a folder"),
        (["BAD", "--against", "GOOD", "--set", "data.label=x"], "--set says how a file is read or scored, and none is; give"),
        (["BAD", "--against", "GOOD", "--engine", "fast"], "--engine says how a file is read or scored, and none is; give"),
        (["BAD", "--against", "GOOD", "--unseen-as-wrong"], "--unseen-as-wrong says how a file is read or scored"),
    ],
)
def test_a_mistake_is_one_line_and_no_verdict(typed, good, bad, words, message):
    code, out, err = typed("gate", *({"GOOD": good, "BAD": bad}.get(word, word) for word in words))
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {message}")
    assert len(err.splitlines()) == 1


def test_a_label_that_the_runs_never_saw_is_refused_or_wrong(typed, good, bad, file):
    with file.open("a", encoding="utf-8") as rows:
        rows.write("something else,other\n")
    code, _, err = typed("gate", good, "--against", bad, "--data", file)
    assert code == 2
    assert "other" in err
    code, out, _ = typed("gate", good, "--against", bad, "--data", file, "--unseen-as-wrong")
    assert code == 0
    assert "101 rows: " in out


def test_a_summary_that_the_disk_refuses_is_a_line(typed, good, bad, tmp_path):
    (tmp_path / "folder").mkdir()
    code, out, err = typed("gate", good, "--against", bad, "--summary", "folder")
    assert (code, out) == (2, "")
    assert err.startswith("error: folder: can't be written (Is a directory); give another --summary")


def test_what_a_decision_promises_is_told_beside(typed, good, bad, file, copy_of, run_for):
    new = copy_of(run_for("bert", "train.epochs=6"))
    rows = separable(600, seed=3).write(file.with_name("held.csv"))
    assert typed("decide", new, "--max-error", "80%", "--data", rows)[0] == 0
    code, out, _ = typed("gate", new, "--against", bad, "--data", file)
    assert "NEW is not worse than OLD" in out
    (line,) = [line for line in out.splitlines() if "NEW's decision promises at most 80 % of the answers wrong" in line]
    assert (code, line.split(":")[0]) in ((0, "passes"), (3, "fails"), (4, "not told"))
