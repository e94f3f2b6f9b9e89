"""What a message says to type is typed, in a folder whose name a shell must have in quotes: it goes on."""

from __future__ import annotations

import gzip
import json
import re
import shlex
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer

from rankwise.cli import app as cli
from rankwise.data.files import reading, text
from rankwise.errors import as_set, as_typed
from rankwise.recipe.yaml import parse_value

ROWS = "".join(f"order number {number},{'late' if number % 2 else 'kind'}\n" for number in range(20))
CSV = f"text,label\n{ROWS}"
HERE = "it's here: #1"  # a blank, a quote, what YAML takes for a mapping and a comment


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder that needs quotes, below the one in which commands are typed."""
    monkeypatch.chdir(tmp_path)
    made = tmp_path / HERE
    made.mkdir()
    return Path(made.name)


def two_files(folder):
    for name in ("train.csv", "train.tsv"):
        (folder / name).write_text(CSV if name.endswith("csv") else CSV.replace(",", "\t"))
    return folder


def two_pairs(folder):
    for name in ("a-train", "a-test", "b-train", "b-test"):
        (folder / f"{name}.csv").write_text(CSV.replace("order", name))
    return folder


def two_folders(folder):
    for name in ("my cola", "sst2"):
        (folder / name).mkdir()
        (folder / name / "train.csv").write_text(CSV)
    return folder


def of_content(name, content):
    def make(folder):
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return folder / name

    return make


def saved(folder):
    split = folder / "my unsupervised"
    split.mkdir()
    schema = pa.schema({"text": pa.string(), "label": pa.string()})
    with pa.ipc.new_stream(split / "data-00000-of-00001.arrow", schema) as stream:
        stream.write_table(pa.table({"text": ["x", "y"], "label": ["a", "b"]}, schema))
    (split / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))
    return folder


TOPICS = "text,my topic: #1,it's\n" + "".join(f"order number {n},{'ab'[n % 2]},{'xy'[n // 2 % 2]}\n" for n in range(20))
SETTINGS = {
    "two files of a split": two_files,
    "two pairs of files": two_pairs,
    "two folders of splits": two_folders,
    "splits of other names": saved,
    "an encoding": of_content("t.csv", CSV.replace("order", "caf\xe9").encode("latin-1")),
    "columns with blanks and signs": of_content("t.csv", TOPICS),
    "a column that YAML takes for a word": of_content("t.csv", CSV.replace("text", "on").replace("label", "no")),
}


@pytest.mark.parametrize("make", SETTINGS.values(), ids=SETTINGS.keys())
def test_settings_that_an_error_names_are_typed_and_the_data_is_read(folder, typed, make):
    path = make(folder)
    code, _, err = typed("data", path, "--no-tokens")
    assert code == 2, err
    for advice in re.split(r" or (?=--set)|; if not, type ", err[err.index("--set") :].strip()):
        assert typed("data", path, "--no-tokens", *shlex.split(advice))[0] == 0, advice


def test_a_file_without_permission_is_readable_after_what_is_typed(folder, typed, monkeypatch):
    path = of_content("t.csv", CSV)(folder)
    path.chmod(0o200)
    monkeypatch.setattr(reading.os, "access", lambda *_: False)  # root may read it all the same
    _, _, err = typed("data", path, "--no-tokens")
    subprocess.run(["sh", "-c", err.split("type: ")[1]], check=True)
    assert path.stat().st_mode & 0o400


@pytest.mark.parametrize("name", ["t.csv.gz", "t.parquet.gz"])
def test_a_compressed_file_is_read_after_what_is_typed(folder, typed, monkeypatch, name):
    monkeypatch.setattr(text, "MAX_UNPACKED", 100)
    monkeypatch.setattr(text, "MAX_RATIO", 1)
    path = folder / name
    if name == "t.csv.gz":
        path.write_bytes(gzip.compress(CSV.encode()))
    else:
        pq.write_table(pa.table({"text": ["x", "y"], "label": ["a", "b"]}), folder / "t.parquet")
        path.write_bytes(gzip.compress((folder / "t.parquet").read_bytes()))
        (folder / "t.parquet").unlink()
    code, _, err = typed("data", path, "--no-tokens")
    assert code == 2
    subprocess.run(["sh", "-c", err[err.index("gunzip") :]], check=True)
    assert typed("data", path.with_suffix(""), "--no-tokens")[0] == 0


def parsed(words):
    """The verb and the parameters that the command line makes of what is typed. Raises for what it does not take."""
    assert words[0] == "rankwise"
    group = typer.main.get_command(cli.app)
    name, command, rest = group.resolve_command(typer.Context(group), words[1:])
    return name, command.make_context(name, list(rest)).params


def test_a_file_of_data_for_a_recipe_is_answered_with_a_command(folder, typed):
    path = of_content("t.csv", CSV)(folder)
    code, _, err = typed("train", path)
    assert code == 2
    name, parameters = parsed(shlex.split(err.split("type: ")[1]))
    assert (name, parameters["data"]) == ("train", str(path))


def test_a_space_for_a_recipe_is_answered_with_a_command(folder, typed):
    path = of_content("space.yaml", "base: minilm\nspace: {train.seed: [1, 2]}\n")(folder)
    code, _, err = typed("train", path)
    assert code == 2
    name, parameters = parsed(shlex.split(err.split("type: ")[1]))
    assert (name, str(parameters["space"])) == ("sweep", str(path))


def test_a_run_for_a_base_is_answered_with_commands(folder, typed, run_for, copy_of):
    run = folder / "my run"
    copy_of(run_for()).rename(run)
    code, _, err = typed("plan", "auto", *shlex.split(as_set("base", str(run))))
    assert code == 2
    merge, base = err.split("first: ")[1].strip().split(", then ")
    assert typed(*shlex.split(merge)[1:], "--base", run_for().base().location)[0] == 0
    assert typed("plan", "auto", *shlex.split(base), "--set", "data.max_length=24")[::2] == (0, "")


def test_a_folder_for_a_file_is_answered_with_a_file_in_it(folder, typed, run_for):
    (folder / "out.csv").mkdir()
    source = of_content("t.csv", CSV)(folder)
    code, _, err = typed("predict", run_for().folder, source, "--out", folder / "out.csv")
    assert code == 2
    advice = shlex.split(err[err.index("--out ") :])
    assert typed("predict", run_for().folder, source, *advice)[0] == 0


VALUES = ["topic", "my topic", "it's", "a: b", "a #1", "on", "1.5", "007", "2020-01-01", "~", "[x]", "x\ty", "\u202e", "- x"]


@pytest.mark.parametrize("value", [*VALUES, "", "/a b/c.csv", "hub:x/y:train", True, None, 3, ["a b", "c,d", "1"]])
def test_a_setting_is_read_back_as_it_was(value):
    words = shlex.split(as_set("data.label", value))
    assert words[0] == "--set"
    assert parse_value("--set", words[1].removeprefix("data.label=")) == value


def test_a_word_without_signs_is_typed_as_it_is():
    assert (as_typed("runs/x.csv"), as_set("data.text", ["a", "b"])) == ("runs/x.csv", "--set 'data.text=[a, b]'")
