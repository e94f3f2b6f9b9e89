"""config.json → the encoder's parts: every tensor by name and shape, its linear layers, its head. No torch, no weights."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, Self

from rankwise.encoders.architecture import Module, read_architecture
from rankwise.encoders.base import KNOWN, cached_folder, encoder_folder, short_name
from rankwise.encoders.families import FAMILIES
from rankwise.encoders.family import Config, Family, Traits
from rankwise.encoders.weights import CHECKPOINTS, PICKLED, SAFETENSORS, TO_SAFETENSORS, named_tensors, weight_files
from rankwise.errors import ModelError, as_set, as_typed, nearest
from rankwise.system.hub import is_reachable

POOLING_FILE = "1_Pooling/config.json"
ADAPTER_CONFIG = "adapter_config.json"  # of peft
POOLED_HEAD = "classifier"  # the module of a pooled head, beside the encoder's
MISSPELT = 0.9  # how like a known name a misspelt one is; xlm-roberta-xl and gottbert-base are bases of their own
QUANTIZED = "quantization_config"
REFUSED_KEYS = {
    "is_decoder": "each token reads those before it alone, as in a decoder; expected an encoder: set it to false in a copy",
    "add_cross_attention": "its layers read a second text, as a decoder's do; expected an encoder: set it to false in a copy",
    QUANTIZED: "its weights are quantized; take the base as it was published, and --set adapter.quantize=nf4",
}
"""Keys of a config.json with which a model of a known family computes something else, and what they mean."""


@dataclass(frozen=True)
class Site:
    """One linear layer that can be adapted: `y = W x + b`, W of shape (d_out, d_in)."""

    name: str
    """The module's path in the transformers classification model."""
    kind: str
    layer: int
    d_in: int
    d_out: int
    bias: bool = True
    transposed: bool = False
    """Whether W is stored as (d_in, d_out), as GPT-2 has it."""

    def cost(self, rank: int) -> int:
        """Parameters of A (rank, d_in) and B (d_out, rank), a low-rank adapter (arXiv 2106.09685)."""
        return rank * (self.d_in + self.d_out)

    @property
    def largest_rank(self) -> int:
        return min(self.d_in, self.d_out)

    @property
    def address(self) -> str:
        """`layer.kind`, what the keys of explicit ranks match against."""
        return f"{self.layer}.{self.kind}"


