"""What planning asks of a PEFT method: what it trains and costs, what it refuses, and what else follows from it.

A method is an object without state, a row of METHODS at the end; a recipe's options come in an AdapterSpec, once `rank: max`
is a number. `model/methods.py` has how a method computes and is saved.
"""

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

from rankwise.encoders.describe import Encoder, Site
from rankwise.encoders.families import FAMILIES
from rankwise.errors import PlanError
from rankwise.planning.ledger import Entry
from rankwise.planning.policies import layer_weight
from rankwise.recipe import AdapterSpec
from rankwise.recipe.methods import MethodName

PREFIX_LENGTH = 20  # virtual tokens, where the recipe does not say
SHORTEST_TEXT = 4  # tokens for which a prefix has to leave positions


class Method:
    """A method's planning half. This class is that of the head alone; most of what it answers holds for most methods."""

    usual_rate: ClassVar[float | None] = None
    """The learning rate at which it learns the sample news in 120 updates, where LoRA's is too low: benchmarks/methods.py."""
    has_fast_path: ClassVar[bool] = True
    """Whether the fast forward pass can compute it, where the family has one."""
    trains_weights: ClassVar[bool] = False
    """Whether the linear layers' own weights train."""
    prunes_ranks: ClassVar[bool] = False
    by_layer: ClassVar[bool] = False
    """Whether the policy says in which layers it trains."""
    spans_layers: ClassVar[bool] = False
    """Whether all that it trains in the encoder is one tensor for all layers."""
    words: ClassVar[str] = "the head alone"
    """Its `summary`, where that is the same for every recipe."""

    def entries(self, encoder: Encoder, adapter: AdapterSpec, ranks: Mapping[str, int]) -> list[Entry]:
        """Every tensor that it trains in the encoder; `ranks` by module path. Raises PlanError where it can't be placed."""
        return []

    def summary(self, adapter: AdapterSpec, ranks: Mapping[str, int], layers: int) -> str:
        """What it trains in the encoder, in a few words; `layers` is the number of linear layers that it adapts."""
        return self.words

    def frozen_parameters(self, encoder: Encoder, ranks: Mapping[str, int]) -> int:
        """Parameters that it adds to the model and does not train."""
        return 0

    def alpha(self, adapter: AdapterSpec, rank: int) -> float | None:
        """LoRA's alpha of an adapter of `rank`; None for a method that has none."""
        return None

    def trains_embeddings(self, adapter: AdapterSpec) -> bool:
        """Whether anything below the first layer trains, so that every layer needs gradients."""
        return self.trains_weights or adapter.bias == "all"

    def prefix_length(self, adapter: AdapterSpec) -> int:
        """Virtual tokens before each text, which take as many positions."""
        return 0

    def smaller(self, encoder: Encoder, adapter: AdapterSpec, left: int) -> Mapping[str, int]:
        """Its own options with which it trains at most `left` parameters in the encoder; empty where it has none."""
        return {}

    def notes(self, encoder: Encoder, adapter: AdapterSpec) -> Sequence[str]:
        """What a ledger can't say of it."""
        return ()


class LowRank(Method):
    """LoRA (arXiv 2106.09685), W + alpha/R · B·A, and what is built like it: a rank for each linear layer that it adapts."""

    by_layer = True

    def cost(self, site: Site, rank: int) -> int:
        """Parameters of an adapter's factors at `site`, of which each further rank takes as many."""
        return site.cost(rank)

    def largest_rank(self, site: Site) -> int:
        """The largest rank that makes sense at `site`."""
        return site.largest_rank

    def along(self, adapter: AdapterSpec, site: Site) -> list[Entry]:
        """What trains with an adapter beside its factors, whatever its rank."""
        with_bias = adapter.bias == "lora_only" and site.bias
        return [Entry("bias", f"{site.name}.bias", site.d_out, site.layer, site.kind)] if with_bias else []

    def alpha(self, adapter: AdapterSpec, rank: int) -> float | None:
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


class Dora(LowRank):
    """DoRA (arXiv 2402.09353): LoRA for a weight's directions, and a trained magnitude for each of its outputs."""

    def along(self, adapter: AdapterSpec, site: Site) -> list[Entry]:
        magnitude = Entry("magnitude", site.name, site.d_out, site.layer, site.kind)
        return [magnitude, *super().along(adapter, site)]


class AdaLora(LowRank):
    """AdaLoRA (arXiv 2303.10512): B·diag(E)·A; training prunes the least important ranks, over all layers together."""

    usual_rate = 5e-3
    prunes_ranks = True

    def cost(self, site: Site, rank: int) -> int:
        return site.cost(rank) + rank  # a singular value for each rank

    def start_rank(self, adapter: AdapterSpec) -> int:
        return adapter.init_rank or math.ceil(1.5 * int(adapter.rank))

    def notes(self, encoder: Encoder, adapter: AdapterSpec) -> Sequence[str]:
        start = self.start_rank(adapter)
        return [f"adalora starts at rank {start}, which the cap counts, and prunes to a mean of {adapter.rank}"]


