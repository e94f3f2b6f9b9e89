"""A base's weights as files: which ones transformers loads, their digest, the tensors that they name. No torch, no weights.

A checkpoint is one file or an index with its shards, in safetensors or, before those, pickled; of pickled files the names are
read as text, for loading one may run what is in it.
"""

import hashlib
import json
import pickletools
import zipfile
from pathlib import Path
from typing import Any

from rankwise.errors import ModelError
from rankwise.system.files import sha256

SAFETENSORS = "model.safetensors"
PICKLED = "pytorch_model.bin"
INDEX = ".index.json"  # ends the name of a file that says which shard holds which tensor
CHECKPOINTS = (SAFETENSORS, f"{SAFETENSORS}{INDEX}", PICKLED, f"{PICKLED}{INDEX}")  # as transformers prefers them
ELSEWHERE = {".h5": "from_tf", ".msgpack": "from_flax"}
"""Endings of files that transformers read before its version 5, and what it took to read them."""
LONGEST_HEADER = 100_000_000  # bytes, safetensors' own limit
TO_SAFETENSORS = (  # what to type in the folder of a pickled one
    """python -c "import torch; from safetensors.torch import save_file; save_file({n: t.clone() for n, t in """
    """torch.load('pytorch_model.bin', map_location='cpu', weights_only=True).items()}, 'model.safetensors', """
    """metadata={'format': 'pt'})\""""
)


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The files that transformers loads from a folder: one, or an index and its shards; empty where there are none.

    Raises ModelError for an index that can't be read, and for a shard that is missing.
    """
    for name in CHECKPOINTS:
        path = folder / name
        if path.is_file():
            return (path, *_shards(path)) if name.endswith(INDEX) else (path,)
    return ()


def digest_of(folder: Path) -> str | None:
    """The sha256 of a folder's weights: that of the one file, or of the lines `NAME SHA256` of index and shards.

    None where there are none. Raises ModelError as `weight_files` does.
    """
    files = weight_files(folder)
    if len(files) < 2:
        return sha256(files[0]) if files else None
    lines = "".join(f"{path.name} {sha256(path)}\n" for path in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def without_weights(folder: Path) -> str:
    """What a folder has in place of weights that are loaded, and what to do."""
    endings = {".safetensors", ".bin", ".gguf", ".pt", ".ckpt", *ELSEWHERE}
    found = sorted(path for path in folder.iterdir() if path.suffix in endings)
    expected = f"expected {SAFETENSORS} or {PICKLED}, or their shards with an index"
    if not found:
        return f"a folder without weights; {expected}, as save_pretrained writes them"
    name, read = found[0].name, ELSEWHERE.get(found[0].suffix)
    if read is not None:
        convert = f"AutoModel.from_pretrained(FOLDER, {read}=True).save_pretrained(FOLDER)"
        return f"its weights are in {name}; {expected}: transformers 4 converts it, {convert}"
    if found[0].suffix == ".safetensors" and len(found) == 1:
        return f"its weights are in {name}; {expected}: mv {name} {SAFETENSORS}"
    return f"its weights are in {name}; {expected}: take the checkpoint that this was made from"


def named_tensors(path: Path) -> frozenset[str] | None:
    """The names of the tensors in a checkpoint, and of pickled ones every other word in it; None for an old or other form.

    `path` is the first of `weight_files`. Raises ModelError for a file that is damaged.
    """
    if path.name.endswith(INDEX):
        return frozenset(_weight_map(path))
    return _named_in_pickle(path) if path.suffix == ".bin" else frozenset(_header(path)) - {"__metadata__"}


def _shards(index: Path) -> list[Path]:
    shards = [index.parent / name for name in sorted(set(_weight_map(index).values()))]
    for shard in shards:
        if not shard.is_file():
            raise ModelError(f"{index.parent.name}: {shard.name} is missing, which {index.name} names; copy the folder again")
    return shards


def _weight_map(index: Path) -> dict[str, str]:
    """Tensor → the file that holds it."""
    try:
        content = json.loads(index.read_text("utf-8"))
    except ValueError as error:
        raise ModelError(f"{index.parent.name}: {index.name} is not JSON; copy the folder again") from error
    found = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found.values()):
        raise ModelError(f"{index.parent.name}: {index.name} has no weight_map of names; copy the folder again")
    return found


def _header(path: Path) -> dict[str, Any]:
    """A safetensors file's header: 8 bytes that say how long it is, then JSON."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        text = file.read(length) if length <= LONGEST_HEADER else b""
    try:
        header = json.loads(text)
    except ValueError:
        header = None
    if not isinstance(header, dict):
        raise ModelError(f"{path.parent.name}: {path.name} is no safetensors file, or is cut; copy the folder again")
    return header


def _named_in_pickle(path: Path) -> frozenset[str] | None:
    if not zipfile.is_zipfile(path):  # as torch wrote them before 1.6
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            entry = next((name for name in archive.namelist() if name.endswith("data.pkl")), None)
            pickled = archive.read(entry) if entry else b"."
        return frozenset(value for _, value, _ in pickletools.genops(pickled) if isinstance(value, str))
    except (zipfile.BadZipFile, ValueError) as error:
        raise ModelError(f"{path.parent.name}: {path.name} is damaged ({error}); copy the folder again") from error