@dataclass(frozen=True)
class Part:
    """A module of an encoder or its head: its path, its tensors, the layer it belongs to."""

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
    """Its model type."""
    traits: Traits = field(repr=False)
    """What holds for all of its model type."""
    config: Config = field(repr=False)
    layers: int
    """Layers with weights of their own; those that share them count once."""
    layer_runs: int
    """How often each of these runs in one forward pass."""
    hidden: int
    """Width of the hidden states."""
    heads: int
    """Attention heads of a layer."""
    longest: int | None
    """The longest text in tokens that its position embeddings allow; None where positions are relative."""
    reads: str
    """Which token's last hidden state the head reads: "first", "last", the "mean" of all, or of a pair's texts "apart"."""
    pools: bool
    """Whether the head is one linear layer on what it reads, of no stock class."""
    has_dropout: bool
    """Whether it drops anything while it trains."""
    layer_paths: tuple[str, ...] = field(repr=False)
    """The modules that hold the layers."""
    body: tuple[Part, ...] = field(repr=False)
    head: tuple[Part, ...] = field(repr=False)
    """The head's parts in order; the last one is the projection to classes."""
    segments: int = 0
    """How many segments its token types tell apart, as far as is known."""
    notes: tuple[str, ...] = field(default=(), repr=False)
    """What to know of its files."""

    @property
    def sites(self) -> tuple[Site, ...]:
        return tuple(part.site for part in self.body if part.site is not None)

    @property
    def root(self) -> str:
        return self.traits.root

    @property
    def inner(self) -> int:
        """Width between the feed-forward layers of a layer, all that enter it side by side."""
        entered = (site for site in self.sites if site.layer == 0 and site.kind in ("ffn_in", "ffn_gate"))
        return sum(site.d_out for site in entered) or self.hidden

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of linear layer it has, in the order of a layer."""
        return tuple(dict.fromkeys(site.kind for site in self.sites))

    @property
    def classes(self) -> int:
        """How many classes its head tells apart."""
        return self.head[-1].tensors[0][1][0]

    @property
    def head_width(self) -> int:
        """Width of what the projection to classes reads."""
        return self.head[-1].tensors[0][1][1]

    @property
    def head_modules(self) -> tuple[str, ...]:
        """The modules that hold the head, beside the encoder or, of a pooler, in it: what peft has to save whole."""

        def top(path: str) -> str:
            return ".".join(path.split(".")[: 2 if path.startswith(f"{self.root}.") else 1])

        return tuple(dict.fromkeys(top(part.path) for part in self.head))

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
        return next((layer for layer, path in enumerate(self.layer_paths) if f".{path}." in f".{name}."), None)

    def depth_of(self, name: str) -> int:
        """The layer of a live parameter of the body; embeddings count to the first layer, what follows to the last."""
        layer = self.layer_of(name)
        if layer is not None:
            return layer
        first = next((index for index, part in enumerate(self.body) if part.layer is not None), 0)
        below = any(f".{part.path}." in f".{name}." for part in self.body[:first])
        return 0 if below else self.layers - 1

    def with_pooled_head(self, reads: str) -> Self:
        """The same encoder without a pooler of its own, under a head of one linear layer on what `reads` names."""
        width, pooler = self.hidden * (2 if reads == "apart" else 1), self.pooler
        tensors = ((f"{POOLED_HEAD}.weight", (self.classes, width)), (f"{POOLED_HEAD}.bias", (self.classes,)))
        body = tuple(part for part in self.body if part not in pooler)
        return replace(self, reads=reads, pools=True, body=body, head=(Part(POOLED_HEAD, tensors),))

    @property
    def pooler(self) -> tuple[Part, ...]:
        """The encoder's own layer between its last hidden states and the head, where its family has one."""
        own = f"{self.root}.pooler."
        return tuple(part for part in self.body if f"{part.path}.".startswith(own))

    @property
    def has_new_pooler(self) -> bool:
        """Whether a pooler is part of the head, which its checkpoint lacks."""
        return self.head[0].path.startswith(f"{self.root}.")

    def with_new_pooler(self) -> Self:
        """The same encoder where its checkpoint lacks the pooler, as a masked language model's does: part of the head."""
        pooler = self.pooler
        body = tuple(part for part in self.body if part not in pooler)
        return replace(self, body=body, head=(*pooler, *self.head))

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Every tensor of the classification model, name → shape."""
        return {name: shape for part in (*self.body, *self.head) for name, shape in part.tensors}


def describe(config: Config, *, name: str, classes: int) -> Encoder:
    """The parts of the encoder that `config` (a config.json's content) describes, with a head for `classes` classes.

    A model type without a family of its own is read from transformers' class. Raises ModelError for one that makes no text
    classifier, and for what a config may say that changes one model into another.
    """
    model_type = str(config.get("model_type"))
    family = FAMILIES.get(model_type)
    for key, meaning in REFUSED_KEYS.items():
        if config.get(key) and (family is not None or key == QUANTIZED):
            raise ModelError(f"{name}: config.json has {key}, so {meaning}")
    if family is None:
        return _read(config, name, classes)
    dims = _dimensions(family, config, name, classes)
    inner = dims.get("inner", 1)  # layers of a group, where groups have several
    paths = (family.layer_path.format(layer=layer, outer=layer // inner, inner=layer % inner) for layer in range(dims["L"]))
    layer_paths = tuple(f"{family.root}.{path}" for path in paths)
    parts = partial(_parts, family, config, dims)
    return Encoder(
        name=name,
        family=model_type,
        traits=family,
        config=config,
        layers=dims["L"],
        layer_runs=dims.get("runs", 1),
        hidden=dims["H"],
        heads=dims["N"],
        longest=dims["P"] - family.first_position if "P" in dims else None,
        reads=family.reads(config),
        pools=False,
        has_dropout=any(config.get(key, default) for key, default in family.dropouts.items()),
        layer_paths=layer_paths,
        body=(
            *parts(family.before, f"{family.root}."),
            *(part for layer, path in enumerate(layer_paths) for part in parts(family.layer, f"{path}.", layer)),
            *parts(family.after, f"{family.root}."),
        ),
        head=tuple(parts(family.head, "")),
        segments=dims.get("S", 0),
    )


def _read(config: Config, name: str, classes: int) -> Encoder:
    """The encoder as transformers' own class has it."""
    found = read_architecture(config, name)
    return Encoder(
        name=name,
        family=str(config["model_type"]),
        traits=found.traits,
        config=config,
        layers=len(found.layers),
        layer_runs=1,
        hidden=found.hidden,
        heads=found.heads,
        longest=found.longest,
        reads=found.reads,
        pools=False,
        has_dropout=found.drops,
        layer_paths=found.layers,
        body=tuple(map(_part, found.body)),
        head=tuple(map(_part, (*found.head[:-1], found.head[-1].with_classes(classes)))),
        notes=found.notes,
    )


def _part(module: Module) -> Part:
    linear, site = module.linear, None
    if linear is not None:
        shape = linear.d_in, linear.d_out
        site = Site(module.path, linear.kind, module.layer or 0, *shape, linear.bias, linear.transposed)
    return Part(module.path, module.tensors, module.layer, site)


def find(base: str, *, classes: int, revision: str | None = None) -> Encoder:
    """The encoder called `base`: a known name, a local folder with a config.json, or a Hugging Face id.

    Where its checkpoint is on this machine and lacks a pooler that its family has, the pooler counts to the head. Known names
    and folders need no network. Raises ModelError when there is no such encoder, or no way to reach it.
    """
    if base in KNOWN:
        encoder = describe(KNOWN[base].config, name=base, classes=classes)
        here = cached_folder(base, revision=revision) if encoder.pooler else None
        return encoder if here is None else _as_in(next(iter(weight_files(here)), None), encoder)
    folder = Path(base).expanduser()
    name = folder.resolve().name if folder.is_dir() else base  # plans and cards travel: no path of this machine
    encoder = describe(_read_config(base, folder, revision), name=name, classes=classes)
    weights = _weights(base, folder, revision)
    if weights is None:
        return encoder
    return replace(_as_in(weights, encoder), notes=(*encoder.notes, *_notes(name, weights)))


def stated_pooling(base: str, config: Config, *, revision: str | None = None) -> str | None:
    """ "mean" or "token", where a base says what was read of it in training: in `1_Pooling/config.json`, as sentence encoders
    have it, or as `classifier_pooling`. None where it says neither, or another. Raises ModelError for a file that is no JSON.
    """
    if base in KNOWN and KNOWN[base].pooling:
        return KNOWN[base].pooling
    folder = Path(base).expanduser()
    path: Path | None = folder / POOLING_FILE
    if encoder_folder(folder.parent) == folder:  # within a folder of sentence-transformers before 2.0
        path = folder.parent / POOLING_FILE
    if not folder.is_dir():
        path = None if base in KNOWN else _fetched_if_there(base, POOLING_FILE, revision)
    if path is None or not path.is_file():
        return {"mean": "mean", "cls": "token"}.get(str(config.get("classifier_pooling")))
    stated = _json_object(path, f"{base}: {POOLING_FILE}")
    on = {key for key, value in stated.items() if value is True} | {f"pooling_mode_{stated.get('pooling_mode')}"}
    means = bool(on & {"pooling_mode_mean_tokens", "pooling_mode_mean"})
    tokens = bool(on & {"pooling_mode_cls_token", "pooling_mode_cls", "pooling_mode_lasttoken"})
    return None if means == tokens else "mean" if means else "token"


def _dimensions(family: Family, config: Config, name: str, classes: int) -> dict[str, int]:
    dims = {"C": classes}
    for letter, (key, default) in family.sizes.items():
        size = config.get(key, default)
        if not isinstance(size, int) or size < 0:
            raise ModelError(f"{name}: config.json has no usable '{key}' (found {size!r})")
        dims[letter] = size
    return dims | {letter: compute(config, dims) for letter, compute in family.derived.items()}


def _parts(
    family: Family, config: Config, dims: Mapping[str, int], lines: str, root: str, layer: int | None = None
) -> Iterator[Part]:
    """The modules that a family's lines describe, below `root`, with the numbers of one config put in."""
    for line in filter(None, map(str.strip, lines.splitlines())):
        name, form, *rest = line.split()
        options = dict(word.split("=") for word in rest if "=" in word)
        if "if" in options and not family.tests[options["if"]](config, layer or 0):
            continue
        products = (word.split("*") for word in rest if "=" not in word)
        shape = tuple(math.prod(int(size) if size.isdigit() else dims[size] for size in product) for product in products)
        path = root + name
        flag = options.get("bias", "yes")
        bias = form in ("linear", "norm") and {"yes": True, "no": False}.get(flag, bool(config.get(flag, False)))
        tensors = {path if form == "free" else f"{path}.weight": shape[::-1] if form == "linear" else shape}
        if bias:
            tensors[f"{path}.bias"] = shape[-1:]
        site = Site(path, options["kind"], layer or 0, shape[0], shape[1], bias) if "kind" in options else None
        yield Part(path, tuple(tensors.items()), layer, site)


def _read_config(base: str, folder: Path, revision: str | None) -> Config:
    if folder.is_dir():
        path = encoder_folder(folder) / "config.json"
        if not path.is_file():
            raise ModelError(f"{base}: {_without_config(base, folder)}")
        if (path.parent / ADAPTER_CONFIG).is_file():
            raise ModelError(
                f"{base}: {ADAPTER_CONFIG} is beside its weights, so transformers puts that adapter into them unasked; "
                "merge it (merge_and_unload().save_pretrained(FOLDER)), or give a copy without it"
            )
    elif folder.exists():
        raise ModelError(f"{base}: a file; expected a model folder, a Hugging Face id or one of {', '.join(KNOWN)}")
    else:
        path = _fetch_config(base, revision)
    return _json_object(path, f"{base}: config.json")


def _without_config(base: str, folder: Path) -> str:
    """What a folder without config.json is, and what to do with it."""
    is_run = (folder / "run.json").is_file()
    if (folder / ADAPTER_CONFIG).is_file():
        if is_run:
            merged = f"{base.rstrip('/')}-merged"
            typed = f"rankwise merge {as_typed(base)} --out {as_typed(merged)}, then {as_set('base', merged)}"
            return f"an adapter of a rankwise run, not an encoder; merge it into its base first: {typed}"
        return "an adapter of peft, not an encoder; merge it first: merge_and_unload().save_pretrained(FOLDER)"
    if is_run:
        return "a rankwise run that counts words and has no encoder; give the base of a run that has: --set base=minilm"
    return "a folder without config.json; expected a model saved by save_pretrained"


def _weights(base: str, folder: Path, revision: str | None) -> Path | None:
    """The file that names a base's tensors, where it is on this machine."""
    if folder.is_dir():
        return next(iter(weight_files(encoder_folder(folder))), None)
    from huggingface_hub import try_to_load_from_cache

    cached = (try_to_load_from_cache(base, name, revision=revision) for name in CHECKPOINTS)
    return next((Path(path) for path in cached if isinstance(path, str)), None)


def _as_in(weights: Path | None, encoder: Encoder) -> Encoder:
    """The encoder as it is in a checkpoint, whose pooler may be missing."""
    names = None if weights is None else named_tensors(weights)
    if names is None or not encoder.pooler or any(f".{name}".endswith(_ends(encoder)) for name in names):
        return encoder
    return encoder.with_new_pooler()


def _ends(encoder: Encoder) -> tuple[str, ...]:
    """How the names of a pooler's tensors end in a checkpoint, with the encoder's own name before them or without."""
    return tuple(name.removeprefix(encoder.root) for part in encoder.pooler for name, _ in part.tensors)


def _notes(name: str, weights: Path) -> tuple[str, ...]:
    if not weights.name.startswith(PICKLED):
        return ()
    fix = f"; in its folder: {TO_SAFETENSORS}" if weights.name == PICKLED else ""
    return (f"the weights of {name} are pickled ({weights.name}); better in {SAFETENSORS}{fix}",)


def _json_object(path: Path, name: str) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text("utf-8"))
    except json.JSONDecodeError as error:
        raise ModelError(f"{name} is not JSON (line {error.lineno})") from error
    if not isinstance(config, dict):
        raise ModelError(f"{name} holds a {type(config).__name__}, expected an object")
    return config


