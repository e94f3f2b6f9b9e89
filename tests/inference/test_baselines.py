"""The linear baseline is fitted on every row, or on a stratified sample that its name tells."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from conftest import LONGEST, prepared, tiny_tokenizer
from rankwise.data.files.table import table_of
from rankwise.data.labelled import split_tables
from rankwise.data.prepare import prepare
from rankwise.inference import words as module
from rankwise.inference.baselines import baselines, fitted_baselines
from rankwise.inference.evaluation import evaluated
from rankwise.inference.words import Words, held_out_words, sample
from rankwise.recipe import DataSpec, EvaluateSpec


@given(st.lists(st.integers(0, 3), min_size=1, max_size=200), st.integers(1, 200))
@example([0, 2, 2, 2, 3], 2)
def test_a_sample_has_each_class_in_its_share_and_no_row_twice(labels, most):
    labels = np.array(labels)
    rows = sample(labels, most)
    assert len(rows) == len(set(rows.tolist())) == min(most, len(labels))
    assert rows.tolist() == sorted(rows.tolist()) == sample(labels, most).tolist()
    shares = np.bincount(labels, minlength=4) * len(rows) / len(labels)
    assert np.abs(np.bincount(labels[rows], minlength=4) - shares).max() <= 1


def always_first(data):
    """The evaluation of a classifier that always answers the first class."""
    logits = np.zeros((len(data.test), len(data.classes)), dtype=np.float32)
    logits[:, 0] = 9
    return evaluated(logits, data.test, data.task, EvaluateSpec(resamples=20))


def test_many_rows_are_sampled_and_the_name_tells(recipe_for, monkeypatch):
    data = prepared(recipe_for())
    test = always_first(data)
    whole = list(baselines(fitted_baselines(data), data.task, test, EvaluateSpec(resamples=20)))
    monkeypatch.setattr(module, "MOST_ROWS", 24)
    sampled = baselines(fitted_baselines(data), data.task, test, EvaluateSpec(resamples=20))
    assert whole == ["majority class", "TF-IDF + logistic"]
    assert list(sampled) == ["majority class", "TF-IDF + logistic, 24 rows"]
    assert sampled["TF-IDF + logistic, 24 rows"].accuracy.value == pytest.approx(0.9, abs=0.1)


def test_texts_without_words_have_their_characters_counted():
    texts = [("😀😁 " if row % 2 else "😡😢 ") * 3 + str(row % 10) for row in range(60)]
    spec = DataSpec(leakage="allow", max_length=LONGEST)
    labelled = split_tables(spec, table_of(texts, [str(row % 2) for row in range(60)]))
    data = prepare(spec, tiny_tokenizer("bert"), longest=LONGEST, labelled=labelled)
    test = always_first(data)
    scored = baselines(fitted_baselines(data), data.task, test, EvaluateSpec(resamples=20))
    assert list(scored) == ["majority class", "TF-IDF of characters + logistic"]
    assert scored["TF-IDF of characters + logistic"].accuracy.value == 1


def test_thresholds_are_chosen_on_rows_that_the_words_were_not_counted_in():
    rng = np.random.default_rng(0)
    tags = [[name for name in ("joy", "anger") if rng.random() < 0.5] for _ in range(90)]
    texts = [" ".join([*(name for name in own if rng.random() < 0.7), f"row{row}"]) for row, own in enumerate(tags)]
    spec = DataSpec(task="multi-label", max_length=LONGEST)
    labelled = split_tables(spec, table_of(texts, [json.dumps(own) for own in tags]))
    data = prepare(spec, tiny_tokenizer("bert"), longest=LONGEST, labelled=labelled)
    assert len(data.validation)
    task, _ = list(fitted_baselines(data, whole=True).values())[1]
    texts = [*data.train.texts, *data.validation.texts]
    labels = np.concatenate([data.train.labels, data.validation.labels])
    assert task == data.task.tuned(held_out_words(texts, labels, data.classes, seed=0), labels)


@pytest.mark.parametrize("rare", [1, 3, 9])
def test_a_few_rows_of_uneven_classes_are_fitted_to_the_end(rare):
    """They take more passes than the hundred that scikit-learn makes unless told otherwise; a warning is an error here."""
    rng = np.random.default_rng(0)
    texts = [" ".join(f"w{int(2000 * rng.random() ** 4)}" for _ in range(100)) for _ in range(24)]
    labels = (np.arange(24) < rare).astype(np.int64)
    told = Words.fit(texts, labels, ("a", "b")).probabilities(texts)
    features = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True).fit_transform(texts)
    oracle = LogisticRegression(C=10.0, tol=1e-8, max_iter=5_000).fit(features, labels).predict_proba(features)
    np.testing.assert_allclose(told, oracle, atol=0.02)
