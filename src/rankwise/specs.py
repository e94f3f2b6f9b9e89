"""What a recipe may say: one frozen spec per question, each field documented by the text under it.

Conventions: `C` classes, `R` rank. A share is written `6%` (or a number below 1); a count is a whole number. The same texts
become `--help`, the schema and the reference page, so there is one place to read and one place to change.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator


class Spec(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False, validate_default=True
    )


def _share(value: Any) -> Any:
    """`6%` → 0.06; numbers pass."""
    if isinstance(value, str) and value.strip().endswith("%"):
        number = value.strip()[:-1]
        try:
            return float(number) / 100
        except ValueError:
            raise ValueError(f"'{value}' is not a percentage; write it like 6%") from None
    return value


def _one_or_many(value: Any) -> Any:
    return (value,) if isinstance(value, (str, int)) and not isinstance(value, bool) else value


Share = Annotated[float, BeforeValidator(_share), Field(gt=0, lt=1)]
ShareOrCount = Annotated[float, BeforeValidator(_share), Field(ge=0)]
Column = str | int
Columns = Annotated[tuple[Column, ...], BeforeValidator(_one_or_many)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]

# ---------------------------------------------------------------------------------------------------------------- data

CleanStep = Literal["escapes", "html", "emails", "urls", "numbers", "agencies", "whitespace"]
ShiftKind = Literal[
    "typos", "lower", "upper", "title", "no_agencies", "masked_numbers", "dropped_words", "shuffled_sentences",
]  # fmt: skip


class SourceSpec(Spec):
    """One file, folder or hub data set, and where in it the text and the label are. A plain string is its path."""

    path: str
    """A CSV, TSV, JSONL or Parquet file (.gz too), a folder of class folders, `hub:NAME` or `hub:NAME:SPLIT`."""
    text: Columns = ()
    """Columns to read as text, joined in this order; names, or positions from 0. Found by name when left out."""
    label: Column | None = None
    """The label's column, a name or a position. Found by name when left out."""
    header: bool | None = None
    """Whether the first row names the columns; found out when left out."""
    encoding: str = "utf-8"
    """The file's character encoding."""


Source = Annotated[SourceSpec, BeforeValidator(lambda v: {"path": v} if isinstance(v, str) else v)]


class SplitSpec(Spec):
    """How rows are set aside when no validation or test file is given; stratified by class."""

    validation: ShareOrCount = 0.1
    """A share (`10%`) or a number of training rows for validation."""
    test: ShareOrCount = 0.1
    """A share or a number of rows for the test, where no test file is given."""
    seed: int = 42
    """Which rows: the same seed gives the same split."""


