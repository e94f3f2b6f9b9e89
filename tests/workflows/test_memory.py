"""The memory that a run is predicted to take is what a process of its own takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from rankwise.system.cores import has_bf16

NEVER_UNDER, SELDOM_OVER = 0.93, 1.3  # of what was taken; peaks of equal runs are a few percent apart
NEWS = ["base=minilm", "data.source=sample", "data.rows=96", "data.test_rows=48", "train.threads=1"]


def train_apart(recipe, folder):
    """(predicted bytes, those that the process took at most) of a run in a process of its own."""
    (folder / "recipe.yaml").write_text(recipe.to_yaml(), "utf-8")
    command = [sys.executable, "-m", "rankwise", "train", str(folder / "recipe.yaml"), "--out", str(folder / "run"), "--json"]
    with (folder / "said").open("w") as said, subprocess.Popen(command, stdout=said, stderr=said) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, (folder / "said").read_text()
    promised = json.loads((folder / "run" / "run.json").read_text("utf-8"))["promised"]["peak_bytes"]
    return promised, used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


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
    assert NEVER_UNDER < predicted / taken < SELDOM_OVER


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="the constants are those of glibc")
@pytest.mark.parametrize("changes", [[], ["adapter.method=full"]], ids=["adapters", "everything"])
def test_the_embedded_encoder_takes_what_was_predicted(recipe_for, tmp_path, changes):
    recipe = recipe_for("bert", *NEWS, "data.max_length=64", "train.precision=fp32", "train.epochs=1", *changes)
    predicted, taken = train_apart(recipe, tmp_path)
    assert NEVER_UNDER < predicted / taken < SELDOM_OVER
