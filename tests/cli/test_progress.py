"""A terminal sees what is being done while nothing else happens; what is no terminal sees nothing."""

from __future__ import annotations

import io

import pytest

from rankwise.cli import progress
from rankwise.cli.console import PlainConsole
from rankwise.cli.progress import TrainingProgress, WorkProgress, counted
from rankwise.system.events import WorkDone
from rankwise.training.events import HeadFitted, HiddenStatesCached, TrainingStarted, UpdateMade


@pytest.fixture
def terminal(monkeypatch):
    """What standard error shows, as if it were a terminal."""
    seen = io.StringIO()
    monkeypatch.setattr(progress, "err", PlainConsole(file=seen, force_terminal=True, width=100, highlight=False))
    return seen


def tasks(bar):
    return [(task.description, task.completed, task.total) for task in bar.tasks]


def test_work_has_a_bar_until_something_else_happens(terminal):
    with TrainingProgress() as bar:
        bar(WorkDone("fitting the head", 0, 4))
        bar(WorkDone("fitting the head", 3, 4))
        assert tasks(bar) == [("fitting the head", 3, 4)]
        bar(HeadFitted(rows=12))
        assert tasks(bar) == []
    assert "fitting the head" in terminal.getvalue()
    assert "head fitted on 12 texts" in terminal.getvalue()


@pytest.mark.parametrize(
    ("as_before", "why"), [(False, "no room in the cache"), (True, "as they did before this training was resumed")]
)
def test_frozen_layers_that_run_every_time_say_why(terminal, as_before, why):
    with TrainingProgress() as bar:
        bar(HiddenStatesCached(split="train", layer=2, stored=False, as_before=as_before))
    (line,) = (line for line in terminal.getvalue().splitlines() if "frozen layers: " in line)
    assert ("no room" in line) is not as_before
    assert why in line


def test_work_beside_updates_has_a_bar_of_its_own(terminal):
    with TrainingProgress() as bar:
        bar(TrainingStarted(step=0, total=9, rows=3, epochs=1.0))
        bar(WorkDone("reading features", 0, 2))
        assert [task[0] for task in tasks(bar)] == ["training", "reading features"]
        bar(UpdateMade(step=1, total=9))
        assert tasks(bar) == [("training", 1, 9)]


def test_one_kind_of_work_gives_way_to_the_next(terminal):
    with WorkProgress() as bar:
        bar(WorkDone("counting words", 0, 0))
        assert tasks(bar) == [("counting words", 0, None)]
        bar(WorkDone("scoring", 0, 5))
        assert tasks(bar) == [("scoring", 0, 5)]


def test_rows_are_counted_as_they_come(terminal):
    assert list(counted("predicting", "abc")) == ["a", "b", "c"]
    assert "predicting" in terminal.getvalue()


def test_what_is_no_terminal_sees_no_bar(monkeypatch):
    seen = io.StringIO()
    monkeypatch.setattr(progress, "err", PlainConsole(file=seen))
    assert list(counted("predicting", "abc")) == ["a", "b", "c"]
    with WorkProgress() as bar:
        bar(WorkDone("scoring", 0, 5))
    assert seen.getvalue() == ""
