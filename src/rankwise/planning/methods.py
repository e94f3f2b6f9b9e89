"""What planning asks of a PEFT method: what it trains and costs, what it refuses, and what else follows from it.

A method is an object that never changes, a row of METHODS at the end; a recipe's options come in an AdapterSpec, once
`rank: max` is a number. `model/methods/` has how a method computes and is saved.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from typing import ClassVar, NamedTuple

from rankwise.encoders.encoder import Encoder, Part, Site
from rankwise.encoders.families import FAMILIES
from rankwise.errors import PlanError
from rankwise.planning.ledger import Entry
from rankwise.planning.policies import layer_weight, targeted_sites
from rankwise.recipe import AdapterSpec
from rankwise.recipe.methods import MethodName

VIRTUAL_TOKENS = 20  # where the recipe does not say
SHORTEST_TEXT = 4  # tokens for which virtual ones have to leave positions
FREQUENCIES = 1000  # of fourierft's spectrum of a linear layer, where the recipe does not say
SHARED_VECTOR = 4096  # numbers of unilora's vector, where the recipe does not say
PAIRS = 64  # outputs at most that road takes its pairs from, the two halves of a group


class Method:
    """A method's planning half. This class is that of the head alone; most of what it answers holds for most methods."""

    usual_rate: float | None = None
    """The learning rate at which it learns the sample news in 120 updates, where LoRA's is too low: benchmarks/methods.py."""
    has_fast_path: ClassVar[bool] = True
    """Whether the fast forward pass can compute it, where the family has one."""
    stock_head: ClassVar[bool] = False
    """Whether it needs transformers' own classes, which have no pooled head."""
    trains_weights: ClassVar[bool] = False
    """Whether the linear layers' own weights train."""
    prunes_ranks: ClassVar[bool] = False
    by_layer: ClassVar[bool] = False
    """Whether the policy says in which layers it trains."""
    spans_layers: ClassVar[bool] = False
    """Whether all that it trains in the encoder is one tensor for all layers."""
    words: str = "the head alone"
    """What it trains, where that is the same for every recipe: its `summary`, or its `vector`s."""

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


def _none(*_: object) -> int:
    return 0


def _outputs(site: Site, rank: int = 1) -> int:
    """`rank` numbers for each output of a linear layer."""
    return rank * site.d_out


def _inputs(site: Site, rank: int = 1) -> int:
    """`rank` numbers for each input of a linear layer."""
    return rank * site.d_in


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
        frozen: Callable[[Site, int], int] = _none,
        magnitudes: Callable[[Site], int] = _none,
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


class LnTuning(Method):
    """LN tuning (arXiv 2312.11420): the scales and shifts of the layers' norms train, copies beside the model's own."""

    usual_rate = 1e-2
    by_layer = True

    def entries(self, encoder: Encoder, adapter: AdapterSpec, ranks: Mapping[str, int]) -> list[Entry]:
        return [
            Entry("norm", part.path, part.parameters, part.layer)
            for part in encoder.body
            if part.layer is not None and is_norm(part) and layer_weight(adapter, part.layer, encoder.layers)
        ]

    def summary(self, adapter: AdapterSpec, ranks: Mapping[str, int], layers: int) -> str:
        return f"the norms of layers ({adapter.allocate.policy})"


class VirtualTokens(Method):
    """Trained tokens before each text, which take positions."""

    usual_rate = 1e-2
    has_fast_path = False
    stock_head = True
    spans_layers = True

    def prefix_length(self, adapter: AdapterSpec) -> int:
        return adapter.virtual_tokens or VIRTUAL_TOKENS

    def check_room(self, encoder: Encoder, adapter: AdapterSpec) -> None:
        """Raises PlanError where they leave no room for a text."""
        length = self.prefix_length(adapter)
        if encoder.longest is not None and encoder.longest - length < SHORTEST_TEXT:
            raise PlanError(
                f"{encoder.name} has {encoder.longest} positions, and a {adapter.method} of {length} leaves no room for a "
                f"text; type --set adapter.virtual_tokens=N with N under {encoder.longest - SHORTEST_TEXT + 1}"
            )

    def smaller(self, encoder: Encoder, adapter: AdapterSpec, left: int) -> Mapping[str, int]:
        one = adapter.model_copy(update={"virtual_tokens": 1})
        length = left // sum(entry.parameters for entry in self.entries(encoder, one, {}))
        return {"virtual_tokens": length} if length >= 1 else {}

    def notes(self, encoder: Encoder, adapter: AdapterSpec) -> Sequence[str]:
        if encoder.longest is None:
            return ()
        length = self.prefix_length(adapter)
        taken = f"a {adapter.method} of {length} takes as many positions"
        return [f"{taken}, so a text has at most {encoder.longest - length} tokens"]


class Prefix(VirtualTokens):
    """Prefix tuning (arXiv 2101.00190): trained keys and values of virtual tokens before each text, of each layer its own."""

    def entries(self, encoder: Encoder, adapter: AdapterSpec, ranks: Mapping[str, int]) -> list[Entry]:
        length = self.prefix_length(adapter)
        if not encoder.traits.takes_prefix:
            able = ", ".join(sorted(name for name, family in FAMILIES.items() if family.takes_prefix))
            raise PlanError(
                f"{encoder.name} ({encoder.family}): transformers takes no keys and values from outside there, so prefix "
                f"tuning works for {able} only; type --set adapter.method=lora, or take another base"
            )
        self.check_room(encoder, adapter)
        own = [site for site in encoder.sites if site.kind in ("key", "value")]
        return [Entry("prefix", site.name, length * site.d_out, site.layer, site.kind) for site in own]

    def summary(self, adapter: AdapterSpec, ranks: Mapping[str, int], layers: int) -> str:
        return f"a prefix of {self.prefix_length(adapter)} in every layer"


