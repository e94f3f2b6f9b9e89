"""Where trials are kept and how drivers share them: Optuna's tables in one SQLite file, or in a PostgreSQL of many machines.

A driver is a process that asks for trials, runs them and tells what came of them. Several may work on one study, and any of
them may be killed at any moment. Four rules make that safe:

- Every change is a transaction. SQLite takes its write lock at the beginning of each, PostgreSQL locks rows, so a waiting
  trial goes to one driver.
- A driver's beat is a number that it raises every few seconds. A running trial whose driver's beat stands still is lost, and
  its configuration waits again; no clocks are compared.
- A trial writes its configuration's fingerprint before it trains, and yields to another with the same one: to a finished
  trial, or to a lower number (as in Lamport's bakery, 1974). So no configuration is trained twice.
- The outcome is written whole before Optuna has the trial as finished; a driver that comes upon one in between ends it.
"""

import json
import logging
import math
import platform
import sqlite3
import time
import uuid
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from filelock import FileLock
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from rankwise.errors import RunError, StorageError, require
from rankwise.sweep.results import Direction, TrialsAwaited
from rankwise.system.events import Events
from rankwise.system.files import write_json
from rankwise.system.storage import reason, refusal

NO_ROOM = "free room there, and the same command goes on; or give another --out"
FILE = "study.db"
LOCK = ".lock"  # beside it
ABOUT = "sweep.json"  # in a sweep's folder: where its study is
FINALS = "/finals"  # what the finalists' study is called, after the search's
BEAT_SECONDS = 5.0
LOOK_SECONDS = 1.0  # from one look at the other drivers to the next
PATIENCE_SECONDS = 30.0  # how long a beat may stand still
MOST_DEATHS = 3  # of workers that a configuration may cost
LOCK_SECONDS = 60  # that a process waits for another's transaction
TRIES = 5  # to open a database that another process is just setting up
ALIVE = (TrialState.RUNNING, TrialState.WAITING)
ENDED = (TrialState.COMPLETE, TrialState.PRUNED)
ENOUGH = "enough without it"  # why a trial was given up that a later call may want


@dataclass(frozen=True)
class Store:
    """Where a sweep's trials are kept."""

    folder: Path
    """The sweep's folder; its name is the study's. Its SQLite file holds the trials where there is no `url`."""
    url: str | None = None
    """A PostgreSQL database, which several machines may share: each of them runs the same sweep."""
    patience_seconds: float = PATIENCE_SECONDS
    """How long another driver's beat may stand still before its running trials are taken over."""

    @property
    def database(self) -> str:
        """What SQLAlchemy calls the database. Raises RunError or MissingExtra."""
        if self.url is None:
            return f"sqlite:///{self.folder / FILE}"
        scheme, _, rest = self.url.partition("://")
        if scheme.split("+")[0] not in ("postgresql", "postgres") or not rest:
            raise RunError(
                f"--storage {self.url}: expected postgresql://user@host/database, or leave it out for a file in --out"
            )
        require("psycopg", extra="postgres")
        return f"postgresql+psycopg://{rest}"

    @contextmanager
    def connected(self) -> Iterator[RDBStorage]:
        """Optuna's tables, made where there are none.

        Raises RunError where the database can't be used, StorageError where the disk is full.
        """
        logging.getLogger("optuna").setLevel(logging.WARNING)
        url, file = self.database, self.folder / FILE
        for attempt in range(1, TRIES + 1):
            try:
                storage = RDBStorage(url, engine_kwargs={"pool_pre_ping": True}) if self.url else _sqlite(url, file)
                break
            except (SQLAlchemyError, sqlite3.Error) as error:  # others may set up the same tables; or there is no server
                if refused := refusal(error):
                    raise StorageError(f"{self.folder}: {reason(refused)}; {NO_ROOM}") from error
                if attempt == TRIES:
                    shown = sqlalchemy.make_url(url).render_as_string(hide_password=True)
                    why = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
                    raise RunError(f"{shown}: can't be used as a study's storage: {why}") from error
                time.sleep(0.2 * attempt)
        try:
            yield storage
        finally:
            storage.engine.dispose()

    @contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """Keep other processes, of other machines too, from making or describing the study of that name meanwhile."""
        if self.url is None:
            with FileLock(self.folder / LOCK):
                yield
            return
        with self.connected() as storage, storage.engine.connect() as connection:
            lock = sqlalchemy.func.pg_advisory_lock(zlib.crc32(name.encode()))
            connection.execute(sqlalchemy.select(lock))  # held until the connection is closed
            yield

    def remember(self, name: str) -> None:
        """Write where the study of that name is, so that the folder alone finds it again; a password is left out."""
        url = self.url and sqlalchemy.make_url(self.url)._replace(password=None).render_as_string(hide_password=False)
        write_json(self.folder / ABOUT, {"study": name, "storage": url})


