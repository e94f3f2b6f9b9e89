"""What time allows is told from trials that went to their end; what is left, from all."""

from __future__ import annotations

import math
import time
from types import SimpleNamespace

from rankwise.sweep.stage import FINAL_FACTOR, Timing


def timing(seconds=None, *, finals=0, earlier=()):
    ends_at = math.inf if seconds is None else time.monotonic() + seconds
    return Timing(SimpleNamespace(slots=2), ends_at, seeds=1, finals=finals, earlier=list(earlier))


def test_pruned_trials_do_not_shorten_what_a_whole_one_is_taken_to_last():
    found = timing(50)
    found.took, found.cut_short = [100.0], [10.0] * 9
    assert found.typical == 100
    assert not found.allows_trial()
    assert not found.allows_final()


def test_the_time_left_counts_on_as_many_being_pruned_as_so_far():
    found = timing(finals=2)
    found.took, found.cut_short = [100.0], [10.0] * 9
    assert found.remaining(20) == 20 * 19 / 2 + FINAL_FACTOR * 100


def test_before_a_trial_has_ended_an_earlier_call_says_how_long_one_takes():
    assert timing().remaining(3) is None
    assert timing(earlier=[8.0]).remaining(4) == 16
