"""config.json → the encoder's parts, by its family's lines, or as transformers' own class has them."""

import math
from collections.abc import Iterator, Mapping
from functools import partial

from rankwise.encoders.architecture import Module, read_architecture
from rankwise.encoders.encoder import Encoder, Part, Site
from rankwise.encoders.families import FAMILIES
from rankwise.encoders.family import Config, Family
from rankwise.errors import ModelError

QUANTIZED = "quantization_config"
REFUSED_KEYS = {
    "is_decoder": "each token reads those before it alone, as in a decoder; expected an encoder: set it to false in a copy",
    "add_cross_attention": "its layers read a second text, as a decoder's do; expected an encoder: set it to false in a copy",
    QUANTIZED: "its weights are quantized; take the base as it was published, and --set adapter.quantize=nf4",
}
"""Keys of a config.json with which a model of a known family computes something else, and what they mean."""


def describe(config: Config, *, name: str, classes: int) -> Encoder:
    """The parts of the encoder that `config` (a config.json's content) describes, with a head for `classes` classes.

    A model type without a family of its own is read from transformers' class. Raises ModelError for one that makes no text
    classifier, and for what a config may say that changes one model into another.
    """
    model_type = str(config.get("model_type"))
    family = FAMILIES.get(model_type)
    for key, meaning in REFUSED_KEYS.items():
        if config.get(key) and (key == QUANTIZED or (family is not None and not family.causal)):
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


def _dimensions(family: Family, config: Config, name: str, classes: int) -> dict[str, int]:
    dims = {"C": classes}
    for letter, (key, default) in family.sizes.items():
        size = config.get(key, default)
        if size is None and letter in family.derived:
            continue
        if not isinstance(size, int) or size < 0:
            raise ModelError(f"{name}: config.json has no usable '{key}' (found {size!r})")
        dims[letter] = size
    return dims | {letter: compute(config, dims) for letter, compute in family.derived.items() if letter not in dims}


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
