"""A text file, plain or gzipped, as lines: in bounded memory, in its encoding; errors name the line or byte that is wrong."""

import codecs
import gzip
import io
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from rankwise.errors import DataError, as_typed

MAX_FIELD = 10_000_000  # characters in one cell; a longer one is another kind of file or an unclosed quote
BYTE_ORDER_MARK = "\ufeff"  # also above each of several files that were put together, where it is no text
CHUNK = 1 << 16  # characters that are read at a time where there are no lines
MAX_UNPACKED = 200_000_000  # bytes a .gz may grow to before its ratio is looked at
MAX_RATIO = 200  # plain text shrinks 3 to 10 times


def data_suffix(path: Path) -> str:
    """The suffix that says a file's format: `.csv` for train.csv and for TRAIN.CSV.GZ."""
    return Path(path.name.lower().removesuffix(".gz")).suffix


@dataclass(frozen=True)
class TextFile:
    """A file and how to read it."""

    path: Path
    name: str
    """The path as somebody wrote it, for messages."""
    encoding: str
    setting: str
    """What to type to change how it is read, such as `--set data.train`."""
    skip_bad: bool
    """Whether a row that can't be read is skipped instead of an error."""
    quoting: str = "auto"
    """What quotes mean, where cells stand between delimiters; `auto` has it found out."""
    delimiter: str | None = None
    """The delimiter of cells; None has it found out."""
    sheet: str | None = None
    """The sheet of a workbook; None has it found out."""

    @property
    def suffix(self) -> str:
        return data_suffix(self.path)

    @property
    def compressed(self) -> bool:
        return self.path.name.lower().endswith(".gz")


class _Unzipped(io.RawIOBase):
    """A .gz that is read up to a limit, so that a decompression bomb stops early."""

    def __init__(self, file: TextFile) -> None:
        self._name = file.name
        self._packed = file.path.stat().st_size
        self._stream = gzip.GzipFile(file.path, "rb")
        self._seen = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            chunk = self._stream.read(len(buffer))
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError(f"{self._name}: a damaged .gz ({error}); fetch it again, or compress the file again") from error
        self._seen += len(chunk)
        if self._seen > max(MAX_UNPACKED, MAX_RATIO * self._packed):
            raise DataError(
                f"{self._name}: {self._packed:,} bytes grow to more than {self._seen:,}, over {MAX_RATIO} times as "
                f"many; if you trust it, unpack it first: gunzip {as_typed(self._name)}"
            )
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def close(self) -> None:
        self._stream.close()
        super().close()


def open_bytes(file: TextFile) -> io.BufferedReader:
    """The file's bytes, unpacked."""
    return io.BufferedReader(_Unzipped(file), 1 << 17) if file.compressed else file.path.open("rb")


def read_lines(file: TextFile, *, end: str = "") -> Iterator[str]:
    """Lines with their ends, of at most MAX_FIELD characters; all of \\n, \\r\\n and \\r end a line, or only `end`.

    Raises DataError for what can't be decoded.
    """
    with open_bytes(file) as raw, io.TextIOWrapper(raw, encoding=codec(file), newline=end) as stream:
        number = 0
        try:
            while line := stream.readline(MAX_FIELD + 1):
                number += 1
                if len(line) > MAX_FIELD:
                    raise DataError(f"{file.name}, line {number}: over {MAX_FIELD:,} characters; cut or remove it")
                yield line if line[0] != BYTE_ORDER_MARK else line.lstrip(BYTE_ORDER_MARK) or "\n"
        except UnicodeError as error:
            raise _misread(file, _first_bad_byte(file)) from error


def line_end(file: TextFile) -> str:
    """What ends lines: a carriage return only where the file begins without any other end, as on old Macs."""
    ends = Counter(line[-1] for line in islice(read_lines(file), 100))
    return "\r" if ends["\r"] and not ends["\n"] else "\n"


def filled_lines(file: TextFile) -> Iterator[tuple[int, str]]:
    """(number, line) of each line that is not blank, with its end. Raises DataError as `read_lines` does."""
    lines = enumerate(read_lines(file, end=line_end(file)), start=1)
    return ((number, line) for number, line in lines if not line.isspace())


def read_chunks(file: TextFile) -> Iterator[str]:
    """The text in parts. Raises DataError for what can't be decoded."""
    with open_bytes(file) as raw, io.TextIOWrapper(raw, encoding=codec(file), newline="") as stream:
        try:
            while chunk := stream.read(CHUNK):
                yield chunk
        except UnicodeError as error:
            raise _misread(file, _first_bad_byte(file)) from error


def codec(file: TextFile) -> str:
    """The name of Python's codec for the file's encoding. Raises DataError for an encoding that is not known."""
    try:
        codec = codecs.lookup(file.encoding).name
    except LookupError as error:
        raise DataError(
            f"{file.name}: no encoding is called '{file.encoding}'; type {file.setting}.encoding=utf-8"
        ) from error
    return "utf-8-sig" if codec == "utf-8" else codec


def _first_bad_byte(file: TextFile) -> int:
    """Where decoding fails, in bytes (unpacked). The file is read again, because a text stream does not say."""
    decoder = codecs.getincrementaldecoder(file.encoding)()
    offset = 0
    with open_bytes(file) as stream:
        while True:
            chunk = stream.read(1 << 16)
            pending = decoder.getstate()[0]
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                return offset - len(pending) + error.start
            except UnicodeError:  # UTF-16 without its mark
                return 0
            if not chunk:
                return offset
            offset += len(chunk)


def _misread(file: TextFile, offset: int) -> DataError:
    with open_bytes(file) as stream:
        likely = _likely_encoding(stream.read(4096))
    return DataError(
        f"{file.name}: not {file.encoding} at byte {offset:,}; perhaps {likely}: type {file.setting}.encoding={likely}"
    )


def _likely_encoding(head: bytes) -> str:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if head.count(0) * 5 > len(head):
        return "utf-16-le" if head[1::2].count(0) > head[0::2].count(0) else "utf-16-be"
    return "latin-1"


def refuse_utf16(file: TextFile) -> None:
    """Raise DataError for UTF-16 without a mark, which is valid UTF-8 full of NUL characters, before columns are sought."""
    with open_bytes(file) as stream:
        head = stream.read(4096)
    if codec(file) == "utf-8-sig" and _likely_encoding(head).startswith("utf-16"):
        raise _misread(file, 0 if head[0] > 127 or not head[0] else 1)
