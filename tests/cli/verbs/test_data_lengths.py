"""What `rankwise data` recommends can be typed: one pass, or windows where no encoder takes so many tokens at once."""

from __future__ import annotations

import numpy as np
import pytest

from rankwise.cli.verbs.data import _recommended
from rankwise.data.lengths import lengths_of
from rankwise.data.prepare import choose_length
from rankwise.recipe import Recipe


def test_a_base_of_fewer_tokens_gets_windows_that_it_takes():
    lengths = np.array([300] * 100)
    for most in (256, 64):
        typed = _recommended(lengths_of(lengths, "tokens"), most)
        data = Recipe.load("auto", typed.replace("--set ", "").split()).data
        length, told = choose_length(lengths, data.max_length, most, data.windows)
        assert length <= most
        assert told.endswith("which cut 0.0%")


@pytest.mark.parametrize(
    ("longest", "typed"),
    [
        (40, "--set data.max_length=40"),
        (512, "--set data.max_length=512"),
        (1226, "--set data.max_length=128 --set data.windows=11"),
    ],
)
def test_nearly_all_texts_are_read_whole_by_what_is_recommended(longest, typed):
    lengths = np.array([30] * 50 + [longest] * 50)
    assert _recommended(lengths_of(lengths, "tokens"), 512) == typed
    data = Recipe.load("auto", ["data.windows=1", *typed.replace("--set ", "").split()]).data
    length, told = choose_length(lengths, data.max_length, 512, data.windows)
    assert length <= 512
    assert "cuts 0.0%" in told or "cut 0.0%" in told or "holds every" in told
