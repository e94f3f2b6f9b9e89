"""What transformers' own classification class says of an architecture: its tensors, linear layers and head, as plain values.

The class is made from a config.json on torch's meta device, where nothing has weights, and reads one text there, forward and
back: a linear layer that gets a gradient is one that texts reach, so vision towers, and layers that only choose, are told
apart by what they do. `python -m rankwise.model.reading < config.json` prints the facts, as `encoders/architecture.py`, which
loads no torch, takes them in. Shapes: a linear layer's weight is (d_out, d_in), or (d_in, d_out) where it is `transposed`.
"""

import inspect
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import CONFIG_MAPPING, AutoModelForSequenceClassification, PreTrainedConfig
from transformers.conversion_mapping import _MODEL_TO_CONVERSION_PATTERN
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES
from transformers.pytorch_utils import Conv1D
from transformers.utils import logging

CLASSES = 3  # that the head which is read has
TOKENS = 8  # of the text that runs through it
TOKEN = 5  # a token's number that is no special one's
LINEAR = (nn.Linear, Conv1D)
NUMBERED = re.compile(r"^(.*?\.)?\d+(\.\d+)*(?=\.)")  # a module in a list, or in a list of lists
CHOOSES = re.compile(r"(^|\.)(router|gate|shared_expert_gate)(\.|$)")  # a router of a mixture of experts
OTHER_SENSES = re.compile(r"vision|visual|image|audio|speech", re.IGNORECASE)
LAST_TOKEN = "last_non_pad_token"  # what classes that read a text's last token call its place
TAKEN_FOR_EXPERTS = {"mixtral": ("w1", "w2", "w3", "gate"), "qwen2_moe": ("gate_proj", "up_proj", "down_proj", "gate")}
"""Names that peft 0.21 looks up among the experts of a mixture, whatever they name, by what transformers calls the scheme."""

# The kind of a linear layer by its path below its layer: the first that matches.
KINDS = tuple(
    (kind, re.compile(rf"(?:^|[._])(?:{pattern})$", re.IGNORECASE))
    for kind, pattern in (
        ("query_key_value", r"qkv_proj|w?qkv|query_key_value|c_attn|self\.in_proj"),
        ("query", r"query|q|q_(?:proj|lin|head|a_proj|b_proj)|wq|query_(?:proj|global)"),
        ("key", r"key|k|k_(?:proj|lin|head)|wk|key_(?:proj|global)"),
        ("value", r"value|v|v_(?:proj|lin|head)|wv|value_(?:proj|global)"),
        (
            "attention_output",
            r"o_proj|out_lin|post_proj|attention\.output\.dense|attention\.dense|attn\.dense|multi_head_attention\.dense"
            r"|\w*(?:attn|attention)\.(?:out_proj|c_proj|wo|o|output)|attention\.attn\.o",
        ),
        ("ffn_gate", r"gate_proj|wi_0"),
        ("ffn_in", r"up_proj|gate_up_proj|intermediate\.dense|fc1|lin1|c_fc|wi|wi_1|fc_in|linear_1|ffn"),
        ("ffn_out", r"down_proj|output\.dense|fc2|lin2|mlp\.c_proj|wo|fc_out|linear_2|ffn_output"),
    )
)
IN_FFN = re.compile(r"mlp|ffn|feed_forward|dense_\d*h_to", re.IGNORECASE)


class Unreadable(Exception):
    """An architecture that makes no text classifier; says why."""


