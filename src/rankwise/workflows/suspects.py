"""Labelled texts → the rows whose label is probably wrong: confident learning on probabilities that never saw the row.

Northcutt, Jiang & Chuang (arXiv 1911.00068): a class's threshold is the mean probability that rows with its label have of
it; a row that is above another class's threshold counts as that class; the counts, scaled to the labels' own, say how many
labels i are truly j, and so many rows labelled i with the largest margin of j over i are named. That takes noise to depend
on the class alone. Labels that follow the text, as those of a rule or of another model do, look right to it: so every row
whose label is not its likeliest class is listed, and those that confident learning names are marked.

Where a row has several labels, each is judged on its own: of several label columns one of its classes, of several labels
a text whether it has this one, as cleanlab does it.

Probabilities come from a cross-validated logistic regression on TF-IDF, or from the labels of the nearest neighbours in the
frozen encoder's eyes (Bahri, Jiang & Gupta, arXiv 2004.12289). Written out in numpy, for it is a page: cleanlab 2.9, the
authors' library (Apache-2.0), does it among much else and brings pandas; tests hold these functions against it.
Shapes: N rows, C classes, D features, H hidden.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rankwise.errors import DataError
from rankwise.stats.intervals import Interval
from rankwise.stats.scores import score

FOLDS = 5
STRENGTH = 1.0  # C of the logistic regression: noisy labels want it weaker than the baseline's
LEAST_TEXTS = 2  # that have a word or a pair of words, for it to count
AT_ONCE = 2**24  # similarities held at a time: 64 MiB

Features = Literal["tfidf", "encoder"]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Labels = NDArray[np.int64]
Judge = Callable[[NDArray[np.int64], Labels], Floats]
"""From indices of rows (N,) and their class numbers to each row's probabilities (N, C) by what the others say."""


@dataclass(frozen=True)
class Suspects:
    """Rows whose label is not their likeliest class, by falling margin between the two probabilities: M of N."""

    indices: NDArray[np.int64]
    """(M,) their indices among the N rows."""
    likely: Labels
    """(M,) the likeliest class of every one."""
    label_probability: Floats
    """(M,) the label's probability by a judge that never saw the row."""
    usual_probability: Floats
    """(M,) what rows with that label have of it in the mean."""
    likely_probability: Floats
    """(M,) the likeliest class's probability by the same judge."""
    named: Bools
    """(M,) which of them confident learning names: these are probably wrong."""
    joint: Floats = field(repr=False)
    """(C, C) estimated rows with label i, down, that truly are j, across."""
    judged: Bools = field(repr=False)
    """(N,) which rows were judged: those of classes with FOLDS rows or more."""
    told_apart: float
    """How often a row of a class has more of its probability than another row, the mean over classes; a half is chance."""


@dataclass(frozen=True)
class ListScores:
    """How well a list of rows matches the rows that are known to be wrong."""

    listed: int
    """Rows of the list whose true label is known."""
    wrong: int
    """Rows of the data whose label differs from the true one."""
    right: int
    """Rows that are listed and wrong."""
    precision: Interval
    recall: Interval


def find_suspects(
    texts: Sequence[str], labels: Labels, classes: int, *, features: Features = "tfidf", base: str = "minilm", seed: int = 0
) -> Suspects:
    """The rows of `texts` whose label (N,) is probably wrong; `base` is the encoder in whose eyes texts are near.

    Rows without a label (-1), and those of classes with fewer than FOLDS rows, are not judged. Raises DataError where fewer
    than two classes are left, or where texts have no word in common.
    """
    enough = int((np.bincount(labels[labels >= 0], minlength=classes) >= FOLDS).sum())
    if enough < 2:
        raise DataError(f"{enough} of {classes} classes have {FOLDS} rows or more; expected two or more, to tell them apart")
    found = find_in_each(texts, [(labels, classes)], features=features, base=base, seed=seed)[0]
    assert found is not None
    return found


