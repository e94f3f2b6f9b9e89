"""Texts → token ids, end to end: in memory for a chunk, on disk for any number. A tokenizer sees a chunk of texts at a time.

A text that is longer than an encoder takes is cut, or read in overlapping windows. A pair of texts becomes one window, as
the tokenizer's own template for pairs has it: what is too long is cut off the longer of the two, token by token. Shapes:
N texts are M windows, which have M + 1 offsets, so nothing is stored padded.
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

from rankwise.data.pairs import BETWEEN, is_pair, sides
from rankwise.data.spans import Span
from rankwise.data.store import Numbers, Texts
from rankwise.errors import ModelError, RunError, require
from rankwise.system.cache import Cache

FORMAT = 2
LEAST_SHARED = 2_000  # texts: fewer are tokenised in less time than it takes to look for them
CHUNK = 2_000  # texts per tokenizer call: enough to use its threads, little enough to bound memory
CHUNK_CHARACTERS = 1_000_000  # ... also where texts are long: a tokenizer holds some 100 bytes a token

Integers = NDArray[np.integer[Any]]
Encoded = tuple[Integers, Integers]  # ids and segment ids of one window
Windows = list[Encoded]  # of one text
_NO_SEGMENTS = np.zeros(0, dtype=np.int8)  # of a tokenizer that gives none, or none but 0


@dataclass(frozen=True)
class Tokens:
    """Token ids of M windows, end to end, which make N texts; window i is `ids[offsets[i]:offsets[i + 1]]`."""

    ids: Integers | Numbers
    offsets: NDArray[np.int64]
    types: Integers | Numbers | None = None
    """Segment ids, only where a tokenizer gives any but 0: XLNet's, and those of pairs in the eyes of BERT."""
    firsts: NDArray[np.int64] | None = None
    """(N + 1,): text i has the windows `firsts[i]` up to `firsts[i + 1]`; None where each text is one."""

    def __len__(self) -> int:
        """How many windows."""
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> Encoded:
        """A window."""
        span = slice(self.offsets[index], self.offsets[index + 1])
        return self.ids[span], _NO_SEGMENTS if self.types is None else self.types[span]

    def __iter__(self) -> Iterator[Encoded]:
        return map(self.__getitem__, range(len(self)))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each window, special ones included; shape (M,)."""
        return np.diff(self.offsets)

    @property
    def text_lengths(self) -> NDArray[np.int64]:
        """Tokens of each text in all its windows; shape (N,)."""
        return np.diff(self.offsets if self.firsts is None else self.offsets[self.firsts])

    @property
    def window_counts(self) -> NDArray[np.int64]:
        """Windows of each text; shape (N,)."""
        return np.ones(len(self), dtype=np.int64) if self.firsts is None else np.diff(self.firsts)

    def windows(self, texts: NDArray[np.int64]) -> NDArray[np.int64]:
        """The numbers of these texts' windows, in the texts' order."""
        if self.firsts is None:
            return texts
        spans = [np.arange(self.firsts[text], self.firsts[text + 1]) for text in texts]
        return np.concatenate([np.zeros(0, dtype=np.int64), *spans])

    def text(self, index: int) -> Windows:
        """The windows of a text."""
        return [self[window] for window in self.windows(np.array([index])).tolist()]

    def same_text(self, others: "Tokens", index: int) -> bool:
        """Whether a text has the tokens that it has among others."""
        mine, theirs = self.text(index), others.text(index)
        return len(mine) == len(theirs) and all(
            np.array_equal(one[0], other[0]) for one, other in zip(mine, theirs, strict=True)
        )

    def save(self, path: Path) -> None:
        """Write them to a Parquet file: a row for each window, its ids, segment ids if any, and its text's number."""
        pa, parquet = (require(module, extra="train") for module in ("pyarrow", "pyarrow.parquet"))
        texts = np.repeat(np.arange(len(self.window_counts)), self.window_counts)
        columns = {"text": pa.array(texts), "ids": self._lists(self.ids, pa.int32())}
        if self.types is not None:
            columns["types"] = self._lists(self.types, pa.int8())
        parquet.write_table(pa.table(columns), path)

    def _lists(self, values: Integers | Numbers, kind: Any) -> Any:
        pa = require("pyarrow", extra="train")
        return pa.ListArray.from_arrays(pa.array(self.offsets, pa.int32()), pa.array(values[0 : len(values)], kind))

    @classmethod
    def load(cls, path: Path) -> "Tokens":
        """What `save` wrote. Raises RunError for a file that is none."""
        pa, parquet = (require(module, extra="train") for module in ("pyarrow", "pyarrow.parquet"))
        try:
            table = parquet.read_table(path).combine_chunks()
            ids, texts = table["ids"].combine_chunks(), table["text"].to_numpy()
            types = table["types"].combine_chunks().flatten().to_numpy() if "types" in table.column_names else None
            offsets = np.concatenate([[0], np.cumsum(ids.value_lengths().to_numpy())]).astype(np.int64)
        except (pa.ArrowException, OSError, KeyError, AttributeError) as problem:
            raise RunError(f"{path}: no tokens that can be read; copy the run folder again") from problem
        firsts = np.searchsorted(texts, np.arange(texts[-1] + 2)) if len(texts) else np.zeros(1, dtype=np.int64)
        return cls(ids.flatten().to_numpy(), offsets, types, None if len(firsts) == len(offsets) else firsts)

    def take(self, texts: NDArray[np.int64]) -> "Tokens":
        """The tokens of these texts alone, on disk."""
        return _written(map(self.text, texts), self.ids.dtype)


