"""What a trained classifier must beat: always the commonest class, and TF-IDF with logistic regression.

Both are fitted on the training texts and scored on the same test rows, with the same intervals.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rankwise import metrics
from rankwise.data.prepare import Prepared
from rankwise.specs import EvaluateSpec


@dataclass(frozen=True)
class Baseline:
    """Scores of a baseline, and how far the classifier is above it on the same rows."""

    name: str
    scores: metrics.Scores
    difference: metrics.Interval
    """The classifier's accuracy minus the baseline's, paired bootstrap."""


def baselines(data: Prepared, predicted: np.ndarray, spec: EvaluateSpec) -> list[Baseline]:
    """Both baselines on the test split; `predicted` holds the classifier's class numbers (N,) there."""
    truth = data.test.labels
    found = []
    for name, probabilities in (("majority class", _majority(data)), ("TF-IDF + logistic", _tfidf(data))):
        scores = metrics.score(probabilities, truth, data.classes, resamples=spec.resamples, confidence=spec.confidence)
        right = probabilities.argmax(-1) == truth
        difference = metrics.paired_bootstrap(predicted == truth, right, confidence=spec.confidence)
        found.append(Baseline(name, scores, difference))
    return found


def _majority(data: Prepared) -> np.ndarray:
    """The training split's class shares for every row: (N, C)."""
    counts = np.bincount(data.train.labels, minlength=len(data.classes)).astype(float)
    return np.tile(counts / counts.sum(), (len(data.test), 1))


def _tfidf(data: Prepared) -> np.ndarray:
    """Words and word pairs, sublinear counts, logistic regression at its default strength: (N, C)."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2 if len(data.train) > 2000 else 1)
    model = make_pipeline(vectorizer, LogisticRegression(max_iter=1000, C=10.0))
    model.fit(data.train.texts, data.train.labels)
    probabilities = np.zeros((len(data.test), len(data.classes)))
    probabilities[:, model.classes_] = model.predict_proba(data.test.texts)
    return probabilities
