"""What tests share: tiny random encoders with working tokenizers, a separable data set, short recipes.

The encoders are saved as published ones are, without a classification head, so that heads are new. Hidden width 32, 2 or 3
layers, a vocabulary of the data set's words; helpers/tiny_families.py has them. `family` runs a test once for each.
"""

from __future__ import annotations

import importlib
import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hypothesis
import numpy as np
import pytest
import torch
from accelerate import Accelerator
from tiny_architectures import save_architecture
from tiny_families import FAMILIES, LONGEST
from transformers import AutoConfig, AutoModel

from rankwise.data.labelled import read_labelled
from rankwise.data.prepare import Prepared, prepare
from rankwise.encoders.base import locate
from rankwise.model.hidden_cache import HiddenStatesCache
from rankwise.model.load import load_tokenizer, quiet
from rankwise.model.reading import read
from rankwise.recipe import Recipe
from rankwise.run.folder import Run
from rankwise.run.manifest import write_manifest
from rankwise.system.cores import usable_cores
from rankwise.system.events import Event, Events, Listener
from rankwise.training.checkpoint import Checkpoints
from rankwise.training.job import Job
from rankwise.training.loop import Fitted, fit
from rankwise.workflows.assemble import assemble, training_device
from rankwise.workflows.train import train

CLASSES = ("fruit", "metal", "river")
WORDS = {
    "fruit": ["apple", "pear", "plum", "cherry", "mango", "melon", "grape", "fig", "lemon", "peach"],
    "metal": ["iron", "copper", "zinc", "tin", "lead", "nickel", "cobalt", "silver", "chrome", "steel"],
    "river": ["danube", "rhine", "volga", "nile", "congo", "loire", "tagus", "ebro", "oder", "don"],
}
FILLER = ["the", "a", "of", "and", "in", "with", "near", "under", "over", "very", "quite", "some"]
VOCABULARY = [*sorted({*FILLER, *(word for known in WORDS.values() for word in known)}), ".", ",", "!"]

hypothesis.settings.register_profile("tests", deadline=None)  # how long an example takes says something of the machine
hypothesis.settings.load_profile("tests")


os.environ["ACCELERATE_USE_CPU"] = "true"  # where sums come in one order; test_gpu.py is what asks for a GPU


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """What `--numprocesses auto` means: a process for each core that a container leaves us, each of one thread."""
    return min(usable_cores(), 8)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what trains by the fixtures that do."""
    for item in items:
        if {"fit_for", "run_for"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("long")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny matrices run faster on one thread, and the machines that run tests have few."""
    before = torch.get_num_threads()
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session", autouse=True)
def known_speed() -> Iterator[None]:
    """A matmul's speed is taken to be known: measuring it for each of many hundred trainings takes minutes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rankwise.system.torch_speed.gflops", lambda *_: 50.0)
        yield


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Cached hidden states of tests stay out of the user's cache."""
    os.environ["RANKWISE_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session", autouse=True)
