"""The cache is the user's own folder; what it holds is made once, and again where it is damaged."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from disks import small_disk

from rankwise.errors import StorageError
from rankwise.system.cache import Cache, cache_folder, reserve


def test_the_cache_is_the_users_own(monkeypatch):
    monkeypatch.delenv("RANKWISE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder() == Path("/somewhere/rankwise")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert cache_folder() == Path("/home/me/.cache/rankwise")
    monkeypatch.setenv("RANKWISE_CACHE", "/mine")
    assert cache_folder() == Path("/mine")


def test_json_values_are_made_once_and_again_where_they_are_damaged(tmp_path):
    cache, made = Cache(tmp_path, limit_bytes=10**6), []

    def make():
        made.append(len(made))
        return {"values": [1, 2.5, "x"], "time": made[-1]}

    first = cache.json_entry("key", make)
    assert cache.json_entry("key", make) == first == {"values": [1, 2.5, "x"], "time": 0}
    (tmp_path / "key" / "entry.json").write_text('{"values": [1, ', "utf-8")
    assert cache.json_entry("key", make) == {"values": [1, 2.5, "x"], "time": 1}
    assert made == [0, 1]


def test_every_damage_to_an_entry_is_noticed_and_it_is_made_again(tmp_path):
    """Its facts too, where a digit would be another number."""
    cache, rng, made = Cache(tmp_path, limit_bytes=10**6), random.Random(0), []

    def make(entry):
        made.append(entry)
        (entry / "numbers.bin").write_bytes(bytes(range(200)))
        return {"gains": [0.25, 0.125], "name": "key"}

    def read(entry, facts):
        return facts, (entry / "numbers.bin").read_bytes()

    expected, _ = cache.entry("key", 0, make, read)
    for path in (tmp_path / "key" / "entry.json", tmp_path / "key" / "numbers.bin"):
        whole = path.read_bytes()
        for place in range(len(whole) - 1):  # the last one is a line's end
            flipped = bytearray(whole)
            flipped[place] ^= 1 << rng.randrange(8)
            for content in (flipped, whole[:place]):
                path.write_bytes(content)
                assert cache.entry("key", 0, make, read) == (expected, False)
    assert len(made) == 1 + 2 * (len(whole) - 1 + len((tmp_path / "key" / "entry.json").read_bytes()) - 1)


def test_the_entries_used_longest_ago_make_room(tmp_path):
    cache = Cache(tmp_path, limit_bytes=160)
    for number, key in enumerate("abc"):
        cache.json_entry(key, lambda: "x" * 13)  # some 65 bytes
        os.utime(tmp_path / key, (number, number))
    cache.json_entry("d", lambda: "x" * 13)
    assert sorted(path.parent.name for path in tmp_path.glob("*/entry.json")) == ["b", "c", "d"]


# ----------------------------------------------------------------------------------------------------------- refusals


def refused(folder, size=0):
    """The line that says why a cache takes no entry."""
    cache = Cache(folder, limit_bytes=10**9)
    with pytest.raises(StorageError) as told:
        cache.entry("key", size, lambda entry: (entry / "x").write_bytes(b"x" * size) and None, lambda *_: True)
    assert str(told.value).startswith(f"the cache {folder}: ")
    assert str(told.value).endswith("RANKWISE_CACHE=FOLDER), or do without hidden states on disk (RANKWISE_CACHE_GB=0)")
    assert "\n" not in str(told.value)
    return str(told.value)


def test_a_full_disk_is_told_and_leaves_no_entry(tmp_path):
    with small_disk(tmp_path / "disk", 200) as disk:
        assert "the disk is full (No space left on device)" in refused(disk / "cache", 500_000)
        assert not [path for path in (disk / "cache").rglob("*") if path.suffix != ".lock"]


def test_a_read_only_cache_a_file_and_a_name_that_is_too_long_are_told(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    assert "can't be written (File exists)" in refused(tmp_path / "file")
    assert "can't be written (Not a directory)" in refused(tmp_path / "file" / "below")
    assert "can't be written (File name too long)" in refused(tmp_path / ("n" * 300))
    with pytest.raises(StorageError, match="can't be written"):
        Cache(tmp_path / "file", limit_bytes=10).has_room(5)
    with small_disk(tmp_path / "disk", 100, read_only=True) as disk:
        assert "can't be written (Read-only file system)" in refused(disk)


def test_no_folder_is_made_for_what_is_above_the_limit(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    assert not Cache(tmp_path / "file", limit_bytes=0).has_room(1)


def test_mapped_pages_have_their_room_before_they_are_written(tmp_path):
    with (tmp_path / "x").open("wb") as file:
        reserve(file, 1_000_000)
    assert (tmp_path / "x").stat().st_size == 1_000_000
    assert (tmp_path / "x").stat().st_blocks * 512 >= 1_000_000
    with (
        small_disk(tmp_path / "disk", 100) as disk,
        (disk / "x").open("wb") as file,
        pytest.raises(OSError, match="No space left"),
    ):
        reserve(file, 1_000_000)
