"""Where a training stands: updates made, evaluations so far, which of them is the best."""

import math
from dataclasses import dataclass, field

from rankwise.recipe import TrainSpec
from rankwise.stats.score_names import MINIMISED
from rankwise.training.events import HistoryEntry, ValidationScores


@dataclass
class Progress:
    """Where training stands; a checkpoint holds it as JSON."""

    step: int = 0
    """Updates made."""
    epoch: int = 0
    batch: int = 0
    """Updates made within the epoch."""
    fraction: float = 0.0
    """How much of the schedule is behind."""
    stale: int = 0
    """Evaluations since the best."""
    stalls: int = 0
    """Evaluations, of all, that were no better than the best before them."""
    best: HistoryEntry | None = None
    history: list[HistoryEntry] = field(default_factory=list)
    """Every evaluation so far."""
    training_seconds: float = 0.0
    """Spent in training and evaluation, over all resumed parts."""
    recomputes: bool | None = None
    """Whether frozen layers run for every update, for want of room for what they give; None in older checkpoints."""

    @property
    def chosen(self) -> HistoryEntry:
        """The evaluation whose weights are kept; there is one after the last update."""
        assert self.best is not None, "nothing was evaluated yet"
        return self.best

    def note_update(self, epoch: int, batch: int) -> None:
        """An update was made, from batch number `batch` of an epoch."""
        self.step, self.epoch, self.batch = self.step + 1, epoch, batch + 1

    def note_evaluation(self, entry: HistoryEntry, spec: TrainSpec, *, can_be_best: bool) -> None:
        """Take in an evaluation, and whether it is the best.

        On few validation rows scores are often equal; then the one with the lower loss is the better.
        """
        self.history.append(entry)
        if not can_be_best:
            return
        sign = -1 if spec.select_by in MINIMISED else 1
        min_delta = spec.early_stop.min_delta if spec.early_stop else 0.0
        gain = sign * (getattr(entry, spec.select_by) - getattr(self.best, spec.select_by)) if self.best else math.inf
        if gain > min_delta:
            self.best, self.stale = entry, 0
            return
        if gain == 0 and self.best and entry.loss < self.best.loss:
            self.best = entry
        self.stale += 1
        self.stalls += 1

    def has_stalled(self, spec: TrainSpec) -> bool:
        """Whether the recipe stops early here."""
        return spec.early_stop is not None and self.stale >= spec.early_stop.patience


class Meter:
    """Running loss and accuracy of the training rows, between logs and between evaluations."""

    def __init__(self) -> None:
        self.recent: list[float] = []
        self.losses: list[float] = []
        self.right, self.rows = 0.0, 0

    def add(self, loss: float, right: float, rows: int) -> None:
        self.recent.append(loss)
        self.losses.append(loss)
        self.right += right
        self.rows += rows

    def recent_loss(self) -> float:
        """The mean loss since this was last asked."""
        mean = _mean(self.recent)
        self.recent.clear()
        return mean

    def entry(self, step: int, epoch: float, scores: ValidationScores) -> HistoryEntry:
        """The evaluation after an update: its scores, with loss and accuracy of the training rows since the last one."""
        entry = HistoryEntry(
            step=step,
            epoch=round(epoch, 3),
            train_loss=_mean(self.losses),
            train_accuracy=round(self.right / max(1, self.rows), 6),
            **vars(scores),
        )
        self.losses.clear()
        self.right, self.rows = 0.0, 0
        return entry


def _mean(losses: list[float]) -> float:
    return round(sum(losses) / max(1, len(losses)), 6)
