"""Windows of longer texts: they hold the whole text in order, overlap, and are the same wherever tokens are made."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_families import FAMILIES

from conftest import CLASSES, WORDS, tiny_tokenizer
from rankwise.data.batches import Padding, collate
from rankwise.data.prepare import choose_length
from rankwise.data.tokenizer import read_tokenizer
from rankwise.data.tokens import cut, text_means, tokenize, tokenize_to_disk
from rankwise.planning.workload import OVERLAP, overlap_of, windows_of
from rankwise.run.saving import save_tokenizer
from rankwise.system.cache import Cache

ALL = [word for name in CLASSES for word in WORDS[name]]
LONG, SHORT = " ".join(ALL), "apple pear"
ROOM = 12  # tokens of a text in a window, beside the special ones


def limit(family):
    return ROOM + FAMILIES[family].opening + FAMILIES[family].closing


def inside(family, window):
    """A window's tokens without the special ones."""
    return window[0][FAMILIES[family].opening : len(window[0]) - FAMILIES[family].closing].tolist()


def words(family, text=LONG):
    return inside(family, tokenize(tiny_tokenizer(family), [text], max_length=None)[0])


def test_windows_hold_a_whole_text_in_order_between_its_special_tokens(family):
    tokenizer = tiny_tokenizer(family)
    tokens = tokenize(tokenizer, [SHORT, LONG], max_length=limit(family), windows=8)
    whole = tokenize(tokenizer, [SHORT, LONG], max_length=None)
    assert tokens.window_counts.tolist() == [1, 3]
    assert np.array_equal(tokens.text(0)[0][0], whole[0][0]), "a short text is one window, as without any"
    assert (tokens.lengths[1:] == limit(family)).all(), "windows of a longer text are of one size"
    opening, closing = FAMILIES[family].opening, FAMILIES[family].closing
    for ids, types in tokens.text(1):
        assert ids[:opening].tolist() == whole[1][0][:opening].tolist()
        assert ids[len(ids) - closing :].tolist() == whole[1][0][-closing:].tolist() or closing == 0
        assert len(types) in {0, len(ids)}
    starts = [words(family).index(inside(family, window)[0]) for window in tokens.text(1)]
    assert starts == [0, 9, 18], "evenly spread over 30 words"
    assert all(
        inside(family, window) == words(family)[start : start + ROOM]
        for start, window in zip(starts, tokens.text(1), strict=True)
    )


@pytest.mark.parametrize("side", ["right", "left"])
def test_what_fits_into_no_more_windows_is_cut_on_the_tokenizers_side(family, side):
    tokenizer = tiny_tokenizer(family)
    tokenizer.truncation_side = side
    tokens = tokenize(tokenizer, [LONG], max_length=limit(family), windows=2)
    held = [inside(family, window) for window in tokens.text(0)]
    reach = 2 * ROOM - overlap_of(ROOM)
    kept = words(family)[:reach] if side == "right" else words(family)[-reach:]
    assert held == [kept[:ROOM], kept[-ROOM:]]


@pytest.mark.parametrize("side", ["right", "left"])
def test_one_window_is_what_the_tokenizer_cuts(family, side):
    tokenizer = tiny_tokenizer(family)
    tokenizer.truncation_side = side
    cut_by_it = tokenizer([LONG], truncation=True, max_length=9)["input_ids"][0]
    assert tokenize(tokenizer, [LONG], max_length=9).ids.tolist() == cut_by_it


@pytest.mark.parametrize("most", [1, 2, 8])
@pytest.mark.parametrize("length", [1, 16, 17, 30, 31, 100])
def test_windows_are_as_few_as_overlapping_allows(length, most):
    count = int(windows_of(length, 16, most))
    reach = 16 + (count - 1) * (16 - overlap_of(16))
    assert 1 <= count <= most
    assert count == most or reach >= length, "all is held"
    assert count == 1 or reach - (16 - overlap_of(16)) < length, "and no window is too many"
    assert overlap_of(16) == 16 * OVERLAP


