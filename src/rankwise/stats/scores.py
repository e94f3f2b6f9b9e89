"""How good the predictions are, and how sure we can be: every score is an `Interval`, an estimate between two bounds.

Shapes: N rows, C classes; `probabilities` (N, C) with rows that sum to 1, `truth` (N,) with the class of each row, or
-1 for a class that the model does not know. Confusion matrices are (..., C, C), truth down and prediction across.

Bounds are percentiles of a bootstrap over rows (Efron 1979). What they do not promise: they describe the sampling of
rows, not of training seeds or of other data; and calibration error is biased upwards on few rows, more so
when resampled, so its estimate can lie below its own interval. A share that no resample can move (no mistake, or nothing
but mistakes) has Wilson's bounds instead; what is made of several, such as F1, keeps an interval of zero width there, which
is not certainty. A score that is not defined is None or NaN, never 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from rankwise.stats.intervals import Floats, Interval, check_settings, percentile_interval, wilson
from rankwise.stats.score_names import OF_CLASSES

Counts = NDArray[np.int64]
Labels = NDArray[np.integer[Any]]
Bools = NDArray[np.bool_]
Probabilities = NDArray[np.floating[Any]]

UNDEFINED = Interval(None, None, None)

_SUM_TOLERANCE = 1e-3  # a softmax in half precision over a hundred classes stays within it
_CELLS_AT_ONCE = 2**22  # confusion cells resampled at a time: 32 MiB, whatever the number of classes


@dataclass(frozen=True)
class ClassScore:
    """The scores of one class, which `support` rows of the truth have.

    All are n/a without support, and precision is where the class was never predicted.
    """

    name: str
    support: int
    precision: Interval
    recall: Interval
    f1: Interval


@dataclass(frozen=True)
class Bin:
    """The rows whose top label has a confidence in (low, high]; the means are None where there are no such rows."""

    low: float
    high: float
    rows: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class Mistake:
    """A text that the classifier got wrong, and how sure it was."""

    row: int
    """Its number in its file."""
    text: str | None
    """None where texts are not kept."""
    truth: str
    predicted: str
    confidence: float | None
    """None where a number is estimated, whose mistakes are told by how far they are off."""


@dataclass(frozen=True)
class Scores:
    """What `score` returns. Rows of an unknown class are in `rows`, in no cell of `confusion`.

    Where a number is estimated there are no classes: what is theirs is not defined or empty, and all scores are in `more`.
    """

    rows: int
    accuracy: Interval
    macro_f1: Interval
    """Over the classes present in the truth."""
    mcc: Interval
    log_loss: Interval
    """In nats."""
    calibration_error: Interval
    """Expected: |confidence - accuracy| over equal-width bins of the top label, weighted by rows (Guo et al. 2017, eq. 3)."""
    per_class: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]
    reliability: tuple[Bin, ...]
    confidence_level: float
    more: Mapping[str, Interval] | None = None
    """Scores that a task has beside these, by their names."""

    @property
    def names(self) -> tuple[str, ...]:
        """The scores that the task has, by their names."""
        return (*(OF_CLASSES if self.per_class else ()), *(self.more or {}))

    def named(self, name: str) -> Interval:
        """A score by its name, one of `more` too."""
        score: Interval = (self.more or {})[name] if name in (self.more or {}) else getattr(self, name)
        return score


@dataclass(frozen=True, kw_only=True)
class ScoresWithMistakes(Scores):
    """Scores, and the most confident mistakes, the surest first."""

    mistakes: tuple[Mistake, ...]


@dataclass(frozen=True, kw_only=True)
class BaselineScores(Scores):
    """A baseline's scores, and how far the classifier is above it on the same rows."""

    difference: Interval
    """The classifier's accuracy minus the baseline's, paired bootstrap."""


