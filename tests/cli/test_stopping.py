"""A command that is stopped from outside, or whose output goes nowhere, ends in a line and with an exit code of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

RANKWISE = [sys.executable, "-m", "rankwise"]
ALL_RECIPES = ["recipes", "--json"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.parametrize("words", [["--help"], ["--version"], ["recipes"], ALL_RECIPES, ["plan", "--help"]])
def test_standard_output_that_takes_nothing_is_a_line_and_exit_code_2(words):
    with open("/dev/full", "w") as full:
        done = subprocess.run([*RANKWISE, *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.stderr.startswith("error: standard output: the disk is full (No space left on device); free room there")
    assert done.stderr.count("\n") == 1
    assert done.returncode == 2


@pytest.mark.parametrize("words", [["plan"], ["predict", "--text", "x"], ["report"]])
def test_a_name_that_is_too_long_is_a_line(words):
    done = subprocess.run([*RANKWISE, *words, "n" * 300], capture_output=True, text=True, check=False)
    assert done.stderr.startswith(f"error: {'n' * 300}")
    assert done.stderr.endswith(": File name too long; give a path that leads elsewhere\n")
    assert done.stderr.count("\n") == 1
    assert (done.returncode, done.stdout) == (2, "")


def test_a_standard_output_that_was_closed_before_it_began_does_not_get_in_a_lines_way():
    command = ["sh", "-c", '"$@" >&-', "sh", *RANKWISE, "plan", "n" * 300]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    assert done.stderr == f"error: {'n' * 300}: File name too long; give a path that leads elsewhere\n"
    assert done.returncode == 2


def test_a_reader_that_leaves_ends_a_command_quietly():
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*RANKWISE, *ALL_RECIPES], stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_any_command_with_a_word(tmp_path, number, code):
    os.mkfifo(tmp_path / "recipe.yaml")  # which it waits for, as for a slow disk
    command = [*RANKWISE, "plan", str(tmp_path / "recipe.yaml")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        with open(tmp_path / "recipe.yaml", "w"):  # opens once it reads
            process.send_signal(number)
            _, complaint = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, complaint) == (code, "error: stopped\n")
