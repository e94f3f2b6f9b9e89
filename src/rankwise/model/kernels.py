"""The forward pass in fewer operations and the same mathematics, for encoders whose layers are built as BERT's are.

- **fold**: an adapter is folded into the frozen weight under it, W' = W + s·B·A, until A or B changes, so that it costs
  nothing going forward; going back, only what A and B need is computed. Query, key and value are one product. AdaLoRA's
  singular values E count to A.
- **first token**: the last layer is computed for the first token only, which is all that the head reads.
- **random words**: dropout masks are cut from torch's 64-bit random words, 16 bits a mask, a third of the usual cost.

Products run in the dtype that is asked for (fp32, or bf16 where the hardware multiplies it); sums, norms and the head stay
in fp32. Shapes: B rows, T tokens, H hidden, N heads, D = H/N, R rank.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rankwise import machine
from rankwise.errors import TrainingError
from rankwise.specs import SpeedSpec

Inputs = Mapping[str, Tensor]


@dataclass(frozen=True)
class Layout:
    """Where a family keeps the parts of a layer, below the encoder and below the layer."""

    layers: str
    query: str
    key: str
    value: str
    attention_dropout: str
    attention_output: str
    attention_norm: str
    ffn_in: str
    activation: str
    ffn_out: str
    ffn_dropout: str
    ffn_norm: str
    attention_output_dropout: str | None = None


_BERT = Layout(
    layers="encoder.layer", query="attention.self.query", key="attention.self.key", value="attention.self.value",
    attention_dropout="attention.self.dropout", attention_output="attention.output.dense",
    attention_norm="attention.output.LayerNorm", ffn_in="intermediate.dense", activation="intermediate.intermediate_act_fn",
    ffn_out="output.dense", ffn_dropout="output.dropout", ffn_norm="output.LayerNorm",
    attention_output_dropout="attention.output.dropout",
)  # fmt: skip
LAYOUTS = {
    **dict.fromkeys(("bert", "roberta", "xlm-roberta", "camembert", "electra"), _BERT),
    "distilbert": Layout(
        layers="transformer.layer",
        query="attention.q_lin",
        key="attention.k_lin",
        value="attention.v_lin",
        attention_dropout="attention.dropout",
        attention_output="attention.out_lin",
        attention_norm="sa_layer_norm",
        ffn_in="ffn.lin1",
        activation="ffn.activation",
        ffn_out="ffn.lin2",
        ffn_dropout="ffn.dropout",
        ffn_norm="output_layer_norm",
    ),
}


ALL_ON = SpeedSpec()


class Entering(NamedTuple):
    """Hidden states that are known already."""

    hidden: Tensor
    """(B, T, H)"""
    layer: int
    """The layer that they enter."""


class Forward:
    """A classification model's forward pass, layer by layer. It reads the live modules; folded weights are its own.

    `model` is the transformers model (peft's wrapper taken off), `family` a key of LAYOUTS, `prefix` its encoder's name.
    """

    def __init__(self, model: nn.Module, *, family: str, prefix: str) -> None:
        self.model = model
        self.family = family
        self.encoder: Any = model.get_submodule(prefix)
        layout = LAYOUTS[family]
        config: Any = self.encoder.config
        heads = int(config.num_attention_heads)
        self.stack = list(self.encoder.get_submodule(layout.layers).children())
        self.layers = [_Layer(layer, layout, heads) for layer in self.stack]

    def logits(
        self, inputs: Inputs, *, dtype: torch.dtype, speed: SpeedSpec = ALL_ON, entering: Entering | None = None
    ) -> Tensor:
        """Logits (B, C) in fp32; from the embeddings up, or from the layer that known hidden states enter."""
        hidden, start = entering or (self.embed(inputs), 0)
        return self.head(self.run(hidden, inputs, dtype=dtype, speed=speed, start=start))

    def embed(self, inputs: Inputs) -> Tensor:
        """What enters the first layer (B, T, H)."""
        given = {"input_ids": inputs["input_ids"]}
        if "token_type_ids" in inputs and self.family != "distilbert":
            given["token_type_ids"] = inputs["token_type_ids"]
        hidden: Tensor = self.encoder.embeddings(**given)
        project = getattr(self.encoder, "embeddings_project", None)  # ELECTRA's are narrow
        return hidden if project is None else torch.as_tensor(project(hidden))

    def run(
        self,
        hidden: Tensor,
        inputs: Inputs,
        *,
        dtype: torch.dtype,
        speed: SpeedSpec = ALL_ON,
        start: int = 0,
        stop: int | None = None,
    ) -> Tensor:
        """Layers `start` up to `stop` on hidden states (B, T, H); after the last one (B, 1, H) where only that is read."""
        stop = len(self.layers) if stop is None else stop
        mask = _additive(inputs["attention_mask"], dtype)  # (B, 1, 1, T)
        for place in range(start, stop):
            first_only = speed.first_token and place == len(self.layers) - 1
            hidden = self.layers[place](hidden, mask, dtype=dtype, fold=speed.fold, first_only=first_only)
        return hidden

    @property
    def width(self) -> int:
        """H."""
        return int(self.encoder.config.hidden_size)

    def forget_adapted(self) -> None:
        """Drop the weights that adapters are folded into: the next pass makes them again."""
        for layer in self.layers:
            for maps in layer.maps:
                maps.forget_adapted()

    def frozen_below(self, layer: int) -> list[Tensor]:
        """Every weight that the hidden states entering `layer` depend on, in the model's order."""
        above = {id(weight) for part in self.stack[layer:] for weight in part.parameters()}
        pooler = getattr(self.encoder, "pooler", None)
        above |= {id(weight) for weight in pooler.parameters()} if pooler is not None else set()
        return [weight for weight in self.encoder.parameters() if id(weight) not in above]

    def head(self, hidden: Tensor) -> Tensor:
        """The live head on the last layer's output: logits (B, C)."""
        model: Any = self.model
        if self.family == "bert":
            hidden = model.dropout(self.encoder.pooler(hidden))
        elif self.family == "distilbert":
            hidden = model.dropout(torch.relu(model.pre_classifier(hidden[:, 0])))
        return torch.as_tensor(model.classifier(hidden))


def resolve_precision(precision: str, device: torch.device) -> str:
    """fp32, bf16 or fp16; `auto` is bf16 where the hardware multiplies it. Raises TrainingError for what it lacks."""
    if precision == "auto":
        return "bf16" if _has_bf16(device) else "fp32"
    if precision == "fp32":
        return precision
    if precision == "fp16" and device.type == "cpu":
        raise TrainingError("train.precision is fp16, which needs a GPU; on a CPU use fp32 or bf16")
    if precision == "bf16" and not _has_bf16(device):
        raise TrainingError(f"train.precision is bf16, which this {device.type} has no instructions for; use fp32")
    return precision


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cpu":
        return machine.has_bf16()
    return device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)


