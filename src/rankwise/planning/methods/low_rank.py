"""LoRA and what is built like it: a rank for each linear layer that is adapted."""

import math
from collections.abc import Callable, Mapping, Sequence

from rankwise.encoders.encoder import Encoder, Site
from rankwise.planning.ledger import Entry
from rankwise.planning.methods.base import Method, nothing
from rankwise.recipe import AdapterSpec

SHARED_VECTOR = 4096  # numbers of unilora's vector, where the recipe does not say


class LowRank(Method):
    """LoRA (arXiv 2106.09685), W + alpha/R · B·A, and what is built like it: a rank for each linear layer that it adapts.

    `cost` are the parameters of an adapter that train at a rank, `frozen` those that do not, `magnitudes` those that train
    beside it whatever its rank. Ranks are multiples of `step`.
    """

    by_layer = True

    def __init__(
        self,
        cost: Callable[[Site, int], int] = Site.cost,
        *,
        frozen: Callable[[Site, int], int] = nothing,
        magnitudes: Callable[[Site], int] = nothing,
        has_alpha: bool = True,
        step: int = 1,
        usual_rate: float | None = None,
    ) -> None:
        self.cost, self.frozen, self.magnitudes = cost, frozen, magnitudes
        self.has_alpha, self.step, self.usual_rate = has_alpha, step, usual_rate

    def largest_rank(self, site: Site) -> int:
        """The largest rank that makes sense at `site`."""
        return site.largest_rank

    def along(self, adapter: AdapterSpec, site: Site) -> list[Entry]:
        """What trains with an adapter beside its factors, whatever its rank."""
        sizes = {"magnitude": self.magnitudes(site)}
        entries = [Entry(section, site.name, size, site.layer, site.kind) for section, size in sizes.items() if size]
        if adapter.bias == "lora_only" and site.bias:
            entries.append(Entry("bias", f"{site.name}.bias", site.d_out, site.layer, site.kind))
        return entries

    def alpha(self, adapter: AdapterSpec, rank: int) -> float | None:
        if not self.has_alpha:
            return None
        return adapter.alpha if adapter.alpha is not None else (adapter.alpha_per_rank or 2.0) * rank

    def start_rank(self, adapter: AdapterSpec) -> int:
        """The rank that training starts at."""
        return int(adapter.rank)

    def entries(self, encoder: Encoder, adapter: AdapterSpec, ranks: Mapping[str, int]) -> list[Entry]:
        entries = []
        for site in encoder.sites:
            if rank := ranks.get(site.name):
                entries.append(Entry("adapter", site.name, self.cost(site, rank), site.layer, site.kind, rank))
                entries += self.along(adapter, site)
        if adapter.bias == "all":  # peft's rule: tensors that are called bias, not those whose name only has it
            entries += [Entry("bias", name, size) for name, size in encoder.biases if name.endswith(".bias")]
        return entries

    def summary(self, adapter: AdapterSpec, ranks: Mapping[str, int], layers: int) -> str:
        lowest, highest = min(ranks.values()), max(ranks.values())
        spread = f"rank {lowest}" if lowest == highest else f"ranks {lowest} to {highest}"
        pruned = f" pruned to {adapter.rank}" if self.prunes_ranks else ""
        return f"{adapter.method}, {spread}{pruned} on {layers} linear layers ({adapter.allocate.policy})"

    def frozen_parameters(self, encoder: Encoder, ranks: Mapping[str, int]) -> int:
        return sum(self.frozen(site, ranks[site.name]) for site in encoder.sites if ranks.get(site.name))

    def notes(self, encoder: Encoder, adapter: AdapterSpec) -> Sequence[str]:
        if self.has_alpha or (adapter.alpha is None and adapter.alpha_per_rank is None):
            return ()
        return [f"{adapter.method} has no alpha, so adapter.alpha and adapter.alpha_per_rank move nothing"]


class AdaLora(LowRank):
    """AdaLoRA (arXiv 2303.10512): B·diag(E)·A; training prunes the least important ranks, over all layers together."""

    prunes_ranks = True

    def start_rank(self, adapter: AdapterSpec) -> int:
        return adapter.init_rank or math.ceil(1.5 * int(adapter.rank))

    def notes(self, encoder: Encoder, adapter: AdapterSpec) -> Sequence[str]:
        start = self.start_rank(adapter)
        return [f"adalora starts at rank {start}, which the cap counts, and prunes to a mean of {adapter.rank}"]


class Vera(LowRank):
    """VeRA (arXiv 2310.11454): W + diag(b)·B·diag(d)·A with one frozen random pair A, B for all layers; b and d train."""

    def largest_rank(self, site: Site) -> int:
        return 2 * site.largest_rank  # the paper takes 1,024 on layers 768 wide

    def frozen_parameters(self, encoder: Encoder, ranks: Mapping[str, int]) -> int:
        adapted = [site for site in encoder.sites if ranks.get(site.name)]
        widest = max(site.d_in for site in adapted) + max(site.d_out for site in adapted)  # A (R, d_in), B (d_out, R)
        return max(ranks.values()) * widest

    def notes(self, encoder: Encoder, adapter: AdapterSpec) -> Sequence[str]:
        shared = "vera saves the frozen random matrices that its layers share, too, which count in the total alone"
        return [shared, *super().notes(encoder, adapter)]


class UniLora(LowRank):
    """Uni-LoRA (arXiv 2506.00799): every entry of every A and B is one of a single vector's numbers, drawn once, scaled."""

    spans_layers = True

    def entries(self, encoder: Encoder, adapter: AdapterSpec, ranks: Mapping[str, int]) -> list[Entry]:
        return [
            *super().entries(encoder, adapter, ranks),
            Entry("vector", "all layers", adapter.vector_length or SHARED_VECTOR),
        ]

    def smaller(self, encoder: Encoder, adapter: AdapterSpec, left: int) -> Mapping[str, int]:
        return {"vector_length": left} if left >= 1 else {}


class Lokr(LowRank):
    """LoKr (arXiv 2309.14859): W + alpha/R · C⊗(B·A), a Kronecker product; C, B and A train."""

    def __init__(self, *, usual_rate: float | None = None) -> None:
        super().__init__(self.parameters, usual_rate=usual_rate)

    def parameters(self, site: Site, rank: int) -> int:
        """Of C (c_out, c_in), and of B (k_out, R) and A (R, k_in), which are one matrix where that is not larger."""
        (c_out, k_out), (c_in, k_in) = factors_of(site.d_out), factors_of(site.d_in)
        return c_out * c_in + (rank * (k_out + k_in) if rank < max(k_out, k_in) / 2 else k_out * k_in)

    def largest_rank(self, site: Site) -> int:
        return math.ceil(max(factors_of(site.d_out)[1], factors_of(site.d_in)[1]) / 2)


def factors_of(width: int) -> tuple[int, int]:
    """The two factors of a width that are nearest to each other, the smaller one first, as peft cuts it for LoKr."""
    smaller = next(factor for factor in range(math.isqrt(width), 0, -1) if width % factor == 0)
    return smaller, width // smaller
