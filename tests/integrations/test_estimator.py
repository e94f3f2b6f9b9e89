"""RankwiseClassifier is an estimator of scikit-learn's: its own checks, pipelines, searches, pickles, and what it refuses."""

from __future__ import annotations

import gc
import inspect
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError, SkipTestWarning
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import check_estimator

import rankwise
from conftest import CLASSES, Rows, separable
from rankwise import RankwiseClassifier, Recipe, Run
from rankwise.errors import DataError, RankwiseError, RecipeError
from rankwise.integrations import estimator
from rankwise.workflows import in_memory
from rankwise.workflows.in_memory import Common

pytestmark = pytest.mark.long

LIGHT = {
    "data.max_length": 24,
    "adapter.targets": "all",
    "adapter.allocate": {"policy": "last-k", "k": 1},
    "train.batch_size": 8,
    "train.encoder_dropout": "off",
    "head": {"kind": "pooled", "start": "fitted"},
    "evaluate.resamples": 20,
}


@pytest.fixture
def light(tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Callable[..., RankwiseClassifier]:
    """An estimator of a few quick updates on a tiny encoder; what fits share is the test's own."""
    monkeypatch.setattr(estimator, "COMMON", Common())
    recipe = Recipe(name="light").with_overrides({"base": str(tiny("bert")), "budget.parameters": None, **LIGHT})

    def make(**parameters: Any) -> RankwiseClassifier:
        quick = {"rank": 2, "epochs": 4, "learning_rate": 1e-2}
        return RankwiseClassifier(recipe, **{**quick, **parameters})

    return make


@pytest.fixture(scope="module")
def some() -> Rows:
    return separable(60, seed=3)


def pickled(model: RankwiseClassifier) -> RankwiseClassifier:
    """What comes out of its pickle."""
    again: RankwiseClassifier = pickle.loads(pickle.dumps(model))  # noqa: S301 - made here
    return again


# ------------------------------------------------------------------------------------------------- scikit-learn's own checks

WITHOUT_X = (
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_get_params_invariance",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_set_params",
    "check_valid_tag_types",
)


@pytest.mark.parametrize("name", WITHOUT_X)
def test_it_passes_scikit_learns_checks_that_need_no_texts(name):
    getattr(estimator_checks, name)("RankwiseClassifier", RankwiseClassifier())


def test_check_estimator_finds_nothing_wrong_where_its_tags_say_that_it_takes_texts(light):
    with pytest.warns(SkipTestWarning, match="which requires input"):  # the rest is for numbers
        results = check_estimator(light(), on_skip=None, on_fail="raise")
    assert results
    assert {result["status"] for result in results} == {"passed"}


def test_it_is_a_classifier_that_takes_strings(light):
    tags = light().__sklearn_tags__()
    assert is_classifier(light())
    assert tags.input_tags.string
    assert not tags.input_tags.two_d_array


def test_it_takes_no_weights_of_samples_and_says_so_by_its_signature(light, some):
    assert "sample_weight" not in inspect.signature(RankwiseClassifier.fit).parameters
    with pytest.raises(TypeError, match="sample_weight"):
        light().fit(some.texts, some.labels, sample_weight=np.ones(60))


# ----------------------------------------------------------------------------------------------------- fitting and predicting


def test_it_learns_and_its_probabilities_are_in_the_order_of_its_classes(light, some):
    model = light().fit(some.texts[:48], some.labels[:48])
    assert model.classes_.tolist() == sorted(CLASSES)
    found = model.predict_proba(some.texts[48:])
    assert found.shape == (12, len(CLASSES))
    assert np.allclose(found.sum(axis=1), 1)
    assert (model.classes_[found.argmax(axis=1)] == model.predict(some.texts[48:])).all()
    assert model.score(some.texts[:48], some.labels[:48]) > 0.8
    assert model.n_parameters_ > 0


@pytest.mark.parametrize(
    ("names", "kind"),
    [([10, 2, 33], "i"), ([True, False], "b"), ([2.0, 1.0], "f"), (["b", "a,c", "[x]"], "U")],
    ids=["whole numbers", "truth", "floats", "strings that look like lists"],
)
def test_labels_come_back_as_they_were_given(light, some, names, kind):
    given = np.array([names[place % len(names)] for place in range(60)])
    texts = [f"{text} {WORD[place % len(names)]}" for place, text in enumerate(some.texts)]
    model = light().fit(texts, given)
    assert model.classes_.tolist() == sorted(names)
    assert model.classes_.dtype.kind == model.predict(texts).dtype.kind == kind
    assert set(model.predict(texts).tolist()) <= set(names)


WORD = ("apple apple apple", "iron iron iron", "rhine rhine rhine")


def test_lists_arrays_columns_and_a_frame_of_one_column_are_the_same_texts(light, some):
    frame = pd.DataFrame({"text": some.texts})
    as_given = [
        some.texts,
        np.array(some.texts),
        np.array(some.texts, dtype=object),
        np.array(some.texts, dtype=object)[:, None],
        frame["text"],
        frame,
    ]
    expected = light().fit(some.texts, some.labels).predict_proba(some.texts)
    column = pd.Series(some.labels)
    labels = [some.labels, np.array(some.labels, dtype=object), column, column.astype("category")]
    for place, texts in enumerate(as_given):
        model = light().fit(texts, labels[place % len(labels)])
        assert np.array_equal(model.predict_proba(texts), expected)


def test_pairs_of_texts_are_read_as_pairs(light, some):
    pairs = list(zip(some.texts, reversed(some.texts), strict=True))
    model = light().fit(pairs, some.labels)
    assert model.predict_proba(pairs).shape == (60, len(CLASSES))


def test_the_same_seed_gives_the_same_answers_and_another_gives_others(light, some):
    fits = [light(random_state=seed).fit(some.texts, some.labels) for seed in (1, 1, 2, np.random.RandomState(1))]
    one, again, other, drawn = (fit.predict_proba(some.texts) for fit in fits)
    assert np.array_equal(one, again)
    assert not np.allclose(one, other)
    assert not np.allclose(one, drawn)


def test_weights_of_classes_are_the_recipes_by_the_labels_given(light, some):
    numbers = [CLASSES.index(label) for label in some.labels]
    assert light(class_weight="balanced").fit(some.texts, numbers).recipe_.train.class_weights == "balanced"
    assert light(class_weight={1: 4}).fit(some.texts, numbers).recipe_.train.class_weights == {"1": 4.0}
    with pytest.raises(ValueError, match="class_weight names 7, which is no class of y"):
        light(class_weight={7: 4}).fit(some.texts, numbers)


def test_parameters_reach_the_recipe_and_overrides_go_last(light, some):
    fitted = light(rank=3, epochs=1, budget=50_000, overrides={"adapter.rank": 1, "train.batch_size": 4})
    recipe = fitted.fit(some.texts, some.labels).recipe_
    assert (recipe.adapter.rank, recipe.train.epochs, recipe.budget.parameters) == (1, 1, 50_000)
    assert recipe.train.batch_size == 4


def test_a_rung_that_counts_words_needs_no_encoder(light, some):
    model = RankwiseClassifier("auto", rung="tfidf").fit(some.texts, some.labels)
    assert model.score(some.texts, some.labels) > 0.9
    again = pickled(model)
    assert np.array_equal(again.predict_proba(some.texts), model.predict_proba(some.texts))


def test_nothing_is_told_but_where_that_is_asked_for(light, some, capsys):
    light().fit(some.texts, some.labels)
    assert capsys.readouterr() == ("", "")
    light(verbose=1).fit(some.texts, some.labels)
    assert "updates" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("texts", "labels", "said"),
    [
        (["a", None, "b"], [0, 1, 0], r"X, row 1, is missing \(None\)"),
        (["a", "b", float("nan")], [0, 1, 0], r"X, row 2, is missing \(nan\)"),
        (pd.Series(["a", pd.NA, "b"]), [0, 1, 0], "X, row 1, is missing"),
        (["a", 3, "b"], [0, 1, 0], r"X, row 1, is a int \(3\)"),
        (["a", "b", "c"], [0, 1], "3 texts and 2 labels"),
        (["a", "b", "c"], [1, 1, 1], "y has one class, 1"),
        (["a", "b", "c"], [0.5, 1.5, 2.0], "Unknown label type: continuous"),
        (["a", "b", "c"], [0, None, 1], r"y, row 1, is missing"),
        (["a", "b", "c"], [0, "x", 1], "y has labels of several types"),
        (["a", "b", "c"], [[0, 1], [1, 0], [1, 1]], r"y has the shape \(3, 2\); expected one label"),
        (["a", "b", "c"], [["x"], ["y", "x"], []], "y, row 0, is a list"),
        (["a", "b", "c"], None, "requires y to be passed"),
        ("one text", [0], "X is a str"),
        (pd.DataFrame({"title": ["a"], "body": ["b"]}), [0], r"columns title, body; expected one column .* X\['title'\]"),
        (np.array([["a", "b"], ["c", "d"]]), [0, 1], r"X has the shape \(2, 2\)"),
    ],
)
def test_what_no_classifier_can_be_fitted_to_is_a_value_error_that_names_the_row(light, texts, labels, said):
    with pytest.raises(ValueError, match=said) as told:
        light().fit(texts, labels)
    assert isinstance(told.value, DataError)