class TopLabel(NamedTuple):
    """The most probable class of each row, as calibration looks at it: (N,) each."""

    confidence: Floats
    correct: Bools
    bin: Counts
    edges: Floats
    """(bins + 1,)"""

    @classmethod
    def of(cls, probabilities: Probabilities, truth: Labels, bins: int) -> Self:
        if bins < 1:
            raise ValueError(f"bins is {bins}; give at least 1, or 15 as in Guo et al. 2017")
        edges, confidence = np.linspace(0.0, 1.0, bins + 1), probabilities.max(axis=1).astype(np.float64)
        # Rounding may leave a confidence a hair above 1: it belongs to the last bin.
        bin_of_row = np.minimum(np.searchsorted(edges, confidence, side="left") - 1, bins - 1)
        return cls(confidence, probabilities.argmax(axis=1) == truth, bin_of_row, edges)

    def reliability(self) -> tuple[Bin, ...]:
        """The bins of the calibration error, lowest confidence first; empty ones included."""
        return reliability_bins(self.bin, self.edges, self.confidence, self.correct)


def score(
    probabilities: Probabilities,
    truth: Labels,
    class_names: Sequence[str],
    *,
    decided: Labels | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    bins: int = 15,
) -> Scores:
    """Every score with its interval; the prediction is the most probable class, the first of equals, unless it is `decided`.

    Rows of an unknown class (truth -1) count as wrong in accuracy and calibration, which judge the top label, and are
    left out of the other scores, which need the class. A resample that misses a class is scored on the classes it
    has. `resamples=0` skips the intervals. ValueError: no rows, shapes that disagree, or not probabilities.
    """
    check_settings(resamples, confidence)
    probabilities, truth = _checked(probabilities, truth)
    rows, classes = probabilities.shape
    if len(class_names) != classes:
        raise ValueError(f"{len(class_names)} class names for {classes} columns of probabilities; name each column")
    matrix = confusion_matrix(truth, probabilities.argmax(axis=1) if decided is None else decided, classes)
    losses, known, top = _row_losses(probabilities, truth), truth >= 0, TopLabel.of(probabilities, truth, bins)
    intervals = _intervals(losses, known, top, matrix, resamples=resamples, confidence=confidence, seed=seed)
    by_class = zip(class_names, matrix.sum(axis=1).tolist(), range(5, len(intervals), 3), strict=True)
    return Scores(
        rows=rows,
        log_loss=intervals[0],
        calibration_error=intervals[1],
        accuracy=intervals[2],
        macro_f1=intervals[3],
        mcc=intervals[4],
        per_class=tuple(ClassScore(name, support, *intervals[at : at + 3]) for name, support, at in by_class),
        confusion=tuple(tuple(row) for row in matrix.tolist()),
        reliability=top.reliability(),
        confidence_level=confidence,
    )


def confusion_matrix(truth: Labels, predicted: Labels, classes: int) -> Counts:
    """Rows per pair of true and predicted class, (C, C); rows whose truth is -1 are in no cell."""
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    if truth.shape != predicted.shape:
        raise ValueError(f"truth has shape {truth.shape}, predicted {predicted.shape}; give both one class per row")
    _check_labels(truth, classes, lowest=-1, what="truth")
    _check_labels(predicted, classes, lowest=0, what="predicted")
    known = truth >= 0
    cells = truth[known].astype(np.int64) * classes + predicted[known]
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes).astype(np.int64)  # (C, C)


def precision_recall_f1(m: Counts) -> tuple[Floats, Floats, Floats]:
    """Three arrays (..., C). NaN: all three of a class absent from the truth, precision of one never predicted."""
    hits, support, predicted = np.diagonal(m, axis1=-2, axis2=-1), m.sum(axis=-1), m.sum(axis=-2)  # (..., C)
    precision = np.where(support > 0, ratio(hits, predicted), np.nan)
    f1 = np.where(support > 0, ratio(2 * hits, support + predicted), np.nan)
    return precision, ratio(hits, support), f1


def macro_f1(m: Counts) -> Floats:
    """The mean F1 of the classes present in the truth, (...); NaN for an empty matrix."""
    f1 = precision_recall_f1(m)[2]
    present = ~np.isnan(f1)
    return ratio(np.where(present, f1, 0.0).sum(axis=-1), present.sum(axis=-1))


