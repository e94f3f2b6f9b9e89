"""How the planned parameters are trained and scored, and what a report printed of it."""

import math
from typing import Annotated, ClassVar, Literal, Self, get_args

from pydantic import BeforeValidator, Field, model_validator

from rankwise.recipe.data import ShiftKind
from rankwise.recipe.values import Count, Positive, Rate, Seed, Share, ShareOrCount, Spec, one_or_many, share_or_count

MOST_BY_COLUMNS = 2.0  # times a learning rate, at three label columns; at three times as much training fails now and then
Beta = Annotated[float, Field(ge=0, lt=1)]


class OptimizerSpec(Spec):
    """The update rule. A plain string is its name."""

    name: Literal["adamw", "adam", "rmsprop", "sgd", "muon"] = "adamw"
    """adamw, adam, rmsprop, sgd, or muon (on the 2-D adapter matrices; adamw for the rest)."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Decoupled for adamw and muon, added to the gradient for the others."""
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Adam's averages."""
    eps: Positive = 1e-8
    """Added to the denominator."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """For rmsprop and sgd; muon uses .95 when this is 0."""


class RatesSpec(Spec):
    """Learning rates that differ from `learning_rate`."""

    head: Rate | None = None
    """The head's."""
    b_over_a: Positive = 1.0
    """LoRA+: how many times A's rate the B matrices get (arXiv 2402.12354)."""
    tiers: tuple[Rate, ...] = ()
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
    """Adapters folded into the frozen weights under them; query, key and value as one product. In encoders without a fast
    path, each adapter in one step with its linear layer.
    """
    first_token: bool = True
    """The last layer for the first token only, where the head reads nothing else."""
    random_words: bool = True
    """Dropout masks cut from 64-bit random words."""
    similar_lengths: bool = True
    """Batches of texts of similar length, instead of at random and padded."""
    graphs: bool = True
    """On an NVIDIA GPU, forward and backward recorded once for each width of a batch, and replayed."""


