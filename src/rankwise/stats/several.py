"""Scores of a classifier that gives a text several labels, with percentile-bootstrap intervals.

Shapes: N rows, C classes. `truth` and decisions are 0 or 1 (N, C); where a truth is -1 it is not known, and the answer is
left out of the scores. A row without any that is known counts as wrong in accuracy. Rows are resampled, never single answers,
for those of a text depend on each other. Beside what single labels have: micro-F1, and mean average precision over classes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from rankwise.stats.intervals import Floats, Interval, check_settings, percentile_interval
from rankwise.stats.scores import Bin, ClassScore, Scores, intervals_of, ratio, reliability_bins

Answers = NDArray[np.int64]
SURE_ROWS = 80  # that have a class, and its best threshold counts as much as how many have it (thresholds.csv)
RANKED = 200  # resamples for average precision's interval, which costs what the others do together fifty times
LEAST = 1e-6  # a threshold's distance from 0 and 1
_AT_ONCE = 2**22  # numbers of resampled weights at a time: 32 MiB


def score_several(
    probabilities: Floats,
    decided: Answers,
    truth: Answers,
    class_names: Sequence[str],
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    bins: int = 15,
) -> Scores:
    """Every score with its interval. `more` has micro_f1 and mean_average_precision.

    Accuracy is the share of rows with exactly the right labels. Macro-F1 and average precision are means over the classes
    that the truth has; MCC, log-loss (nats for each answer) and calibration error are over all answers, N times C of them.
    ValueError: no rows, shapes that disagree, or not probabilities.
    """
    check_settings(resamples, confidence)
    _check(probabilities, truth, class_names)
    known = truth >= 0
    parts, rows = _Parts.of(probabilities, decided, truth, known, bins), len(truth)
    draws = [parts.scores(np.ones((1, rows)))]
    for start, weights in _resampled(rows, resamples, seed=seed, most=RANKED):
        draws.append(parts.scores(weights, ranked=start < RANKED))
    values, *drawn = np.concatenate(draws)  # 1 + resamples of (7 + 3C,)
    columns = np.reshape(drawn, (resamples, len(values))).T
    if ranked := columns[6][~np.isnan(columns[6])].tolist():  # rows drawn twice rank beside each other, which flatters
        columns[6] += values[6] - np.mean(ranked)
    support, given = (((answers == 1) & known).sum(axis=0).tolist() for answers in (truth, decided))
    shares = {0: rows}  # the index of accuracy, of each precision and recall: shares of so many
    for number, counts in enumerate(zip(given, support, strict=True)):
        shares |= dict(enumerate(counts, start=7 + 3 * number))
    intervals = intervals_of(values, columns, shares, confidence)
    accuracy, macro, micro, mcc, loss, error, precision = intervals[:7]
    by_class = zip(class_names, support, range(7, len(intervals), 3), strict=True)
    return Scores(
        rows=rows,
        accuracy=accuracy,
        macro_f1=macro,
        mcc=mcc,
        log_loss=loss,
        calibration_error=error,
        per_class=tuple(ClassScore(name, count, *intervals[at : at + 3]) for name, count, at in by_class),
        confusion=(),
        reliability=parts.reliability(),
        confidence_level=confidence,
        more={"micro_f1": micro, "mean_average_precision": precision},
    )


def quick_scores(probabilities: Floats, decided: Answers, truth: Answers) -> dict[str, float]:
    """accuracy, macro_f1, mcc and log_loss, without intervals."""
    parts = _Parts.of(probabilities, decided, truth, truth >= 0, bins=1)
    accuracy, macro, _, mcc, loss = parts.scores(np.ones((1, len(truth))), ranked=False)[0, :5].tolist()
    scores = {"accuracy": accuracy, "macro_f1": macro, "mcc": mcc, "log_loss": loss}
    return {name: round(value, 6) for name, value in scores.items()}


def macro_f1_of(decided: Answers, truth: Answers) -> float:
    """The mean F1 of the classes that the truth has; NaN where it has none."""
    return float(_macro_f1(*np.split(_row_counts(decided, truth).sum(axis=0)[None], 3, axis=1))[0])


def paired_macro_f1(
    one: Answers, other: Answers, truth: Answers, *, resamples: int = 2_000, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """Macro-F1 of one classifier's decisions minus that of another's on the same rows, -1 to 1."""
    check_settings(resamples, confidence)
    kept = truth.max(axis=1) >= 0
    truth, rows = truth[kept], int(kept.sum())
    counts = [_row_counts(decided[kept], truth) for decided in (one, other)]  # (N, 3C)

    def differences(weights: Floats) -> Floats:
        first, second = (_macro_f1(*np.split(weights @ of_row, 3, axis=1)) for of_row in counts)
        return first - second

    value, *draws = np.concatenate(
        [differences(np.ones((1, rows))), *(differences(weights) for _, weights in _resampled(rows, resamples, seed=seed))]
    )
    return percentile_interval(float(value), np.array(draws), confidence)


def resampled_several(decided: Answers, truth: Answers, *, resamples: int = 5_000, seed: int = 0) -> tuple[Floats, Floats]:
    """Accuracy of whole rows and macro-F1 of K runs, (K, 2), and on resampled rows, (B, K, 2); the same rows for every run.

    `decided` is (K, N, C).
    """
    exact = np.stack([_exact(answers, truth) for answers in decided])  # (K, N)
    counts = [_row_counts(answers, truth) for answers in decided]

    def scores(weights: Floats) -> Floats:
        macro = [_macro_f1(*np.split(weights @ of_row, 3, axis=1)) for of_row in counts]
        return np.stack([weights @ exact.T / weights.sum(axis=1, keepdims=True), np.stack(macro, axis=1)], axis=2)

    rows = len(truth)
    draws = [scores(weights) for _, weights in _resampled(rows, resamples, seed=seed)]
    return scores(np.ones((1, rows)))[0], np.concatenate(draws)


def paired_mean(one: Floats, other: Floats, *, resamples: int = 2_000, confidence: float = 0.95, seed: int = 0) -> Interval:
    """The mean of one number for each row minus that of another one, (N,) each, rows resampled."""
    check_settings(resamples, confidence)
    gains, rng = one - other, np.random.default_rng(seed)
    draws = [gains[rng.integers(len(gains), size=len(gains))].mean() for _ in range(resamples)]
    return percentile_interval(float(gains.mean()), np.array(draws), confidence)


def best_thresholds(probabilities: Floats, truth: Answers, *, sure_rows: float = SURE_ROWS) -> Floats:
    """For each class (C,) a threshold whose F1 is good on rows like these.

    The one with the best F1 here follows chance where few rows have the class. It is drawn, in log-odds, towards the one
    from which as many rows get the class as have it, and counts n / (n + sure_rows) where n rows have it. A class that no
    row has is given where its probability is above all that were seen.
    """
    chosen = np.empty(truth.shape[1])
    for number, support in enumerate((truth == 1).sum(axis=0).tolist()):
        column = probabilities[:, number]
        if not support:
            chosen[number] = column.max() + LEAST
            continue
        share = support / (support + sure_rows)
        best, as_many = _best_threshold(column, truth[:, number]), _between(np.sort(column)[::-1], support)
        chosen[number] = expit(share * _log_odds(best) + (1 - share) * _log_odds(as_many))
    return np.asarray(np.round(np.clip(chosen, LEAST, 1 - LEAST), 6))


def _best_threshold(probabilities: Floats, truth: Answers) -> float:
    """The threshold with the best F1 of one column (N,)."""
    order = np.argsort(-probabilities, kind="stable")
    falling, hits = probabilities[order], np.cumsum(truth[order] == 1)
    f1 = 2 * hits / (np.arange(1, len(order) + 1) + max(1, hits[-1]))
    ends = np.append(falling[1:] < falling[:-1], True)  # equal probabilities are decided alike
    return _between(falling, int(np.argmax(np.where(ends, f1, -1.0))) + 1)


def _between(falling: Floats, above: int) -> float:
    """What lies halfway between the first `above` of falling probabilities (N,) and the next one."""
    below = falling[above] if above < len(falling) else 0.0
    return float((falling[above - 1] + below) / 2)


def _log_odds(probability: float) -> float:
    return float(logit(np.clip(probability, LEAST, 1 - LEAST)))


@dataclass(frozen=True)
class _Parts:
    """What of each row goes into the scores, so that a resample is a product with its weights."""

    probabilities: Floats
    """(N, C)"""
    truth: Answers
    """(N, C)"""
    known: NDArray[np.bool_]
    """(N, C) the answers that are known."""
    exact: Floats
    """(N,) 1 for a row with exactly the right labels."""
    counts: Floats
    """(N, 3C) hits, given and true."""
    losses: Floats
    """(N, 2) the summed loss of its known answers, and their number."""
    edges: Floats
    """(bins + 1,)"""
    bin_of: NDArray[np.int64]
    """(N, C)"""
    gaps: Floats
    """(N, bins) probability minus truth of its answers, by bin."""
    ranks: tuple[tuple[NDArray[np.int64], Floats, NDArray[np.int64]], ...]
    """For each class the rows by falling probability, which of them have it, and the place of the last equal one."""

    @classmethod
    def of(cls, probabilities: Floats, decided: Answers, truth: Answers, known: NDArray[np.bool_], bins: int) -> Self:
        edges = np.linspace(0.0, 1.0, bins + 1)
        of_truth = np.where(truth == 1, probabilities, 1 - probabilities)
        losses = (-np.log(np.maximum(of_truth, np.finfo(np.float64).eps)) * known).sum(axis=1)
        bin_of = np.clip(np.searchsorted(edges, probabilities, side="left") - 1, 0, bins - 1)
        gaps = np.zeros((len(truth), bins))
        np.add.at(gaps, (np.arange(len(truth))[:, None], bin_of), (probabilities - (truth == 1)) * known)
        orders = np.argsort(-np.where(known, probabilities, -1.0), axis=0, kind="stable").T  # (C, N)
        return cls(
            probabilities=probabilities,
            truth=truth,
            known=known,
            exact=_exact(decided, truth),
            counts=_row_counts(decided, truth),
            losses=np.stack([losses, known.sum(axis=1).astype(np.float64)], axis=1),
            edges=edges,
            bin_of=bin_of,
            gaps=gaps,
            ranks=tuple(
                (order, (truth[order, n] == 1).astype(np.float64), _last_equal(probabilities[order, n]))
                for n, order in enumerate(orders)
            ),
        )

    def scores(self, weights: Floats, *, ranked: bool = True) -> Floats:
        """(R, 7 + 3C) under row weights (R, N): accuracy, macro-F1, micro-F1, MCC, log-loss, calibration error, mean average
        precision, then precision, recall and F1 of each class.
        """
        rows = weights.sum(axis=1)
        hits, given, true = np.split(weights @ self.counts, 3, axis=1)  # (R, C) each
        losses, answers = (weights @ self.losses).T
        micro = ratio(2 * hits.sum(axis=1), (given + true).sum(axis=1))
        error = ratio(np.abs(weights @ self.gaps).sum(axis=1), answers)
        precision = self._mean_average_precision(weights, true) if ranked else np.full(len(weights), np.nan)
        overall = [weights @ self.exact / rows, _macro_f1(hits, given, true), micro, _mcc(hits, given, true, answers)]
        overall += [ratio(losses, answers), error, precision]
        present = true > 0
        precisions, f1 = (np.where(present, share, np.nan) for share in (ratio(hits, given), _f1(hits, given, true)))
        shares = precisions, ratio(hits, true), f1  # (R, C) each
        return np.concatenate([np.stack(overall, axis=1), np.stack(shares, axis=2).reshape(len(weights), -1)], axis=1)

    def _mean_average_precision(self, weights: Floats, true: Floats) -> Floats:
        """The mean over classes that the truth has of the precision at each true row, in the order of probabilities."""
        total, seen = np.zeros(len(weights)), np.zeros(len(weights))
        for number, (order, of_class, last) in enumerate(self.ranks):
            if not of_class.any():
                continue
            ordered = weights[:, order]
            hits = np.cumsum(ordered * of_class, axis=1)
            precision = ratio(hits, np.cumsum(ordered, axis=1))[:, last]
            found = np.nansum(precision * ordered * of_class, axis=1)
            total += np.nan_to_num(ratio(found, true[:, number]))
            seen += true[:, number] > 0
        return ratio(total, seen)

    def reliability(self) -> tuple[Bin, ...]:
        """The bins of the calibration error: each answer's probability, and how often it is yes."""
        kept = self.known
        at, told, true = self.bin_of[kept], self.probabilities[kept], self.truth[kept] == 1
        return reliability_bins(at, self.edges, told, true)


