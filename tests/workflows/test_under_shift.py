"""A run's scores under shift: the same rows under each kind, paired drops, a file beside the run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from conftest import Rows, as_if, separable
from rankwise.data.labelled import read_labelled
from rankwise.data.prepare import Split
from rankwise.data.shifts import KINDS, shift, shifted_tokens
from rankwise.data.tokens import tokenize
from rankwise.errors import RunError, StorageError
from rankwise.recipe import SourceSpec
from rankwise.report.runs import report_of
from rankwise.run.folder import Run
from rankwise.system.files import to_json
from rankwise.training.validation import Validation
from rankwise.workflows.score_files import evaluate_file
from rankwise.workflows.train import train
from rankwise.workflows.under_shift import shift_report, write_report


@pytest.fixture(scope="module")
def run(run_for):
    return run_for("distilbert", "train.epochs=6")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Rows whose first sentence says another class than the whole, so that a title alone misleads."""
    data = separable(30, seed=5)
    other = {"fruit": "zinc iron tin", "metal": "nile congo don", "river": "apple pear fig"}
    texts = [f"{other[label]}. {text} {text} {text}" for text, label in zip(data.texts, data.labels, strict=True)]
    return SourceSpec(path=str(Rows(texts, data.labels).write(tmp_path_factory.mktemp("data") / "shifted.csv")))


@pytest.fixture(scope="module")
def scored(run, source):
    """The scores of the rows as they are, and the report of all kinds."""
    table, split, plain = evaluate_file(run, source, run.recipe.data)
    return plain, shift_report(run, table, split, plain)


def test_original_comes_first_and_is_what_evaluate_says(scored):
    plain, report = scored
    assert [kind.kind for kind in report.kinds] == ["original", *KINDS]
    first = report.kinds[0]
    assert (first.accuracy, first.macro_f1) == (plain.scores.accuracy, plain.scores.macro_f1)
    assert (first.changed, first.drop.value, first.drop.low, first.drop.high) == (0, 0, 0, 0)
    assert (report.source, report.rows) == ("shifted.csv", 30)


def test_a_kind_is_scored_as_its_texts_are_predicted(run, source, scored):
    evaluation, report = scored
    data = separable(30, seed=5)
    texts = [line.rpartition(",")[0] for line in Path(source.path).read_text("utf-8").splitlines()[1:]]
    before = np.array([row.argmax() for row in evaluation.probabilities]) == evaluation.truth
    for kind in report.kinds[1:]:
        found = run.predict([shift(text, kind.kind) for text in texts])
        right = np.array([prediction.label == label for prediction, label in zip(found, data.labels, strict=True)])
        assert kind.accuracy.value == pytest.approx(right.mean()), kind.kind
        assert kind.drop.value == pytest.approx(before.mean() - right.mean()), kind.kind
        assert kind.drop.low <= kind.drop.value <= kind.drop.high


def test_the_worst_kind_is_the_one_that_misleads(scored):
    report = scored[1]
    assert report.worst.kind == "title"
    assert report.worst.drop.value == max(kind.drop.value for kind in report.kinds) > 0.2


def test_letter_case_changes_no_row_for_an_encoder_that_knows_none(scored):
    changed = {kind.kind: kind.changed for kind in scored[1].kinds}
    assert (changed["lower"], changed["upper"], changed["title"], changed["shuffled_sentences"]) == (0, 0, 30, 30)


def test_only_the_recipes_kinds_are_scored(run, source):
    scoring = run.recipe.evaluate.model_copy(update={"shifts": ("typos", "title")})
    fewer = as_if(run, recipe=run.recipe.model_copy(update={"evaluate": scoring}))
    report = shift_report(fewer, *evaluate_file(fewer, source, run.recipe.data))
    assert [kind.kind for kind in report.kinds] == ["original", "typos", "title"]


