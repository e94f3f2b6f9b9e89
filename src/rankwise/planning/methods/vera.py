"""VeRA (arXiv 2310.11454): W + diag(b)·B·diag(d)·A with one frozen random pair A, B for all layers; b and d train."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rankwise.encoders.describe import Encoder
from rankwise.encoders.site import Site
from rankwise.planning.method import LowRank, register
from rankwise.recipe import AdapterSpec


@register
class Vera(LowRank):
    name = "vera"
    usual_rate = 1e-2

    def cost(self, site: Site, rank: int) -> int:
        return rank + site.d_out  # d (R,) and b (d_out,)

    def largest_rank(self, site: Site) -> int:
        return 2 * site.largest_rank  # the paper takes 1,024 on layers 768 wide

    def frozen_parameters(self, encoder: Encoder, ranks: Mapping[str, int]) -> int:
        adapted = [site for site in encoder.sites if ranks.get(site.name)]
        widest = max(site.d_in for site in adapted) + max(site.d_out for site in adapted)  # A (R, d_in), B (d_out, R)
        return max(ranks.values()) * widest

    def alpha(self, adapter: AdapterSpec, rank: int) -> float | None:
        return None  # b starts at 0 and learns the scale

    def notes(self, encoder: Encoder, adapter: AdapterSpec) -> Sequence[str]:
        notes = ["vera saves the frozen random matrices that its layers share, too, which count in the total alone"]
        if adapter.alpha is not None or adapter.alpha_per_rank is not None:
            notes.append("vera has no alpha, so adapter.alpha and adapter.alpha_per_rank move nothing")
        return notes
