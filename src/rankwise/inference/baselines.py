"""What a trained classifier must beat: always the commonest class, and TF-IDF with logistic regression.

Where a number is estimated, always the mean of the training labels, and TF-IDF with ridge regression. Both are fitted on the
training texts and scored on the same test rows, with the same intervals.
"""

from collections.abc import Mapping

import numpy as np

from rankwise.data.prepare import Prepared
from rankwise.data.tasks import Labels, Probabilities, Task
from rankwise.inference.evaluation import Evaluation
from rankwise.inference.words import Words, held_out_words
from rankwise.recipe import EvaluateSpec
from rankwise.stats.scores import BaselineScores

Fitted = Mapping[str, tuple[Task, Probabilities]]


def fitted_baselines(data: Prepared, *, whole: bool = False) -> Fitted:
    """Each baseline's task, with what it chose on the validation rows, and probabilities (N, C) on the test split, by name.

    Where the `whole` of the labelled rows will train, the validation rows too, they are fitted to all of them.
    """
    texts, labels = data.train.texts, data.train.labels
    if whole:
        texts = [*texts, *data.validation.texts]
        labels = np.concatenate([labels, data.validation.labels])
    words = Words.fit(texts, labels, data.classes)
    tfidf = f"TF-IDF{words.counts} + {'logistic' if data.task.has_classes else 'ridge'}" + (
        f", {words.rows:,} rows" if words.rows < len(labels) else ""
    )
    tuned = task = data.task
    if task.is_tuned and len(data.validation) and not whole:
        tuned = task.tuned(words.probabilities(data.validation.texts), data.validation.labels)
    elif task.is_tuned:
        tuned = task.tuned(held_out_words(texts, labels, data.classes, seed=0), labels)
    always = np.tile(_always(labels, task), (len(data.test), 1))
    return {task.floor: (task, always), tfidf: (tuned, task.normal(words.probabilities(data.test.texts)))}


def _always(labels: Labels, task: Task) -> Probabilities:
    """What the commonest answer is made of, (C,): the share of rows that have each class, or the mean of their numbers."""
    if not task.has_classes:
        return np.array([labels.mean()])
    one_hot = labels if labels.ndim > 1 else np.eye(len(task.classes))[labels]
    known = np.maximum((one_hot >= 0).sum(axis=0), 1)
    return np.asarray(np.maximum(one_hot, 0).sum(axis=0) / known)


def baselines(fitted: Fitted, task: Task, test: Evaluation, spec: EvaluateSpec) -> dict[str, BaselineScores]:
    """Scores of fitted baselines on the test split; `task` and `test` are the classifier's own there."""

    def scored(own: Task, probabilities: Probabilities) -> BaselineScores:
        scores = own.scores(probabilities, test.truth, spec)
        difference = task.difference(test.probabilities, (own, probabilities), test.truth, spec.confidence)
        return BaselineScores(**vars(scores), difference=difference)

    return {name: scored(*told) for name, told in fitted.items()}