def joined(several: Sequence[Tokens]) -> Tokens:
    """The windows of several, in memory, one after the other, each as if it were a text."""
    ids = np.concatenate([np.asarray(tokens.ids[:]) for tokens in several])
    ends = np.cumsum([0, *(length for tokens in several for length in tokens.lengths.tolist())], dtype=np.int64)
    if all(tokens.types is None for tokens in several):
        return Tokens(ids, ends)
    nothing = [np.zeros(len(tokens.ids), dtype=np.int8) for tokens in several]
    types = [none if tokens.types is None else tokens.types[:] for tokens, none in zip(several, nothing, strict=True)]
    return Tokens(ids, ends, np.concatenate(types))


def text_means(values: NDArray[np.float32], counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """The mean of each text's windows (N, D), of which it has `counts` (N,), end to end (M, D)."""
    if len(values) == len(counts):
        return values
    sums = np.add.reduceat(values, np.cumsum(counts) - counts, axis=0)
    return np.asarray(sums / counts[:, None], dtype=values.dtype)


def tokenize(tokenizer: Any, texts: Sequence[str], *, max_length: int | None, windows: int = 1) -> Tokens:
    """Token ids of N texts with special tokens, in memory, for a chunk.

    A text of more than `max_length` tokens, when that is given, is read in as many windows of so many tokens as it takes,
    `windows` at most; what fits into no more of them is cut off on the tokenizer's truncation side.
    """
    rows = list(_encoded(tokenizer, texts, max_length, windows))
    pieces = [piece for row in rows for piece in row]
    offsets = np.cumsum([0, *(len(ids) for ids, _ in pieces)], dtype=np.int64)
    ids, types = map(np.concatenate, zip(*pieces, strict=True)) if pieces else (np.zeros(0, np.int32), _NO_SEGMENTS)
    firsts = np.cumsum([0, *map(len, rows)], dtype=np.int64) if len(pieces) > len(rows) else None
    return Tokens(ids, offsets, types if types.any() else None, firsts)


def token_spans(tokenizer: Any, text: str, *, max_length: int | None, windows: int = 1) -> list[list[Span | None]]:
    """Where in a text each token stands, of each of the windows that `tokenize` gives; None for a special token.

    A pair is taken as one string, which it is held as. Raises ModelError for a tokenizer that doesn't tell.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ModelError("the run's tokenizer is one in Python, which does not tell where in a text its tokens stand")
    first, *second = sides(text)
    if second and max_length is not None:
        backend.enable_truncation(max_length, direction=tokenizer.truncation_side)
    else:
        backend.no_truncation()
    encoded, begins = backend.encode(first, *second), (0, len(first) + len(BETWEEN))
    spans: list[Span | None] = []
    for (start, end), side, special in zip(encoded.offsets, encoded.sequence_ids, encoded.special_tokens_mask, strict=True):
        spans.append(None if special else (begins[side] + start, begins[side] + end))
    places = np.arange(len(spans))
    if max_length is None or len(spans) <= max_length:
        return [spans]
    cut = _windows_of((places, _NO_SEGMENTS), tokenizer, max_length, windows)
    return [[spans[place] for place in kept] for kept, _ in cut]


def tokenize_to_disk(
    tokenizer: Any, texts: Sequence[str], *, max_length: int | None, windows: int = 1, cache: Cache | None = None
) -> Tokens:
    """The same for any number of texts, on disk.

    Processes that share a `cache` share the tokens: one of them makes them, under a hash of tokenizer and texts. Few texts
    are left out of it, and those that it has no room for.
    """

    def written(folder: Path | None = None) -> Tokens:
        return _written(_encoded(tokenizer, texts, max_length, windows), _narrowest(tokenizer), folder)

    def make(entry: Path) -> dict[str, Any]:
        tokens = written(entry)
        np.save(entry / "offsets.npy", tokens.offsets)
        if tokens.firsts is not None:
            np.save(entry / "firsts.npy", tokens.firsts)
        return {"ids": tokens.ids.dtype.name, "types": tokens.types is not None, "windows": tokens.firsts is not None}

    def read(entry: Path, facts: dict[str, Any]) -> Tokens:
        types = Numbers(np.int8, (entry / "types.bin").open("rb", buffering=0)) if facts["types"] else None
        ids = Numbers(facts["ids"], (entry / "ids.bin").open("rb", buffering=0))
        firsts = np.load(entry / "firsts.npy") if facts["windows"] else None
        return Tokens(ids, np.load(entry / "offsets.npy"), types, firsts)

    key, size = _key_of(tokenizer, texts, max_length, windows) if cache and len(texts) >= LEAST_SHARED else ("", 0)
    return cache.entry(key, size, make, read)[0] if cache and key and cache.has_room(size) else written()


def _key_of(tokenizer: Any, texts: Sequence[str], max_length: int | None, windows: int) -> tuple[str, int]:
    """A hash of all that the tokens depend on, and about how many bytes they take; no hash of a tokenizer in Python."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return "", 0
    settings = json.loads(backend.to_str()).items()
    kept = {name: part for name, part in settings if name not in ("truncation", "padding")}  # which the last call left
    about = [FORMAT, max_length, windows, tokenizer.truncation_side, sorted(tokenizer.model_input_names), kept]
    total, size = hashlib.sha256(json.dumps(about, sort_keys=True).encode()), 0
    for text in texts:
        raw = text.encode("utf-8", "surrogatepass")
        total.update(len(raw).to_bytes(8, "little") + raw)
        size += len(raw)
    return total.hexdigest()[:32], size


def cut(tokens: Tokens, texts: Sequence[str], tokenizer: Any, max_length: int, windows: int = 1) -> Tokens:
    """What `tokenize` gives with this limit, from whole texts' tokens. Longer texts are tokenised again."""
    long = tokens.lengths > max_length
    if not long.any():
        return tokens
    again = _encoded(tokenizer, Texts.of(texts).take(long), max_length, windows)
    rows = (next(again) if is_long else [row] for is_long, row in zip(long, tokens, strict=True))
    return _written(rows, _narrowest(tokenizer))


def _encoded(tokenizer: Any, texts: Sequence[str], max_length: int | None, windows: int) -> Iterator[Windows]:
    """The windows of each text."""
    narrowest, cuts = _narrowest(tokenizer), max_length is not None and windows == 1
    for chunk in _chunks(texts):
        limit = max_length if cuts else None
        pairs = [sides(text) for text in chunk] if is_pair(chunk[0]) else None
        both = (chunk,) if pairs is None else ([first for first, _ in pairs], [second for _, second in pairs])
        encoded = tokenizer(*both, truncation=cuts, max_length=limit, return_attention_mask=False, verbose=False)
        rows = encoded["input_ids"]
        rows = [row or [tokenizer.pad_token_id] for row in rows]  # of an empty text, where no special token stands around it
        for ids, types in zip(rows, encoded.get("token_type_ids") or [()] * len(rows), strict=True):
            text = np.asarray(ids, dtype=narrowest), np.asarray(types, dtype=np.int8)
            if max_length is None or len(ids) <= max_length:
                yield [text]
            else:
                yield list(_windows_of(text, tokenizer, max_length, windows))


def _windows_of(text: Encoded, tokenizer: Any, max_length: int, most: int) -> Iterator[Encoded]:
    """A longer text's windows, of `max_length` tokens each, evenly spread, each between the text's own special tokens."""
    from rankwise.planning.workload import reach_of, windows_of  # for a longer text only: imports are a prediction's time

    before, after = _special_tokens(tokenizer)
    length = len(text[0])
    inside, room = length - before - after, max_length - before - after
    count = int(windows_of(inside, room, most))
    reach = min(inside, reach_of(room, count))
    start = before + (inside - reach if tokenizer.truncation_side == "left" else 0)
    for first in (start + np.linspace(0, reach - room, count).round().astype(np.int64)).tolist():
        kept = np.r_[:before, first : first + room, length - after : length]
        yield text[0][kept], text[1][kept] if len(text[1]) else _NO_SEGMENTS


def _special_tokens(tokenizer: Any) -> tuple[int, int]:
    """How many tokens stand before and after those of a text itself."""
    (none, one) = tokenizer(["", "a"], return_attention_mask=False, verbose=False)["input_ids"]
    before = next((place for place, (left, right) in enumerate(zip(none, one, strict=False)) if left != right), len(none))
    return before, len(none) - before


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


def _written(rows: Iterable[Windows], ids_type: DTypeLike, folder: Path | None = None) -> Tokens:
    """The tokens of texts' windows, on disk, in files of a folder where one is given; segment ids only where one is not 0."""
    ids, types = (
        Numbers(dtype, None if folder is None else (folder / name).open("w+b", buffering=0))
        for dtype, name in ((ids_type, "ids.bin"), (np.int8, "types.bin"))
    )
    offsets, firsts, segments = array("q", [0]), array("q", [0]), False
    for windows in rows:
        for window_ids, window_types in windows:
            ids.append(window_ids)
            types.append(window_types)
            offsets.append(len(ids))
            segments = segments or bool(window_types.any())
        firsts.append(len(offsets) - 1)
    alone = len(firsts) == len(offsets)
    bounds, texts = np.frombuffer(offsets, dtype=np.int64), np.frombuffer(firsts, dtype=np.int64)
    return Tokens(ids, bounds, types if segments else None, None if alone else texts)


def _narrowest(tokenizer: Any) -> type[np.integer[Any]]:
    """The integer type that holds every token id in the fewest bytes."""
    return np.uint16 if len(tokenizer) <= 2**16 else np.int32