class Prompt(VirtualTokens):
    """Prompt tuning (arXiv 2104.08691): trained embeddings of virtual tokens before each text."""

    def entries(self, encoder: Encoder, adapter: AdapterSpec, ranks: Mapping[str, int]) -> list[Entry]:
        self.check_room(encoder, adapter)
        return [Entry("prompt", "embeddings", self.prefix_length(adapter) * embedding_width(encoder))]

    def trains_embeddings(self, adapter: AdapterSpec) -> bool:
        return True

    def summary(self, adapter: AdapterSpec, ranks: Mapping[str, int], layers: int) -> str:
        return f"a prompt of {self.prefix_length(adapter)}"

    def notes(self, encoder: Encoder, adapter: AdapterSpec) -> Sequence[str]:
        reads = encoder.reads == "first"
        first = "the head reads the first token, which is the prompt's own, as peft puts it before the text"
        return [*super().notes(encoder, adapter), *([first] if reads else [])]


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


def factors_of(width: int) -> tuple[int, int]:
    """The two factors of a width that are nearest to each other, the smaller one first, as peft cuts it for LoKr."""
    smaller = next(factor for factor in range(math.isqrt(width), 0, -1) if width % factor == 0)
    return smaller, width // smaller


def road_group(sites: Iterable[Site]) -> int:
    """How many outputs RoAd takes its pairs from: the largest number up to PAIRS that divides those of every site."""
    return reduce(math.gcd, (site.d_out for site in sites), PAIRS)


def is_norm(part: Part) -> bool:
    """Whether a part is a norm, whose tensors are vectors."""
    return part.tensors[0][0] == f"{part.path}.weight" and all(len(shape) == 1 for _, shape in part.tensors)


def embedding_width(encoder: Encoder) -> int:
    """The width of the word embeddings, the first table that an encoder has."""
    return next(shape[1] for part in encoder.body for _, shape in part.tensors if len(shape) == 2)


METHODS: dict[MethodName, Method] = {
    "lora": LowRank(),
    "rslora": LowRank(),  # arXiv 2312.03732: another scale
    "dora": LowRank(magnitudes=_outputs),  # arXiv 2402.09353: LoRA for directions, and a magnitude for each output
    "pissa": LowRank(),  # arXiv 2404.02948: another start
    "lora-fa": LowRank(_outputs, frozen=_inputs),  # arXiv 2308.03303: A stays as it was drawn
    "lora-xs": LowRank(lambda _, rank: rank**2, frozen=Site.cost, usual_rate=1e-2),  # arXiv 2405.17604: B·R·A, R trains
    "adalora": AdaLora(lambda site, rank: site.cost(rank) + rank, usual_rate=5e-3),  # a singular value for each rank
    "vera": Vera(lambda site, rank: rank + site.d_out, has_alpha=False, usual_rate=1e-2),  # d (R,) and b (d_out,)
    "unilora": UniLora(_none, has_alpha=False, usual_rate=1e-2),
    # arXiv 2503.18225: B·A scaled to a norm that trains, a number for each linear layer
    "delora": LowRank(magnitudes=lambda _: 1, frozen=lambda site, _: site.d_in, has_alpha=False),
    "miss": LowRank(_outputs, has_alpha=False),  # arXiv 2409.15371: A is fixed, each row sums every R-th input
    "loha": LowRank(lambda site, rank: 2 * site.cost(rank)),  # arXiv 2108.06098: the product, entry by entry, of two B·A
    "lokr": Lokr(usual_rate=1e-2),
    # arXiv 2405.17484: R reflections of the inputs, which in pairs start as none
    "hra": LowRank(_inputs, has_alpha=False, step=2),
    "fourierft": FourierFt(lambda site: site.d_in * site.d_out, "spectra", usual_rate=1e-2),
    "ia3": Vectors(  # arXiv 2205.05638
        lambda site: site.d_in if site.kind == "ffn_out" else site.d_out,
        "scales",
        kinds=("key", "value", "ffn_out"),
        needed="which ia3 scales",
        usual_rate=1e-2,
    ),
    "road": Road(_outputs, "rotations", usual_rate=1e-2),
    "beft": Beft(_outputs, "biases", kinds=("value",), needed="which beft adds to", usual_rate=5e-3),  # board.csv
    "ln-tuning": LnTuning(),
    "prefix": Prefix(),
    "prompt": Prompt(),
    "full": Full(),
    "head": Method(),
    "bias": Bias(),
}


class Way(NamedTuple):
    """A method with the learning rate at which it did best under small caps, the recipe's where that is None."""

    method: MethodName
    rate: float | None
    least: float = 0.0
    """The share of layers that it must fit in to be taken."""


UNDER_SMALL_CAPS = (Way("ln-tuning", 1e-2, least=0.5), Way("beft", 3e-3), Way("lora", 1e-3), Way("head", None))
"""What to train where LoRA does not fit everywhere, the best known first: benchmarks/results/board.csv."""


def method_of(adapter: AdapterSpec) -> Method:
    """The planning half of the method that an adapter's recipe names."""
    return METHODS[adapter.method]
