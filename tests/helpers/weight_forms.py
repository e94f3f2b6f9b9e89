"""A folder of a base written in the other forms that checkpoints have."""

from __future__ import annotations

import json

import torch
from safetensors.torch import load_file, save_file


def pickle_weights(folder):
    """Write a folder's weights as transformers did before safetensors, by torch.save."""
    tensors = load_file(folder / "model.safetensors")
    torch.save({name: tensor.clone() for name, tensor in tensors.items()}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder


def shard(folder):
    """Write a folder's weights in three shards and their index, as transformers does where one file would be too large."""
    tensors, weight_map = load_file(folder / "model.safetensors"), {}
    (folder / "model.safetensors").unlink()
    for number in range(3):
        name = f"model-{number + 1:05}-of-00003.safetensors"
        part = {key: tensors[key].clone() for key in sorted(tensors)[number::3]}
        save_file(part, folder / name, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, name)
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    index = {"metadata": {"total_size": size}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), "utf-8")
    return folder


def without_pooler(folder):
    """Take the pooler out of a folder's weights, as pretraining on masked tokens leaves it out."""
    tensors = load_file(folder / "model.safetensors")
    kept = {name: tensor.clone() for name, tensor in tensors.items() if "pooler" not in name}
    assert len(kept) < len(tensors)
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    return folder
