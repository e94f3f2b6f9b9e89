"""Killed, out of room or beside another: a run is whole or no run, and going on gives what was never disturbed."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import faults
import pytest
from disks import fill, small_disk

from rankwise.data.labelled import read_labelled
from rankwise.errors import DataError, RecipeError, RunError, StorageError
from rankwise.run.folder import Run
from rankwise.workflows.train import train

pytestmark = pytest.mark.long

QUICK = ("train.max_steps=4", "train.evaluate_every=2", "evaluate.baselines=false", "train.threads=1")


@pytest.fixture
def killed(recipe_for, tmp_path):
    """Kill trainings as helpers/faults.py says; how many kills there were."""

    def run(kind, number):
        path = tmp_path / "recipe.yaml"
        path.write_text(recipe_for("bert", *QUICK).to_yaml(), "utf-8")
        command = [sys.executable, "-W", "ignore", faults.__file__, kind, str(path), str(tmp_path), str(number)]
        environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false"}
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout.splitlines()[-1])
        assert told["problems"] == []
        return told["kills"]

    return run


@pytest.mark.slow
def test_a_save_that_is_killed_before_a_write_is_no_run_and_ends_in_the_same_bytes(killed):
    assert killed("save", 14) >= 4


@pytest.mark.slow
def test_a_save_may_be_killed_before_every_one_of_its_writes(killed):
    assert killed("save", 1) >= 40


@pytest.mark.slow
def test_a_training_may_be_killed_at_any_moment(killed):
    assert killed("training", 25) == 25


# --------------------------------------------------------------------------------------------------------------- damage


def damages(folder, *, flips, cuts, seed):
    """Damage to one file of a folder at a time, each of them in turn: (its path, its content before, the damaged one)."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
    rng = random.Random(seed)
    for number in range(flips + cuts):
        path = paths[number % len(paths)]
        whole = path.read_bytes()
        place = rng.randrange(len(whole))
        flipped = bytes([*whole[:place], whole[place] ^ rng.randrange(1, 256), *whole[place + 1 :]])
        damaged = flipped if number < flips else whole[:place]
        path.write_bytes(damaged)
        yield path, whole, damaged
        path.write_bytes(whole)


def says_the_same(whole, damaged):
    """Whether two texts are one and the same JSON object, as where a space became a line's end."""
    try:
        return json.loads(whole) == json.loads(damaged)
    except ValueError:
        return False


def stopped(recipe, folder, *, at):
    """A training that was stopped when it had evaluated so many times: its folder, with its checkpoints."""

    def stop(event):
        seen.append(event.kind)
        if seen.count("evaluation") == at:
            raise KeyboardInterrupt

    seen = []
    with pytest.raises(KeyboardInterrupt):
        train(recipe, folder, listeners=[stop])
    return folder


def tried(work):
    """(what some work gives, None), or where it is refused (None, the line that says why)."""
    try:
        return work(), None
    except RunError as problem:
        return None, str(problem)


@pytest.mark.slow
def test_of_300_flipped_bytes_and_60_cuts_of_a_run_and_its_checkpoints_none_is_missed(recipe_for, tmp_path):
    """200 and 40 in a finished run, 100 and 20 in one to go on with: a line, or the very bytes that were to be."""
    recipe = recipe_for("bert", "train.max_steps=6", "train.evaluate_every=2", "evaluate.baselines=false", "train.threads=1")
    whole = train(recipe, tmp_path / "whole").folder
    reference, counts = faults.content(whole), Counter()
    for path, before, damaged in damages(whole, flips=200, cuts=40, seed=1):
        _, line = tried(lambda: Run.load(whole).predict(["apple"]))
        counts["refused" if line else "harmless"] += 1
        assert says_the_same(before, damaged) if line is None else "\n" not in line, path
    half = stopped(recipe, tmp_path / "half", at=2)
    for path, before, damaged in damages(half, flips=100, cuts=20, seed=2):
        copy, heard = shutil.copytree(half, tmp_path / "copy"), []
        run, line = tried(lambda copy=copy, heard=heard: train(recipe, copy, existing="resume", listeners=[heard.append]))
        fell_back = [event for event in heard if event.kind == "damage"]
        counts["refused" if line else "fell back" if fell_back else "harmless"] += 1
        if line is None:
            unread = path.name == "events.jsonl" or path.parent.name == "step-2"  # a log; what is neither newest nor best
            assert faults.content(run.folder) == reference, path
            assert fell_back or unread or says_the_same(before, damaged), path
        else:
            assert "\n" not in line
        shutil.rmtree(copy)
    assert counts.total() == 300 + 60
    assert counts["harmless"] < 90, counts  # each of which was shown to be