def mcc(m: Counts) -> Floats:
    """Matthews correlation for C classes, (...): the R_K of Gorodkin (2004). NaN for an empty matrix.

    0 where truth or prediction has a single class and R_K is 0/0, as in scikit-learn.
    """
    # In floating point, because the fourth power of the row count overflows int64.
    hits = np.trace(m, axis1=-2, axis2=-1).astype(np.float64)
    rows, support, predicted = (m.sum(axis=axes, dtype=np.float64) for axes in ((-2, -1), -1, -2))
    covariance = hits * rows - (support * predicted).sum(axis=-1)
    variances = (rows**2 - (support**2).sum(axis=-1)) * (rows**2 - (predicted**2).sum(axis=-1))
    correlation = np.nan_to_num(ratio(covariance, np.sqrt(variances)), nan=0.0)
    return np.where(rows > 0, correlation, np.nan)


def log_loss(probabilities: Probabilities, truth: Labels) -> float:
    """Mean negative log-likelihood of the true class, nats, over rows of known classes; NaN if there are none.

    Probabilities below the machine epsilon of their type count as that epsilon, as in scikit-learn.
    """
    probabilities, truth = _checked(probabilities, truth)
    return float(ratio(_row_losses(probabilities, truth).sum(), np.sum(truth >= 0)))


def intervals_of(values: Floats, columns: Floats, shares: Mapping[int, int], confidence: float) -> list[Interval]:
    """The interval of each value (V,) from its resamples (V, R); `shares` has of how many an indexed one is a share."""
    intervals = [percentile_interval(value, column, confidence) for value, column in zip(values, columns, strict=True)]
    for index, whole in shares.items():
        if values[index] in (0.0, 1.0) and columns.shape[1]:
            intervals[index] = wilson(float(values[index]), whole, confidence)
    return intervals


def reliability_bins(bin_of: Counts, edges: Floats, confidence: Floats, correct: Bools) -> tuple[Bin, ...]:
    """The bins between `edges` of answers (N,), each in the one it is of; empty ones included."""
    bins = len(edges) - 1
    rows = np.bincount(bin_of, minlength=bins)
    means = [ratio(np.bincount(bin_of, x, minlength=bins), rows).tolist() for x in (confidence, correct)]
    columns = zip(edges[:-1].tolist(), edges[1:].tolist(), rows.tolist(), *means, strict=True)
    return tuple(Bin(low, high, n, *((mean, hit) if n else (None, None))) for low, high, n, mean, hit in columns)


def ratio(part: Any, whole: Any) -> Floats:
    """`part / whole`, broadcast; NaN where `whole` is 0."""
    divided: Floats = np.full(np.broadcast_shapes(np.shape(part), np.shape(whole)), np.nan)
    np.divide(part, whole, out=divided, where=np.broadcast_to(np.asarray(whole) > 0, divided.shape))
    return divided


def _intervals(
    losses: Floats, known: Bools, top: TopLabel, matrix: Counts, *, resamples: int, confidence: float, seed: int
) -> list[Interval]:
    """Log-loss, calibration error, accuracy, macro-F1, MCC, then precision, recall and F1 class by class: 5 + 3C of them."""
    rows, rng = len(losses), np.random.default_rng(seed)
    row_scores = _bootstrap_rows(losses, known, top, resamples=resamples, rng=rng)
    count_scores = _bootstrap_counts(matrix, rows, resamples=resamples, rng=rng)
    values, *draws = np.concatenate([row_scores, count_scores], axis=1)  # 1 + resamples of (5 + 3C,)
    columns = np.reshape(draws, (resamples, len(values))).T
    shares = {2: rows}  # the index of accuracy, of each precision and recall: shares of so many rows
    for number, counts in enumerate(zip(matrix.sum(axis=0).tolist(), matrix.sum(axis=1).tolist(), strict=True)):
        shares |= dict(enumerate(counts, start=5 + 3 * number))
    return intervals_of(values, columns, shares, confidence)


def _checked(probabilities: Probabilities, truth: Labels) -> tuple[Probabilities, Labels]:
    probabilities, truth = np.asarray(probabilities), np.asarray(truth)
    if probabilities.ndim != 2 or truth.shape != probabilities.shape[:1]:
        raise ValueError(f"probabilities have shape {probabilities.shape} and truth {truth.shape}; expected (N, C) and (N,)")
    if not truth.size:
        raise ValueError("there are 0 rows to score; give a split that has at least one")
    if not np.issubdtype(probabilities.dtype, np.floating):
        probabilities = probabilities.astype(np.float64)
    _check_labels(truth, probabilities.shape[1], lowest=-1, what="truth")
    # A comparison with NaN is false, so what is not finite fails here too.
    with np.errstate(invalid="ignore"):
        sums = probabilities.sum(axis=1, dtype=np.float64)
    wrong = ~((np.abs(sums - 1) <= _SUM_TOLERANCE) & (probabilities >= 0).all(axis=1))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"row {row} holds {probabilities[row].tolist()[:8]} (first 8) and sums to {sums[row]:.6g}; expected finite "
            "probabilities, none negative, that sum to 1: pass logits through a softmax first"
        )
    return probabilities, truth


