"""Texts → token ids, end to end: in memory for a chunk, on disk for any number. A tokenizer sees a chunk of texts at a time.

Shapes: N texts have N + 1 offsets, so nothing is stored padded.
"""

import hashlib
import json
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from rankwise.data.store import Numbers, Texts
from rankwise.system.cache import Cache

FORMAT = 1
LEAST_SHARED = 2_000  # texts: fewer are tokenised in less time than it takes to look for them
CHUNK = 2_000  # texts per tokenizer call: enough to use its threads, little enough to bound memory
CHUNK_CHARACTERS = 1_000_000  # ... also where texts are long: a tokenizer holds some 100 bytes a token

Integers = NDArray[np.integer[Any]]
Encoded = tuple[Integers, Integers]  # ids and segment ids of one text
_NO_SEGMENTS = np.zeros(0, dtype=np.int8)  # of a tokenizer that gives none, or none but 0


@dataclass(frozen=True)
class Tokens:
    """Token ids of N texts, end to end; text i is `ids[offsets[i]:offsets[i + 1]]`."""

    ids: Integers | Numbers
    offsets: NDArray[np.int64]
    types: Integers | Numbers | None = None
    """Segment ids, only where a tokenizer gives any but 0 (XLNet)."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> Encoded:
        span = slice(self.offsets[index], self.offsets[index + 1])
        return self.ids[span], _NO_SEGMENTS if self.types is None else self.types[span]

    def __iter__(self) -> Iterator[Encoded]:
        return map(self.__getitem__, range(len(self)))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text, special ones included; shape (N,)."""
        return np.diff(self.offsets)

    def take(self, indices: NDArray[np.int64]) -> "Tokens":
        """The tokens of these texts alone, on disk."""
        return _written(map(self.__getitem__, indices), self.ids.dtype)


def tokenize(tokenizer: Any, texts: Sequence[str], *, max_length: int | None) -> Tokens:
    """Token ids of N texts with special tokens, cut to `max_length` tokens when it is given; in memory, for a chunk."""
    rows = list(_encoded(tokenizer, texts, max_length))
    offsets = np.cumsum([0, *(len(ids) for ids, _ in rows)], dtype=np.int64)
    ids, types = map(np.concatenate, zip(*rows, strict=True)) if rows else (np.zeros(0, np.int32), _NO_SEGMENTS)
    return Tokens(ids, offsets, types if types.any() else None)


def tokenize_to_disk(tokenizer: Any, texts: Sequence[str], *, max_length: int | None, cache: Cache | None = None) -> Tokens:
    """The same for any number of texts, on disk.

    Processes that share a `cache` share the tokens: one of them makes them, under a hash of tokenizer and texts. Few texts
    are left out of it, and those that it has no room for.
    """

    def written(folder: Path | None = None) -> Tokens:
        return _written(_encoded(tokenizer, texts, max_length), _narrowest(tokenizer), folder)

    def make(entry: Path) -> dict[str, Any]:
        tokens = written(entry)
        np.save(entry / "offsets.npy", tokens.offsets)
        return {"ids": tokens.ids.dtype.name, "types": tokens.types is not None}

    def read(entry: Path, facts: dict[str, Any]) -> Tokens:
        types = Numbers(np.int8, (entry / "types.bin").open("rb", buffering=0)) if facts["types"] else None
        return Tokens(
            Numbers(facts["ids"], (entry / "ids.bin").open("rb", buffering=0)), np.load(entry / "offsets.npy"), types
        )

    key, size = _key_of(tokenizer, texts, max_length) if cache and len(texts) >= LEAST_SHARED else ("", 0)
    return cache.entry(key, size, make, read)[0] if cache and key and cache.has_room(size) else written()


def _key_of(tokenizer: Any, texts: Sequence[str], max_length: int | None) -> tuple[str, int]:
    """A hash of all that the tokens depend on, and about how many bytes they take; no hash of a tokenizer in Python."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return "", 0
    settings = json.loads(backend.to_str()).items()
    kept = {name: part for name, part in settings if name not in ("truncation", "padding")}  # which the last call left
    about = [FORMAT, max_length, tokenizer.truncation_side, sorted(tokenizer.model_input_names), kept]
    total, size = hashlib.sha256(json.dumps(about, sort_keys=True).encode()), 0
    for text in texts:
        raw = text.encode("utf-8", "surrogatepass")
        total.update(len(raw).to_bytes(8, "little") + raw)
        size += len(raw)
    return total.hexdigest()[:32], size


def cut(tokens: Tokens, texts: Sequence[str], tokenizer: Any, max_length: int) -> Tokens:
    """Texts of more tokens tokenised again, because the tokenizer knows what stands at the end of a cut; the others kept."""
    long = tokens.lengths > max_length
    if not long.any():
        return tokens
    again = _encoded(tokenizer, Texts.of(texts).take(long), max_length)
    rows = (next(again) if is_long else row for is_long, row in zip(long, tokens, strict=True))
    return _written(rows, _narrowest(tokenizer))


def _encoded(tokenizer: Any, texts: Sequence[str], max_length: int | None) -> Iterator[Encoded]:
    narrowest = _narrowest(tokenizer)
    for chunk in _chunks(texts):
        encoded = tokenizer(
            chunk, truncation=max_length is not None, max_length=max_length, return_attention_mask=False, verbose=False
        )
        rows = encoded["input_ids"]
        for ids, types in zip(rows, encoded.get("token_type_ids") or [()] * len(rows), strict=True):
            yield np.asarray(ids, dtype=narrowest), np.asarray(types, dtype=np.int8)


def _chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    characters = 0
    for text in texts:
        if len(chunk) == CHUNK or (chunk and characters + len(text) > CHUNK_CHARACTERS):
            yield chunk
            chunk, characters = [], 0
        chunk.append(text)
        characters += len(text)
    if chunk:
        yield chunk


def _written(rows: Iterable[Encoded], ids_type: DTypeLike, folder: Path | None = None) -> Tokens:
    """The tokens of texts, on disk, in files of a folder where one is given; segment ids only where one is not 0."""
    ids, types = (
        Numbers(dtype, None if folder is None else (folder / name).open("w+b", buffering=0))
        for dtype, name in ((ids_type, "ids.bin"), (np.int8, "types.bin"))
    )
    offsets, segments = array("q", [0]), False
    for row_ids, row_types in rows:
        ids.append(row_ids)
        types.append(row_types)
        offsets.append(len(ids))
        segments = segments or bool(row_types.any())
    return Tokens(ids, np.frombuffer(offsets, dtype=np.int64), types if segments else None)


def _narrowest(tokenizer: Any) -> type[np.integer[Any]]:
    """The integer type that holds every token id in the fewest bytes."""
    return np.uint16 if len(tokenizer) <= 2**16 else np.int32
