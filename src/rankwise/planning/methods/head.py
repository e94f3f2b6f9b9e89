"""The head alone trains; the encoder stays as it is."""

from __future__ import annotations

from collections.abc import Mapping

from rankwise.encoders.describe import Encoder
from rankwise.planning.ledger import Entry
from rankwise.planning.method import Method, register
from rankwise.recipe import AdapterSpec


@register
class Head(Method):
    name = "head"

    def entries(self, encoder: Encoder, adapter: AdapterSpec, ranks: Mapping[str, int]) -> list[Entry]:
        return []

    def summary(self, adapter: AdapterSpec, ranks: Mapping[str, int], layers: int) -> str:
        return "the head alone"
