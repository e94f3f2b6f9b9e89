"""A manifest from somebody else is believed in nothing: what it lacks, or says otherwise, is a line."""

from __future__ import annotations

import json
import random
import shutil
import time
from pathlib import Path

import pytest

from rankwise.errors import RunError
from rankwise.run.folder import Run
from rankwise.run.manifest import ALWAYS, run_that_has, write_manifest

EXAMPLE = Path(__file__).parents[1] / "fixtures" / "run-0.1.0"
LISTED = json.loads((EXAMPLE / "manifest.json").read_text("utf-8"))["sha256"]
CLASSIFIER = ("adapter_config.json", "adapter_model.safetensors")


@pytest.fixture
def folder(tmp_path):
    """A copy of a whole run's folder."""
    return shutil.copytree(EXAMPLE, tmp_path / "run")


def refusal(folder):
    """The line that says why a folder is no run."""
    with pytest.raises(RunError) as told:
        Run.load(folder)
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 400
    return str(told.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "3",
        "null",
        '"run"',
        "{}",
        '{"format": 1}',
        '{"format": 1, "sha256": {}}',
        '{"format": 1, "sha256": []}',
        '{"format": 1, "sha256": {"run.json": 3}}',
        '{"format": 1, "sha256": {"run.json": null}}',
        '{"format": "1", "sha256": {}}',
        '{"format": 1, "sha256": {"\\u0000": "x"}}',
        '{"format": 1, "sha256": {"\\ud800": "x"}}',
        '{"format": 1, "sha256": {"": "x"}}',
        f'{{"format": 1, "sha256": {{"{"n" * 5000}": "x"}}}}',
        "[" * 100_000,
        '{"format": 1, "sha256": ' + '{"x": ' * 50_000,
        "\ufeff{}",
        '{"format": 1, "sha256": {}, "more": 1}',
    ],
)
def test_a_manifest_that_is_none_is_refused_at_once(folder, text):
    (folder / "manifest.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    started = time.process_time()
    assert refusal(folder).startswith(str(folder))
    assert time.process_time() - started < 1


@pytest.mark.parametrize("number", ["0", "-1", "2", "99999999999999999999999999", "1.5", "true", "null"])
def test_an_unknown_format_is_refused(folder, number):
    (folder / "manifest.json").write_text(f'{{"format": {number}, "sha256": {json.dumps(LISTED)}}}', "utf-8")
    assert "format" in refusal(folder)


@pytest.mark.parametrize("name", ["manifest.json", "preprocessing.json"])
def test_a_file_of_tens_of_megabytes_is_not_parsed(folder, name):
    (folder / name).write_text('{"x": "' + "x" * 40_000_000 + '"}', "utf-8")
    if name != "manifest.json":
        write_manifest(folder)
    started = time.process_time()
    assert f"{name} has 40,000,009 bytes, expected at most" in refusal(folder)
    assert time.process_time() - started < 2


@pytest.mark.parametrize("name", ALWAYS)
def test_a_manifest_lists_every_file_that_a_run_needs(folder, name):
    listed = {path: digest for path, digest in LISTED.items() if path != name}
    (folder / "manifest.json").write_text(json.dumps({"format": 1, "sha256": listed}), "utf-8")
    assert f"manifest.json does not list {name}, which every run has; copy the folder again" in refusal(folder)


@pytest.mark.parametrize("name", CLASSIFIER)
def test_a_manifest_lists_a_classifier(folder, name):
    listed = {path: digest for path, digest in LISTED.items() if path != name}
    (folder / "manifest.json").write_text(json.dumps({"format": 1, "sha256": listed}), "utf-8")
    assert "manifest.json lists no classifier" in refusal(folder)


@pytest.mark.parametrize("name", ["tokenizer.json", "model.safetensors", "config.json", "words.skops"])
def test_a_file_that_would_be_read_without_a_digest_is_refused(folder, name):
    (folder / name).write_bytes(b"{}")
    listed = {path: digest for path, digest in LISTED.items() if path != name}
    (folder / "manifest.json").write_text(json.dumps({"format": 1, "sha256": listed}), "utf-8")
    assert f"manifest.json does not list {name}, which is there" in refusal(folder)


@pytest.mark.parametrize("name", sorted([*LISTED, "manifest.json"]))
def test_every_flipped_bit_and_every_cut_of_a_runs_file_is_noticed(folder, name):
    """25 flips and 5 cuts of each of its 14 files."""
    path, rng = folder / name, random.Random(name)
    whole = path.read_bytes()
    for place in (rng.randrange(len(whole)) for _ in range(25)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        if name == "manifest.json" and flipped.split() == whole.split():  # white space between the digests
            continue
        refusal(folder)
    for place in (0, *(rng.randrange(len(whole)) for _ in range(4))):
        path.write_bytes(whole[:place])
        refusal(folder)
    path.write_bytes(whole)
    assert Run.load(folder).preprocessing.classes


def test_what_a_killed_process_was_writing_is_no_part_of_a_run(folder):
    for name in (".tmpA1b2C3", "scores.json.draft", ".run.draft/adapter_model.safetensors", "training.lock"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"half")
    write_manifest(folder)
    assert json.loads((folder / "manifest.json").read_text("utf-8"))["sha256"] == LISTED


def test_a_file_knows_the_run_that_it_belongs_to(folder, tmp_path):
    assert run_that_has(folder / "test.parquet") == folder
    assert run_that_has(folder / "predictions.csv") is None
    (tmp_path / "manifest.json").write_text('{"name": "a web page"}', "utf-8")
    assert run_that_has(tmp_path / "events.jsonl") is None
    (tmp_path / "started.json").write_text("{}", "utf-8")
    assert run_that_has(tmp_path / "events.jsonl") == tmp_path
