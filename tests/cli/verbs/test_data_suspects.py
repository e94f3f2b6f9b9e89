"""`rankwise data --suspects`: the widest margins in a table, all in a file, precision and recall where truth is known."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from conftest import CLASSES, WORDS, separable
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
    monkeypatch.setattr("rankwise.cli.verbs.suspects.find_in_each", lambda *_, **__: pytest.fail("it was computed"))
    answer = typed(noisy, "--out", str(tmp_path / "nowhere" / "suspects.csv"))
    assert answer.exit_code == 2
    assert "no such folder" in answer.stderr


@pytest.mark.parametrize("option", [("--truth", "truth"), ("--features", "encoder"), ("--out", "x.csv")])
def test_options_of_suspects_need_it(noisy, option):
    answer = CliRunner().invoke(app, ["data", noisy, *option], catch_exceptions=False)
    assert answer.exit_code == 2
    assert f"nothing for {option[0]} to do; type --suspects too" in answer.stderr


# ------------------------------------------------------------------------------------------------------- several labels


@pytest.fixture
def two_columns(tmp_path):
    """180 rows with a label in two columns, the second of which 20 lack; every tenth of the first, from 5 on, is wrong."""
    data, rng = separable(180, seed=4), np.random.default_rng(0)
    lines = ["text,kind,tone"]
    for place, (text, label) in enumerate(zip(data.texts, data.labels, strict=True)):
        kind = CLASSES[(CLASSES.index(label) + 1) % 3] if place % 10 == 5 else label
        tone = "" if place < 20 else ("calm", "angry")[place % 2]
        told = (
            {"calm": "softly gently", "angry": "loudly shouting"}[("calm", "angry")[place % 2]] if rng.random() < 0.9 else ""
        )
        lines.append(f"{text} {told},{kind},{tone}")
    path = tmp_path / "columns.csv"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return str(path)


def test_each_label_column_is_judged_on_its_own_and_named(two_columns, monkeypatch):
    columns = ("--set", "data.label=[kind, tone]")
    found = json.loads(typed(two_columns, *columns, "--json").stdout)
    assert (found["task"], found["rows"], found["judged"]) == ("label-columns", 180, 180 + 160)
    named = [row for row in found["suspects"] if row["probably_wrong"]]
    of_kind = [row for row in named if row["column"] == "kind"]
    wrong = [row for row in of_kind if (row["row"] - 1) % 10 == 5]
    assert len(wrong) >= 12, "of 18"
    assert len(wrong) / len(of_kind) >= 0.8
    assert all(row["row"] > 20 for row in found["suspects"] if row["column"] == "tone"), "a missing cell is no wrong one"
    assert all({row["label"], row["likely"]} <= set(CLASSES) for row in of_kind)
    monkeypatch.setattr(out, "_width", 120)
    shown = typed(two_columns, *columns).stdout
    heading = next(line.split() for line in shown.splitlines() if line.split()[:1] == ["row"])
    assert heading == ["row", "column", "label", "likely", "margin", "text"]
    assert "kind: label → truly, estimated rows: " in shown


def test_a_truth_in_one_column_is_no_truth_of_two(two_columns):
    answer = typed(two_columns, "--set", "data.label=[kind, tone]", "--truth", "text")
    assert answer.exit_code == 2
    assert "labels are in several (kind, tone); judge one: --label-column kind" in answer.stderr.replace("\n", " ")
    assert typed(two_columns, "--label-column", "kind").exit_code == 0, "the advice works"


@pytest.fixture
def replaced(tmp_path):
    """150 rows with the words of one class or two, and their labels; every tenth has one of them replaced."""
    rng = np.random.default_rng(3)
    lines = ["text,label,truth"]
    for row in range(150):
        own = rng.permutation(3)[: rng.integers(1, 3)].tolist()
        words = [str(rng.choice(WORDS[CLASSES[number]])) for number in own for _ in range(4)]
        said = {(set(range(3)) - set(own)).pop(), *own[1:]} if row % 10 == 0 else own
        cells = ("|".join(sorted(CLASSES[number] for number in several)) for several in (said, own))
        lines.append(f"{' '.join(words)} row{row},{','.join(cells)}")
    path = tmp_path / "several.csv"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return str(path)


def test_of_several_labels_the_one_that_is_wrong_is_named_and_the_right_ones_are_proposed(replaced, monkeypatch):
    found = json.loads(typed(replaced, "--truth", "truth", "--json").stdout)
    assert (found["task"], found["rows"], found["judged"]) == ("multi-label", 150, 450)
    named = [row for row in found["suspects"] if row["probably_wrong"]]
    listed = found["against_truth"]["probably wrong"]
    assert (listed["listed"], listed["wrong"]) == (len(named), 30), "in 15 rows a label too many and one too few"
    assert listed["right"] >= 24
    right = [row for row in named if row["labels"] != row["truth"]]
    assert sum(row["proposed"] == row["truth"] for row in right) >= 0.8 * len(right)
    for row in named:
        label = row["label"].removeprefix("not ")
        assert (label in json.loads(row["labels"])) == (row["label"] == label)
        assert (label in json.loads(row["proposed"])) == (row["likely"] == label)
    monkeypatch.setattr(out, "_width", 120)
    shown = typed(replaced).stdout
    assert "of 450 answers are probably wrong" in shown
    headings = [re.split(" {2,}", line.strip()) for line in shown.splitlines() if line.startswith(("label", "row "))]
    assert headings == [
        ["label", "rows", "probably not", "probably missing"],
        ["row", "label", "likely", "has %", "usual %", "text"],
    ]


def test_labels_of_too_few_rows_are_left_out_and_told(replaced, monkeypatch):
    monkeypatch.setattr(out, "_width", 120)
    path = Path(replaced)
    path.write_text(path.read_text("utf-8") + "an odd one,odd|fruit,\nanother,odd|metal,\na last one,odd,\n", "utf-8")
    assert "fewer than 5 rows have, or lack, odd: not judged" in typed(replaced).stdout
    found = json.loads(typed(replaced, "--json").stdout)
    assert (found["not_judged"], found["judged"]) == (["odd"], 3 * 153)


@pytest.mark.slow
def test_planted_labels_among_real_ones_of_several_are_found_far_above_chance(shared_data, tmp_path):
    """A tenth of the rows have one label replaced by another, drawn as often as it occurs: 1 of 135 answers is wrong."""
    lines = (shared_data / "go_emotions" / "dev.tsv").read_text("utf-8").splitlines()
    rows = [line.split("\t")[:2] for line in lines]
    shares = np.bincount([int(label) for _, several in rows for label in several.split(",")]).astype(float)
    rng, planted = np.random.default_rng(0), []
    for text, several in rows:
        own = [f"e{label}" for label in several.split(",")]
        given = list(own)
        if rng.random() < 0.1:
            others = np.array([0.0 if f"e{label}" in own else share for label, share in enumerate(shares)])
            given[rng.integers(len(own))] = f"e{rng.choice(len(shares), p=others / others.sum())}"
        planted.append({"text": text, "label": given, "truth": json.dumps(own)})
    path = tmp_path / "planted.jsonl"
    path.write_text("\n".join(map(json.dumps, planted)), "utf-8")
    found = json.loads(typed(str(path), "--truth", "truth", "--json").stdout)
    measured = found["against_truth"]["probably wrong"]
    chance = measured["wrong"] / found["judged"]
    assert measured["precision"]["value"] > 15 * chance
    assert measured["recall"]["value"] > 0.3
    first = [set(json.loads(row["labels"])) ^ set(json.loads(row["truth"])) for row in found["suspects"][:100]]
    right = [row["label"].removeprefix("not ") in wrong for row, wrong in zip(found["suspects"], first, strict=False)]
    assert sum(right) >= 40
