"""decision.json: what `rankwise decide` made of a run, beside the run's own files, with a digest of its own.

Whatever predicts reads it, so nothing heavy is imported here. Shares are 0 to 1.
"""

from dataclasses import dataclass
from pathlib import Path

from rankwise.errors import RunError, as_typed
from rankwise.inference.decision import Rule
from rankwise.run.manifest import SCORES
from rankwise.stats.intervals import Interval
from rankwise.system.files import Stored, sha256
from rankwise.system.sealed import read_sealed, write_sealed
from rankwise.system.storage import told_refusals

DECISION = "decision.json"


@dataclass(frozen=True)
class Measured:
    """Log-loss in nats and calibration error of the test rows, as the classifier told them and as they were calibrated."""

    log_loss: Interval
    calibration_error: Interval
    log_loss_calibrated: Interval
    calibration_error_calibrated: Interval


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What a rule does on some rows."""

    rows: int
    answered: int
    wrong: int
    """Of those that are answered; a number that its range does not hold."""
    coverage: Interval
    """Share of rows that are answered; exact binomial."""
    error: Interval
    """Share of the answers that are wrong; exact binomial."""
    error_bound: float
    """The 95 % upper bound of that, exact binomial: one-sided."""
    cost: Interval | None = None
    """The mean cost of a text, where costs decide; a bootstrap interval."""
    cost_without: float | None = None
    """What it would be if the likeliest class were always answered."""
    holds: Interval | None = None
    """Share of rows whose set holds the true class, or whose range holds the true number; exact binomial."""
    set_size: float | None = None
    """Mean number of classes in a set, or how wide a range is on the average."""
    unlike: int = 0
    """Rows that are unlike the training texts."""


@dataclass(frozen=True, kw_only=True)
class Decision(Stored):
    """A rule, what was asked for, and what it came to on the rows that chose it and on the test rows."""

    classes: tuple[str, ...]
    run: str
    """sha256 of the run's scores.json, by which a decision is known to be of this run."""
    asked: str
    """In words: `at most 2 % of the answers wrong`."""
    wanted: float | None
    """The error, coverage or probability that was asked for; None for costs."""
    chosen_on: str
    """Which rows chose: `374 validation rows`."""
    folds: int
    """How many folds' classifiers told of these rows; 0 where the run's own did."""
    rule: Rule
    promised: Answers
    """On the rows that chose."""
    verified: Answers
    """On the test rows."""
    calibration: Measured | None
    """None of numbers."""
    looks: int
    """How many decisions were verified on these test rows, this one included."""
    verdict: str
    max_error: float | None = None
    """Share of the answers that may be wrong, where that was asked for,"""
    sets: float | None = None
    """and probability with which a set or a range is to hold the true one."""


def read_decision(folder: Path, classes: tuple[str, ...]) -> Decision | None:
    """A run's decision; None where none was made. Raises RunError for one that is of another run."""
    path = folder / DECISION
    if not path.is_file():
        return None
    decision, count, again = read_sealed(path, Decision), len(classes), f"make it again: rankwise decide {as_typed(folder)}"
    if decision.classes != classes or decision.run != sha256(folder / SCORES):
        raise RunError(f"{path} is of another run; {again}, or delete it")
    scaling, costs, reach = decision.rule.scaling, decision.rule.costs, decision.rule.reach
    if len(scaling.bias) not in (0, count) or scaling.temperature <= 0:
        raise RunError(f"{path}: its scaling is of no {count} classes; {again}")
    if costs is not None and [len(row) for row in costs.of_answers] != [count] * count:
        raise RunError(f"{path}: its costs are of no {count} classes; {again}")
    if reach is not None and not 0 <= reach < float("inf"):
        raise RunError(f"{path}: its ranges reach {reach:g}; {again}")
    return decision


def write_decision(folder: Path, decision: Decision) -> Path:
    """Write decision.json into a run's folder, whole or not at all. Raises StorageError where it takes no file."""
    path = folder / DECISION
    with told_refusals(path, "free room there, or copy the run to a folder of yours"):
        write_sealed(path, decision)
    return path
