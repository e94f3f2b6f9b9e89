"""What answering costs is planned: 8 bits where fp32 is too large, shorter texts where time is short, and nothing else."""

from __future__ import annotations

import re
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankwise.encoders.base import KNOWN
from rankwise.errors import OverDeployment
from rankwise.planning import deployment as planning
from rankwise.planning.deployment import HEADROOM, LENGTHS, deployable, deployment, forms_within, rows_line
from rankwise.planning.plan import plan
from rankwise.planning.workload import Work
from rankwise.recipe import BudgetSpec, Recipe

GFLOPS = 150.0
WORK = Work(9000, 1000, 7600, 9000 * 55.0, 1000 * 55.0, 7600 * 55.0, 128)


@cache
def planned(base="minilm"):
    return plan(Recipe.load("quickstart", [f"base={base}", "budget.parameters=null"]), classes=4)


def read(window=128, windows=1, *, gflops=GFLOPS, base="minilm", **budget):
    return deployment(planned(base), BudgetSpec(**budget), window=window, windows=windows, gflops=gflops)


def test_without_a_budget_fp32_is_told_and_nothing_is_cut():
    found = read(512, 3)
    assert (found.bits, found.form, found.window, found.windows, found.cuts) == (32, "onnx", 512, 3, False)
    weights = 4 * planned().encoder.total_parameters / 1e6
    assert weights < found.megabytes < weights + 3


@pytest.mark.parametrize(("artifact_mb", "bits"), [(100, 32), (90, 8), (25, 8)])
def test_8_bits_are_taken_only_where_fp32_is_too_large(artifact_mb, bits):
    found = read(artifact_mb=artifact_mb)
    assert found.bits == bits
    assert found.megabytes <= artifact_mb
    assert not found.cuts


def test_sizes_are_those_of_files_that_were_written():
    """MiniLM with a head for four classes: 91.2 MB in fp32 and 23.7 MB in 8 bits, tokenizer and configuration included."""
    assert read().megabytes == pytest.approx(91.2, rel=0.03)
    assert read(artifact_mb=50).megabytes == pytest.approx(23.7, rel=0.05)


@given(st.floats(2, 500), st.floats(1, 100), st.integers(16, 512), st.integers(1, 32))
def test_what_is_read_is_answered_in_time_and_more_time_never_reads_less(milliseconds, more, window, windows):
    try:
        found = read(window, windows, latency_ms=milliseconds)
    except OverDeployment:
        return
    assert found.milliseconds <= HEADROOM * milliseconds
    assert found.window <= window
    assert found.windows <= windows
    assert found.cuts == ((found.window, found.windows) != (window, windows))
    later = read(window, windows, latency_ms=milliseconds + more)
    assert later.bits >= found.bits or later.window * later.windows >= found.window * found.windows


def test_windows_go_before_tokens_and_tokens_come_in_few_lengths():
    long = read(128, 19, latency_ms=100)
    assert (long.window, long.bits) == (128, 8)
    assert 2 < long.windows < 19
    short = read(128, 19, latency_ms=10)
    assert short.windows == 1
    assert short.window in LENGTHS[:-1]


def test_8_bits_come_before_texts_are_cut_to_less_than_half():
    assert read(256, latency_ms=60).bits == 32
    assert read(256, latency_ms=20).bits == 8


@pytest.mark.parametrize("budget", [{"artifact_mb": 20}, {"latency_ms": 1}, {"artifact_mb": 20, "latency_ms": 1}])
def test_what_a_refusal_says_to_type_is_enough(budget):
    with pytest.raises(OverDeployment, match="budget") as refused:
        read(**budget)
    typed = dict(re.findall(r"--set budget\.(\w+)=([\d.]+)", str(refused.value)))
    assert set(typed) == set(budget)
    assert read(**{key: float(value) for key, value in typed.items()}).bits == 8


def test_a_large_base_is_pointed_to_a_small_one():
    with pytest.raises(OverDeployment, match=r"roberta-large has \d+ MB in 8 bits.*--set base=minilm"):
        read(base="roberta-large", artifact_mb=100)


def test_every_known_base_has_a_size_and_a_time():
    for base in KNOWN:
        found = read(base=base)
        assert found.megabytes > 4 * planned(base).encoder.total_parameters / 1e6
        assert found.milliseconds > 0


def test_where_no_encoder_fits_a_ladder_counts_words_and_other_recipes_are_refused(monkeypatch):
    monkeypatch.setattr(planning, "answering_gflops", lambda: GFLOPS)
    small = ["budget.artifact_mb=5"]
    auto = Recipe.load("auto", small)
    kept = deployable(auto, plan(auto, classes=4), WORK)
    assert kept.rungs == ("tfidf",)
    words = plan(kept, classes=4)
    assert words.counts_words
    assert words.ledger.budget == 312_500, "of 16 bytes each"
    assert deployment(words, kept.budget, window=128, gflops=GFLOPS).megabytes <= 5
    other = Recipe.load("quickstart", small)
    with pytest.raises(OverDeployment):
        deployable(other, plan(other, classes=4), WORK)
    roomy = Recipe.load("auto", ["budget.artifact_mb=30"])
    assert deployable(roomy, plan(roomy, classes=4), WORK) is roomy
    assert forms_within(plan(roomy, classes=4), roomy.budget) == ["onnx-int8"]


def test_few_validation_rows_are_told_what_they_can_show():
    line = rows_line(900, 0.5)
    rows = int(re.search(r"data\.split\.validation=(\d+)", line)[1])
    margin = float(re.search(r"budget\.max_loss=([\d.]+)", line)[1])
    assert rows_line(rows, 0.5) == "" == rows_line(900, margin)
    assert "no validation rows" in rows_line(0, 0.5)
    assert "max_loss" not in rows_line(0, 0.5)
