"""A saved classifier read without transformers gives the logits of the one that transformers and peft load, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from conftest import CLASSES, FAMILIES, prepared, save_tiny, tiny_tokenizer
from rankwise.data.batches import Padding
from rankwise.inference.scorer import logits
from rankwise.inference.torch_scorer import TorchScorer
from rankwise.model.adapters import load, save
from rankwise.model.classifier import ADAPTER_FILE, MODEL_FILE
from rankwise.model.skeleton import read_folded

FAST = ["bert", "roberta", "distilbert", "electra"]
METHODS = ["lora", "rslora", "adalora", "full", "bias", "head"]


def saved(built, folder):
    """The classifier in a folder, its adapter stirred so that it changes something."""
    with torch.no_grad():
        for name, weight in built.classifier.trainable().items():
            if "lora_" in name:
                nn.init.normal_(weight, std=0.1, generator=torch.Generator().manual_seed(3))
    folder.mkdir(exist_ok=True)
    save(built.classifier, folder, base=built.base)
    return folder


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("family", "changes"),
    [
        *((family, ()) for family in FAST),
        *(("bert", (f"adapter.method={method}",)) for method in METHODS),
        ("roberta", ("head.kind=slim",)),
        ("bert", ("adapter.bias=all",)),
        ("electra", ("adapter.bias=lora_only",)),
    ],
    ids=str,
)
def test_its_logits_are_the_same_to_the_bit(built_for, tmp_path, family, changes, precision):
    built = built_for(family, *changes)
    folder = saved(built, tmp_path / "run")
    source = built.base if built.plan.adapter.is_apart else type(built.base)("run", None, str(folder), None, None)
    folded = read_folded(folder, source, built.plan, CLASSES)
    loaded = load(folder, source, built.plan, CLASSES)
    split, padding = prepared(built.recipe).train, Padding.of(tiny_tokenizer(family))
    scorers = (TorchScorer(folded, precision), TorchScorer(loaded, precision))
    for batch_size in (1, 5):  # a single text takes other kernels, whose sums go by where weights lie
        ours, theirs = (logits(scorer, split.tokens, padding=padding, batch_size=batch_size) for scorer in scorers)
        assert np.array_equal(ours, theirs)
    assert np.ptp(theirs) > 0.01, "the logits tell texts apart"


@pytest.mark.parametrize("method", ["dora", "ia3", "pissa", "prefix"])
def test_an_adapter_that_is_no_exact_change_of_weights_is_left_to_peft(built_for, tmp_path, method):
    built = built_for("bert", f"adapter.method={method}")
    assert read_folded(saved(built, tmp_path / "run"), built.base, built.plan, CLASSES) is None


@pytest.mark.parametrize("family", [name for name in FAMILIES if name not in FAST])
def test_a_family_without_a_fast_path_is_left_to_transformers(built_for, tmp_path, family):
    built = built_for(family)
    assert read_folded(saved(built, tmp_path / "run"), built.base, built.plan, CLASSES) is None


def test_an_activation_that_torch_does_not_have_is_left_to_transformers(built_for, tmp_path):
    from dataclasses import replace

    built = built_for("bert")
    folder = saved(built, tmp_path / "run")
    other = replace(built.plan.encoder, config={**built.plan.encoder.config, "hidden_act": "gelu_new"})
    assert read_folded(folder, built.base, replace(built.plan, encoder=other), CLASSES) is None


def misalign(file):
    """Lengthen a safetensors file's header by spaces, which the format allows, until its numbers begin at 2 past a 4."""
    content = file.read_bytes()
    length = int.from_bytes(content[:8], "little")
    spaces = (2 - 8 - length) % 4
    file.write_bytes(
        (length + spaces).to_bytes(8, "little") + content[8 : 8 + length] + b" " * spaces + content[8 + length :]
    )


@pytest.mark.parametrize("method", ["lora", "vera", "full"])
def test_weights_that_their_file_misaligns_are_read_into_aligned_memory(built_for, tmp_path, method):
    base = save_tiny("bert", tmp_path / "base")
    built = built_for("bert", f"base={base}", f"adapter.method={method}")
    folder = saved(built, tmp_path / "run")
    source = built.base if built.plan.adapter.is_apart else type(built.base)("run", None, str(folder), None, None)
    readers = (load, read_folded)
    before = [
        {name: weight.clone() for name, weight in reader(folder, source, built.plan, CLASSES).model.named_parameters()}
        for reader in readers
    ]  # out of the pages, whose file is written anew
    for file in (base / MODEL_FILE, folder / ADAPTER_FILE, folder / MODEL_FILE):
        if file.is_file():
            misalign(file)
    for reader, aligned in zip(readers, before, strict=True):
        read = dict(reader(folder, source, built.plan, CLASSES).model.named_parameters())
        assert not [name for name, weight in read.items() if weight.data_ptr() % weight.element_size()]
        assert read.keys() == aligned.keys()
        assert all(torch.equal(weight, aligned[name]) for name, weight in read.items())