class WordDropout(nn.Dropout):
    """Dropout whose masks are 16-bit pieces of torch's 64-bit random words: p to within 1/65536, on the same generator."""

    def forward(self, input: Tensor) -> Tensor:
        return dropout(input, self.p) if self.training else input


def cut_dropout_from_words(model: nn.Module) -> int:
    """Replace every Dropout of a model by WordDropout; returns how many."""
    swapped = 0
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Dropout:
                swap = WordDropout(child.p)
                swap.train(child.training)
                setattr(parent, name, swap) if not isinstance(parent, nn.ModuleDict) else parent.update({name: swap})
                swapped += 1
    return swapped


def dropout(values: Tensor, p: float) -> Tensor:
    """Each value kept with probability 1 - p and scaled by 1/(1 - p)."""
    if p <= 0.0:
        return values
    if values.device.type != "cpu" or p >= 1.0:
        return F.dropout(values, p)
    count = values.numel()
    words = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    pieces = words.view(torch.int16)[:count].view(values.shape)
    keep = (pieces >= round(p * 65536) - 32768).to(values.dtype).mul_(1 / (1 - p))
    return values * keep


class _Layer:
    """One encoder layer: attention, then the feed-forward maps, each with its residual and norm."""

    def __init__(self, layer: nn.Module, layout: Layout, heads: int) -> None:
        def part(path: str) -> Any:
            return layer.get_submodule(path)

        self.heads = heads
        self.query = _Maps([part(layout.query)])
        self.key_value = _Maps([part(layout.key), part(layout.value)])
        self.query_key_value = _Maps([part(layout.query), part(layout.key), part(layout.value)])
        self.attention_output = _Maps([part(layout.attention_output)])
        self.ffn_in, self.ffn_out = _Maps([part(layout.ffn_in)]), _Maps([part(layout.ffn_out)])
        self.attention_norm, self.ffn_norm = part(layout.attention_norm), part(layout.ffn_norm)
        self.activation = part(layout.activation)
        self.attention_dropout = part(layout.attention_dropout)
        after = layout.attention_output_dropout
        self.attention_output_dropout = part(after) if after else nn.Identity()
        self.ffn_dropout = part(layout.ffn_dropout)

    @property
    def maps(self) -> tuple[_Maps, ...]:
        """All of them; query, key and value twice, for they are read together and apart."""
        return (
            self.query, self.key_value, self.query_key_value, self.attention_output, self.ffn_in, self.ffn_out,
        )  # fmt: skip

    def __call__(self, hidden: Tensor, mask: Tensor | None, *, dtype: torch.dtype, fold: bool, first_only: bool) -> Tensor:
        """(B, T, H) → (B, T, H), or (B, 1, H) of the first token."""
        x = hidden.to(dtype)
        if first_only:
            hidden = hidden[:, :1]
            query = self.query(x[:, :1], fold)  # (B, 1, H)
            key, value = self.key_value(x, fold).chunk(2, dim=-1)  # (B, T, H)
            mixed = self._attend(self._by_head(query), self._by_head(key), self._by_head(value), mask)
        else:
            together = self.query_key_value(x, fold)  # (B, T, 3H)
            rows, tokens, width = together.shape
            # one copy into (3, B, N, T, D), so that each product reads whole matrices
            split = together.view(rows, tokens, 3, self.heads, width // (3 * self.heads)).permute(2, 0, 3, 1, 4).contiguous()
            mixed = self._attend(split[0], split[1], split[2], mask)
        attended = self.attention_output_dropout(self.attention_output(mixed, fold))
        hidden = self.attention_norm(attended + hidden)
        inner = self.activation(self.ffn_in(hidden.to(dtype), fold))  # (B, T, I)
        return torch.as_tensor(self.ffn_norm(self.ffn_dropout(self.ffn_out(inner, fold)) + hidden))

    def _by_head(self, values: Tensor) -> Tensor:
        rows, tokens, width = values.shape
        return values.reshape(rows, tokens, self.heads, width // self.heads).transpose(1, 2).contiguous()  # (B, N, T, D)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """softmax(q·k/√D + mask)·v (B, T, H).

        Written out on a CPU: at these lengths as fast as the fused kernel in fp32, four times as fast in bf16, and it drops.
        """
        rows, heads, tokens, width = query.shape
        p = self.attention_dropout.p if self.attention_dropout.training else 0.0
        if query.device.type != "cpu":
            mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=p)
        else:
            seen = key.shape[2]
            flat = rows * heads
            if mask is None:
                hidden, beta = query.new_empty((1, 1, 1)), 0  # not read
            else:
                hidden, beta = mask.expand(rows, heads, 1, seen).reshape(flat, 1, seen), 1
            scores = torch.baddbmm(
                hidden, query.reshape(flat, tokens, width), key.reshape(flat, seen, width).transpose(1, 2),
                beta=beta, alpha=width**-0.5,
            )  # fmt: skip
            shares = torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)  # bf16's own takes twice as long
            shares = dropout(shares, p)  # (B·N, T, T)
            mixed = torch.bmm(shares, value.reshape(flat, seen, width))
            mixed = mixed.view(rows, heads, tokens, width)
        return mixed.transpose(1, 2).reshape(rows, tokens, heads * width)


class _Maps:
    """Linear maps that read the same input, as one product: their outputs end to end.

    Frozen maps, and those whose adapter can be folded in, share one weight, made again only when an adapter has changed.
    """

    def __init__(self, modules: Sequence[Any]) -> None:
        self.modules = list(modules)
        self.weights: dict[torch.dtype, Tensor] = {}
        self.made_from: dict[torch.dtype, tuple[Any, ...]] = {}

    def __call__(self, x: Tensor, fold: bool) -> Tensor:
        if fold and all(_can_fold(module) for module in self.modules):
            adapters = [_adapter(module) for module in self.modules]
            trained = [tensor for adapter in adapters if adapter for tensor in (adapter.a, adapter.b)]
            weight = self._folded(x.dtype, adapters)
            return _FoldedMaps.apply(x, weight, self._bias(x.dtype), self._places(adapters), *trained)  # type: ignore
        outputs = [_apply(module, x) for module in self.modules]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=-1)

    def forget_adapted(self) -> None:
        """Drop a weight that an adapter is folded into."""
        if any(_adapter(module) for module in self.modules if type(_base(module)) is nn.Linear):
            self.weights.clear()
            self.made_from.clear()

    def _places(self, adapters: Sequence[_Adapter | None]) -> tuple[tuple[int, int, float], ...]:
        """(first row, end row, scale) of each folded adapter in the common weight."""
        found, row = [], 0
        for module, adapter in zip(self.modules, adapters, strict=True):
            end = row + _base(module).out_features
            if adapter:
                found.append((row, end, adapter.scale))
            row = end
        return tuple(found)

    def _bias(self, dtype: torch.dtype) -> Tensor | None:
        biases = [_base(module).bias for module in self.modules]
        if all(bias is None for bias in biases):
            return None
        together = biases[0] if len(biases) == 1 else torch.cat(biases)
        return torch.as_tensor(together.to(dtype))

    def _folded(self, dtype: torch.dtype, adapters: Sequence[_Adapter | None]) -> Tensor:
        bases = [_base(module) for module in self.modules]
        read = [base.weight for base in bases] + [tensor for adapter in adapters if adapter for tensor in adapter.read]
        state = tuple((tensor.data_ptr(), tensor.device, tensor._version) for tensor in read)
        if self.made_from.get(dtype) == state:
            return self.weights[dtype]
        with torch.inference_mode(False), torch.no_grad():
            if len(bases) == 1 and adapters[0] is None:
                self.weights[dtype] = bases[0].weight.detach().to(dtype)  # the live weight itself in fp32
            else:
                parts = [
                    base.weight if adapter is None else torch.addmm(base.weight, adapter.b, adapter.a, alpha=adapter.scale)
                    for base, adapter in zip(bases, adapters, strict=True)
                ]
                self.weights[dtype] = torch.cat([part.detach().to(dtype) for part in parts])
        self.made_from[dtype] = state
        return self.weights[dtype]


@dataclass(frozen=True)
class _Adapter:
    a: Tensor
    """(R, d_in)"""
    b: Tensor
    """(d_out, R)"""
    scale: float
    read: tuple[Tensor, ...]
    """The live tensors that it is made of."""


class _FoldedMaps(torch.autograd.Function):
    """y = x·W'ᵀ + bias with W' = W + s·B·A already made; gradients of x, bias, A and B, none of W."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, places: tuple[tuple[int, int, float], ...], *trained: Tensor
    ) -> Tensor:
        ctx.weight, ctx.places = weight, places
        ctx.save_for_backward(x if places else None, *trained)
        return F.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, *trained = ctx.saved_tensors
        flat = gradient.reshape(-1, gradient.shape[-1])  # (B·T, d_out)
        wants_x, wants_bias = ctx.needs_input_grad[0], ctx.needs_input_grad[2]
        to_x = (flat @ ctx.weight).view(*gradient.shape[:-1], -1) if wants_x else None
        to_bias = flat.sum(0) if wants_bias else None
        found: list[Tensor | None] = []
        if ctx.places and any(ctx.needs_input_grad[4:]):
            rows = x.reshape(-1, x.shape[-1])  # (B·T, d_in)
            for (first, end, scale), a, b in zip(ctx.places, trained[::2], trained[1::2], strict=True):
                part = flat[:, first:end]
                down = rows @ a.to(rows.dtype).T  # (B·T, R)
                up = part @ b.to(rows.dtype)  # (B·T, R)
                found += [(up.T @ rows).to(a.dtype) * scale, (part.T @ down).to(b.dtype) * scale]
        else:
            found = [None] * len(trained)
        return to_x, None, to_bias, None, *found


def _base(module: Any) -> Any:
    """The linear map itself, under an adapter if there is one."""
    return getattr(module, "base_layer", module)


def _adapter(module: Any) -> _Adapter | None:
    """A module's one active low-rank adapter."""
    if not hasattr(module, "lora_A"):
        return None
    (name,) = module.active_adapters
    scale = float(module.scaling[name])
    if hasattr(module, "lora_E"):  # AdaLoRA: B·diag(E)·A over the rank that it started with
        a, b, values = module.lora_A[name], module.lora_B[name], module.lora_E[name]  # (R, d_in), (d_out, R), (R, 1)
        return _Adapter(a * values / (module.ranknum[name] + 1e-5), b, scale, (a, b, values))
    a, b = module.lora_A[name].weight, module.lora_B[name].weight
    return _Adapter(a, b, scale, (a, b))


def _can_fold(module: Any) -> bool:
    """Whether a map is plain and its weight needs no gradient: no variant such as DoRA, no dropout before its adapter now."""
    base = _base(module)
    if type(base) is not nn.Linear or (base.weight.requires_grad and torch.is_grad_enabled()):
        return False
    if not hasattr(module, "lora_A"):
        return module is base
    if len(module.active_adapters) != 1 or module.disable_adapters or module.merged or module.lora_variant:
        return False
    before = module.lora_dropout[module.active_adapters[0]]
    return not (before.training and getattr(before, "p", 0.0) > 0)


def _apply(module: Any, x: Tensor) -> Tensor:
    """A map in the dtype of x: linear, IA3 and plain LoRA maps here, anything else by its own forward in its own dtype."""
    base = _base(module)
    plain = type(base) is nn.Linear and not getattr(module, "lora_variant", None)
    if plain and module is base:
        return _linear(base, x)
    if plain and hasattr(module, "ia3_l") and not module.disable_adapters and not module.merged:
        (name,) = module.active_adapters
        scale = module.ia3_l[name].flatten()  # in fp32, for bf16 has no number between 1 and 1.008
        return _linear(base, (x * scale).to(x.dtype)) if module.is_feedforward else (_linear(base, x) * scale).to(x.dtype)
    adapter = _adapter(module) if plain else None
    if adapter is None:
        return torch.as_tensor(module(x.to(torch.float32)).to(x.dtype))
    before = module.lora_dropout[module.active_adapters[0]]
    y = _linear(base, x)
    down = F.linear(before(x), adapter.a.to(x.dtype))  # (B, T, R)
    rows = torch.addmm(y.flatten(0, -2), down.flatten(0, -2), adapter.b.to(x.dtype).T, alpha=adapter.scale)
    return rows.view(y.shape)


def _linear(base: Any, x: Tensor) -> Tensor:
    """A plain linear map in the dtype of x."""
    return F.linear(x, base.weight.to(x.dtype), None if base.bias is None else base.bias.to(x.dtype))


def _additive(attention_mask: Tensor, dtype: torch.dtype) -> Tensor | None:
    """0 where a token is seen, the most negative number where it is padding (B, 1, 1, T); None when all are seen."""
    hidden = attention_mask == 0
    if attention_mask.device.type == "cpu" and not torch.compiler.is_compiling() and not bool(hidden.any()):
        return None
    mask = torch.zeros(hidden.shape, dtype=dtype, device=hidden.device).masked_fill_(hidden, torch.finfo(dtype).min)
    return mask[:, None, None, :]
