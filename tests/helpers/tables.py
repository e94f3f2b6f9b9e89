"""Small files of labelled text, and tables that are read from them."""

import os
from pathlib import Path

import pytest

from rankwise.data.files.table import Table, read_table
from rankwise.errors import DataError
from rankwise.recipe import DataSpec, SourceSpec

REAL = Path(os.environ.get("RANKWISE_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
GOOD = "text,label\nfirst,a\nsecond,b\n"
MOODS = "tweet,mood\n" + "".join(f"{text},{'joy' if text < 'd' else 'fear'}\n" for text in "abcdef")


def write(path: Path, content: str | bytes) -> Path:
    """A file with this content, and its folder where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path: Path | str, *, needs_label: bool = True, source: dict | None = None, **data: object) -> Table:
    """The table of a file, read under these settings."""
    return read_table(SourceSpec(path=str(path), **(source or {})), DataSpec(**data), needs_label=needs_label)


def failing(path: Path | str, **settings: object) -> str:
    """The message with which a file is refused."""
    with pytest.raises(DataError) as caught:
        read(path, **settings)
    return str(caught.value)


def real(name: str) -> Path:
    """Real data by name, or the test is skipped where they are not."""
    path = REAL / name
    if not path.exists():
        pytest.skip(f"{path} is not here; set RANKWISE_TEST_DATA to a folder that holds {name}")
    return path
