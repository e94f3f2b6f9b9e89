"""Scores come from every row, in the rows' own order, whatever the batches; no score depends on the caller's mode."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from conftest import CLASSES, prepared
from rankwise.data.batches import Padding, collate
from rankwise.data.prepare import Split
from rankwise.data.tasks import SingleLabel
from rankwise.inference.evaluation import evaluate
from rankwise.inference.scorer import logits
from rankwise.inference.torch_scorer import TorchScorer
from rankwise.model.classifier import to_tensors
from rankwise.model.load import load_tokenizer
from rankwise.recipe import EvaluateSpec
from rankwise.system.files import to_json
from rankwise.training.validation import Validation

FEW = EvaluateSpec(resamples=20)


@pytest.fixture(scope="module")
def trained(run_for):
    """A trained classifier's scorer, its padding, and a split of 36 texts from 3 to 20 words long."""
    run = run_for("distilbert", "train.epochs=6")
    data = prepared(run.recipe.model_copy(update={"base": run.base().location}))
    return TorchScorer(run.classifier()), Padding.of(load_tokenizer(run.base())), data.train


@pytest.mark.parametrize("batch_size", [1, 5, 36])
def test_logits_come_back_in_the_order_of_the_texts(trained, batch_size):
    scorer, padding, split = trained
    found = logits(scorer, split.tokens, padding=padding, batch_size=batch_size)
    model = scorer.classifier.model
    with torch.inference_mode():
        alone = [model(**to_tensors(collate(split.tokens, [row], padding))).logits[0].numpy() for row in range(len(split))]
    assert found == pytest.approx(np.stack(alone), abs=1e-5)
    assert len({tuple(np.round(row, 4)) for row in alone}) > 30, "texts differ enough to tell their order"


def test_scores_agree_with_scikit_learn(trained):
    scorer, padding, split = trained
    found = evaluate(scorer, split, padding=padding, spec=FEW)
    predicted = found.probabilities.argmax(-1)
    assert found.scores.accuracy.value == pytest.approx(sk.accuracy_score(split.labels, predicted))
    assert found.scores.macro_f1.value == pytest.approx(sk.f1_score(split.labels, predicted, average="macro"))
    assert found.scores.log_loss.value == pytest.approx(sk.log_loss(split.labels, found.probabilities))
    assert 0.4 < found.scores.accuracy.value < 1, "some rows right, some wrong"


def test_quick_scores_are_the_scores_without_intervals(trained):
    scorer, padding, split = trained
    whole = evaluate(scorer, split, padding=padding, spec=FEW).scores
    quick = Validation(scorer.classifier, padding, batch_size=7).scores(split)
    for name in ("accuracy", "macro_f1", "mcc", "log_loss"):
        assert getattr(quick, name) == pytest.approx(getattr(whole, name).value, abs=2e-6), name


def test_a_row_of_an_unknown_class_counts_as_a_mistake(trained):
    scorer, padding, split = trained
    before = evaluate(scorer, split, padding=padding, spec=FEW)
    right = int(np.flatnonzero(before.probabilities.argmax(-1) == split.labels)[0])
    labels = split.labels.copy()
    labels[right] = -1
    changed = Split(split.texts, split.tokens, labels, split.rows)
    after = evaluate(scorer, changed, padding=padding, spec=FEW, mistakes=99)
    assert after.scores.accuracy.value == pytest.approx(before.scores.accuracy.value - 1 / len(split))
    quick = Validation(scorer.classifier, padding, batch_size=8).scores(changed)
    assert quick.accuracy == pytest.approx(after.scores.accuracy.value, abs=1e-6)
    assert "(unknown class)" in {mistake.truth for mistake in after.scores.mistakes if mistake.row == split.rows[right]}


def test_the_most_confident_mistakes_come_first_with_their_row_and_text(trained):
    scorer, padding, split = trained
    found = evaluate(scorer, split, padding=padding, spec=FEW, mistakes=3)
    wrong = np.flatnonzero(found.probabilities.argmax(-1) != split.labels)
    expected = sorted(wrong, key=lambda place: -found.probabilities[place].max())[:3]
    assert [mistake.row for mistake in found.scores.mistakes] == [split.rows[place] for place in expected]
    for mistake, place in zip(found.scores.mistakes, expected, strict=True):
        assert mistake.text == split.texts[place]
        assert mistake.truth == CLASSES[split.labels[place]] != mistake.predicted
        assert mistake.confidence == found.probabilities[place].max()


@pytest.mark.parametrize("training", [False, True])
def test_validating_puts_the_models_mode_back_and_ignores_it(trained, training):
    scorer, padding, split = trained
    model, validation = scorer.classifier.model, Validation(scorer.classifier, padding, batch_size=9)
    quiet = logits(scorer, split.tokens, padding=padding, batch_size=9)
    model.train(training)
    try:
        assert np.array_equal(validation.logits(split.tokens), quiet)
        assert model.training == training
    finally:
        model.eval()


def test_the_softmax_survives_large_logits_and_sums_to_one():
    values = np.array([[1e30, 0, -1e30], [88.8, 88.8, 88.8], [-3e38, -3e38, 0]], dtype=np.float32)
    expected = [[1, 0, 0], [1 / 3, 1 / 3, 1 / 3], [0, 0, 1]]
    assert SingleLabel(CLASSES).probabilities(values) == pytest.approx(np.array(expected), abs=1e-12)


def test_an_evaluation_is_plain_json(trained):
    import json

    scorer, padding, split = trained
    found = to_json(evaluate(scorer, split, padding=padding, spec=FEW).scores)
    assert json.loads(json.dumps(found)) == found
