"""A full fine-tune: every parameter trains."""

from __future__ import annotations

from collections.abc import Mapping

from rankwise.encoders.describe import Encoder
from rankwise.planning.ledger import Entry
from rankwise.planning.method import Method, register
from rankwise.recipe import AdapterSpec


@register
class Full(Method):
    name = "full"
    trains_weights = True

    def entries(self, encoder: Encoder, adapter: AdapterSpec, ranks: Mapping[str, int]) -> list[Entry]:
        return [Entry("encoder", part.path, part.parameters) for part in encoder.body]

    def trains_embeddings(self, adapter: AdapterSpec) -> bool:
        return True

    def summary(self, adapter: AdapterSpec, ranks: Mapping[str, int], layers: int) -> str:
        return "every parameter"
