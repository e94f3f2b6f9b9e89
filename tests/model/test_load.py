"""A base is found, checked and loaded as it is, or refused by name; nothing else on the way changes."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys

import pytest
import torch
from transformers import AutoTokenizer

from conftest import CLASSES, FAMILIES, LONGEST, save_tiny, tiny_tokenizer
from rankwise.encoders.describe import find
from rankwise.encoders.known import KNOWN
from rankwise.errors import MissingExtra, ModelError
from rankwise.model import load
from rankwise.model.load import Base, check_match, load_encoder, load_tokenizer, locate, longest_text, sha256

minilm = pytest.mark.skipif(importlib.util.find_spec(load.MINILM_PACKAGE) is None, reason="rankwise[minilm] is not installed")


# --------------------------------------------------------------------------------------------------------------- minilm


@minilm
def test_minilm_is_found_and_checked_without_importing_its_package():
    code = (
        "import sys; from rankwise.model.load import locate, MINILM_PACKAGE; base = locate('minilm');"
        "print(MINILM_PACKAGE in sys.modules, base.hub, base.sha256)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert out == ["False", "sentence-transformers/all-MiniLM-L6-v2", load.MINILM_SHA256]


@minilm
def test_a_damaged_minilm_is_refused_with_the_command_that_mends_it(tmp_path, monkeypatch):
    copy = tmp_path / "model"
    shutil.copytree(locate("minilm").location, copy)
    monkeypatch.setattr(load, "_minilm_folder", lambda: copy)
    assert locate("minilm").location == str(copy), "a whole copy does"
    with (copy / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        byte = file.read(1)
        file.seek(-1, 2)
        file.write(bytes([byte[0] ^ 1]))
    with pytest.raises(ModelError, match=r"has sha256 \w{12}…, expected 53aa51172d14….*pip install --force-reinstall"):
        locate("minilm")


def test_a_missing_minilm_package_names_the_extra(monkeypatch):
    monkeypatch.setattr(load, "MINILM_PACKAGE", "a_package_that_nobody_installed")
    with pytest.raises(MissingExtra, match=r"pip install 'rankwise\[minilm\]'"):
        locate("minilm")


# --------------------------------------------------------------------------------------------------------------- finding


def test_a_folder_is_its_own_place_and_has_a_digest(tiny):
    folder = tiny("bert")
    base = locate(str(folder))
    assert (base.location, base.hub, base.revision) == (str(folder), None, None)
    assert base.sha256 == sha256(folder / "model.safetensors")


def test_a_known_name_is_its_hub_id_and_any_other_name_is_one_itself():
    assert locate("roberta-base", revision="main") == Base(
        "roberta-base", KNOWN["roberta-base"].hub, KNOWN["roberta-base"].hub, "main", None
    )
    assert locate("someone/something").hub == "someone/something"


def test_a_digest_is_hashlibs(tmp_path):
    import hashlib

    (tmp_path / "file").write_bytes(bytes(range(256)) * 10_000)
    assert sha256(tmp_path / "file") == hashlib.sha256(bytes(range(256)) * 10_000).hexdigest()


# -------------------------------------------------------------------------------------------------------------- tokenizers


def test_a_tokenizer_that_cannot_pad_is_refused(tmp_path):
    tokenizer = tiny_tokenizer("bert")
    tokenizer.pad_token = None
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="its tokenizer has no padding token; expected an encoder's tokenizer"):
        load_tokenizer(Base("nopad", None, str(tmp_path), None, None))


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    with pytest.raises(ModelError, match="can't load the tokenizer"):
        load_tokenizer(Base("empty", None, str(tmp_path), None, None))


def test_a_tokenizer_with_more_tokens_than_embeddings_is_refused(tiny):
    base = locate(str(tiny("bert")))
    model, _ = load_encoder(base, CLASSES, seed=0)
    tokenizer = load_tokenizer(base)
    check_match(tokenizer, model, "tiny")
    tokenizer.add_tokens(["one", "more"])
    with pytest.raises(ModelError, match="the tokenizer has 52 tokens, the encoder embeds 50; they do not belong together"):
        check_match(tokenizer, model, "tiny")


def test_the_longest_text_is_what_the_encoder_still_takes(family, tiny):
    folder = tiny(family)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.model_max_length = 10**30  # as tokenizers have it that know no limit
    longest = longest_text(tokenizer, find(str(folder), classes=3))
    row = FAMILIES[family]
    assert longest == (LONGEST if row.positions else 1_000_000)
    model, _ = load_encoder(locate(str(folder)), CLASSES, seed=0)
    with torch.inference_mode():
        model(input_ids=torch.full((1, min(longest, 2 * LONGEST)), 7))
    if row.positions and row.fails_beyond:
        with pytest.raises((IndexError, RuntimeError)):
            model(input_ids=torch.full((1, longest + 1), 7))


def test_the_tokenizers_own_limit_counts_where_it_is_smaller(tiny):
    tokenizer = AutoTokenizer.from_pretrained(tiny("roberta"))
    tokenizer.model_max_length = 40
    assert longest_text(tokenizer, find(str(tiny("roberta")), classes=3)) == 40


# ---------------------------------------------------------------------------------------------------------------- models


def test_new_tensors_are_named_and_labels_are_set(family, tiny):
    folder = tiny(family)
    model, new = load_encoder(locate(str(folder)), CLASSES, seed=0)
    head = [name for part in find(str(folder), classes=3).head for name, _ in part.tensors]
    assert set(new) == set(head)
    assert model.config.id2label == {0: "fruit", 1: "metal", 2: "river"}
    assert model.config.label2id == {"fruit": 0, "metal": 1, "river": 2}
    assert model(input_ids=torch.tensor([[5, 6, 7]])).logits.shape == (1, 3)


def test_a_head_for_other_classes_is_new_again(tiny, tmp_path):
    model, _ = load_encoder(locate(str(tiny("roberta"))), ("a", "b"), seed=0)
    model.save_pretrained(tmp_path)
    _, new = load_encoder(Base("two", None, str(tmp_path), None, None), CLASSES, seed=0)
    assert new == ("classifier.out_proj.bias", "classifier.out_proj.weight")


def test_loading_leaves_torchs_generator_as_it_was_and_draws_the_head_from_the_seed(tiny):
    base = locate(str(tiny("bert")))
    before = torch.get_rng_state()
    heads = [load_encoder(base, CLASSES, seed=seed)[0].classifier.weight for seed in (1, 1, 2)]
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_half_precision_weights_are_loaded_in_fp32(tiny, tmp_path):
    from transformers import AutoModel

    AutoModel.from_pretrained(tiny("bert"), dtype=torch.float16).save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text("utf-8"))["dtype"] == "float16"
    model, _ = load_encoder(Base("half", None, str(tmp_path), None, None), CLASSES, seed=0)
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


@pytest.mark.parametrize("damage", ["no weights", "cut weights"])
def test_weights_that_cannot_be_read_are_refused_by_name(tmp_path, damage):
    folder = save_tiny("bert", tmp_path / "base")
    weights = folder / "model.safetensors"
    content = weights.read_bytes()
    weights.unlink()
    if damage == "cut weights":
        weights.write_bytes(content[:1000])
    with pytest.raises(ModelError, match="base: can't load the model from"):
        load_encoder(Base("base", None, str(folder), None, None), CLASSES, seed=0)


def test_loading_is_quiet_and_leaves_transformers_as_loud_as_it_was(tiny, capfd):
    from transformers.utils import logging

    logging.set_verbosity_warning()
    load_encoder(locate(str(tiny("bert"))), CLASSES, seed=0)
    assert capfd.readouterr() == ("", "")
    assert logging.get_verbosity() == logging.WARNING
    assert logging.is_progress_bar_enabled()


def test_a_base_on_disk_needs_no_network(tiny):
    """With every socket refused, a folder still loads."""
    code = (
        "import socket, sys\n"
        "def refuse(*args, **kwargs): raise OSError('no network')\n"
        "socket.socket.connect = refuse\n"
        "from rankwise.model.load import load_encoder, load_tokenizer, locate\n"
        "base = locate(sys.argv[1])\n"
        "load_tokenizer(base); load_encoder(base, ('a', 'b'), seed=0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tiny("bert"))], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
