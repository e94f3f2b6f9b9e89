"""A run folder that 0.1.0 made, `rankwise train quickstart --set data.rows=200`, does all that a new one does."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rankwise.cli.app import app
from rankwise.encoders.base import MINILM_PACKAGE
from rankwise.report.page import render
from rankwise.report.runs import report_of
from rankwise.run.folder import Run
from rankwise.system.events import read_events
from rankwise.training.events import Evaluated
from rankwise.workflows.compare import compare
from rankwise.workflows.train import train

pytestmark = pytest.mark.long

FIXTURES = Path(__file__).parents[1] / "fixtures"
FOLDER = FIXTURES / "run-0.1.0"
needs_minilm = pytest.mark.skipif(importlib.util.find_spec(MINILM_PACKAGE) is None, reason="rankwise[minilm] is missing")


@pytest.fixture(scope="module")
def old():
    return Run.load(FOLDER)


@pytest.fixture(scope="module")
def new(recipe_for, tmp_path_factory):
    """A run of today on the same rows, with a tiny encoder."""
    recipe = recipe_for("bert", "data.source=sample", "data.rows=200", "train.max_steps=2", "evaluate.baselines=false")
    return train(recipe, tmp_path_factory.mktemp("runs") / "new")


def test_its_files_are_whole_and_say_what_was_trained(old):
    assert old.recipe.name == "quickstart"
    assert old.facts.trained_parameters.counted == old.plan_facts.trainable_parameters == 333_316
    assert old.scores.test.accuracy.value == 0.8875
    assert [entry.step for entry in old.scores.history] == [13, 26, 39]
    assert old.plan().ledger.trainable_parameters == 333_316


def test_it_says_nothing_of_scripts_and_a_run_of_today_does(old, new):
    assert old.scripts is old.facts.scripts is None
    assert new.scripts == new.facts.scripts == {"Latin": new.facts.rows.train}


def test_the_keys_of_its_files_read_as_json_gives_them(old):
    assert (old.facts["base"]["name"], old.scores["test"]["accuracy"]["value"]) == ("minilm", 0.8875)
    with pytest.raises(KeyError):
        old.facts["nothing"]


def test_its_events_are_read(old):
    evaluated = read_events(FOLDER / "events.jsonl", Evaluated)
    assert [event.accuracy for event in evaluated] == [entry.accuracy for entry in old.scores.history]


@needs_minilm
def test_it_predicts_what_it_predicted_when_it_was_made(old):
    expected = json.loads((FIXTURES / "run-0.1.0-predictions.json").read_text("utf-8"))
    for one, prediction in zip(expected, old.predict([one["text"] for one in expected]), strict=True):
        assert prediction.probabilities == pytest.approx(one["probabilities"], abs=1e-6), one["text"]


@needs_minilm
def test_evaluated_again_it_scores_what_it_scored(tmp_path):
    folder = shutil.copytree(FOLDER, tmp_path / "run")
    answer = CliRunner().invoke(app, ["evaluate", str(folder), "sample", "--json"])
    assert answer.exit_code == 0, answer.output
    scores = json.loads(answer.stdout)
    before = json.loads((FOLDER / "scores.json").read_text("utf-8"))["test"]
    assert (scores["confusion"], scores["rows"]) == (before["confusion"], before["rows"])


def test_it_compares_with_a_run_of_today(old, new):
    comparison = compare([old, new])
    assert {system.name for system in comparison.systems} == {"quickstart", "tiny"}
    assert comparison.test_rows == 160
    assert comparison.pairs[0].accuracy.interval.value > 0.3


def test_it_has_a_report_alone_and_beside_a_run_of_today(old, new):
    assert "88.8\u00a0%" in render(report_of([old]))
    page = render(report_of([old, new]))
    assert "quickstart" in page
    assert "tiny" in page
