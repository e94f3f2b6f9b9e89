"""What is written is there whole or not at all, also after a power cut; and what a disk refuses is told in a line.

A file is written under another name, a draft's, and gets its own when the disk has it. Refusals are a StorageError that says
what to do, whichever library met them.
"""

import errno
import hashlib
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from rankwise.errors import RankwiseError, RunError, StorageError

DRAFT = ".draft"  # ends the name of what is being written
LONGEST_DRAFT = 200  # bytes of a name that takes another ending; the draft of a longer one is called by its hash
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
REFUSED = FULL | {errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ENAMETOOLONG}
REFUSED |= {errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP}


def write_whole(path: Path, content: bytes, *, shared: bool = False) -> int:
    """Write a file whole or not at all; how many bytes it has. `shared` is as in `whole_file`."""
    with whole_file(path, shared=shared) as draft:
        return draft.write_bytes(content)


@contextmanager
def whole_file(path: Path, *, ending: str = "", shared: bool = False) -> Iterator[Path]:
    """A path to write to; where nothing is raised it is synced and renamed to `path`, else what was written goes.

    `ending` ends its name too, for writers that go by it. A file is `shared` where nothing keeps others from writing it at
    once: each then writes under a name of its own, and the last one's file stays.
    """
    draft = draft_of(path, mark=f".{uuid.uuid4().hex[:8]}" if shared else "")
    draft = draft.with_name(f"{draft.name}{ending}")
    try:
        yield draft
        sync(draft)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync(path.parent)


def draft_of(path: Path, *, mark: str = "") -> Path:
    """Where a file is written before it gets its name, in the same folder."""
    name = os.fsencode(path.name)
    return path.with_name(f"{path.name if len(name) <= LONGEST_DRAFT else hashlib.sha256(name).hexdigest()}{mark}{DRAFT}")


def sync(path: Path) -> None:
    """Let the disk have what a file holds, or which names a folder has, where the system can."""
    if os.name == "nt":  # where neither can be opened for it
        return
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:
        if path.is_dir():  # that may be written to but not listed: its names get there when the system sees fit
            return
        raise
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system that syncs no folders
            raise
    finally:
        os.close(descriptor)


def sync_all(folder: Path) -> None:
    """The same for a folder and all that is in it."""
    for path in (*folder.rglob("*"), folder):
        sync(path)


def make_folder(path: str | Path) -> Path:
    """The folder, made where there is none. Raises RunError where it can't be, as below a file."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise RunError(f"{folder}: no folder can be made there ({problem.strerror}); give another --out") from None
    return folder


def check_new_folder(folder: Path, advice: str) -> None:
    """Raises RunError for a folder that something lies in; `advice` is what to type with another one."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(f"{folder} is not empty; give a folder that is new: {advice}")


@contextmanager
def whole_folder(folder: Path, advice: str) -> Iterator[Path]:
    """A draft to write into, which takes the place of a new or empty folder: that is there whole, or as it was.

    Raises RunError where another process has written into the folder meanwhile; `advice` is what to type then.
    """
    is_new = not folder.exists()
    make_folder(folder)
    try:
        with TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent, ignore_cleanup_errors=True) as beside:
            draft = Path(beside) / folder.name
            draft.mkdir()
            yield draft
            draft.chmod(folder.stat().st_mode)
            sync_all(draft)
            draft.replace(folder)
    except BaseException as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            told = f"{folder}: another process has written into it meanwhile; give another: {advice}"
            raise RunError(told) from None
        if is_new:
            with suppress(OSError):  # where another process has filled it
                folder.rmdir()
        raise
    sync(folder.parent)


@contextmanager
def told_refusals(path: str | Path, advice: str) -> Iterator[None]:
    """Inside, what the disk refuses is a StorageError that names the path and ends in the advice, whoever was writing.

    Where the system says that it was another file, such as one that is read meanwhile, that one is named instead.
    """
    try:
        yield
    except RankwiseError:  # which has been told already
        raise
    except Exception as error:
        refused = refusal(error)
        if refused is None:
            raise
        if other := _another(refused, Path(path)):
            is_full = refused.errno in FULL
            why = f"{reason(refused)}; free room there" if is_full else f"{os.strerror(refused.errno or 0)}; put that right"
            raise StorageError(f"{other}: {why}, and try again") from error
        raise StorageError(f"{path}: {reason(refused)}; {advice}") from error


def _another(refused: OSError, path: Path) -> str:
    """The file that was refused, where it is neither the path, nor below or above it, nor a draft of it; else empty."""
    if not isinstance(refused.filename, (str, bytes)):
        return ""
    name = os.fsdecode(refused.filename)
    file, path = Path(name).absolute(), path.absolute()
    beside = next((part.name for part in (file, *file.parents) if part.parent == path.parent), "")
    is_draft = beside.removeprefix(".").startswith(path.name) or DRAFT in beside
    return "" if is_draft or path in (file, *file.parents) or file in path.parents else name


def refusal(error: BaseException) -> OSError | None:
    """The system's refusal that an error is about, as Rust's libraries and SQLite tell it too; None for another error."""
    if isinstance(error, OSError):
        return error if error.errno in REFUSED else None
    told = re.search(r"\(os error (\d+)\)", str(error))
    number = int(told[1]) if told else errno.ENOSPC if "database or disk is full" in str(error) else 0
    if number in REFUSED:
        return OSError(number, os.strerror(number))
    return None if error.__cause__ is None else refusal(error.__cause__)


def reason(error: OSError) -> str:
    """Why the system refused, in words."""
    words = os.strerror(error.errno or 0)
    return f"the disk is full ({words})" if error.errno in FULL else f"can't be written ({words})"
