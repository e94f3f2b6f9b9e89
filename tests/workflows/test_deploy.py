"""Budgets of answering are kept: a trained run is written as they ask, held against itself in 8 bits, and measured."""

from __future__ import annotations

import json

import pytest

from conftest import as_if
from rankwise.planning import deployment as planning
from rankwise.planning.deployment import deployment
from rankwise.recipe import BudgetSpec
from rankwise.run.folder import Run
from rankwise.workflows import assemble
from rankwise.workflows.deploy import deploy
from rankwise.workflows.train import train

pytestmark = pytest.mark.long


@pytest.fixture
def asked(run_for, copy_of):
    """A trained run, as if its recipe had asked for budgets."""

    def make(*budgets, of=()):
        run = Run.load(copy_of(run_for("bert", *of)))
        return as_if(run, recipe=run.recipe.with_overrides(budgets))

    return make


def with_8_bits(run):
    """Megabytes that are hardly too few for fp32."""
    return f"budget.artifact_mb={0.95 * deployment(run.plan(), BudgetSpec(), window=8, gflops=1.0).megabytes:.4f}"


def test_no_budget_writes_nothing(run_for):
    run = run_for("bert")
    before = sorted(run.folder.iterdir())
    assert deploy(run) is None
    assert sorted(run.folder.iterdir()) == before


def test_a_run_that_fits_in_fp32_is_written_in_fp32_and_measured(asked):
    run, heard = asked("budget.artifact_mb=50", "budget.latency_ms=5000"), []
    found = deploy(run, [heard.append])
    assert heard[-1] == found
    about = json.loads((run.folder / "onnx" / "export.json").read_text())
    assert (found.form, found.problem, found.exit_code) == ("onnx", "", 0)
    assert found.milliseconds == about["longest_milliseconds"] > 0
    files = [path for path in (run.folder / "onnx").rglob("*") if path.is_file()]
    assert found.megabytes == pytest.approx(sum(path.stat().st_size for path in files) / 1e6, abs=0.01)
    assert Run.load(run.folder).predict(["apple"], engine="onnx")[0].label


@pytest.mark.parametrize(("max_loss", "exit_code"), [(99, 0), (0.5, 4)])
def test_8_bits_are_written_where_they_lose_no_more_than_may_be_lost(max_loss, exit_code, asked, run_for):
    run = asked(with_8_bits(run_for("bert")), f"budget.max_loss={max_loss}")
    found = deploy(run)
    assert (found.form, found.exit_code) == ("onnx-int8", exit_code)
    assert "points of accuracy on 12 rows" in found.lost
    assert (run.folder / "onnx-int8" / "export.json").is_file() == (exit_code == 0), "12 rows tell nothing of half a point"
    assert ("max_loss" in found.problem) == (exit_code == 4)
    assert not (run.folder / "onnx").exists(), "of which it was known that it is too large"


def test_where_nobody_can_tell_what_8_bits_lose_they_are_not_written(asked, run_for):
    run = asked(with_8_bits(run_for("bert")), "budget.max_loss=99", of=("evaluate.keep_texts=false",))
    found = deploy(run)
    assert found.exit_code == 4
    assert "keeps no validation rows to hold them against" in found.problem
    assert found.megabytes is None
    assert not (run.folder / "onnx-int8").exists()


def test_what_is_measured_decides_and_not_what_was_predicted(asked, monkeypatch):
    monkeypatch.setattr("rankwise.workflows.export._longest", lambda *_: 30.0)
    found = deploy(asked("budget.latency_ms=20", "budget.max_loss=99"))
    assert found.form == "onnx-int8", "fp32 was too slow, and then so are 8 bits"
    assert found.exit_code == 3
    assert "30 ms are more than budget.latency_ms, 20" in found.problem


def test_counted_words_are_held_to_the_budgets_as_they_are(asked):
    words = ("head={kind: pooled, start: fitted}", "rungs=[tfidf]")
    run = asked("budget.artifact_mb=1", "budget.latency_ms=1000", of=words)
    found = deploy(run)
    assert (found.form, found.problem) == ("words", "")
    assert 0 < found.megabytes <= 1
    assert found.milliseconds > 0
    assert deploy(as_if(run, recipe=run.recipe.with_overrides(["budget.artifact_mb=0.0001"]))).exit_code == 3


def test_too_slow_a_machine_cuts_texts_and_says_so(recipe_for, tmp_path, monkeypatch):
    for module in (assemble, planning):
        monkeypatch.setattr(module, "answering_gflops", lambda: 0.15)
    run = train(recipe_for("bert", "budget.latency_ms=11"), tmp_path / "run", progress=False)
    assert run.preprocessing.max_length == 16 < run.recipe.data.max_length == 24
    assert any("at most 16 tokens are read, to answer it in budget.latency_ms, 11" in note for note in run.facts.notes)
    assert (run.folder / "onnx" / "export.json").is_file()


def test_the_command_line_tells_what_is_handed_over_and_ends_as_export_does(recipe_for, typed, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe_for("bert", "budget.artifact_mb=0.3").to_yaml())
    code, _, err = typed("train", path, "--out", tmp_path / "none")
    assert code == 2, "refused before anything is trained"
    assert "budget.artifact_mb is 0.3" in err
    path.write_text(recipe_for("bert", "budget.artifact_mb=50").to_yaml())
    code, out, _ = typed("train", path, "--out", tmp_path / "run")
    assert code == 0
    assert "export  onnx, " in out
    assert "deployed: " in out
    code, out, _ = typed("train", path, "--out", tmp_path / "run", "--resume", "--json")
    assert code == 0
    assert json.loads(out)["handed_over"]["form"] == "onnx"
