"""What the files of a run folder hold: one schema, which writers and readers share. README lists the files, and
`run.manifest`, which is read first, has the manifest's.

Sizes are bytes, durations seconds, shares 0 to 1. A key that is None by default is left out of its file where it is None.
"""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rankwise.data.lengths import Lengths
from rankwise.errors import RunError, require
from rankwise.recipe.recipe import COUNTED_WORDS
from rankwise.stats.intervals import Interval
from rankwise.stats.scores import BaselineScores, ScoresWithMistakes
from rankwise.system.files import Stored
from rankwise.training.events import HistoryEntry

SHIFT = "shift.json"  # added later, beside a run's own files; its manifest names those alone
PACKAGES = (
    "rankwise",
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "tokenizers",
    "safetensors",
    "numpy",
    "scikit-learn",
    "skops",
)


@dataclass(frozen=True, kw_only=True)
class RungFacts:
    """A rung of a ladder: what it trains, and what it reached on rows that it did not train on."""

    rung: str
    trained_parameters: int
    accuracy: float
    """The mean of what the task credits each row with, `Task.credit_name`: of numbers R²."""
    log_loss: float | None
    """None where a number is estimated."""
    took: float
    """Seconds that trying it took."""
    gain: float | None = None
    """Points of accuracy over the best rung below, on the same rows."""
    deviation: float | None = None
    """The gain's standard deviation, in points."""
    expected_gain: float | None = None
    """Points to be expected on other rows: the gain measured, weighed with what is usual."""
    handed_over: bool = False

    @property
    def reached(self) -> str:
        """How right it is, in words: `84.1%`."""
        return f"{'R² ' if self.log_loss is None else ''}{self.accuracy:.1%}"

    @property
    def gained(self) -> str:
        """`+2.8 ± 0.8`, in points; empty where nothing is below it."""
        return "" if self.gain is None else f"{self.gain:+.1f} ± {self.deviation:.1f}"

    @property
    def pays(self) -> bool:
        """Whether it is better than what is below it; the first one is."""
        return self.expected_gain is None or self.expected_gain > 0


@dataclass(frozen=True)
class LadderFacts:
    """How a run's rung was chosen."""

    asked: Mapping[str, Any]
    """The recipe that was climbed; the run's own is that of the rung handed over."""
    folds: int
    """How many folds of all labelled rows held the rungs against each other; 0 where the validation rows did."""
    rows: int
    """Held out to do so."""
    rungs: tuple[RungFacts, ...]
    """In the order in which they were tried."""
    ended: str = ""
    """Why no further rung was tried where another one was due: it was interrupted, or there was no time."""
    interrupted: bool = False
    """Whether it was interrupted, so that resuming goes on with the climb."""

    @property
    def handed_over(self) -> RungFacts:
        """The rung whose classifier the run holds."""
        return next(rung for rung in self.rungs if rung.handed_over)

    @property
    def where(self) -> str:
        """On what the rungs were held against each other."""
        return f"{self.rows:,} rows in {self.folds} folds" if self.folds else f"{self.rows:,} validation rows"

    @property
    def verdict(self) -> str:
        """Whether going on from the first rung was worth it, and what ended the climb, in a line; may be empty."""
        return "; ".join(filter(None, [self._worth, self.ended]))

    @property
    def _worth(self) -> str:
        handed, frozen = self.handed_over, len(self.rungs) > 2 and self.rungs[0].rung == COUNTED_WORDS
        first, *others = self.rungs[1 if frozen and handed != self.rungs[0] else 0 :]  # of two frozen rungs the encoder's
        if not others:
            return ""
        to = max(others, key=lambda rung: rung.accuracy) if handed == first else handed
        told = f"{100 * first.accuracy:.1f} to {100 * to.accuracy:.1f} % for {sum(rung.took for rung in others):.0f} s"
        if handed != first and handed.accuracy <= first.accuracy:
            return f"going beyond {first.rung} gained nothing on these rows: {told}; but it usually does"
        return f"going beyond {first.rung} was {'not ' if handed == first else ''}worth it here: {told}"


@dataclass(frozen=True)
class BaseFacts:
    """The encoder that was trained on top of."""

    name: str
    hub: str | None
    """Its name on the Hugging Face hub, where it has one."""
    revision: str | None
    sha256: str | None
    """Of its weights, where they are one file."""
    path: str | None
    """Its folder, relative to the run's; None for one of the hub."""


@dataclass(frozen=True)
class TrainedParameters:
    """How many parameters trained: as the plan says, and as counted in the live model."""

    planned: int
    counted: int


@dataclass(frozen=True)
class Seconds:
    """How long the run took, all resumed parts together."""

    training: float
    """Updates and evaluations."""
    all: float
    """From the start of the process to the scores."""


@dataclass(frozen=True)
class Promised:
    """What the forecast said before the first update."""

    seconds: float
    peak_bytes: int
    updates: int


@dataclass(frozen=True)
class Actual:
    """What was measured of that, where the system tells it."""

    peak_bytes: int | None


