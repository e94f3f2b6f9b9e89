"""What `rankwise train` can know at once is refused at once: before torch is imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rankwise.errors import install

WITHOUT_TORCH = """
import importlib.machinery, sys
class Refuses:  # torch is installed, as far as one can tell without importing it
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            return importlib.machinery.ModuleSpec(name, self)
        if name == "mlflow":
            return None
    def create_module(self, spec):
        raise AssertionError("torch is imported")
sys.meta_path.insert(0, Refuses())
from rankwise.cli.app import main
main()
"""


@pytest.fixture
def recipe(recipe_for, tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(recipe_for("bert").to_yaml(), "utf-8")
    return path


def refused(*words):
    command = [sys.executable, "-c", WITHOUT_TORCH, "train", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2, done.stderr
    return done.stderr


@pytest.mark.parametrize("also", [[], ["--json"]])
def test_a_folder_with_something_in_it_is_refused(recipe, tmp_path, also):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine", "utf-8")
    said = refused(recipe, "--out", tmp_path / "run", *also)
    assert said == (
        f"error: {tmp_path / 'run'} is not empty; type --resume to go on with it, --overwrite to start again, or --out\n"
    )


def test_a_file_in_the_folders_place_is_refused(recipe):
    assert "is a file; give a folder: --out runs/NAME" in refused(recipe, "--out", recipe)


def test_a_tracker_that_is_not_installed_is_told_with_what_installs_it_here(recipe):
    said = refused(recipe, "--set", "train.trackers=[mlflow]")
    assert said == f"error: 'mlflow' is not installed, and this needs it; type: {install('mlflow')}\n"


@pytest.mark.parametrize("also", [[], ["--json"]])
def test_a_plan_over_its_budget_is_refused(recipe, also):
    assert "of 10 parameters on" in refused(recipe, "--budget", "10", *also)
