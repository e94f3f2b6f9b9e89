"""Recorded passes read what each micro-batch brings: padded, copied to where the recording looks, by shape.

Only CUDA can record. Here a recording is the pass itself, run again on what lies where it read at first; what CUDA makes of
it is in test_gpu.py.
"""

from __future__ import annotations

import gc
import weakref
from contextlib import nullcontext

import pytest
import torch

from rankwise.data.batches import Padding
from rankwise.model.hidden_cache import HiddenStatesCache
from rankwise.training import cuda_graphs as graphs
from rankwise.training import update
from rankwise.training.events import MemoryRanOut

SHAPES = {
    "as they come": (),
    "micro-batches": ("train.micro_batch_size=3",),
    "balanced classes": ("train.class_weights=balanced",),
    "frozen layers below": ("adapter.allocate={policy: last-k, k: 1}",),
    "head alone": ("adapter.method=head",),
    "adalora": ("adapter.method=adalora",),
    "vera": ("adapter.method=vera",),
    "full": ("adapter.method=full",),
}


class Again:
    """In the place of a CUDA graph: the pass, run again."""

    def __init__(self, backward, reads, found, forget):
        self.backward = weakref.WeakMethod(backward)  # a CUDA graph does not hold on to who made it
        self.reads, self.found, self.forget, self.replays = reads, found, forget, 0

    def replay(self):
        self.forget()
        self.found.copy_(self.backward()(self.reads))
        self.forget()
        self.replays += 1


@pytest.fixture
def recording(monkeypatch):
    """Training records its passes; the recordings that were made."""
    made = []

    def record(self, reads, backward):
        held = torch.zeros(2)
        again = Again(backward, reads, held, self.forget)
        made.append(again)
        return graphs.Recorded(again, reads, held)

    monkeypatch.setattr(graphs.Graphs, "record", record)
    monkeypatch.setattr(update, "records", lambda _, spec: spec.speed.graphs)
    return made


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"], indirect=True)
@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_recorded_trains_as_what_is_not(fit_for, recording, tmp_path, family, shape):
    settings = (*SHAPES[shape], "train.epochs=5", "train.encoder_dropout=off", "train.learning_rate=3e-3")

    def still(built):
        for module in built.classifier.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0

    how = {"family": family, "on_built": still, "cache": HiddenStatesCache(tmp_path / "cache", limit_bytes=10**8)}
    plain = fit_for(*settings, "train.speed.graphs=false", folder="plain", **how)
    recorded = fit_for(*settings, folder="recorded", **how)
    assert sum(again.replays for again in recording) > 5, "shapes came again"
    assert len({(len(again.reads.labels), again.reads.width) for again in recording}) == len(recording)
    for one, other in zip(plain.fitted.history, recorded.fitted.history, strict=True):
        assert other.train_loss == pytest.approx(one.train_loss, abs=1e-4)
        assert other.log_loss == pytest.approx(one.log_loss, abs=1e-4)


def test_widths_are_rounded_up_to_eights_but_never_past_the_longest_text(fit_for, recording):
    fit_for("train.epochs=6")
    widths = {again.reads.width for again in recording}
    longest = max(widths)
    assert all(width % graphs.WIDTH_STEP == 0 or width == longest for width in widths)
    assert longest <= 24, "max_length of the recipe"


def test_after_memory_ran_out_passes_are_recorded_anew(fit_for, recording, monkeypatch):
    usual, failed = update.Update._backward, []

    def once(self, micro):
        if len(recording) > 1 and not failed:
            failed.append(True)
            raise torch.OutOfMemoryError("CUDA out of memory")
        return usual(self, micro)

    monkeypatch.setattr(update.Update, "_backward", once)
    trained = fit_for("train.epochs=6")
    assert trained.heard("memory") == [MemoryRanOut(micro_batch_size=4)]
    assert max(len(again.reads.labels) for again in recording[-2:]) == 4


class Capture:
    """A CUDA graph as far as a recording that fails needs one."""

    runs = False

    def capture_begin(self, *_, **__):
        Capture.runs = True

    def capture_end(self):
        Capture.runs = False
        raise RuntimeError("capture was invalidated")


def test_a_recording_without_enough_memory_leaves_nothing_behind_and_the_pass_runs_as_it_is(monkeypatch):
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Capture)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: (0, 1))
    monkeypatch.setattr(torch.cuda, "stream", lambda _: nullcontext())
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(graphs, "_side_stream", lambda: None)
    happened = []

    def backward(micro):
        if Capture.runs:
            happened.append("kept something that was not computed")
            raise torch.OutOfMemoryError("CUDA out of memory")
        happened.append("ran")
        return torch.tensor([0.5, micro.width])

    words = torch.ones(2, 5, dtype=torch.int64)
    micro = graphs.Micro({"input_ids": words, "attention_mask": words}, torch.zeros(2), torch.tensor(2.0))
    cpu = torch.device("cpu")
    recorder = graphs.Graphs(device=cpu, padding=Padding(0), longest=24, forget=lambda: happened.append("forgot"))
    assert [recorder(micro, backward).tolist() for _ in range(3)] == 3 * [[0.5, 8.0]]
    assert happened == ["ran", "forgot", "kept something that was not computed", "forgot", "ran", "ran"]


def test_training_leaves_no_cycle_that_would_keep_the_model(fit_for, recording):
    """Python's collector does not see a GPU's memory, so what is done with must go at once."""
    gc.collect()
    gc.disable()
    try:
        seen = []
        usual = update.Update.__init__

        def noted(self, *given):
            usual(self, *given)
            seen.append(weakref.ref(self))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(update.Update, "__init__", noted)
            fit_for("train.epochs=3")
        recording.clear()
        assert len(seen) == 1
        assert seen[0]() is None
    finally:
        gc.enable()
