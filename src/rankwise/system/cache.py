"""A folder of things that can be made again and are kept under a size limit, safe under several processes.

An entry is a folder named by a hash of all that it depends on, with `entry.json`, which is written last. One process makes it
while others wait; whoever reads it checks it, and makes it again where it is damaged; the least recently used make room.
"""

import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from rankwise.errors import StorageError
from rankwise.system.storage import reason

if TYPE_CHECKING:
    from filelock import FileLock

ABOUT = "entry.json"
NEW = ".new"  # ends the folder's name while an entry is made
PIECE = 1 << 24  # bytes read at once for a checksum

T = TypeVar("T")


def cache_folder() -> Path:
    """The folder of all that can be made again: RANKWISE_CACHE, or `rankwise` in the user's cache folder."""
    users = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return Path(os.environ.get("RANKWISE_CACHE") or users / "rankwise")


class Cache:
    """The entries of one folder, which together stay under a limit."""

    def __init__(self, folder: Path, *, limit_bytes: int) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes

    def has_room(self, size: int) -> bool:
        """Whether an entry of so many bytes is under the limit, and leaves a tenth of the disk's free space.

        Raises StorageError where no folder can be made for it.
        """
        if size > self.limit_bytes:
            return False
        with self._told():
            self.folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self.folder).free + self.used_bytes()
        return size < 0.9 * free

    def entry(self, key: str, size: int, make: Callable[[Path], Any], read: Callable[[Path, Any], T]) -> tuple[T, bool]:
        """(what `read` makes of the entry's folder and facts, whether the entry was there already).

        `make` fills the folder of a new entry, of about `size` bytes, and returns its facts, plain JSON values. Of several
        processes one makes the entry while the others wait. Raises StorageError where the disk takes no entry, or what was
        written can't be read again.
        """
        entry = self.folder / key
        with self._told():
            self.folder.mkdir(parents=True, exist_ok=True)
            return self._made(entry, size, make, read)

    def _made(self, entry: Path, size: int, make: Callable[[Path], Any], read: Callable[[Path, Any], T]) -> tuple[T, bool]:
        key = entry.name
        with self._lock(key):
            content = _checked(entry, read)
            if content is not None:
                os.utime(entry)
                return content, True
            shutil.rmtree(entry, ignore_errors=True)
            self._make_room(size)
            new = entry.with_name(f"{key}{NEW}")  # moved into its place whole: what is killed leaves only this
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir()
            try:
                facts = make(new)
                (new / ABOUT).write_text(json.dumps({"facts": facts, "crc32": _checksums(new, facts)}) + "\n", "utf-8")
                new.rename(entry)
            except BaseException:
                shutil.rmtree(new, ignore_errors=True)
                raise
            content = _checked(entry, read)
        if content is None:
            raise StorageError(f"{entry}: what was just written reads back otherwise; check the disk")
        return content, False

    def json_entry(self, key: str, make: Callable[[], Any]) -> Any:
        """The plain JSON values that an entry holds, from `make` where it is not there. Raises StorageError."""
        return self.entry(key, 0, lambda _: make(), lambda _, facts: facts)[0]

    def used_bytes(self) -> int:
        """Bytes that all finished entries take."""
        return sum(_size(entry) for entry in self._entries())

    def _entries(self) -> list[Path]:
        """Finished entries, the least recently used first."""
        used: dict[Path, float] = {}
        for path in self.folder.glob(f"*/{ABOUT}"):
            if path.parent.suffix != NEW:
                with suppress(FileNotFoundError):  # another process has made room meanwhile
                    used[path.parent] = path.parent.stat().st_mtime
        return sorted(used, key=lambda entry: used[entry])

    def _make_room(self, wanted: int) -> None:
        """Remove what killed processes left, and the least recently used entries until so many bytes fit."""
        for new in self.folder.glob(f"*{NEW}"):  # of a process that was killed, unless its lock is held
            self._remove(new, key=new.name.removesuffix(NEW))
        used = self.used_bytes() + sum(map(_size, self.folder.glob(f"*{NEW}")))
        for entry in self._entries():
            if used + wanted <= self.limit_bytes:
                return
            used -= self._remove(entry, key=entry.name)

    def _remove(self, folder: Path, *, key: str) -> int:
        """Remove an entry and give its bytes, or 0 where another process makes or checks it."""
        try:
            with self._lock(key, timeout=0):
                freed = _size(folder)
                shutil.rmtree(folder, ignore_errors=True)  # its bytes go when the last process that reads them closes it
                return freed
        except TimeoutError:
            return 0

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Inside, what the system refuses is a StorageError that says what to do; most errors of a disk come with no path."""
        try:
            yield
        except OSError as error:
            why = reason(error) if error.errno else str(error)
            raise StorageError(
                f"the cache {self.folder}: {why}; free room there, name another folder (RANKWISE_CACHE=FOLDER), or do "
                "without hidden states on disk (RANKWISE_CACHE_GB=0)"
            ) from error

    def _lock(self, key: str, timeout: float = -1) -> "FileLock":
        """The lock of an entry; filelock is imported here, for most processes only ask where the cache is."""
        from filelock import FileLock

        return FileLock(self.folder / f"{key}.lock", timeout=timeout)


def reserve(file: BinaryIO, size: int) -> None:
    """Let an empty file have so many bytes on the disk, so that writing to its mapped pages can't fail. Raises OSError."""
    if hasattr(os, "posix_fallocate") and size:
        os.posix_fallocate(file.fileno(), 0, size)
        return
    for start in range(0, size, PIECE):
        file.write(bytes(min(PIECE, size - start)))


def _checked(entry: Path, read: Callable[[Path, Any], T]) -> T | None:
    """What `read` makes of an entry; None where it is missing, damaged or of an older rankwise."""
    try:
        about = json.loads((entry / ABOUT).read_text("utf-8"))
        return read(entry, about["facts"]) if about["crc32"] == _checksums(entry, about["facts"]) else None
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _checksums(folder: Path, facts: Any) -> dict[str, int]:
    """CRC-32 of an entry's facts, and of every other file of it, read in pieces."""
    checksums = {ABOUT: zlib.crc32(json.dumps(facts).encode())}
    for path in sorted(folder.iterdir()):
        if path.name != ABOUT:
            crc = 0
            with path.open("rb") as file:
                while piece := file.read(PIECE):
                    crc = zlib.crc32(piece, crc)
            checksums[path.name] = crc
    return checksums


def _size(entry: Path) -> int:
    """Bytes of an entry; 0 where another process has removed it."""
    try:
        return sum(path.stat().st_size for path in entry.iterdir())
    except FileNotFoundError:
        return 0
