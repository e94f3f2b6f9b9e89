"""Processes of this machine: what happens in them is told, what dies is replaced, and none outlives its driver."""

from __future__ import annotations

import os
import signal
import time
from multiprocessing import active_children

import fakes
import pytest

from rankwise.errors import DataError, Defect
from rankwise.sweep.engines.local import Died, Done, LocalEngine, Reported
from rankwise.sweep.results import Imported, Stop


def told(engine, wanted, within=60.0):
    """Events until one of a kind comes; reports are answered with yes."""
    heard = []
    until = time.monotonic() + within
    while time.monotonic() < until:
        for event in engine.events(0.5):
            heard.append(event)
            if isinstance(event, wanted):
                return heard
            if isinstance(event, Reported):
                engine.answer(event.number, go_on=True)
    pytest.fail(f"no {wanted.__name__} came, only {heard}")


@pytest.fixture
def engine_for():
    engines = []

    def make(work, **how):
        engines.append(LocalEngine(work, **{"jobs": 1, **how}))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()
    assert active_children() == []


def test_a_process_takes_one_task_after_another(engine_for):
    engine = engine_for(fakes.where)
    engine.start(3, "a")
    first = told(engine, Done)[-1]
    engine.start(4, "b")
    second = told(engine, Done)[-1]
    assert (first.number, second.number) == (3, 4)
    assert first.result == ("a", second.result[1], str(engine.threads)), "the same process, with its share of threads"
    assert first.result[1] != os.getpid()


def test_reports_wait_for_their_answer(engine_for):
    engine = engine_for(fakes.counted)
    engine.start(1, 3)
    heard = told(engine, Done)
    assert [event.entry for event in heard[:-1]] == [{"step": 0}, {"step": 1}, {"step": 2}]
    engine.start(2, 3)
    while not (events := list(engine.events(5.0))):
        pass
    assert events == [Reported(2, {"step": 0})]
    engine.answer(2, go_on=False)
    assert told(engine, Done)[-1] == Done(2, None)


def test_tasks_run_beside_each_other(engine_for):
    engine = engine_for(fakes.where, jobs=2)
    engine.start(1, "a")
    engine.start(2, "b")
    found = {}
    while len(found) < 2:
        found.update({event.number: event.result for event in engine.events(5.0)})
    assert found[1][1] != found[2][1]


def test_what_a_task_raises_is_told_with_whose_mistake_it_is(engine_for):
    engine = engine_for(fakes.raising)
    engine.start(1, "data")
    mistake = told(engine, Done)[-1].result
    assert (type(mistake), str(mistake)) == (DataError, "news.csv: no such file")
    engine.start(2, "bug")
    defect = told(engine, Done)[-1].result
    assert isinstance(defect, Defect)
    assert str(defect).startswith("trial 2 raised ZeroDivisionError:")
    assert "in raising" in str(defect)


def test_a_process_that_dies_is_told_and_replaced(engine_for):
    engine = engine_for(fakes.raising)
    engine.start(1, "die")
    assert told(engine, Died)[-1] == Died(1)
    engine.start(2, "live")
    assert told(engine, Done)[-1] == Done(2, "live")


def test_an_idle_process_that_was_killed_is_replaced(engine_for):
    engine = engine_for(fakes.where)
    engine.start(1, "a")
    first = told(engine, Done)[-1].result[1]
    os.kill(first, 9)
    while fakes.lives(first):
        time.sleep(0.01)
    engine.start(2, "b")
    assert told(engine, Done)[-1].result[1] != first


def test_a_process_killed_before_it_took_its_task_is_replaced_unseen(engine_for):
    engine = engine_for(fakes.where)
    engine.start(1, "a")
    first = told(engine, Done)[-1].result[1]
    os.kill(first, signal.SIGSTOP)
    engine.start(2, "b")
    os.kill(first, signal.SIGKILL)
    heard = told(engine, Done)
    assert heard == [Done(2, ("b", heard[0].result[1], str(engine.threads)))]
    assert heard[0].result[1] != first


def test_closing_ends_a_running_task(engine_for):
    engine = engine_for(fakes.sleeping)
    engine.start(1, None)
    time.sleep(0.5)
    (process,) = (child.pid for child in active_children())
    engine.close()
    assert not fakes.lives(process)


def test_closing_lets_a_task_remove_its_files(engine_for, tmp_path):
    engine = engine_for(fakes.sleeping_beside_files)
    engine.start(1, str(tmp_path))
    told_of = list(engine.events(60.0))
    while not told_of:
        told_of = list(engine.events(60.0))  # the first message says only that the task was taken
    engine.answer(1, go_on=True)
    assert list(tmp_path.iterdir())
    engine.close()
    assert list(tmp_path.iterdir()) == []


def test_a_stopped_process_is_killed_after_a_moment(engine_for, monkeypatch):
    monkeypatch.setattr("rankwise.sweep.engines.local.GRACE_SECONDS", 0.2)
    engine = engine_for(fakes.sleeping)
    engine.start(1, None)
    (process,) = (child.pid for child in active_children())
    os.kill(process, signal.SIGSTOP)
    engine.close()
    assert not fakes.lives(process)


def test_an_imported_objective_is_found_where_it_is_called():
    def stopping(entry):
        raise Stop

    with pytest.raises(Stop):
        Imported("fakes:counted")(3, stopping)
