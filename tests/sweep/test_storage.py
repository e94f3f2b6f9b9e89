"""The rules by which drivers share a study, one step at a time, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections import Counter

import pytest

from rankwise.errors import RunError
from rankwise.sweep.results import TrialsAwaited
from rankwise.sweep.storage import Board, Store, studies_in
from rankwise.sweep.study import Study
from rankwise.system.events import Events

pytestmark = pytest.mark.long

FACTS = {"base": {"name": "b"}, "objectives": ["accuracy"], "varied": ["adapter.rank"], "signature": {}}
FINISHED = {"state": "finished", "objectives": [0.9], "scores": {"accuracy": [0.9]}, "seconds": 1.0, "trained_parameters": 5}


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    return Store(tmp_path, None if request.param == "sqlite" else request.getfixturevalue("postgres"))


@pytest.fixture
def studies(store):
    with store.connected() as storage:
        both = studies_in(storage, "first", ["maximize"])
        both[0].set_user_attr("sweep", FACTS)
        yield both


def board(studies, name="me", patience=30.0, *, heard=None):
    return Board(studies[0], Events(*([] if heard is None else [heard.append])), name, patience_seconds=patience)


def begin(board, rank, *, most=math.inf):
    """A new trial of a rank, claimed; and what stands against it."""
    trial = board.ask()
    trial.suggest_categorical("adapter.rank", [2, 4, 8])
    claimed = board.claim(trial, f"rank {rank}", {"adapter.rank": rank}, most=most)
    assert claimed is ("given up" not in trial.user_attrs)
    return trial, trial.user_attrs.get("given up", "")


def found(studies):
    return Study.of(*studies)


def test_a_finished_trial_reads_back_as_it_was_told(studies):
    mine = board(studies)
    trial, against = begin(mine, 4)
    assert against == ""
    mine.finish(trial, {**FINISHED, "seeds": [0], "history": [[{"step": 1, "accuracy": 0.9}]], "validation_rows": 50})
    (read,) = found(studies).trials
    assert (read.state, read.params, read.values) == ("finished", {"adapter.rank": 4}, {"accuracy": 0.9})
    assert (read.seeds, read.history, read.validation_rows) == ([0], [[{"step": 1, "accuracy": 0.9}]], 50)


def test_a_configuration_that_runs_or_has_finished_is_not_claimed_again(studies):
    mine, other = board(studies), board(studies, "other")
    first, _ = begin(mine, 4)
    _, against = begin(other, 4)
    assert against == f"the same as trial {first.number}"
    mine.finish(first, FINISHED)
    assert begin(other, 4)[1] == f"the same as trial {first.number}"
    assert begin(other, 8)[1] == ""


def test_the_lower_number_goes_first_whoever_writes_first(studies):
    mine, other = board(studies), board(studies, "other")
    early, late = mine.ask(), other.ask()
    late.set_user_attr("fingerprint", "rank 4")
    assert mine.claim(early, "rank 4", {})
    assert not other.claim(late, "rank 4", {})
    assert late.user_attrs["given up"] == f"the same as trial {early.number}"


def test_who_comes_later_waits_until_the_earlier_has_said_what_it_trains(studies):
    heard = []
    mine, other = board(studies), board(studies, "other", patience=0.3, heard=heard)
    silent = mine.ask()
    started = time.monotonic()
    trial = other.ask()
    assert other.claim(trial, "rank 4", {"adapter.rank": 4})
    assert set(heard) == {TrialsAwaited(1)}, "and it said for how many it waits"
    assert time.monotonic() - started >= 0.3, "the silent one was given its time"
    assert found(studies).count("running") == 1
    mine.finish(silent, FINISHED)  # too late: it was taken for lost, and nothing happens
    assert [one.number for one in found(studies).trials] == [trial.number]


def test_no_more_configurations_are_claimed_than_wanted(studies):
    mine = board(studies)
    assert [begin(mine, rank, most=2)[1] for rank in (2, 4, 8)] == ["", "", "enough without it"]


def test_a_waiting_trial_goes_to_one_driver(studies):
    mine, other = board(studies), board(studies, "other")
    attrs = {"fingerprint": "rank 4", "params": {"adapter.rank": 4}}
    studies[0].enqueue_trial({"adapter.rank": 4}, user_attrs=attrs)
    one, two = mine.ask(), other.ask()
    assert one.user_attrs["fingerprint"] == "rank 4"
    assert "fingerprint" not in two.user_attrs


def test_a_trial_whose_driver_stands_still_waits_again_and_one_that_beats_does_not(studies, clock):
    dead, alive, mine = board(studies, "dead"), board(studies, "alive", patience=1.0), board(studies, patience=1.0)
    lost, _ = begin(dead, 4)
    kept, _ = begin(alive, 8)
    dead.beat()
    for _ in range(14):
        alive.beat()
        mine.recover()
        clock.passes(0.25)
    states = {trial.params["adapter.rank"]: trial.state for trial in found(studies).trials}
    assert states == {4: "waiting", 8: "running"}
    again = mine.ask()
    assert again.user_attrs["fingerprint"] == "rank 4"
    assert again.suggest_categorical("adapter.rank", [2, 4, 8]) == lost.params["adapter.rank"]
    assert again.number > kept.number


def test_an_outcome_that_was_written_but_not_told_is_told(studies, clock):
    dead, mine = board(studies, "dead"), board(studies, patience=0.0)
    trial, _ = begin(dead, 4)
    trial.set_user_attr("outcome", FINISHED)
    mine.recover()
    clock.passes(1.1)
    mine.recover()
    assert found(studies).count("finished") == 1
    assert found(studies).count("waiting") == 0


def test_a_study_is_found_by_folder_and_by_url(studies, store, tmp_path):
    store.remember("first")
    mine = board(studies)
    mine.finish(begin(mine, 4)[0], FINISHED)
    sources = [tmp_path] if store.url is None else [tmp_path, f"{store.url}#first", store.url]
    assert [(found.name, found.count("finished")) for found in map(Study.load, sources)] == [("first", 1)] * len(sources)
    if store.url:
        with pytest.raises(RunError, match="no study is called 'second' there; it has first"):
            Study.load(f"{store.url}#second")


def test_a_password_is_not_written_down(tmp_path):
    Store(tmp_path, "postgresql://me:secret@host/db").remember("first")
    assert json.loads((tmp_path / "sweep.json").read_text("utf-8")) == {
        "study": "first",
        "storage": "postgresql://me@host/db",
    }


def test_what_is_no_sweep_or_no_database_is_refused(tmp_path):
    with pytest.raises(RunError, match=r"no sweep\.json; expected a sweep's folder"):
        Study.load(tmp_path)
    Store(tmp_path).remember("first")
    with pytest.raises(RunError, match=r"no study\.db, where sweep\.json says that the trials are"):
        Study.load(tmp_path)
    assert not (tmp_path / "study.db").exists()
    with pytest.raises(RunError, match="--storage mysql://host/db: expected postgresql://"):
        Store(tmp_path, "mysql://host/db").database  # noqa: B018
    (tmp_path / "study.db").write_text("no database, for all its name", "utf-8")
    with (
        pytest.raises(RunError, match=r"study\.db: can't be used as a study's storage: file is not a database"),
        Store(tmp_path).connected(),
    ):
        pass
    with (
        pytest.raises(RunError, match=r"postgresql\+psycopg://me:\*\*\*@127.0.0.1:1/db: can't be used as a study's storage"),
        Store(tmp_path, "postgresql://me:secret@127.0.0.1:1/db").connected(),
    ):
        pass


TAKER = """
import sys
from pathlib import Path
from rankwise.sweep.storage import Board, Store, studies_in
from rankwise.system.events import Events
folder, url, name = sys.argv[1:]
with Store(Path(folder), url or None).connected() as storage:
    board = Board(studies_in(storage, "first", ["maximize"])[0], Events(), name)
    taken = []
    while any(trial.state.name == "WAITING" for trial in board.trials()):
        trial = board.ask()
        if "fingerprint" in trial.user_attrs:
            taken.append(trial.number)
print(taken)
"""


def test_processes_that_ask_at_once_take_each_waiting_trial_once(studies, store):
    for number in range(40):
        studies[0].enqueue_trial({}, user_attrs={"fingerprint": str(number), "params": {}})
    command = [sys.executable, "-c", TAKER, str(store.folder), store.url or ""]
    takers = [subprocess.Popen([*command, str(number)], stdout=subprocess.PIPE) for number in range(3)]
    taken = [json.loads(taker.communicate(timeout=100)[0]) for taker in takers]
    assert Counter(number for some in taken for number in some) == Counter(range(40))


ENTERS = """
import sys
from pathlib import Path
from rankwise.sweep.storage import Store
print("at the door", flush=True)
folder, url = sys.argv[1:]
with Store(Path(folder), url or None).alone("first"):
    pass
"""


def test_a_study_is_set_up_by_one_process_at_a_time(store):
    with store.alone("first"):
        other = subprocess.Popen([sys.executable, "-c", ENTERS, str(store.folder), store.url or ""], stdout=subprocess.PIPE)
        assert other.stdout.readline() == b"at the door\n"
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(timeout=3)
    other.communicate(timeout=60)
    assert other.returncode == 0
