"""Several that write to one place at once, or find no room there: what has its final name is whole, the rest is a line."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys

import faults
import pytest
from disks import fill, small_disk

from rankwise.run.folder import Run
from rankwise.workflows.train import train

pytestmark = pytest.mark.long

RANKWISE = [sys.executable, "-W", "ignore", "-m", "rankwise"]


def begun(*words, **environment):
    """A command that has been started, each word of it a path, a number or a text."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*RANKWISE, *map(str, words)], env={**os.environ, **environment}, **streams)


def ended(*processes):
    """(exit code, standard output, standard error) of each."""
    ends = []
    for process in processes:
        out, complaint = process.communicate(timeout=500)
        ends.append((process.returncode, out, complaint))
    return ends


def refused(process):
    """The one line in which a command is refused."""
    ((code, _, complaint),) = ended(process)
    assert code == 2, complaint
    *told, error = complaint.splitlines()  # of a sweep, how far it was
    assert not any(line.startswith(("error:", "Traceback")) for line in told), complaint
    return error


def sweep_of(recipe_for, folder):
    """A space of three small configurations, and one run at its end."""
    (folder / "base.yaml").write_text(recipe_for("bert", "train.max_steps=2", "train.threads=1").to_yaml(), "utf-8")
    space = "search: {sampler: grid, finalists: 1, finalist_seeds: 1}\nspace:\n  adapter.rank: [1, 2, 4]\n"
    (folder / "space.yaml").write_text(f"base: {folder / 'base.yaml'}\n{space}", "utf-8")
    return folder / "space.yaml"


def named(folder):
    """What lies in a folder under names that a person would take for whole files."""
    return sorted(path.name for path in folder.iterdir() if path.name != "filler")


@pytest.fixture(scope="module")
def run(run_for):
    return run_for("bert")


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "texts.csv"
    path.write_text("text\n" + "".join(f"apple zinc rhine {number}\n" for number in range(3000)), "utf-8")
    return path


# ------------------------------------------------------------------------------------------------------------ no room left


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_predictions_for_which_there_is_no_room_are_a_line_and_no_file(run, texts, tmp_path, ending):
    with small_disk(tmp_path / "disk", 8) as disk:
        line = refused(begun("predict", run.folder, texts, "--out", disk / f"out.{ending}"))
        assert line.startswith(
            f"error: {disk / f'out.{ending}'}: the disk is full (No space left on device); free room there"
        )
        assert named(disk) == []


def test_a_merge_for_which_there_is_no_room_is_a_line_and_no_folder(run, tmp_path):
    with small_disk(tmp_path / "disk", 40) as disk:
        line = refused(begun("merge", run.folder, "--out", disk / "merged"))
        assert line.startswith(f"error: {disk / 'merged'}: the disk is full (No space left on device); free room there")
        assert named(disk) == []


@pytest.mark.slow
def test_an_export_for_which_there_is_no_room_is_a_line_and_no_file_and_with_room_it_is_made(run, tmp_path):
    with small_disk(tmp_path / "disk", 20_000) as disk:
        fill(disk, but=200)
        asked = ("predict", run.folder, "--text", "apple", "--engine", "onnx")
        line = refused(begun(*asked, RANKWISE_CACHE=str(disk)))
        assert line.startswith(f"error: {disk / 'onnx'}"), line
        assert "the disk is full (No space left on device); free room there" in line
        assert not list(disk.rglob("*.onnx"))
        (disk / "filler").unlink()
        ((code, _, complaint),) = ended(begun(*asked, RANKWISE_CACHE=str(disk)))
        assert code == 0, complaint
        assert len(list(disk.rglob("*.onnx"))) == 1


@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [60, 400])
def test_a_sweep_for_which_there_is_no_room_is_a_line_and_with_room_it_goes_on(recipe_for, tmp_path, kilobytes):
    space = sweep_of(recipe_for, tmp_path)
    with small_disk(tmp_path / "disk", 20_000) as disk:
        fill(disk, but=kilobytes)
        command = ("sweep", space, "--out", disk / "sweep", "--jobs", 1, "--json")
        line = refused(begun(*command))
        assert "the disk is full (No space left on device); free room there" in line
        (disk / "filler").unlink()
        ((code, out, complaint),) = ended(begun(*command))
        assert code == 0, out + complaint
        found = json.loads(out)
        assert [trial["state"] for trial in found["trials"]] == ["finished"] * 3
        assert len(found["finals"]) == 1


