"""Prefix tuning (arXiv 2101.00190): trained keys and values of virtual tokens before each text, of each layer its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rankwise.encoders.describe import Encoder
from rankwise.encoders.families import FAMILIES
from rankwise.errors import PlanError
from rankwise.planning.ledger import Entry
from rankwise.planning.method import Method, register
from rankwise.recipe import AdapterSpec

USUAL_LENGTH = 20
SHORTEST_TEXT = 4  # tokens


@register
class Prefix(Method):
    name = "prefix"
    usual_rate = 1e-2
    has_fast_path = False  # keys and values come from outside, through transformers' cache
    spans_layers = True

    def prefix_length(self, adapter: AdapterSpec) -> int:
        return adapter.virtual_tokens or USUAL_LENGTH

    def entries(self, encoder: Encoder, adapter: AdapterSpec, ranks: Mapping[str, int]) -> list[Entry]:
        _check(encoder, self.prefix_length(adapter))
        width = self.prefix_length(adapter)
        return [
            Entry("prefix", site.name, width * site.d_out, site.layer, site.kind)
            for site in encoder.sites
            if site.kind in ("key", "value")
        ]

    def smaller(self, encoder: Encoder, adapter: AdapterSpec, left: int) -> list[AdapterSpec]:
        one = adapter.model_copy(update={"virtual_tokens": 1})
        length = left // sum(entry.parameters for entry in self.entries(encoder, one, {}))
        return [adapter.model_copy(update={"virtual_tokens": length})] if length >= 1 else []

    def summary(self, adapter: AdapterSpec, ranks: Mapping[str, int], layers: int) -> str:
        return f"a prefix of {self.prefix_length(adapter)} in every layer"

    def notes(self, encoder: Encoder, adapter: AdapterSpec) -> Sequence[str]:
        if encoder.longest is None:
            return ()
        length = self.prefix_length(adapter)
        return [f"a prefix of {length} takes as many positions, so a text has at most {encoder.longest - length} tokens"]


def _check(encoder: Encoder, length: int) -> None:
    if not encoder.traits.takes_prefix:
        able = ", ".join(sorted(name for name, family in FAMILIES.items() if family.takes_prefix))
        raise PlanError(
            f"{encoder.name} ({encoder.family}): transformers takes no keys and values from outside there, so prefix tuning "
            f"works for {able} only; type --set adapter.method=lora, or take another base"
        )
    if encoder.longest is not None and encoder.longest - length < SHORTEST_TEXT:
        raise PlanError(
            f"{encoder.name} has {encoder.longest} positions, and a prefix of {length} leaves no room for a text; "
            f"type --set adapter.virtual_tokens=N with N under {encoder.longest - SHORTEST_TEXT + 1}"
        )
