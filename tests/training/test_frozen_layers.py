"""What frozen layers give once: training from cached hidden states."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch

from conftest import prepared
from rankwise.data.batches import Padding
from rankwise.errors import StorageError
from rankwise.model.classifier import quiet_dropout
from rankwise.model.hidden_cache import HiddenStatesCache
from rankwise.model.load import load_tokenizer
from rankwise.planning.operations import cached_layers
from rankwise.system.cores import has_bf16
from rankwise.system.events import Events, WorkDone
from rankwise.system.sealed import SEAL, sealed_folder
from rankwise.training.events import HiddenStatesCached
from rankwise.training.frozen_layers import BATCH, MEMORY_SHARE, FrozenLayers, frozen_layers
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
    hidden = frozen_layers(built, cache, Events(heard.append)).train
    validation = Validation(built.classifier, built.padding, batch_size=8)
    tokens = built.data.train.tokens
    np.testing.assert_allclose(validation.logits(tokens, hidden), validation.logits(tokens), rtol=1e-2, atol=5e-3)
    again = built_for(family, *changes, "train.seed=5")  # another run: other adapters, the same frozen layers
    frozen_layers(again, cache, Events(heard.append))
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
        assert frozen_layers(built_for(family, *changes), cache, Events()) == FrozenLayers(), (family, changes)


@contextmanager
def as_sealed(folder):
    """A sealed folder's files to change, sealed again."""
    with sealed_folder(folder) as draft:
        shutil.copytree(folder, draft, dirs_exist_ok=True)
        (draft / SEAL).unlink()
        yield draft


def no_memory(monkeypatch):
    monkeypatch.setattr("rankwise.training.frozen_layers.HELD_IN_MEMORY", 10)


def test_a_cache_without_room_is_told_where_memory_has_none_either_and_nothing_is_kept(built_for, tmp_path, monkeypatch):
    no_memory(monkeypatch)
    cache, heard = HiddenStatesCache(tmp_path, limit_bytes=10), []
    assert frozen_layers(built_for("bert", *TOP), cache, Events(heard.append)) == FrozenLayers(recomputed=True)
    assert [event.stored for event in heard] == [False]


@pytest.mark.parametrize("changes", [TOP, (*TOP, "train.precision=bf16"), (*TOP, "adapter.method=head", "head.start=fitted")])
def test_a_seed_gives_the_same_bytes_with_and_without_room_on_disk(fit_for, tmp_path, changes):
    if "train.precision=bf16" in changes and not has_bf16():
        pytest.skip("this machine has no instructions for bf16")
    with_room = fit_for(*changes, folder="room", cache=HiddenStatesCache(tmp_path / "cache", limit_bytes=10**8))
    without = fit_for(*changes, folder="none", cache=HiddenStatesCache(tmp_path / "full", limit_bytes=0))
    assert [event.where for event in (*with_room.heard("prefix"), *without.heard("prefix"))] == [
        *2 * ["the cache"],
        *2 * ["memory"],
    ]
    assert not (tmp_path / "full").exists()
    for name, weight in with_room.weights().items():
        assert torch.equal(without.weights()[name], weight), name


def test_without_room_anywhere_a_seed_gives_the_bytes_of_no_cache_and_the_run_says_so(fit_for, tmp_path, monkeypatch):
    no_memory(monkeypatch)
    full = fit_for(*TOP, folder="full", cache=HiddenStatesCache(tmp_path / "cache", limit_bytes=0))
    never = fit_for(*TOP, "train.prefix_cache=off", folder="never")
    assert (full.fitted.recomputes, never.fitted.recomputes) == (True, False)
    for name, weight in never.weights().items():
        assert torch.equal(full.weights()[name], weight), name


def test_a_training_that_recomputes_goes_on_so_where_there_is_room_by_now(fit_for, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        no_memory(patch)
        fit_for(*TOP, folder="one", cache=HiddenStatesCache(tmp_path / "cache", limit_bytes=0))
    goes_on = fit_for(*TOP, folder="one", resume=True, cache=HiddenStatesCache(tmp_path / "cache", limit_bytes=10**8))
    assert goes_on.fitted.recomputes
    assert [(event.stored, event.as_before) for event in goes_on.heard("prefix")] == [(False, True)]


@pytest.mark.parametrize("has_room", [True, False])
def test_a_checkpoint_that_does_not_say_whether_it_recomputes_goes_on_as_a_new_training_would(
    fit_for, tmp_path, monkeypatch, has_room
):
    before = fit_for(*TOP, folder="one", cache=HiddenStatesCache(tmp_path / "cache", limit_bytes=10**8))
    for step in before.checkpoints.steps():
        said = json.loads((before.checkpoints.folder / f"step-{step}" / "state.json").read_text("utf-8"))
        del said["progress"]["recomputes"]
        with as_sealed(before.checkpoints.folder / f"step-{step}") as folder:
            (folder / "state.json").write_text(json.dumps(said), "utf-8")
    if not has_room:
        no_memory(monkeypatch)
    cache = HiddenStatesCache(tmp_path / "cache", limit_bytes=10**8 * has_room)
    goes_on = fit_for(*TOP, folder="one", resume=True, cache=cache)
    assert goes_on.fitted.recomputes == (not has_room)
    assert not any(event.as_before for event in goes_on.heard("prefix"))


def test_memory_is_shared_by_the_processes_of_a_launch(built_for, tmp_path, monkeypatch):
    built, cache = built_for("bert", *TOP), HiddenStatesCache(tmp_path, limit_bytes=0)
    heard = []
    frozen_layers(built, cache, Events(heard.append))
    kept = sum(event.bytes for event in heard if isinstance(event, HiddenStatesCached))
    monkeypatch.setattr("rankwise.training.frozen_layers.available_bytes", lambda: kept / MEMORY_SHARE)
    assert frozen_layers(built, cache, Events()).train is not None
    of_two = replace(built, device=replace(built.device, processes=2))
    assert frozen_layers(of_two, cache, Events()) == FrozenLayers(recomputed=True)


def test_a_training_that_kept_states_asks_for_room_where_there_is_none_by_now(built_for, tmp_path, monkeypatch):
    no_memory(monkeypatch)
    with pytest.raises(StorageError, match=r"no room for their 0.00 GB now; .* \(RANKWISE_CACHE_GB\), or type --overwrite"):
        frozen_layers(built_for("bert", *TOP), HiddenStatesCache(tmp_path, limit_bytes=0), Events(), as_before=False)


def test_freed_memory_goes_back_while_the_cache_is_filled(built_for, tmp_path, monkeypatch):
    given_back = []
    monkeypatch.setattr("rankwise.data.batches.TRIM_EVERY", 1)
    monkeypatch.setattr("rankwise.data.batches.return_freed_memory", lambda: given_back.append(1))
    built = built_for("bert", *TOP)
    frozen_layers(built, HiddenStatesCache(tmp_path, limit_bytes=10**8), Events())
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
