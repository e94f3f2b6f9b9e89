"""States of texts are computed once a text, whichever training asks, and stay under the limit."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest
import torch

from rankwise.errors import StorageError
from rankwise.model.hidden_cache import HiddenStatesCache
from rankwise.model.text_states import TextStates

WIDTH = 3


def kept(tmp_path: Path, limit_bytes: int = 10**6) -> TextStates:
    return TextStates(HiddenStatesCache(tmp_path, limit_bytes=limit_bytes))


def states_of(text: bytes) -> np.ndarray:
    """As many tokens as its number says."""
    return np.full((int(text), WIDTH), int(text) / 3, dtype=np.float32)


def ask(states: TextStates, *texts: bytes, key: str = "weights"):
    shape = sum(map(int, texts)), WIDTH
    return states.get(key, texts, shape, 4, lambda number: states_of(texts[number]))


def test_what_is_known_is_not_computed_again_and_comes_in_the_order_asked_for(tmp_path):
    states = kept(tmp_path)
    assert ask(states, b"1", b"2", b"3")[1] == 3
    found, new = ask(states, b"3", b"5", b"1", b"5")
    assert new == 1
    padded, layer = found.take(np.array([0, 1, 2, 3]), torch.device("cpu"))
    assert layer == 4
    assert padded.dtype == torch.float32
    for row, length in zip(padded.numpy(), (3, 5, 1, 5), strict=True):
        assert np.array_equal(row[:length], states_of(b"%d" % length))
        assert not row[length:].any()


def test_some_of_the_states_are_copied_in_the_order_asked_for(tmp_path):
    found, _ = ask(kept(tmp_path), b"2", b"4", b"1")
    some = found.of(np.array([2, 0]))
    padded, _ = some.take(np.array([0, 1]), torch.device("cpu"))
    assert np.array_equal(padded.numpy()[0, :1], states_of(b"1"))
    assert np.array_equal(padded.numpy()[1], states_of(b"2"))


def test_other_weights_or_layers_have_states_of_their_own(tmp_path):
    states = kept(tmp_path)
    ask(states, b"1")
    assert ask(states, b"1", key="others")[1] == 1
    assert states.known("weights", [b"1"], 4) is not None
    assert states.known("weights", [b"1", b"2"], 4) is None
    assert states.known("nobody's", [b"1"], 4) is None


def test_files_that_were_asked_for_longest_ago_make_room(tmp_path):
    one = 10 * WIDTH * 4
    states = kept(tmp_path, limit_bytes=2 * one)
    for key in ("first", "second", "first", "third"):
        ask(states, b"10", key=key)
    assert states.known("second", [b"10"], 4) is None
    assert states.known("first", [b"10"], 4) is not None


def test_what_was_handed_out_stays_whole_when_its_file_makes_room(tmp_path):
    states = kept(tmp_path, limit_bytes=10 * WIDTH * 4)
    found, _ = ask(states, b"10")
    ask(states, b"9")
    assert states.known("weights", [b"10"], 4) is None
    gc.collect()
    assert np.array_equal(found.take(np.array([0]), torch.device("cpu")).hidden.numpy()[0], states_of(b"10"))


def test_more_than_the_limit_has_no_room(tmp_path):
    assert kept(tmp_path).has_room(999_999)
    assert not kept(tmp_path).has_room(1_000_001)
    assert not kept(tmp_path, limit_bytes=0).has_room(1)


def test_a_disk_that_takes_nothing_is_told_with_what_to_type(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(StorageError, match=r"TMPDIR=FOLDER.*RANKWISE_CACHE_GB=0"):
        ask(kept(tmp_path), b"1")
