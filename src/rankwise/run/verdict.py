"""What a run's scores come to, in words: whether it is shown to be better than what it must beat, and what would tell.

A difference is shown where its interval leaves out 0. An interval narrows with the square root of the rows, which says how
many more would show a difference of the size that was measured.
"""

from rankwise.run.format import RunScores
from rankwise.stats.scores import BaselineScores

MAJORITY = "majority class"
MEAN = "mean of the training labels"  # where a number is estimated
WORDS = "TF-IDF"  # begins the name of the baseline that counts words
LITTLE = 0.02  # accuracy that nobody would train for
MOST = 100  # times the rows, beyond which more of them are no advice


def verdict(scores: RunScores, *, counts_words: bool = False) -> str:
    """A sentence about a run, which may count words itself; empty where no baseline was scored, or without intervals."""
    majority = scores.baselines.get(MAJORITY)
    if majority is not None and majority.confusion and (useless := _no_better_than_one_answer(scores, majority)):
        return useless
    words = next((name for name in scores.baselines if name.startswith(WORDS)), None)
    if words is None or counts_words:
        if MEAN in scores.baselines:
            return _held_against(scores.baselines[MEAN], f"always telling the {MEAN}")
        if majority is None or not majority.confusion:  # of several labels a text no answer is the commonest
            return ""
        return _held_against(majority, f"always answering {_answer(scores, majority)}")
    return _held_against(scores.baselines[words], WORDS)


def _no_better_than_one_answer(scores: RunScores, majority: BaselineScores) -> str:
    """What to say of a run whose accuracy is not shown to be above that of one answer; empty for any other."""
    gain, apart, always = majority.difference, scores.test.mcc, f"always answering {_answer(scores, majority)}"
    if gain.value is None or gain.low is None or gain.high is None or gain.low > 0:
        return ""
    if apart.value is not None and (apart.low or 0.0) > 0:  # rare classes are found, at the cost of common ones
        told = f"no more often right than {always}, but it does tell the classes apart (MCC {apart.value:.2f})"
        return "" if gain.value > 0 else told
    if gain.value <= 0 or gain.high < LITTLE:
        return f"useless as it is: no better than {always}; look at the labels, the text columns, and the learning rate"
    return _held_against(majority, always)


def _held_against(baseline: BaselineScores, name: str) -> str:
    gain, rows = baseline.difference, baseline.rows
    if gain.value is None or gain.low is None or gain.high is None:
        return ""
    points = "points" if baseline.per_class else "points of R²"
    between = f"{_points(gain.low, '+')} to {_points(gain.high, '+')} {points}"
    if gain.low > 0:
        return f"better than {name} on {rows:,} test rows ({between})"
    if gain.high < 0:
        return f"worse than {name} on {rows:,} test rows ({between})"
    more = _what_would_tell(gain.value, gain.low, gain.high, rows)
    return f"not shown to be better than {name} on {rows:,} test rows ({between}); {more}"


def _what_would_tell(value: float, low: float, high: float, rows: int) -> str:
    """How many more rows narrow the interval so far that the difference measured would be shown."""
    to_zero = value - low if value > 0 else high - value
    times = (to_zero / value) ** 2 if value else float("inf")
    if times > MOST:
        return "the two are about as good as each other"
    more = max(rows * (times - 1), 1.0)
    digits = max(0, len(f"{more:.0f}") - 2)
    return f"about {max(1, round(more / 10**digits)) * 10**digits:,} more would tell, if the difference stays as it is"


def _answer(scores: RunScores, majority: BaselineScores) -> str:
    """The one answer of the baseline."""
    given = [sum(column) for column in zip(*majority.confusion, strict=True)]
    return f"'{scores.classes[given.index(max(given))]}'" if any(given) else "the commonest class"


def _points(share: float, sign: str = "") -> str:
    return f"{100 * share:{sign}.1f}"