def studies_in(storage: RDBStorage, name: str, directions: Iterable[Direction]) -> tuple[optuna.Study, optuna.Study]:
    """The search's study of that name and the finalists', made where there are none."""
    finals = optuna.create_study(storage=storage, study_name=name + FINALS, direction="maximize", load_if_exists=True)
    search = optuna.create_study(storage=storage, study_name=name, directions=list(directions), load_if_exists=True)
    return search, finals


@contextmanager
def existing(folder_or_url: str | Path) -> Iterator[tuple[optuna.Study, optuna.Study]]:
    """The search's study and the finalists' of a sweep's folder, or of URL#NAME. Raises RunError where there is none."""
    source = str(folder_or_url)
    if "://" in source:
        database, _, name = source.partition("#")
        store = Store(Path(), database)
    else:
        folder = Path(source)
        if not (folder / ABOUT).is_file():
            raise RunError(f"{folder}: no {ABOUT}; expected a sweep's folder, such as rankwise sweep writes, or a URL#NAME")
        about = json.loads((folder / ABOUT).read_text("utf-8"))
        if about["storage"] is None and not (folder / FILE).is_file():  # opening it would make an empty one
            raise RunError(
                f"{folder}: no {FILE}, where {ABOUT} says that the trials are; copy it there from the sweep's folder"
            )
        name, store = about["study"], Store(folder, about["storage"])
    with store.connected() as storage:
        known = [study for study in optuna.get_all_study_names(storage) if not study.endswith(FINALS)]
        if not name and len(known) == 1:
            name = known[0]
        if name not in known:
            raise RunError(f"{source}: no study is called '{name}' there; it has {', '.join(known) or 'none'}; type URL#NAME")
        yield studies_in(storage, name, ["maximize"])  # they are there, with directions of their own


