"""Batches of similar length, padded only to their own longest text.

Training order: shuffle, cut into windows of 50 batches, sort each window by length, cut into batches, shuffle the batches.
Every row comes once per epoch, the order depends on the seed and the epoch only, and little is padding. Shapes: B rows,
T tokens of the batch's longest text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rankwise.data.tokens import Tokens

WINDOW = 50  # batches sorted together: long enough to even out lengths, short enough to keep the order random
FEW = 8  # rows that are worth a forward pass of their own
SHORTER = 0.8  # of a batch's longest text: shorter ones wait for the next batch

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Padding:
    """How a tokenizer pads: the id, the segment id and the side."""

    token: int
    segment: int = 0
    left: bool = False

    @classmethod
    def of(cls, tokenizer: Any) -> Padding:
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
        batches += [rows[place : place + batch_size] for place in range(0, len(rows), batch_size)]
    return [batches[place] for place in rng.permutation(len(batches))]


def scoring_batches(lengths: Rows, batch_size: int) -> list[Rows]:
    """Row numbers of batches sorted by length, longest first so that memory runs out at once or never.

    A batch of FEW rows or more ends early where the next text is much shorter than its first.
    """
    order = np.argsort(-lengths, kind="stable")
    batches, start = [], 0
    while start < len(order):
        end = min(start + batch_size, len(order))
        short = np.flatnonzero(lengths[order[start + FEW : end]] < SHORTER * lengths[order[start]])
        if len(short):
            end = start + FEW + int(short[0])
        batches.append(order[start:end])
        start = end
    return batches


def collate(tokens: Tokens, rows: Rows | Sequence[int], padding: Padding) -> dict[str, torch.Tensor]:
    """`input_ids` and `attention_mask` (B, T), and `token_type_ids` where the tokenizer has any."""
    starts, ends = tokens.offsets[np.asarray(rows)], tokens.offsets[np.asarray(rows) + 1]
    width = int((ends - starts).max())
    ids = np.full((len(rows), width), padding.token, dtype=np.int64)  # (B, T)
    mask = np.zeros((len(rows), width), dtype=np.int64)  # (B, T)
    types = None if tokens.types is None else np.full((len(rows), width), padding.segment, dtype=np.int64)
    for place, (start, end) in enumerate(zip(starts, ends, strict=True)):
        span = slice(width - (end - start), width) if padding.left else slice(0, end - start)
        ids[place, span] = tokens.ids[start:end]
        mask[place, span] = 1
        if types is not None and tokens.types is not None:
            types[place, span] = tokens.types[start:end]
    batch = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
    if types is not None:
        batch["token_type_ids"] = torch.from_numpy(types)
    return batch
