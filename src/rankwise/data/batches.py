"""Batches of similar length, padded only to their own longest text.

Training order: shuffle, cut into windows of 50 batches, sort each window by length, cut into batches, shuffle the batches.
Every row comes once per epoch, the order depends on the seed and the epoch only, and little is padding. Shapes: B rows,
T tokens of the batch's longest text.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rankwise.data.tokens import Tokens
from rankwise.system.memory import TRIM_EVERY, return_freed_memory

WINDOW = 50  # batches sorted together: long enough to even out lengths, short enough to keep the order random
FEW = 8  # rows that are worth a forward pass of their own
SHORTER = 0.8  # of a batch's longest text: shorter ones wait for the next batch

Rows = NDArray[np.int64]
Batch = dict[str, NDArray[np.int64]]
"""What an encoder reads, by input name: `input_ids`, `attention_mask` and, from some tokenizers, `token_type_ids`; (B, T)."""


@dataclass(frozen=True)
class Padding:
    """How a tokenizer pads: the id, the segment id and the side."""

    token: int
    segment: int = 0
    left: bool = False

    @classmethod
    def of(cls, tokenizer: Any) -> Self:
        segment = int(getattr(tokenizer, "pad_token_type_id", 0) or 0)
        return cls(tokenizer.pad_token_id, segment, left=tokenizer.padding_side == "left")


def training_batches(lengths: Rows, batch_size: int, *, seed: int, epoch: int, similar_lengths: bool = True) -> list[Rows]:
    """Row numbers of each batch of one epoch; the last batch may be smaller."""
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(lengths))
    if not similar_lengths:
        return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    window = WINDOW * batch_size
    batches: list[Rows] = []
    for start in range(0, len(order), window):
        rows = order[start : start + window]
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        batches += [rows[first : first + batch_size] for first in range(0, len(rows), batch_size)]
    return [batches[number] for number in rng.permutation(len(batches))]


def label_sets(labels: NDArray[Any]) -> NDArray[Any]:
    """One number for each row (N,), the same for rows with the same labels, (N,) or (N, C)."""
    return labels if labels.ndim == 1 else np.unique(labels, axis=0, return_inverse=True)[1].reshape(-1)


def paired_batches(labels: Rows, batch_size: int, *, seed: int, epoch: int) -> list[Rows]:
    """Row numbers of as many batches as an epoch has, each of a few classes in equal parts, two rows of a class at least.

    Rows are drawn anew for each batch, so that of classes of unequal size the rows of the smaller ones come more often.
    """
    rng = np.random.default_rng([seed, epoch])
    of_class = [np.flatnonzero(labels == number) for number in np.unique(labels)]
    together = max(1, min(len(of_class), batch_size // 2))  # classes in a batch
    batches = []
    for _ in range(-(-len(labels) // batch_size)):
        chosen = rng.permutation(len(of_class))[:together]
        parts = np.array_split(np.arange(batch_size), together)
        drawn = [rng.permutation(of_class[number])[: len(part)] for number, part in zip(chosen, parts, strict=True)]
        batches.append(np.concatenate(drawn))
    return batches


def scoring_batches(lengths: Rows, batch_size: int) -> list[Rows]:
    """Row numbers of batches sorted by length, longest first so that memory runs out at once or never.

    A batch of FEW rows or more ends early where the next text is much shorter than its first.
    """
    order = np.argsort(-lengths, kind="stable")
    batches, start = [], 0
    while start < len(order):
        end = min(start + batch_size, len(order))
        if end - start > FEW:
            short = np.flatnonzero(lengths[order[start + FEW : end]] < SHORTER * lengths[order[start]])
            end = start + FEW + int(short[0]) if len(short) else end
        batches.append(order[start:end])
        start = end
    return batches


def padded_batches(tokens: Tokens, rows: Iterable[Rows], padding: Padding) -> Iterator[Batch]:
    """The inputs of each batch of `rows`, as `scoring_batches` gives them; freed memory goes back to the system meanwhile."""
    for number, batch in enumerate(rows, start=1):
        if number % TRIM_EVERY == 0:
            return_freed_memory()
        yield collate(tokens, batch, padding)


def collate(tokens: Tokens, rows: Rows | Sequence[int], padding: Padding) -> Batch:
    """The padded inputs (B, T) of some windows; segment ids only where the tokenizer gives any but 0."""
    starts, ends = tokens.offsets[np.asarray(rows)], tokens.offsets[np.asarray(rows) + 1]
    width = int((ends - starts).max())
    batch = {
        "input_ids": np.full((len(rows), width), padding.token, dtype=np.int64),
        "attention_mask": np.zeros((len(rows), width), dtype=np.int64),
    }
    if tokens.types is not None:
        batch["token_type_ids"] = np.full((len(rows), width), padding.segment, dtype=np.int64)
    for row, (start, end) in enumerate(zip(starts, ends, strict=True)):
        span = slice(width - (end - start), width) if padding.left else slice(0, end - start)
        batch["input_ids"][row, span] = tokens.ids[start:end]
        batch["attention_mask"][row, span] = 1
        if tokens.types is not None:
            batch["token_type_ids"][row, span] = tokens.types[start:end]
    return batch