# ------------------------------------------------------------------------------------------------------------ full disks


@pytest.mark.parametrize("moment", ["plan", "start", "evaluation", "end", "scores"])
def test_a_disk_that_is_full_at_any_moment_ends_a_training_with_a_line_and_with_room_it_goes_on(recipe_for, tmp_path, moment):
    recipe = recipe_for("bert", *QUICK)
    reference = train(recipe, tmp_path / "reference")
    with small_disk(tmp_path / "disk", 2_000) as disk:

        def fill_then(event):
            if event.kind == moment:
                fill(disk)

        with pytest.raises(StorageError) as told:
            train(recipe, disk / "run", listeners=[fill_then])
        assert str(told.value).startswith(f"{disk / 'run'}: the disk is full (No space left on device); free room there and ")
        assert "\n" not in str(told.value)
        with pytest.raises(RunError):
            Run.load(disk / "run")
        (disk / "filler").unlink()
        run = train(recipe, disk / "run", existing="resume")
        assert faults.content(run.folder) == faults.content(reference.folder)


def test_a_disk_that_was_full_from_the_start_is_told(recipe_for, tmp_path):
    with small_disk(tmp_path / "disk", 8) as disk:
        fill(disk)
        with pytest.raises(StorageError, match=r"the disk is full \(No space left on device\); give another --out"):
            train(recipe_for("bert", *QUICK), disk / "run")


def test_what_a_process_left_that_was_killed_when_its_run_was_whole_goes_when_it_is_resumed(recipe_for, tmp_path):
    recipe = recipe_for("bert", *QUICK)
    folder = train(recipe, tmp_path / "run").folder
    before = faults.content(folder)
    (folder / "checkpoints" / "step-4").mkdir(parents=True)
    (folder / "started.json").write_text("{}", "utf-8")
    assert train(recipe, folder, existing="resume").folder == folder
    assert faults.content(folder) == before
    assert not (folder / "checkpoints").exists()


def test_a_full_temporary_folder_is_a_line_that_says_which(recipe_for, tmp_path, monkeypatch):
    with small_disk(tmp_path / "disk", 4) as disk:
        (disk / "filler").write_bytes(b"x" * 4096)
        monkeypatch.setattr(tempfile, "tempdir", str(disk))
        with pytest.raises(DataError, match=r"a temporary file .* \(No space left on device\); .* TMPDIR=FOLDER"):
            read_labelled(recipe_for("bert").data)


FROZEN = ("adapter.allocate.policy=last-k", "adapter.allocate.k=1", "train.encoder_dropout=off")


def test_a_cache_that_is_a_file_ends_a_training_with_a_line(recipe_for, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("RANKWISE_CACHE", str(tmp_path / "file"))
    with pytest.raises(StorageError, match=r"the cache .*/file/prefix: can't be written \(Not a directory\); free room"):
        train(recipe_for("bert", *QUICK, *FROZEN), tmp_path / "run")
    monkeypatch.setenv("RANKWISE_CACHE_GB", "0")
    assert train(recipe_for("bert", *QUICK, *FROZEN), tmp_path / "run", existing="resume").predict(["apple"])


def test_a_full_cache_costs_time_and_nothing_else(recipe_for, tmp_path, monkeypatch):
    with small_disk(tmp_path / "disk", 8) as disk:
        monkeypatch.setenv("RANKWISE_CACHE", str(disk))
        heard = []
        train(recipe_for("bert", *QUICK, *FROZEN), tmp_path / "run", listeners=[heard.append])
    assert {event.where for event in heard if event.kind == "prefix"} == {"memory"}


@pytest.mark.parametrize("limit", ["inf", "-inf", "nan", "-1", "1e999", "ten"])
def test_a_cache_limit_that_is_no_size_is_refused_before_a_folder_is_made(recipe_for, tmp_path, monkeypatch, limit):
    monkeypatch.setenv("RANKWISE_CACHE_GB", limit)
    with pytest.raises(RecipeError, match=f"RANKWISE_CACHE_GB is '{limit}'; expected a number of gigabytes"):
        train(recipe_for("bert"), tmp_path / "run")
    assert not Path(tmp_path / "run").exists()
