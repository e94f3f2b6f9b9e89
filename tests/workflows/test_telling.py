"""Whoever trains from Python hears how it goes on: lines in a log, one changing line on a terminal."""

from __future__ import annotations

import io

import pytest

from rankwise.system.events import Events, WorkDone
from rankwise.training.events import CheckpointDamaged, Collapsed, TrainingStarted, UpdateMade
from rankwise.workflows import telling
from rankwise.workflows.events import DataPrepared
from rankwise.workflows.telling import told

PREPARED = DataPrepared(10, 2, 3, 128, (), ("a warning",))


class Terminal(io.StringIO):
    def isatty(self):
        return True


def said(stream, *events):
    with told(stream) as listeners:
        for event in events:
            Events(*listeners).emit(event)
    return stream.getvalue()


def test_a_log_gets_lines_about_data_and_training():
    lines = said(io.StringIO(), PREPARED, TrainingStarted(step=0, total=7, rows=10, epochs=1.0)).splitlines()
    assert lines == [
        "rankwise: 10 train, 2 validation, 3 test rows",
        "rankwise: note: a warning",
        "rankwise: training: 7 updates on 10 rows",
    ]


def test_a_log_gets_an_update_now_and_then_only(monkeypatch):
    updates = [UpdateMade(step=step, total=100) for step in range(1, 101)]
    assert said(io.StringIO(), *updates) == ""
    monkeypatch.setattr(telling, "SECONDS", 0.0)
    assert said(io.StringIO(), *updates).count("\n") == 100


def test_work_that_takes_long_is_told_when_it_begins():
    assert said(io.StringIO(), WorkDone("fitting the head", 0, 4)) == "rankwise: fitting the head: 0 of 4\n"
    assert said(io.StringIO(), WorkDone("counting words", 0, 0)) == "rankwise: counting words\n"


def test_a_terminals_line_changes_and_is_gone_at_the_end(monkeypatch):
    monkeypatch.setattr(telling, "REDRAWS", 0.0)
    text = said(Terminal(), *(UpdateMade(step=step, total=3) for step in (1, 2, 3)))
    assert text.count("\n") == 0
    assert [line.strip() for line in text.split("\r")[1:]] == [
        *(f"rankwise: training: update {step} of 3" for step in (1, 2, 3)),
        "",
        "",
    ]


def test_class_names_do_not_steer_the_terminal():
    text = said(io.StringIO(), Collapsed(answer="\x1b[31mred", rows=4, right=2, hint="train longer"))
    assert "\\x1b[31mred" in text
    assert "\x1b" not in text


def test_items_are_counted_from_nothing_to_all():
    heard = []
    assert list(Events(heard.append).counting("batches", "ab")) == ["a", "b"]
    assert heard == [WorkDone("batches", done, 2) for done in (0, 1, 2)]


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_nothing_is_written_where_nothing_happens(stream):
    assert said(stream()) == ""


def test_damage_is_told():
    damage = CheckpointDamaged(checkpoint="step-8", problem="x is not what was written", goes_on_from=6)
    assert "note: the checkpoint step-8 is damaged" in said(io.StringIO(), damage)
