"""Memory is predicted from the plan, and rows at a time are chosen so that it fits, with the update's rows unchanged."""

from __future__ import annotations

import math
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankwise.errors import OverMemory
from rankwise.planning.memory import GB, HEADROOM, WORDS_BYTES, fit_batches, halved, of_baselines, peak_bytes, splits
from rankwise.planning.plan import plan
from rankwise.planning.workload import Work
from rankwise.recipe import Recipe

WORK = Work(9000, 1000, 7600, 9000 * 55.0, 1000 * 55.0, 7600 * 55.0, 128)


@cache
def planned(*overrides):
    recipe = Recipe.load("quickstart", ["budget.parameters=null", *overrides])
    return plan(recipe, classes=4), recipe


def peak(*overrides, rows=16, scored=1, work=WORK, bf16=False):
    return peak_bytes(*planned(*overrides), work, rows=rows, scored=scored, bf16=bf16)


# ---------------------------------------------------------------------------------------------------------------- peak


@given(st.integers(1, 300), st.integers(1, 300))
def test_more_rows_at_a_time_never_take_less(rows, scored):
    assert peak(rows=rows) <= peak(rows=rows + 1)
    assert peak(scored=scored) <= peak(scored=scored + 1)


@pytest.mark.parametrize(
    ("less", "more"),
    [
        (["adapter.allocate={policy: last-k, k: 2}"], []),
        (["adapter.method=head"], ["adapter.allocate={policy: last-k, k: 2}"]),
        ([], ["train.encoder_dropout=keep"]),
        ([], ["adapter.method=full"]),
        ([], ["base=roberta-base"]),
        ([], ["train.speed.first_token=false"]),
    ],
    ids=["top layers only", "head only", "dropout keeps masks", "full keeps averages", "a larger encoder", "every token"],
)
def test_what_needs_less_is_predicted_to_need_less(less, more):
    assert peak(*less, rows=64) < peak(*more, rows=64)


def test_a_budget_bounds_the_kernels_that_many_updates_would_gather():
    few = Work(64, 10, 10, 64 * 55.0, 550.0, 550.0, 128)
    added = [peak(work=work, bf16=True) - peak("budget.memory_gb=9", work=work, bf16=True) for work in (few, WORK)]
    assert 0 < added[0] < 0.3 * added[1]


def test_a_gpu_holds_weights_and_activations_and_no_libraries():
    on_gpu = peak_bytes(*planned(), WORK, rows=16, scored=1, gpu=True)
    assert 4 * 23_046_532 < on_gpu < peak(rows=16) - 480_000_000


def test_the_baseline_takes_more_for_each_class_and_for_a_token_where_rows_are_few():
    rates = {"few": (3.0, 0.5), "many": (2.0, 0.1)}
    assert of_baselines(WORK, 4, **rates) == pytest.approx(2.4 * 9000 * 55)
    assert of_baselines(WORK, 77, **rates) == pytest.approx(9.7 * 9000 * 55)
    few = Work(1000, 100, 100, 55_000.0, 5500.0, 5500.0, 128)
    assert of_baselines(few, 4, **rates) == pytest.approx(5.0 * 1000 * 55)


def test_a_run_that_counts_words_counts_them_with_and_without_baselines():
    words = ("head.kind=pooled", "head.start=fitted", "rungs=[tfidf]")
    assert peak(*words, "evaluate.baselines=false") == peak(*words) > WORDS_BYTES + 9000 * 55 * 70


def test_bf16_takes_less_for_activations():
    assert peak(rows=256, bf16=True) < peak(rows=256)


def test_long_texts_take_more_than_in_proportion():
    def added(longest):
        work = Work(100, 10, 10, 100.0, 10.0, 10.0, longest)
        return peak(rows=16, work=work) - peak(rows=16, work=Work(100, 10, 10, 100.0, 10.0, 10.0, 1))

    assert added(512) > 4.5 * added(128)


def test_a_full_fine_tune_holds_gradients_and_averages_of_every_weight():
    difference = peak("adapter.method=full", rows=1) - peak("adapter.method=head", rows=1)
    assert difference > 3 * 4 * 22_000_000


# ----------------------------------------------------------------------------------------------------------- the split


@given(st.integers(1, 300))
def test_splits_are_the_rounded_up_parts_of_a_batch(batch_size):
    found = splits(batch_size)
    assert found[0] == batch_size
    assert found[-1] == 1
    assert all(size == math.ceil(batch_size / math.ceil(batch_size / size)) for size in found)
    assert found == sorted(set(found), reverse=True)


def test_sixteen_rows_are_split_so():
    assert splits(16) == [16, 8, 6, 4, 3, 2, 1]


@given(st.floats(0.85, 3), st.sampled_from([1, 5, 16, 64]))
def test_the_largest_split_that_fits_is_chosen(memory_gb, batch_size):
    found, recipe = planned(f"train.batch_size={batch_size}")
    capped = recipe.with_overrides([f"budget.memory_gb={memory_gb}"])
    try:
        rows, scored = fit_batches(found, capped, WORK)
    except OverMemory:
        assert peak_bytes(found, capped, WORK, rows=1, scored=1) > HEADROOM * memory_gb * GB
        return
    assert rows in splits(batch_size)
    larger = [size for size in splits(batch_size) if size > rows]
    assert all(peak_bytes(found, capped, WORK, rows=size, scored=size) > HEADROOM * memory_gb * GB for size in larger)
    assert peak_bytes(found, capped, WORK, rows=rows, scored=scored) <= memory_gb * GB


def test_without_a_budget_the_recipes_sizes_stay():
    found, recipe = planned("train.batch_size=64", "train.micro_batch_size=24", "evaluate.batch_size=100")
    assert fit_batches(found, recipe, WORK) == (24, 100)


def test_a_recipes_own_micro_batch_is_never_made_larger():
    found, recipe = planned("train.batch_size=64", "train.micro_batch_size=4", "budget.memory_gb=50")
    assert fit_batches(found, recipe, WORK)[0] == 4


def test_less_than_one_row_needs_is_refused_with_what_to_type():
    found, recipe = planned("budget.memory_gb=0.3", "base=roberta-base")
    with pytest.raises(OverMemory, match=r"budget.memory_gb is 0.3, but one row of 128 tokens on roberta-base") as refused:
        fit_batches(found, recipe, WORK)
    typed = float(str(refused.value).split("--memory-gb ")[1].split(",")[0])
    assert fit_batches(found, recipe.with_overrides([f"budget.memory_gb={typed}"]), WORK)[0] >= 1
    assert "--set base=minilm" in str(refused.value)


def test_a_micro_batch_is_halved_down_to_one_row_and_then_refused():
    sizes = [16]
    while sizes[-1] > 1:
        sizes.append(halved(sizes[-1]))
    assert sizes == [16, 8, 4, 2, 1]
    assert halved(5) == 3
    with pytest.raises(OverMemory, match=r"memory ran out with one row at a time; type --set data.max_length"):
        halved(1)
