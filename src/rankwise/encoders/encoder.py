"""An encoder and its classification head, as facts: every tensor by name and shape, its linear layers. No torch."""

import math
from dataclasses import dataclass, field, replace
from typing import Self

from rankwise.encoders.family import Config, Traits

POOLED_HEAD = "classifier"  # the module of a pooled head, beside the encoder's


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