class TrainSpec(Spec):
    """How the planned parameters are trained."""

    epochs: Positive = 3.0
    """Passes over the training rows; may be a fraction."""
    min_updates: Count | None = None
    """Make at least so many updates, in more passes where the rows are few; `epochs` alone counts when left out."""
    max_steps: Annotated[int, Field(ge=0, strict=True)] | None = None
    """Stop after this many updates, if that comes first; 0 leaves the head as it starts."""
    batch_size: Count = 16
    """Rows per update, over all accumulated micro-batches."""
    micro_batch_size: Count | None = None
    """Rows per forward pass; smaller than batch_size to save memory. The loss is weighted by real rows."""
    learning_rate: Rate = 5e-4
    """Peak learning rate."""
    full_rate_rows: Count | None = None
    """Training rows from which on the learning rates are as given; fewer lower them all in proportion, for what few rows
    teach is soon learnt, and then known by heart.
    """
    full_rate_width: Count | None = None
    """Width of the encoder's hidden states up to which the learning rates are as given; wider encoders lower them all in
    proportion, as their outputs move further for the same step (arXiv 2203.03466).
    """
    rate_a_column: Annotated[float, Field(ge=0, le=1)] = 0.0
    """By what share each label column after the first raises the learning rates, to twice as much at most: an update that
    serves several columns moves each of them less.
    """
    rates: RatesSpec = RatesSpec()
    optimizer: Annotated[OptimizerSpec, BeforeValidator(lambda v: {"name": v} if isinstance(v, str) else v)] = OptimizerSpec()
    schedule: Literal["linear", "cosine", "polynomial", "constant", "reduce-on-plateau"] = "linear"
    """The learning rate after warm-up: linear or cosine or polynomial to 0, constant, or halved on a plateau."""
    power: Positive = 2.0
    """The polynomial's power."""
    warmup: ShareOrCount = 0.0
    """A share of all updates (`6%`) or a number of updates over which the rate rises from 0."""
    clip_norm: Positive | None = 1.0
    """Largest gradient norm; null for no clipping."""
    average: Share | None = None
    """Score and keep a running mean of the weights over about this share of the updates so far, such as 10%
    (arXiv 1212.1824); the last weights when left out.
    """
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the target spread over all classes."""
    focal: Annotated[float, Field(ge=0, le=20)] = 0.0
    """Focal loss (arXiv 1708.02002): each row's loss times (1 - p)^focal, p being its own class's probability, so that rows
    already learnt, most of them of frequent classes, count less; 2 is usual, 0 is cross-entropy. A head that is fitted
    (`head.start`, `train.refit_head`) is a regression, without it.
    """
    contrast: Annotated[float, Field(ge=0)] = 0.0
    """Weight of a second loss, in pairs of an update's rows: what the head reads of two texts is drawn together where they
    are of one class, and made perpendicular where not. Updates then hold classes in equal parts.
    """
    refit_head: bool = False
    """Fit the head anew to the trained encoder's features whenever the weights are scored, as `head.start: fitted` begins."""
    class_weights: Literal["none", "balanced"] | dict[str, Positive] = "none"
    """none, balanced (rows / (C · rows of the class)), or a weight per class name."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "fp32"
    """Arithmetic of the products; refused where the hardware lacks it. auto: bf16 where the hardware has it, else fp32."""
    encoder_dropout: Literal["keep", "adapted", "off"] = "keep"
    """keep: the encoder's own, as transformers trains. adapted: none in layers below the lowest adapted one. off: none."""
    prefix_cache: Literal["auto", "off"] = "auto"
    """auto: layers below the lowest adapted one run once per text, where they don't drop and it pays. off: every time."""
    speed: SpeedSpec = SpeedSpec()
    evaluate_every: Annotated[float, BeforeValidator(share_or_count), Field(gt=0)] | Literal["epoch", "end"] = "epoch"
    """Evaluate and checkpoint each epoch, every N updates, or only at the end."""
    log_every: Count = 10
    """Updates between two logged losses."""
    select_by: Literal["accuracy", "macro_f1", "mcc", "log_loss", "root_mean_squared_error", "worst_shift"] = "accuracy"
    """What the best checkpoint is best at, on validation rows; where a number is estimated always root_mean_squared_error.
    worst_shift: the lowest accuracy over `evaluate.shifts`.
    """
    early_stop: EarlyStopSpec | None = None
    keep: Annotated[int, Field(ge=1)] = 1
    """Checkpoints kept, beside the best. While it trains at least two, so that a damaged one costs what came since."""
    seed: Seed = 0
    """Everything random in training: starts, order, dropout."""
    trackers: tuple[Literal["tensorboard", "mlflow", "trackio", "wandb"], ...] = ()
    """Experiment trackers to log to, through Accelerate."""
    threads: Count | None = None
    """CPU threads; chosen by a short measurement when left out."""

    IDLE_RATE: ClassVar[str] = "train.learning_rate moves nothing: train.rates.tiers and train.rates.head set every rate"

    @property
    def rate_is_idle(self) -> bool:
        """Whether `learning_rate` moves nothing, as rates of tiers and head set every one."""
        return bool(self.rates.tiers) and self.rates.head is not None

    def rate_factor(self, rows: int, width: int, columns: int = 1) -> float:
        """What the learning rates are multiplied by for so many training rows, label columns, and an encoder this wide."""
        by_rows = 1.0 if self.full_rate_rows is None else min(1.0, max(1, rows) / self.full_rate_rows)
        by_width = 1.0 if self.full_rate_width is None else min(1.0, self.full_rate_width / width)
        by_columns = min(MOST_BY_COLUMNS, 1.0 + self.rate_a_column * (columns - 1))
        return by_rows * by_width * by_columns

    def steps_per_epoch(self, rows: int) -> int:
        """Updates in which each of so many training rows comes once."""
        return math.ceil(rows / self.batch_size)

    def planned_steps(self, rows: int) -> int:
        """Updates that the recipe asks for."""
        steps = max(1, self.min_updates or 0, math.ceil(self.epochs * self.steps_per_epoch(rows)))
        return steps if self.max_steps is None else min(steps, self.max_steps)

    def passes(self, rows: int) -> float:
        """Epochs over so many training rows: `epochs`, or as many as `min_updates` take."""
        asked, planned = math.ceil(self.epochs * self.steps_per_epoch(rows)), self.planned_steps(rows)
        return planned / self.steps_per_epoch(rows) if rows and planned > asked else self.epochs

    def evaluation_interval(self, rows: int) -> int | None:
        """Updates from one evaluation to the next; None where only the last update is followed by one.

        Where `min_updates` make more epochs, evaluations are as many as `epochs` and further apart.
        """
        if self.evaluate_every == "end":
            return None
        if self.evaluate_every == "epoch":
            return max(1, math.ceil(self.steps_per_epoch(rows) * (self.passes(rows) / self.epochs)))
        if self.evaluate_every < 1:
            return max(1, round(self.evaluate_every * self.planned_steps(rows)))
        return int(self.evaluate_every)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.micro_batch_size is not None and self.micro_batch_size > self.batch_size:
            raise ValueError(f"micro_batch_size {self.micro_batch_size} is larger than batch_size {self.batch_size}")
        if self.focal and self.label_smoothing:
            raise ValueError(
                f"focal {self.focal:g} and label_smoothing {self.label_smoothing:g} contradict each other: one drops "
                "the loss of rows that are nearly certain, the other raises it; set one of them to 0"
            )
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
    keep_texts: bool = True
    """Keep the texts of the surest mistakes, and an example under shift, in the run folder and its report; false: their row
    numbers alone.
    """
    shifts: Annotated[tuple[ShiftKind, ...], BeforeValidator(one_or_many), Field(min_length=1)] = get_args(ShiftKind)
    """Kinds of shift that `rankwise evaluate --shift` and `train.select_by: worst_shift` look at; all when left out."""


class Published(Spec):
    """What the report behind a recipe says, so that ours can be laid beside it."""

    report: str
    """The report's number and title."""
    trainable_parameters: int | None = None
    """As printed there."""
    scores: dict[str, str] = Field(default={})
    """Scores as printed there."""
    notes: tuple[str, ...] = ()
    """What does not add up, and what is not a setting here."""
