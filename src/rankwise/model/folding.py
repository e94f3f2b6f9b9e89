"""Linear maps with their adapters folded in, and maps that read the same input as one product.

An adapter is folded into the frozen weight under it, W' = W + s·B·A, until A or B changes, so that it costs nothing going
forward; going back, only what A and B need is computed. AdaLoRA's singular values E count to A. Maps that can't be folded are
applied one by one. Shapes: B rows, T tokens, R rank.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Maps:
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
