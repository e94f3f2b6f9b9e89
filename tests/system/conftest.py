"""A root of the file system that a test builds, as a container shows it."""

from __future__ import annotations

import pytest


@pytest.fixture
def root(tmp_path):
    """A root with a process in cgroup `/jobs/one` of version 2 and nothing limited; call it to write files below it."""

    def write(path, text):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
        return tmp_path

    write("proc/self/cgroup", "0::/jobs/one\n")
    write("proc/meminfo", "MemTotal:        8000 kB\nMemFree:   10 kB\nMemAvailable:    6000 kB\nHugePages_Total:       0\n")
    write.path = tmp_path
    return write
