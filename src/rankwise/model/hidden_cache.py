"""The hidden states that frozen layers give for each text, and their cache on disk, which every epoch and run reads.

An entry of the cache is `hidden.bin`, the hidden states that enter the lowest adapted layer, end to end as (tokens, H) in
fp16. Its key hashes the frozen weights, every token id and length (so tokenizer, cleaning, max length and rows), the layer
and the dtype.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from rankwise.model.forward import Entering
from rankwise.system.cache import Cache, reserve

FORMAT = 1
BYTES = 2  # of an fp16 number


@dataclass(frozen=True)
class HiddenStates:
    """Hidden states of N texts, in a file of the cache or in memory."""

    hidden: NDArray[np.floating[Any]]
    """(tokens of all texts, H); of a file a memory map."""
    offsets: NDArray[np.int64]
    """(N + 1,): text i has rows offsets[i] to offsets[i + 1]."""
    layer: int
    """The layer that they enter."""
    ends: NDArray[np.int64] | None = None
    """(N,): text i has rows offsets[i] to ends[i], where texts don't lie end to end."""

    def spans(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where the states of these texts begin and end."""
        return self.offsets[rows], self.offsets[rows + 1] if self.ends is None else self.ends[rows]

    def of(self, rows: NDArray[np.int64]) -> Self:
        """The hidden states of these texts alone, copied into memory."""
        pieces = [self.hidden[start:end] for start, end in zip(*self.spans(rows), strict=True)]
        offsets = np.concatenate([[0], np.cumsum([len(piece) for piece in pieces])]).astype(np.int64)
        return replace(self, hidden=np.concatenate(pieces), offsets=offsets, ends=None)

    def take(self, rows: NDArray[np.int64], device: torch.device) -> Entering:
        """The hidden states of some texts, (B, T, H) in fp32, padded at the end with zeros."""
        starts, ends = self.spans(rows)
        width = int((ends - starts).max())
        padded = np.zeros((len(rows), width, self.hidden.shape[1]), dtype=self.hidden.dtype)
        for index, (start, end) in enumerate(zip(starts, ends, strict=True)):
            padded[index, : end - start] = self.hidden[start:end]
        return Entering(torch.from_numpy(padded).to(device).float(), self.layer)

    def put(self, rows: NDArray[np.int64], hidden: torch.Tensor) -> None:
        """Store the hidden states of some texts, a padded batch (B, T, H), in what is being filled."""
        values = hidden.detach().to("cpu", torch.float16).numpy()
        for index, row in enumerate(rows):
            start, end = self.offsets[row], self.offsets[row + 1]
            self.hidden[start:end] = values[index, : end - start]


class HiddenStatesCache(Cache):
    def get(
        self, key: str, offsets: NDArray[np.int64], width: int, layer: int, fill: Callable[[HiddenStates], None]
    ) -> tuple[HiddenStates, bool]:
        """The entry, and whether it was there already; `fill` puts every text's states where it is missing or damaged."""
        shape = (int(offsets[-1]), width)

        def make(entry: Path) -> None:
            with (entry / "hidden.bin").open("wb") as file:
                reserve(file, shape[0] * width * BYTES)
            hidden = np.memmap(entry / "hidden.bin", dtype=np.float16, mode="r+", shape=shape)
            fill(HiddenStates(hidden, offsets, layer))
            hidden.flush()

        def read(entry: Path, _facts: None) -> HiddenStates:
            return HiddenStates(np.memmap(entry / "hidden.bin", dtype=np.float16, mode="r", shape=shape), offsets, layer)

        return self.entry(key, shape[0] * width * BYTES, make, read)


def digest_of(weights: Iterable[torch.Tensor]) -> str:
    """A hash of frozen weights: their numbers, shapes and order."""
    total = hashlib.sha256()
    for weight in weights:
        flat = weight.detach().to("cpu", torch.float32).contiguous().view(-1).numpy()
        total.update(f"{tuple(weight.shape)}".encode())
        total.update(flat.data.cast("B"))
    return total.hexdigest()


def key_of(
    weights: str, ids: Iterable[NDArray[np.integer]], offsets: NDArray[np.int64], *, layer: int, arithmetic: str
) -> str:
    """The name of an entry: a hash of everything that its hidden states depend on.

    `weights` is their digest; `ids` come in pieces; `arithmetic` is what computed them, such as "cpu bf16".
    """
    total = hashlib.sha256(f"rankwise prefix {FORMAT} layer {layer} {arithmetic} as fp16 {weights} ".encode())
    total.update(np.ascontiguousarray(offsets, dtype=np.int64).tobytes())
    for piece in ids:
        total.update(np.ascontiguousarray(piece, dtype=np.int32).tobytes())
    return total.hexdigest()[:32]
