"""What a trained classifier must beat: always the commonest class, and TF-IDF with logistic regression.

Both are fitted on the training texts and scored on the same test rows, with the same intervals. TF-IDF keeps every word
pair in memory, so of more than MOST_ROWS texts it is fitted on a sample that its name tells, in the classes' shares.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankwise.data.prepare import Prepared
from rankwise.data.store import Texts
from rankwise.data.tasks import SingleLabel
from rankwise.planning.memory import BASELINE_FEW, BASELINE_MOST
from rankwise.recipe import EvaluateSpec
from rankwise.stats.paired import paired_bootstrap
from rankwise.stats.scores import BaselineScores

MOST_PASSES = 1_000  # some dozens do, but for a few long texts
MOST_ROWS = BASELINE_MOST  # their word pairs and the fit's vectors take some 400 MB


def fitted_baselines(data: Prepared) -> dict[str, np.ndarray]:
    """Each baseline's probabilities (N, C) on the test split, by its name."""
    rows = _sample(data.train.labels, MOST_ROWS)
    texts, labels = Texts.of(data.train.texts).take(rows), data.train.labels[rows]
    unit, probabilities = tfidf_logistic(texts, labels, data.test.texts, classes=len(data.classes))
    tfidf = f"TF-IDF{unit} + logistic" + (f", {len(rows):,} rows" if len(rows) < len(data.train) else "")
    counts = np.bincount(data.train.labels, minlength=len(data.classes)).astype(float)
    majority = np.tile(counts / counts.sum(), (len(data.test), 1))
    return {"majority class": majority, tfidf: probabilities}


def baselines(
    fitted: Mapping[str, np.ndarray], data: Prepared, predicted: np.ndarray, spec: EvaluateSpec
) -> dict[str, BaselineScores]:
    """Scores of fitted baselines on the test split; `predicted` holds the classifier's class numbers (N,) there."""

    def scored(probabilities: np.ndarray) -> BaselineScores:
        truth = data.test.labels
        scores = SingleLabel(data.classes).scores(probabilities, truth, spec)
        right = probabilities.argmax(-1) == truth
        difference = paired_bootstrap(predicted == truth, right, confidence=spec.confidence)
        return BaselineScores(**vars(scores), difference=difference)

    return {name: scored(probabilities) for name, probabilities in fitted.items()}


def tfidf_logistic(
    texts: Sequence[str], labels: NDArray[np.int64], tested: Sequence[str], *, classes: int
) -> tuple[str, np.ndarray]:
    """Words and word pairs, sublinear counts, multinomial logistic regression: the classes' probabilities (N, C) of `tested`.

    Texts without words, such as emoji, have their characters counted, which the first value says. The features' rows have
    length 1, where SAG (arXiv 1309.2388) takes 15 to 40 passes; `benchmarks/baseline.py` has other solvers beside it.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    counted: dict[str, Any] = {"ngram_range": (1, 2), "sublinear_tf": True, "dtype": np.float32}
    vectorizer, unit = TfidfVectorizer(min_df=2 if len(texts) > BASELINE_FEW else 1, **counted), ""
    try:
        features = vectorizer.fit_transform(texts)
    except ValueError:  # what scikit-learn raises where no word is left to count
        vectorizer, unit = TfidfVectorizer(analyzer="char", **counted), " of characters"
        features = vectorizer.fit_transform(texts)
    model = LogisticRegression(C=10.0, solver="sag", tol=1e-3, max_iter=MOST_PASSES, random_state=0).fit(features, labels)
    probabilities = np.zeros((len(tested), classes))
    probabilities[:, model.classes_] = model.predict_proba(vectorizer.transform(tested))
    return unit, probabilities


def _sample(labels: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Indices of every row, or of so many at random, each class in its share to a row; rising, always the same."""
    if len(labels) <= most:
        return np.arange(len(labels))
    shuffled = np.random.default_rng(0).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    return np.sort(by_class[((np.arange(most) + 0.5) * (len(labels) / most)).astype(np.int64)])
