"""Operations follow the mathematics: what is adapted lower costs more, what is cached costs once."""

from __future__ import annotations

from functools import cache

import pytest

from rankwise.planning.operations import cache_bytes, cached_layers, per_text
from rankwise.planning.plan import plan
from rankwise.planning.workload import Work
from rankwise.recipe import Recipe

WORK = Work(9000, 1000, 7600, 9000 * 55.0, 1000 * 55.0, 7600 * 55.0, 128)
LAYER = 4 * 384 * 384 + 2 * 384 * 1536  # weights of one of MiniLM's six layers
LAST_2 = ("adapter.allocate={policy: last-k, k: 2}", "train.encoder_dropout=off")


@cache
def planned(*overrides):
    recipe = Recipe.load("quickstart", ["budget.parameters=null", *overrides])
    return plan(recipe, classes=4), recipe


def counted(*overrides, mean_tokens=1e-9):
    """Operations with attention's own products made negligible."""
    found, recipe = planned(*overrides)
    return per_text(found, recipe.train, mean_tokens=mean_tokens)


def test_forward_is_two_operations_a_weight_and_the_last_layer_mostly_for_the_first_token():
    found = counted()
    assert found.forward_token == pytest.approx(2 * (5 * LAYER + 2 * 384 * 384))  # keys and values of every token
    assert found.forward_row == pytest.approx(2 * (LAYER - 2 * 384 * 384))
    assert found.cached_token == 0
    whole = counted("train.speed.first_token=false")
    assert (whole.forward_token, whole.forward_row) == (pytest.approx(2 * 6 * LAYER), 0)


def test_ten_twelfths_of_the_last_layer_are_saved():
    fast, whole = counted(), counted("train.speed.first_token=false")
    assert (whole.forward_token - fast.forward_token) / (2 * LAYER) == pytest.approx(10 / 12)


def test_the_lowest_layer_needs_no_gradient_of_what_enters_its_lowest_adapted_maps():
    whole = ["train.speed.first_token=false", "adapter.rank=1"]

    def backward(*targets):
        found, _ = planned(*whole, f"adapter.targets=[{','.join(targets)}]")
        adapters = 4 * found.ledger.sections()["adapter"]
        return counted(*whole, f"adapter.targets=[{','.join(targets)}]").backward_token - adapters

    assert backward("query", "value") == pytest.approx(2 * (6 * LAYER - 3 * 384 * 384))
    assert backward("attention_output") == pytest.approx(2 * (6 * LAYER - 4 * 384 * 384))
    assert backward("ffn_in") == pytest.approx(2 * (5 * LAYER + 384 * 1536))
    assert backward("ffn_out") == pytest.approx(2 * 5 * LAYER)
    assert backward("ffn_out", "query") == backward("query")


def test_full_fine_tuning_makes_the_gradients_of_inputs_and_of_weights():
    found = counted("adapter.method=full", "train.speed.first_token=false")
    assert found.backward_token == pytest.approx(2 * found.forward_token)


def test_biases_alone_need_every_inputs_gradient_and_the_head_none():
    biases = counted("adapter.method=bias", "train.speed.first_token=false")
    assert biases.backward_token == pytest.approx(biases.forward_token)
    head = counted("adapter.method=head")
    assert (head.backward_token, head.backward_row) == (0, 0)


def test_layers_below_the_lowest_adapted_one_are_cached_where_they_are_constant_and_it_pays():
    assert counted(*LAST_2).cached_token == pytest.approx(2 * 4 * LAYER)
    for setting in ("train.encoder_dropout=keep", "train.epochs=1", "train.prefix_cache=off"):
        assert counted(*LAST_2, setting).cached_token == 0
    assert counted("base=albert-base-v2").cached_token == 0


def test_attention_costs_four_times_the_width_for_each_token_seen():
    short, long = counted("train.speed.first_token=false", mean_tokens=100), counted("train.speed.first_token=false")
    assert short.forward_token - long.forward_token == pytest.approx(6 * 4 * 384 * 100)


def test_alberts_shared_layer_runs_as_often_as_it_has_layers():
    found = counted("base=albert-base-v2")
    site_weights = sum(site.d_in * site.d_out for site in planned("base=albert-base-v2")[0].encoder.sites)
    assert found.forward_token == pytest.approx(2 * 12 * site_weights)


# --------------------------------------------------------------------------------------------------------------- cache


def test_the_cache_holds_two_bytes_a_number_for_every_training_and_validation_token():
    found, recipe = planned(*LAST_2)
    assert cache_bytes(found, recipe.train, WORK) == 10_000 * 55 * 384 * 2


def test_where_no_layer_is_left_the_cache_holds_one_token_a_text():
    found, recipe = planned("adapter.method=head", "train.encoder_dropout=off")
    assert cache_bytes(found, recipe.train, WORK) == 10_000 * 384 * 2
    assert cached_layers(found, recipe.train) == 6
