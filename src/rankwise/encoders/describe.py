"""config.json → the encoder's parts: every tensor by name and shape, its linear maps, its head. No torch, no weights.

The rows are in families.py.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

from rankwise.encoders.families import FAMILIES, KNOWN, Config, Family
from rankwise.encoders.site import Site
from rankwise.errors import ModelError, nearest
from rankwise.system.hub import is_reachable


@dataclass(frozen=True)
class Part:
    """One module: its path, its tensors, and what it is for."""

    path: str
    tensors: tuple[tuple[str, tuple[int, ...]], ...]
    """(full tensor name, shape) in the model's order."""
    layer: int | None = None
    site: Site | None = None

    @property
    def parameters(self) -> int:
        return sum(math.prod(shape) for _, shape in self.tensors)


@dataclass(frozen=True)
class Encoder:
    """An encoder and its classification head, as facts."""

    name: str
    family: str
    config: Config = field(repr=False)
    prefix: str
    """The module that holds the body in the classification model."""
    layers: int
    """Layers with weights of their own (ALBERT's shared layers count once)."""
    longest: int | None
    """The longest text in tokens that its position embeddings allow; None where positions are relative."""
    takes_prefix: bool
    """Whether keys and values can go before a layer's own."""
    body: tuple[Part, ...] = field(repr=False)
    head: tuple[Part, ...] = field(repr=False)
    """The head's parts in order; the last one is the projection to classes."""

    @property
    def sites(self) -> tuple[Site, ...]:
        return tuple(part.site for part in self.body if part.site is not None)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of map it has, in the order of a layer."""
        return tuple(dict.fromkeys(site.kind for site in self.sites))

    @property
    def head_modules(self) -> tuple[str, ...]:
        """Top-level modules that hold the head: what peft has to save whole."""
        return tuple(dict.fromkeys(part.path.split(".")[0] for part in self.head))

    @property
    def total_parameters(self) -> int:
        """Encoder and stock head."""
        return sum(part.parameters for part in (*self.body, *self.head))

    @property
    def biases(self) -> tuple[tuple[str, int], ...]:
        """(name, parameters) of every encoder tensor with `bias` in its name, MPNet's and XLNet's relative ones too."""
        return tuple((name, math.prod(shape)) for part in self.body for name, shape in part.tensors if "bias" in name)

    def layer_of(self, name: str) -> int | None:
        """The layer that owns a live parameter, adapters included; None for embeddings, poolers and the head."""
        for part in self.body:
            if part.layer is not None and f".{part.path}." in f".{name}.":
                return part.layer
        return None

    def layer_path(self, layer: int) -> str:
        """The module that holds a layer."""
        paths = [part.path.split(".") for part in self.body if part.layer == layer]
        shared = takewhile(lambda names: len(set(names)) == 1, zip(*paths, strict=False))
        return ".".join(names[0] for names in shared)

    def depth_of(self, name: str) -> int:
        """The layer of a live parameter of the body; embeddings count to the first layer, what follows to the last."""
        layer = self.layer_of(name)
        if layer is not None:
            return layer
        first = next(place for place, part in enumerate(self.body) if part.layer is not None)
        below = any(f".{part.path}." in f".{name}." for part in self.body[:first])
        return 0 if below else self.layers - 1

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Every tensor of the classification model, name → shape."""
        return {name: shape for part in (*self.body, *self.head) for name, shape in part.tensors}


def describe(config: Config, *, name: str, classes: int) -> Encoder:
    """The parts of the encoder that `config` (a config.json's content) describes, with a head for `classes` classes.

    Raises ModelError for a model type that is no known encoder family.
    """
    model_type = config.get("model_type")
    row = FAMILIES.get(str(model_type))
    if row is None:
        raise ModelError(
            f"{name}: model type '{model_type}' is no encoder that rankwise knows; expected one of {', '.join(FAMILIES)}"
        )
    dims = _dimensions(row, config, name, classes)
    body = (
        *_parts(row, row.before, f"{row.prefix}.", config, dims),
        *(part for layer in range(dims["L"]) for part in _layer(row, layer, config, dims)),
        *_parts(row, row.after, f"{row.prefix}.", config, dims),
    )
    head = tuple(_parts(row, row.head, "", config, dims))
    return Encoder(
        name=name,
        family=str(model_type),
        config=config,
        prefix=row.prefix,
        layers=dims["L"],
        longest=dims["P"] - row.first_position if "P" in dims else None,
        takes_prefix=row.takes_prefix,
        body=body,
        head=head,
    )