def test_the_file_beside_the_run_is_the_report_and_leaves_the_run_whole(run, scored, copy_of):
    report = scored[1]
    folder = copy_of(run)
    path = write_report(report, folder)
    found = json.loads(path.read_text("utf-8"))
    assert (path.name, len(found.pop("sha256"))) == ("shift.json", 64)
    assert found == to_json(report)
    assert found["kinds"][0].keys() == {"kind", "rows", "changed", "accuracy", "macro_f1", "drop", "example"}
    assert found["kinds"][0]["accuracy"].keys() == {"value", "low", "high"}
    assert Run.load(folder).scores == run.scores
    path.write_bytes(path.read_bytes().replace(b'"rows": 30', b'"rows": 31'))
    with pytest.raises(RunError, match=r"shift\.json is not what was written .*; delete it and make it again"):
        report_of([Run.load(folder)])


def test_a_folder_that_takes_no_file_is_a_clear_error(scored, tmp_path):
    (tmp_path / "shift.json").mkdir()
    with pytest.raises(StorageError, match=r"shift\.json: can't be written"):
        write_report(scored[1], tmp_path)


def test_the_example_is_a_row_that_shows_what_kinds_do(scored, source):
    report = scored[1]
    assert report.text in Path(source.path).read_text("utf-8")
    assert {kind.kind: kind.example for kind in report.kinds[1:]} == {kind: shift(report.text, kind) for kind in KINDS}


# ------------------------------------------------------------------------------------- choosing a checkpoint by the worst


@pytest.fixture(scope="module")
def chosen(recipe_for, tmp_path_factory):
    settings = ["train.select_by=worst_shift", "train.evaluate_every=3", "train.epochs=4", "train.learning_rate=0.02"]
    return train(recipe_for("bert", *settings, "data.split.validation=24"), tmp_path_factory.mktemp("runs") / "chosen")


def test_the_checkpoint_is_the_one_whose_worst_kind_is_best(chosen):
    history, best = chosen.scores.history, chosen.scores.validation
    for entry in history:
        assert list(entry.shifts) == list(KINDS)
        assert entry.worst_shift == min(entry.accuracy, *entry.shifts.values())
    assert best.worst_shift == max(entry.worst_shift for entry in history)
    assert chosen.facts.best == best


def test_the_history_holds_what_the_texts_under_shift_score(chosen):
    """Validation texts, shifted before cleaning and predicted by the finished run, score what its best evaluation says."""
    labelled = read_labelled(chosen.recipe.data)
    truth = labelled.validation.labels
    for kind, accuracy in chosen.scores.validation.shifts.items():
        found = chosen.predict([shift(text, kind) for text in labelled.validation.texts])
        right = np.mean([prediction.label == label for prediction, label in zip(found, truth, strict=True)])
        assert accuracy == pytest.approx(right, abs=1e-5), kind


def test_without_it_no_evaluation_pays_for_shifts(run):
    assert all(entry.shifts is None for entry in run.scores.history)


def test_only_changed_texts_run_again(run):
    predictor = run.predictor
    texts = ["apple pear", "zinc (AP) iron", "nile. congo"]
    tokens = tokenize(predictor.tokenizer, texts, max_length=24)
    seen = []
    live = run.classifier()

    class Watched:
        model, classes, device = live.model, live.classes, live.device

        def logits(self, inputs, **how):
            seen.append(len(inputs["input_ids"]))
            return live.logits(inputs, **how)

    split = Split(texts, tokens, np.zeros(3, dtype=np.int64), np.arange(1, 4))
    shifted = shifted_tokens(texts, tokens, ["lower", "shuffled_sentences"], predictor.tokenizer, predictor.preprocessing)
    scores = Validation(Watched(), predictor.padding, batch_size=8).scores(split, shifted=shifted)
    assert seen == [3, 1], "all texts once, then the one with two sentences; lower case changes none"
    assert scores.shifts["lower"] == scores.accuracy


def test_no_text_is_kept_where_the_recipe_keeps_none(run, source):
    evaluate = run.recipe.evaluate.model_copy(update={"keep_texts": False})
    quiet = as_if(run, recipe=run.recipe.model_copy(update={"evaluate": evaluate}))
    table, split, plain = evaluate_file(quiet, source, quiet.recipe.data)
    report = shift_report(quiet, table, split, plain)
    assert {report.text, *(kind.example for kind in report.kinds)} == {""}
    assert {mistake.text for mistake in plain.scores.mistakes} == {None}