def same(one, other):
    assert [[ids.tolist() for ids, _ in one.text(place)] for place in range(3)] == [
        [ids.tolist() for ids, _ in other.text(place)] for place in range(3)
    ]
    assert one.window_counts.tolist() == other.window_counts.tolist()


@pytest.mark.parametrize("family", ["bert", "roberta", "xlnet"])
def test_they_are_the_same_in_memory_on_disk_from_a_cache_and_from_whole_texts(family, tmp_path, monkeypatch):
    monkeypatch.setattr("rankwise.data.tokens.LEAST_SHARED", 1)
    cache = Cache(tmp_path / "cache", limit_bytes=10**6)
    tokenizer, texts, limits = tiny_tokenizer(family), [LONG, SHORT, LONG + " don"], {"max_length": 11, "windows": 3}
    expected = tokenize(tokenizer, texts, **limits)
    assert expected.window_counts.tolist() == [3, 1, 3]
    same(tokenize_to_disk(tokenizer, texts, **limits), expected)
    for _ in range(2):
        same(tokenize_to_disk(tokenizer, texts, **limits, cache=cache), expected)
    tokenize_to_disk(tokenizer, texts, max_length=11, windows=2, cache=cache)
    assert len(list(cache.folder.glob("*/ids.bin"))) == 2, "other windows are another entry"
    same(cut(tokenize_to_disk(tokenizer, texts, max_length=None), texts, tokenizer, **limits), expected)


@pytest.mark.parametrize("family", ["bert", "roberta"])
@pytest.mark.parametrize("side", ["right", "left"])
def test_a_saved_tokenizer_read_without_transformers_gives_the_same(family, side, tmp_path):
    tokenizer = tiny_tokenizer(family)
    tokenizer.truncation_side = side
    save_tokenizer(tmp_path, tokenizer)  # as a run has it
    expected, found = (
        tokenize(one, [LONG, SHORT, "don"], max_length=9, windows=3) for one in (tokenizer, read_tokenizer(tmp_path))
    )
    same(expected, found)


def test_texts_are_taken_with_their_windows():
    tokenizer = tiny_tokenizer("bert")
    tokens = tokenize(tokenizer, [SHORT, LONG, "don", LONG], max_length=15, windows=8)
    taken = tokens.take(np.array([1, 2]))
    assert taken.window_counts.tolist() == [3, 1]
    assert taken.text_lengths.tolist() == [45, 3] == tokens.text_lengths[1:3].tolist()
    assert tokens.windows(np.array([2, 1])).tolist() == [4, 1, 2, 3]
    assert tokens.same_text(tokens, 1)
    assert not tokens.same_text(tokenize(tokenizer, [SHORT, LONG + " don"], max_length=15, windows=8), 1)
    assert not tokens.same_text(tokenize(tokenizer, [SHORT, LONG], max_length=15), 1), "its first window alone is not it"
    assert collate(tokens, tokens.windows(np.array([1, 2])), Padding.of(tokenizer))["input_ids"].shape == (4, 15)


def test_a_texts_value_is_the_mean_of_its_windows():
    values = np.array([[1, 2], [3, 4], [5, 9], [7, 7]], dtype=np.float32)
    assert text_means(values, np.array([1, 2, 1])).tolist() == [[1, 2], [4, 6.5], [7, 7]]
    assert text_means(values, np.ones(4, dtype=np.int64)) is values


def test_what_windows_do_is_told():
    lengths = np.array([10] * 8 + [40, 400])
    assert choose_length(lengths, 32, 512, 1)[1].startswith("max length 32 tokens cuts 20.0%")
    told = choose_length(lengths, 32, 512, 4)[1]
    assert told == "20.0% of the training texts are longer than 32 tokens and are read in up to 4 windows, which cut 10.0%"
    assert choose_length(lengths[:8], 32, 512, 4)[1] == "max length 32 tokens holds every training text"
