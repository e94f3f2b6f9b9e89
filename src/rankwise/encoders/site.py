"""One linear layer of an encoder that can be adapted, and what a low-rank adapter on it costs.

An adapter of rank R on a layer from d_in to d_out adds A (R, d_in) and B (d_out, R): `R * (d_in + d_out)` parameters
(Hu et al., arXiv 2106.09685).
"""

from __future__ import annotations

from dataclasses import dataclass


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

    def cost(self, rank: int) -> int:
        """Parameters of a rank-`rank` adapter."""
        return rank * (self.d_in + self.d_out)

    @property
    def largest_rank(self) -> int:
        return min(self.d_in, self.d_out)

    @property
    def address(self) -> str:
        """`layer.kind`, what the keys of explicit ranks match against."""
        return f"{self.layer}.{self.kind}"
