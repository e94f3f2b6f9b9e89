"""A frozen linear layer and the low-rank update beside it, as one step of autograd.

Written as modules, x·Wᵀ and s·(x·Aᵀ)·Bᵀ are two tensors of the layer's width which a third one sums, and so are their
gradients. Here the update is added where the product lies, and its gradient where that of the product lies: the same numbers,
and each activation is passed over once. Shapes: N rows, A (R, d_in), B (d_out, R), W (d_out, d_in).
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


class LowRankProduct(torch.autograd.Function):
    """y = x·Wᵀ + bias + s·(z·Aᵀ)·Bᵀ of x (N, d_in); gradients of x, z, bias, A and B, none of W.

    z is what dropout left of x (N, d_in), or None where that is x itself. Products are made in the dtype of x, which W and
    the bias have too.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, z: Tensor | None, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float
    ) -> Tensor:
        read = x if z is None else z
        down = read @ a.to(x.dtype).T  # (N, R)
        y = F.linear(x, weight, bias)  # (N, d_out)
        ctx.weight, ctx.scale = weight, scale
        ctx.save_for_backward(read, down, a, b)
        return y.addmm_(down, b.to(x.dtype).T, alpha=scale)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        read, down, a, b = ctx.saved_tensors
        wants_x, wants_z, _, wants_bias, wants_a, wants_b, _ = ctx.needs_input_grad
        to_x = gradient @ ctx.weight if wants_x else None  # (N, d_in)
        to_z = to_a = to_b = None
        if wants_x or wants_z or wants_a:
            up = (gradient @ b.to(gradient.dtype)).mul_(ctx.scale)  # (N, R)
            if wants_z:
                to_z = up @ a.to(gradient.dtype)
            elif to_x is not None:
                to_x.addmm_(up, a.to(gradient.dtype))
            to_a = (up.T @ read).to(a.dtype) if wants_a else None
        if wants_b:
            to_b = (gradient.T @ down).to(b.dtype).mul_(ctx.scale)
        return to_x, to_z, None, gradient.sum(0) if wants_bias else None, to_a, to_b, None
