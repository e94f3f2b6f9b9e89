"""How much text a run goes through: rows and tokens of each split, counted, or estimated before a tokenizer is loaded."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

CHARACTERS_PER_TOKEN = 4.3  # English news 4.6, reviews 4.2, in BERT's word pieces
CHARACTERS_PER_TOKEN_LEAST = 2.2  # ... in the longest texts of a file of tweets, which are names, tags and emoji
SPECIAL_TOKENS = 2
ASSUMED_ROWS = 1_000  # where a plan knows no rows, it speaks of so many
FULL_LENGTH = 128  # tokens of each assumed text where the recipe gives a share of texts instead of a length


OVERLAP = 1 / 8  # of a window that the one before it has, too


def windows_of(tokens: ArrayLike, window: int, most: int) -> NDArray[np.int64]:
    """Windows (N,) of so many tokens, overlapping, that texts of `tokens` (N,) are read in: one at least, `most` at most."""
    step = window - overlap_of(window)
    counts: NDArray[np.float64] = np.ceil((np.asarray(tokens) - window) / step) + 1
    return np.clip(counts, 1, most).astype(np.int64)


def overlap_of(window: int) -> int:
    """Tokens that a window shares with the one before it, at least."""
    return int(OVERLAP * window)


def reach_of(window: int, windows: int) -> int:
    """Tokens that so many windows hold together, the least overlap counted once."""
    return window + (windows - 1) * (window - overlap_of(window))


@dataclass(frozen=True)
class Work:
    """Rows and tokens of the three splits, special tokens included and long texts cut."""

    train_rows: int
    validation_rows: int
    test_rows: int
    train_tokens: float
    validation_tokens: float
    test_tokens: float
    longest: int
    """Tokens of the longest text, or window of one."""
    source: str = "tokens"
    """What is known: `tokens`, or `characters` from which they were estimated, or nothing but `assumed` rows."""
    folds: int = 0
    """How many folds hold the rungs of a ladder against each other; 0 where the validation rows do."""
    windows: int = 1
    """The most windows that a text is read in, which are computed at a time."""
    pairs: int = 0
    """How many rows that train are pairs of texts."""

    @classmethod
    def of_tokens(cls, train: ArrayLike, validation: ArrayLike, test: ArrayLike) -> Self:
        """From the token lengths of each split's texts, as they go into the encoder."""
        lengths = [np.asarray(split, dtype=np.int64) for split in (train, validation, test)]
        sums = [float(split.sum()) for split in lengths]
        longest = max((int(split.max()) for split in lengths if len(split)), default=1)
        return cls(len(lengths[0]), len(lengths[1]), len(lengths[2]), sums[0], sums[1], sums[2], longest)

    @classmethod
    def of_characters(
        cls,
        train: ArrayLike,
        rows: tuple[int, int, int],
        *,
        max_length: float,
        encoder_longest: int | None = None,
        windows: int = 1,
    ) -> Self:
        """From the training texts' lengths in characters and the rows of each split; tokens are estimated.

        `max_length` is the recipe's: tokens, or the share of texts that must fit whole; so is `windows`.
        """
        tokens = np.ceil(np.asarray(train, dtype=float) / CHARACTERS_PER_TOKEN) + SPECIAL_TOKENS
        limit = float(np.quantile(tokens, max_length)) if max_length <= 1 and len(tokens) else max_length
        longest = float(np.max(train, initial=0)) / CHARACTERS_PER_TOKEN_LEAST + SPECIAL_TOKENS
        window = math.ceil(min(limit, encoder_longest or math.inf, longest)) if len(tokens) else SPECIAL_TOKENS
        counts = windows_of(tokens, window, windows)  # (N,)
        read: NDArray[np.float64] = np.where(counts == 1, np.minimum(tokens, window), counts * window)
        mean = float(read.mean()) if len(read) else float(SPECIAL_TOKENS)
        sums = (rows[0] * mean, rows[1] * mean, rows[2] * mean)
        return cls(*rows, *sums, window, "characters", windows=int(counts.max(initial=1)))

    @classmethod
    def assumed(cls, *, max_length: float, encoder_longest: int | None = None) -> Self:
        """ASSUMED_ROWS training texts of full length and a tenth as many for validation and for the test."""
        length = min(FULL_LENGTH if max_length <= 1 else int(max_length), encoder_longest or FULL_LENGTH * 100)
        rows, tenth = ASSUMED_ROWS, ASSUMED_ROWS // 10
        return cls(rows, tenth, tenth, float(rows * length), float(tenth * length), float(tenth * length), length, "assumed")

    @property
    def joined(self) -> Self:
        """With the validation rows in training, as folds have them."""
        rows, tokens = self.train_rows + self.validation_rows, self.train_tokens + self.validation_tokens
        return replace(self, train_rows=rows, train_tokens=tokens, validation_rows=0, validation_tokens=0.0)

    @property
    def fold(self) -> Self:
        """What one of the folds trains on, and holds out."""
        held = 1 / self.folds
        return replace(
            self,
            train_rows=round((1 - held) * self.train_rows),
            train_tokens=(1 - held) * self.train_tokens,
            validation_rows=round(held * self.train_rows),
            validation_tokens=held * self.train_tokens,
        )

    @property
    def mean_tokens(self) -> float:
        return self.train_tokens / max(1, self.train_rows)


_EAST_ASIAN = re.compile("[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]")


def character_counts(texts: Sequence[str]) -> NDArray[np.int64]:
    """Characters of each text; what `Work.of_characters` takes.

    A Chinese, Japanese or Korean character is about a token by itself, so it counts as many as a token has of others.
    """

    def count(text: str) -> int:
        wide = 0 if text.isascii() else len(_EAST_ASIAN.findall(text))
        return len(text) + round((CHARACTERS_PER_TOKEN - 1) * wide)

    return np.fromiter(map(count, texts), dtype=np.int64, count=len(texts))
