"""Near a limit freed memory goes back; where it is passed, fewer rows run at a time."""

from __future__ import annotations

from dataclasses import dataclass

from rankwise.training.parts.memory import Ceiling


@dataclass
class ThisProcess:
    """A process whose memory a test sets."""

    resident: int = 50
    peak: int = 60
    given_back: int = 0

    def give_back(self):
        self.given_back += 1
        return True

    def ceiling(self, limit):
        return Ceiling(limit, resident=lambda: self.resident, peak=lambda: self.peak, give_back=self.give_back)


def test_memory_far_below_its_limit_is_left_alone():
    memory = ThisProcess()
    assert memory.ceiling(100).micro_batch(16) == 16
    assert memory.given_back == 0


def test_memory_near_its_limit_is_given_back():
    memory = ThisProcess(resident=90, peak=95)
    assert memory.ceiling(100).micro_batch(16) == 16
    assert memory.given_back == 1


def test_a_limit_that_was_passed_halves_the_rows_once_each_time_it_is_passed_further():
    memory = ThisProcess()
    ceiling = memory.ceiling(100)
    memory.peak = 120
    sizes = [ceiling.micro_batch(5), ceiling.micro_batch(3)]
    memory.peak = 130
    assert [*sizes, ceiling.micro_batch(3), ceiling.micro_batch(2), ceiling.micro_batch(1)] == [3, 3, 2, 2, 1]


def test_what_a_process_held_before_training_is_no_fault_of_the_rows():
    assert ThisProcess(peak=500).ceiling(100).micro_batch(16) == 16


def test_no_limit_asks_for_nothing():
    memory = ThisProcess(resident=10**12, peak=10**12)
    assert memory.ceiling(None).micro_batch(16) == 16
    assert memory.given_back == 0
