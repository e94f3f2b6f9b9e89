"""What an encoder family is: every tensor by name and shape, and what planning, training and exporting must know of it.

A family lists the modules of transformers' `…ForSequenceClassification`, one a line:

    PATH  table ROWS WIDTH            an embedding
    PATH  linear IN OUT [kind=KIND]   a linear layer (out, in) with a bias; `kind` marks those that can be adapted
    PATH  norm WIDTH                  a layer norm, weight and bias
    PATH  free DIM …                  a bare parameter

Dimensions are letters (L layers, H hidden, N heads, I intermediate, V vocabulary, P positions, S segments, E embedding,
C classes, … read from the config keys that `sizes` names), products such as 3*H, or numbers. Options: `bias=KEY` makes the
bias depend on a config flag, `bias=no` drops it, `if=TEST` keeps the line only where the family's test holds. Every line is
held against the live model by a test, name by name.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Config = Mapping[str, Any]
"""A config.json's content."""

ROTARY_OPSET = 20  # of ONNX: 23's RotaryEmbedding gets a table of one row, which ONNX Runtime 1.31 refuses


@dataclass(frozen=True)
class FastPath:
    """What a layer built as BERT's has beside its linear layers, which their kinds tell, and how its ends are computed.

    Paths lead to transformers' modules below a layer; functions get live modules and tensors, so this file needs no torch.
    """

    attention_dropout: str
    attention_norm: str
    activation: str
    ffn_dropout: str
    ffn_norm: str
    head: Callable[[Any, Any], Any]
    """(classification model, hidden states of the last layer (B, T, H)) → logits (B, C); it calls single layers only."""
    embed: Callable[[Any, Mapping[str, Any]], Any]
    """(encoder, token ids and token types (B, T) by name) → what enters the first layer (B, T, H); single layers only."""
    attention_output_dropout: str | None = None
    activation_key: str = "hidden_act"
    """The config key that names the layers' activation."""
    head_activation: tuple[str, str] | None = None
    """The path of the head's own activation and its name, where it has a module for it."""


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What planning, training and exporting must know of an architecture, beside its tensors."""

    root: str
    """The module that holds the encoder in the classification model."""
    causal: bool = False
    """Whether each token reads those before it alone, so that the last one has read them all: a decoder."""
    pools: bool = True
    """Whether its last hidden states are those of the text's own tokens, so that a pooled head can stand on them."""
    padding_side: str | None = None
    """The side on which short texts are filled up, "left" or "right", where that is not its tokenizer's own."""
    first_position: int = 0
    """Where positions start counting; the embedding has that many rows no text can use."""
    takes_prefix: bool = False
    """Whether transformers lets keys and values go before a layer's own, which prefix tuning needs."""
    fast_path: FastPath | None = None
    """What `model/forward.py` needs to compute its layers; None where they are not built as BERT's are."""
    onnx_opset: int | None = None
    """The ONNX operator set that its export needs, where that is not the usual one."""
    onnx_float_mask: bool = False
    """Whether its attention mask must be a float for torch's exporter to know its type."""


@dataclass(frozen=True, kw_only=True)
class Family(Traits):
    """How one family names and shapes its modules, and what it can do; this file's docstring explains the lines."""

    model_types: tuple[str, ...]
    """What `model_type` says in the config.json of its encoders."""
    sizes: Mapping[str, tuple[str, int | None]]
    """Letter → the config key of a dimension, and what transformers takes where a config leaves it out; None: `derived`."""
    dropouts: Mapping[str, float]
    """The config keys of the encoder's dropout, and what transformers takes for those that are left out."""
    before: str
    """The lines that stand before the layers."""
    layer_path: str
    layer: str
    """The lines of each layer."""
    head: str
    """The lines of the classification head."""
    after: str = ""
    """The lines that stand after the layers."""
    reads: Callable[[Config], str] = lambda _: "first"
    """Which token's last hidden state the head reads: the first, the last, or the mean of all."""
    derived: Mapping[str, Callable[[Config, Mapping[str, int]], int]] = field(default_factory=dict)
    """Letter → what its key leaves open or no key says, from (config, `sizes` by letter); L, H and N are here or there."""
    tests: Mapping[str, Callable[[Config, int], bool]] = field(default_factory=dict)
    """(config, layer) → whether a line marked `if=TEST` is there."""
