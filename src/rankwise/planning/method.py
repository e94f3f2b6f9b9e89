"""What planning asks of a PEFT method: what it trains and costs, what it refuses, and what else follows from it.

A method is an object without state, registered by the file in `methods/` that describes it; a recipe's options come in an
AdapterSpec, once `rank: max` is a number.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from rankwise.encoders.describe import Encoder
from rankwise.encoders.site import Site
from rankwise.planning.ledger import Entry
from rankwise.recipe import AdapterSpec
from rankwise.recipe.methods import MethodName


class Method(ABC):
    """A method's planning half. What this base class answers holds for most methods."""

    name: ClassVar[MethodName]
    usual_rate: ClassVar[float | None] = None
    """The learning rate at which it learns the sample news in 120 updates, where LoRA's is too low: benchmarks/methods.py."""
    has_fast_path: ClassVar[bool] = True
    """Whether the fast forward pass can compute it, where the family has one."""
    trains_weights: ClassVar[bool] = False
    """Whether the linear layers' own weights train."""
    prunes_ranks: ClassVar[bool] = False
    """Whether ranks fall while it trains."""
    spans_layers: ClassVar[bool] = False
    """Whether all that it trains in the encoder is one tensor for all layers."""

    @abstractmethod
    def entries(self, encoder: Encoder, adapter: AdapterSpec, ranks: Mapping[str, int]) -> list[Entry]:
        """Every tensor that it trains in the encoder; `ranks` by module path. Raises PlanError where it can't be placed."""

    def frozen_parameters(self, encoder: Encoder, ranks: Mapping[str, int]) -> int:
        """Parameters that it adds to the model and does not train."""
        return 0

    def trains_embeddings(self, adapter: AdapterSpec) -> bool:
        """Whether anything below the first layer trains, so that every layer needs gradients."""
        return adapter.bias == "all"

    def prefix_length(self, adapter: AdapterSpec) -> int:
        """Virtual tokens before each text, which take as many positions."""
        return 0

    def smaller(self, encoder: Encoder, adapter: AdapterSpec, left: int) -> list[AdapterSpec]:
        """Changes of its own options that train at most `left` parameters in the encoder, the best first."""
        return []

    @abstractmethod
    def summary(self, adapter: AdapterSpec, ranks: Mapping[str, int], layers: int) -> str:
        """What it trains in the encoder, in a few words; `layers` is the number of linear layers that it adapts."""

    def notes(self, encoder: Encoder, adapter: AdapterSpec) -> Sequence[str]:
        """What a ledger can't say of it."""
        return ()


class LowRank(Method):
    """The planning half of LoRA and what is built like it: a rank for each linear layer that it adapts."""

    def cost(self, site: Site, rank: int) -> int:
        """Parameters of an adapter's factors at `site`, of which each further rank takes as many."""
        return site.cost(rank)

    def largest_rank(self, site: Site) -> int:
        """The largest rank that makes sense at `site`."""
        return site.largest_rank

    def along(self, site: Site) -> list[Entry]:
        """What trains with an adapter beside its factors."""
        return []

    def comes_along(self, adapter: AdapterSpec, site: Site) -> int:
        """Parameters that train with an adapter whatever its rank."""
        bias = site.d_out if adapter.bias == "lora_only" and site.bias else 0
        return bias + sum(entry.parameters for entry in self.along(site))

    def alpha(self, adapter: AdapterSpec, rank: int) -> float | None:
        """LoRA's alpha of an adapter of `rank`; None for a method that has none."""
        return adapter.alpha if adapter.alpha is not None else (adapter.alpha_per_rank or 2.0) * rank

    def start_rank(self, adapter: AdapterSpec) -> int:
        """The rank that training starts at."""
        return int(adapter.rank)

    def rank_from_start(self, start: int) -> int:
        """The largest rank with a start of at most `start`."""
        return start

    def entries(self, encoder: Encoder, adapter: AdapterSpec, ranks: Mapping[str, int]) -> list[Entry]:
        adapted = [site for site in encoder.sites if ranks.get(site.name)]
        entries = []
        for site in adapted:
            rank = ranks[site.name]
            entries.append(Entry("adapter", site.name, self.cost(site, rank), site.layer, site.kind, rank))
            entries += self.along(site)
        if adapter.bias == "all":  # peft's rule: tensors that are called bias, not those whose name only has it
            entries += [Entry("bias", name, size) for name, size in encoder.biases if name.endswith(".bias")]
        elif adapter.bias == "lora_only":
            with_bias = [site for site in adapted if site.bias]
            entries += [Entry("bias", f"{site.name}.bias", site.d_out, site.layer, site.kind) for site in with_bias]
        return entries

    def summary(self, adapter: AdapterSpec, ranks: Mapping[str, int], layers: int) -> str:
        lowest, highest = min(ranks.values()), max(ranks.values())
        spread = f"rank {lowest}" if lowest == highest else f"ranks {lowest} to {highest}"
        return f"{self.name}, {spread}{self.after_ranks(adapter)} on {layers} linear layers ({adapter.allocate.policy})"

    def after_ranks(self, adapter: AdapterSpec) -> str:
        """What a summary says after the ranks."""
        return ""


METHODS: dict[str, Method] = {}
"""By name in a recipe."""


def register(kind: type[Method]) -> type[Method]:
    """Enter a method into METHODS: a decorator of the class that describes it."""
    assert kind.name not in METHODS, f"{kind.name} is registered twice"
    METHODS[kind.name] = kind()
    return kind
