"""An exported classifier gives torch's logits in ONNX Runtime, for every family; what can't be trusted is refused."""

from __future__ import annotations

import hashlib
import random
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from conftest import CLASSES, FAMILIES, LONGEST, separable, tiny_tokenizer
from rankwise.data.batches import Padding, collate
from rankwise.data.tokens import tokenize
from rankwise.encoders.families import FAMILIES as families
from rankwise.errors import MissingExtra, ModelError, ReloadMismatch
from rankwise.inference.onnx_scorer import SEAL, TOLERANCE, load_onnx
from rankwise.inference.scorer import logits
from rankwise.inference.torch_scorer import TorchScorer
from rankwise.model.classifier import Classifier
from rankwise.run.export import onnx
from rankwise.run.export.onnx import export

pytestmark = pytest.mark.long

TEXTS = ["apple pear", "", "zinc", *separable(12, seed=5).texts, "rhine " * 100]
SPECIAL = [name for name in FAMILIES if families[name].onnx_opset or families[name].onnx_float_mask]


def batches(family, *shapes):
    """The texts' tokens in batches of given places."""
    tokenizer = tiny_tokenizer(family)
    tokens = tokenize(tokenizer, TEXTS, max_length=LONGEST)
    return [collate(tokens, list(rows), Padding.of(tokenizer)) for rows in shapes]


def stirred(classifier: Classifier) -> Classifier:
    """With adapters that change something: B starts at zero."""
    with torch.no_grad():
        for name, weight in classifier.model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.1, generator=torch.Generator().manual_seed(3))
    classifier.model.eval()
    return classifier


@pytest.fixture(scope="module")
def exported(built_for, tmp_path_factory):
    """A BERT with adapters, exported once: (classifier, path, difference)."""
    classifier = stirred(built_for("bert").classifier)
    path = tmp_path_factory.mktemp("onnx") / "bert.onnx"
    return classifier, path, export(classifier, batches("bert", [3, 4], [1], [0, 5, 15]), path, source="here")


@pytest.fixture(scope="module")
def program(exported):
    """Its graph, not yet in a file."""
    return onnx._program(exported[0], batches("bert", [3, 4])[0])


@pytest.mark.parametrize(
    "name", [name if name in SPECIAL else pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES]
)
def test_a_family_is_exported_with_the_logits_of_torch_in_any_shape(built_for, tmp_path, name):
    built = built_for(name)
    classifier = stirred(built.classifier)
    difference = export(classifier, batches(name, [3, 4], [1], range(3, 9)), tmp_path / "model.onnx")
    assert difference <= TOLERANCE
    loaded = load_onnx(tmp_path / "model.onnx", CLASSES)
    tokenizer = tiny_tokenizer(name)
    tokens, padding = tokenize(tokenizer, TEXTS, max_length=LONGEST), Padding.of(tokenizer)
    for batch_size in (1, 5):
        scorers = (loaded, TorchScorer(classifier))
        found, expected = (logits(scorer, tokens, padding=padding, batch_size=batch_size) for scorer in scorers)
        assert np.abs(found - expected).max() <= TOLERANCE


@pytest.mark.parametrize("name", ["bert", "deberta-v2"])
def test_a_pooled_head_is_exported_with_the_logits_of_torch_in_any_shape(built_for, tmp_path, name):
    classifier = stirred(built_for(name, "head.kind=pooled").classifier)
    assert export(classifier, batches(name, [3, 4], [1], range(3, 9)), tmp_path / "model.onnx") <= TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        ["adapter.method=dora"],
        ["adapter.method=rslora"],
        ["adapter.method=pissa"],
        ["adapter.method=bias"],
        ["adapter.method=head"],
        ["adapter.method=full"],
        ["adapter.bias=lora_only"],
        ["head.kind=slim"],
        ["adapter.method=adalora"],
        ["adapter.method=vera"],
        ["adapter.method=ia3"],
    ],
    ids=" ".join,
)
def test_a_method_is_exported_with_the_logits_of_torch(built_for, tmp_path, overrides):
    classifier = stirred(built_for("roberta", *overrides).classifier)
    assert export(classifier, batches("roberta", [3, 4], [1], range(3, 9)), tmp_path / "model.onnx") <= TOLERANCE


def test_the_adapters_count(exported, built_for):
    _, path, _ = exported
    (batch,) = batches("bert", [3, 4, 5])
    without = built_for("bert").classifier
    without.model.eval()
    found = load_onnx(path, CLASSES).logits(batch)
    assert not np.allclose(found, TorchScorer(without).logits(batch), atol=1e-2)


def test_exporting_leaves_the_classifier_as_it_was(exported):
    classifier, *_ = exported
    assert any("lora_A" in name for name, _ in classifier.model.named_parameters())
    assert any(isinstance(module, nn.Dropout) and module.p > 0 for module in classifier.model.modules())


def test_it_can_be_quantized_by_onnx_runtimes_own_tool(exported, tmp_path):
    quantization = pytest.importorskip("onnxruntime.quantization")
    from onnxruntime import InferenceSession

    classifier, path, _ = exported
    smaller = tmp_path / "int8.onnx"
    quantization.quantize_dynamic(path, smaller, weight_type=quantization.QuantType.QInt8)
    assert smaller.stat().st_size < 0.7 * path.stat().st_size
    (batch,) = batches("bert", range(3, 9))
    found, expected = InferenceSession(smaller).run(["logits"], dict(batch))[0], TorchScorer(classifier).logits(batch)
    assert np.corrcoef(found.ravel(), np.asarray(expected).ravel())[0, 1] > 0.98
    with pytest.raises(ModelError, match="not what rankwise exported"):  # nor within the tolerance that we tell
        load_onnx(smaller, CLASSES)


