"""Sequences on disk: texts and token ids of which memory holds offsets only, so that a million rows are some megabytes.

A sequence is a file without a name in the temporary folder (TMPDIR says where), written from front to back and gone when
nobody holds it any more. Reading is by position and maps nothing into memory, so threads may share one and none of it counts
as resident. Texts are UTF-8, lone surrogates included.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from array import array
from collections.abc import Iterable, Iterator, Sequence
from io import FileIO
from typing import Any, overload

import numpy as np
from numpy.typing import DTypeLike, NDArray

from rankwise.errors import DataError

CHUNK = 1024  # offsets that become Python numbers together

Offsets = NDArray[np.int64]


class Texts(Sequence[str]):
    """Strings on disk, equal to any sequence of the same ones. A slice and `take` are views that share the file."""

    def __init__(self, disk: _Disk, starts: Offsets, ends: Offsets) -> None:
        self._disk = disk
        self._starts = starts
        self._ends = ends

    @classmethod
    def of(cls, texts: Iterable[str]) -> Texts:
        """Write texts to a new file, one at a time, unless they are on disk already.

        Raises DataError where the temporary folder takes no more.
        """
        if isinstance(texts, Texts):
            return texts
        disk, offsets = _Disk(), array("q", [0])
        for text in texts:
            offsets.append(disk.append(text.encode("utf-8", "surrogatepass")))
        bounds = np.frombuffer(offsets, dtype=np.int64)  # (N + 1,)
        return cls(disk, bounds[:-1], bounds[1:])

    def take(self, indices: NDArray[np.integer[Any] | np.bool_]) -> Texts:
        """The texts at these indices, in this order, or where a mask is true."""
        return Texts(self._disk, self._starts[indices], self._ends[indices])

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Texts: ...
    def __getitem__(self, index: int | slice) -> str | Texts:
        if isinstance(index, slice):
            return Texts(self._disk, self._starts[index], self._ends[index])
        return self._read(int(self._starts[index]), int(self._ends[index]))

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), CHUNK):
            chunk = slice(start, start + CHUNK)
            yield from map(self._read, self._starts[chunk].tolist(), self._ends[chunk].tolist())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(one == two for one, two in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{len(self):,} texts on disk>"

    def _read(self, start: int, end: int) -> str:
        return self._disk.read(start, end).decode("utf-8", "surrogatepass")


class Numbers:
    """Whole numbers on disk, end to end; a slice of them is an array in memory."""

    def __init__(self, dtype: DTypeLike, file: FileIO | None = None) -> None:
        """The numbers that are in a file, opened without a buffer, or none yet in one without a name."""
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self._disk = _Disk(file)

    def append(self, values: NDArray[np.integer[Any]]) -> None:
        """Write numbers behind the others. Raises DataError where the temporary folder takes no more."""
        assert values.dtype == self.dtype
        self._disk.append(values.tobytes())

    def __len__(self) -> int:
        return self._disk.size // self.dtype.itemsize

    def __getitem__(self, span: slice) -> NDArray[np.integer[Any]]:
        start, end, _ = span.indices(len(self))
        size = self.dtype.itemsize
        return np.frombuffer(self._disk.read(start * size, max(start, end) * size), self.dtype)


class _Disk:
    """Bytes in a file, appended at its end and read at any offset; closed when nobody holds them any more."""

    def __init__(self, file: FileIO | None = None) -> None:
        try:
            self._file = tempfile.TemporaryFile(buffering=0) if file is None else file  # noqa: SIM115
        except OSError as error:
            raise _no_room(error) from error
        weakref.finalize(self, self._file.close)
        self.size = os.fstat(self._file.fileno()).st_size

    def append(self, data: bytes) -> int:
        """Write bytes at the end; returns the size after that."""
        self.size += len(data)
        try:
            while data:  # a disk that is nearly full takes a part
                data = data[self._file.write(data) :]
        except OSError as error:
            raise _no_room(error) from error
        return self.size

    def read(self, start: int, end: int) -> bytes:
        data = os.pread(self._file.fileno(), end - start, start)
        assert len(data) == end - start
        return data


def _no_room(error: OSError) -> DataError:
    return DataError(
        f"a temporary file for texts and tokens can't be written ({error.strerror}); name a folder with room for the data "
        "three times over: TMPDIR=FOLDER rankwise train …"
    )