def find_in_each(
    texts: Sequence[str],
    answers: Sequence[tuple[Labels, int]],
    *,
    features: Features = "tfidf",
    base: str = "minilm",
    seed: int = 0,
) -> list[Suspects | None]:
    """`find_suspects` of each of several kinds of labels, given with its number of classes, by one look at the texts.

    None where fewer than two classes have FOLDS rows. Raises DataError where that is so of all.
    """
    numbers = [_judged(labels, classes) for labels, classes in answers]
    if all(len(present) < 2 for _, present in numbers):
        raise DataError(
            f"no label has {FOLDS} rows or more with it, and as many without it; expected some, to tell them apart"
        )
    if features == "encoder":
        from rankwise.inference.features import mean_features

        judge = _by_neighbours(mean_features(texts, base))
    else:
        judge = _by_words(tfidf_features(texts), seed)
    return [
        _suspects(judge, labels, classes, judged, present) if len(present) > 1 else None
        for (labels, classes), (judged, present) in zip(answers, numbers, strict=True)
    ]


def compare(listed: NDArray[np.int64], wrong: Bools, known: Bools) -> ListScores:
    """Precision and recall of listed row numbers, where rows (N,) are known to be `wrong`, among those `known` at all."""
    said = np.zeros(len(wrong), dtype=np.int64)
    said[listed] = 1
    truth, said = wrong[known].astype(np.int64), said[known]
    scores = score(np.eye(2)[said], truth, ("right", "wrong")).per_class[1]
    return ListScores(int(said.sum()), int(truth.sum()), int((truth & said).sum()), scores.precision, scores.recall)


def confident_joint(labels: Labels, probabilities: Floats) -> Floats:
    """Estimated rows with label i, down, that truly are j, across: (C, C), each row adding up to its label's rows."""
    classes = probabilities.shape[1]
    counts = np.bincount(labels, minlength=classes)
    thresholds = usual(labels, probabilities)
    confident = np.where(probabilities >= thresholds, probabilities, -1.0)
    likely, sure = confident.argmax(-1), confident.max(-1) >= 0
    joint = np.zeros((classes, classes))
    np.add.at(joint, (labels[sure], likely[sure]), 1)
    empty = joint.sum(axis=1) == 0
    joint[empty, empty] = 1  # a label that no row is sure of is taken to be right
    return np.asarray(joint * (counts / joint.sum(axis=1))[:, None])


def usual(labels: Labels, probabilities: Floats) -> Floats:
    """What rows with each label have of it in the mean, (C,)."""
    classes = probabilities.shape[1]
    own = probabilities[np.arange(len(labels)), labels]
    return np.asarray(np.bincount(labels, own, minlength=classes) / np.bincount(labels, minlength=classes))


def prune(labels: Labels, probabilities: Floats, joint: Floats) -> Bools:
    """Which rows are suspects (N,): for each pair of classes as many as the joint counts, by margin; the paper's PBNR.

    A row whose label is its likeliest class is none.
    """
    pruned = np.zeros(len(labels), dtype=np.bool_)
    for label in range(len(joint)):
        rows = np.flatnonzero(labels == label)
        for other in range(len(joint)):
            count = round(joint[label, other]) if other != label else 0
            margin = probabilities[rows, other] - probabilities[rows, label]
            pruned[rows[np.argsort(-margin, kind="stable")[:count]]] = True
    return np.asarray(pruned & (probabilities.argmax(-1) != labels))


def out_of_sample(features: Any, labels: Labels, *, seed: int = 0) -> Floats:
    """Each row's probabilities (N, C) by a logistic regression fitted on the other folds; features (N, D), sparse or dense.

    Folds have each class in its share. Every class needs FOLDS rows.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold

    probabilities = np.zeros((len(labels), int(labels.max()) + 1))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    for others, fold in folds.split(np.zeros(len(labels)), labels):
        model = LogisticRegression(C=STRENGTH, max_iter=1000).fit(features[others], labels[others])
        probabilities[fold] = model.predict_proba(features[fold])
    return probabilities


def neighbours_labels(features: NDArray[np.float32], labels: Labels) -> Floats:
    """The labels' shares (N, C) among each row's √N nearest others, by cosine of the centred features (N, H)."""
    return _shares(_nearest(features), labels)


def tfidf_features(texts: Sequence[str]) -> Any:
    """Words and word pairs with sublinear counts, sparse (N, D). Raises DataError where texts have no word in common."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    try:
        return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=LEAST_TEXTS).fit_transform(texts)
    except ValueError as error:  # what scikit-learn raises for an empty vocabulary
        raise DataError(
            f"found no word of two letters or more in {LEAST_TEXTS} of the {len(texts):,} texts; expected texts with words "
            "in common, to tell classes apart by: give more rows, or type --features encoder"
        ) from error