def read(config: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of an architecture, plain values for JSON; `refused` alone, a sentence, where it makes no text classifier."""
    try:
        return Reading.of(config).facts()
    except Unreadable as error:
        return {"refused": str(error)}


@dataclass(frozen=True)
class Reading:
    """A classification model without weights."""

    model: Any

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Reading":
        """The class that transformers has for `config`, a config.json's content. Raises Unreadable."""
        model_type = str(config.get("model_type"))
        if model_type not in CONFIG_MAPPING or model_type not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES:
            raise Unreadable(f"transformers has no class of it that classifies texts (model type '{model_type}')")
        return cls(_without_weights(config, CLASSES))

    @property
    def root(self) -> str:
        """The module that holds the encoder."""
        return str(self.model.base_model_prefix)

    @property
    def config(self) -> Any:
        """The configuration of what reads texts."""
        return self.model.config.get_text_config()

    @cached_property
    def modules(self) -> dict[str, nn.Module]:
        return {name: module for name, module in self.model.named_modules() if name}

    @cached_property
    def heads(self) -> tuple[str, ...]:
        """The modules that hold the head: those beside the encoder, or that in it which gives the classes."""
        beside = tuple(
            name
            for name, module in self.model.named_children()
            if name != self.root and any(True for _ in module.parameters())
        )
        if beside:
            return beside
        other = dict(_without_weights(self.model.config.to_dict(), CLASSES + 1).named_parameters())
        named = (name for name, weight in self.model.named_parameters() if weight.shape != other[name].shape)
        return tuple(dict.fromkeys(".".join(name.split(".")[:2]) for name in named))

    def facts(self) -> dict[str, Any]:
        """All that `encoders.architecture.Architecture` holds."""
        parts = list(self.parts())
        heads = tuple(f"{head}." for head in self.heads)
        body = [part for part in parts if not f"{part['path']}.".startswith(heads)]
        head = [part for part in parts if f"{part['path']}.".startswith(heads)]
        if not head or next(iter(head[-1]["tensors"].values()))[0] != CLASSES:
            raise Unreadable(f"{type(self.model).__name__} has no linear layer at its end that gives the classes")
        return {
            "root": self.root,
            "layers": list(self.layers),
            "hidden": self.width
            or int(getattr(self.config, "hidden_size", None) or head[-1]["tensors"][f"{head[-1]['path']}.weight"][1]),
            "heads": int(getattr(self.config, "num_attention_heads", None) or 1),
            "longest": self.longest,
            "reads": self.reads,
            "causal": self.reads_last_token,
            "pools": not self.model.config.is_encoder_decoder and bool(self.width),
            "drops": self.drops,
            "body": body,
            "head": head,
            "notes": list(self.notes(body)),
        }

    def parts(self) -> Iterator[dict[str, Any]]:
        """Every module that has tensors of its own, in the model's order; a tied tensor stands where it comes first."""
        own = dict(self.model.named_parameters())
        for path, module in self.model.named_modules():
            tensors = {
                name: list(own[name].shape)
                for name in (f"{path}.{inner}".lstrip(".") for inner, _ in module.named_parameters(recurse=False))
                if name in own
            }
            layer = self.layer_of(path)
            if any(True for _ in module.children()) or not path:  # what it holds has paths of its own
                for name, shape in tensors.items():
                    yield {"path": name, "tensors": {name: shape}, "layer": layer, "linear": None}
            elif tensors:
                yield {"path": path, "tensors": tensors, "layer": layer, "linear": self.linear(path)}

    def linear(self, path: str) -> dict[str, Any] | None:
        """A linear layer that an adapter can stand in; None for any other module."""
        layer = self.layer_of(path)
        if layer is None or path not in self.adaptable:
            return None
        module: Any = self.modules[path]
        transposed = isinstance(module, Conv1D)
        d_in, d_out = module.weight.shape if transposed else reversed(module.weight.shape)
        kind = _kind(path.removeprefix(f"{self.layers[layer]}."), d_in, d_out)
        bias = module.bias is not None
        return {"kind": kind, "d_in": d_in, "d_out": d_out, "bias": bias, "transposed": transposed}

    @cached_property
    def linears(self) -> dict[str, nn.Module]:
        """The linear layers of the encoder that have weights of their own class, by path."""
        heads = tuple(f"{head}." for head in self.heads)
        return {
            name: module
            for name, module in self.modules.items()
            if isinstance(module, LINEAR) and name.startswith(f"{self.root}.") and not f"{name}.".startswith(heads)
        }

    @cached_property
    def tied(self) -> frozenset[str]:
        """The linear layers whose weight is another module's too."""
        named = [(name, id(weight)) for name, weight in self.model.named_parameters(remove_duplicate=False)]
        often = {number for number, count in Counter(number for _, number in named).items() if count > 1}
        return frozenset(name.removesuffix(".weight") for name, number in named if number in often)

    @cached_property
    def adaptable(self) -> frozenset[str]:
        """The linear layers that an adapter can stand in: texts reach them, and their weights are theirs alone."""
        return frozenset(
            name
            for name in self.linears
            if name in self.reached - self.tied and not CHOOSES.search(name) and not name.endswith(self.renamed)
        )

    @cached_property
    def renamed(self) -> tuple[str, ...]:
        """How paths end that peft takes for those of experts, which stood in linear layers of such names before."""
        before = _MODEL_TO_CONVERSION_PATTERN.get(self.config.model_type, self.config.model_type)
        return tuple(f".{name}" for name in TAKEN_FOR_EXPERTS.get(before, ()))

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """The modules that stand in lists, hold others, and get texts, in the model's order."""
        found: dict[str, None] = {}
        for name in self.linears if self.linears.keys() & self.reached else self.modules:
            numbered = NUMBERED.match(name)
            if numbered and name.startswith(f"{self.root}.") and (name in self.reached or not self.linears):
                found[numbered.group(0)] = None
        return tuple(found)

    def layer_of(self, path: str) -> int | None:
        numbered = NUMBERED.match(f"{path}.")
        return self.layers.index(numbered.group(0)) if numbered and numbered.group(0) in self.layers else None

    @cached_property
    def reached(self) -> frozenset[str]:
        """The modules that run and whose weights get a gradient of the classes.

        Where the forward pass needs numbers, which nothing has here, they are those whose paths speak of no other sense.
        """
        return self._passed[0]

    @cached_property
    def width(self) -> int | None:
        """Of the encoder's last hidden states; None where they are not (B, T, H)."""
        return self._passed[1]

    @cached_property
    def _passed(self) -> tuple[frozenset[str], int | None, bool]:
        """One text, forward and back: (modules that get a gradient, the hidden states' width, whether it came through)."""
        widths: list[int] = []
        called: set[nn.Module] = set()

        def note_width(_module: nn.Module, _inputs: Any, output: Any) -> None:
            hidden = getattr(output, "last_hidden_state", None)
            if hidden is not None and hidden.shape[:2] == (1, TOKENS):
                widths.append(hidden.shape[-1])

        hooks = [self.modules[self.root].register_forward_hook(note_width)]
        hooks += [module.register_forward_hook(lambda module, *_: called.add(module)) for module in self.linears.values()]
        ids = torch.full((1, TOKENS), TOKEN, device="meta")
        try:
            with _Answered(), torch.device("meta"):  # type: ignore[no-untyped-call]
                self.model.eval()(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.sum().backward()
        except (RuntimeError, ValueError, TypeError, AttributeError, IndexError, AssertionError):
            named = (name for name, module in self.modules.items() if module in called or not OTHER_SENSES.search(name))
            return frozenset(named), widths[0] if widths else getattr(self.config, "hidden_size", None), False
        finally:
            for hook in hooks:
                hook.remove()
        learning = frozenset(
            name
            for name, module in self.modules.items()
            if any(weight.grad is not None for weight in module.parameters(recurse=False))
            and (module in called or name not in self.linears)  # else its weight is read past the module, and any adapter
        )
        return learning, widths[0] if widths else None, True

    @cached_property
    def reads_last_token(self) -> bool:
        """Whether the class looks for a text's last token, for that alone has read the others."""
        for made_of in type(self.model).__mro__:
            forward = vars(made_of).get("forward")
            source = inspect.getsource(forward) if forward else ""
            if source and "super().forward(" not in source:
                return LAST_TOKEN in source
        return False

    @property
    def reads(self) -> str:
        """Which token's last hidden state the class reads: the first, the last, or the mean of all."""
        pooling = getattr(self.config, "classifier_pooling", None) or getattr(self.config, "summary_type", None)
        if pooling in ("mean", "late"):  # of the hidden states, or of each token's logits
            return "mean"
        summary = hasattr(self.model, "sequence_summary") and getattr(self.config, "summary_type", "last") == "last"
        return "last" if self.reads_last_token or summary or self.model.config.is_encoder_decoder else "first"

    @property
    def longest(self) -> int | None:
        """The longest text in tokens: the rows of a table of positions that a text can use, else what the config says."""
        told = getattr(self.config, "max_position_embeddings", None)
        told = told if isinstance(told, int) and told > 0 else None
        for name, module in self.modules.items():
            if isinstance(module, nn.Embedding) and re.search(r"position_embeddings$|embed_positions$|wpe$", name):
                skipped = getattr(module, "offset", 0) + (0 if module.padding_idx is None else module.padding_idx + 1)
                return min(module.num_embeddings - skipped, told or module.num_embeddings)
        return told

    @property
    def drops(self) -> bool:
        """Whether anything in the encoder drops out while it trains."""
        body = [module for name, module in self.modules.items() if f"{name}.".startswith(f"{self.root}.")]
        return any(
            getattr(module, "p", 0.0) > 0
            if isinstance(module, nn.Dropout)
            else any(
                _is_share(getattr(module, name, None)) for name in ("attention_dropout", "dropout", "activation_dropout")
            )
            for module in body
        )

    def notes(self, body: Sequence[Mapping[str, Any]]) -> Iterator[str]:
        """What is never adapted, and why."""
        if not self._passed[2]:
            yield "its forward pass needs numbers, so which layers texts reach is told by the names of its modules"
        adapted = {part["path"] for part in body if part["linear"]}
        left = [name for name in self.linears if name not in adapted and NUMBERED.match(name)]
        reasons: dict[str, Callable[[str], bool]] = {
            "no text reaches them": lambda name: name not in self.reached,
            "they share their weights": lambda name: name in self.tied,
            "they choose experts": lambda name: bool(CHOOSES.search(name)),
            "peft takes their names for those of experts": lambda name: name.endswith(self.renamed),
        }
        for why, holds in reasons.items():
            of_this = [name for name in left if holds(name)]
            left = [name for name in left if name not in of_this]
            if of_this:
                yield f"{len(of_this):,} linear layers take no adapter, for {why}: {of_this[0]}{' …' * (len(of_this) > 1)}"
        bare = [part for part in body if part["layer"] is not None and part["path"] not in self.linears and _is_matrix(part)]
        holders = sorted({type(self._holder(part["path"])).__name__ for part in bare})
        if holders:
            told = ", ".join(holders)
            yield f"{len(bare):,} tensors of its layers are no linear layers, so they take no adapter: those of {told}"

    def _holder(self, path: str) -> nn.Module:
        return self.modules.get(path) or self.modules[path.rpartition(".")[0]]


class _Answered(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Operations that need a tensor's numbers answer as for a text that no padding follows, and every choice is the first."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = _ANSWERS.get(func.overloadpacket.__name__)
        if answer is None or args[0].device.type != "meta":
            return func(*args, **(kwargs or {}))
        return answer(func, *args, **(kwargs or {}))


def _number(_: Any, tensor: Tensor) -> bool | int | float:
    return True if tensor.dtype == torch.bool else 1.0 if tensor.is_floating_point() else 1


def _places(_: Any, tensor: Tensor) -> Tensor:
    """One place in each row."""
    return tensor.new_empty((max(1, len(tensor)), tensor.dim()), dtype=torch.long)


def _distinct(_: Any, tensor: Tensor, **__: Any) -> tuple[Tensor, ...]:
    """One value, and no counts."""
    return tensor.new_empty((1,)), *(2 * [tensor.new_empty((0,), dtype=torch.long)])


def _grouped(_: Any, left: Tensor, right: Tensor, offsets: Tensor, *__: Any, **___: Any) -> Tensor:
    """(M, K) rows in G groups · (G, K, N); going back (M, K) · (K, N) in G parts of K, (G, M, N)."""
    groups = offsets.shape if right.dim() == 2 else ()
    return left.new_empty((*groups, left.shape[0], right.shape[-1]))


def _at(func: Any, tensor: Tensor, places: Sequence[Tensor | None]) -> Any:
    """What lies at places; a mask has one in each row."""
    chosen: list[Tensor | None] = []
    for place in places:
        is_mask = place is not None and place.dtype == torch.bool
        chosen += (
            [tensor.new_empty(place.shape[:1], dtype=torch.long)] * place.dim() if place is not None and is_mask else [place]
        )
    return func(tensor, chosen)


def _copied(func: Any, tensor: Tensor, **kwargs: Any) -> Any:
    """A tensor that a device with numbers gets is all ones."""
    if torch.device(kwargs.get("device") or "meta").type == "meta":
        return func(tensor, **kwargs)
    return torch.ones(tensor.shape, dtype=kwargs.get("dtype") or tensor.dtype)


_ANSWERS: Mapping[str, Callable[..., Any]] = {
    "_local_scalar_dense": _number,
    "nonzero": _places,
    "unique_consecutive": _distinct,
    "_grouped_mm": _grouped,
    "index": _at,
    "_to_copy": _copied,
}
"""What an operation of torch's that has no answer without numbers gives, by its name."""


def _without_weights(config: Mapping[str, Any], classes: int) -> Any:
    """The classification model on the meta device. Raises Unreadable where the config makes none."""
    model_type = config["model_type"]
    try:
        made: PreTrainedConfig = CONFIG_MAPPING[model_type].from_dict({**config})
        made.num_labels = classes
        made.use_cache = made.get_text_config().use_cache = False
        with torch.device("meta"):
            return AutoModelForSequenceClassification.from_config(made, dtype=torch.float32)  # type: ignore[no-untyped-call]
    except ImportError as error:
        raise Unreadable(f"transformers makes it of a package that is not installed: {_first_line(error)}") from error
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError, StrictDataclassError) as error:
        raise Unreadable(f"transformers makes no model of its config.json: {_first_line(error)}") from error


def _kind(path: str, d_in: int, d_out: int) -> str:
    """The kind of a linear layer by its path below its layer, and by its shape where that says no more than its block."""
    for kind, pattern in KINDS:
        if pattern.search(path):
            return kind
    if IN_FFN.search(path) and d_in != d_out:
        return "ffn_in" if d_out > d_in else "ffn_out"
    return "other"


def _is_matrix(part: Mapping[str, Any]) -> bool:
    return any(len(shape) >= 2 and min(shape) > 1 for shape in part["tensors"].values())


def _is_share(value: Any) -> bool:
    return isinstance(value, float) and 0 < value < 1


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip() or 'without a word').splitlines()[0]}"


if __name__ == "__main__":
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    print(json.dumps(read(json.load(sys.stdin))))
