"""Tables → Prepared: split, class numbers, clean text, tokens. Everything that a run must apply again at prediction is a
Preprocessing, which travels with the artifact.

Texts and tokens go from file to file on disk, a chunk of them in memory. Shapes: a split of N texts holds its tokens end to
end with N + 1 offsets, so nothing is stored padded. Labels are class numbers (N,), -1 for a class that training never saw.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankwise.data.audit import Lengths, lengths_of
from rankwise.data.clean import clean
from rankwise.data.files.table import Table
from rankwise.data.labelled import Labelled, label_numbers, read_labelled
from rankwise.data.preprocessing import Preprocessing
from rankwise.data.store import Texts
from rankwise.data.tokens import Tokenize, Tokens, cut, tokenize_to_disk
from rankwise.data.truncation import better_side
from rankwise.errors import DataError
from rankwise.recipe import DataSpec


@dataclass(frozen=True)
class Split:
    """One of train, validation, test."""

    texts: Sequence[str] = field(repr=False)
    """Clean texts, N of them."""
    tokens: Tokens = field(repr=False)
    labels: NDArray[np.int64] = field(repr=False)
    rows: NDArray[np.int64] = field(repr=False)
    """The data row of each text in its file, from 1; shape (N,)."""

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class Prepared:
    """What `fit` needs, and what the run must remember."""

    preprocessing: Preprocessing
    train: Split
    validation: Split
    test: Split
    lengths: Lengths
    """Tokens of the training texts before any was cut or left out."""
    notes: tuple[str, ...] = ()
    """What was found and done, one line each, for a person to read."""

    @property
    def classes(self) -> tuple[str, ...]:
        return self.preprocessing.classes


def prepare(
    spec: DataSpec, tokenizer: Any, *, longest: int, labelled: Labelled | None = None, tokenized: Tokenize = tokenize_to_disk
) -> Prepared:
    """Read, clean and tokenise. `longest` is the most tokens that the encoder takes; `tokenizer` a transformers one.

    `tokenized` tokenises; a TokenStore shares what it has with other processes.

    Raises DataError for files, columns, labels and texts that cannot be used.
    """
    labelled = labelled or read_labelled(spec)
    numbers = label_numbers(labelled, spec)
    texts = clean_all(labelled.train.texts, spec.clean)
    tokens = tokenized(tokenizer, texts, max_length=None)
    lengths = lengths_of(tokens.lengths, "tokens", bars=40, width=1)
    max_length, length_note = choose_length(tokens.lengths, spec.max_length, longest)
    side, side_note = _side(spec, tokens, numbers["train"], max_length)
    tokenizer.truncation_side = side  # saved with it, so whoever loads the run cuts on the same side
    keep, filter_note = _within_percentiles(tokens.lengths, spec.length_percentiles)
    tokens = cut(tokens, texts, tokenizer, max_length)
    train = _subset(Split(texts, tokens, numbers["train"], labelled.train.rows), keep)

    def scored(name: str, table: Table) -> Split:
        texts = clean_all(table.texts, spec.clean)
        return Split(texts, tokenized(tokenizer, texts, max_length=max_length), numbers[name], table.rows)

    preprocessing = Preprocessing(
        classes=labelled.classes,
        clean=spec.clean,
        max_length=max_length,
        join=spec.join,
        text=tuple(labelled.train.layout.text),
        numbering=labelled.numbering,
    )
    return Prepared(
        preprocessing=preprocessing,
        train=train,
        validation=scored("validation", labelled.validation),
        test=scored("test", labelled.test),
        lengths=lengths,
        notes=(*labelled.notes, length_note, *side_note, *filter_note),
    )


def clean_all(texts: Sequence[str], steps: Sequence[str]) -> Sequence[str]:
    """Clean texts, on disk; the texts themselves where there is no step."""
    return Texts.of(clean(text, steps) for text in texts) if steps else texts


def choose_length(lengths: NDArray[np.int64], wanted: float, longest: int) -> tuple[int, str]:
    """The max length in tokens, and a line about it. A share up to 1 is coverage, rounded up to a multiple of 8."""
    if wanted <= 1:
        covering = int(np.quantile(lengths, wanted, method="inverted_cdf"))
        chosen = min(8 * math.ceil(covering / 8), longest)
    else:
        chosen = int(wanted)
        if chosen > longest:
            raise DataError(f"data.max_length is {chosen}, but this encoder takes at most {longest} tokens")
    cut = float((lengths > chosen).mean())
    fits_all = min(8 * math.ceil(float(np.quantile(lengths, 0.995)) / 8), longest)
    hint = f"; {fits_all} would cut 0.5 % or fewer" if cut > 0.05 and fits_all > chosen else ""
    return chosen, f"max length {chosen} tokens cuts {cut:.1%} of the training texts{hint}"


def _side(spec: DataSpec, tokens: Tokens, labels: NDArray[np.int64], max_length: int) -> tuple[str, list[str]]:
    """The side on which longer texts are cut, and a note where that is not the usual one."""
    if spec.truncation_side == "auto":
        side, note = better_side(tokens, labels, max_length)
        return side, [note] if note else []
    return spec.truncation_side, ["longer texts lose their beginning"] if spec.truncation_side == "left" else []


def _within_percentiles(
    lengths: NDArray[np.int64], percentiles: tuple[float, float] | None
) -> tuple[NDArray[np.bool_], list[str]]:
    if percentiles is None:
        return np.ones(len(lengths), dtype=np.bool_), []
    low, high = np.percentile(lengths, percentiles)
    keep = (lengths >= low) & (lengths <= high)
    note = f"train: {(~keep).sum():,} rows outside {low:.0f} to {high:.0f} tokens left out of training"
    return keep, [note]


def _subset(split: Split, keep: NDArray[np.bool_]) -> Split:
    if keep.all():
        return split
    places = np.flatnonzero(keep)
    tokens = split.tokens.take_to_disk(places)
    return Split(Texts.of(split.texts).take(places), tokens, split.labels[places], split.rows[places])