def test_predicting_before_fitting_is_scikit_learns_error(light):
    with pytest.raises(NotFittedError):
        light().predict(["a"])
    with pytest.raises(NotFittedError):
        light().save("anywhere")


def test_an_unknown_key_is_the_recipes_error(light, some):
    with pytest.raises(RecipeError, match="did you mean"):
        light(overrides={"train.epoch": 2}).fit(some.texts, some.labels)


def test_missing_texts_are_refused_when_predicting_too(light, some):
    model = light().fit(some.texts, some.labels)
    with pytest.raises(ValueError, match="X, row 1, is missing"):
        model.predict(["a", None])
    with pytest.raises(ValueError, match="X has no texts"):
        model.predict([])


# -------------------------------------------------------------------------------------------------------- folders and pickles


def test_a_pickle_is_the_run_folder_and_answers_alike(light, some, tmp_path):
    model = light().fit(some.texts, some.labels)
    joblib.dump(model, tmp_path / "model.joblib")
    again = joblib.load(tmp_path / "model.joblib")
    assert np.allclose(again.predict_proba(some.texts), model.predict_proba(some.texts), atol=1e-5)
    assert again.get_params().keys() == model.get_params().keys()
    assert (again.classes_ == model.classes_).all()
    once_more = pickled(again)
    assert np.array_equal(once_more.predict_proba(some.texts), again.predict_proba(some.texts))


