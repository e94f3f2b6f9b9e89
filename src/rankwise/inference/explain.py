"""Why a text got its label: what each of its words adds to the label's margin over the others.

The margin is the label's logit less the mean of the other classes' (with two classes, the log-odds of the label), or less one
other class's. Of several label columns the others are those of the label's own column; where a text may have several labels,
the margin is the label's log-odds. Of several decisions the surest is explained, unless a label is asked for.

A word's score is its share of the difference between the margin of the text and the margin of the text with
every word hidden, so scores add up to that difference. Shapes: C classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankwise.data.given import Label, name_of, text_of, texts_in
from rankwise.data.pairs import BETWEEN, sides
from rankwise.data.spans import Span, raw_spans, word_spans
from rankwise.errors import DataError, nearest
from rankwise.inference.predict import Prediction, Predictor

Pieces = list[tuple[int, int, float]]
"""(start, end, score) of parts of a clean text, such as tokens; several may overlap."""


@dataclass(frozen=True)
class WordScore:
    """A word, where it stands in the text that was given, and what it adds to the margin.

    `side` is 1 in the second text of a pair, in which `start` and `end` are then.
    """

    word: str
    start: int
    end: int
    score: float
    side: int = 0


@dataclass(frozen=True, kw_only=True)
class Explanation(Prediction):
    """A prediction, and what each word of its text adds to the margin of the class `explained`."""

    explained: Label
    """What is predicted, unless another was asked for; of several labels the surest."""
    against: Label | None
    """The class that the margin is over; None for the mean of all others."""
    words: tuple[WordScore, ...]
    """All of the text's, in its order; 0 for what a classifier did not read, as a text's end that was cut off."""
    margin: float
    """The text's."""
    hidden_margin: float
    """Of the text with every word hidden."""

    @property
    def rest(self) -> float:
        """What the scores leave of the difference between both margins: what numerical integration misses."""
        return self.margin - self.hidden_margin - sum(word.score for word in self.words)

    @property
    def strongest(self) -> tuple[WordScore, ...]:
        """The words by how much they add or take, the most first."""
        return tuple(sorted(self.words, key=lambda word: -abs(word.score)))


@dataclass(frozen=True)
class Look:
    """What is computed of one text."""

    probabilities: NDArray[np.float64]
    """(C,)"""
    logits: NDArray[np.float64]
    """(C,), whose differences are the margins; 0 for a class that has none."""
    attribute: Callable[[NDArray[np.float64]], tuple[Pieces, float]]
    """From the (C,) by which logits make a margin: what the text's parts add to it, and the margin without them."""


class Explainer(ABC):
    """What explains predictions, a text at a time. Not for several threads at once."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor, self.preprocessing = predictor, predictor.preprocessing
        self.known = np.ones(len(self.preprocessing.classes), dtype=bool)  # (C,), the classes that have a logit

    @abstractmethod
    def look(self, clean: str) -> Look:
        """What is computed of a clean text."""

    def explain(self, texts: Any, *, label: Label | None = None, against: Label | None = None) -> list[Explanation]:
        """An explanation for each text, in order: of what is predicted over the other classes, or of `label` over `against`.

        Raises DataError for a class that is none, and for texts as `predict` does.
        """
        return list(self.stream(texts, label=label, against=against))

    def stream(self, texts: Any, *, label: Label | None = None, against: Label | None = None) -> Iterator[Explanation]:
        """The same one by one, of texts that need not fit in memory."""
        wanted, other = (None if name is None else self._number(name) for name in (label, against))
        if wanted is not None and wanted == other:
            raise DataError(f"label and against are both {label!r}; give two classes, or leave one out")
        about = self.preprocessing
        given = texts_in(texts, about.text, about.join, call="explain", pair=about.text_pair or ())
        for number, value in enumerate(given):
            clean = self.predictor.clean([value], number)[0]
            yield self._explained(text_of(value, f"text {number}", pairs=about.reads_pairs), clean, wanted, other)

    def _explained(self, text: str, clean: str, wanted: int | None, other: int | None) -> Explanation:
        look = self.look(clean)
        label = self._surest(look.probabilities) if wanted is None else wanted
        against = None if other == label else other
        contrast = self._contrast(label, against)
        pieces, hidden_margin = look.attribute(contrast)
        scores, labels = iter(words_of_pieces(pieces, _words_of(clean))), self.preprocessing.labels
        words = []
        for side, (raw, own) in enumerate(zip(sides(text), sides(clean), strict=True)):
            places = raw_spans(raw, own, word_spans(own))
            words += [WordScore(raw[start:end], start, end, next(scores), side) for start, end in places]
        return Explanation(
            **vars(self.predictor.prediction(look.probabilities)),
            explained=labels[label],
            against=None if against is None else labels[against],
            words=tuple(words),
            margin=float(look.logits @ contrast),
            hidden_margin=hidden_margin,
        )

    def _surest(self, probabilities: NDArray[np.float64]) -> int:
        """The class that is decided, of several that with the highest probability (C,); of all, where none is."""
        decided = self.predictor.task.decide(probabilities[None])[0]
        if len(probabilities) == 1:  # a number
            return 0
        if np.ndim(decided) == 0:
            return int(decided)
        chosen = (decided == 1) & self.known
        return int(np.where(chosen if chosen.any() else self.known, probabilities, -1.0).argmax())

    def _contrast(self, label: int, against: int | None) -> NDArray[np.float64]:
        """(C,), by which logits make the margin of a class over another, or over the mean of all that it stands against.

        Where a text may have several labels a class stands against none, and its margin is its logit.
        """
        others = self.known & self.predictor.task.rivals(label)
        contrast = np.zeros(len(others))
        contrast[label] = 1.0
        if against is None:
            contrast[others] = -1 / max(1, others.sum())
        else:
            contrast[against] = -1.0
        return contrast

    def _number(self, name: Label) -> int:
        """A class's number. Raises DataError for a name that is no class."""
        labels, classes = self.preprocessing.labels, self.preprocessing.classes
        if name not in labels:
            expected = ", ".join(map(repr, labels))
            raise DataError(f"{name!r} is no class of this run; expected one of {expected}{nearest(name_of(name), classes)}")
        number = labels.index(name)
        if not self.known[number]:
            raise DataError(f"no training row was of class {name!r}, so no word speaks for it; give another")
        return number


def _words_of(text: str) -> list[Span]:
    """The words of a text, of a pair those of both, one after the other."""
    spans, begin = [], 0
    for side in sides(text):
        spans += [(begin + start, begin + end) for start, end in word_spans(side)]
        begin += len(side) + len(BETWEEN)
    return spans


def words_of_pieces(pieces: Pieces, words: Sequence[Span]) -> list[float]:
    """Each word's score: the sum of its pieces', of which one that several words share goes to each by its characters.

    White space goes to the word before it. Spans are in order and none overlap.
    """
    scores = [0.0] * len(words)
    starts = [start for start, _ in words]
    for start, end, score in pieces:
        last = bisect_right(starts, max(start, end - 1)) - 1
        shares = {}
        for number in range(max(0, bisect_right(starts, start) - 1), last + 1):
            if (common := min(end, words[number][1]) - max(start, words[number][0])) > 0:
                shares[number] = common
        if not shares and words:
            shares = {max(0, last): 1}
        for number, share in shares.items():
            scores[number] += score * share / sum(shares.values())
    return scores
