"""DoRA (arXiv 2402.09353): LoRA for a weight's directions, and a trained magnitude for each of its outputs."""

from __future__ import annotations

from rankwise.encoders.site import Site
from rankwise.planning.ledger import Entry
from rankwise.planning.method import LowRank, register


@register
class Dora(LowRank):
    name = "dora"

    def along(self, site: Site) -> list[Entry]:
        return [Entry("magnitude", site.name, site.d_out, site.layer, site.kind)]
