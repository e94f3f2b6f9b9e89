"""The fast path: the same forward pass in fewer operations, for encoders whose layers are built as BERT's are.

- **linear layers** are folded with their adapters, query, key and value into one (folding.py).
- **first token**: the last layer is computed for the first token only, which is all that the head reads.
- **dropout** masks come from random words (dropout.py).

Products run in the dtype that is asked for (fp32, or bf16 where the hardware multiplies it); sums, norms and the head stay
in fp32. Shapes: B rows, T tokens, H hidden, N heads, D = H/N, I inner.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rankwise.encoders.encoder import POOLED_HEAD, Encoder
from rankwise.encoders.family import FastPath
from rankwise.model.dropout import dropout
from rankwise.model.folding import LinearLayers
from rankwise.model.methods import LiveAdapter, norm_of
from rankwise.model.pooled import Apart, pooled
from rankwise.planning.memory import FUSED_IN_SCORING, FUSED_IN_TRAINING
from rankwise.recipe import SpeedSpec
from rankwise.system.device import on_cpu

Inputs = Mapping[str, Tensor]

ALL_ON = SpeedSpec()
# tokens from which torch's fused attention is faster on a CPU where there is a backward pass; in bf16 never
FUSED_WITH_BACKWARD = {torch.float32: FUSED_IN_TRAINING}
READ_APART = (("query",), ("key", "value"))  # in the last layer, where only the first token's query is needed
KINDS_TOGETHER = (*READ_APART, ("query", "key", "value"), ("attention_output",), ("ffn_in",), ("ffn_out",))
"""Linear layers that are computed as one product, by kind."""
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Entering(NamedTuple):
    """Hidden states that are known already."""

    hidden: Tensor
    """(B, T, H)"""
    layer: int
    """The layer that they enter."""


class Forward:
    """A classification model's forward pass, layer by layer. It reads the live modules; folded weights are its own.

    `model` is the transformers model (peft's wrapper taken off), `encoder` describes it and has a fast path, `adapter` is
    the method that has adapted it, if one has.
    """

    def __init__(self, model: nn.Module, encoder: Encoder, adapter: LiveAdapter | None = None) -> None:
        fast_path = encoder.traits.fast_path
        assert fast_path is not None, f"{encoder.family} has no fast path"
        self.model = model
        self.fast_path = fast_path
        self.encoder: Any = model.get_submodule(encoder.root)
        self.reads, self.pools = encoder.reads, encoder.pools
        self.layers = [_Layer(model, encoder, fast_path, index, adapter) for index in range(encoder.layers)]
        self.linear = [linear for layer in self.layers for linear in layer.linear.values()]

    def logits(
        self, inputs: Inputs, *, precision: str = "fp32", speed: SpeedSpec = ALL_ON, entering: Entering | None = None
    ) -> Tensor:
        """Logits (B, C) in fp32; from the embeddings up, or from the layer that known hidden states enter."""
        hidden, start = entering or (self.embed(inputs), 0)
        hidden = self.run(hidden, inputs, precision=precision, speed=speed, start=start)
        head = self.model.get_submodule(POOLED_HEAD) if self.pools else None
        return torch.as_tensor(self.fast_path.head(self.model, hidden) if head is None else head(hidden[:, 0]))

    def embed(self, inputs: Inputs) -> Tensor:
        """What enters the first layer (B, T, H)."""
        read = {name: inputs[name] for name in ("input_ids", "token_type_ids") if name in inputs}
        if self.reads == "apart":
            positions = Apart.of(inputs["attention_mask"], read.pop("token_type_ids"), torch.float32).position_ids
            read["position_ids"] = positions
        return torch.as_tensor(self.fast_path.embed(self.encoder, read))

    def run(
        self,
        hidden: Tensor,
        inputs: Inputs,
        *,
        precision: str,
        speed: SpeedSpec = ALL_ON,
        start: int = 0,
        stop: int | None = None,
    ) -> Tensor:
        """Layers `start` up to `stop` on hidden states (B, T, H); after the last one (B, 1, H) where only that is read.

        What a pooled head reads, a mean of tokens, is (B, 1, H) too, or (B, 1, 2H) of two texts that are read apart.
        """
        stop, dtype = len(self.layers) if stop is None else stop, PRECISIONS[precision]
        attention_mask, segments = inputs["attention_mask"], inputs.get("token_type_ids")
        mask = additive_mask(attention_mask, dtype)  # (B, 1, 1, T)
        if self.reads == "apart":
            mask = Apart.of(attention_mask, inputs["token_type_ids"], dtype).mask  # (B, 1, T, T)
        for index in range(start, stop):
            first_only = speed.first_token and self.reads == "first" and index == len(self.layers) - 1
            hidden = self.layers[index](hidden, mask, dtype=dtype, fold=speed.fold, first_only=first_only)
        if self.pools and start < stop == len(self.layers):
            hidden = pooled(hidden.float(), attention_mask, self.reads, segments)[:, None]
        return hidden

    def freeze(self) -> None:
        """Take the linear layers as they are at the next pass for good, where no module trains or gets an adapter."""
        for linear in self.linear:
            linear.freeze()

    def forget_adapted(self) -> None:
        """Drop the weights that adapters are folded into: the next pass makes them again."""
        for linear in self.linear:
            linear.forget_adapted()

    def frozen_below(self, layer: int) -> list[Tensor]:
        """Every weight that the hidden states entering `layer` depend on, in the model's order."""
        above = {id(weight) for part in self.layers[layer:] for weight in part.module.parameters()}
        pooler = getattr(self.encoder, "pooler", None)
        above |= {id(weight) for weight in pooler.parameters()} if pooler is not None else set()
        return [weight for weight in self.encoder.parameters() if id(weight) not in above]


class _Layer:
    """One encoder layer: attention, then the feed-forward layers, each with its residual and norm."""

    def __init__(
        self, model: nn.Module, encoder: Encoder, fast_path: FastPath, index: int, adapter: LiveAdapter | None
    ) -> None:
        linear = {site.kind: model.get_submodule(site.name) for site in encoder.sites if site.layer == index}
        self.module = model.get_submodule(encoder.layer_paths[index])
        part: Callable[[str], Any] = self.module.get_submodule

        self.linear = {kinds: LinearLayers([linear[kind] for kind in kinds], adapter) for kinds in KINDS_TOGETHER}
        self.heads = encoder.heads
        self.query, self.key_value, self.query_key_value, *others = self.linear.values()
        self.attention_output, self.ffn_in, self.ffn_out = others
        self.attention_norm, self.ffn_norm = part(fast_path.attention_norm), part(fast_path.ffn_norm)
        self.activation = part(fast_path.activation)
        self.attention_dropout = part(fast_path.attention_dropout)
        after = fast_path.attention_output_dropout
        self.attention_output_dropout = part(after) if after else nn.Identity()
        self.ffn_dropout = part(fast_path.ffn_dropout)

    def __call__(self, hidden: Tensor, mask: Tensor | None, *, dtype: torch.dtype, fold: bool, first_only: bool) -> Tensor:
        """(B, T, H) → (B, T, H), or (B, 1, H) of the first token."""
        x = hidden.to(dtype)
        if first_only:
            hidden = hidden[:, :1]
            query = self.query(x[:, :1], fold)  # (B, 1, H)
            key, value = self.key_value(x, fold).chunk(2, dim=-1)  # (B, T, H)
            context = self._attend(self._by_head(query), self._by_head(key), self._by_head(value), mask)
        else:
            together = self.query_key_value(x, fold)  # (B, T, 3H)
            rows, tokens, width = together.shape
            # one copy into (3, B, N, T, D), so that each product reads whole matrices
            split = together.view(rows, tokens, 3, self.heads, width // (3 * self.heads)).permute(2, 0, 3, 1, 4).contiguous()
            context = self._attend(split[0], split[1], split[2], mask)
        attended = _dropped(self.attention_output_dropout, self.attention_output(context, fold))
        hidden = _normed(self.attention_norm, attended + hidden)
        inner = self.activation(self.ffn_in(hidden.to(dtype), fold))  # (B, T, I)
        return _normed(self.ffn_norm, _dropped(self.ffn_dropout, self.ffn_out(inner, fold)) + hidden)

    def _by_head(self, values: Tensor) -> Tensor:
        rows, tokens, width = values.shape
        return values.reshape(rows, tokens, self.heads, width // self.heads).transpose(1, 2).contiguous()  # (B, N, T, D)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """softmax(q·kᵀ/√D + mask)·v of each head (B, N, T, D), heads end to end (B, T, H)."""
        rows, heads, tokens, width = query.shape
        p = self.attention_dropout.p if self.attention_dropout.training else 0.0
        if on_cpu(query) and not _fused_is_faster(query, p):
            context = _attend_on_cpu(query, key, value, mask, p)
        else:
            context = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=p)
        return context.transpose(1, 2).reshape(rows, tokens, heads * width)


def _dropped(module: Any, x: Tensor) -> Tensor:
    """The output of a Dropout, which is not called where it changes nothing."""
    return torch.as_tensor(module(x)) if module.training else x


def _normed(module: Any, x: Tensor) -> Tensor:
    """The output of a LayerNorm, computed without calling the module, which takes a short text as long as the norm."""
    norm = norm_of(module)
    return torch.layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)


def _fused_is_faster(query: Tensor, p: float) -> bool:
    """Whether torch's fused attention of (B, N, T, D) beats the written-out one on a CPU: benchmarks/attention.py.

    It has no dropout there, and its backward pass is slow in bf16.
    """
    if p > 0 or torch.compiler.is_compiling():  # a graph that is exported holds for every length
        return False
    trains = torch.is_grad_enabled() and query.requires_grad
    return query.shape[2] >= (FUSED_WITH_BACKWARD.get(query.dtype, math.inf) if trains else FUSED_IN_SCORING)


def _attend_on_cpu(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, p: float) -> Tensor:
    """Attention written out (B, N, T, D)."""
    rows, heads, tokens, width = query.shape
    read, flat = key.shape[2], rows * heads
    beta = 0 if mask is None else 1  # at 0 the bias is not read
    seen = 1 if mask is None else mask.shape[2]  # 1 where all tokens of a text see the same ones
    bias = query.new_empty((1, 1, 1)) if mask is None else mask.expand(rows, heads, seen, read).reshape(flat, seen, read)
    scores = torch.baddbmm(
        bias, query.reshape(flat, tokens, width), key.reshape(flat, read, width).transpose(1, 2), beta=beta, alpha=width**-0.5
    )
    probabilities = torch.softmax(scores, dim=-1)  # bf16's own sums in fp32, too
    context = torch.bmm(dropout(probabilities, p), value.reshape(flat, read, width))  # (B·N, T, D)
    return context.view(rows, heads, tokens, width)


def additive_mask(attention_mask: Tensor, dtype: torch.dtype) -> Tensor | None:
    """0 where a token is real, the most negative number where it is padding (B, 1, 1, T); None where all are real."""
    padding = attention_mask == 0
    if on_cpu(attention_mask) and not torch.compiler.is_compiling() and not bool(padding.any()):
        return None
    mask = torch.zeros(padding.shape, dtype=dtype, device=padding.device).masked_fill_(padding, torch.finfo(dtype).min)
    return mask[:, None, None, :]
