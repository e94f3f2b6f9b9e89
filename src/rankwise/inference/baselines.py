"""What a trained classifier must beat: always the commonest class, and TF-IDF with logistic regression.

Both are fitted on the training texts and scored on the same test rows, with the same intervals.
"""

from collections.abc import Mapping

import numpy as np

from rankwise.data.prepare import Prepared
from rankwise.data.tasks import SingleLabel
from rankwise.inference.words import Words
from rankwise.recipe import EvaluateSpec
from rankwise.stats.paired import paired_bootstrap
from rankwise.stats.scores import BaselineScores


def fitted_baselines(data: Prepared, *, whole: bool = False) -> dict[str, np.ndarray]:
    """Each baseline's probabilities (N, C) on the test split, by its name.

    Where the `whole` of the labelled rows will train, the validation rows too, they are fitted to all of them.
    """
    texts, labels = data.train.texts, data.train.labels
    if whole:
        texts = [*texts, *data.validation.texts]
        labels = np.concatenate([labels, data.validation.labels])
    words = Words.fit(texts, labels, data.classes)
    tfidf = f"TF-IDF{words.counts} + logistic" + (f", {words.rows:,} rows" if words.rows < len(labels) else "")
    counts = np.bincount(labels, minlength=len(data.classes)).astype(float)
    majority = np.tile(counts / counts.sum(), (len(data.test), 1))
    return {"majority class": majority, tfidf: words.probabilities(data.test.texts)}


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
