"""Dropout masks cut from torch's 64-bit random words, 16 bits a mask: a third of the usual cost on a CPU."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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
