"""IA3 (arXiv 2205.05638): a trained scale for each key, each value and each inner activation."""

from __future__ import annotations

from collections.abc import Mapping

from rankwise.encoders.describe import Encoder
from rankwise.errors import PlanError
from rankwise.planning.ledger import Entry
from rankwise.planning.method import Method, register
from rankwise.planning.policies import layer_weight
from rankwise.recipe import AdapterSpec


@register
class Ia3(Method):
    name = "ia3"
    usual_rate = 1e-2

    def entries(self, encoder: Encoder, adapter: AdapterSpec, ranks: Mapping[str, int]) -> list[Entry]:
        if not {"key", "value"} <= set(encoder.kinds):
            raise PlanError(
                f"{encoder.name} ({encoder.family}) has no linear layers of its own for keys and values, which ia3 scales; "
                "type --set adapter.method=lora or --set adapter.method=bias"
            )
        return [
            Entry("vector", site.name, site.d_in if site.kind == "ffn_out" else site.d_out, site.layer, site.kind)
            for site in encoder.sites
            if site.kind in ("key", "value", "ffn_out") and layer_weight(adapter, site.layer, encoder.layers)
        ]

    def summary(self, adapter: AdapterSpec, ranks: Mapping[str, int], layers: int) -> str:
        return f"ia3, scales on {layers} linear layers ({adapter.allocate.policy})"
