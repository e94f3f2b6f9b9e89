"""Several labels a text, through the whole path: every family, every rung, saved, reloaded, predicted, compared, shown."""

from __future__ import annotations

import csv
import io
import json
import re

import numpy as np
import pytest
import torch
from pipelines import check_pipeline
from tiny_families import FAMILIES
from transformers import AutoModelForSequenceClassification

from conftest import CLASSES, WORDS
from rankwise.data.files.output import write_rows
from rankwise.data.files.table import table_of
from rankwise.data.labelled import split_tables
from rankwise.recipe import DataSpec
from rankwise.report.blocks import Figure, Quotes, Table
from rankwise.report.runs import report_of
from rankwise.run.folder import Run
from rankwise.system.cores import has_bf16
from rankwise.workflows.compare import compare
from rankwise.workflows.train import train

pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")]

TRAINED = ("train.epochs=12", "evaluate.baselines=true", "head.start=random", "head.kind=slim", "adapter.rank=4")


def several(rows, seed=0):
    """Texts with the words of one class, of several or of none, and their labels."""
    rng = np.random.default_rng(seed)
    texts, labels = [], []
    for row in range(rows):
        own = [name for name in CLASSES if rng.random() < 0.4]
        words = [str(rng.choice(WORDS[name])) for name in own for _ in range(3)]
        texts.append(" ".join([*rng.permutation(words).tolist(), "under", "some", f"row{row % 10}{row // 10}"]))
        labels.append(own)
    return texts, labels


@pytest.fixture(scope="session")
def several_file(tmp_path_factory):
    """A CSV whose cells hold several labels as JSON."""
    path = tmp_path_factory.mktemp("several") / "several.csv"
    texts, labels = several(120)
    write_rows(path, ["text", "label"], [{"text": t, "label": json.dumps(own)} for t, own in zip(texts, labels, strict=True)])
    return path


@pytest.fixture
def several_recipe(recipe_for, several_file):
    return lambda family="bert", *more: recipe_for(family, f"data.source={several_file}", *TRAINED, *more)


@pytest.mark.parametrize("family", FAMILIES)
def test_planned_is_live_is_saved_and_reloads_to_the_bit(several_recipe, tmp_path, family):
    run = train(several_recipe(family, "train.epochs=1", "evaluate.baselines=false"), tmp_path / "run")
    trained = run.facts.trained_parameters
    assert trained.planned == trained.counted == run.plan_facts.trainable_parameters
    assert run.preprocessing.task == "multi-label"
    assert len(run.preprocessing.thresholds) == len(CLASSES)
    probabilities = [list(one.probabilities.values()) for one in run.predict(several(8, seed=4)[0])]
    again = [list(one.probabilities.values()) for one in Run.load(run.folder).predict(several(8, seed=4)[0])]
    assert probabilities == again
    model = run.classifier().transformers_model
    assert model.config.problem_type == "multi_label_classification"


def test_it_learns_and_says_each_label_or_none(several_recipe, tmp_path):
    run = train(several_recipe("bert"), tmp_path / "run")
    scores = run.scores
    assert scores.test.macro_f1.value > 0.6  # 0.0 for always answering none
    assert set(scores.test.more) == {"micro_f1", "mean_average_precision"}
    assert scores.test.confusion == ()
    assert list(scores.baselines) == ["majority class", "TF-IDF + logistic"]
    texts, labels = several(60, seed=9)
    found = run.predict(texts)
    assert np.mean([set(one.label) == set(own) for one, own in zip(found, labels, strict=True)]) > 0.4  # of 8 combinations
    assert any(one.label == () for one in found)
    limits = dict(zip(run.preprocessing.classes, run.preprocessing.thresholds, strict=True))
    for one in found:
        assert set(one.label) == {name for name, share in one.probabilities.items() if share >= limits[name]}
    rows = run.scored_rows()
    assert rows.truth.shape == rows.probabilities.shape == (12, 3)
    decided = run.task.decide(rows.probabilities.astype(np.float64))
    assert (decided == rows.truth).all(axis=1).mean() == pytest.approx(scores.test.accuracy.value)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_what_the_ecosystem_loads_gives_the_same_answers(several_recipe, tmp_path, method):
    run = train(several_recipe("bert", f"adapter.method={method}", "train.epochs=1"), tmp_path / "run")
    if method == "full":
        check_pipeline(run)
    text = "apple pear under some rhine"
    code = re.findall(r"```python\n(.*?)```", (run.folder / "README.md").read_text("utf-8"), re.DOTALL)[1]
    code = code.replace("A text to classify.", text).replace('"path/to/this/folder"', repr(str(run.folder)))
    base = run.base().location
    code = code.replace(f'"{run.facts.base.name}"', repr(base)).replace("\npipeline(", "\nclassify = pipeline(")
    scope = {}
    exec(code, scope)
    wanted = list(run.predict([text])[0].probabilities.values())
    if method == "full":
        assert {one["label"]: one["score"] for one in scope["classify"]([text])[0]} == pytest.approx(
            run.predict([text])[0].probabilities, abs=1e-5
        )
        assert AutoModelForSequenceClassification.from_pretrained(run.folder).config.problem_type == run.task.problem_type
    else:
        assert scope["scores"][0].tolist() == pytest.approx(wanted, abs=1e-5)
        assert torch.tensor(wanted).shape == (3,)


