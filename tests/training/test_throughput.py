"""A promise comes from the classifier itself where that is worth it, and measuring leaves no trace in what is trained."""

from __future__ import annotations

import time

import pytest
import torch
from accelerate import Accelerator

from rankwise.cli.progress import TrainingProgress
from rankwise.model.classifier import Classifier
from rankwise.system.speed import Throughput
from rankwise.training import throughput
from rankwise.training.throughput import is_worth_measuring, measure
from rankwise.workflows.train import train

CPU = Accelerator(cpu=True)


@pytest.fixture
def slowly(monkeypatch):
    """Every forward pass takes 100 ms longer."""
    logits = Classifier.logits

    def slow(self, *args, **kwargs):
        time.sleep(0.1)
        return logits(self, *args, **kwargs)

    monkeypatch.setattr(Classifier, "logits", slow)
    monkeypatch.setattr(throughput, "SECONDS", 0.3)


def test_a_forecast_follows_what_the_classifier_takes(built_for, slowly):
    job = built_for("bert")
    measured = measure(job, CPU)
    cost = job.forecast_by(measured).forecast
    assert 0.1 < cost.update_seconds < 0.3, "without it, this takes about 0.01 s"
    assert cost.evaluation_seconds > 0.1 * 12 / job.forecast.evaluation_batch_size
    assert cost.steps == job.forecast.steps
    assert cost.operations == job.forecast.operations


def test_measuring_lets_go_of_the_classifier_and_leaves_the_generator(built_for, slowly):
    job = built_for("bert")
    before = torch.get_rng_state()
    measure(job, CPU)
    assert not job.holds_classifier
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("more", [[], ["data.max_length=8", "data.windows=3"]], ids=["short", "windows"])
def test_a_run_is_the_same_whether_it_was_measured_or_not(recipe_for, tmp_path, monkeypatch, more):
    monkeypatch.setattr(throughput, "SECONDS", 0.1)
    recipe, heard = recipe_for("bert", *more), []
    plain = train(recipe, tmp_path / "plain")
    monkeypatch.setattr(throughput, "WORTH_MEASURING", 0.0)
    watched = train(recipe, tmp_path / "measured", listeners=[heard.append])
    one, other = ((run.folder / "adapter_model.safetensors").read_bytes() for run in (plain, watched))
    assert one == other
    told = [event for event in heard if event.kind == "forecast"]
    assert len(told) == 1, "a run is promised once"
    assert told[0].seconds != plain.facts.promised.seconds
    assert told[0].measured


@pytest.mark.parametrize("measured", [False, True])
def test_a_measured_promise_is_shown_as_the_plans_was(built_for, capsys, measured):
    job = built_for("bert")
    cost = job.forecast_by(Throughput(1e6, 1e6, 1e6)).forecast if measured else job.forecast
    with TrainingProgress() as progress:
        progress(cost)
    shown = capsys.readouterr().out
    assert shown.startswith("measured: about ") if measured else not shown


def test_a_run_that_is_over_soon_or_trains_nothing_is_not_measured(built_for):
    job = built_for("bert")
    assert not is_worth_measuring(job.forecast)
    slow = job.forecast_by(Throughput(1e3, 1e3, 1e3)).forecast
    assert is_worth_measuring(slow)
    head = built_for("bert", "adapter.method=head", "head.start=fitted", "train.max_steps=0")
    assert not is_worth_measuring(head.forecast_by(Throughput(1e3, 1e3, 1e3)).forecast)


def test_time_that_has_passed_is_not_predicted_again(built_for):
    job = built_for("bert")
    measured = Throughput(1e9, 1e9, 1e9, loading_seconds=1.0)
    early, late = (job.forecast_by(measured.after(seconds)).forecast for seconds in (5.0, 65.0))
    assert late.seconds - early.seconds == pytest.approx(60.0)
    assert early.start_seconds == pytest.approx(5.0)