class DataSpec(Spec):
    """Labelled text: where it is, how it is cleaned, cut and split."""

    source: str | None = None
    """A folder holding train, validation and test files, one file to be split, `hub:NAME`, or `sample`."""
    train: Source | None = None
    """The training rows; goes before `source`."""
    validation: Source | None = None
    """Rows that choose the best checkpoint. Split off the training rows when absent."""
    test: Source | None = None
    """Rows that are scored once, at the end. Split off the training rows when absent."""
    classes: tuple[str, ...] = ()
    """Class names in the order of their numbers. Found in the labels when left out."""
    text: Columns = ()
    """Text columns for every file that does not say otherwise."""
    label: Column | None = None
    """The label column for every file that does not say otherwise."""
    join: str = " . "
    """What stands between joined text columns."""
    rows: Count | None = None
    """Train on this many rows (stratified, by the split's seed); all when left out."""
    test_rows: Count | None = None
    """Score at most this many test rows; all when left out."""
    split: SplitSpec = SplitSpec()
    clean: tuple[CleanStep, ...] = ()
    """Cleaning steps, in order; stored with the run and applied again at prediction."""
    max_length: Annotated[float, BeforeValidator(_share)] = 128
    """Longest text in tokens, or the share of training texts that must fit whole (`99.5%`)."""
    truncation_side: Literal["right", "left", "auto"] = "right"
    """Where a longer text is cut: right loses its end, left its beginning; auto keeps the end that tells the classes apart
    better, by training rows. Travels with the run's tokenizer.
    """
    length_percentiles: tuple[float, float] | None = None
    """Train only on texts whose token length lies between these percentiles, such as [1, 99]."""
    empty_text: Literal["drop", "fail"] = "drop"
    """Rows without text: counted and dropped, or an error."""
    skip_bad_rows: bool = False
    """Drop and count rows with too many or too few fields instead of stopping."""
    leakage: Literal["fail", "allow"] = "fail"
    """More than 5 % of the test texts also in training: an error, or told beside a score on the clean rows."""
    unseen_labels: Literal["fail", "wrong"] = "fail"
    """A label in validation or test that training never saw: an error, or scored as wrong."""

    @field_validator("max_length")
    @classmethod
    def _length_or_coverage(cls, value: float) -> float:
        if 0 < value <= 1 or (value >= 4 and value == int(value)):
            return value
        raise ValueError(f"{value:g} is neither a number of tokens (4 or more) nor a share such as 99.5%")

    @field_validator("length_percentiles")
    @classmethod
    def _ordered(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not 0 <= value[0] < value[1] <= 100:
            raise ValueError(f"{list(value)} is not a pair of rising percentiles between 0 and 100")
        return value


# ------------------------------------------------------------------------------------------------------------- adapter

Kind = Literal[
    "query", "key", "value", "attention_output", "ffn_in", "ffn_out", "query_key_value",
]  # fmt: skip
SHORT_KINDS: dict[str, str] = {
    "query": "query", "key": "key", "value": "value", "attention_output": "output", "ffn_in": "ffn in", "ffn_out": "ffn out",
    "query_key_value": "qkv",
}  # fmt: skip
"""What a kind is called where there is little room."""
Rank = Annotated[int, Field(ge=1, strict=True)] | Literal["max"]
Fraction = Literal["half", "third", "quarter"]


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
    k: Count | Fraction = "third"
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
    """A rank for each map, by `layer.kind` patterns; maps that nothing matches get no adapter, the last match wins."""

    policy: Literal["explicit"]
    ranks: dict[str, Annotated[int, Field(ge=0)]]
    """Such as {"*.query": 4, "11.*": 16}."""


class ByImportance(Spec):
    """Rank goes where the loss asks for it: by score per parameter, one rank at a time, until `rank` is spent."""

    policy: Literal["by-importance"]
    criterion: Literal["energy", "sensitivity"] = "energy"
    """energy: squared singular values of each map's gradient. sensitivity: the sum of |weight · gradient|."""
    rows: Annotated[int, Field(ge=4)] = 512
    """At most so many training texts to probe: half of them fit the head, the other half give the gradients."""
    scores: dict[str, Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1)]] = {}
    """What probing found, by `layer.kind`: the gains of a map's first ranks; further ones fall as 1/rank. Probed when left
    out, and kept in the run's recipe.
    """


Policy = Annotated[
    Annotated[Uniform | ByDepth | LastK | FirstAndLast | Fibonacci | ByImportance | Explicit, Field(discriminator="policy")],
    BeforeValidator(lambda v: {"policy": v} if isinstance(v, str) else v),
]


