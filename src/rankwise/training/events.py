"""What happens while a classifier is fitted, in the order in which it does."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from rankwise.system.events import Event


@dataclass(frozen=True, kw_only=True)
class HiddenStatesCached(Event, kind="prefix"):
    """Hidden states that enter `layer` are kept for a split's texts, or are not: for want of room, or `as_before`."""

    split: str
    layer: int
    stored: bool
    reused: bool | None = None
    """Whether they were there already."""
    bytes: int | None = None
    took: float | None = None
    """Seconds."""
    where: str | None = None
    """Where they are kept: the cache, or memory."""
    as_before: bool | None = None
    """Whether they are not kept because the training that goes on began so."""


@dataclass(frozen=True, kw_only=True)
class HeadFitted(Event, kind="head"):
    """The head starts from a logistic regression on so many rows."""

    rows: int


@dataclass(frozen=True, kw_only=True)
class CheckpointDamaged(Event, kind="damage"):
    """A checkpoint is not as it was written, so training goes on from an earlier one, or starts again."""

    checkpoint: str
    problem: str
    goes_on_from: int | None
    """The updates that the earlier one has seen; None where there is none."""

    def __str__(self) -> str:
        then = "training starts again" if self.goes_on_from is None else f"training goes on from step {self.goes_on_from}"
        return f"the checkpoint {self.checkpoint} is damaged ({self.problem}), so {then}"


@dataclass(frozen=True, kw_only=True)
class TrainingStarted(Event, kind="start"):
    """Updates begin, or go on after `step` of `total`."""

    step: int
    total: int
    rows: int
    epochs: float


@dataclass(frozen=True, kw_only=True)
class UpdateMade(Event, kind="tick", in_file=False):
    """An update; for progress bars."""

    step: int
    total: int


@dataclass(frozen=True, kw_only=True)
class UpdateLogged(UpdateMade, kind="step"):
    """Every so many updates: the mean loss since the last one, the learning rate, the length of the gradient."""

    loss: float
    rate: float
    norm: float


@dataclass(frozen=True, kw_only=True)
class ValidationScores:
    """Scores of the validation rows that choose a checkpoint, without intervals: those of classes, or of numbers."""

    accuracy: float | None = None
    macro_f1: float | None = None
    mcc: float | None = None
    log_loss: float | None = None
    pearson: float | None = None
    spearman: float | None = None
    mean_absolute_error: float | None = None
    root_mean_squared_error: float | None = None
    r2: float | None = None
    shifts: Mapping[str, float] | None = None
    """Accuracy under each kind of shift, where the checkpoint is chosen by the worst of them."""
    worst_shift: float | None = None
    """The lowest of these and of the accuracy on the texts as they are."""

    @property
    def loss(self) -> float:
        """What falls as answers get better: the log-loss, or of numbers the root mean squared error."""
        return next((loss for loss in (self.log_loss, self.root_mean_squared_error) if loss is not None), math.inf)


@dataclass(frozen=True, kw_only=True)
class HistoryEntry(ValidationScores):
    """One evaluation during training, with means over the training rows since the last one."""

    step: int
    epoch: float
    train_loss: float
    train_accuracy: float
    """Of numbers R², by the variance of all training rows."""


@dataclass(frozen=True, kw_only=True)
class Evaluated(HistoryEntry, Event, kind="evaluation"):
    """The validation rows were scored; `best` where no earlier checkpoint is better."""

    best: bool


@dataclass(frozen=True, kw_only=True)
class RanksPruned(Event, kind="ranks"):
    """AdaLoRA has pruned: `live` of the `start` ranks are left."""

    step: int
    live: int
    start: int


@dataclass(frozen=True, kw_only=True)
class MemoryRanOut(Event, kind="memory"):
    """Training goes on with smaller micro-batches."""

    micro_batch_size: int


@dataclass(frozen=True, kw_only=True)
class Collapsed(Event, kind="collapse"):
    """The best weights give one answer to training rows of several classes."""

    answer: str
    rows: int
    """That were looked at."""
    right: int
    """Of them, by that answer."""
    hint: str
    """What to type next."""

    def __str__(self) -> str:
        return f"the classifier calls all of {self.rows} training rows '{self.answer}', which {self.right} are; {self.hint}"


@dataclass(frozen=True, kw_only=True)
class TrainingEnded(Event, kind="end"):
    """The last update is made; the weights are those of `best_step`."""

    step: int
    best_step: int
    training_seconds: float
