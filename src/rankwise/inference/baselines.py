"""What a trained classifier must beat: always the commonest class, and TF-IDF with logistic regression.

Both are fitted on the training texts and scored on the same test rows, with the same intervals. TF-IDF keeps every word
pair in memory, so of more than MOST_ROWS texts it is fitted on a sample that its name tells, in the classes' shares.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from rankwise.data.prepare import Prepared
from rankwise.data.store import Texts
from rankwise.data.tasks import SingleLabel
from rankwise.planning.memory import BASELINE_FEW, BASELINE_MOST
from rankwise.recipe import EvaluateSpec
from rankwise.stats.paired import paired_bootstrap
from rankwise.stats.scores import BaselineScores

MOST_ROWS = BASELINE_MOST  # their word pairs and the fit's vectors take some 400 MB


def fitted_baselines(data: Prepared) -> dict[str, np.ndarray]:
    """Each baseline's probabilities (N, C) on the test split, by its name."""
    rows = _sample(data.train.labels, MOST_ROWS)
    unit, probabilities = _tfidf(data, rows)
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


def _tfidf(data: Prepared, rows: NDArray[np.int64]) -> tuple[str, np.ndarray]:
    """Words and word pairs, sublinear counts, logistic regression at its default strength: (N, C).

    Texts without words, such as emoji, have their characters counted, which the first value says.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    texts, unit = Texts.of(data.train.texts).take(rows), ""
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2 if len(rows) > BASELINE_FEW else 1)
    try:
        features = vectorizer.fit_transform(texts)
    except ValueError:  # what scikit-learn raises where no word is left to count
        unit, vectorizer = " of characters", TfidfVectorizer(analyzer="char", ngram_range=(1, 2), sublinear_tf=True)
        features = vectorizer.fit_transform(texts)
    model = LogisticRegression(max_iter=1000, C=10.0).fit(features, data.train.labels[rows])
    probabilities = np.zeros((len(data.test), len(data.classes)))
    probabilities[:, model.classes_] = model.predict_proba(vectorizer.transform(data.test.texts))
    return unit, probabilities


def _sample(labels: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Indices of every row, or of so many at random, each class in its share to a row; rising, always the same."""
    if len(labels) <= most:
        return np.arange(len(labels))
    shuffled = np.random.default_rng(0).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    return np.sort(by_class[((np.arange(most) + 0.5) * (len(labels) / most)).astype(np.int64)])