@dataclass(frozen=True)
class RowCounts:
    """Rows of the splits, as trained and scored on."""

    train: int
    validation: int
    test: int


@dataclass(frozen=True, kw_only=True)
class RunFacts(Stored):
    """run.json: what was trained, on what, and what it took."""

    format: int
    base: BaseFacts
    data_sha256: str
    """Of every text and label of the three splits, in order."""
    trained_parameters: TrainedParameters
    ranks: Mapping[str, int] | None = None
    """The ranks that pruning left, by module; None for methods that keep theirs."""
    best: HistoryEntry
    """The evaluation whose weights were kept."""
    steps: int
    """Updates made."""
    stopped_early: bool
    seconds: Seconds
    promised: Promised
    actual: Actual
    rows: RowCounts
    token_lengths: Lengths
    """Of the training texts."""
    threads: int
    precision: str
    processes: int
    device: str
    notes: tuple[str, ...]
    ladder: LadderFacts | None = None
    """How the rung was chosen, where the recipe has rungs."""
    scripts: Mapping[str, int] | None = None
    """How many training texts are mostly in each script; None of an adopted run, or one of an older rankwise."""

    def climbed(self, ladder: LadderFacts, *, seconds: float, peak_bytes: int, data_sha256: str) -> Self:
        """The facts of a rung as those of the whole climb: its data, what was promised, of seconds for what was tried."""
        return replace(
            self,
            ladder=ladder,
            data_sha256=data_sha256,
            promised=replace(self.promised, seconds=round(seconds, 1), peak_bytes=peak_bytes),
            notes=(*self.notes, *filter(None, [ladder.verdict])),
        )


@dataclass(frozen=True)
class CleanScores:
    """Scores of those test rows whose texts are not in training."""

    accuracy: Interval
    macro_f1: Interval
    more: Mapping[str, Interval] | None = None
    """Those of a number, where one is estimated."""

    def named(self, name: str) -> Interval:
        """A score by its name."""
        score: Interval = (self.more or {})[name] if name in (self.more or {}) else getattr(self, name)
        return score


@dataclass(frozen=True, kw_only=True)
class RunScores(Stored):
    """scores.json: the test scores beside the baselines', and every evaluation during training."""

    classes: tuple[str, ...]
    test: ScoresWithMistakes
    validation: HistoryEntry
    """The evaluation whose weights were kept."""
    baselines: Mapping[str, BaselineScores]
    history: tuple[HistoryEntry, ...]
    test_not_in_training: CleanScores | None = None
    """Where some, not all, of the test texts are in training too."""

    @property
    def agrees(self) -> bool:
        """Whether the test rows' scores and the baselines' are of these classes."""
        count = len(self.classes)
        return bool(self.history) and all(
            tuple(row.name for row in scores.per_class) == (self.classes if count > 1 else ())  # one is a number, not a class
            and [len(row) for row in scores.confusion] in ([count] * count, [])  # which several labels a text do not have
            for scores in (self.test, *self.baselines.values())
        )


