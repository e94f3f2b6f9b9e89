"""One encoder in memory answers for many runs: each row as its own run's classifier would, whatever its batch mates are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from conftest import CLASSES, prepared, tiny_tokenizer
from rankwise.data.batches import Padding, collate
from rankwise.inference.torch_scorer import TorchScorer
from rankwise.model.adapters import save
from rankwise.model.shared import SharedEncoder
from rankwise.model.skeleton import read_folded

FAST = ["bert", "roberta", "distilbert", "electra"]
TOLERANCE = 1e-4
UPPER = ("adapter.allocate.policy=last-k", "adapter.allocate.k=1")
MEAN = ("head.kind=pooled", "head.pooling=mean")


def saved(built, folder, seed, *, std=0.2):
    """The run's parts in a folder, all that it trains stirred."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in built.classifier.trainable().values():
            nn.init.normal_(weight, std=std, generator=generator)
    folder.mkdir()
    save(built.classifier, folder, base=built.base)
    return folder


def base_of(built, folder):
    return built.base if built.plan.adapter.is_apart else type(built.base)("run", None, str(folder), None, None)


def residents(built_for, tmp_path, family, *settings, std=0.2):
    """A shared encoder with an adapter for each setting, and each one's own classifier."""
    shared, adapters, alone = None, [], []
    for number, changes in enumerate(settings):
        built = built_for(family, *changes)
        folder = saved(built, tmp_path / str(number), number, std=std)
        base = base_of(built, folder)
        shared = shared or SharedEncoder.of(base, built.plan, folder)
        assert shared is not None
        assert shared.holds(base, built.plan, folder)
        adapters.append(shared.adapter(folder, built.plan))
        alone.append(TorchScorer(read_folded(folder, base, built.plan, CLASSES)))
    return shared, adapters, alone, prepared(built_for(family).recipe).train.tokens, Padding.of(tiny_tokenizer(family))


@pytest.mark.parametrize("std", [0.2, 0.05], ids=["large", "as trained"])
@pytest.mark.parametrize("family", FAST)
def test_every_row_of_a_mixed_batch_has_its_own_runs_logits(built_for, tmp_path, family, std):
    settings = ((), UPPER, ("adapter.method=rslora",), ("adapter.method=adalora",), MEAN, (*MEAN, *UPPER), ())
    shared, adapters, alone, tokens, padding = residents(built_for, tmp_path, family, *settings, std=std)
    rng = np.random.default_rng(0)
    for _ in range(5):
        texts = rng.integers(0, 4, size=12)  # of four, so that texts come again
        owners = rng.integers(0, len(adapters), size=12)
        found = shared.logits(collate(tokens, texts, padding), [adapters[owner] for owner in owners])
        for text, owner, logits in zip(texts, owners, found, strict=True):
            own = np.asarray(alone[owner].logits(collate(tokens, [text], padding)))[0]
            assert np.abs(logits - own).max() < TOLERANCE
    everything = collate(tokens, list(range(len(tokens))), padding)
    one, other = (np.stack(shared.logits(everything, [adapter] * len(tokens))) for adapter in (adapters[0], adapters[-1]))
    assert np.abs(one - other).max() > std / 2, "two adapters on the same settings answer otherwise"


@pytest.mark.parametrize("family", FAST)
def test_rows_with_the_same_tokens_share_the_layers_below_their_adapters(built_for, tmp_path, family):
    shared, adapters, _, tokens, padding = residents(built_for, tmp_path, family, UPPER, UPPER, UPPER)
    computed = []
    for layer in shared.forward.layers:
        layer.ffn_in = counting(layer.ffn_in, computed)
    shared.logits(collate(tokens, [0, 0, 0], padding), adapters)
    assert computed == [1] * (len(shared.forward.layers) - 1) + [3]


def test_an_adapter_lies_in_16_bits_unless_rounding_it_would_show(built_for, tmp_path):
    built = built_for("bert")
    kinds = []
    for std in (0.05, 2.0):
        folder = saved(built, tmp_path / str(std), 0, std=std)
        shared = SharedEncoder.of(built.base, built.plan, folder)
        updates = shared.adapter(folder, built.plan).updates.values()
        kinds.append({matrix.dtype for update in updates for matrix in (update.a, *(b for _, _, b in update.bs))})
    assert kinds == [{torch.int16}, {torch.float32}]


def counting(linear, computed):
    def called(x, fold):
        computed.append(len(x))
        return linear(x, fold)

    return called


def test_a_run_that_holds_the_whole_model_shares_an_encoder_with_the_same_numbers(built_for, tmp_path):
    settings = (MEAN, ("adapter.method=head", *MEAN), ("adapter.method=head",))
    shared, adapters, alone, tokens, padding = residents(built_for, tmp_path, "bert", *settings)
    found = shared.logits(collate(tokens, [0, 1, 2], padding), adapters)
    for text, (logits, scorer) in enumerate(zip(found, alone, strict=True)):
        assert np.abs(logits - np.asarray(scorer.logits(collate(tokens, [text], padding)))[0]).max() < TOLERANCE
    assert adapters[1].lowest == len(shared.forward.layers)


@pytest.mark.parametrize("changes", [("adapter.method=full",), ("adapter.method=bias",)], ids=str)
def test_an_encoder_whose_weights_were_trained_is_another(built_for, tmp_path, changes):
    built = built_for("bert")
    shared = SharedEncoder.of(built.base, built.plan, saved(built, tmp_path / "one", 0))
    other = built_for("bert", *changes)
    folder = saved(other, tmp_path / "other", 1)
    assert shared is not None
    assert not shared.holds(base_of(other, folder), other.plan, folder)


@pytest.mark.parametrize("changes", [("adapter.method=dora",), ("adapter.method=ia3",), ("adapter.bias=all",)], ids=str)
def test_an_adapter_that_is_more_than_a_low_rank_update_is_not_taken(built_for, tmp_path, changes):
    built = built_for("bert", *changes)
    folder = saved(built, tmp_path / "run", 0)
    shared = SharedEncoder.of(built.base, built.plan, folder)
    assert shared is not None
    assert shared.adapter(folder, built.plan) is None


def test_a_family_without_a_fast_path_is_not_shared(built_for, tmp_path):
    built = built_for("albert")
    assert SharedEncoder.of(built.base, built.plan, saved(built, tmp_path / "run", 0)) is None