@pytest.mark.parametrize("what", ["the page", "its figures"])
def test_a_report_for_which_there_is_no_room_is_a_line_and_no_half_file(run, tmp_path, what):
    with small_disk(tmp_path / "disk", 8) as disk:
        where = ["--out", disk / "r.html"] if what == "the page" else ["--out", tmp_path / "r.html", "--figures", disk]
        line = refused(begun("report", run.folder, *where))
        assert ": the disk is full (No space left on device); free room there, or give another" in line
        assert not (disk / "r.html").exists()
        assert not list(disk.glob("*.draft"))


# ------------------------------------------------------------------------------------------------------------- two writers


def test_of_two_that_go_on_with_one_run_at_once_one_does_and_the_run_is_what_one_alone_makes(recipe_for, tmp_path):
    recipe = recipe_for(
        "bert", "train.max_steps=40", "train.evaluate_every=10", "evaluate.baselines=false", "train.threads=1"
    )
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml(), "utf-8")

    def stop(event):
        if event.kind == "evaluation":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "run", listeners=[stop])
    command = ("train", tmp_path / "recipe.yaml", "--out", tmp_path / "run", "--resume")
    for code, out, complaint in ended(begun(*command), begun(*command)):
        assert code in (0, 2), out + complaint
        assert code == 0 or "another process trains into it; wait until that has ended" in complaint
        assert "Traceback" not in complaint
    alone = train(recipe, tmp_path / "alone")
    assert faults.content(Run.load(tmp_path / "run").folder) == faults.content(alone.folder)


def test_two_that_predict_into_one_file_leave_the_whole_of_one(run, texts, tmp_path):
    fewer = tmp_path / "fewer.csv"
    fewer.write_text("text\n" + "only these\n" * 1500, "utf-8")
    command = ("predict", run.folder, "--out", tmp_path / "out.csv", "--overwrite")
    for code, out, complaint in ended(begun(*command, texts), begun(*command, fewer)):
        assert code == 0, out + complaint
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        rows = [row["text"] for row in csv.DictReader(file)]
    assert rows in (["only these"] * 1500, [f"apple zinc rhine {number}" for number in range(3000)])
    assert not list(tmp_path.glob("*.draft"))


def test_two_that_merge_into_one_folder_leave_one_whole_model(run, tmp_path):
    command = ("merge", run.folder, "--out", tmp_path / "merged")
    ends = ended(begun(*command), begun(*command))
    assert 0 in [code for code, *_ in ends], ends
    for code, _, complaint in ends:
        assert code == 0 or "merged is not empty; give" in complaint or "another process has written into it" in complaint
        assert "Traceback" not in complaint
    alone = run.merge(tmp_path / "alone")
    assert faults.content(tmp_path / "merged") == faults.content(alone)
    assert not list(tmp_path.glob(".merged-*"))


@pytest.mark.slow
def test_two_sweeps_in_one_folder_train_each_configuration_once_and_leave_whole_tables(recipe_for, tmp_path):
    command = ("sweep", sweep_of(recipe_for, tmp_path), "--out", tmp_path / "sweep", "--jobs", 1, "--json")
    for code, out, complaint in ended(begun(*command), begun(*command)):
        assert code == 0, out + complaint
        found = json.loads(out)
        assert [trial["state"] for trial in found["trials"]] == ["finished"] * 3
        assert len(found["finals"]) == 1
    with (tmp_path / "sweep" / "leaderboard.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 3
    (final,) = (tmp_path / "sweep" / "finals").iterdir()
    assert Run.load(final).predict(["apple"])


# ------------------------------------------------------------------------------------ several processes of several threads


ASKS = """
import sys
from concurrent.futures import ThreadPoolExecutor
from rankwise.run.folder import Run

run, texts = Run.load(sys.argv[1]), [f"apple {number} zinc" for number in range(24)]
with ThreadPoolExecutor(4) as pool:
    answers = list(pool.map(lambda text: run.predict([text])[0].probabilities, texts))
print([[f"{share:.5f}" for share in answer.values()] for answer in answers])
"""


@pytest.mark.slow
def test_processes_of_several_threads_that_share_a_run_and_a_cache_answer_as_one_alone(run, tmp_path):
    environment = {**os.environ, "RANKWISE_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-W", "ignore", "-c", ASKS, str(run.folder)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    ends = ended(*(subprocess.Popen(command, env=environment, **streams) for _ in range(3)))
    assert [code for code, *_ in ends] == [0, 0, 0], ends
    answers = [run.predict([f"apple {number} zinc"])[0].probabilities for number in range(24)]
    assert {out for _, out, _ in ends} == {f"{[[f'{share:.5f}' for share in answer.values()] for answer in answers]}\n"}
