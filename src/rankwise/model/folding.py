"""Linear layers with their adapters folded in, and layers that read the same input as one matmul.

A low-rank adapter is folded into the frozen weight under it, W' = W + s·B·A, until it changes, so that it costs nothing going
forward; going back, only what A and B need is computed. Adapters that can't be folded are applied one by one. What an adapter
is made of, its method says (methods/). Shapes: B rows, T tokens, R rank.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rankwise.model.methods import LiveAdapter, LowRank, LowRankUpdate, base_of, is_plain, linear, own_forward


class LinearLayers:
    """Linear layers that read the same input, as one matmul: their outputs end to end.

    Frozen layers, and those whose adapter can be folded in, share one weight, made again only when an adapter has changed.
    """

    def __init__(self, modules: Sequence[Any], adapter: LiveAdapter | None) -> None:
        self.layers = [(module, None if module is base_of(module) else adapter) for module in modules]
        self.bases = [base_of(module) for module in modules]
        owned = (module.named_parameters() for module, adapter in self.layers if isinstance(adapter, LowRank))
        self.adapted = [weight for weights in owned for name, weight in weights if not name.startswith("base_layer.")]
        self.weights: dict[torch.dtype, tuple[tuple[Any, ...], Tensor]] = {}
        """By dtype: the state of what a folded weight was made from, and the weight."""
        self.beside: Callable[[Tensor, Tensor], Tensor] | None = None
        """What adds to a frozen product y (B, T, d_out), of x (B, T, d_in)."""
        self.frozen: dict[tuple[torch.dtype, torch.device], tuple[Tensor, Tensor | None]] | None = None

    def __call__(self, x: Tensor, fold: bool) -> Tensor:
        if self.frozen is not None:
            kind = x.dtype, x.device
            if kind not in self.frozen:
                self.frozen[kind] = self._folded(x.dtype), self._bias(x.dtype)
            product = F.linear(x, *self.frozen[kind])
            return product if self.beside is None else self.beside(x, product)
        if not fold or not all(_can_fold(*layer) for layer in self.layers):
            outputs = [_apply(*layer, x) for layer in self.layers]
            return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=-1)
        weight, bias = self._folded(x.dtype), self._bias(x.dtype)
        if not torch.is_grad_enabled():
            return F.linear(x, weight, bias)
        updates = self._updates()
        factors = [factor for update in updates if update for factor in (update.a, update.b)]
        rows = pairwise(accumulate((base.out_features for base in self.bases), initial=0))  # of the common weight
        spans = tuple((first, end, update.scale) for (first, end), update in zip(rows, updates, strict=True) if update)
        return _FoldedMatmul.apply(x, weight, bias, spans, *factors)  # type: ignore

    def freeze(self) -> None:
        """Take the modules as they are at the next pass for good: nothing is looked at again that may change them."""
        self.frozen = {}

    def forget_adapted(self) -> None:
        """Drop a weight that an adapter is folded into."""
        if any(adapter for _, adapter in self.layers):
            self.weights.clear()

    def _updates(self) -> list[LowRankUpdate | None]:
        return [adapter.live(module) if isinstance(adapter, LowRank) else None for module, adapter in self.layers]

    def _bias(self, dtype: torch.dtype) -> Tensor | None:
        biases = [base.bias for base in self.bases]
        if all(bias is None for bias in biases):
            return None
        together = biases[0] if len(biases) == 1 else torch.cat(biases)
        return torch.as_tensor(together.to(dtype))

    def _folded(self, dtype: torch.dtype) -> Tensor:
        bases = [base.weight for base in self.bases]
        state = tuple((tensor.data_ptr(), tensor.device, tensor._version) for tensor in (*bases, *self.adapted))
        if dtype in self.weights and self.weights[dtype][0] == state:
            return self.weights[dtype][1]
        with torch.inference_mode(False), torch.no_grad():
            if len(bases) == 1 and not self.adapted:
                weight: Tensor = bases[0].detach().to(dtype)  # the live weight itself in fp32
            else:
                parts = [
                    base if update is None else torch.addmm(base, update.b, update.a, alpha=update.scale)
                    for base, update in zip(bases, self._updates(), strict=True)
                ]
                weight = torch.cat([part.detach().to(dtype) for part in parts])
        self.weights[dtype] = state, weight
        return weight


def adapt_in_one_step(model: nn.Module, adapter: LowRank) -> int:
    """Have each plain linear layer of a model computed with its adapter in one step, whoever calls it; returns how many.

    peft's own forward gives the same numbers in more passes over the activations.
    """
    adapted = [module for module in model.modules() if module is not base_of(module) and is_plain(module)]
    for module in adapted:
        module.forward = partial(_in_one_step, module, adapter)
    return len(adapted)


class _FoldedMatmul(torch.autograd.Function):
    """y = x·W'ᵀ + bias with W' = W + s·B·A already made; gradients of x, bias, A and B, none of W.

    `spans` are (first row, end row, s) of each update in W.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, spans: tuple[tuple[int, int, float], ...], *factors: Tensor
    ) -> Tensor:
        ctx.weight, ctx.spans = weight, spans
        ctx.save_for_backward(x if spans else None, *factors)
        return F.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, *factors = ctx.saved_tensors
        flat = gradient.reshape(-1, gradient.shape[-1])  # (B·T, d_out)
        wants_x, wants_bias = ctx.needs_input_grad[0], ctx.needs_input_grad[2]
        to_x = (flat @ ctx.weight).view(*gradient.shape[:-1], -1) if wants_x else None
        to_bias = flat.sum(0) if wants_bias else None
        to_factors: list[Tensor | None] = [None] * len(factors)
        if ctx.spans and any(ctx.needs_input_grad[4:]):
            to_factors = []
            rows = x.reshape(-1, x.shape[-1])  # (B·T, d_in)
            wanted = ctx.needs_input_grad[4:]
            for index, (first, end, scale) in enumerate(ctx.spans):
                a, b, part = factors[2 * index], factors[2 * index + 1], flat[:, first:end]
                up = part @ b.to(rows.dtype) if wanted[2 * index] else None  # (B·T, R)
                down = rows @ a.to(rows.dtype).T if wanted[2 * index + 1] else None  # (B·T, R)
                to_factors.append(None if up is None else (up.T @ rows).to(a.dtype) * scale)
                to_factors.append(None if down is None else (part.T @ down).to(b.dtype) * scale)
        return to_x, None, to_bias, None, *to_factors


def _can_fold(module: Any, adapter: LiveAdapter | None) -> bool:
    """Whether a layer is plain, its weight needs no gradient, and its adapter, if it has one, is a low-rank update now."""
    if not is_plain(module) or (base_of(module).weight.requires_grad and torch.is_grad_enabled()):
        return False
    if adapter is None:
        return module is base_of(module)
    if not isinstance(adapter, LowRank) or module.disable_adapters or module.merged:
        return False
    return not adapter.drops(module)


def _in_one_step(module: Any, adapter: LowRank, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """The output of an adapted layer, in the dtype of autocast where that is on."""
    if module.disable_adapters or module.merged:
        return torch.as_tensor(type(module).forward(module, x, *args, **kwargs))
    kind = x.device.type
    return adapter.apply(module, x.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else x)


def _apply(module: Any, adapter: LiveAdapter | None, x: Tensor) -> Tensor:
    """One layer's output in the dtype of x, its adapter applied beside it."""
    if is_plain(module) and module is base_of(module):
        return linear(module, x)
    if is_plain(module) and adapter and not module.disable_adapters and not module.merged:
        return adapter.apply(module, x)
    return own_forward(module, x)
