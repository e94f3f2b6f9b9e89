"""Which files of a folder are an encoder's weights, their digest and their tensors' names, without loading any."""

from __future__ import annotations

import hashlib
import json

import pytest
import torch
from safetensors.torch import load_file
from weight_forms import pickle_weights, shard

from conftest import save_tiny
from rankwise.encoders.base import locate
from rankwise.encoders.weights import digest_of, named_tensors, weight_files
from rankwise.errors import ModelError


def test_one_file_has_the_digest_that_hashlib_gives(tmp_path):
    folder = save_tiny("bert", tmp_path / "base")
    assert weight_files(folder) == (folder / "model.safetensors",)
    assert digest_of(folder) == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


@pytest.mark.parametrize("form", [pickle_weights, shard])
def test_every_form_names_the_same_tensors(tmp_path, form):
    folder = save_tiny("bert", tmp_path / "base")
    expected = named_tensors(folder / "model.safetensors")
    assert expected == frozenset(load_file(folder / "model.safetensors"))
    assert expected <= named_tensors(weight_files(form(folder))[0])


@pytest.mark.parametrize("form", [pickle_weights, shard])
def test_every_file_that_is_loaded_counts_in_the_digest(tmp_path, form):
    folder = form(save_tiny("bert", tmp_path / "base"))
    before = locate(str(folder)).sha256
    assert before is not None
    for path in weight_files(folder):
        content = path.read_bytes()
        path.write_bytes(content + b" ")
        assert locate(str(folder)).sha256 != before, path.name
        path.write_bytes(content)
    (folder / "notes.txt").write_text("no weights", "utf-8")
    assert locate(str(folder)).sha256 == before


def test_a_shard_that_is_missing_is_named(tmp_path):
    folder = shard(save_tiny("bert", tmp_path / "base"))
    gone = sorted(folder.glob("model-0*.safetensors"))[1]
    gone.unlink()
    with pytest.raises(ModelError, match=rf"base: {gone.name} is missing, which model\.safetensors\.index\.json names"):
        digest_of(folder)


@pytest.mark.parametrize("content", ["{", "[]", json.dumps({"weight_map": {"a": 1}})])
def test_an_index_that_is_none_is_refused(tmp_path, content):
    (tmp_path / "model.safetensors.index.json").write_text(content, "utf-8")
    with pytest.raises(ModelError, match=r"model\.safetensors\.index\.json (is not JSON|has no weight_map)"):
        weight_files(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\xff" * 20, b"\x02\0\0\0\0\0\0\0[]"])
def test_a_file_that_is_no_safetensors_is_refused(tmp_path, content):
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.safetensors is no safetensors file, or is cut"):
        named_tensors(tmp_path / "model.safetensors")


def test_a_folder_without_weights_has_no_digest(tmp_path):
    assert (weight_files(tmp_path), digest_of(tmp_path)) == ((), None)


def test_what_a_pickle_would_run_is_not_run_to_read_its_names(tmp_path):
    class Hostile:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"weight": Hostile()}, tmp_path / "pytorch_model.bin")
    assert "weight" in named_tensors(tmp_path / "pytorch_model.bin")
    assert not (tmp_path / "ran").exists()
