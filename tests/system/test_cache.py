"""The cache is the user's own folder; what it holds is made once, and again where it is damaged."""

from __future__ import annotations

import os
from pathlib import Path

from rankwise.system.cache import Cache, cache_folder


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


def test_the_entries_used_longest_ago_make_room(tmp_path):
    cache = Cache(tmp_path, limit_bytes=100)
    for number, key in enumerate("abc"):
        cache.json_entry(key, lambda: "x" * 13)  # 40 bytes
        os.utime(tmp_path / key, (number, number))
    cache.json_entry("d", lambda: "x" * 13)
    assert sorted(path.parent.name for path in tmp_path.glob("*/entry.json")) == ["b", "c", "d"]
