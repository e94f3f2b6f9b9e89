"""What trains: the adapters and where rank goes, the head, and what may be spent."""

from typing import Annotated, Literal, Self, get_args

from pydantic import BeforeValidator, Field, model_validator

from rankwise.recipe.methods import METHODS, MethodName
from rankwise.recipe.values import Count, Positive, Spec, one_or_many

Kind = Literal["query", "key", "value", "attention_output", "ffn_in", "ffn_gate", "ffn_out", "query_key_value", "other"]
SHORT_KINDS = {kind: kind.removeprefix("attention_").replace("_", " ") for kind in get_args(Kind)}
SHORT_KINDS["query_key_value"] = "qkv"
"""What a kind is called where there is little room."""


class Uniform(Spec):
    """The same rank in every layer."""

    policy: Literal["uniform"] = "uniform"


class ByDepth(Spec):
    """Rank grows with depth: `rank · growth^g` in depth group g of `groups` (report 002: 8, 16, 32 by thirds)."""

    policy: Literal["by-depth"]
    groups: Count = 3
    """Equal groups of layers, counted from the input."""
    growth: Annotated[int, Field(ge=2)] = 2
    """The factor from one group to the next."""


class LastK(Spec):
    """The same rank in the last layers, none below."""

    policy: Literal["last-k"]
    k: Count | Literal["half", "third", "quarter"] = "third"
    """How many layers: a number, or a fraction that carries over to another depth."""


class FirstAndLast(Spec):
    """`emphasis` times the rank in the first and last layers, the plain rank between them."""

    policy: Literal["first-and-last"]
    k: Count = 1
    """How many layers at each end."""
    emphasis: Annotated[int, Field(ge=2)] = 2
    """How many times the middle's rank the ends get."""


class Fibonacci(Spec):
    """Rank grows with depth as 1, 1, 2, 3, 5, 8 … times `rank`, one number per depth group."""

    policy: Literal["fibonacci"]
    groups: Count = 6
    """Equal groups of layers, counted from the input."""


class Explicit(Spec):
    """A rank for each linear layer, by `layer.kind` patterns; the last match wins, unmatched ones get none."""

    policy: Literal["explicit"]
    ranks: dict[str, Annotated[int, Field(ge=0)]]
    """Such as {"*.query": 4, "11.*": 16}."""


class ByImportance(Spec):
    """Rank goes where the loss asks for it: by score per parameter, one rank at a time, until `rank` is spent."""

    policy: Literal["by-importance"]
    criterion: Literal["energy", "sensitivity"] = "energy"
    """energy: squared singular values of each layer's gradient. sensitivity: the sum of |weight · gradient|."""
    rows: Annotated[int, Field(ge=4)] = 512
    """At most so many training texts to probe: half of them fit the head, the other half give the gradients."""
    scores: dict[str, Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1)]] = Field(default={})
    """What probing measured, by `layer.kind`: the gains of a linear layer's first ranks; further ones fall as 1/rank. Probed
    when left out, and kept in the run's recipe.
    """


Policy = Annotated[
    Annotated[Uniform | ByDepth | LastK | FirstAndLast | Fibonacci | ByImportance | Explicit, Field(discriminator="policy")],
    BeforeValidator(lambda v: {"policy": v} if isinstance(v, str) else v),
]


