"""BitFit (arXiv 2106.10199): the encoder's biases train, and the head."""

from __future__ import annotations

from collections.abc import Mapping

from rankwise.encoders.describe import Encoder
from rankwise.planning.ledger import Entry
from rankwise.planning.method import Method, register
from rankwise.recipe import AdapterSpec


@register
class Bias(Method):
    name = "bias"

    def entries(self, encoder: Encoder, adapter: AdapterSpec, ranks: Mapping[str, int]) -> list[Entry]:
        return [Entry("bias", name, parameters) for name, parameters in encoder.biases]

    def trains_embeddings(self, adapter: AdapterSpec) -> bool:
        return True

    def summary(self, adapter: AdapterSpec, ranks: Mapping[str, int], layers: int) -> str:
        return "biases and the head"