def _fetched_if_there(base: str, name: str, revision: str | None) -> Path | None:
    """A file of a base on the hub; None where it has none, or where the hub can't be reached and it is not cached."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(base, name, revision=revision, local_files_only=not is_reachable()))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError):
        return None


def _fetch_config(base: str, revision: str | None) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    own = short_name(base)
    spelt = [own] if own else get_close_matches(base, KNOWN, n=1, cutoff=MISSPELT)
    hint = nearest(base, spelt) or "."
    reachable = is_reachable()
    try:
        return Path(hf_hub_download(base, "config.json", revision=revision, local_files_only=not reachable))
    except HFValidationError as error:
        raise ModelError(f"'{base}' is neither a known base, nor a folder, nor a Hugging Face id{hint}") from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        cached = f"it is not cached in {HF_HUB_CACHE} and the hub can't be reached from here"
        reason = "the hub has no such model" if reachable else cached
        raise ModelError(
            f"base '{base}': {reason}{hint} Give a local folder or a base whose configuration ships with rankwise, such as "
            f"{_some_known()} (rankwise plan --help lists all {len(KNOWN)})"
        ) from error


def _some_known() -> str:
    """`minilm, roberta-base (English), eurobert-210m (many languages)`."""
    english = [name for name, known in KNOWN.items() if not known.multilingual]
    others = [name for name, known in KNOWN.items() if known.multilingual]
    return f"{', '.join(english[:3])} (English) or {others[0]} (many languages)"
