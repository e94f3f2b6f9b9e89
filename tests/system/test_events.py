"""Events reach every listener, and come back from their file as the objects that were emitted."""

from __future__ import annotations

import json

import pytest

from rankwise.errors import RunError
from rankwise.planning.forecast import Forecast
from rankwise.planning.workload import Work
from rankwise.stats.intervals import Interval
from rankwise.system import events
from rankwise.system.events import Event, EventFile, Events, read_events

NUMBERS = {"accuracy": 0.5, "macro_f1": 0.4, "mcc": 0.1, "log_loss": 1.25}
SCORED = {"step": 4, "epoch": 0.5, "train_loss": 1.5, "train_accuracy": 0.25, **NUMBERS}
FORECAST = {
    **dict.fromkeys(("seconds", "update_seconds", "evaluation_seconds", "start_seconds", "end_seconds", "test_seconds"), 1.5),
    **dict.fromkeys(("peak_bytes", "cache_bytes", "steps", "planned_steps", "epoch_steps", "threads"), 7),
    **{"operations": 1e12, "micro_batch_size": 4, "evaluation_batch_size": 64, "gflops": 100.5, "gpu": False},
    **{"work": Work(8, 4, 4, 80.0, 40.0, 40.0, 12), "minutes": None, "memory_gb": 2.0, "memory_cuts": True},
}
WRITTEN = [
    events.PlanMade(
        recipe="r", classes=("a", "Zürich\u2028"), trainable_parameters=3, total_parameters=9, budget=None, notes=("n",)
    ),
    events.MachineMeasured(threads=2, gflops={1: 92.5, 2: 168.0}, precision="bf16", processes=1),
    events.DataPrepared(train=8, validation=4, test=4, max_length=64, notes=(), warnings=("w",)),
    Forecast(**FORECAST),
    events.HiddenStatesCached(split="train", layer=3, stored=True, reused=False, bytes=10, took=0.5),
    events.HiddenStatesCached(split="train", layer=3, stored=False),
    events.HeadFitted(rows=36),
    events.TrainingStarted(step=0, total=10, rows=8, epochs=2.0),
    events.UpdateLogged(step=1, total=10, loss=0.5, rate=1e-3, norm=1.0),
    events.Evaluated(**SCORED, best=True),
    events.Evaluated(**SCORED, shifts={"typos": 0.25}, worst_shift=0.25, best=False),
    events.RanksPruned(step=4, live=3, start=8),
    events.MemoryRanOut(micro_batch_size=4),
    events.TrainingEnded(step=10, best_step=8, training_seconds=1.5),
    events.RunScored(accuracy=Interval(0.5, 0.25, 0.75), macro_f1=Interval(None, None, None), log_loss=Interval(1.0, 0.5, 2)),
]


def test_events_come_back_as_they_were_emitted_without_those_for_progress_bars(tmp_path):
    heard = []
    with EventFile(tmp_path / "events.jsonl") as file:
        bus = Events(file, heard.append)
        for event in WRITTEN:
            bus.emit(event)
            bus.emit(events.UpdateMade(step=1, total=2))
    assert read_events(file.path) == WRITTEN
    assert len(heard) == 2 * len(WRITTEN)


def test_every_event_of_a_training_is_among_those_that_come_back_here():
    elsewhere = {events.UpdateMade, events.AlreadyComplete, events.ExperimentStarted}  # no file hears these
    ours = {event for event in Event.kinds.values() if event.__module__.startswith("rankwise.")}
    assert ours - elsewhere == {type(event) for event in WRITTEN}


def test_a_line_has_the_kind_the_seconds_and_the_fields_that_are_known(tmp_path):
    with EventFile(tmp_path / "events.jsonl") as file:
        file(events.Evaluated(**SCORED, best=True))
        file(events.HiddenStatesCached(split="train", layer=3, stored=False))
    first, second = map(json.loads, file.path.read_text("utf-8").splitlines())
    assert first == {"event": "evaluation", "seconds": first["seconds"], **SCORED, "best": True}
    assert second == {"event": "prefix", "seconds": second["seconds"], "split": "train", "layer": 3, "stored": False}


def test_a_line_cut_short_is_left_out_and_what_comes_after_a_resume_is_read(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text('{"event": "head", "seconds": 0.1, "rows": 3}\n{"event": "st', "utf-8")
    assert read_events(path) == [events.HeadFitted(rows=3)]
    with EventFile(path) as file:
        file(events.MemoryRanOut(micro_batch_size=2))
    assert read_events(path) == [events.HeadFitted(rows=3), events.MemoryRanOut(micro_batch_size=2)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"event": "head", "seconds": 1, "rows": "3"}', 'line 2: head: rows is "3", expected a valid integer'),
        ('{"event": "head", "seconds": 1}', "line 2: head: key 'rows' is missing"),
        ('{"event": "head", "seconds": 1, "rows": 3, "texts": 4}', "line 2: head: unknown key 'texts', of a newer rankwise"),
        ('{"event": "heads", "seconds": 1}', "line 2: no event that this rankwise knows; upgrade rankwise"),
        ("[1]", "line 2: no event that this rankwise knows"),
        ('{"event": ', "line 2: not JSON; copy the run folder again"),
    ],
)
def test_a_line_that_is_no_event_is_told_with_its_number_and_key(tmp_path, line, message):
    path = tmp_path / "events.jsonl"
    path.write_text('{"event": "memory", "seconds": 1, "micro_batch_size": 2}\n' + line + "\n\n", "utf-8")
    with pytest.raises(RunError, match=message):
        read_events(path)
