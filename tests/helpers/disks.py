"""Disks that are really full: a small file system in memory where mounting is allowed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, kilobytes: int, *, read_only: bool = False) -> Iterator[Path]:
    """A disk of so many kilobytes, mounted at a folder; skips the test where this user may not mount one."""
    folder.mkdir(exist_ok=True)
    options = f"size={kilobytes}k{',ro' if read_only else ''}"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk: Path, *, but: int = 0) -> None:
    """Take all the room that a disk has left, but so many kilobytes, with a file called filler."""
    room = os.statvfs(disk)
    (disk / "filler").write_bytes(bytes(room.f_bavail * room.f_frsize - 1000 * but))
