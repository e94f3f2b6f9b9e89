"""Tokens that processes share are those that the tokenizer gives, whatever it did before and whatever became of the files."""

from __future__ import annotations

import numpy as np
import pytest

from conftest import tiny_tokenizer
from rankwise.data import tokens
from rankwise.data.tokens import tokenize_to_disk
from rankwise.system.cache import Cache

TEXTS = ["an apple", "a pear and a plum", "", "zinc " * 30]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(tokens, "LEAST_SHARED", 1)
    return Cache(tmp_path / "cache", limit_bytes=10**6)


def entries(cache):
    return sorted(path.parent.name for path in cache.folder.glob("*/ids.bin"))


def same(one, other):
    assert np.array_equal(one.ids[:], other.ids[:])
    assert one.ids.dtype == other.ids.dtype
    assert np.array_equal(one.offsets, other.offsets)
    assert (one.types is None) == (other.types is None)
    assert one.types is None or np.array_equal(one.types[:], other.types[:])


@pytest.mark.parametrize("family", ["bert", "roberta", "xlnet", "deberta-v2"])
@pytest.mark.parametrize("max_length", [None, 6])
def test_they_are_what_the_tokenizer_gives_the_first_time_and_the_second(cache, family, max_length):
    tokenizer = tiny_tokenizer(family)
    expected = tokenize_to_disk(tokenizer, TEXTS, max_length=max_length)
    for _ in range(2):
        same(tokenize_to_disk(tokenizer, TEXTS, max_length=max_length, cache=cache), expected)
    assert len(entries(cache)) == 1


def test_they_are_found_again_whatever_the_tokenizer_did_meanwhile(cache):
    tokenizer = tiny_tokenizer("bert")
    tokenize_to_disk(tokenizer, TEXTS, max_length=None, cache=cache)
    tokenizer(TEXTS, truncation=True, max_length=5, padding=True)
    tokenize_to_disk(tokenizer, TEXTS, max_length=None, cache=cache)
    assert len(entries(cache)) == 1


def test_other_texts_lengths_sides_and_tokenizers_are_other_entries(cache):
    tokenizer = tiny_tokenizer("bert")
    tokenize_to_disk(tokenizer, TEXTS, max_length=None, cache=cache)
    tokenize_to_disk(tokenizer, TEXTS[::-1], max_length=None, cache=cache)
    tokenize_to_disk(tokenizer, ["an", " apple", *TEXTS[1:]], max_length=None, cache=cache)
    tokenize_to_disk(tokenizer, TEXTS, max_length=6, cache=cache)
    tokenizer.truncation_side = "left"
    same(tokenize_to_disk(tokenizer, TEXTS, max_length=6, cache=cache), tokenize_to_disk(tokenizer, TEXTS, max_length=6))
    tokenize_to_disk(tiny_tokenizer("roberta"), TEXTS, max_length=None, cache=cache)
    assert len(entries(cache)) == 6


@pytest.mark.parametrize("name", ["ids.bin", "offsets.npy", "entry.json"])
def test_a_damaged_entry_is_made_again(cache, name):
    tokenizer = tiny_tokenizer("bert")
    expected = tokenize_to_disk(tokenizer, TEXTS, max_length=None)
    tokenize_to_disk(tokenizer, TEXTS, max_length=None, cache=cache)
    (entry,) = cache.folder.glob(f"*/{name}")
    raw = bytearray(entry.read_bytes())
    raw[-3] ^= 1
    entry.write_bytes(raw)
    same(tokenize_to_disk(tokenizer, TEXTS, max_length=None, cache=cache), expected)


def test_few_texts_and_what_the_cache_has_no_room_for_are_not_kept(tmp_path, monkeypatch):
    tokenizer = tiny_tokenizer("bert")
    expected = tokenize_to_disk(tokenizer, TEXTS, max_length=None)
    same(tokenize_to_disk(tokenizer, TEXTS, max_length=None, cache=Cache(tmp_path, limit_bytes=10**6)), expected)
    monkeypatch.setattr(tokens, "LEAST_SHARED", 1)
    same(tokenize_to_disk(tokenizer, TEXTS, max_length=None, cache=Cache(tmp_path, limit_bytes=0)), expected)
    assert list(tmp_path.glob("*/ids.bin")) == []
