"""What frozen layers give once: training from cached hidden states."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from conftest import prepared
from rankwise.data.batches import Padding
from rankwise.model.classifier import quiet_dropout
from rankwise.model.hidden_cache import HiddenStatesCache
from rankwise.model.load import load_tokenizer
from rankwise.planning.operations import cached_layers
from rankwise.system.events import Events, WorkDone
from rankwise.training.events import HiddenStatesCached
from rankwise.training.frozen_layers import BATCH, cached_hidden_states
from rankwise.training.validation import Validation

TOP = ("adapter.allocate.policy=last-k", "adapter.allocate.k=1", "train.encoder_dropout=off")


def parts(built):
    return prepared(built.recipe), Padding.of(load_tokenizer(built.base))


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "electra"])
@pytest.mark.parametrize("changes", [TOP, (*TOP, "adapter.method=head")], ids=["top layer", "head"])
def test_logits_from_the_cache_are_those_without_to_half_precision(built_for, tmp_path, family, changes):
    built = built_for(family, *changes)
    assert cached_layers(built.plan, built.recipe.train) == built.plan.lowest_layer > 0
    cache, heard = HiddenStatesCache(tmp_path, limit_bytes=10**8), []
    hidden = cached_hidden_states(built, cache, Events(heard.append))["train"]
    validation = Validation(built.classifier, built.padding, batch_size=8)
    tokens = built.data.train.tokens
    np.testing.assert_allclose(validation.logits(tokens, hidden), validation.logits(tokens), rtol=1e-2, atol=5e-3)
    again = built_for(family, *changes, "train.seed=5")  # another run: other adapters, the same frozen layers
    cached_hidden_states(again, cache, Events(heard.append))
    assert [event.reused for event in heard if isinstance(event, HiddenStatesCached)] == [False, False, True, True]
    batches = -(-len(tokens) // BATCH)
    assert WorkDone("frozen layers, batches of texts", batches, batches) in heard, "whoever shows it hears how far it is"


def test_a_whole_training_from_the_cache_ends_where_one_without_does(fit_for, tmp_path):
    plain = fit_for(*TOP, "train.prefix_cache=off", folder="plain")
    cached = fit_for(*TOP, folder="cached", cache=HiddenStatesCache(tmp_path / "cache", limit_bytes=10**8))
    assert [event.split for event in cached.heard("prefix")] == ["train", "validation"]
    assert not plain.heard("prefix")
    for name, weight in plain.weights().items():
        torch.testing.assert_close(cached.weights()[name], weight, rtol=0.1, atol=0.02)
    assert cached.fitted.best.accuracy == pytest.approx(plain.fitted.best.accuracy, abs=0.1)


def test_nothing_is_cached_where_nothing_below_is_constant_or_known_or_it_does_not_pay(built_for, tmp_path):
    top = TOP[:2]
    cache = HiddenStatesCache(tmp_path, limit_bytes=10**8)
    for family, changes in (
        ("bert", ("train.encoder_dropout=off",)),  # adapters in every layer
        ("bert", top),  # dropout below
        ("bert", (*TOP, "train.prefix_cache=off")),
        ("bert", (*TOP, "adapter.bias=all")),
        ("bert", (*TOP, "train.epochs=1")),
        ("modernbert", TOP),  # layers built otherwise
    ):
        assert cached_hidden_states(built_for(family, *changes), cache, Events()) == {}, (family, changes)


def test_a_cache_without_room_is_told_and_nothing_is_kept(built_for, tmp_path):
    cache, heard = HiddenStatesCache(tmp_path, limit_bytes=10), []
    assert cached_hidden_states(built_for("bert", *TOP), cache, Events(heard.append)) == {}
    assert [event.stored for event in heard] == [False]


def test_freed_memory_goes_back_while_the_cache_is_filled(built_for, tmp_path, monkeypatch):
    given_back = []
    monkeypatch.setattr("rankwise.data.batches.TRIM_EVERY", 1)
    monkeypatch.setattr("rankwise.data.batches.return_freed_memory", lambda: given_back.append(1))
    built = built_for("bert", *TOP)
    cached_hidden_states(built, HiddenStatesCache(tmp_path, limit_bytes=10**8), Events())
    assert len(given_back) >= len(built.data.train) / BATCH


def test_dropout_only_in_the_adapted_layers(built_for):
    built = built_for("bert", *TOP[:2], "train.encoder_dropout=adapted")
    assert quiet_dropout(built.classifier, below=2) > 0
    rates = {
        name: module.p for name, module in built.classifier.model.named_modules() if isinstance(module, torch.nn.Dropout)
    }
    assert rates["base_model.model.bert.encoder.layer.2.output.dropout"] == pytest.approx(0.1)
    assert rates["base_model.model.bert.encoder.layer.1.output.dropout"] == 0
    assert rates["base_model.model.bert.embeddings.dropout"] == 0
