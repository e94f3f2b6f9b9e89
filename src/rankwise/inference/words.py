"""TF-IDF of words and word pairs with logistic regression: a classifier without an encoder, and without tokens.

Where a number is estimated it is a ridge regression. It is what every run is held against, and a ladder's cheapest rung. A
file holds it as scikit-learn does, written by skops, which reads no code. Shapes: N texts, C classes.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Never
from zipfile import ZIP_DEFLATED, BadZipFile

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from rankwise.data.batches import label_sets
from rankwise.data.pairs import is_pair, joined
from rankwise.data.splitting import folds
from rankwise.data.store import Texts
from rankwise.data.tasks import Labels, MultiLabel, Regression, SingleLabel, Task
from rankwise.errors import ModelError, RunError, require
from rankwise.inference.predict import Predictor
from rankwise.planning.memory import BASELINE_FEW, BASELINE_MOST

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

    from rankwise.data.clean import Preprocessing
    from rankwise.data.prepare import Split
    from rankwise.data.shifts import Shifted

STRENGTH = 10.0  # of the fit against keeping weights small, scikit-learn's C
RIDGES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)  # how much a ridge regression may keep weights small; folds choose one
FEWEST = 6  # rows, below which there are no folds to choose by
MOST_PASSES = 1_000  # some dozens do, but for a few long texts
MOST_ROWS = BASELINE_MOST  # their word pairs and the fit's vectors take some 400 MB


@dataclass(frozen=True)
class Words:
    """A fitted pipeline of scikit-learn's, from clean texts to class names."""

    classes: tuple[str, ...]
    pipeline: Pipeline
    rows: int
    """That it was fitted to."""

    @classmethod
    def fit(
        cls,
        texts: Sequence[str],
        labels: Labels,
        classes: Sequence[str],
        *,
        cap: int | None = None,
        weights: ArrayLike | None = None,
    ) -> Words:
        """Words and word pairs, sublinear counts, multinomial logistic regression, with fewer than `cap` weights.

        Where there are more words than that allows, those are kept that tell the classes apart best, by chi-squared.
        Words of both texts of a pair count alike: told apart by their text they were 6 points worse on SICK's trial rows.
        Of more than MOST_ROWS rows a sample is taken. Texts without words, such as emoji, have their characters counted. The
        features' rows have length 1, where SAG (arXiv 1309.2388) takes 15 to 40 passes; `benchmarks/baseline.py` has other
        solvers beside it. `labels` are class numbers (N,), of which there are several, `weights` those of the classes (C,).
        Where a text has several labels, (N, C), each class has a regression of its own; numbers (N,) have a ridge regression.
        """
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.feature_selection import chi2
        from sklearn.pipeline import make_pipeline

        rows = sample(labels, MOST_ROWS)
        kept, labels = Texts.of(_joined(Texts.of(texts).take(rows))), labels[rows]
        most = None if cap is None else max(1, (cap - 1) // _vectors(len(classes)) - 1)
        counted: dict[str, Any] = {"ngram_range": (1, 2), "sublinear_tf": True, "dtype": np.float32}
        vectorizer = TfidfVectorizer(min_df=2 if len(rows) > BASELINE_FEW else 1, **counted)
        try:
            features = vectorizer.fit_transform(kept)
        except ValueError:  # what scikit-learn raises where no word is left to count
            vectorizer = TfidfVectorizer(analyzer="char", **counted)
            features = vectorizer.fit_transform(kept)
        if most is not None and features.shape[1] > most:
            by_label = labels[:, None] if labels.ndim == 1 else labels
            scored = _correlation if labels.dtype.kind == "f" else chi2
            told = np.max([scored(features, column)[0] for column in by_label.T if np.ptp(column)], axis=0)
            best = np.sort(np.argsort(-told, kind="stable")[:most])
            known = {"analyzer": vectorizer.analyzer, "vocabulary": vectorizer.get_feature_names_out()[best].tolist()}
            vectorizer = TfidfVectorizer(**counted, **known)
            features = vectorizer.fit_transform(kept)
        by_class = None if weights is None else np.asarray(weights, dtype=float)
        if labels.dtype.kind == "f":
            return cls(tuple(classes), make_pipeline(vectorizer, _ridge(features, labels)), len(rows))
        model = (_one_of if labels.ndim == 1 else _each_of)(features, labels, np.asarray(classes), by_class)
        return cls(tuple(classes), make_pipeline(vectorizer, model), len(rows))

    @classmethod
    def read(cls, path: Path, classes: Sequence[str]) -> Words:
        """What `write` wrote. Raises RunError for a file that is none, and MissingExtra."""
        skops = require("skops.io", extra="words")
        from sklearn.pipeline import Pipeline

        try:
            loaded = skops.load(path)
        except (BadZipFile, KeyError, TypeError, ValueError, skops.exceptions.UntrustedTypesFoundException) as error:
            raise RunError(f"{path}: no pipeline that skops reads ({error}); copy the run folder again") from error
        if not isinstance(loaded, Pipeline):
            raise RunError(f"{path}: no pipeline that skops reads, but a {type(loaded).__name__}; copy the run folder again")
        numbers = len(classes) == 1 and not hasattr(loaded[-1], "classes_") and hasattr(loaded[-1], "coef_")
        if not numbers and (unknown := set(map(str, getattr(loaded, "classes_", ["no class"]))) - set(classes)):
            raise RunError(f"{path} tells of '{min(unknown)}', which is no class of this run; copy the run folder again")
        return cls(tuple(classes), loaded, rows=0)

    def write(self, path: Path) -> None:
        require("skops.io", extra="words").dump(self.pipeline, path, compression=ZIP_DEFLATED)

    @property
    def counts(self) -> str:
        """What it counts: ` of characters`, or nothing for words."""
        return " of characters" if self.pipeline[0].analyzer == "char" else ""

    @property
    def parameters(self) -> int:
        """Weights and intercepts, which are what trained."""
        weights, intercepts = self.weights
        return int(weights.size + intercepts.size)

    @property
    def several(self) -> bool:
        """Whether a text may have several labels, so that each class has a regression of its own."""
        return hasattr(self.pipeline[-1], "estimators_")

    @property
    def weights(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(vectors, words) and (vectors,) what the regressions have learnt."""
        model = self.pipeline[-1]
        models = model.estimators_ if self.several else [model]
        weights, intercepts = ([getattr(one, name) for one in models] for name in ("coef_", "intercept_"))
        return np.concatenate([*map(np.atleast_2d, weights)]), np.concatenate([*map(np.atleast_1d, intercepts)])

    @property
    def numbers(self) -> bool:
        """Whether a number is estimated."""
        return not hasattr(self.pipeline[-1], "classes_")

    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """(N, C) of clean texts; 0 for a class that no training row had. Of a number it is that, (N, 1)."""
        if self.numbers:
            told = self.pipeline.predict(_joined(texts)) if len(texts) else np.zeros(0)
            return np.asarray(told, dtype=np.float64)[:, None]
        known = {name: column for column, name in enumerate(self.pipeline.classes_)}
        texts = _joined(texts)
        if not len(texts):
            told = np.zeros((0, len(known)))
        elif self.several:
            weights, intercepts = self.weights
            told = expit(self.pipeline[:-1].transform(texts) @ weights.T + intercepts)
        else:
            told = self.pipeline.predict_proba(texts)
        probabilities = np.zeros((len(texts), len(self.classes)))
        for number, name in enumerate(self.classes):
            if name in known:
                probabilities[:, number] = told[:, known[name]]
        return probabilities

    def logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Logits (N, C) that have these probabilities."""
        if self.numbers:
            task: Task = Regression(self.classes)
        else:
            task = (MultiLabel if self.several else SingleLabel)(self.classes)
        return task.logits(self.probabilities(texts))


class WordsPredictor(Predictor):
    """A predictor that takes clean texts as they are; its tokenizer only says which of them a shift changes."""

    def __init__(self, words: Words, tokenizer: Any, preprocessing: Preprocessing) -> None:
        super().__init__(words.classes, tokenizer, preprocessing)
        self.words = words
        self.about = "counted words, without an encoder: scikit-learn computes them, whichever engine"

    def read(self, texts: Sequence[Any], first: int = 0) -> list[str]:
        return self.clean(texts, first)

    def logits_of(self, known: Split | Shifted, **_: Any) -> NDArray[np.float32]:
        return self.words.logits(known.texts)

    def sizes(self, read: list[str]) -> list[int]:
        return [len(text.split()) for text in read]

    def unread(self, texts: Sequence[Any], read: list[str]) -> list[int]:
        del read
        return [0] * len(texts)

    def logits(self, read: list[str], **_: Any) -> NDArray[np.float32]:
        return self.words.logits(read)

    def _with_dropout(self, *_: Any, **__: Any) -> Never:
        raise ModelError("a run that counts words has no dropout; for mc_dropout train an encoder: --rung features")


def held_out_words(
    texts: Sequence[str], labels: Labels, classes: Sequence[str], *, seed: int, **how: Any
) -> NDArray[np.float64]:
    """Probabilities (N, C) of each text by words that the other folds were counted in; `how` goes to `Words.fit`."""
    told, texts = np.zeros((len(labels), len(classes))), Texts.of(texts)
    for kept, held in folds(label_sets(labels), seed, texts):
        if (
            labels.ndim == 1 and labels.dtype.kind == "i" and len(np.unique(labels[kept])) == 1
        ):  # where a class has a row or two
            told[held, labels[kept[0]]] = 1.0
        else:
            told[held] = Words.fit(texts.take(kept), labels[kept], classes, **how).probabilities(texts.take(held))
    return told


def sample(labels: Labels, most: int) -> NDArray[np.int64]:
    """Indices of every row, or of so many at random, each class in its share to a row; rising, always the same."""
    if len(labels) <= most:
        return np.arange(len(labels))
    labels = label_sets(labels)
    shuffled = np.random.default_rng(0).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    return np.sort(by_class[((np.arange(most) + 0.5) * (len(labels) / most)).astype(np.int64)])


def _one_of(features: Any, labels: NDArray[np.int64], classes: NDArray[Any], weights: NDArray[Any] | None) -> Any:
    """Multinomial logistic regression from features to class names, of labels (N,)."""
    from sklearn.linear_model import LogisticRegression

    by_class = None if weights is None else {classes[number]: float(weights[number]) for number in np.unique(labels)}
    model = LogisticRegression(
        C=STRENGTH, solver="sag", tol=1e-3, max_iter=MOST_PASSES, random_state=0, class_weight=by_class
    )
    with warnings.catch_warnings():  # that there are many classes for so few rows, which an audit tells in our words
        warnings.filterwarnings("ignore", message="The number of unique classes is greater than 50%")
        model.fit(features, classes[labels])
    return model


def _each_of(features: Any, labels: NDArray[np.int64], classes: NDArray[Any], weights: NDArray[Any] | None) -> Any:
    """One logistic regression against the rest for each class that some rows have and some do not, of labels (N, C).

    They are fitted one by one, for scikit-learn puts something that skops does not read where a class is in no row.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.preprocessing import LabelBinarizer

    varies = np.flatnonzero((labels == 1).any(axis=0) & (labels == 0).any(axis=0))
    model = OneVsRestClassifier(LogisticRegression(C=STRENGTH, solver="liblinear", random_state=0))
    model.estimators_ = []
    for number in varies:
        one = LogisticRegression(
            C=STRENGTH,
            solver="liblinear",
            random_state=0,
            max_iter=MOST_PASSES,
            class_weight=None if weights is None else {0: 1.0, 1: float(weights[number])},
        )
        known = labels[:, number] >= 0
        model.estimators_.append(one.fit(features[known], labels[known, number]))
    model.classes_ = classes[varies]
    model.label_binarizer_ = LabelBinarizer(sparse_output=True).fit(np.maximum(labels[:, varies], 0))
    return model


def _ridge(features: Any, numbers: NDArray[np.float64]) -> Any:
    """Ridge regression from features to numbers (N,), as strong as has the lowest squared error on folds held out."""
    from sklearn.linear_model import Ridge

    parts = folds(numbers, 0) if len(numbers) >= FEWEST else []

    def error(alpha: float) -> float:
        models = [(Ridge(alpha=alpha).fit(features[kept], numbers[kept]), held) for kept, held in parts]
        return sum(float(((model.predict(features[held]) - numbers[held]) ** 2).sum()) for model, held in models)

    return Ridge(alpha=min(RIDGES, key=error)).fit(features, numbers)


def _correlation(features: Any, numbers: NDArray[np.float64]) -> tuple[NDArray[np.float64]]:
    """How strongly each feature goes with the numbers: the square of the correlation, (words,) alone in a tuple."""
    from sklearn.feature_selection import r_regression

    return (np.nan_to_num(r_regression(features, numbers)) ** 2,)


def _joined(texts: Sequence[str]) -> Sequence[str]:
    """The texts themselves; of pairs both texts in one."""
    return list(map(joined, texts)) if len(texts) and is_pair(texts[0]) else texts


def _vectors(classes: int) -> int:
    """How many vectors of weights scikit-learn's regression has: one for two classes."""
    return 1 if classes == 2 else classes
