"""How much text a run goes through: rows and tokens of each split, counted, or estimated before a tokenizer is loaded."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

CHARACTERS_PER_TOKEN = 4.3  # English news 4.6, reviews 4.2, in BERT's word pieces
SPECIAL_TOKENS = 2
ASSUMED_ROWS = 1_000  # where a plan knows no rows, it speaks of so many
FULL_LENGTH = 128  # tokens of each assumed text where the recipe gives a share of texts instead of a length


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
    """Tokens of the longest text."""
    source: str = "tokens"
    """What is known: `tokens`, or `characters` from which they were estimated, or nothing but `assumed` rows."""
    folds: int = 0
    """How many folds hold the rungs of a ladder against each other; 0 where the validation rows do."""

    @classmethod
    def of_tokens(cls, train: ArrayLike, validation: ArrayLike, test: ArrayLike) -> Self:
        """From the token lengths of each split's texts, as they go into the encoder."""
        lengths = [np.asarray(split, dtype=np.int64) for split in (train, validation, test)]
        sums = [float(split.sum()) for split in lengths]
        longest = max((int(split.max()) for split in lengths if len(split)), default=1)
        return cls(len(lengths[0]), len(lengths[1]), len(lengths[2]), sums[0], sums[1], sums[2], longest)

    @classmethod
    def of_characters(
        cls, train: ArrayLike, rows: tuple[int, int, int], *, max_length: float, encoder_longest: int | None = None
    ) -> Self:
        """From the training texts' lengths in characters and the rows of each split; tokens are estimated.

        `max_length` is the recipe's: tokens, or the share of texts that must fit whole.
        """
        tokens = np.ceil(np.asarray(train, dtype=float) / CHARACTERS_PER_TOKEN) + SPECIAL_TOKENS
        limit = float(np.quantile(tokens, max_length)) if max_length <= 1 and len(tokens) else max_length
        cut: NDArray[np.float64] = np.minimum(tokens, min(limit, encoder_longest or math.inf))
        mean = float(cut.mean()) if len(cut) else float(SPECIAL_TOKENS)
        longest = math.ceil(cut.max()) if len(cut) else SPECIAL_TOKENS
        return cls(*rows, rows[0] * mean, rows[1] * mean, rows[2] * mean, longest, "characters")

    @classmethod
    def assumed(cls, *, max_length: float, encoder_longest: int | None = None) -> Self:
        """ASSUMED_ROWS training texts of full length and a tenth as many for validation and for the test."""
        length = min(FULL_LENGTH if max_length <= 1 else int(max_length), encoder_longest or FULL_LENGTH * 100)
        rows, tenth = ASSUMED_ROWS, ASSUMED_ROWS // 10
        return cls(rows, tenth, tenth, float(rows * length), float(tenth * length), float(tenth * length), length, "assumed")

    @property
    def mean_tokens(self) -> float:
        return self.train_tokens / max(1, self.train_rows)


def character_counts(texts: Sequence[str]) -> NDArray[np.int64]:
    """Characters of each text; what `Work.of_characters` takes."""
    return np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
