"""The memory that a run is predicted to take is what a process of its own takes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from rankwise.planning.memory import HEADROOM  # a budget that is kept by prediction is kept in truth
from rankwise.system.cores import has_bf16

SELDOM_OVER = 1.3  # of what was taken; peaks of equal runs are a few percent apart
NEWS = ["base=minilm", "data.source=sample", "data.rows=96", "data.test_rows=48", "train.threads=1"]


# The process asks for its own peak at its end: what its parent is told of it (ru_maxrss) begins with the parent's memory.
APART = """
import atexit, sys
from pathlib import Path
from rankwise.cli.app import main
from rankwise.system.memory import peak_resident_bytes
taken = Path(sys.argv.pop())
atexit.register(lambda: taken.write_text(str(peak_resident_bytes())))
main()
"""


def train_apart(recipe, folder):
    """(predicted bytes, those that the process took at most) of a run in a process of its own."""
    (folder / "recipe.yaml").write_text(recipe.to_yaml(), "utf-8")
    verb = ["train", folder / "recipe.yaml", "--out", folder / "run", "--json"]
    command = list(map(str, [sys.executable, "-c", APART, *verb, folder / "taken"]))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    promised = json.loads((folder / "run" / "run.json").read_text("utf-8"))["promised"]["peak_bytes"]
    return promised, int((folder / "taken").read_text())


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="the constants are those of glibc")
@pytest.mark.parametrize(
    "changes",
    [
        ["train.precision=fp32"],
        ["train.precision=fp32", "adapter.method=full"],
        ["train.precision=bf16", "train.epochs=12"],
        ["head.kind=pooled", "head.start=fitted", "rungs=[tfidf]"],
    ],
    ids=["adapters", "everything", "kernels for bf16", "words"],
)
def test_a_tiny_encoder_takes_what_was_predicted(recipe_for, tmp_path, changes):
    if "train.precision=bf16" in changes and not has_bf16():
        pytest.skip("this processor multiplies no bf16")
    predicted, taken = train_apart(recipe_for("bert", "train.threads=1", *changes), tmp_path)
    assert HEADROOM < predicted / taken < SELDOM_OVER


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the constants are those of glibc")
@pytest.mark.parametrize("changes", [[], ["adapter.method=full"]], ids=["adapters", "everything"])
def test_the_embedded_encoder_takes_what_was_predicted(recipe_for, tmp_path, changes):
    recipe = recipe_for("bert", *NEWS, "data.max_length=64", "train.precision=fp32", "train.epochs=1", *changes)
    predicted, taken = train_apart(recipe, tmp_path)
    assert HEADROOM < predicted / taken < SELDOM_OVER
