"""What each word adds to a margin where words are counted: its weight times its count, exactly.

A word's weight is spread evenly over the places where the text has it, a word pair's over both of its words. Hidden words
leave the intercepts. Shapes: C classes, F words and word pairs that are counted.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankwise.data.pairs import joined
from rankwise.data.spans import Span
from rankwise.inference.explain import Explainer, Look, Pieces
from rankwise.inference.words import WordsPredictor

_SPACES = re.compile(r"\s\s+")  # which scikit-learn takes for one where it counts characters


class WeightExplainer(Explainer):
    """Explains what counted words predict."""

    def __init__(self, predictor: WordsPredictor) -> None:
        super().__init__(predictor)
        self.words = predictor.words
        self.vectorizer = self.words.pipeline[0]
        self.weights, self.intercepts = self.words.weights
        fitted = list(map(str, self.words.pipeline.classes_))
        self.known = np.array([name in fitted for name in self.preprocessing.classes])
        self.halves = np.zeros((len(self.known), len(self.weights)))  # (C, rows of weights), by which these make logits
        for number, name in enumerate(self.preprocessing.classes):
            if not self.known[number]:
                continue
            if len(self.weights) < len(fitted):  # of two classes: the second's margin, half of which is each one's logit
                self.halves[number] = 0.5 if name == fitted[1] else -0.5
            else:
                self.halves[number, fitted.index(name)] = 1.0

    def look(self, clean: str) -> Look:
        clean = joined(clean)
        counted = self.vectorizer.transform([clean])
        added = self.weights[:, counted.indices] * counted.data  # (rows of weights, words that are counted here)
        of_column = {column: added[:, place] for place, column in enumerate(counted.indices.tolist())}

        def attribute(contrast: NDArray[np.float64]) -> tuple[Pieces, float]:
            rows, pieces = contrast @ self.halves, []
            for word, places in places_of(self.vectorizer, clean).items():
                column = self.vectorizer.vocabulary_.get(word)
                for spans in () if column is None else places:
                    score = float(rows @ of_column[column]) / len(places) / len(spans)
                    pieces += [(*span, score) for span in spans]
            return pieces, float(rows @ self.intercepts)

        logits = self.halves @ (added.sum(1) + self.intercepts)
        if self.words.several:
            probabilities = self.predictor.task.probabilities(self.words.logits([clean]))
        else:
            probabilities = self.words.probabilities([clean])
        return Look(probabilities[0], logits, attribute)


def places_of(vectorizer: Any, text: str) -> dict[str, list[list[Span]]]:
    """Each word, word pair or run of characters that scikit-learn's vectorizer counts in a text: where its parts stand."""
    lowered = text.lower()
    origin = [place for place, character in enumerate(text) for _ in character.lower()]
    if vectorizer.analyzer == "char":
        units, joined = _characters(lowered), ""
    else:
        units, joined = [found.span() for found in re.finditer(vectorizer.token_pattern, lowered)], " "
    named = [lowered[start:end] for start, end in units]
    if vectorizer.analyzer == "char":
        named = [" " if len(name) > 1 else name for name in named]
    spans = [(origin[start], origin[end - 1] + 1) for start, end in units]
    places: dict[str, list[list[Span]]] = defaultdict(list)
    least, most = vectorizer.ngram_range
    for length in range(least, most + 1):
        for first in range(len(units) - length + 1):
            places[joined.join(named[first : first + length])].append(spans[first : first + length])
    return places


def _characters(text: str) -> list[Span]:
    """Every character, several white ones in a row as one."""
    wide = {found.start(): found.end() for found in _SPACES.finditer(text)}
    spans, place = [], 0
    while place < len(text):
        spans.append((place, wide.get(place, place + 1)))
        place = spans[-1][1]
    return spans