class AdapterSpec(Spec):
    """What is trained in the encoder, and where the rank goes."""

    method: MethodName = "lora"
    """lora, rslora (scaled by 1/√R), dora (with magnitudes), pissa (SVD start), lora-fa (B alone), lora-xs (an R·R matrix
    between the SVD's factors), adalora (ranks pruned while it trains), vera (vectors around shared random matrices), unilora
    (one vector's numbers in every A and B), delora (a trained norm), miss (B alone, A sums inputs), loha (a product of two),
    lokr (a Kronecker product), hra (reflections), fourierft (a sparse spectrum), ia3 (scales of keys, values and inner
    activations), road (rotations of outputs), beft (biases of values), ln-tuning (norms), prefix (virtual keys and values),
    prompt (virtual tokens), full (every parameter), head (the head alone), bias (biases and the head).
    """
    targets: Annotated[tuple[Kind, ...], BeforeValidator(one_or_many)] | Literal["all"] = ("query", "value")
    """Kinds of linear layer to adapt, or `all`."""
    rank: Annotated[int, Field(ge=1, strict=True)] | Literal["max"] = 8
    """The rank, or `max`: the largest that fits the budget. by-importance spends what a uniform rank would. adalora's is the
    mean rank that pruning leaves.
    """
    init_rank: Count | None = None
    """adalora's rank at the start, which is what the cap counts; half as much again as `rank` when left out."""
    virtual_tokens: Count | None = None
    """The length of a prefix or a prompt, which take as many positions of a text; 20 when left out."""
    vector_length: Count | None = None
    """How many numbers train: fourierft's of each linear layer (1,000 when left out), unilora's of all together (4,096)."""
    alpha: Positive | None = None
    """LoRA's alpha, the same in every linear layer. Give this or `alpha_per_rank`."""
    alpha_per_rank: Positive | None = None
    """alpha as a multiple of each linear layer's rank; 2 when neither is given."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout on the adapters' inputs."""
    bias: Literal["none", "lora_only", "all"] = "none"
    """Which of the encoder's biases train too: none, those of adapted linear layers, all."""
    allocate: Policy = Uniform()
    """How rank is shared: uniform, by-depth, last-k, first-and-last, fibonacci, by-importance, explicit."""
    quantize: Literal["none", "nf4"] = "none"
    """Keep the frozen encoder in 4 bits (QLoRA); needs rankwise[qlora]."""

    @property
    def has_ranks(self) -> bool:
        """Whether each linear layer that the method adapts has a rank."""
        return METHODS[self.method].has_ranks

    @property
    def is_apart(self) -> bool:
        """Whether what trains is an adapter beside the encoder, saved as peft saves one; else a run holds the whole model."""
        return METHODS[self.method].is_apart

    @property
    def unscored(self) -> ByImportance | None:
        """The policy, where ranks follow scores that the data has yet to be probed for."""
        policy = self.allocate
        return policy if self.has_ranks and isinstance(policy, ByImportance) and not policy.scores else None

    @model_validator(mode="after")
    def _belongs_to_the_method(self) -> Self:
        own = METHODS[self.method]
        if not own.like_lora and (self.bias != "none" or self.quantize != "none"):
            raise ValueError(f"bias and quantize belong to lora and what is like it; method is '{self.method}'")
        if self.has_ranks and not own.like_lora and self.dropout:
            raise ValueError(
                f"dropout belongs to lora and what is like it; method is '{self.method}', so type --set adapter.dropout=0"
            )
        if self.quantize != "none" and own.unquantizable:
            raise ValueError(own.unquantizable)
        for key in {key: None for row in METHODS.values() for key in row.options if key not in own.options}:
            if getattr(self, key) is not None:
                owners = [owner for owner, row in METHODS.items() if key in row.options]
                raise ValueError(f"{key} belongs to {' and '.join(owners)}; method is '{self.method}'")
        if self.allocate.policy in own.refused_policies:
            raise ValueError(
                f"{self.method} {own.refused_because}, so it can't follow {self.allocate.policy}; "
                "allocate: uniform, or last-k for upper layers"
            )
        return self

    @model_validator(mode="after")
    def _numbers_agree(self) -> Self:
        if self.alpha is not None and self.alpha_per_rank is not None:
            raise ValueError("give alpha or alpha_per_rank, not both")
        if isinstance(self.allocate, Explicit) and self.rank == "max":
            raise ValueError("explicit ranks leave 'rank: max' nothing to solve; give rank a number or leave it out")
        if self.init_rank is not None and self.rank == "max":
            raise ValueError("init_rank says what trains, so 'rank: max' has nothing to solve; leave init_rank out")
        if self.init_rank is not None and self.init_rank <= int(self.rank):
            raise ValueError(f"init_rank {self.init_rank} is not above rank {self.rank}, so nothing would be pruned")
        return self


class HeadSpec(Spec):
    """The classifier on top of the encoder."""

    kind: Literal["stock", "slim", "pooled", "auto"] = "stock"
    """stock: the architecture's own, all of it trained. slim: the same, only its last projection trained. pooled: one linear
    layer on the encoder's last hidden states, pooled, such as sentence encoders are made for; it belongs to no stock class.
    auto: slim under a prefix, and where the whole encoder trains and its base does not say how it is pooled, so that a stock
    class loads what is saved; else pooled.
    """
    pooling: Literal["auto", "mean", "token", "apart"] = "auto"
    """What a pooled head reads: the mean of all tokens, or the token that a stock head reads. apart: of a pair of texts, each
    read on its own, how far their means u and v are from each other, |u - v|, and what they share, u * v. auto: what the base
    says it was trained with (`1_Pooling/config.json`, `classifier_pooling`), else the mean; where `kind` is auto, too, a base
    that says the mean and can reads up to 2,000 pairs of texts apart, and any number where it is frozen.
    """
    start: Literal["identity", "orthogonal", "random", "fitted"] = "identity"
    """Where a slim head's frozen layer stands. fitted: identity, and the last projection starts as a logistic regression on
    the frozen encoder's features.
    """

    @model_validator(mode="after")
    def _pooling_belongs_to_a_pooled_head(self) -> Self:
        if self.pooling != "auto" and self.kind not in ("pooled", "auto"):
            raise ValueError(f"pooling belongs to head.kind pooled; kind is '{self.kind}'")
        return self


WORD_BYTES = 16  # of a file of counted words, for each weight


class BudgetSpec(Spec):
    """What may be spent."""

    parameters: Count | None = 1_000_000
    """Fewer than this many trained parameters, head included; null for no cap."""
    shrink: bool = False
    """Where not even rank 1 fits the cap and `adapter.rank` is max, take the best known way that does, as `auto` does."""
    minutes: Positive | None = None
    """Time for the whole run, from start to saved folder; updates are planned to fit, and so is the learning rate."""
    memory_gb: Positive | None = None
    """Peak memory in GB (10⁹ bytes): of the process on a CPU, allocated on a GPU. Micro-batches are made to fit."""
    latency_ms: Positive | None = None
    """Milliseconds in which this machine answers the longest text, alone, on ONNX Runtime; longer texts are cut to fit."""
    artifact_mb: Positive | None = None
    """Megabytes (10⁶ bytes) of all files that answer, the encoder's too. Weights are in 8 bits where fp32 is larger."""
    max_loss: Positive = 0.5
    """Points that 8 bits may lose, as a paired test on the validation rows shows, where one of these two takes them."""

    @property
    def deploys(self) -> bool:
        """Whether a run is written for ONNX Runtime once it is trained, for a budget is about that."""
        return self.latency_ms is not None or self.artifact_mb is not None

    @property
    def weights_of_words(self) -> int | None:
        """Fewer than this many words and word pairs may be weighed, by parameters and by the size of their file."""
        by_size = None if self.artifact_mb is None else max(2, int(1e6 * self.artifact_mb / WORD_BYTES))
        return min((cap for cap in (self.parameters, by_size) if cap is not None), default=None)