@dataclass(frozen=True)
class ScoredRows:
    """What a run said of each row that it did not train on, so that runs can be compared row by row: N rows, C classes.

    The file has labels by name: one, or a list of those that a text has, null where they are not known. Where some are known
    of a text and some are not, as those of a label column whose cell is empty, `known` says which, class by class.
    """

    rows: NDArray[np.int64]
    """(N,) numbers of the rows in the test file, as its source counts them."""
    truth: NDArray[Any]
    """As the run's task has labels: class numbers (N,), or which classes a text has (N, C), -1 where one is not known; or
    numbers (N,), NaN where one is not known.
    """
    probabilities: NDArray[np.float32]
    """(N, C), or the numbers that the classifier gives, before they are held within bounds, (N, 1)."""
    energy: NDArray[np.float32] | None = None
    """(N,) -log Σ exp of the logits, which probabilities no longer tell (`inference.decision`); None where nobody knows."""

    @property
    def logits(self) -> NDArray[np.float64]:
        """(N, C), but for a constant in each row."""
        return np.log(np.maximum(self.probabilities.astype(np.float64), np.finfo(np.float32).tiny))

    def write(self, path: Path, classes: Sequence[str]) -> None:
        pa, parquet = (require(module, extra="train") for module in ("pyarrow", "pyarrow.parquet"))
        if self.truth.dtype.kind == "f":
            numbers = {"row": self.rows, "label": self.truth, "estimated": self.probabilities[:, 0]}
            parquet.write_table(pa.table({name: pa.array(column) for name, column in numbers.items()}), path)
            return
        width = self.probabilities.shape[1]
        flat = pa.array(np.ascontiguousarray(self.probabilities).reshape(-1))
        if self.truth.ndim == 1:
            labels = pa.array([classes[label] if label >= 0 else None for label in self.truth], pa.string())
        else:
            named = [
                None if row.max() < 0 else [classes[at] for at in np.flatnonzero(row == 1).tolist()] for row in self.truth
            ]
            labels = pa.array(named, pa.list_(pa.string()))
        known = self.truth >= 0
        part_known = known.ndim > 1 and bool((known.any(axis=1) & ~known.all(axis=1)).any())
        columns = {
            "row": pa.array(self.rows),
            "label": labels,
            **({"known": pa.FixedSizeListArray.from_arrays(pa.array(known.reshape(-1)), width)} if part_known else {}),
            "probabilities": pa.FixedSizeListArray.from_arrays(flat, width),
            **({} if self.energy is None else {"energy": pa.array(self.energy)}),
        }
        parquet.write_table(pa.table(columns), path)

    @classmethod
    def read(cls, path: Path, classes: Sequence[str]) -> Self:
        """What `write` wrote. Raises RunError for a file that is none, or is of other classes."""
        pa, parquet = (require(module, extra="train") for module in ("pyarrow", "pyarrow.parquet"))
        try:
            table = parquet.read_table(path)
        except (pa.ArrowException, OSError) as error:
            raise RunError(f"{path}: no Parquet file that can be read; copy the run folder again") from error
        kinds = dict(zip(table.schema.names, table.schema.types, strict=True))
        if kinds.get("label") == pa.float64() and len(classes) == 1:
            return cls._of_numbers(path, table, kinds)
        scores = kinds.get("probabilities")
        shape = (scores.list_size, scores.value_type) if isinstance(scores, pa.FixedSizeListType) else None
        labels, several = kinds.get("label"), pa.list_(pa.string())
        fits = kinds.get("row") == pa.int64() and labels in (pa.string(), several) and shape == (len(classes), pa.float32())
        fits &= kinds.get("energy", pa.float32()) == pa.float32()
        fits &= "known" not in kinds or kinds["known"] == pa.list_(pa.bool_(), len(classes))
        if not fits or any(table[name].null_count for name in ("row", "known", "probabilities", "energy") if name in kinds):
            raise RunError(f"{path}: its columns are not those of {len(classes)} classes; copy the run folder again")
        numbers = {name: number for number, name in enumerate(classes)}
        given = table["label"].to_pylist()
        if labels == several:
            truth = np.array([[-1 if row is None else int(name in row) for name in classes] for row in given], dtype=np.int64)
            truth = truth.reshape(len(given), len(classes))
            if "known" in kinds:
                known = table["known"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
                truth[~known.reshape(truth.shape)] = -1
        else:
            truth = np.array([numbers.get(label, -1) for label in given], dtype=np.int64)
        flat = table["probabilities"].combine_chunks().flatten().to_numpy()
        energy = table["energy"].to_numpy() if "energy" in kinds else None
        return cls(table["row"].to_numpy(), truth, flat.reshape(len(table), -1), energy)

    @classmethod
    def _of_numbers(cls, path: Path, table: Any, kinds: Mapping[str, Any]) -> Self:
        """The rows of a run that estimates a number. Raises RunError for other columns than those."""
        pa = require("pyarrow", extra="train")
        fits = (kinds.get("row"), kinds.get("estimated")) == (pa.int64(), pa.float32())
        if not fits or any(table[name].null_count for name in kinds):
            raise RunError(f"{path}: its columns are not those of a number; copy the run folder again")
        row, truth, estimated = (table[name].to_numpy() for name in ("row", "label", "estimated"))
        return cls(row, truth, estimated[:, None])


@dataclass(frozen=True)
class Started(Stored):
    """started.json: the recipe and data of a run that is not finished, so that resuming can compare."""

    recipe: Mapping[str, Any]
    data_sha256: str


def versions() -> dict[str, str]:
    """versions.json: of everything that computes a run; `unknown` for what is not installed."""
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": platform.system(),
        **{package: next((found.version for found in distributions(name=package)), "unknown") for package in PACKAGES},
    }


@dataclass(frozen=True)
class KindScores:
    """One kind of shift; `original` is none."""

    kind: str
    rows: int
    changed: int
    """Rows whose tokens it changes."""
    accuracy: Interval
    macro_f1: Interval
    drop: Interval
    """Accuracy, or R², on the rows as they are minus that under the shift, paired."""
    example: str
    """What it makes of the report's text; empty where texts are not kept."""
    r2: Interval | None = None
    """Of a number, which has no accuracy,"""
    pearson: Interval | None = None
    """nor macro-F1."""


@dataclass(frozen=True)
class ShiftReport(Stored):
    """shift.json: the scores under each kind of shift on the same rows, `original` first."""

    source: str
    """The rows' file or hub data set."""
    rows: int
    confidence_level: float
    text: str
    """One of them, short, which most kinds change; empty where texts are not kept."""
    kinds: tuple[KindScores, ...]

    @property
    def of_numbers(self) -> bool:
        """Whether a number is estimated."""
        return self.kinds[0].r2 is not None

    @property
    def worst(self) -> KindScores:
        """The kind that costs most accuracy, or R²; the first of equals."""
        return max(self.kinds[1:], key=lambda kind: kind.drop.value or 0.0)
