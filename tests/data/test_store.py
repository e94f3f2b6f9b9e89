"""What was written to disk reads back, in any order and from any thread, and its file is gone with its last view."""

from __future__ import annotations

import resource
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankwise.data import store
from rankwise.data.store import Numbers, Texts
from rankwise.errors import DataError

UNICODE = st.text(st.characters())  # with lone surrogates
LISTS = st.lists(UNICODE, max_size=30)


@given(LISTS)
def test_texts_read_back_to_the_letter(texts: list[str]) -> None:
    stored = Texts.of(iter(texts))
    assert list(stored) == texts
    assert [stored[place] for place in range(len(stored))] == texts
    assert stored == texts
    assert stored == tuple(texts)
    assert len(stored) == len(texts)


@given(LISTS, st.slices(30))
def test_a_slice_is_the_slice_of_a_list(texts: list[str], span: slice) -> None:
    assert Texts.of(texts)[span] == texts[span]


@given(LISTS.filter(bool), st.data())
def test_taking_from_what_was_taken_finds_the_same_texts(texts: list[str], data: st.DataObject) -> None:
    places = st.lists(st.integers(0, len(texts) - 1), min_size=1, max_size=30)
    first = data.draw(places)
    second = data.draw(st.lists(st.integers(0, len(first) - 1), max_size=30))
    taken = Texts.of(texts).take(np.array(first)).take(np.array(second, dtype=np.int64))
    assert taken == [texts[first[place]] for place in second]


@given(st.lists(st.lists(st.integers(0, 2**16 - 1), max_size=20), max_size=10), st.data())
def test_a_slice_of_numbers_is_the_slice_of_an_array(rows: list[list[int]], data: st.DataObject) -> None:
    stored = Numbers(np.uint16)
    for row in rows:
        stored.append(np.array(row, dtype=np.uint16))
    flat = [value for row in rows for value in row]
    assert len(stored) == len(flat)
    assert stored[:].tolist() == flat
    start, end = (data.draw(st.integers(0, len(flat) + 2)) for _ in range(2))
    assert stored[start:end].tolist() == flat[start:end]
    assert stored[np.int64(start) : np.int64(end)].dtype == np.uint16


def test_texts_are_walked_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "CHUNK", 4)
    texts = [str(place) for place in range(11)]
    assert list(Texts.of(texts)) == texts
    assert list(Texts.of(texts)[3:9:2]) == texts[3:9:2]


def test_places_count_from_the_end_and_have_an_end() -> None:
    stored = Texts.of(["a", "b"])
    assert (stored[-1], stored[np.int64(0)], "b" in stored, stored.index("b")) == ("b", "a", True, 1)
    with pytest.raises(IndexError):
        stored[2]


def test_texts_differ_from_other_texts_and_from_a_string() -> None:
    stored = Texts.of(["a", "b"])
    assert stored not in (["a"], ["a", "c"], "ab", None)


def test_what_is_on_disk_is_not_written_again() -> None:
    stored = Texts.of(["a", "b"])
    assert Texts.of(stored) is stored


def test_a_reader_may_write_while_it_reads() -> None:
    first = Texts.of(str(place) for place in range(3000))
    assert Texts.of(text.upper() for text in first) == first


def test_threads_share_a_file() -> None:
    texts = [f"{place} " * (place % 50) for place in range(2000)]
    stored = Texts.of(texts)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(stored.__getitem__, range(2000))) == texts


def test_a_file_is_closed_with_its_last_view() -> None:
    stored = Texts.of(["a", "b", "c"])
    file = stored._disk._file
    view = stored[1:]
    del stored
    assert view.take(np.array([1])) == ["c"]
    del view
    assert file.closed


def test_a_file_is_closed_when_its_texts_break_off() -> None:
    def broken() -> Iterator[str]:
        yield "a"
        raise ValueError("the source ends here")

    with pytest.raises(ValueError, match="ends here"):
        Texts.of(broken())


def test_a_missing_temporary_folder_is_told_with_its_setting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(DataError, match=r"can't be written \(No such file or directory\).*TMPDIR=FOLDER"):
        Texts.of(["a"])


def test_a_full_disk_is_told_with_its_setting() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(DataError, match=r"can't be written \(File too large\).*TMPDIR=FOLDER"):
            Texts.of("x" * 30_000 for _ in range(4))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
