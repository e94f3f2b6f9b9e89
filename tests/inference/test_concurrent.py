"""Eight threads that share a run each get what one alone gets, those that drop out at random beside those that don't."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from rankwise.run.folder import Run

TEXTS = ["apple and pear", "zinc " * 60, "danube the volga , near iron", "rhine"]
CALLS = [([text], passes) for passes in (0, 3, 1) for text in TEXTS] + [(TEXTS, 0), (TEXTS, 2)]


@pytest.mark.parametrize("passes", [(0,), (1, 2, 3), (0, 1, 2, 3)], ids=["plain", "mc dropout", "both"])
def test_eight_threads_get_what_one_gets(run_for, passes):
    run = run_for("bert", "adapter.dropout=0.3")
    calls = [call for call in CALLS if call[1] in passes] * 4
    expected = [run.predict(texts, mc_dropout=count) for texts, count in calls]
    fresh = Run.load(run.folder)  # its scorers are made by whichever thread comes first
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda call: fresh.predict(call[0], mc_dropout=call[1]), calls))
    for answer, wanted in zip(answers, expected, strict=True):
        for ours, alone in zip(answer, wanted, strict=True):
            assert ours.probabilities == pytest.approx(alone.probabilities, abs=1e-6)


def test_eight_threads_of_onnx_runtime_get_what_one_gets(run_for):
    pytest.importorskip("onnxruntime", reason="the extra rankwise[onnx] is not installed")
    run = run_for("bert")
    expected = [run.predict([text], engine="onnx") for text in TEXTS * 8]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda text: run.predict([text], engine="onnx"), TEXTS * 8)) == expected
