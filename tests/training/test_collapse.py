"""A classifier that gives one answer to everything is told of, with what to type next; one that has learnt is not."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from rankwise.data.prepare import Split
from rankwise.recipe import TrainSpec
from rankwise.run.folder import Run
from rankwise.training.collapse import collapse
from rankwise.training.events import Collapsed, HistoryEntry
from rankwise.workflows.train import train

TO_FRUIT = "train.class_weights={fruit: 1000, metal: 0.001, river: 0.001}"


def test_a_training_that_ends_in_one_answer_says_so(fit_for):
    trained = fit_for(TO_FRUIT, "train.epochs=8")
    (told,) = trained.heard("collapse")
    assert told == trained.fitted.collapsed
    assert (told.answer, told.rows, told.right) == ("fruit", len(trained.data.train), 12)
    assert f"all of {told.rows} training rows 'fruit', which 12 are; " in str(told)


def test_a_training_that_tells_classes_apart_says_nothing(fit_for):
    trained = fit_for("train.epochs=8")
    assert trained.fitted.best.mcc > 0
    assert trained.fitted.collapsed is None
    assert trained.heard("collapse") == []


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        (["train.epochs=8"], "--set train.min_updates="),
        (["train.epochs=1", "train.min_updates=120"], "--set train.seed=1, or --set train.learning_rate=0.001 if the loss"),
    ],
    ids=["few updates", "enough updates"],
)
def test_what_to_type_depends_on_the_updates_made(fit_for, changes, hint):
    assert hint in fit_for(TO_FRUIT, "train.evaluate_every=end", *changes).fitted.collapsed.hint


def looked_at(*, labels, answers):
    """What is told of a classifier that answers the training rows so, and whose validation rows all got one answer."""
    rows = np.arange(len(labels))
    train = Split(["text"] * len(labels), SimpleNamespace(take=lambda chosen: chosen), np.array(labels), rows)
    validation = SimpleNamespace(logits=lambda chosen: np.eye(2)[np.array(answers)[chosen]])
    validation.classifier = SimpleNamespace(classes=("usual", "rare"))
    scores = {"accuracy": 0.9, "macro_f1": 0.5, "mcc": 0.0, "log_loss": 0.3}
    best = HistoryEntry(step=500, epoch=9, train_loss=0.3, train_accuracy=0.9, **scores)
    return collapse(validation, train, best, TrainSpec())


def test_an_answer_that_nearly_all_rows_are_asks_for_class_weights():
    told = looked_at(labels=[0] * 19 + [1], answers=[0] * 20)
    assert str(told) == (
        "the classifier calls all of 20 training rows 'usual', which 19 are; the classes are uneven: type --set "
        "train.class_weights=balanced"
    )


def test_validation_rows_that_happen_to_get_one_answer_are_no_collapse():
    assert looked_at(labels=[0] * 19 + [1], answers=[0] * 19 + [1]) is None
    assert looked_at(labels=[0] * 20, answers=[0] * 20) is None, "there is one class"


def test_two_hundred_rows_are_looked_at_spread_over_all():
    told = looked_at(labels=[0, 1] * 5_000, answers=[0] * 10_000)
    assert (told.rows, told.answer) == (200, "usual")
    assert 80 < told.right < 120


@pytest.mark.long
def test_a_run_notes_the_collapse_and_the_epochs_that_few_rows_took(recipe_for, tmp_path):
    heard = []
    recipe = recipe_for("bert", TO_FRUIT, "train.min_updates=40", "evaluate.baselines=false")
    train(recipe, tmp_path / "run", listeners=[heard.append])
    run = Run.load(tmp_path / "run")
    (told,) = [event for event in heard if isinstance(event, Collapsed)]
    assert run.facts.steps == 40
    assert str(told) in run.facts.notes
    assert "8 epochs instead of 2, for 40 updates on 36 rows (train.min_updates)" in run.facts.notes
