"""An architecture that has no file in `families/`, as transformers' own classification class has it. No torch here.

`model/reading.py` makes that class without weights and tells its tensors, linear layers and head, in a process of its own,
`model/reading_apart.py`, which takes some seconds; the facts are kept in the cache, under a hash of the config.json and
transformers' version.
"""

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Self

from rankwise.encoders.family import ROTARY_OPSET, Config, Traits
from rankwise.errors import MissingExtra, ModelError, install
from rankwise.system.cache import Cache, cache_folder

FORMAT = 1  # of the facts: raise it where `model/reading.py` tells other ones
READERS = ("rankwise.model.reading_apart", "rankwise.model.reading")  # by name, for they load torch; the quicker one first
CACHE_BYTES = 50_000_000  # some hundred kilobytes each
IDLE_KEYS = {
    "_name_or_path",
    "architectures",
    "auto_map",
    "dtype",
    "id2label",
    "label2id",
    "torch_dtype",
    "transformers_version",
}
"""Keys of a config.json that change no tensor's name or shape."""


@dataclass(frozen=True)
class Linear:
    """A linear layer that an adapter can stand in; its weight is (d_out, d_in), or (d_in, d_out) where it is `transposed`."""

    kind: str
    d_in: int
    d_out: int
    bias: bool
    transposed: bool


@dataclass(frozen=True)
class Module:
    """A module with tensors of its own."""

    path: str
    tensors: tuple[tuple[str, tuple[int, ...]], ...]
    """(full tensor name, shape) in the model's order."""
    layer: int | None
    linear: Linear | None

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Self:
        tensors = tuple((name, tuple(shape)) for name, shape in facts["tensors"].items())
        return cls(facts["path"], tensors, facts["layer"], Linear(**facts["linear"]) if facts["linear"] else None)

    def with_classes(self, classes: int) -> Self:
        """The same module, the projection to classes, for so many."""
        tensors = tuple((name, (classes, *shape[1:])) for name, shape in self.tensors)
        return type(self)(self.path, tensors, self.layer, self.linear)


@dataclass(frozen=True)
class Architecture:
    """What transformers' class says of itself; `encoders.encoder.Encoder` explains the fields that it has too."""

    traits: Traits
    layers: tuple[str, ...]
    """The modules that hold the layers."""
    hidden: int
    heads: int
    longest: int | None
    reads: str
    drops: bool
    body: tuple[Module, ...]
    head: tuple[Module, ...]
    """The last one is the projection to classes, of as many as there happened to be."""
    notes: tuple[str, ...]

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Self:
        return cls(
            traits=Traits(
                root=facts["root"],
                causal=facts["causal"],
                pools=facts["pools"],
                padding_side="right",
                onnx_opset=ROTARY_OPSET,
            ),
            layers=tuple(facts["layers"]),
            hidden=facts["hidden"],
            heads=facts["heads"],
            longest=facts["longest"],
            reads=facts["reads"],
            drops=facts["drops"],
            body=tuple(map(Module.of, facts["body"])),
            head=tuple(map(Module.of, facts["head"])),
            notes=tuple(facts["notes"]),
        )


def read_architecture(config: Config, name: str) -> Architecture:
    """The architecture of `config`, a config.json's content. Raises ModelError where it makes no text classifier.

    Raises MissingExtra where transformers is not installed, and StorageError as the cache does.
    """
    kept = {key: value for key, value in config.items() if key not in IDLE_KEYS}
    facts = _facts(json.dumps(kept, sort_keys=True))
    if "refused" in facts:
        raise ModelError(f"{name}: {facts['refused']}; take a base that has one, such as minilm or roberta-base")
    return Architecture.of(facts)


@cache
def _facts(config: str) -> Mapping[str, Any]:
    try:
        transformers = version("transformers")
    except PackageNotFoundError as error:
        raise MissingExtra(
            f"model type '{json.loads(config).get('model_type')}' is read from transformers' own class, and transformers is "
            f"not installed; type: {install('train')}"
        ) from error
    key = hashlib.sha256(f"{FORMAT} {transformers} {config}".encode()).hexdigest()[:32]
    cached = Cache(cache_folder() / "architectures", limit_bytes=CACHE_BYTES)
    return dict(cached.json_entry(key, lambda: _read_apart(config)))


def _read_apart(config: str) -> dict[str, Any]:
    """What a process of its own reads: the quicker one, and where that finds no class, the other. Raises ModelError."""
    facts: dict[str, Any] = {}
    for reader in READERS:
        command = [sys.executable, "-m", reader]
        done = subprocess.run(command, input=config, capture_output=True, text=True, check=False)
        facts = {} if done.returncode else json.loads(done.stdout.strip().splitlines()[-1])
        if facts and "refused" not in facts:
            break
    if not facts:
        said = (done.stderr.strip() or "without a word").splitlines()[-1]
        raise ModelError(f"model type '{json.loads(config).get('model_type')}': its class can't be read: {said}")
    return facts
