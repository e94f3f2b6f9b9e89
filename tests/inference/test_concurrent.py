"""Eight threads that share a run each get what one alone gets, those that drop out at random beside those that don't."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
import torch

from rankwise.run.folder import Run

TEXTS = ["apple and pear", "zinc " * 60, "danube the volga , near iron", "rhine"]
CALLS = [([text], passes) for passes in (0, 3, 1) for text in TEXTS] + [(TEXTS, 0), (TEXTS, 2)]
DROPS = "adapter.dropout=0.3"


def together(ask, calls):
    """The answers to calls that eight threads make at once, in the calls' order."""
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(ask, calls))


@pytest.mark.parametrize("passes", [(0,), (1, 2, 3), (0, 1, 2, 3)], ids=["plain", "mc dropout", "both"])
def test_eight_threads_get_what_one_gets(run_for, passes):
    run = run_for("bert", DROPS)
    calls = [call for call in CALLS if call[1] in passes] * 4
    expected = [run.predict(texts, mc_dropout=count) for texts, count in calls]
    fresh = Run.load(run.folder)  # its scorers are made by whichever thread comes first
    assert together(lambda call: fresh.predict(call[0], mc_dropout=call[1]), calls) == expected


def test_eight_threads_get_what_one_gets_of_every_family(family, run_for):
    run = run_for(family, "train.epochs=1")
    calls = [([text], passes) for passes in (0, 2) for text in TEXTS] * 3
    expected = [run.predict(texts, mc_dropout=count) for texts, count in calls]
    assert together(lambda call: run.predict(call[0], mc_dropout=call[1]), calls) == expected


def test_two_engines_and_another_run_drop_out_at_once_as_each_alone(run_for):
    run, other = run_for("bert", DROPS), run_for("distilbert")
    calls = [(run, "torch"), (run, "fast"), (other, "torch")] * 16

    def ask(call):
        return call[0].predict(TEXTS, mc_dropout=3, engine=call[1])

    assert together(ask, calls) == list(map(ask, calls))


def test_passes_with_dropout_are_the_same_while_another_thread_draws_from_torchs_generator(run_for):
    run, done = run_for("bert", DROPS), Event()
    expected = run.predict(TEXTS, mc_dropout=3)

    def draw():
        while not done.is_set():
            torch.rand(100)

    with ThreadPoolExecutor(1) as pool:
        drawing = pool.submit(draw)
        try:
            answers = [run.predict(TEXTS, mc_dropout=3) for _ in range(20)]
        finally:
            done.set()
        drawing.result()
    assert answers == [expected] * 20


def test_dropout_at_prediction_leaves_torchs_generator_and_the_plain_classifier_as_they_were(family, run_for):
    run = run_for(family, "train.epochs=1")
    run.predict(TEXTS, mc_dropout=1)  # loads what drops out
    modules = list(run.predictor.scorer.classifier.model.modules())
    before = torch.get_rng_state()
    run.predict(TEXTS, mc_dropout=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(module.training for module in modules)


def test_eight_threads_of_onnx_runtime_get_what_one_gets(run_for):
    pytest.importorskip("onnxruntime", reason="the extra rankwise[onnx] is not installed")
    run = run_for("bert")
    expected = [run.predict([text], engine="onnx") for text in TEXTS * 8]
    assert together(lambda text: run.predict([text], engine="onnx"), TEXTS * 8) == expected
