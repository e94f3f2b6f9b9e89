"""A base is found, checked and loaded as it is, or refused by name; nothing else on the way changes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_families import MODEL_TYPES
from transformers import AutoConfig, AutoModel, AutoTokenizer

from conftest import CLASSES, FAMILIES, LONGEST, save_tiny, tiny_tokenizer
from rankwise.encoders.base import Base, locate
from rankwise.encoders.finding import find
from rankwise.errors import ModelError
from rankwise.model.load import check_match, load_encoder, load_tokenizer, longest_text

# -------------------------------------------------------------------------------------------------------------- tokenizers


def test_a_tokenizer_without_padding_pads_with_what_ends_a_text(tmp_path):
    tokenizer = tiny_tokenizer("bert")
    tokenizer.pad_token = None
    tokenizer.save_pretrained(tmp_path)
    assert load_tokenizer(Base("nopad", None, str(tmp_path), None, None)).pad_token_id == tokenizer.eos_token_id


def test_a_tokenizer_that_cannot_pad_is_refused(tmp_path):
    tokenizer = tiny_tokenizer("bert")
    tokenizer.pad_token = tokenizer.eos_token = None
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="nopad: its tokenizer has no padding token, and none that ends a text"):
        load_tokenizer(Base("nopad", None, str(tmp_path), None, None))


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    with pytest.raises(ModelError, match="can't load the tokenizer"):
        load_tokenizer(Base("empty", None, str(tmp_path), None, None))


@pytest.mark.parametrize("family", MODEL_TYPES)
def test_a_base_without_a_tokenizers_files_is_refused(tiny, tmp_path, family):
    AutoConfig.for_model(family).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"(no tokenizer's files, so every word would be unknown|can't load the tokenizer)"):
        load_tokenizer(Base("bare", None, str(tmp_path), None, None))


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


def changed(folder, **config):
    """A folder whose config.json says something else than its weights are."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | config), "utf-8")
    return Base(folder.name, None, str(folder), None, None)


def test_a_tensor_of_another_shape_is_refused_with_both_shapes(tmp_path):
    base = changed(save_tiny("bert", tmp_path / "base"), vocab_size=52)
    expected = r"base: bert\.embeddings\.word_embeddings\.weight is 50 by 32 in the checkpoint, 52 by 32 by config\.json"
    with pytest.raises(ModelError, match=expected):
        load_encoder(base, CLASSES, seed=0)


@pytest.mark.parametrize(("layers", "verb"), [(2, "has"), (4, "lacks")])
@pytest.mark.parametrize("headed", [False, True])
def test_a_configuration_with_another_number_of_layers_is_refused(tmp_path, layers, verb, headed):
    folder = save_tiny("bert", tmp_path / "base")
    if headed:
        load_encoder(Base("base", None, str(folder), None, None), CLASSES, seed=0)[0].save_pretrained(folder)
    with pytest.raises(
        ModelError, match=rf"its checkpoint {verb} (bert\.)?encoder\.layer\.\d\..* and 13 more, .*config\.json"
    ):
        load_encoder(changed(folder, num_hidden_layers=layers), CLASSES, seed=0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(tmp_path, bad):
    folder = save_tiny("bert", tmp_path / "base")
    tensors = load_file(folder / "model.safetensors")
    tensors["encoder.layer.1.output.dense.weight"][3, 4] = bad
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"base: bert\.encoder\.layer\.1\.output\.dense\.weight holds numbers .* not finite"):
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
        "from rankwise.encoders.base import locate\nfrom rankwise.model.load import load_encoder, load_tokenizer\n"
        "base = locate(sys.argv[1])\n"
        "load_tokenizer(base); load_encoder(base, ('a', 'b'), seed=0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tiny("bert"))], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_head_reads_the_tokens_that_the_family_says(family, tiny):
    base = locate(str(tiny(family)))
    model, _ = load_encoder(base, CLASSES, seed=0)
    model.eval()
    encoder = find(base.location, classes=3)
    kept = []

    def keep(_module, _inputs, output):
        output.last_hidden_state.retain_grad()
        kept.append(output.last_hidden_state)  # (1, T, H)

    model.get_submodule(encoder.root).register_forward_hook(keep)
    model(input_ids=torch.arange(5, 12)[None]).logits[0, 0].backward()
    read = [bool(gradient.any()) for gradient in kept[0].grad[0]]
    last = len(read) - 1
    expected = {"first": [0], "last": [last], "mean": list(range(len(read)))}
    assert [index for index, is_read in enumerate(read) if is_read] == expected[encoder.reads]


def test_a_long_text_is_answered_the_same_before_and_after_a_short_one(tmp_path):
    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 300}
    config = AutoConfig.for_model("big_bird", **sizes, block_size=4, num_random_blocks=1, max_position_embeddings=128)
    config.initializer_range = 1.0
    AutoModel.from_config(config).save_pretrained(tmp_path)
    tiny_tokenizer("bert").save_pretrained(tmp_path)
    model, _ = load_encoder(locate(str(tmp_path)), CLASSES, seed=0)
    model.eval()
    text, short = (torch.arange(5, 5 + length)[None] for length in (100, 8))
    with torch.no_grad():
        before = model(text).logits
        model(short)
        assert torch.equal(model(text).logits, before)
