"""The cache is the user's own folder."""

from __future__ import annotations

from pathlib import Path

from rankwise.system.cache import cache_folder


def test_the_cache_is_the_users_own(monkeypatch):
    monkeypatch.delenv("RANKWISE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder() == Path("/somewhere/rankwise")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert cache_folder() == Path("/home/me/.cache/rankwise")
    monkeypatch.setenv("RANKWISE_CACHE", "/mine")
    assert cache_folder() == Path("/mine")