def _judged(labels: Labels, classes: int) -> tuple[Bools, Labels]:
    """(which rows are judged (N,), the classes with FOLDS rows or more, rising)."""
    counts = np.bincount(labels[labels >= 0], minlength=classes)
    present = np.flatnonzero(counts >= FOLDS)
    return np.isin(labels, present), present


def _suspects(judge: Judge, labels: Labels, classes: int, judged: Bools, present: Labels) -> Suspects:
    """Those among the rows that are judged, whose classes are the ones that are present."""
    rows = np.flatnonzero(judged)
    numbers = np.searchsorted(present, labels[rows])
    probabilities = judge(rows, numbers)
    joint = confident_joint(numbers, probabilities)
    named = prune(numbers, probabilities, joint)
    likely = probabilities.argmax(-1)
    listed = np.flatnonzero(likely != numbers)
    own, likeliest = probabilities[listed, numbers[listed]], probabilities[listed, likely[listed]]
    order = np.argsort(own - likeliest, kind="stable")
    listed = listed[order]
    whole = np.zeros((classes, classes))
    whole[np.ix_(present, present)] = joint
    return Suspects(
        rows[listed],
        present[likely[listed]],
        own[order],
        usual(numbers, probabilities)[numbers[listed]],
        likeliest[order],
        named[listed],
        whole,
        judged,
        float(np.mean([_separation(column, numbers == number) for number, column in enumerate(probabilities.T)])),
    )


def _separation(probabilities: Floats, is_class: Bools) -> float:
    """How often a row of the class has a higher probability (N,) than a row of another: the area under the ROC curve."""
    from scipy.stats import rankdata

    own = int(is_class.sum())
    above = rankdata(probabilities)[is_class].sum() - own * (own + 1) / 2
    return float(above / (own * (len(is_class) - own)))


def _by_words(features: Any, seed: int) -> Judge:
    return lambda rows, labels: out_of_sample(features[rows], labels, seed=seed)


def _by_neighbours(features: NDArray[np.float32]) -> Judge:
    """A judge that looks for the neighbours of the same rows once."""
    known: dict[bytes, NDArray[np.int64]] = {}

    def judge(rows: NDArray[np.int64], labels: Labels) -> Floats:
        if (key := rows.tobytes()) not in known:
            known.clear()
            known[key] = _nearest(features[rows])
        return _shares(known[key], labels)

    return judge


def _nearest(features: NDArray[np.float32]) -> NDArray[np.int64]:
    """Each row's √N nearest others, by cosine of the centred features (N, H)."""
    count = len(features)
    most = min(count - 1, max(1, round(math.sqrt(count))))
    centred = features - features.mean(axis=0)
    centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)
    nearest = np.empty((count, most), dtype=np.int64)
    at_once = max(1, AT_ONCE // count)
    for start in range(0, count, at_once):
        rows = np.arange(start, min(start + at_once, count))
        similar = centred[rows] @ centred.T  # (rows, N)
        similar[np.arange(len(rows)), rows] = -np.inf  # no row speaks for itself
        nearest[rows] = np.argpartition(-similar, most - 1, axis=1)[:, :most]
    return nearest


def _shares(nearest: NDArray[np.int64], labels: Labels) -> Floats:
    """The labels' shares (N, C) among each row's nearest (N, k)."""
    of_nearest = labels[nearest]  # (N, k)
    return np.stack([(of_nearest == number).mean(axis=1) for number in range(int(labels.max()) + 1)], axis=1)