def architectures_are_read_here() -> Iterator[None]:
    """Classes of transformers are read in this process, which has loaded them: one of its own takes seconds for each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rankwise.encoders.architecture._read_apart", lambda config: read(json.loads(config)))
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data: RANKWISE_TEST_DATA, or shared/data beside the repository."""
    repository = Path(__file__).parents[1]
    folder = Path(os.environ.get("RANKWISE_TEST_DATA", repository.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no real data here; set RANKWISE_TEST_DATA to a folder that has ag_news and imdb")
    return folder


# ---------------------------------------------------------------------------------------------------------------- data


@dataclass(frozen=True)
class Rows:
    """Texts and their class names."""

    texts: list[str]
    labels: list[str]

    def write(self, path: Path) -> Path:
        lines = [f"{text},{label}" for text, label in zip(self.texts, self.labels, strict=True)]
        path.write_text("\n".join(["text,label", *lines, ""]), "utf-8")
        return path


def separable(rows: int, *, seed: int) -> Rows:
    """Texts of 3 to 20 words, no two the same, whose class words say which class they are; classes take turns."""
    rng = np.random.default_rng(seed)
    labels = [CLASSES[place % len(CLASSES)] for place in range(rows)]
    texts = []
    for place, label in enumerate(labels):
        length = int(rng.integers(2, 18))
        words = [str(rng.choice(WORDS[label] if rng.random() < 0.6 else FILLER)) for _ in range(length)]
        texts.append(" ".join([str(rng.choice(WORDS[label])), *words, f"row{place % 10}{place // 10}"]))
    return Rows(texts, labels)


def as_if(run: Run, **changes: Any) -> Run:
    """A copy of a run, as if its folder or what its files say were different."""
    copied = Run(run.folder, run.preprocessing)
    vars(copied).update({name: getattr(run, name) for name in ("recipe", "facts", "scores", "plan_facts")} | changes)
    return copied


@pytest.fixture(scope="session")
def rows() -> Rows:
    return separable(60, seed=1)


@pytest.fixture(scope="session")
def data_file(rows: Rows, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 separable rows in three classes, as a CSV."""
    return rows.write(tmp_path_factory.mktemp("data") / "words.csv")


# -------------------------------------------------------------------------------------------------------- encoders


def tiny_tokenizer(family: str) -> Any:
    """A working tokenizer of the data set's words, one token a word, with the family's special tokens and template."""
    row = FAMILIES[family]
    return row.tokenizer(row, VOCABULARY)


def tiny_model(family: str, **changes: Any) -> Any:
    """A random encoder without a head, the same every time; `changes` go into its config."""
    tokenizer = tiny_tokenizer(family)
    ids = {"pad_token_id": tokenizer.pad_token_id, "bos_token_id": tokenizer.bos_token_id}
    ids["eos_token_id"] = tokenizer.eos_token_id
    settings = {**FAMILIES[family].config, "vocab_size": len(tokenizer), **ids, "initializer_range": 0.2, **changes}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return AutoModel.from_config(AutoConfig.for_model(family, **settings))


def save_tiny(family: str, folder: Path, **changes: Any) -> Path:
    """A tiny encoder and its tokenizer in `folder`."""
    with quiet():
        tiny_model(family, **changes).save_pretrained(folder)
        tiny_tokenizer(family).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Family, or another model type → the folder of its tiny encoder, made once."""

    @cache
    def folder_of(family: str) -> Path:
        folder = tmp_path_factory.mktemp("bases") / f"tiny-{family}"
        return save_tiny(family, folder) if family in FAMILIES else save_architecture(family, folder, VOCABULARY)

    return folder_of


@pytest.fixture(params=list(FAMILIES))
def family(request: pytest.FixtureRequest) -> str:
    """Each family in turn."""
    return str(request.param)


# ------------------------------------------------------------------------------------------------- recipes and models


@pytest.fixture(scope="session")
def recipe_for(tiny: Callable[[str], Path], data_file: Path) -> Callable[..., Recipe]:
    """A recipe of a few quick updates on a family's tiny encoder, with dotted overrides as strings."""

    def make(family: str = "bert", *overrides: str) -> Recipe:
        quick = [
            f"base={tiny(family)}",
            f"data.source={data_file}",
            "data.max_length=24",
            "data.split.test=12",
            "data.split.validation=12",
            "adapter.targets=all",
            "adapter.rank=2",
            "budget.parameters=null",
            "train.epochs=2",
            "train.batch_size=8",
            "train.learning_rate=1e-2",
            "evaluate.resamples=20",
        ]
        return Recipe(name="tiny").with_overrides([*quick, *overrides])

    return make


@pytest.fixture(scope="session")
def built_for(recipe_for: Callable[..., Recipe]) -> Callable[..., Job]:
    """A job on a family's tiny encoder, with dotted overrides as strings, and its classifier loaded and adapted."""

    def make(family: str = "bert", *overrides: str) -> Job:
        recipe = recipe_for(family, *overrides)
        job = assemble(recipe, read_labelled(recipe.data), training_device())
        assert job.classifier.plan == job.plan
        return job

    return make


@dataclass(frozen=True)
class Trained:
    """A training that ran to its end, and what it left behind."""

    built: Job
    fitted: Fitted
    checkpoints: Checkpoints
    events: list[Event]

    @property
    def data(self) -> Prepared:
        return self.built.data

    def weights(self) -> dict[str, torch.Tensor]:
        return {name: weight.detach().clone() for name, weight in self.built.classifier.trainable().items()}

    def heard(self, kind: str) -> list[Any]:
        return [event for event in self.events if event.kind == kind]


@pytest.fixture
def fit_for(built_for: Callable[..., Job], tmp_path: Path) -> Callable[..., Trained]:
    """Train a family's tiny encoder on the separable rows, keeping its checkpoints in `folder` of the test's own."""

    def run(
        *overrides: str,
        family: str = "bert",
        folder: str = "run",
        resume: bool = False,
        listener: Listener | None = None,
        on_built: Callable[[Job], object] = lambda _: None,
        cache: HiddenStatesCache | None = None,
    ) -> Trained:
        built = built_for(family, *overrides)
        on_built(built)
        checkpoints = Checkpoints(tmp_path / folder, keep=built.recipe.train.keep, fingerprint="one recipe and its data")
        events: list[Event] = []
        listeners = [events.append, *([listener] if listener else [])]
        fitted = fit(
            built,
            checkpoints=checkpoints,
            accelerator=Accelerator(cpu=built.device.is_cpu),
            events=Events(*listeners),
            resume=resume,
            cache=cache,
        )
        return Trained(built, fitted, checkpoints, events)

    return run


def prepared(recipe: Recipe) -> Prepared:
    """The recipe's data in the tokens of its base."""
    return prepare(recipe.data, load_tokenizer(locate(recipe.base)), longest=LONGEST)


@pytest.fixture(scope="session")
def run_for(recipe_for: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """A finished run of a family's tiny encoder, trained once for the same overrides; don't change its folder."""

    @cache
    def make(family: str = "bert", *overrides: str) -> Run:
        folder = tmp_path_factory.mktemp("runs") / f"run-{family}"
        return train(recipe_for(family, "data.clean=[html, whitespace]", *overrides), folder)

    return make


@pytest.fixture
def typed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., tuple[int, str, str]]:
    """Type a command in an empty folder: (exit code, what it printed, what it printed as an error), no line wrapped."""
    from rankwise.cli import app, console

    monkeypatch.chdir(tmp_path)
    for stream in (console.out, console.err):  # whatever width they took when they were first imported
        monkeypatch.setattr(stream, "_width", 500)
        monkeypatch.setattr(stream, "_height", 25)  # without which a terminal's own size would count

    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()  # what a training for the test has said
        monkeypatch.setattr(sys, "argv", ["rankwise", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            app.main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


@pytest.fixture
def copy_of(tmp_path: Path) -> Callable[[Run], Path]:
    """A copy of a run's folder to tamper with, as far from its base as the original."""

    def copy(run: Run) -> Path:
        folder = tmp_path / "copy"
        shutil.copytree(run.folder, folder)
        facts = json.loads((folder / "run.json").read_text("utf-8"))
        facts["base"]["path"] = os.path.relpath(run.base().location, folder)
        (folder / "run.json").write_text(json.dumps(facts), "utf-8")
        write_manifest(folder)
        return folder

    return copy


# ------------------------------------------------------------------------------------------------------ sweeps

TINY_SPACE = """\
name: tiny
base: rank4-adam
search: {search}
space:
  adapter.rank: [2, 4, 8, 16]
  train.learning_rate: [1e-3, 1e-2]
"""


@pytest.fixture
def space_file(tmp_path: Path) -> Callable[..., Path]:
    """A space of eight configurations, searched as the test says."""

    def write(search: str = "{sampler: grid, finalists: 0}", text: str = TINY_SPACE) -> Path:
        path = tmp_path / "space.yaml"
        path.write_text(text.replace("{search}", search), "utf-8")
        return path

    return write


class Clock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def passes(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """What `time.monotonic` reads for a study during the test, so that a busy machine changes nothing.

    For a study alone: other threads of the process, such as a server that later tests ask too, would set their alarms by it.
    """
    clock = Clock()
    standing = SimpleNamespace(**vars(time) | {"monotonic": clock})
    for name in ("driver", "objective", "search", "stage", "storage"):
        monkeypatch.setattr(importlib.import_module(f"rankwise.sweep.{name}"), "time", standing)
    return clock


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A server on a free port of this machine, started for the tests and stopped after them."""
    found = [str(path.parent) for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    initdb = shutil.which("initdb") or (f"{sorted(found)[-1]}/initdb" if found else None)
    if initdb is None:
        pytest.skip("no PostgreSQL server here: initdb is not installed (apt install postgresql)")
    binaries = Path(initdb).resolve().parent
    as_user = {"user": _other_user()} if os.getuid() == 0 else {}  # the server refuses to be root
    folder = tempfile.mkdtemp(prefix="rankwise-postgres-")  # not in pytest's folder, which other users can't enter
    if as_user:
        os.chown(folder, pwd.getpwnam(as_user["user"]).pw_uid, -1)
    data = f"{folder}/data"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    how = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder, **as_user}
    subprocess.run([binaries / "initdb", "-D", data, "-U", "rankwise", "--auth=trust", "--no-sync"], check=True, **how)
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
    subprocess.run([binaries / "pg_ctl", "-D", data, "-w", "-l", f"{folder}/log", "-o", options, "start"], check=True, **how)
    try:
        yield f"postgresql://rankwise@127.0.0.1:{port}"
    finally:
        subprocess.run([binaries / "pg_ctl", "-D", data, "-w", "-m", "immediate", "stop"], check=True, **how)
        shutil.rmtree(folder)


@pytest.fixture
def postgres(postgres_server: str) -> str:
    """The URL of an empty database."""
    psycopg = pytest.importorskip("psycopg")
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(f"{postgres_server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"{postgres_server}/{name}"


def _other_user() -> str:
    known = {user.pw_name for user in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"
