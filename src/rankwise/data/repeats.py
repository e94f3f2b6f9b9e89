"""Texts that stand in several rows: repeats, overlaps between splits, and one text under several labels.

Texts stream past, never a list of them, and are compared by 8-byte hashes (blake2b): a million rows take megabytes, and fewer
than one such table in ten million has two texts with one hash. A repeat is a row whose text stood in an earlier row; a near
repeat differs from it in case, space or punctuation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from rankwise.data.files.table import Table

Hashes = NDArray[np.uint64]
SHOWN = 200  # characters of a text that an example keeps
SHOWN_ROWS = 5

_NO_WORD = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class Overlap:
    """Rows of `split` whose text is also in `other`; `near` counts those alike but for case, space and punctuation."""

    split: str
    other: str
    rows: int
    share: float
    near: int


@dataclass(frozen=True)
class Conflict:
    """One text under several labels."""

    text: str
    labels: tuple[str, ...]
    rows: tuple[int, ...]


def hashes(texts: Iterable[str]) -> Hashes:
    """An 8-byte hash of every text, (N,)."""
    digests = bytearray()
    for text in texts:
        digests += blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest()
    return np.frombuffer(digests, dtype=np.uint64)


def plain(text: str) -> str:
    """Letters and digits only, without case; texts without any, such as emoji, stay as they are."""
    return _NO_WORD.sub("", text.casefold()) or text


def seen_in(train: Table, other: Table) -> NDArray[np.bool_]:
    """Which rows of `other` have a text that is also in `train`, (N of other,): leave them out for a clean score."""
    return np.isin(hashes(other.texts), hashes(train.texts))


def repeats(keys: Hashes) -> int:
    """How many rows repeat an earlier one."""
    return len(keys) - len(np.unique(keys))


def overlap(other: str, split: str, exact: Mapping[str, Hashes], near: Mapping[str, Hashes]) -> Overlap:
    """How many rows of `split` are in `other` too, by the splits' hashes and near hashes."""
    same = np.isin(exact[split], exact[other])
    rows = int(same.sum())
    alike = int(np.isin(near[split], near[other]).sum())
    return Overlap(split, other, rows, rows / max(1, len(same)), alike - rows)


def conflicts(table: Table, keys: Hashes) -> Iterator[list[int]]:
    """Indices of the rows that share a text but not a label, rising: one list per text."""
    if table.labels is None:
        return
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.concatenate([[True], keys[order][1:] != keys[order][:-1]]))  # of runs of one text
    counts = np.diff(starts, append=len(keys))
    repeated = counts > 1
    for start, count in zip(starts[repeated].tolist(), counts[repeated].tolist(), strict=True):
        indices: list[int] = order[start : start + count].tolist()
        if len({table.labels[index] for index in indices}) > 1:
            yield indices


def conflict_example(table: Table, indices: list[int]) -> Conflict:
    """The text and the labels of rows that share a text."""
    assert table.labels is not None
    labels = dict.fromkeys(table.labels[index] for index in indices)
    return Conflict(table.texts[indices[0]][:SHOWN], tuple(labels), tuple(table.rows[indices[:SHOWN_ROWS]].tolist()))