def _resampled(rows: int, resamples: int, *, seed: int, most: int = _AT_ONCE) -> Iterator[tuple[int, Floats]]:
    """(the number of the first, how often each row is in so many resamples (R, N)), `most` of them at a time."""
    rng, at_once = np.random.default_rng(seed), max(1, min(most, _AT_ONCE // rows))
    for start in range(0, resamples, at_once):
        weights = rng.multinomial(rows, np.full(rows, 1 / rows), size=min(at_once, resamples - start))
        yield start, weights.astype(np.float64)


def _last_equal(falling: Floats) -> NDArray[np.int64]:
    """For each place (N,) the last one with the same value."""
    ends = np.flatnonzero(np.append(falling[1:] != falling[:-1], True))
    return np.repeat(ends, np.diff(ends, prepend=-1))


def _row_counts(decided: Answers, truth: Answers) -> Floats:
    """Of each row, by class: whether it is a hit, given, true; (N, 3C), nothing where it is not known."""
    true, given = truth == 1, (decided == 1) & (truth >= 0)
    return np.concatenate([given & true, given, true], axis=1).astype(np.float64)


def _exact(decided: Answers, truth: Answers) -> Floats:
    """1 for each row (N,) whose known answers are all right, and which has some."""
    known = truth >= 0
    return np.asarray(((decided == truth) | ~known).all(axis=1) & known.any(axis=1), dtype=np.float64)


def _f1(hits: Floats, given: Floats, true: Floats) -> Floats:
    return ratio(2 * hits, given + true)


def _macro_f1(hits: Floats, given: Floats, true: Floats) -> Floats:
    """The mean F1 of the classes that the truth has, (R,)."""
    present = true > 0
    return ratio(np.where(present, np.nan_to_num(_f1(hits, given, true)), 0.0).sum(axis=1), present.sum(axis=1))


def _mcc(hits: Floats, given: Floats, true: Floats, answers: Floats) -> Floats:
    """Matthews correlation of yes and no over all answers, (R,); 0 where there is one of them only."""
    found, yes, is_so = (counts.sum(axis=1) for counts in (hits, given, true))
    covariance = found * answers - yes * is_so
    variances = yes * (answers - yes) * is_so * (answers - is_so)
    return np.where(answers > 0, np.nan_to_num(ratio(covariance, np.sqrt(np.maximum(variances, 0.0)))), np.nan)


def _check(probabilities: Floats, truth: Answers, class_names: Sequence[str]) -> None:
    if probabilities.ndim != 2 or truth.shape != probabilities.shape:
        raise ValueError(f"probabilities have shape {probabilities.shape} and truth {truth.shape}; expected (N, C) of both")
    if not truth.size:
        raise ValueError("there are 0 rows to score; give a split that has at least one")
    if len(class_names) != truth.shape[1]:
        raise ValueError(f"{len(class_names)} class names for {truth.shape[1]} columns of probabilities; name each column")
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise ValueError("probabilities lie outside 0 to 1: pass logits through a sigmoid first")
