"""What has its name is whole; what a disk refuses is told in a line, whoever was writing."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys

import numpy as np
import pytest
from disks import small_disk

from rankwise.errors import StorageError
from rankwise.system.storage import draft_of, refusal, told_refusals, whole_file, write_whole


def test_a_file_appears_whole_and_leaves_no_draft(tmp_path):
    assert write_whole(tmp_path / "x", b"new") == 3
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"x": b"new"}


def break_off(path):
    with whole_file(path) as draft:
        draft.write_bytes(b"ne")
        raise KeyboardInterrupt


def told(path, advice, write):
    """The line that says why a path can't be written."""
    with pytest.raises(StorageError) as caught, told_refusals(path, advice):
        write(path)
    return str(caught.value)


def test_what_is_interrupted_leaves_the_file_as_it_was(tmp_path):
    (tmp_path / "x").write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        break_off(tmp_path / "x")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"x": b"old"}


def test_a_file_is_on_the_disk_before_it_gets_its_name_and_its_name_after(tmp_path, monkeypatch):
    calls = []
    fsync = os.fsync

    def watched(descriptor):
        calls.append((os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")), (tmp_path / "x").exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    write_whole(tmp_path / "x", b"new")
    assert calls == [("x.draft", False), (tmp_path.name, True)]


def test_a_folder_that_may_be_written_to_but_not_listed_takes_a_file():
    code = """if True:
        import os, shutil, tempfile
        from pathlib import Path
        from rankwise.system.storage import write_whole
        if os.geteuid() == 0:  # whom no permission stops
            os.seteuid(65534)
        folder = Path(tempfile.mkdtemp(dir="/tmp"))
        folder.chmod(0o333)
        write_whole(folder / "x", b"new")
        folder.chmod(0o700)
        print({path.name: path.read_bytes() for path in folder.iterdir()})
        shutil.rmtree(folder)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "{'x': b'new'}\n", done.stderr


def test_the_longest_name_that_a_folder_takes_can_be_written(tmp_path):
    path = tmp_path / ("n" * 255)
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert len(draft_of(path).name) < 100


@pytest.mark.parametrize("name", ["n" * 256, "file/below", "\u00e4" * 128])
def test_a_name_that_can_not_be_is_told_in_a_line(tmp_path, name):
    (tmp_path / "file").write_bytes(b"")
    line = told(tmp_path / name, "give a shorter one", lambda path: write_whole(path, b"new"))
    assert line.endswith("; give a shorter one")
    assert "\n" not in line


def write_tensors(path):
    from safetensors.numpy import save_file

    save_file({"x": np.ones(100_000)}, path)


def write_parquet(path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"x": np.random.default_rng(0).random(100_000)}), path)


def write_tokenizer(path):
    from tokenizers import Tokenizer, models

    Tokenizer(models.WordLevel({f"word {number}": number for number in range(30_000)}, "word 0")).save(str(path))


def write_study(path):
    import sqlite3

    connection = sqlite3.connect(path)
    try:
        connection.execute("CREATE TABLE t (x BLOB)")
        connection.execute("INSERT INTO t VALUES (?)", (b"x" * 500_000,))
        connection.commit()
    finally:
        connection.close()


WRITERS = [lambda path: write_whole(path, b"x" * 500_000), write_tensors, write_parquet, write_tokenizer, write_study]


@pytest.mark.parametrize("write", WRITERS, ids=["bytes", "safetensors", "parquet", "tokenizers", "sqlite"])
def test_a_full_disk_is_told_whichever_library_meets_it(tmp_path, write):
    with small_disk(tmp_path / "disk", 100) as disk:
        line = told(disk / "x", "free room there", write)
    assert line == f"{disk / 'x'}: the disk is full (No space left on device); free room there"


def test_a_file_above_the_limit_of_its_process_is_told_as_a_full_disk_and_leaves_nothing(tmp_path):
    code = (
        "import resource, sys; from pathlib import Path; from rankwise.system.storage import told_refusals, write_whole\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (1000, {resource.RLIM_INFINITY}))\n"
        "try:\n"
        "    with told_refusals('x', 'free room there'): write_whole(Path('x'), b'x' * 5000)\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "StorageError x: the disk is full (File too large); free room there\n"
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_disk_is_told(tmp_path):
    with small_disk(tmp_path / "disk", 100, read_only=True) as disk:
        line = told(disk / "x", "give another folder", lambda path: write_whole(path, b"new"))
    assert line == f"{disk / 'x'}: can't be written (Read-only file system); give another folder"


def test_another_file_that_is_refused_meanwhile_is_named_itself(tmp_path):
    (tmp_path / "data.csv").symlink_to(tmp_path / "data.csv")
    line = told(tmp_path / "run", "give another --out", lambda _: (tmp_path / "data.csv").read_bytes())
    assert line.startswith(f"{tmp_path / 'data.csv'}: Too many levels of symbolic links; ")
    assert "--out" not in line


@pytest.mark.parametrize("draft", [".run-abc/run/weights", ".run.draft/weights", "run.1a2b.draft"])
def test_a_draft_is_no_other_file(tmp_path, draft):
    def full(_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / draft))

    line = told(tmp_path / "run", "give another --out", full)
    assert line == f"{tmp_path / 'run'}: the disk is full (No space left on device); give another --out"


@pytest.mark.parametrize(
    "error", [FileNotFoundError(2, "x"), ValueError("no room"), RuntimeError("(os error 2)"), OSError("x")]
)
def test_other_errors_are_none_of_the_disks(error):
    assert refusal(error) is None
    with pytest.raises(type(error)), told_refusals("x", "free room"):
        raise error