@pytest.mark.parametrize("rungs", ["[tfidf]", "[features]", "[tfidf, features, all]"])
def test_every_rung_climbs(several_recipe, tmp_path, rungs):
    changes = ["head.start=fitted", "head.kind=pooled", f"rungs={rungs}", "train.epochs=2", "budget.parameters=100000"]
    run = train(several_recipe("bert", *changes), tmp_path / "run")
    assert run.facts.ladder.rungs[0].accuracy > 0.3
    assert len(run.preprocessing.thresholds) == 3
    rows = run.scored_rows()
    assert run.task.right(rows.probabilities.astype(np.float64), rows.truth).mean() == run.scores.test.accuracy.value
    assert Run.load(run.folder).predict(["apple pear"])[0].probabilities == run.predict(["apple pear"])[0].probabilities


@pytest.mark.parametrize("changes", [["train.precision=bf16"], ["rungs=[features]", "head.start=fitted", "head.kind=pooled"]])
def test_thresholds_are_those_that_the_held_out_rows_of_the_saved_run_choose(several_recipe, tmp_path, changes):
    if "train.precision=bf16" in changes and not has_bf16():
        pytest.skip("this machine has no instructions for bf16")
    run = train(several_recipe("bert", "train.epochs=2", "budget.parameters=100000", *changes), tmp_path / "run")
    rows = run.held_out_rows()
    again = run.task.tuned(rows.probabilities.astype(np.float64), rows.truth)
    assert again.thresholds == run.preprocessing.thresholds


def test_runs_are_compared_by_macro_f1_on_the_same_rows(several_recipe, tmp_path, typed):
    runs = [train(several_recipe("bert", f"train.seed={seed}"), tmp_path / f"run-{seed}") for seed in (1, 2)]
    runs.append(train(several_recipe("bert", "train.epochs=1", "name=short"), tmp_path / "short"))
    found = compare(runs)
    long, short = sorted(found.systems, key=lambda system: -len(system.runs))
    assert long.macro_f1.value == pytest.approx(np.mean([run.scores.test.macro_f1.value for run in runs[:2]]))
    assert short.accuracy.value == pytest.approx(runs[2].scores.test.accuracy.value)
    assert found.scores[0] == "macro_f1", "whole rows say little of single labels"
    (pair,) = found.pairs
    assert found.verdict(pair) == found.verdict(pair, "macro_f1") != found.verdict(pair, "accuracy")
    folders = [run.folder for run in runs]
    code, printed, _ = typed("compare", *folders)
    assert (code, "\nmacro-F1\n" in printed, "note: accuracy is of rows whose labels are all right" in printed) == (
        0,
        True,
        True,
    )
    code, printed, _ = typed("compare", *folders, "--metric", "accuracy")
    assert (code, "\naccuracy\n" in printed) == (0, True)
    titles = [block.caption for section in report_of(runs).sections for block in section.blocks if isinstance(block, Table)]
    assert "By macro-F1 on the test rows" in titles