def find(base: str, *, classes: int, revision: str | None = None) -> Encoder:
    """The encoder called `base`: a known name, a local folder with a config.json, or a Hugging Face id.

    Known names and folders need no network. Raises ModelError when there is no such encoder, or no way to reach it.
    """
    if base in KNOWN:
        return describe(KNOWN[base].config, name=base, classes=classes)
    folder = Path(base).expanduser()
    name = folder.resolve().name if folder.is_dir() else base  # plans and cards are shared: no path of this machine
    return describe(_read_config(base, revision), name=name, classes=classes)


def _dimensions(row: Family, config: Config, name: str, classes: int) -> dict[str, int]:
    dims = {"C": classes}
    for letter, key in row.letters.items():
        value = 1
        for factor in key.split("*"):
            number = config.get(factor, row.defaults.get(factor))
            if not isinstance(number, int) or number < 0:
                raise ModelError(f"{name}: config.json has no usable '{factor}' (found {number!r})")
            value *= number
        dims[letter] = value
    dims |= {letter: count(config) for letter, count in row.derived.items()}
    return dims


def _layer(row: Family, layer: int, config: Config, dims: Mapping[str, int]) -> Iterator[Part]:
    inner = dims.get("inner", 1)  # ALBERT: layers of a group, each with weights of its own
    prefix = f"{row.prefix}.{row.layer_path.format(layer=layer, outer=layer // inner, inner=layer % inner)}."
    return _parts(row, row.layer, prefix, config, dims, layer)


def _parts(
    row: Family, text: str, prefix: str, config: Config, dims: Mapping[str, int], layer: int | None = None
) -> Iterator[Part]:
    for line in filter(None, map(str.strip, text.splitlines())):
        path, shape_of, *rest = line.split()
        options = dict(word.split("=") for word in rest if "=" in word)
        if "if" in options and not row.tests[options["if"]](config, layer or 0):
            continue
        shape = [_size(word, dims) for word in rest if "=" not in word]
        bias = _has_bias(options.get("bias", "yes"), config)
        yield _part(prefix + path, shape_of, shape, bias=bias, kind=options.get("kind"), layer=layer)


def _part(path: str, shape_of: str, shape: list[int], *, bias: bool, kind: str | None, layer: int | None) -> Part:
    if shape_of == "free":
        return Part(path, ((path, tuple(shape)),), layer)
    if shape_of == "table":
        return Part(path, ((f"{path}.weight", tuple(shape)),), layer)
    width = shape[-1]
    weight = (shape[1], shape[0]) if shape_of == "linear" else (width,)
    tensors: tuple[tuple[str, tuple[int, ...]], ...] = ((f"{path}.weight", weight),)
    if bias:
        tensors = (*tensors, (f"{path}.bias", (width,)))
    site = Site(path, kind, layer or 0, d_in=shape[0], d_out=shape[1], bias=bias) if kind else None
    return Part(path, tensors, layer, site)


def _size(word: str, dims: Mapping[str, int]) -> int:
    return math.prod(int(factor) if factor.isdigit() else dims[factor] for factor in word.split("*"))


def _has_bias(option: str, config: Config) -> bool:
    return {"yes": True, "no": False}.get(option, bool(config.get(option, False)))


def _read_config(base: str, revision: str | None) -> Config:
    folder = Path(base).expanduser()
    if folder.is_dir():
        path = folder / "config.json"
        if not path.is_file():
            raise ModelError(f"{base}: a folder without config.json; expected a model saved by save_pretrained")
    elif folder.exists():
        raise ModelError(f"{base}: a file; expected a model folder, a Hugging Face id or one of {', '.join(KNOWN)}")
    else:
        path = _fetch_config(base, revision)
    try:
        config = json.loads(path.read_text("utf-8"))
    except json.JSONDecodeError as error:
        raise ModelError(f"{base}: config.json is not JSON (line {error.lineno})") from error
    if not isinstance(config, dict):
        raise ModelError(f"{base}: config.json holds a {type(config).__name__}, expected an object")
    return config


def _fetch_config(base: str, revision: str | None) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    hint = nearest(base, KNOWN) or "."
    reachable = is_reachable()
    try:
        return Path(hf_hub_download(base, "config.json", revision=revision, local_files_only=not reachable))
    except HFValidationError as error:
        raise ModelError(f"'{base}' is neither a known base, nor a folder, nor a Hugging Face id{hint}") from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        reason = "the hub has no such model" if reachable else "it is not cached and the hub can't be reached from here"
        raise ModelError(
            f"base '{base}': {reason}{hint} Give a local folder or a base whose configuration ships "
            f"with rankwise, such as {', '.join(list(KNOWN)[:4])} (rankwise plan --help lists all {len(KNOWN)})"
        ) from error
