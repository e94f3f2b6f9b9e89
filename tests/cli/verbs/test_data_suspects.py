"""`rankwise data --suspects`: the widest margins in a table, all in a file, precision and recall where truth is known."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from conftest import CLASSES, separable
from rankwise.cli.app import app
from rankwise.cli.console import out

pytestmark = pytest.mark.long


@pytest.fixture
def noisy(tmp_path):
    """120 rows: every tenth has the next class's label; the last true labels are missing, one of them a blank."""
    data = separable(120, seed=4)
    lines, missing = ["text,label,truth"], {118: " ", 119: ""}
    for place, (text, label) in enumerate(zip(data.texts, data.labels, strict=True)):
        given = CLASSES[(CLASSES.index(label) + 1) % 3] if place % 10 == 0 else label
        lines.append(f"{text},{given},{missing.get(place, label)}")
    path = tmp_path / "noisy.csv"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return str(path)


def typed(*words):
    return CliRunner().invoke(app, ["data", *words, "--suspects"], catch_exceptions=False)


def test_the_rows_of_widest_margin_are_shown_with_precision_and_recall_in_80_columns(noisy, monkeypatch):
    monkeypatch.setattr(out, "_width", 80)
    answer = typed(noisy, "--truth", "truth")
    assert answer.exit_code == 0
    assert "labels are probably wrong" in answer.stdout
    assert "12 wrong labels" in answer.stdout
    assert "precision %" in answer.stdout
    lines = answer.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    heading = next(place for place, line in enumerate(lines) if line.split() == ["row", "label", "likely", "margin", "text"])
    shown = [line.split() for line in lines[heading + 1 : heading + 11]]
    assert all(row[0].isdecimal() and {row[1], row[2]} <= set(CLASSES) for row in shown)
    margins = [int(row[3]) for row in shown]
    assert margins == sorted(margins, reverse=True), "what is shown is what they are sorted by"
    assert len(set(margins)) > 1
    assert "margin: by how many points" in answer.stdout


def test_json_has_every_suspect_and_the_figures_follow_from_them(noisy):
    found = json.loads(typed(noisy, "--truth", "truth", "--json").stdout)
    assert (found["rows"], found["judged"], found["features"]) == (120, 120, "tfidf")
    known = [row for row in found["suspects"] if row["truth"]]
    assert all(row["truth"] in CLASSES for row in known)
    wrong = [row for row in known if row["truth"] != row["label"]]
    listed = found["against_truth"]["all listed"]
    assert (listed["listed"], listed["right"], listed["wrong"]) == (len(known), len(wrong), 12)
    assert listed["precision"]["value"] == pytest.approx(len(wrong) / len(known))
    assert listed["recall"]["value"] == pytest.approx(len(wrong) / 12)
    assert len(wrong) >= 10
    named = [row for row in known if row["probably_wrong"]]
    assert found["against_truth"]["probably wrong"]["listed"] == len(named) == found["probably_wrong"]
    for row in wrong:
        assert (row["row"] - 1) % 10 == 0
    margins = [row["p_likely"] - row["p_label"] for row in found["suspects"]]
    assert margins == sorted(margins, reverse=True)


def test_the_file_has_every_suspect_with_its_text(noisy, tmp_path):
    answer = typed(noisy, "--out", str(tmp_path / "suspects.csv"))
    with (tmp_path / "suspects.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["row", "label", "likely", "p_label", "p_likely", "probably_wrong", "text"]
    assert f"{len(rows)} rows → " in answer.stdout.replace("\n", "")
    texts = [line.split(",")[0] for line in Path(noisy).read_text("utf-8").splitlines()]
    assert all(row["text"] == texts[int(row["row"])] for row in rows)
    assert all(row["likely"] != row["label"] for row in rows)


def test_another_column_of_labels_is_judged(noisy):
    found = json.loads(typed(noisy, "--label-column", "truth", "--json").stdout)
    assert found["rows"] == 118, "the rows without a label are left out"
    assert found["probably_wrong"] <= 5


def test_right_labels_have_suspects_too():
    found = json.loads(typed("sample", "--json").stdout)
    assert found["rows"] == 640
    assert found["probably_wrong"] == pytest.approx(28, abs=3)  # what the README says


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--truth", "trut"], "no column 'trut' among text, label, truth; did you mean 'truth'"),
        (["--truth", "text"], "none of which is a label of column 'label'"),
    ],
)
def test_a_truth_that_is_none_is_refused(noisy, options, message):
    answer = typed(noisy, *options)
    assert answer.exit_code == 2
    assert message in answer.stderr


def test_a_judge_that_tells_nothing_apart_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(out, "_width", 200)
    lines = [f"{('one', 'two', 'three', 'four')[place % 4]} and more,{'abc'[place * 7 % 3]}" for place in range(120)]
    path = tmp_path / "noise.csv"
    path.write_text("\n".join(["text,label", *lines]) + "\n", "utf-8")
    assert "it hardly tells these classes apart, so take the list for chance" in typed(str(path)).stdout


def test_a_judge_that_tells_classes_apart_says_nothing(noisy):
    assert "for chance" not in typed(noisy).stdout


def test_a_place_that_takes_no_file_is_refused_before_anything_is_computed(noisy, tmp_path, monkeypatch):
    monkeypatch.setattr("rankwise.cli.verbs.suspects.find_suspects", lambda *_, **__: pytest.fail("it was computed"))
    answer = typed(noisy, "--out", str(tmp_path / "nowhere" / "suspects.csv"))
    assert answer.exit_code == 2
    assert "no such folder" in answer.stderr


@pytest.mark.parametrize("option", [("--truth", "truth"), ("--features", "encoder"), ("--out", "x.csv")])
def test_options_of_suspects_need_it(noisy, option):
    answer = CliRunner().invoke(app, ["data", noisy, *option], catch_exceptions=False)
    assert answer.exit_code == 2
    assert f"nothing for {option[0]} to do; type --suspects too" in answer.stderr