def test_a_file_with_commas_between_its_labels_is_gated_as_it_is_evaluated(several_recipe, tmp_path, typed):
    runs = [train(several_recipe("bert", f"train.seed={seed}"), tmp_path / f"run-{seed}") for seed in (1, 2)]
    rows = zip(*several(60, seed=9), strict=True)
    cells = [{"text": text, "label": ", ".join(own)} for text, own in rows if own]
    write_rows(tmp_path / "commas.csv", ["text", "label"], cells)
    code, printed, told = typed("evaluate", runs[0].folder, tmp_path / "commas.csv", "--json")
    assert code == 0, told
    scores, gated = (
        json.loads(printed),
        ("gate", runs[0].folder, "--against", runs[1].folder, "--data", tmp_path / "commas.csv"),
    )
    for score, asked in (("macro_f1", ()), ("macro_f1", ("--score", "macro-f1")), ("accuracy", ("--score", "accuracy"))):
        code, printed, _ = typed(*gated, *asked, "--json")
        found = json.loads(printed)
        assert (code, found["score"]) == (found["exit_code"], score)
        assert found["new"]["score"] == pytest.approx(scores[score]["value"])
        assert ("accuracy is of rows whose labels are all right" in found["notes"]) == (score == "accuracy")


def test_a_file_is_scored_and_predicted_as_lists(several_recipe, several_file, tmp_path, typed):
    run = train(several_recipe("bert"), tmp_path / "run")
    code, printed, _ = typed("evaluate", run.folder, several_file)
    assert code == 0
    assert "micro-F1 %" in printed
    assert "truth ↓" not in printed
    code, printed, _ = typed("predict", run.folder, several_file, "--out", tmp_path / "out.jsonl")
    assert code == 0
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    assert len(lines) == 120
    report = report_of([run])
    assert report.stats[0].label == "macro-F1"
    (table,) = [block for block in report.sections[0].blocks if isinstance(block, Table)]
    assert [column.label for column in table.columns[-2:]] == ["micro-F1, %", "mean average precision, %"]
    figure = report.sections[0].blocks[0]
    assert isinstance(figure, Figure)
    ours, *_, words = figure.table.rows
    assert ours[1].value - words[1].value == pytest.approx(words[2].value), "the score that is shown, and how far ahead"
    (quotes,) = [
        block for part in report_of([run], explain=True).sections for block in part.blocks if isinstance(block, Quotes)
    ]
    assert any(part.score for row in quotes.parts for part in row)
    code, printed, _ = typed("predict", run.folder, "--text", "apple pear", "--explain")
    assert (code, "\n  of " in printed) == (0, True)
    assert all(set(line["predicted_label"]) <= set(CLASSES) for line in lines)
    for line, one in zip(lines, run.predict([line["text"] for line in lines]), strict=True):
        assert line["predicted_label"] == list(one.label)
        assert line["scores"] == pytest.approx([one.probabilities[name] for name in one.label], abs=1e-5)
        assert one.score == pytest.approx(min(one.scores, default=1 - max(one.probabilities.values())))
        assert line["score"] == pytest.approx(one.score, abs=1e-5)
    assert {len(line["scores"]) for line in lines} >= {0, 1, 2}, "some texts have no label, some have several"
    for wish in ((), ("--coverage", "80%")):
        code, _, told = typed("decide", run.folder, *wish)
        assert (code, told.count("\n")) == (2, 1)
        assert "its task is multi-label, and decisions are made for one label a text; write whether a text has" in told
    code, printed, _ = typed("predict", run.folder, several_file)
    row = next(csv.DictReader(io.StringIO(printed)))
    assert code == 0
    assert [json.loads(row[name]) for name in ("predicted_label", "scores")] == [
        lines[0]["predicted_label"],
        lines[0]["scores"],
    ]
    code, printed, _ = typed("predict", run.folder, "--text", lines[0]["text"])
    shown = (f"{name} {score:.1%}" for name, score in zip(lines[0]["predicted_label"], lines[0]["scores"], strict=True))
    assert " + ".join(shown) in printed


def test_labels_may_be_given_as_lists_in_python(tmp_path):
    texts, labels = several(80)
    labelled = split_tables(DataSpec(), table_of(texts, labels))
    assert labelled.classes == tuple(sorted(CLASSES))
    assert labelled.train.task == "multi-label"


def test_a_run_has_a_report_without_a_decision_which_is_for_one_label_a_text(several_recipe, tmp_path):
    report = report_of([train(several_recipe("bert", "train.epochs=1"), tmp_path / "run")])
    names = [section.name for section in report.sections]
    assert "mistakes-section" in names
    assert "decision-section" not in names