def test_a_pickle_holds_files_and_no_tensors(light, some):
    state = light().fit(some.texts, some.labels).__getstate__()
    assert "_model" not in state
    assert {"adapter_model.safetensors", "preprocessing.json", "manifest.json"} <= state["_files"].keys()
    assert all(type(content) is bytes for content in state["_files"].values())


def test_a_pickle_of_what_is_not_fitted_is_not_fitted(light):
    again = pickled(light(rank=5))
    assert again.rank == 5
    with pytest.raises(NotFittedError):
        again.predict(["a"])


def test_a_folder_goes_with_the_estimator_that_was_unpickled(light, some):
    again = pickled(light().fit(some.texts, some.labels))
    folder = again._model.folder
    assert folder.is_dir()
    del again
    gc.collect()
    assert not folder.exists()


def test_fitting_leaves_nothing_in_the_temporary_folder(light, some, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    model = light().fit(some.texts, some.labels)
    pickle.dumps(model)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_pickle_is_refused(light, some):
    state = light().fit(some.texts, some.labels).__getstate__()
    state["_files"]["adapter_model.safetensors"] += b"\0"
    with pytest.raises(RankwiseError, match="is not what was saved"):
        RankwiseClassifier.__new__(RankwiseClassifier).__setstate__(state)
    state = light().fit(some.texts, some.labels).__getstate__()
    state["_files"]["../outside"] = b""
    with pytest.raises(RankwiseError, match="outside its folder"):
        RankwiseClassifier.__new__(RankwiseClassifier).__setstate__(state)


@pytest.mark.parametrize("rung", [None, "features"])
def test_a_saved_run_is_a_run_whose_scores_are_of_rows_held_out(light, some, tmp_path, rung):
    model = light(rung=rung).fit(some.texts, some.labels)
    run = model.save(tmp_path / "run")
    assert run.facts.rows.test == 0
    held_out = run.held_out_rows()
    assert len(held_out.rows) == (60 if rung else run.facts.rows.validation)
    right = (held_out.probabilities.argmax(axis=1) == held_out.truth).mean()
    assert run.scores.test.accuracy.value == pytest.approx(right)
    assert any("no rows were set aside for a test" in note for note in run.facts.notes)
    told = [list(prediction.probabilities.values()) for prediction in Run.load(run.folder).predict(some.texts)]
    assert np.allclose(told, model.predict_proba(some.texts), atol=1e-5)
    assert model.save(tmp_path / "another").folder.is_dir()
    again = pickled(model)
    assert again.save(tmp_path / "third").facts.data_sha256 == run.facts.data_sha256
    with pytest.raises(RankwiseError, match="not empty"):
        model.save(tmp_path / "run")


# ------------------------------------------------------------------------------------------- pipelines, folds and searches


def test_it_stands_in_a_pipeline(light, some):
    lower = FunctionTransformer(lambda texts: [text.lower() for text in texts])
    model = make_pipeline(lower, light()).fit(some.texts, some.labels)
    assert model.score(some.texts, some.labels) > 0.8
    assert (model.classes_ == sorted(CLASSES)).all()


def test_every_row_is_predicted_by_a_fit_that_did_not_see_it(light, some):
    folds = StratifiedKFold(3)
    found = cross_val_predict(light(), some.texts, some.labels, cv=folds, method="predict_proba")
    assert found.shape == (60, len(CLASSES))
    train, test = next(folds.split(some.texts, some.labels))
    alone = light().fit([some.texts[row] for row in train], [some.labels[row] for row in train])
    assert np.allclose(found[test], alone.predict_proba([some.texts[row] for row in test]), atol=1e-5)


@pytest.mark.slow
def test_scores_of_folds_are_the_same_in_processes_of_their_own(light, some):
    one, two = (cross_val_score(light(), some.texts, some.labels, cv=3, n_jobs=jobs) for jobs in (None, 2))
    assert np.array_equal(one, two)


def test_a_search_hands_over_the_best_setting_fitted_to_all_rows(light, some):
    grid = {"rank": [1, 2], "overrides": [{"train.batch_size": 8}, {"train.batch_size": 4}]}
    search = GridSearchCV(light(epochs=2), grid, cv=3, error_score="raise")
    search.fit(np.array(some.texts, dtype=object), some.labels)
    assert search.best_score_ > 0.5
    assert search.best_estimator_.recipe_.adapter.rank == search.best_params_["rank"]
    assert set(search.predict(some.texts)) <= set(CLASSES)


def test_a_search_computes_each_texts_frozen_layers_once(light, some, monkeypatch):
    asked = []
    computed = in_memory.TextStates.get

    def counting(self: Any, key: str, texts: Any, shape: Any, layer: int, compute: Any) -> Any:
        return computed(self, key, texts, shape, layer, lambda number: asked.append(texts[number]) or compute(number))

    monkeypatch.setattr(in_memory.TextStates, "get", counting)
    GridSearchCV(light(epochs=1), {"rank": [1, 2]}, cv=3, error_score="raise").fit(some.texts, some.labels)
    assert len(asked) == len(set(asked)) > 50


def test_what_folds_share_changes_no_answer(light, some, monkeypatch):
    first = light().fit(some.texts[:40], some.labels[:40]).predict_proba(some.texts[:40])
    monkeypatch.setattr(estimator, "COMMON", Common())
    light().fit(some.texts[20:], some.labels[20:])  # whose texts' states are there then
    assert np.array_equal(light().fit(some.texts[:40], some.labels[:40]).predict_proba(some.texts[:40]), first)


def test_without_room_for_hidden_states_fits_go_on(light, some, monkeypatch):
    monkeypatch.setenv("RANKWISE_CACHE_GB", "0")
    assert light().fit(some.texts, some.labels).score(some.texts, some.labels) > 0.8


def test_it_copies_without_what_was_fitted(light, some):
    model = clone(light(rank=3).fit(some.texts, some.labels))
    assert model.rank == 3
    with pytest.raises(NotFittedError):
        model.predict(some.texts)


def test_it_is_a_public_name():
    assert rankwise.RankwiseClassifier is RankwiseClassifier
