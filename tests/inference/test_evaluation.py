"""Scores come from every row, in the rows' own order, whatever the batches; no score depends on the caller's mode."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from conftest import CLASSES, prepared
from rankwise.data.batches import Padding, collate
from rankwise.data.prepare import Split
from rankwise.inference.evaluation import evaluate, logits, quick_scores, softmax
from rankwise.model.load import load_tokenizer
from rankwise.recipe import EvaluateSpec

FEW = EvaluateSpec(resamples=20)


@pytest.fixture(scope="module")
def trained(run_for):
    """A trained classifier, its padding, and a split of 36 texts from 3 to 20 words long."""
    run = run_for("distilbert", "train.epochs=6")
    data = prepared(run.recipe.model_copy(update={"base": run.base().location}))
    return run.classifier(), Padding.of(load_tokenizer(run.base())), data.train


@pytest.mark.parametrize("batch_size", [1, 5, 36])
def test_logits_come_back_in_the_order_of_the_texts(trained, batch_size):
    classifier, padding, split = trained
    found = logits(classifier, split.tokens, padding=padding, batch_size=batch_size)
    with torch.inference_mode():
        alone = [classifier.model(**collate(split.tokens, [row], padding)).logits[0].numpy() for row in range(len(split))]
    assert found == pytest.approx(np.stack(alone), abs=1e-5)
    assert len({tuple(np.round(row, 4)) for row in alone}) > 30, "texts differ enough to tell their order"


def test_scores_agree_with_scikit_learn(trained):
    classifier, padding, split = trained
    found = evaluate(classifier, split, padding=padding, spec=FEW)
    predicted = found.probabilities.argmax(-1)
    assert found.scores.accuracy.value == pytest.approx(sk.accuracy_score(split.labels, predicted))
    assert found.scores.macro_f1.value == pytest.approx(sk.f1_score(split.labels, predicted, average="macro"))
    assert found.scores.log_loss.value == pytest.approx(sk.log_loss(split.labels, found.probabilities))
    assert 0.4 < found.scores.accuracy.value < 1, "some rows right, some wrong"


def test_quick_scores_are_the_scores_without_intervals(trained):
    classifier, padding, split = trained
    whole = evaluate(classifier, split, padding=padding, spec=FEW).scores
    quick = quick_scores(classifier, split, padding=padding, batch_size=7)
    assert quick == pytest.approx({name: getattr(whole, name).value for name in quick}, abs=2e-6)


def test_a_row_of_an_unknown_class_counts_as_a_mistake(trained):
    classifier, padding, split = trained
    before = evaluate(classifier, split, padding=padding, spec=FEW)
    right = int(np.flatnonzero(before.probabilities.argmax(-1) == split.labels)[0])
    labels = split.labels.copy()
    labels[right] = -1
    changed = Split(split.texts, split.tokens, labels, split.rows)
    after = evaluate(classifier, changed, padding=padding, spec=FEW, mistakes=99)
    assert after.scores.accuracy.value == pytest.approx(before.scores.accuracy.value - 1 / len(split))
    assert quick_scores(classifier, changed, padding=padding, batch_size=8)["accuracy"] == pytest.approx(
        after.scores.accuracy.value, abs=1e-6
    )
    assert "(unknown class)" in {mistake.truth for mistake in after.mistakes if mistake.row == split.rows[right]}


def test_the_most_confident_mistakes_come_first_with_their_row_and_text(trained):
    classifier, padding, split = trained
    found = evaluate(classifier, split, padding=padding, spec=FEW, mistakes=3)
    wrong = np.flatnonzero(found.probabilities.argmax(-1) != split.labels)
    expected = sorted(wrong, key=lambda place: -found.probabilities[place].max())[:3]
    assert [mistake.row for mistake in found.mistakes] == [split.rows[place] for place in expected]
    for mistake, place in zip(found.mistakes, expected, strict=True):
        assert mistake.text == split.texts[place]
        assert mistake.truth == CLASSES[split.labels[place]] != mistake.predicted
        assert mistake.confidence == found.probabilities[place].max()


@pytest.mark.parametrize("training", [False, True])
def test_evaluating_puts_the_models_mode_back_and_ignores_it(trained, training):
    classifier, padding, split = trained
    quiet = logits(classifier, split.tokens, padding=padding, batch_size=9)
    classifier.model.train(training)
    found = logits(classifier, split.tokens, padding=padding, batch_size=9)
    assert classifier.model.training == training
    classifier.model.eval()
    assert np.array_equal(found, quiet)


def test_softmax_survives_large_logits_and_sums_to_one():
    values = np.array([[1e30, 0, -1e30], [88.8, 88.8, 88.8], [-3e38, -3e38, 0]], dtype=np.float32)
    expected = [[1, 0, 0], [1 / 3, 1 / 3, 1 / 3], [0, 0, 1]]
    assert softmax(values) == pytest.approx(np.array(expected), abs=1e-12)


def test_an_evaluation_is_plain_json(trained):
    import json

    classifier, padding, split = trained
    found = evaluate(classifier, split, padding=padding, spec=FEW).as_dict()
    assert json.loads(json.dumps(found)) == found
