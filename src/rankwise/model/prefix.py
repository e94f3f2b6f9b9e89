"""What the frozen layers make of each text, kept on disk: computed once, read by every epoch, evaluation and later run.

An entry is a folder named by its key: `hidden.bin`, the hidden states that enter the lowest adapted layer, end to end as
(tokens, H) in fp16, and `entry.json`, which is written last. The key hashes the frozen weights, every token id and length
(so tokenizer, cleaning, max length and rows), the layer and the dtype. A reader checks the checksum and rebuilds what is
damaged; a lock lets one process build while others wait; the least recently used entries make room for new ones.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from rankwise.model.kernels import Entering

FORMAT = 1
BYTES = 2  # of an fp16 number
NEW = ".new"  # ends the folder's name while an entry is built
PIECE = 1 << 24  # bytes read at once for a checksum

Fill = Callable[["Writer"], None]


@dataclass(frozen=True)
class Prefix:
    """Hidden states of N texts, read from a file that stays on disk."""

    hidden: NDArray[np.float16]
    """(tokens of all texts, H), memory-mapped."""
    offsets: NDArray[np.int64]
    """(N + 1,): text i has rows offsets[i] to offsets[i + 1]."""
    layer: int
    """The layer that they enter."""

    @property
    def bytes(self) -> int:
        return int(self.hidden.nbytes)

    def of(self, places: NDArray[np.int64]) -> Prefix:
        """The hidden states of these texts alone, copied into memory."""
        pieces = [self.hidden[self.offsets[place] : self.offsets[place + 1]] for place in places]
        offsets = np.concatenate([[0], np.cumsum([len(piece) for piece in pieces])]).astype(np.int64)
        return Prefix(np.concatenate(pieces), offsets, self.layer)

    def take(self, rows: NDArray[np.int64], device: torch.device) -> Entering:
        """The hidden states of some texts, (B, T, H) in fp32, padded at the end with zeros."""
        starts, ends = self.offsets[rows], self.offsets[rows + 1]
        width = int((ends - starts).max())
        found = np.zeros((len(rows), width, self.hidden.shape[1]), dtype=np.float16)
        for place, (start, end) in enumerate(zip(starts, ends, strict=True)):
            found[place, : end - start] = self.hidden[start:end]
        return Entering(torch.from_numpy(found).to(device).float(), self.layer)


@dataclass(frozen=True)
class Writer:
    """Where a new entry's hidden states are put, text by text in any order."""

    hidden: NDArray[np.float16]
    offsets: NDArray[np.int64]

    def put(self, rows: NDArray[np.int64], hidden: torch.Tensor) -> None:
        """Store a padded batch (B, T, H)."""
        values = hidden.detach().to("cpu", torch.float16).numpy()
        for place, row in enumerate(rows):
            start, end = self.offsets[row], self.offsets[row + 1]
            self.hidden[start:end] = values[place, : end - start]


class PrefixCache:
    """A folder of entries that together stay under a size limit."""

    def __init__(self, folder: Path, *, limit_bytes: int) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes

    def fits(self, tokens: int, width: int) -> bool:
        """Whether an entry of this size is under the limit, and leaves a tenth of the disk's free space."""
        wanted = tokens * width * BYTES
        self.folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.folder).free + self.used_bytes()
        return wanted <= self.limit_bytes and wanted < 0.9 * free

    def get(self, key: str, offsets: NDArray[np.int64], width: int, layer: int, fill: Fill) -> tuple[Prefix, bool]:
        """The entry, and whether it was there already; made by `fill` when it is missing or damaged."""
        self.folder.mkdir(parents=True, exist_ok=True)
        entry = self.folder / key
        with FileLock(self.folder / f"{key}.lock"):
            found = self._open(entry, offsets, width, layer)
            if found is not None:
                os.utime(entry)
                return found, True
            shutil.rmtree(entry, ignore_errors=True)
            self._make_room(int(offsets[-1]) * width * BYTES)
            _build(entry, offsets, width, fill)
            found = self._open(entry, offsets, width, layer)
        if found is None:
            raise OSError(f"{entry}: what was just written reads back otherwise; check the disk")
        return found, False

    def used_bytes(self) -> int:
        return sum(_size(entry) for entry in self._entries())

    def _open(self, entry: Path, offsets: NDArray[np.int64], width: int, layer: int) -> Prefix | None:
        """The entry if it is whole and its checksum is right."""
        path = entry / "hidden.bin"
        shape = (int(offsets[-1]), width)
        try:
            facts = json.loads((entry / "entry.json").read_text("utf-8"))
            if facts["format"] != FORMAT or facts["shape"] != list(shape) or facts["crc32"] != checksum(path):
                return None
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        return Prefix(np.memmap(path, dtype=np.float16, mode="r", shape=shape), offsets, layer)

    def _entries(self) -> list[Path]:
        """Finished entries, the least recently used first."""
        used: dict[Path, float] = {}
        for path in self.folder.glob("*/entry.json"):
            if path.parent.suffix != NEW:
                with suppress(FileNotFoundError):  # another process has made room meanwhile
                    used[path.parent] = path.parent.stat().st_mtime
        return sorted(used, key=lambda entry: used[entry])

    def _make_room(self, wanted: int) -> None:
        for new in self.folder.glob(f"*{NEW}"):  # of a process that was killed, unless its lock is held
            self._remove(new, key=new.name.removesuffix(NEW))
        used = self.used_bytes() + sum(map(_size, self.folder.glob(f"*{NEW}")))
        for entry in self._entries():
            if used + wanted <= self.limit_bytes:
                return
            used -= self._remove(entry, key=entry.name)

    def _remove(self, folder: Path, *, key: str) -> int:
        """Bytes that are free now: none where another process builds or checks it."""
        try:
            with FileLock(self.folder / f"{key}.lock", timeout=0):
                freed = _size(folder)
                shutil.rmtree(folder, ignore_errors=True)  # its bytes go when the last process that reads them closes it
        except Timeout:
            return 0
        return freed


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


def checksum(path: Path) -> int:
    """CRC-32 of a file, read in pieces."""
    found = 0
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            found = zlib.crc32(piece, found)
    return found


def _build(entry: Path, offsets: NDArray[np.int64], width: int, fill: Fill) -> None:
    """Write an entry beside its place and move it there whole; a build that was killed leaves only a `.new` folder."""
    new = entry.with_name(f"{entry.name}{NEW}")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    shape = (int(offsets[-1]), width)
    path = new / "hidden.bin"
    hidden = np.memmap(path, dtype=np.float16, mode="w+", shape=shape)
    fill(Writer(hidden, offsets))
    hidden.flush()
    del hidden
    facts = {"format": FORMAT, "shape": list(shape), "crc32": checksum(path)}
    (new / "entry.json").write_text(json.dumps(facts) + "\n", "utf-8")
    new.rename(entry)


def _size(entry: Path) -> int:
    """Bytes of an entry; none where another process has removed it."""
    try:
        return sum(path.stat().st_size for path in entry.iterdir())
    except FileNotFoundError:
        return 0
