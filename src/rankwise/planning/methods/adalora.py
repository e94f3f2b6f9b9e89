"""AdaLoRA (arXiv 2303.10512): B·diag(E)·A, of which training prunes the least important ranks, over all layers together."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rankwise.encoders.describe import Encoder
from rankwise.encoders.site import Site
from rankwise.planning.method import LowRank, register
from rankwise.recipe import AdapterSpec


@register
class AdaLora(LowRank):
    name = "adalora"
    usual_rate = 5e-3
    prunes_ranks = True

    def cost(self, site: Site, rank: int) -> int:
        return site.cost(rank) + rank  # a singular value for each rank

    def start_rank(self, adapter: AdapterSpec) -> int:
        return adapter.init_rank or math.ceil(1.5 * int(adapter.rank))

    def rank_from_start(self, start: int) -> int:
        return 2 * start // 3

    def after_ranks(self, adapter: AdapterSpec) -> str:
        return f" pruned to {adapter.rank}"

    def notes(self, encoder: Encoder, adapter: AdapterSpec) -> Sequence[str]:
        start = self.start_rank(adapter)
        return [f"adalora starts at rank {start}, which the cap counts, and prunes to a mean of {adapter.rank}"]
