"""Methods that train a vector for each linear layer that they adapt."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce

from rankwise.encoders.encoder import Encoder, Site
from rankwise.errors import PlanError
from rankwise.planning.ledger import Entry
from rankwise.planning.methods.base import Method
from rankwise.planning.policies import layer_weight, targeted_sites
from rankwise.recipe import AdapterSpec

FREQUENCIES = 1000  # of fourierft's spectrum of a linear layer, where the recipe does not say
PAIRS = 64  # outputs at most that road takes its pairs from, the two halves of a group


class Vectors(Method):
    """A vector for each linear layer that it adapts, which are those of certain `kinds`, or those that are targeted.

    `size` is its length. `needed` says why those kinds must be there, a clause.
    """

    by_layer = True

    def __init__(
        self, size: Callable[[Site], int], words: str, *, kinds: Sequence[str] = (), needed: str = "", usual_rate: float
    ) -> None:
        self.size, self.words, self.kinds, self.needed, self.usual_rate = size, words, kinds, needed, usual_rate

    def sizes(self, encoder: Encoder, adapter: AdapterSpec, sites: Sequence[Site]) -> Sequence[int]:
        """How many numbers train at each of `sites`. Raises PlanError where it can't be placed there."""
        return [self.size(site) for site in sites]

    def entries(self, encoder: Encoder, adapter: AdapterSpec, ranks: Mapping[str, int]) -> list[Entry]:
        if self.kinds and not {"key", "value"} <= set(encoder.kinds):
            raise PlanError(
                f"{encoder.name} ({encoder.family}) has no linear layers of its own for keys and values, {self.needed}; "
                "type --set adapter.method=lora or --set adapter.method=bias"
            )
        sites = [site for site in encoder.sites if site.kind in self.kinds] or targeted_sites(encoder, adapter)
        adapted = [site for site in sites if layer_weight(adapter, site.layer, encoder.layers)]
        return [
            Entry("vector", site.name, size, site.layer, site.kind)
            for site, size in zip(adapted, self.sizes(encoder, adapter, adapted), strict=True)
        ]

    def summary(self, adapter: AdapterSpec, ranks: Mapping[str, int], layers: int) -> str:
        return f"{adapter.method}, {self.words} on {layers} linear layers ({adapter.allocate.policy})"


class Beft(Vectors):
    """BEFT (arXiv 2509.15974): what is added to each value's bias."""

    def sizes(self, encoder: Encoder, adapter: AdapterSpec, sites: Sequence[Site]) -> Sequence[int]:
        if not all(site.bias for site in sites):
            raise PlanError(
                f"the values of {encoder.name} ({encoder.family}) have no bias, which beft adds to and is merged into; "
                "type --set adapter.method=lora or --set adapter.method=ia3"
            )
        return super().sizes(encoder, adapter, sites)


class Road(Vectors):
    """RoAd (arXiv 2409.00119): pairs of a linear layer's outputs, rotated by a trained angle and scaled."""

    def sizes(self, encoder: Encoder, adapter: AdapterSpec, sites: Sequence[Site]) -> Sequence[int]:
        if road_group(sites) % 2:
            raise PlanError(
                f"a linear layer of {encoder.name} has an odd number of outputs, and road rotates pairs of them; "
                "type --set adapter.method=lora"
            )
        return super().sizes(encoder, adapter, sites)


class FourierFt(Vectors):
    """FourierFT (arXiv 2405.03003): W + a matrix of which some entries of the spectrum train, drawn once, the others 0."""

    def sizes(self, encoder: Encoder, adapter: AdapterSpec, sites: Sequence[Site]) -> Sequence[int]:
        smallest = min(super().sizes(encoder, adapter, sites))
        length = adapter.vector_length or min(FREQUENCIES, smallest)
        if length > smallest:
            raise PlanError(
                f"adapter.vector_length is {length:,}, but a linear layer of {encoder.name} has {smallest:,} weights and as "
                f"many frequencies; type --set adapter.vector_length={smallest}"
            )
        return [length] * len(sites)

    def smaller(self, encoder: Encoder, adapter: AdapterSpec, left: int) -> Mapping[str, int]:
        length = left // max(1, len(self.entries(encoder, adapter, {})))
        return {"vector_length": length} if length >= 1 else {}


def road_group(sites: Iterable[Site]) -> int:
    """How many outputs RoAd takes its pairs from: the largest number up to PAIRS that divides those of every site."""
    return reduce(math.gcd, (site.d_out for site in sites), PAIRS)