class AdapterSpec(Spec):
    """What is trained in the encoder, and where the rank goes."""

    method: Literal["lora", "rslora", "dora", "pissa", "adalora", "ia3", "prefix", "full", "head", "bias"] = "lora"
    """lora, rslora (scaled by 1/√R), dora (with magnitudes), pissa (SVD start), adalora (ranks pruned while it trains),
    ia3 (scales of keys, values and inner activations), prefix (virtual keys and values), full, head only, biases only.
    """
    targets: Annotated[tuple[Kind, ...], BeforeValidator(_one_or_many)] | Literal["all"] = ("query", "value")
    """Kinds of linear map to adapt, or `all`."""
    rank: Rank = 8
    """The rank, or `max`: the largest that fits the budget. by-importance spends what a uniform rank would. adalora's is the
    mean rank that pruning leaves.
    """
    init_rank: Count | None = None
    """adalora's rank at the start, which is what the cap counts; half as much again as `rank` when left out."""
    virtual_tokens: Count | None = None
    """A prefix's length: so many keys and values go before each layer's, and take as many positions; 20 when left out."""
    alpha: Positive | None = None
    """LoRA's alpha, the same in every map. Give this or `alpha_per_rank`."""
    alpha_per_rank: Positive | None = None
    """alpha as a multiple of each map's rank; 2 when neither is given."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout on the adapters' inputs."""
    bias: Literal["none", "lora_only", "all"] = "none"
    """Which of the encoder's biases train too: none, those of adapted maps, all."""
    allocate: Policy = Uniform()
    """How rank is shared: uniform, by-depth, last-k, first-and-last, fibonacci, by-importance, explicit."""
    quantize: Literal["none", "nf4"] = "none"
    """Keep the frozen encoder in 4 bits (QLoRA); needs rankwise[qlora]."""

    @property
    def has_ranks(self) -> bool:
        return self.method in ("lora", "rslora", "dora", "pissa", "adalora")

    @property
    def is_apart(self) -> bool:
        """Whether what trains is an adapter beside the encoder, saved as peft saves one; else a run holds the whole model."""
        return self.has_ranks or self.method in ("ia3", "prefix")

    @property
    def start_rank(self) -> int:
        """The rank that training starts at, once `rank` is a number."""
        if self.method != "adalora":
            return int(self.rank)
        return self.init_rank or math.ceil(1.5 * int(self.rank))

    @property
    def prefix_length(self) -> int:
        """Virtual tokens before each text; 0 for methods without."""
        return (self.virtual_tokens or 20) if self.method == "prefix" else 0

    @model_validator(mode="after")
    def _consistent(self) -> AdapterSpec:
        if self.alpha is not None and self.alpha_per_rank is not None:
            raise ValueError("give alpha or alpha_per_rank, not both")
        if not self.has_ranks and (self.bias != "none" or self.quantize != "none"):
            raise ValueError(f"bias and quantize belong to low-rank methods; method is '{self.method}'")
        if self.quantize != "none" and self.method == "pissa":
            raise ValueError("the pissa start takes the encoder's weights apart, so it can't be quantized")
        if isinstance(self.allocate, Explicit) and self.rank == "max":
            raise ValueError("an explicit map says every rank; 'rank: max' leaves nothing to solve")
        if self.virtual_tokens is not None and self.method != "prefix":
            raise ValueError(f"virtual_tokens belongs to the method prefix; method is '{self.method}'")
        if self.init_rank is not None and self.method != "adalora":
            raise ValueError(f"init_rank belongs to the method adalora; method is '{self.method}'")
        if self.init_rank is not None and self.rank == "max":
            raise ValueError("init_rank says what trains, so 'rank: max' has nothing to solve; leave init_rank out")
        if self.init_rank is not None and self.init_rank <= int(self.rank):
            raise ValueError(f"init_rank {self.init_rank} is not above rank {self.rank}, so adalora has nothing to prune")
        policy = self.allocate.policy
        if self.method == "adalora" and policy not in ("uniform", "last-k"):
            raise ValueError(f"adalora shares ranks among maps itself, and so does {policy}; allocate: uniform or last-k")
        if self.method == "ia3" and policy == "explicit":
            raise ValueError("an explicit map gives ranks, and ia3 has none; allocate: uniform, or last-k for upper layers")
        return self


class HeadSpec(Spec):
    """The classifier on top of the encoder."""

    kind: Literal["stock", "slim"] = "stock"
    """stock: the architecture's own, all of it trained. slim: the same, only its last projection trained."""
    start: Literal["identity", "orthogonal", "random", "fitted"] = "identity"
    """Where a slim head's frozen layer stands. fitted: identity, and the last projection starts as a logistic regression on
    the frozen encoder's features.
    """


class BudgetSpec(Spec):
    """What may be spent."""

    parameters: Count | None = 1_000_000
    """Fewer than this many trained parameters, head included; null for no cap."""
    minutes: Positive | None = None
    """Time for the whole run, from start to saved folder; updates are planned to fit, and so is the learning rate."""
    memory_gb: Positive | None = None
    """Peak memory in GB (10⁹ bytes): of the process on a CPU, allocated on a GPU. Micro-batches are made to fit."""


# --------------------------------------------------------------------------------------------------------------- train


class OptimizerSpec(Spec):
    """The update rule. A plain string is its name."""

    name: Literal["adamw", "adam", "rmsprop", "sgd", "muon"] = "adamw"
    """adamw, adam, rmsprop, sgd, or muon (on the 2-D adapter matrices; adamw for the rest)."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Decoupled for adamw and muon, added to the gradient for the others."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Adam's averages."""
    eps: Positive = 1e-8
    """Added to the denominator."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """For rmsprop and sgd; muon uses .95 when this is 0."""


Optimizer = Annotated[OptimizerSpec, BeforeValidator(lambda v: {"name": v} if isinstance(v, str) else v)]


class RatesSpec(Spec):
    """Learning rates that differ from `learning_rate`."""

    head: Positive | None = None
    """The head's."""
    b_over_a: Positive = 1.0
    """LoRA+: how many times A's rate the B matrices get (arXiv 2402.12354)."""
    tiers: tuple[Positive, ...] = ()
    """One rate per equal group of layers, from the input upwards, such as [1e-5, 3e-4, 5e-4]."""


class EarlyStopSpec(Spec):
    """When to stop before the end."""

    patience: Count
    """Stop after this many evaluations without a better one."""
    min_delta: Annotated[float, Field(ge=0)] = 0.0
    """What counts as better."""