def test_the_file_remembers_how_close_it_came_and_where_from(exported):
    _, path, difference = exported
    loaded = load_onnx(path, CLASSES)
    assert 0 < loaded.difference == difference <= TOLERANCE
    assert (loaded.path, loaded.source) == (path, "here")


@pytest.mark.parametrize("threads", [1, 2])
def test_it_runs_on_as_many_threads_as_are_given(exported, threads):
    _, path, _ = exported
    session = load_onnx(path, CLASSES, threads=threads).session
    assert session.get_session_options().intra_op_num_threads == threads
    assert session.get_providers() == ["CPUExecutionProvider"]


def test_inputs_that_the_graph_does_not_have_are_refused(exported):
    _, path, _ = exported
    (batch,) = batches("bert", [3])
    with pytest.raises(ModelError, match="token_type_ids"):
        load_onnx(path, CLASSES).logits({**batch, "token_type_ids": batch["input_ids"]})


REFUSED = (
    r"not what rankwise exported \(its sha256 differs, or it has none\); copy it again, or delete it and it is made again"
)


def test_every_flipped_bit_and_every_cut_of_an_export_is_noticed(exported, tmp_path):
    """Also where ONNX Runtime would run it and answer otherwise."""
    whole, damaged, rng = exported[1].read_bytes(), tmp_path / "damaged.onnx", random.Random(0)
    ends = (0, 1, len(whole) - 70, len(whole) - 1)
    for place in (*ends, *rng.sample(range(len(whole)), 60)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << rng.randrange(8)
        for content in (flipped, whole[:place]):
            damaged.write_bytes(content)
            with pytest.raises(ModelError, match=rf"damaged.onnx: {REFUSED}"):
                load_onnx(damaged, CLASSES)


def test_its_digest_is_an_entry_of_its_metadata(exported):
    import onnx as format_

    _, path, _ = exported
    entries = {entry.key: entry.value for entry in format_.load(path).metadata_props}
    whole = path.read_bytes()
    assert entries["rankwise.sha256"] == hashlib.sha256(whole[: -len(SEAL) - 64]).hexdigest()
    format_.checker.check_model(path)


def test_a_file_that_is_not_ours_is_refused(exported, tmp_path):
    import onnx as format_

    _, path, _ = exported
    model = format_.load(path)
    del model.metadata_props[:]
    format_.save(model, tmp_path / "other.onnx")
    with pytest.raises(ModelError, match=REFUSED):
        load_onnx(tmp_path / "other.onnx", CLASSES)


# --------------------------------------------------------------------------------------------------------------- export


def test_a_graph_that_is_wrong_is_not_kept(exported, program, tmp_path, monkeypatch):
    classifier, *_ = exported
    monkeypatch.setattr(onnx, "_program", lambda *_: program)
    monkeypatch.setattr(onnx, "_torch_logits", lambda *_: [np.zeros((2, 3), np.float32)])
    with pytest.raises(ReloadMismatch, match=r"differ from torch's by up to .*, more than 1e-04; it was not kept"):
        export(classifier, batches("bert", [3, 4]), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_logits_that_are_nan_are_no_match(exported, tmp_path):
    _, path, _ = exported
    (batch,) = batches("bert", [3])
    with pytest.raises(ReloadMismatch):
        onnx._difference(load_onnx(path, CLASSES), [batch], [np.full((1, 3), np.nan, np.float32)])


def test_two_that_export_at_once_leave_one_whole_file(exported, program, tmp_path, monkeypatch):
    classifier, *_ = exported
    monkeypatch.setattr(onnx, "_program", lambda *_: program)
    threads = [
        threading.Thread(target=export, args=(classifier, batches("bert", [3, 4], [1]), tmp_path / "model.onnx"))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
    assert load_onnx(tmp_path / "model.onnx", CLASSES).difference <= TOLERANCE


def test_an_encoder_in_4_bits_is_refused(exported, tmp_path):
    classifier, *_ = exported
    adapter = classifier.plan.adapter.model_copy(update={"quantize": "nf4"})
    with pytest.raises(ModelError, match=r"in 4 bits, .*type --engine torch"):
        export(
            replace(classifier, plan=replace(classifier.plan, adapter=adapter)), batches("bert", [3]), tmp_path / "model.onnx"
        )


def test_a_model_beyond_what_one_file_holds_is_refused(exported, tmp_path, monkeypatch):
    classifier, *_ = exported
    monkeypatch.setattr(onnx, "LARGEST_FILE", 10_000)
    with pytest.raises(ModelError, match=r"bytes of weights, and one ONNX file holds 10,000; type --engine torch"):
        export(classifier, batches("bert", [3]), tmp_path / "model.onnx")


def test_an_encoder_that_torch_cannot_export_is_refused_by_name(exported, tmp_path, monkeypatch):
    class Branching(nn.Module):
        def __init__(self, model, _):
            super().__init__()
            self.model = model

        def forward(self, input_ids, attention_mask):
            if input_ids.sum().item() % 2:  # depends on the data, so there is no graph of it
                return input_ids.float()
            return attention_mask.float()

    classifier, *_ = exported
    monkeypatch.setattr(onnx, "_Logits", Branching)
    with pytest.raises(ModelError, match="can't export this encoder to ONNX; type --engine torch"):
        export(classifier, batches("bert", [3, 4]), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("missing", ["onnx", "onnxscript", "onnxruntime"])
def test_without_the_extra_the_message_names_it(exported, tmp_path, monkeypatch, missing):
    classifier, *_ = exported
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtra, match=rf"'{missing}' is not installed.*pip install .*\[export\]'"):
        export(classifier, batches("bert", [3, 4]), tmp_path / "model.onnx")