def _check_labels(labels: Labels, classes: int, *, lowest: int, what: str) -> None:
    if labels.size and not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"{what} has dtype {labels.dtype}; expected whole numbers, the index of each row's class")
    outside = np.flatnonzero((labels < lowest) | (labels >= classes))
    if outside.size:
        row = int(outside[0])
        raise ValueError(f"{what} is {labels[row]} in row {row}; expected {lowest} to {classes - 1}")


def _bootstrap_rows(losses: Floats, known: Bools, top: TopLabel, *, resamples: int, rng: np.random.Generator) -> Floats:
    """Log-loss and calibration error of the rows, then of each resample, (1 + resamples, 2)."""
    gaps, bins, rows = top.confidence - top.correct, len(top.edges) - 1, len(losses)
    sums = np.empty((1 + resamples, 3))
    # One resample at a time: memory stays at a few arrays of N, and from thousands of rows on numpy does the work.
    for r in range(1 + resamples):
        drawn = rng.integers(rows, size=rows) if r else np.arange(rows)
        # A bin's rows times its gap is the sum of its rows' gaps, so no division by empty bins.
        bin_gaps = np.bincount(top.bin[drawn], gaps[drawn], minlength=bins)
        sums[r] = losses[drawn].sum(), known[drawn].sum(), np.abs(bin_gaps).sum()
    return np.stack([ratio(sums[:, 0], sums[:, 1]), sums[:, 2] / rows], axis=1)


def _row_losses(probabilities: Probabilities, truth: Labels) -> Floats:
    """-log p of the true class, (N,); 0 for an unknown one."""
    of_truth = probabilities[np.arange(len(truth)), truth]  # (N,); -1 picks the last class, masked on return
    losses = -np.log(np.maximum(of_truth, np.finfo(probabilities.dtype).eps).astype(np.float64))
    return np.where(truth >= 0, losses, 0.0)


def _count_scores(m: Counts, rows: int) -> Floats:
    """Accuracy, macro-F1, MCC, then precision, recall and F1 class by class: (..., 3 + 3C)."""
    hit_rate = np.trace(m, axis1=-2, axis2=-1) / rows  # `m` lacks rows of an unknown class, which are wrong, not absent
    overall = np.stack([hit_rate, macro_f1(m), mcc(m)], axis=-1)  # (..., 3)
    by_class = np.stack(precision_recall_f1(m), axis=-1)  # (..., C, 3)
    return np.concatenate([overall, by_class.reshape(*overall.shape[:-1], -1)], axis=-1)


def _bootstrap_counts(matrix: Counts, rows: int, *, resamples: int, rng: np.random.Generator) -> Floats:
    """`_count_scores` of the counts, then of each resample, (1 + resamples, 3 + 3C)."""
    # Drawing N rows with replacement and counting them per cell is, by definition, one multinomial draw over the cells:
    # the same distribution as resampling rows, at a cost that grows with the cells in use and not with N. Rows of an
    # unknown class are one more cell, so that resamples vary in how many they hold.
    cells = np.append(matrix.ravel(), rows - matrix.sum())  # (C * C + 1,)
    used = np.flatnonzero(cells)
    scores = np.empty((1 + resamples, 3 + 3 * len(matrix)))
    scores[0] = _count_scores(matrix, rows)
    at_once = max(1, _CELLS_AT_ONCE // cells.size)
    for start in range(1, 1 + resamples, at_once):
        drawn = np.zeros((min(at_once, 1 + resamples - start), cells.size), dtype=np.int64)
        drawn[:, used] = rng.multinomial(rows, cells[used] / rows, size=len(drawn))
        scores[start : start + at_once] = _count_scores(drawn[:, :-1].reshape(-1, *matrix.shape), rows)
    return scores