class Board:
    """One driver's view of a study's trials."""

    def __init__(
        self, study: optuna.Study, events: Events, driver: str | None = None, *, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        self.study, self.events = study, events
        self.driver = driver or f"{platform.node()}-{uuid.uuid4().hex[:12]}"
        self.patience_seconds = patience_seconds
        self._beaten = self._looked = -math.inf
        self._first_seen: dict[tuple[str, Any], float] = {}

    def trials(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def beat(self) -> None:
        """Say that this driver lives, if it is time to."""
        now = time.monotonic()
        if now - self._beaten >= min(BEAT_SECONDS, self.patience_seconds / 4):
            self.study.set_user_attr(f"beat {self.driver}", now)
            self._beaten = now

    def ask(self) -> optuna.Trial:
        """A waiting trial, else a new one; it is ours from now on."""
        trial = self.study.ask()
        trial.set_user_attr("driver", self.driver)
        return trial

    def claim(self, trial: optuna.Trial, fingerprint: str, params: Mapping[str, Any], *, most: float = math.inf) -> bool:
        """Write what a trial is about to train; False where it must not be trained, and is given up.

        `most` is how many configurations the study may have besides those that were rejected. Waits until earlier trials
        have said what they train: for half a minute where their driver was killed.
        """
        trial.set_user_attr("params", dict(params))
        trial.set_user_attr("fingerprint", fingerprint)
        while True:
            others = [other for other in self.trials() if other.number != trial.number]
            earlier = [other for other in others if other.number < trial.number]
            unnamed = sum(t.state == TrialState.RUNNING and "fingerprint" not in t.user_attrs for t in earlier)
            if not unnamed:
                break
            self.events.emit(TrialsAwaited(unnamed))
            self.beat()
            self.recover()
            time.sleep(0.05)
        for other in others:
            first = other.state in ENDED or (other.state in ALIVE and other.number < trial.number)
            if first and other.user_attrs.get("fingerprint") == fingerprint:
                self.give_up(trial, f"the same as trial {other.number}")
                return False
        counted = {other.user_attrs["fingerprint"] for other in earlier if counts(other)} - {fingerprint}
        if len(counted) >= most:
            self.give_up(trial, ENOUGH)
        return len(counted) < most

    def finish(self, trial: optuna.Trial | FrozenTrial, outcome: Mapping[str, Any]) -> None:
        """Write what came of a trial, then tell it; nothing happens where another driver has taken it for lost meanwhile."""
        with suppress(UpdateFinishedTrialError):
            if isinstance(trial, optuna.Trial):
                if excess := outcome.get("excess"):
                    trial.set_constraint("budget", excess)
                trial.set_user_attr("outcome", dict(outcome))
            finished = outcome["state"] == "finished"
            state = TrialState.COMPLETE if finished else TrialState.PRUNED
            self.study.tell(trial.number, outcome["objectives"] if finished else None, state=state, skip_if_finished=True)

    def drop(self, number: int) -> None:
        """Tell that a trial was not trained: it repeats another one, or it was interrupted."""
        self._looked = -math.inf
        with suppress(UpdateFinishedTrialError):
            self.study.tell(number, state=TrialState.FAIL, skip_if_finished=True)

    def give_up(self, trial: optuna.Trial, why: str) -> None:
        """Tell that a trial is not to be trained, now or later."""
        trial.set_user_attr("given up", why)
        self.drop(trial.number)

    def recover(self) -> None:
        """Take trials of dead drivers back, and let what was lost wait again; at most once a second."""
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        beats = self.study.user_attrs
        for trial in self.trials():
            owner = trial.user_attrs.get("driver")
            if trial.state == TrialState.RUNNING and owner != self.driver:
                sign = (owner or f"trial {trial.number}", beats.get(f"beat {owner}"))
                if now - self._first_seen.setdefault(sign, now) > self.patience_seconds:
                    self.take_back(trial)
        self._requeue()

    def take_back(self, trial: FrozenTrial) -> None:
        """Tell what came of a trial that nobody runs any more, where that is written down; else drop it."""
        if outcome := trial.user_attrs.get("outcome"):
            self.finish(trial, outcome)
        else:
            self.drop(trial.number)

    def _requeue(self) -> None:
        """A waiting trial for each configuration that was only ever lost."""
        claimed = [trial for trial in self.trials() if "fingerprint" in trial.user_attrs]
        held = {trial.user_attrs["fingerprint"] for trial in claimed if trial.state in (*ALIVE, *ENDED)}
        lost = {trial.user_attrs["fingerprint"]: trial for trial in claimed if "given up" not in trial.user_attrs}
        for trial in (trial for fingerprint, trial in lost.items() if fingerprint not in held):
            kept = {key: value for key, value in trial.user_attrs.items() if key != "driver"}
            self.study.enqueue_trial(labels_of(trial), user_attrs=kept)


def counts(trial: FrozenTrial) -> bool:
    """Whether a trial is one of those that `search.trials` counts: its configuration is, or will be, trained."""
    rejected = trial.user_attrs.get("outcome", {}).get("state") == "rejected"
    return trial.state in (*ALIVE, *ENDED) and not rejected and "fingerprint" in trial.user_attrs


def labels_of(trial: FrozenTrial) -> dict[str, Any]:
    """A trial's configuration in Optuna's names and labels: what was drawn, and what was queued to be."""
    return {**trial.system_attrs.get("fixed_params", {}), **trial.params}


def _sqlite(url: str, file: Path) -> RDBStorage:
    """A file with a write-ahead log: a killed process leaves it whole, and a commit waits for no disk."""
    with closing(sqlite3.connect(file, timeout=LOCK_SECONDS)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    storage = RDBStorage(url, engine_kwargs={"connect_args": {"timeout": LOCK_SECONDS}})

    @sqlalchemy.event.listens_for(storage.engine, "connect")
    def leave_transactions_to_us(connection: Any, _: Any) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA synchronous = NORMAL")

    @sqlalchemy.event.listens_for(storage.engine, "begin")
    def take_the_write_lock(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # else two processes read the same waiting trial before either writes

    storage.engine.dispose()  # connections from before these rules
    return storage
