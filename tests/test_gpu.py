"""On an NVIDIA GPU: passes are recorded without changing what is learned, and what a run promises holds there too.

All other tests run on the CPU, where there is a GPU too.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from torch import nn

from conftest import FAMILIES
from rankwise.encoders import families
from rankwise.run.folder import Run
from rankwise.workflows.train import train

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
TEXTS = ["apple pear plum and cherry", "iron copper the zinc tin with lead and nickel in it", "rhine volga nile loire"]
LONG = ("train.epochs=8", "train.learning_rate=3e-3")  # so that each width comes again, and is recorded


@pytest.fixture(autouse=True)
def on_the_gpu(monkeypatch):
    """For one test, accelerate's idea of the device is made anew."""
    monkeypatch.delenv("ACCELERATE_USE_CPU")
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def without_dropout(built) -> None:
    for module in built.classifier.model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0


SETTINGS = {
    "lora": (),
    "lora on query and value": ("adapter.targets=[query,value]",),
    "dora": ("adapter.method=dora",),
    "rslora": ("adapter.method=rslora",),
    "lora dropout kept": ("adapter.dropout=0.1",),
    "not folded": ("train.speed.fold=false",),
    "adalora": ("adapter.method=adalora",),
    "vera": ("adapter.method=vera", "train.learning_rate=3e-2"),
    "adalora in fp16": ("adapter.method=adalora", "train.precision=fp16"),
    "ia3": ("adapter.method=ia3", "train.learning_rate=3e-2"),
    "bias": ("adapter.method=bias",),
    "full": ("adapter.method=full", "train.learning_rate=3e-4"),
    "head": ("adapter.method=head",),
    "top layers": ("adapter.allocate={policy: last-k, k: 1}", "train.encoder_dropout=off"),
    "micro-batches": ("train.micro_batch_size=3",),
    "balanced classes": ("train.class_weights=balanced",),
    "running mean": ("train.average=25%",),
    "muon": ("train.optimizer=muon",),
    "bf16": ("train.precision=bf16",),
    "fp16": ("train.precision=fp16",),
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_recorded_passes_train_the_same(fit_for, setting):
    changes = (*LONG, *SETTINGS[setting], "train.optimizer=sgd") if setting != "muon" else (*LONG, *SETTINGS[setting])
    one_by_one = fit_for(*changes, "train.speed.graphs=false", folder="plain", on_built=without_dropout)
    recorded = fit_for(*changes, folder="recorded", on_built=without_dropout)
    near = 0.03 if "16" in setting else 2e-3
    for plain, same in zip(one_by_one.fitted.history, recorded.fitted.history, strict=True):
        assert same.train_loss == pytest.approx(plain.train_loss, abs=near)
    for name, weight in recorded.weights().items():
        torch.testing.assert_close(weight, one_by_one.weights()[name], atol=near, rtol=near)


@pytest.mark.parametrize("fast", [name for name in FAMILIES if families.FAMILIES[name].fast_path])
def test_every_family_trains_alike_recorded_or_not(fit_for, fast):
    one_by_one = fit_for(*LONG, "train.speed.graphs=false", family=fast, folder="plain", on_built=without_dropout)
    recorded = fit_for(*LONG, family=fast, folder="recorded", on_built=without_dropout)
    for plain, same in zip(one_by_one.fitted.history, recorded.fitted.history, strict=True):
        assert same.train_loss == pytest.approx(plain.train_loss, abs=0.02)


def test_dropout_draws_anew_in_each_replay(fit_for):
    losses = [step.loss for step in fit_for("train.epochs=6", "train.learning_rate=1e-9", "train.log_every=1").heard("step")]
    assert len(set(losses)) > len(losses) / 2


def test_a_run_of_a_gpu_says_so_and_predicts_the_same_on_a_cpu(recipe_for, tmp_path, monkeypatch):
    run = train(recipe_for("bert", "train.precision=auto"), tmp_path / "run")
    assert (run.facts.device, run.facts.precision) == ("cuda", "bf16")
    there = run.predict(TEXTS)
    assert run.predictor.classifier.device.type == "cuda"
    assert run.facts.actual.peak_bytes < 10**9
    monkeypatch.setenv("ACCELERATE_USE_CPU", "1")
    here = Run.load(run.folder)
    assert here.predictor.classifier.device.type == "cpu"
    for one, other in zip(there, here.predict(TEXTS), strict=True):
        assert other.probabilities == pytest.approx(one.probabilities, abs=1e-4)


def test_the_generators_are_left_as_they_were_found(fit_for):
    torch.cuda.manual_seed(5)
    before = torch.get_rng_state(), torch.cuda.get_rng_state()
    fit_for()
    assert torch.equal(torch.get_rng_state(), before[0])
    assert torch.equal(torch.cuda.get_rng_state(), before[1])


def test_memory_that_runs_out_makes_micro_batches_smaller(fit_for):
    def fill(event):
        """Before the first update, leave little of the GPU to this process."""
        if event.kind == "start":
            torch.cuda.empty_cache()
            used = torch.cuda.memory_reserved() + 6 * 2**20
            torch.cuda.set_per_process_memory_fraction(used / torch.cuda.get_device_properties(0).total_memory)

    try:
        done = fit_for("train.batch_size=48", "adapter.method=full", "train.epochs=3", "data.max_length=64", listener=fill)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert done.heard("memory"), "the whole batch fitted; give it less"
    assert np.isfinite(done.fitted.history[-1].train_loss)


@pytest.mark.parametrize("graphs", ["true", "false"])
def test_a_resumed_run_ends_as_a_whole_one(fit_for, graphs):
    changes = ("train.epochs=4", f"train.speed.graphs={graphs}", "train.average=25%", "train.precision=fp16")
    whole = fit_for(*changes, folder="whole", on_built=without_dropout)

    class Killed(Exception):
        pass

    def stop(event):
        if event.kind == "evaluation" and event.epoch == 2:
            raise Killed

    with pytest.raises(Killed):
        fit_for(*changes, folder="parts", listener=stop, on_built=without_dropout)
    parts = fit_for(*changes, folder="parts", resume=True, on_built=without_dropout)
    for name, weight in parts.weights().items():
        torch.testing.assert_close(weight, whole.weights()[name], atol=5e-3, rtol=5e-3)
