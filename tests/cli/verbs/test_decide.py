"""`rankwise decide` and what `rankwise predict` makes of it."""

from __future__ import annotations

import csv
import io
import json

import pytest

from rankwise.run.folder import Run
from rankwise.workflows.decide import Wish, decide
from rankwise.workflows.train import train


@pytest.fixture
def folder(run_for, copy_of):
    return copy_of(run_for("bert"))


@pytest.fixture
def texts(rows, tmp_path):
    path = tmp_path / "new.csv"
    path.write_text("text\n" + "".join(f"{text}\n" for text in rows.texts[:30]), "utf-8")
    return path


def test_without_a_wish_it_says_what_can_be_promised_and_writes_nothing(typed, folder):
    code, out, _ = typed("decide", folder)
    assert code == 0
    assert "What 12 validation rows can promise" in out
    assert f"next: rankwise decide {folder} --max-error 5%" in out
    assert not (folder / "decision.json").exists()


def test_a_decision_is_shown_kept_and_replaced_when_it_is_made_again(typed, folder):
    code, out, _ = typed("decide", folder, "--coverage", "80%")
    assert code == 0
    assert "12 validation rows chose; 12 test rows verified, which had no say" in out
    assert "of the texts, at most " in out
    assert f"written to {folder}" in out
    assert f"next: rankwise predict {folder} FILE" in out
    again = typed("decide", folder, "--coverage", "0.8", "--sets", "70%")[1]
    assert f"replaced {folder}" in again
    assert "labels in a set" in again
    assert "this is decision number 2 that these test rows verify" in again


def test_json_has_the_whole_decision(typed, folder):
    code, out, _ = typed("decide", folder, "--coverage", "80%", "--json")
    assert code == 0
    assert json.loads(out)["rule"] == json.loads((folder / "decision.json").read_text("utf-8"))["rule"]
    promised = json.loads(typed("decide", folder, "--json")[1])["can_promise"]
    assert [chance["max_error"] for chance in promised] == [0.01, 0.02, 0.05, 0.1]


def test_rows_of_a_file_choose_where_they_are_given_and_those_trained_on_are_told(typed, recipe_for, data_file, tmp_path):
    train(recipe_for("bert", "train.epochs=1"), tmp_path / "own")
    code, out, err = typed("decide", "own", "--coverage", "90%", "--data", data_file)
    assert code == 0, err
    assert "60 labelled rows chose" in out
    assert "note: 48 of 60 rows have texts that this run trained on or chose by" in out


def test_rows_of_a_file_that_are_dropped_are_told(typed, folder, rows, tmp_path):
    path = rows.write(tmp_path / "gap.csv")
    path.write_text(path.read_text("utf-8") + '"a text without a label",\n', "utf-8")
    code, out, err = typed("decide", folder, "--coverage", "90%", "--data", path)
    assert code == 0
    assert "gap.csv: 1 row dropped" in " ".join(f"{out} {err}".split())


def test_costs_decide_where_a_file_has_them(typed, folder, tmp_path):
    (tmp_path / "costs.yaml").write_text("unsure: 1\nwrong: 20\npairs:\n  fruit: {metal: 3}\n", "utf-8")
    code, out, _ = typed("decide", folder, "--costs", "costs.yaml")
    assert code == 0
    assert "; a text costs " in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--max-error", "2"], "--max-error 2: expected a share, such as 2% or 0.02"),
        (["--max-error", "0%"], "--max-error 0 %; expected a share between 0 and 100 %"),
        (["--coverage", "most"], "--coverage most: expected a share"),
        (["--max-error", "5%", "--coverage", "80%"], "--max-error and --coverage: give one of them"),
        (["--unlike", "60%", "--coverage", "80%"], "--unlike 60 %; expected less than half"),
        (["--max-error", "1%"], "12 validation rows show of no threshold that at most 1 % of its answers are wrong"),
        (["--costs", "none.yaml"], "--costs none.yaml: can't be read"),
        (["--coverage", "80%", "--data", "none.csv"], "none.csv"),
    ],
)
def test_what_can_not_be_decided_is_told_in_one_line(typed, folder, words, told):
    code, out, err = typed("decide", folder, *words)
    assert (code, out) == (2, "")
    assert told in err
    assert err.count("\n") == 1


# ------------------------------------------------------------------------------------------------------------- predict


def read(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_predict_writes_unsure_and_why_and_leaves_both_out_when_asked(typed, folder, texts):
    plain = read(typed("predict", folder, texts)[1])
    assert list(plain[0]) == ["text", "label", "score"]
    decide(Run.load(folder), Wish(coverage=0.5))
    code, out, err = typed("predict", folder, texts)
    assert code == 0
    assert "decided: 50 % of the texts answered (decision.json; --no-decision leaves it out)" in err
    decided = read(out)
    assert list(decided[0]) == ["text", "label", "score", "reason"]
    unsure = [row for row in decided if row["label"] == "unsure"]
    assert 0 < len(unsure) < len(decided)
    assert all(bool(row["reason"]) == (row["label"] == "unsure") for row in decided)
    assert [row["label"] for row in decided if not row["reason"]] == [
        before["label"] for before, row in zip(plain, decided, strict=True) if not row["reason"]
    ]
    assert read(typed("predict", folder, texts, "--no-decision")[1]) == plain


def test_a_set_is_a_column_and_a_line(typed, folder, texts):
    decide(Run.load(folder), Wish(sets=0.7))
    rows = read(typed("predict", folder, texts, "--probabilities")[1])
    assert list(rows[0]) == ["text", "label", "score", "reason", "labels", "p_fruit", "p_metal", "p_river"]
    for row in rows:
        likeliest = max(("fruit", "metal", "river"), key=lambda name: float(row[f"p_{name}"]))
        assert row["labels"].split("|")[0] == likeliest
    assert "\n  one of: " in typed("predict", folder, "--text", "apple")[1]


@pytest.mark.parametrize("option", [["--submission", "ID,Label"], ["--numbers"], ["--mc-dropout", "2"]])
def test_where_every_text_needs_a_label_the_decision_is_left_out_and_that_is_told(typed, folder, texts, option):
    decide(Run.load(folder), Wish(coverage=0.5))
    code, out, err = typed("predict", folder, texts, *option)
    assert code == 0
    assert f"note: with {option[0]} every text gets a label: the run's decision is left out" in err
    assert "unsure" not in out


def test_onnx_decides_as_torch_does(typed, run_for, copy_of):
    folder = copy_of(run_for("bert", "train.epochs=1"))  # other tests see the other run's first export
    run = Run.load(folder)
    decide(run, Wish(coverage=0.5))
    ours, theirs = (
        Run.load(folder).predict(["apple pear", "zinc", "the a of"], engine=engine) for engine in ("torch", "onnx")
    )
    assert [one.unsure for one in ours] == [one.unsure for one in theirs]
    assert [one.score for one in ours] == pytest.approx([one.score for one in theirs], abs=1e-4)
    assert typed("predict", folder, "--text", "the a of", "--engine", "onnx")[0] == 0