class SpeedSpec(Spec):
    """What makes a step cheaper and leaves its mathematics alone; all on, and each can be turned off to see what it gives."""

    fold: bool = True
    """Adapters folded into the frozen weights under them; query, key and value as one product."""
    first_token: bool = True
    """The last layer for the first token only, where the head reads nothing else."""
    random_words: bool = True
    """Dropout masks cut from 64-bit random words."""
    similar_lengths: bool = True
    """Batches of texts of similar length, instead of at random and padded."""


Schedule = Literal["linear", "cosine", "polynomial", "constant", "reduce-on-plateau"]
Metric = Literal["accuracy", "macro_f1", "mcc", "log_loss", "worst_shift"]


class TrainSpec(Spec):
    """How the planned parameters are trained."""

    epochs: Positive = 3.0
    """Passes over the training rows; may be a fraction."""
    max_steps: Count | None = None
    """Stop after this many updates, if that comes first."""
    batch_size: Count = 16
    """Rows per update, over all accumulated micro-batches."""
    micro_batch_size: Count | None = None
    """Rows per forward pass; smaller than batch_size to save memory. The loss is weighted by real rows."""
    learning_rate: Annotated[float, Field(gt=0, lt=10)] = 5e-4
    """Peak learning rate."""
    rates: RatesSpec = RatesSpec()
    optimizer: Optimizer = OptimizerSpec()
    schedule: Schedule = "linear"
    """The learning rate after warm-up: linear or cosine or polynomial to 0, constant, or halved on a plateau."""
    power: Positive = 2.0
    """The polynomial's power."""
    warmup: ShareOrCount = 0.0
    """A share of all updates (`6%`) or a number of updates over which the rate rises from 0."""
    clip_norm: Positive | None = 1.0
    """Largest gradient norm; null for no clipping."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the target spread over all classes."""
    class_weights: Literal["none", "balanced"] | dict[str, Positive] = "none"
    """none, balanced (rows / (C · rows of the class)), or a weight per class name."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "fp32"
    """Arithmetic of the products; refused where the hardware lacks it. auto: bf16 where the hardware has it, else fp32."""
    encoder_dropout: Literal["keep", "adapted", "off"] = "keep"
    """keep: the encoder's own, as transformers trains. adapted: none in layers below the lowest adapted one. off: none."""
    prefix_cache: Literal["auto", "off"] = "auto"
    """auto: layers below the lowest adapted one run once per text, where they don't drop and it pays. off: every time."""
    speed: SpeedSpec = SpeedSpec()
    evaluate_every: Annotated[float, BeforeValidator(_share), Field(gt=0)] | Literal["epoch", "end"] = "epoch"
    """Evaluate and checkpoint each epoch, every N updates, or only at the end."""
    log_every: Count = 10
    """Updates between two logged losses."""
    select_by: Metric = "accuracy"
    """What the best checkpoint is best at, on validation rows. worst_shift: the lowest accuracy over `evaluate.shifts`."""
    early_stop: EarlyStopSpec | None = None
    keep: Annotated[int, Field(ge=1)] = 1
    """Checkpoints kept, beside the best."""
    seed: int = 0
    """Everything random in training: starts, order, dropout."""
    trackers: tuple[Literal["tensorboard", "mlflow", "trackio", "wandb"], ...] = ()
    """Experiment trackers to log to, through Accelerate."""
    threads: Count | None = None
    """CPU threads; chosen by a short measurement when left out."""

    @model_validator(mode="after")
    def _consistent(self) -> TrainSpec:
        if self.micro_batch_size is not None and self.micro_batch_size > self.batch_size:
            raise ValueError(f"micro_batch_size {self.micro_batch_size} is larger than batch_size {self.batch_size}")
        return self


class EvaluateSpec(Spec):
    """How scores are made."""

    batch_size: Count = 64
    """Rows per forward pass."""
    resamples: Count = 1000
    """Bootstrap resamples behind each interval."""
    confidence: Share = 0.95
    """The intervals' level."""
    baselines: bool = True
    """Also score the majority class and TF-IDF with logistic regression."""
    shifts: Annotated[tuple[ShiftKind, ...], BeforeValidator(_one_or_many), Field(min_length=1)] = get_args(ShiftKind)
    """Kinds of shift that `rankwise evaluate --shift` and `train.select_by: worst_shift` look at; all when left out."""


class Published(Spec):
    """What the report behind a recipe says, so that ours can be laid beside it."""

    report: str
    """The report's number and title."""
    trainable_parameters: int | None = None
    """As printed there."""
    scores: dict[str, str] = {}
    """Scores as printed there."""
    notes: tuple[str, ...] = ()
    """What does not add up, and what is not a setting here."""
