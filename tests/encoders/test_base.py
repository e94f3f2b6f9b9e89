"""A base is found by name, folder or id; what ships with a package is checked against a known digest."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys

import huggingface_hub
import pytest

from conftest import save_tiny
from rankwise.encoders import base
from rankwise.encoders.base import KNOWN, Base, locate
from rankwise.errors import MissingExtra, ModelError
from rankwise.system.files import sha256

minilm = pytest.mark.skipif(importlib.util.find_spec(base.MINILM_PACKAGE) is None, reason="rankwise[minilm] is not installed")


# --------------------------------------------------------------------------------------------------------------- minilm


@minilm
def test_minilm_is_found_and_checked_without_importing_its_package():
    code = (
        "import sys; from rankwise.encoders.base import locate, MINILM_PACKAGE; base = locate('minilm');"
        "print(MINILM_PACKAGE in sys.modules, base.hub, base.sha256)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert out == ["False", "sentence-transformers/all-MiniLM-L6-v2", base.MINILM_SHA256]


@minilm
def test_a_damaged_minilm_is_refused_with_the_command_that_mends_it(tmp_path, monkeypatch):
    copy = tmp_path / "model"
    shutil.copytree(locate("minilm").location, copy)
    monkeypatch.setattr(base, "_minilm_folder", lambda: copy)
    assert locate("minilm").location == str(copy), "a whole copy does"
    with (copy / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        byte = file.read(1)
        file.seek(-1, 2)
        file.write(bytes([byte[0] ^ 1]))
    with pytest.raises(ModelError, match=r"has sha256 \w{12}…, expected 53aa51172d14….*pip install --force-reinstall"):
        locate("minilm")


def test_a_missing_minilm_package_names_the_extra(monkeypatch):
    monkeypatch.setattr(base, "MINILM_PACKAGE", "a_package_that_nobody_installed")
    with pytest.raises(MissingExtra, match=r"pip install .*\[minilm\]'"):
        locate("minilm")


# --------------------------------------------------------------------------------------------------------------- finding


def test_a_folder_is_its_own_place_and_has_a_digest(tiny):
    folder = tiny("bert")
    found = locate(str(folder))
    assert (found.location, found.hub, found.revision) == (str(folder), None, None)
    assert found.sha256 == sha256(folder / "model.safetensors")


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (None, r"a folder without weights; expected model\.safetensors or pytorch_model\.bin, .* as save_pretrained writes"),
        ("tf_model.h5", r"its weights are in tf_model\.h5; .*: transformers 4 converts it, .*from_tf=True"),
        ("flax_model.msgpack", r"its weights are in flax_model\.msgpack; .*from_flax=True"),
        ("model.fp16.safetensors", r"its weights are in model\.fp16\.safetensors; .*: mv model\.fp16\.safetensors model\."),
        ("model.gguf", r"its weights are in model\.gguf; .*: take the checkpoint that this was made from"),
    ],
)
def test_a_folder_without_weights_that_are_loaded_says_what_is_there_instead(tmp_path, found, told):
    folder = save_tiny("bert", tmp_path / "base")
    weights = folder / "model.safetensors"
    weights.rename(folder / found) if found else weights.unlink()
    with pytest.raises(ModelError, match=f"base: {told}"):
        locate(str(folder))


def test_what_is_typed_for_weights_under_another_name_works(tmp_path):
    folder = save_tiny("bert", tmp_path / "base")
    (folder / "model.safetensors").rename(folder / "model.fp16.safetensors")
    with pytest.raises(ModelError) as caught:
        locate(str(folder))
    subprocess.run(str(caught.value).rpartition(": ")[2], shell=True, cwd=folder, check=True)
    assert locate(str(folder)).sha256 is not None


@pytest.mark.parametrize("name", ["a folder", pytest.param("minilm", marks=minilm)])
def test_a_revision_of_what_is_on_this_machine_is_refused(tiny, name):
    base = str(tiny("bert")) if name == "a folder" else name
    with pytest.raises(ModelError, match=r"revision 'v1' is for a base on the hub, and .* type --set revision=null"):
        locate(base, revision="v1")


def test_a_known_name_is_its_hub_id_and_any_other_name_is_one_itself():
    assert locate("roberta-base", revision="main") == Base(
        "roberta-base", KNOWN["roberta-base"].hub, KNOWN["roberta-base"].hub, "main", None
    )
    assert locate("someone/something").hub == "someone/something"


def test_weights_in_the_hubs_cache_are_hashed_once(tiny, tmp_path, monkeypatch):
    snapshot = tmp_path / "models--some--one" / "snapshots" / "abc"
    shutil.copytree(tiny("bert"), snapshot)
    (tmp_path / "models--some--one" / "refs").mkdir()
    (tmp_path / "models--some--one" / "refs" / "main").write_text("abc", "utf-8")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    hashed, digest_of = [], base.digest_of
    monkeypatch.setattr(base, "digest_of", lambda folder: hashed.append(folder) or digest_of(folder))
    digests = [locate("some/one").digest() for _ in range(3)]
    assert digests == 3 * [sha256(snapshot / "model.safetensors")]
    assert hashed == [snapshot]


def test_a_digest_is_hashlibs(tmp_path):
    import hashlib

    (tmp_path / "file").write_bytes(bytes(range(256)) * 10_000)
    assert sha256(tmp_path / "file") == hashlib.sha256(bytes(range(256)) * 10_000).hexdigest()
