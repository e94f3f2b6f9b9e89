"""Dropout masks cut from torch's 64-bit random words, 16 bits a mask: a third of the usual cost on a CPU.

And dropout that draws from a generator of its own, so that threads which predict with it share nothing that changes.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from rankwise.system.device import on_cpu


class WordDropout(nn.Dropout):
    """Dropout whose masks are 16-bit pieces of torch's 64-bit random words: p to within 1/65536, on the same generator."""

    def forward(self, input: Tensor) -> Tensor:
        return dropout(input, self.p) if self.training else input


def cut_dropout_from_words(model: nn.Module) -> int:
    """Replace every nn.Dropout of a model by WordDropout; returns how many."""
    children = ((parent, name, child) for parent in model.modules() for name, child in parent.named_children())
    usual = [(parent, name, child) for parent, name, child in children if type(child) is nn.Dropout]
    for parent, name, child in usual:
        parent.register_module(name, WordDropout(child.p).train(child.training))
    return len(usual)


def dropout(values: Tensor, p: float) -> Tensor:
    """Keep each value with probability 1 - p, scaled by 1/(1 - p); the others become 0. `values` may have any shape."""
    if p <= 0.0:
        return values
    if not on_cpu(values) or p >= 1.0:
        return F.dropout(values, p)
    count = values.numel()
    words = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    pieces = words.view(torch.int16)[:count].view(values.shape)
    keep = (pieces >= round(p * 65536) - 32768).to(values.dtype).mul_(1 / (1 - p))
    return values * keep


class DrawnFrom(TorchFunctionMode):
    """A context inside which this thread's dropout draws from a given generator, whatever module asks for it.

    torch's own functions draw from a generator of the whole process, which other threads use meanwhile. Masks are those that
    torch's functions would draw on a CPU from the same seed.
    """

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self.generator = generator

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        if func is F.dropout:
            return self._dropout(*args, **given)
        if func is F.scaled_dot_product_attention and given.get("dropout_p", 0.0) > 0:
            return self._attend(*args, **given)
        if func is Tensor.random_:
            given["generator"] = self.generator
        return func(*args, **given)

    def _dropout(self, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        if not training or p <= 0:
            return input
        kept = torch.empty_like(input).bernoulli_(1 - p, generator=self.generator)
        return input.mul_(kept.div_(1 - p)) if inplace else input * kept.div_(1 - p)

    def _attend(
        self, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, *, dropout_p: float, **how: Any
    ) -> Tensor:
        """softmax(q·kᵀ/√D + mask)·v of each head (B, N, T, D); keys and values may have fewer heads."""
        assert not how.get("is_causal"), "an encoder's tokens see each other"
        key, value = (part.repeat_interleave(query.shape[1] // part.shape[1], dim=1) for part in (key, value))
        scores = query @ key.transpose(-2, -1) * (how.get("scale") or query.shape[-1] ** -0.5)  # (B, N, T, T)
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            scores = scores.masked_fill(~attn_mask, torch.finfo(scores.dtype).min)
        elif attn_mask is not None:
            scores = scores + attn_mask
        return self._dropout(torch.softmax(scores, dim=-1), dropout_p) @ value
