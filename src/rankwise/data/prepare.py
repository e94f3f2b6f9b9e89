"""Labelled tables → Prepared: class numbers, clean texts and tokens of three splits.

What a run must apply again at prediction is a Preprocessing, which travels with it.

Texts and tokens go from file to file on disk, a chunk of them in memory. Shapes: a split of N texts holds its tokens end to
end with N + 1 offsets, so nothing is stored padded. Labels are class numbers (N,), -1 for a class that training never saw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankwise.data.clean import clean
from rankwise.data.labelled import Labelled, read_labelled
from rankwise.data.lengths import COVERED, Lengths, covering, lengths_of
from rankwise.data.preprocessing import Preprocessing
from rankwise.data.store import Texts
from rankwise.data.tasks import SingleLabel
from rankwise.data.tokens import Tokens, cut, tokenize_to_disk
from rankwise.data.truncation import better_side
from rankwise.errors import DataError
from rankwise.recipe import DataSpec
from rankwise.system.cache import Cache


@dataclass(frozen=True)
class Split:
    """The N rows of train, validation or test."""

    texts: Sequence[str] = field(repr=False)
    """Clean texts, N of them."""
    tokens: Tokens = field(repr=False)
    labels: NDArray[np.int64] = field(repr=False)
    rows: NDArray[np.int64] = field(repr=False)
    """The data row that a text stands in, from 1; shape (N,)."""

    def __len__(self) -> int:
        return len(self.texts)

    def where(self, kept: NDArray[np.bool_]) -> Split:
        """The rows that a mask (N,) keeps; the split itself where it keeps all."""
        if kept.all():
            return self
        rows = np.flatnonzero(kept)
        return Split(Texts.of(self.texts).take(rows), self.tokens.take(rows), self.labels[rows], self.rows[rows])


@dataclass(frozen=True)
class Prepared:
    """The data that a training needs, and what its run must remember of them."""

    preprocessing: Preprocessing
    train: Split
    validation: Split
    test: Split
    lengths: Lengths
    """Lengths of the training texts, in tokens, before any was cut or left out."""
    notes: tuple[str, ...] = ()
    """Lines for a person to read, on what the data have and what was done with them."""

    @property
    def classes(self) -> tuple[str, ...]:
        return self.preprocessing.classes


def prepare(
    spec: DataSpec, tokenizer: Any, *, longest: int, labelled: Labelled | None = None, cache: Cache | None = None
) -> Prepared:
    """The data of a recipe, read (unless `labelled` has them), cleaned and tokenised.

    `longest` is the most tokens that the encoder takes, `tokenizer` one of transformers', whose truncation side is set as the
    recipe says. Processes that share a `cache` share the tokens. Raises DataError for files,
    columns, labels and texts that cannot be used.
    """
    labelled = labelled or read_labelled(spec)
    task = SingleLabel(labelled.classes)
    numbers = {name: task.parse(table, labelled.numbering, spec) for name, table in labelled.tables.items()}
    texts = clean_all(labelled.train.texts, spec.clean)
    whole = tokenize_to_disk(tokenizer, texts, max_length=None, cache=cache)
    max_length, length_note = choose_length(whole.lengths, spec.max_length, longest)
    side, side_note = _truncation_side(spec, whole, numbers["train"], max_length)
    tokenizer.truncation_side = side  # saved with it, so whoever loads the run cuts on the same side
    kept, kept_note = _within_percentiles(whole.lengths, spec.length_percentiles)
    train = Split(texts, cut(whole, texts, tokenizer, max_length), numbers["train"], labelled.train.rows).where(kept)

    def scored(name: str) -> Split:
        table = labelled.tables[name]
        texts = clean_all(table.texts, spec.clean)
        tokens = tokenize_to_disk(tokenizer, texts, max_length=max_length, cache=cache)
        return Split(texts, tokens, numbers[name], table.rows)

    return Prepared(
        preprocessing=Preprocessing(
            classes=labelled.classes,
            clean=spec.clean,
            max_length=max_length,
            join=spec.join,
            text=tuple(labelled.train.layout.text),
            numbering=labelled.numbering,
        ),
        train=train,
        validation=scored("validation"),
        test=scored("test"),
        lengths=lengths_of(whole.lengths, "tokens", bars=40, width=1),
        notes=(*labelled.notes, *filter(None, (length_note, side_note, kept_note))),
    )


def clean_all(texts: Sequence[str], steps: Sequence[str]) -> Sequence[str]:
    """Texts after cleaning, on disk; the texts themselves where there is no step."""
    return Texts.of(clean(text, steps) for text in texts) if steps else texts


def choose_length(lengths: NDArray[np.int64], wanted: float, longest: int) -> tuple[int, str]:
    """(the max length in tokens, a line about it) for texts of these lengths, (N,).

    A share `wanted` up to 1 is that of texts which fit whole, in a multiple of 8. Raises DataError for more than `longest`.
    """
    if wanted <= 1:
        chosen = min(covering(lengths, wanted), longest)
    else:
        chosen = int(wanted)
        if chosen > longest:
            raise DataError(f"data.max_length is {chosen}, but this encoder takes at most {longest} tokens")
    longer = float((lengths > chosen).mean())
    fits_all = min(covering(lengths, COVERED), longest)
    hint = f"; {fits_all} would cut 0.5 % or fewer" if longer > 0.05 and fits_all > chosen else ""
    return chosen, f"max length {chosen} tokens cuts {longer:.1%} of the training texts{hint}"


def _truncation_side(spec: DataSpec, tokens: Tokens, labels: NDArray[np.int64], max_length: int) -> tuple[str, str]:
    """(the side on which longer texts are cut, a line about it, empty where that is the usual one)."""
    if spec.truncation_side == "auto":
        return better_side(tokens, labels, max_length)
    return spec.truncation_side, "longer texts lose their beginning" if spec.truncation_side == "left" else ""


def _within_percentiles(lengths: NDArray[np.int64], percentiles: tuple[float, float] | None) -> tuple[NDArray[np.bool_], str]:
    """(which texts (N,) lie between two percentiles of length, a line about the others)."""
    if percentiles is None:
        return np.ones(len(lengths), dtype=np.bool_), ""
    low, high = np.percentile(lengths, percentiles)
    kept = (lengths >= low) & (lengths <= high)
    return kept, f"train: {(~kept).sum():,} rows outside {low:.0f} to {high:.0f} tokens left out of training"
