"""Events reach every listener, and come back from their file as the objects that were emitted."""

from __future__ import annotations

import json

import pytest

from rankwise.errors import RunError
from rankwise.system.events import Events, event_file, read_events
from rankwise.training import events

NUMBERS = {"accuracy": 0.5, "macro_f1": 0.4, "mcc": 0.1, "log_loss": 1.25}
SCORED = {"step": 4, "epoch": 0.5, "train_loss": 1.5, "train_accuracy": 0.25, **NUMBERS}
WRITTEN = [
    events.HiddenStatesCached(split="Zürich\u2028", layer=3, stored=True, reused=False, bytes=10, took=0.5),
    events.HiddenStatesCached(split="train", layer=3, stored=False),
    events.TrainingStarted(step=0, total=10, rows=8, epochs=2.0),
    events.UpdateLogged(step=1, total=10, loss=0.5, rate=1e-3, norm=1.0),
    events.Evaluated(**SCORED, best=True),
    events.Evaluated(**SCORED, shifts={"typos": 0.25}, worst_shift=0.25, best=False),
    events.TrainingEnded(step=10, best_step=8, training_seconds=1.5),
]


def test_events_come_back_as_they_were_emitted_without_those_for_progress_bars(tmp_path):
    heard = []
    with event_file(tmp_path / "events.jsonl") as file:
        bus = Events(file, heard.append)
        for event in WRITTEN:
            bus.emit(event)
            bus.emit(events.UpdateMade(step=1, total=2))
    for schema in {type(event) for event in WRITTEN}:
        assert read_events(tmp_path / "events.jsonl", schema) == [event for event in WRITTEN if type(event) is schema]
    assert read_events(tmp_path / "events.jsonl", events.UpdateMade) == []
    assert len(heard) == 2 * len(WRITTEN)


def test_a_line_has_the_kind_the_seconds_and_the_fields_that_are_known(tmp_path):
    path = tmp_path / "events.jsonl"
    with event_file(path) as file:
        file(events.Evaluated(**SCORED, best=True))
        file(events.HiddenStatesCached(split="train", layer=3, stored=False))
    first, second = map(json.loads, path.read_text("utf-8").splitlines())
    assert first == {"event": "evaluation", "seconds": first["seconds"], **SCORED, "best": True}
    assert second == {"event": "prefix", "seconds": second["seconds"], "split": "train", "layer": 3, "stored": False}


def test_a_line_cut_short_is_left_out_and_what_comes_after_a_resume_is_read(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text('{"event": "head", "seconds": 0.1, "rows": 3}\n{"event": "st', "utf-8")
    assert read_events(path, events.HeadFitted) == [events.HeadFitted(rows=3)]
    with event_file(path) as file:
        file(events.MemoryRanOut(micro_batch_size=2))
    assert read_events(path, events.HeadFitted) == [events.HeadFitted(rows=3)]
    assert read_events(path, events.MemoryRanOut) == [events.MemoryRanOut(micro_batch_size=2)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"event": "head", "seconds": 1, "rows": "3"}', 'line 2: head: rows is "3", expected a valid integer'),
        ('{"event": "head", "seconds": 1}', "line 2: head: key 'rows' is missing"),
        ('{"event": "head", "seconds": 1, "rows": 3, "texts": 4}', "line 2: head: unknown key 'texts', of a newer rankwise"),
        ('{"event": "head", "rows": 3}', "line 2: no event; copy the run folder again"),
        ("[1]", "line 2: no event; copy the run folder again"),
        ('{"event": ', "line 2: not JSON; copy the run folder again"),
    ],
)
def test_a_line_that_is_no_event_is_told_with_its_number_and_key(tmp_path, line, message):
    path = tmp_path / "events.jsonl"
    path.write_text('{"event": "memory", "seconds": 1, "micro_batch_size": 2}\n' + line + "\n\n", "utf-8")
    with pytest.raises(RunError, match=message):
        read_events(path, events.HeadFitted)


def test_lines_of_other_kinds_are_left_out_whatever_they_hold(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text(
        '{"event": "of a newer rankwise", "seconds": 1, "texts": 4}\n{"event": "head", "seconds": 2, "rows": 3}\n'
    )
    assert read_events(path, events.HeadFitted) == [events.HeadFitted(rows=3)]
