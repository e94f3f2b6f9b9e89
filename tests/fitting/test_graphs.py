"""Recorded passes read what each micro-batch brings: padded, copied to where the recording looks, by shape.

Only CUDA can record. Here a recording is the pass itself, run again on what lies where it read at first; what CUDA makes of
it is in test_gpu.py.
"""

from __future__ import annotations

import pytest
import torch

from rankwise.fitting import graphs, update
from rankwise.model.prefix import PrefixCache

SHAPES = {
    "as they come": (),
    "micro-batches": ("train.micro_batch_size=3",),
    "balanced classes": ("train.class_weights=balanced",),
    "frozen layers below": ("adapter.allocate={policy: last-k, k: 1}",),
    "head alone": ("adapter.method=head",),
    "adalora": ("adapter.method=adalora",),
    "full": ("adapter.method=full",),
}


class Again:
    """In the place of a CUDA graph: the pass, run again."""

    def __init__(self, backward, reads, found, forget):
        self.backward, self.reads, self.found, self.forget, self.replays = backward, reads, found, forget, 0

    def replay(self):
        self.forget()
        self.found.copy_(self.backward(self.reads))
        self.forget()
        self.replays += 1


@pytest.fixture
def recording(monkeypatch):
    """Training records its passes; the recordings that were made."""
    made = []

    def record(self, reads):
        held = torch.zeros(2)
        again = Again(self.backward, reads, held, self.forget)
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

    how = {"family": family, "on_built": still, "cache": PrefixCache(tmp_path / "cache", limit_bytes=10**8)}
    plain = fit_for(*settings, "train.speed.graphs=false", folder="plain", **how)
    recorded = fit_for(*settings, folder="recorded", **how)
    assert sum(again.replays for again in recording) > 5, "shapes came again"
    assert len({(len(again.reads.labels), again.reads.width) for again in recording}) == len(recording)
    for one, other in zip(plain.fitted.history, recorded.fitted.history, strict=True):
        assert other["train_loss"] == pytest.approx(one["train_loss"], abs=1e-4)
        assert other["log_loss"] == pytest.approx(one["log_loss"], abs=1e-4)


def test_widths_are_rounded_up_to_eights_but_never_past_the_longest_text(fit_for, recording):
    fit_for("train.epochs=6")
    widths = {again.reads.width for again in recording}
    longest = max(widths)
    assert all(width % graphs.EIGHT == 0 or width == longest for width in widths)
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
    assert trained.heard("memory") == [{"micro_batch_size": 4}]
    assert max(len(again.reads.labels) for again in recording[-2:]) == 4
