"""Hidden states by text: what frozen layers give for one, computed once for all trainings whose rows have it.

The entries of `hidden_cache` are whole splits, which no two folds have in common; here folds share what each text has. A
text's states are computed on their own, in fp32, so that they are the same whichever training asks first. They lie in
unnamed files in the temporary folder (TMPDIR says where), which go with the process.
"""

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankwise.errors import StorageError
from rankwise.model.hidden_cache import HiddenStates, HiddenStatesCache
from rankwise.system.storage import reason

BYTES = 4  # of an fp32 number
Digest = bytes
"""A hash of a text's token ids."""


class TextStates:
    """The states of texts under several keys, each a hash of frozen weights and the layer that the states enter."""

    def __init__(self, beyond: HiddenStatesCache) -> None:
        """All files together stay under the limit of `beyond`, which takes the splits that have no room here."""
        self.beyond = beyond
        self._files: dict[str, _File] = {}
        self._lock = Lock()

    def has_room(self, size: int) -> bool:
        """Whether so many bytes are under the limit, and leave a tenth of the free space of the temporary folder."""
        return size < min(self.beyond.limit_bytes, 0.9 * shutil.disk_usage(tempfile.gettempdir()).free)

    def get(
        self,
        key: str,
        texts: Sequence[Digest],
        shape: tuple[int, int],
        layer: int,
        compute: Callable[[int], NDArray[np.float32]],
    ) -> tuple[HiddenStates, int]:
        """(the states of these texts, the number of those that were new), of which `compute` gives one's (tokens, H).

        All of them have the `shape` (tokens, H). Files of other keys make room, those that were asked for longest ago first.
        Raises StorageError where the temporary folder takes no more.
        """
        size = shape[0] * shape[1] * BYTES
        with self._lock:
            before = self._files.pop(key, None)  # to be the last that makes room
            goes_on = before is not None and before.size + size <= self.beyond.limit_bytes
            self._make_room(size + (before.size if before is not None and goes_on else 0))
            file = self._files[key] = before if before is not None and goes_on else _File(shape[1])
            new = {text: number for number, text in enumerate(texts) if text not in file.where}
            for text, number in new.items():
                file.put(text, compute(number))
            return file.of(texts, layer), len(new)

    def known(self, key: str, texts: Sequence[Digest], layer: int) -> HiddenStates | None:
        """The states of these texts; None where one's are not there."""
        with self._lock:
            file = self._files.get(key)
            return None if file is None or not all(text in file.where for text in texts) else file.of(texts, layer)

    def _make_room(self, size: int) -> None:
        while self._files and sum(file.size for file in self._files.values()) + size > self.beyond.limit_bytes:
            del self._files[next(iter(self._files))]


class _File:
    """One key's states, end to end as (tokens, H), and where each text's are."""

    def __init__(self, width: int) -> None:
        self.width, self.rows = width, 0
        self.where: dict[Digest, tuple[int, int]] = {}
        with _told():
            self._file: Any = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        weakref.finalize(self, self._file.close)  # states that were handed out stay mapped

    @property
    def size(self) -> int:
        return self.rows * self.width * BYTES

    def put(self, text: Digest, states: NDArray[np.float32]) -> None:
        data = memoryview(states.astype(np.float32).tobytes())
        with _told():
            self._file.seek(self.size)
            while data:  # a disk that is nearly full takes a part
                data = data[self._file.write(data) :]
        self.where[text] = self.rows, self.rows + len(states)
        self.rows += len(states)

    def of(self, texts: Sequence[Digest], layer: int) -> HiddenStates:
        bounds = np.array([self.where[text] for text in texts], dtype=np.int64).reshape(-1, 2)
        shape = self.rows, self.width
        hidden = np.memmap(self._file, dtype=np.float32, mode="r", shape=shape) if self.rows else np.zeros(shape, np.float32)
        return HiddenStates(hidden, bounds[:, 0], layer, bounds[:, 1])


@contextmanager
def _told() -> Iterator[None]:
    """Inside, what the system refuses is a StorageError that says what to do."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"hidden states in {tempfile.gettempdir()}: {reason(error)}; name a folder with room (TMPDIR=FOLDER), or do "
            "without them (RANKWISE_CACHE_GB=0)"
        ) from error
