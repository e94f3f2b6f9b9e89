"""A folder is trained into by one process at a time, and what is in it is lost only where --overwrite says so."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from disks import small_disk

from rankwise.errors import RunError, StorageError
from rankwise.recipe import Recipe
from rankwise.run.manifest import LOCK, MANIFEST, STARTED
from rankwise.run.opening import open_folder
from rankwise.system.storage import told_refusals

EXAMPLE = Path(__file__).parents[1] / "fixtures" / "run-0.1.0"
RECIPE = Recipe(name="tiny")
HOLD = """
import sys
from rankwise.recipe import Recipe
from rankwise.run.opening import open_folder
with open_folder(Recipe(name="tiny"), "run", "the data", sys.argv[1]):
    print("open", flush=True)
    sys.stdin.read()
"""


def opened(folder, existing="refuse"):
    return open_folder(RECIPE, folder, "the data", existing)


def told(advice, folder, existing):
    """Open a folder as a training does, which tells what the disk refuses."""
    with told_refusals(folder, advice):
        opened(folder, existing)


@pytest.mark.parametrize("existing", ["resume", "overwrite"])
def test_a_second_process_is_refused_until_the_first_has_ended_however_it_does(tmp_path, existing):
    first = subprocess.Popen(
        [sys.executable, "-c", HOLD, "refuse"], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert first.stdout.readline() == b"open\n"
        before = (tmp_path / "run" / STARTED).read_bytes()
        with pytest.raises(
            RunError, match="another process trains into it; wait until that has ended, or give another --out"
        ):
            opened(tmp_path / "run", existing)
        assert (tmp_path / "run" / STARTED).read_bytes() == before
    finally:
        first.kill()
        first.communicate()
    with opened(tmp_path / "run", existing) as folder:
        assert folder.finished is None


def test_of_two_that_start_at_once_one_goes_on(tmp_path):
    with opened(tmp_path / "run"), pytest.raises(RunError, match="is not empty; type --resume"):
        opened(tmp_path / "run")
    (tmp_path / "run" / STARTED).unlink()
    with opened(tmp_path / "run"), pytest.raises(RunError, match="another process trains into it"):
        opened(tmp_path / "run", "resume")


def test_what_is_left_of_a_run_that_is_overwritten_is_no_run_but_can_be_overwritten(tmp_path, monkeypatch):
    folder = shutil.copytree(EXAMPLE, tmp_path / "run")
    (folder / "trackers").mkdir()

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            opened(folder, "overwrite")
    assert not (folder / MANIFEST).exists()
    with opened(folder, "overwrite"):
        assert sorted(path.name for path in folder.iterdir()) == [STARTED, LOCK]


def test_a_link_is_not_overwritten(tmp_path):
    folder = shutil.copytree(EXAMPLE, tmp_path / "run")
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(RunError, match=f"link is a link, which --overwrite won't replace; .*: --out {folder}"):
        opened(tmp_path / "link", "overwrite")
    assert (folder / MANIFEST).exists()


def test_a_folder_that_is_no_run_is_left_as_it_is(tmp_path):
    (tmp_path / "notes.txt").write_text("mine", "utf-8")
    for existing in ("refuse", "resume", "overwrite"):
        with pytest.raises(RunError):
            opened(tmp_path, existing)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("existing", ["refuse", "resume", "overwrite"])
def test_a_name_that_is_too_long_is_told(tmp_path, existing):
    with pytest.raises(StorageError, match=r"can't be written \(File name too long\); give a shorter one"):
        told("give a shorter one", tmp_path / ("n" * 300), existing)


def test_a_run_on_a_read_only_disk_is_not_overwritten(tmp_path):
    with small_disk(tmp_path / "disk", 4_000) as disk:
        folder = shutil.copytree(EXAMPLE, disk / "run")
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        with pytest.raises(StorageError, match=r"can't be written \(Read-only file system\)"):
            told("give another --out", folder, "overwrite")
        assert (folder / MANIFEST).exists()
        assert not (folder / STARTED).exists()


@pytest.mark.parametrize("text", ["", "[]", '{"recipe": {}', '{"recipe": {"base": 3}, "data_sha256": "the data"}'])
def test_a_damaged_note_of_what_began_can_be_overwritten(tmp_path, text):
    with opened(tmp_path / "run"):
        (tmp_path / "run" / "events.jsonl").write_bytes(b"")
    (tmp_path / "run" / STARTED).write_text(text, "utf-8")
    with pytest.raises(RunError, match=r"started\.json is damaged; type --overwrite to start again"):
        opened(tmp_path / "run", "resume")
    with opened(tmp_path / "run", "overwrite"):
        assert json.loads((tmp_path / "run" / STARTED).read_text("utf-8"))["data_sha256"] == "the data"
