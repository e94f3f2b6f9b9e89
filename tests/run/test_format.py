"""One schema for the files of a run: what is written is read back, and what does not fit is told in one line."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from rankwise.cli import app as cli
from rankwise.data.clean import Preprocessing
from rankwise.errors import RunError
from rankwise.planning.plan import PlanFacts
from rankwise.run import format as schema
from rankwise.run.folder import Run
from rankwise.run.manifest import FORMAT, Manifest, write_manifest
from rankwise.system import files
from rankwise.system.files import read_json, to_json, write_json

OLD = Path(__file__).parents[1] / "fixtures" / "run-0.1.0"
SCHEMAS = {
    "run.json": schema.RunFacts,
    "plan.json": PlanFacts,
    "scores.json": schema.RunScores,
    "preprocessing.json": Preprocessing,
    "versions.json": dict[str, str],
    "manifest.json": Manifest,
}
SINCE = {"run.json": {"scripts"}}
"""Keys that may be missing, as of a run that was made before them."""
RUNS = {
    "lora": (),
    "pruned ranks": ("adapter.method=adalora",),
    "no ranks": ("adapter.method=ia3",),
    "no cap, no baselines": ("adapter.method=full", "evaluate.baselines=false"),
    "ranks by importance": ("adapter.allocate={policy: by-importance}", "adapter.rank=max", "budget.parameters=3000"),
    "chosen under shift": ("train.select_by=worst_shift",),
}


def content(path):
    return json.loads(path.read_text("utf-8"))


def keys(value):
    """The keys of a tree, in which those of a mapping from names to values count as one."""
    if isinstance(value, dict):
        named = not all(isinstance(entry, (int, float, str)) for entry in value.values())
        return (
            {f"{key}.{below}" if below else key for key, entry in value.items() for below in keys(entry)} if named else {""}
        )
    return {below for entry in value for below in keys(entry)} or {""} if isinstance(value, list) else {""}


@pytest.mark.parametrize("changes", RUNS.values(), ids=RUNS)
def test_each_file_of_a_run_is_read_back_as_it_was_written(run_for, changes):
    folder = run_for("bert", *changes).folder
    for name, of in SCHEMAS.items():
        assert to_json(read_json(folder / name, of)) == content(folder / name), name


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_files_of_0_1_0_are_read_whole(name):
    assert to_json(read_json(OLD / name, SCHEMAS[name])) == content(OLD / name)


@pytest.mark.parametrize("name", sorted(SCHEMAS.keys() - {"manifest.json"}))
def test_a_run_of_today_has_the_keys_that_0_1_0_wrote_and_those_that_came_since(run_for, name):
    assert keys(content(run_for("bert").folder / name)) == keys(content(OLD / name)) | SINCE.get(name, set())


# ------------------------------------------------------------------------------------------------------ what does not fit

LINES = {
    "a key is missing": ("run.json", "steps", None, "key 'steps' is missing; copy the folder again"),
    "a key below is missing": ("scores.json", "test.accuracy.low", None, "key 'test.accuracy.low' is missing"),
    "a text for a number": ("run.json", "seconds.training", "12", 'seconds.training is "12", expected a valid number'),
    "a share for a count": ("plan.json", "layers", 0.5, "layers is 0.5, expected a valid integer"),
    "a text for a list": ("preprocessing.json", "classes", "a", 'classes is "a", expected a valid array'),
    "one key more": ("scores.json", "test.brier", 0.1, "unknown key 'test.brier', of a newer rankwise; upgrade rankwise"),
    "a key more in a list": ("scores.json", "history.0.brier", 0.1, "unknown key 'history.0.brier', of a newer rankwise"),
}


def edit(tree, path, value):
    """Set a dotted key of a tree, or remove it for None."""
    *above, last = (int(part) if part.isdecimal() else part for part in path.split("."))
    for part in above:
        tree = tree[part]
    if value is None:
        del tree[last]
    else:
        tree[last] = value


@pytest.fixture
def broken(tmp_path):
    """A whole run of which one file says something else."""

    def make(name, key, value):
        folder = shutil.copytree(OLD, tmp_path / "run")
        tree = content(folder / name)
        edit(tree, key, value)
        write_json(folder / name, tree)
        write_manifest(folder)
        return folder

    return make


@pytest.mark.parametrize(("name", "key", "value", "line"), LINES.values(), ids=LINES)
def test_what_does_not_fit_is_told_in_one_line_with_file_and_key(broken, name, key, value, line, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["rankwise", "report", str(broken(name, key, value))])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    printed = capsys.readouterr()
    assert (ended.value.code, printed.out) == (2, "")
    assert f"{name}: {line}" in printed.err
    assert printed.err.count("\n") == 1


def test_a_file_that_is_cut_off_is_no_json(broken):
    folder = broken("run.json", "steps", 1)
    (folder / "run.json").write_text('{"format": 1, ', "utf-8")
    write_manifest(folder)
    with pytest.raises(RunError, match=r"run\.json is not JSON \(EOF while parsing a value at line 1 column 14\)"):
        Run.load(folder).facts  # noqa: B018


def test_a_file_that_is_larger_than_any_of_its_kind_is_not_read(broken, monkeypatch):
    folder = broken("run.json", "steps", 1)
    monkeypatch.setattr(files, "MOST_BYTES", 1000)
    with pytest.raises(RunError, match=r"manifest\.json has 1,\d+ bytes, expected at most 1,000"):
        Run.load(folder)


def test_a_manifest_of_a_newer_format_is_told_before_anything_else(broken):
    folder = broken("run.json", "steps", None)
    manifest = content(folder / "manifest.json")
    write_json(folder / "manifest.json", {**manifest, "format": FORMAT + 1})
    with pytest.raises(RunError, match=r"format 2, this rankwise reads up to 1; upgrade rankwise"):
        Run.load(folder)


def test_what_is_none_by_default_is_left_out_and_what_is_not_is_kept():
    facts = read_json(OLD / "plan.json", PlanFacts)
    plain = to_json(PlanFacts(**{**vars(facts), "budget": None}))
    assert "criterion" not in plain
    assert plain["budget"] is None


def test_a_file_that_is_being_written_has_another_name(tmp_path, monkeypatch):
    write_json(tmp_path / "a.json", {"old": 1})

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_json(tmp_path / "a.json", {"new": 1})
    assert content(tmp_path / "a.json") == {"old": 1}