class Vera(LowRank):
    """VeRA (arXiv 2310.11454): W + diag(b)·B·diag(d)·A with one frozen random pair A, B for all layers; b and d train."""

    usual_rate = 1e-2

    def cost(self, site: Site, rank: int) -> int:
        return rank + site.d_out  # d (R,) and b (d_out,)

    def largest_rank(self, site: Site) -> int:
        return 2 * site.largest_rank  # the paper takes 1,024 on layers 768 wide

    def frozen_parameters(self, encoder: Encoder, ranks: Mapping[str, int]) -> int:
        adapted = [site for site in encoder.sites if ranks.get(site.name)]
        widest = max(site.d_in for site in adapted) + max(site.d_out for site in adapted)  # A (R, d_in), B (d_out, R)
        return max(ranks.values()) * widest

    def alpha(self, adapter: AdapterSpec, rank: int) -> float | None:
        return None  # b starts at 0 and learns the scale

    def notes(self, encoder: Encoder, adapter: AdapterSpec) -> Sequence[str]:
        notes = ["vera saves the frozen random matrices that its layers share, too, which count in the total alone"]
        if adapter.alpha is not None or adapter.alpha_per_rank is not None:
            notes.append("vera has no alpha, so adapter.alpha and adapter.alpha_per_rank move nothing")
        return notes


class Ia3(Method):
    """IA3 (arXiv 2205.05638): a trained scale for each key, each value and each inner activation."""

    usual_rate = 1e-2
    by_layer = True

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


class Prefix(Method):
    """Prefix tuning (arXiv 2101.00190): trained keys and values of virtual tokens before each text, of each layer its own."""

    usual_rate = 1e-2
    has_fast_path = False  # keys and values come from outside, through transformers' cache
    spans_layers = True

    def prefix_length(self, adapter: AdapterSpec) -> int:
        return adapter.virtual_tokens or PREFIX_LENGTH

    def entries(self, encoder: Encoder, adapter: AdapterSpec, ranks: Mapping[str, int]) -> list[Entry]:
        length = self.prefix_length(adapter)
        if not encoder.traits.takes_prefix:
            able = ", ".join(sorted(name for name, family in FAMILIES.items() if family.takes_prefix))
            raise PlanError(
                f"{encoder.name} ({encoder.family}): transformers takes no keys and values from outside there, so prefix "
                f"tuning works for {able} only; type --set adapter.method=lora, or take another base"
            )
        if encoder.longest is not None and encoder.longest - length < SHORTEST_TEXT:
            raise PlanError(
                f"{encoder.name} has {encoder.longest} positions, and a prefix of {length} leaves no room for a text; "
                f"type --set adapter.virtual_tokens=N with N under {encoder.longest - SHORTEST_TEXT + 1}"
            )
        own = [site for site in encoder.sites if site.kind in ("key", "value")]
        return [Entry("prefix", site.name, length * site.d_out, site.layer, site.kind) for site in own]

    def smaller(self, encoder: Encoder, adapter: AdapterSpec, left: int) -> Mapping[str, int]:
        one = adapter.model_copy(update={"virtual_tokens": 1})
        length = left // sum(entry.parameters for entry in self.entries(encoder, one, {}))
        return {"virtual_tokens": length} if length >= 1 else {}

    def summary(self, adapter: AdapterSpec, ranks: Mapping[str, int], layers: int) -> str:
        return f"a prefix of {self.prefix_length(adapter)} in every layer"

    def notes(self, encoder: Encoder, adapter: AdapterSpec) -> Sequence[str]:
        if encoder.longest is None:
            return ()
        length = self.prefix_length(adapter)
        return [f"a prefix of {length} takes as many positions, so a text has at most {encoder.longest - length} tokens"]


class Full(Method):
    """A full fine-tune: every parameter trains."""

    trains_weights = True
    words = "every parameter"

    def entries(self, encoder: Encoder, adapter: AdapterSpec, ranks: Mapping[str, int]) -> list[Entry]:
        return [Entry("encoder", part.path, part.parameters) for part in encoder.body]


class Bias(Method):
    """BitFit (arXiv 2106.10199): the encoder's biases train, and the head."""

    words = "biases and the head"

    def entries(self, encoder: Encoder, adapter: AdapterSpec, ranks: Mapping[str, int]) -> list[Entry]:
        return [Entry("bias", name, parameters) for name, parameters in encoder.biases]

    def trains_embeddings(self, adapter: AdapterSpec) -> bool:
        return True


METHODS: dict[MethodName, Method] = {
    "lora": LowRank(),
    "rslora": LowRank(),  # arXiv 2312.03732: another scale
    "dora": Dora(),
    "pissa": LowRank(),  # arXiv 2404.02948: another start
    "adalora": AdaLora(),
    "vera": Vera(),
    "ia3": Ia3(),
    "prefix": Prefix(),
    "full": Full(),
    "head": Method(),
    "bias": Bias(),
}


def method_of(adapter: AdapterSpec) -> Method:
    """The planning half of the method that an adapter's recipe names."""
    return METHODS[adapter.method]
