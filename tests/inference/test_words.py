"""Counted words are a classifier of their own: under a cap, saved as scikit-learn has it, read without code."""

from __future__ import annotations

import pickle
import zipfile

import numpy as np
import pytest
import skops.io
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from rankwise.errors import RunError
from rankwise.inference.words import RIDGES, Words, held_out_words, sample

CLASSES = ("bad", "fine", "good")
TEXTS = [f"{word} number {row}" for row in range(30) for word in ("awful", "usable", "lovely")]
LABELS = np.tile(np.arange(3), 30)


@given(st.integers(8, 3_000))
@settings(max_examples=20)
def test_fewer_weights_train_than_the_cap_allows(cap):
    assert Words.fit(TEXTS, LABELS, CLASSES, cap=cap).parameters < cap
    two = LABELS < 2
    fitted = Words.fit([text for text, kept in zip(TEXTS, two, strict=True) if kept], LABELS[two], CLASSES[:2], cap=cap)
    assert fitted.parameters < cap


def test_under_a_cap_those_words_are_kept_that_tell_the_classes_apart():
    words = Words.fit(TEXTS, LABELS, CLASSES, cap=13)  # three words: twelve weights and intercepts
    telling = {"awful", "usable", "lovely"}
    assert set(words.pipeline[0].vocabulary_) <= telling | {f"{name} number" for name in telling}
    assert words.probabilities(["lovely number 3"]).argmax(-1).tolist() == [2]


def test_weights_and_intercepts_are_counted():
    words = Words.fit(["one two", "three"] * 3, np.array([0, 1] * 3), ("a", "b"))
    assert words.parameters == len({"one", "two", "three", "one two"}) + 1


def test_many_classes_of_few_rows_warn_of_nothing():
    labels = np.arange(30) % 20
    texts, classes = [f"word{number}" for number in labels], [str(number) for number in range(20)]
    assert Words.fit(texts, labels, classes).probabilities(texts).argmax(-1).tolist() == labels.tolist()


def test_a_class_that_no_row_has_is_never_told():
    words = Words.fit(TEXTS, LABELS, (*CLASSES, "unseen"))
    told = words.probabilities(["lovely", "awful"])
    assert told.shape == (2, 4)
    assert not told[:, 3].any()
    assert np.isfinite(words.logits(["lovely"])).all()
    assert [words.classes[number] for number in told.argmax(-1)] == ["good", "bad"]
    assert words.probabilities([]).shape == (0, 4)


def test_it_comes_back_to_the_bit_and_skops_alone_reads_it(tmp_path):
    words = Words.fit(TEXTS, LABELS, CLASSES)
    words.write(tmp_path / "words.skops")
    again = Words.read(tmp_path / "words.skops", CLASSES)
    assert np.array_equal(again.probabilities(TEXTS), words.probabilities(TEXTS))
    assert skops.io.load(tmp_path / "words.skops").predict(["usable"]).tolist() == ["fine"]


def test_a_file_that_holds_something_else_is_refused(tmp_path):
    path = tmp_path / "words.skops"
    for name, content in (("a pickle", pickle.dumps(TEXTS)), ("nothing", b"")):
        path.write_bytes(content)
        with pytest.raises(RunError, match="no pipeline that skops reads"):
            pytest.fail(f"{name}: {Words.read(path, CLASSES)}")
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("other.txt", "words")
    with pytest.raises(RunError, match="no pipeline that skops reads"):
        Words.read(path, CLASSES)
    skops.io.dump(sample, path)  # a function of ours, which is on no list of types
    with pytest.raises(RunError, match="no pipeline that skops reads"):
        Words.read(path, CLASSES)
    skops.io.dump({"a": 1}, path)
    with pytest.raises(RunError, match="no pipeline that skops reads"):
        Words.read(path, CLASSES)


NUMBERS = np.tile([1.5, 2.0, 4.5], 30) + np.linspace(0, 0.1, 90)


def test_a_number_is_a_ridge_regression_and_comes_back_to_the_bit(tmp_path):
    words = Words.fit(TEXTS, NUMBERS, ("score",))
    told = words.probabilities(TEXTS)
    assert told.shape == (90, 1)
    assert np.corrcoef(told[:, 0], NUMBERS)[0, 1] > 0.9
    features, model = words.pipeline[:-1].transform(TEXTS), words.pipeline[-1]
    assert model.alpha in RIDGES
    np.testing.assert_allclose(told[:, 0], Ridge(alpha=model.alpha).fit(features, NUMBERS).predict(features), atol=1e-6)
    assert words.parameters == len(words.pipeline[0].vocabulary_) + 1
    words.write(tmp_path / "words.skops")
    again = Words.read(tmp_path / "words.skops", ("score",))
    assert np.array_equal(again.probabilities(TEXTS), told)
    np.testing.assert_allclose(again.logits(TEXTS), told, rtol=1e-6)
    with pytest.raises(RunError, match="no class of this run"):
        Words.read(tmp_path / "words.skops", CLASSES)


def test_under_a_cap_those_words_are_kept_that_go_with_the_number():
    words = Words.fit(TEXTS, NUMBERS, ("score",), cap=6)
    assert words.parameters < 6
    telling = {"awful", "usable", "lovely"}
    assert set(words.pipeline[0].vocabulary_) <= telling | {f"{name} number" for name in telling}


def test_each_text_is_told_a_number_by_words_of_other_folds():
    told = held_out_words(TEXTS, NUMBERS, ("score",), seed=0)
    assert np.corrcoef(told[:, 0], NUMBERS)[0, 1] > 0.9
