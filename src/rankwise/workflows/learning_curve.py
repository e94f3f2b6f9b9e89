"""A recipe trained on growing parts of its training rows → accuracy or R² against rows, and what more rows would bring.

The parts are nested and stratified, drawn anew for each seed; the validation rows, the same for every point, are scored, and
the test rows are never looked at. Error is taken to fall as a power law of the rows (`stats.power_law`), an accuracy has the
interval of a mean over seeds (`stats.seeds`), and a test holds how often both intervals hold the truth. Where a number is
estimated, R² stands in the place of accuracy, and 1 - R² in that of error.

What the intervals don't promise: that the law holds beyond the rows there are, or that a choice of checkpoint made on the
same validation rows flatters no score. A finished point is one JSON file in `OUT/points`, so a second call goes on.
Shapes: S sizes, K seeds, V validation rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, field, replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import numpy as np
from numpy.typing import NDArray

from rankwise.data.files.output import write_rows
from rankwise.data.files.rows import OutputRow
from rankwise.data.labelled import Labelled, read_labelled
from rankwise.data.splitting import nested_order
from rankwise.data.tasks import ONE_LABEL
from rankwise.errors import Damaged, DataError, RunError
from rankwise.recipe import Recipe
from rankwise.stats.intervals import Interval
from rankwise.stats.power_law import PowerLaw, deviations, fit_power_law, measured_errors
from rankwise.stats.seeds import Sample, mean_score
from rankwise.system.files import Stored, write_json
from rankwise.system.sealed import read_sealed, write_sealed
from rankwise.system.storage import make_folder
from rankwise.workflows.train import train_on

HALVINGS = 4  # of all training rows, where the caller names no sizes
LEAST_ROWS = 32  # of a size that nobody asked for
TIMES = (2, 4)  # the rows there are, for which the gain is predicted
LEAST_SIZES = 3  # as many as the law has numbers
WIDE, ENOUGH_SEEDS = 0.2, 5  # an interval of more gets a word about the seeds, where they are fewer
FAR = 3.0  # standard errors of a point from the law that say it does not hold

CURVE = ("rows", "seeds", "accuracy", "low", "high", "fitted", "seconds")  # columns of curve.csv; of numbers r2 is the third

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Point(Stored):
    """One training of the curve, at one size with one seed, as OUT/points/rows-R-seed-S.json holds it."""

    fingerprint: str
    """Of the recipe and the data, so that points of others are not mixed in."""
    rows: int
    seed: int
    seconds: float
    """Of training."""
    accuracy: float
    """Or R²."""
    right: str = field(repr=False)
    """A digit for each validation row: 1 for a right answer."""
    credit: tuple[float, ...] | None = field(default=None, repr=False)
    """Where a number is estimated, how right it is for each validation row, whose mean is R²."""

    @classmethod
    def of(cls, rows: int, seed: int, right: Bools | Floats, *, seconds: float, fingerprint: str) -> Self:
        """The point of a training that got some validation rows right (V,), or is so right about each of them."""
        if right.dtype == np.bool_:
            digits, credit = "".join("01"[hit] for hit in right.astype(int)), None
        else:
            digits, credit = "", tuple(right.round(6).tolist())
        return cls(fingerprint, rows, seed, seconds, float(right.mean()), digits, credit)

    def hits(self) -> Floats:
        """How right each validation row is (V,): 1 or 0, or its credit."""
        known = self.credit if self.credit is not None else [digit == "1" for digit in self.right]
        return np.array(known, dtype=np.float64)


@dataclass(frozen=True)
class Size:
    """A number of training rows, over all seeds."""

    rows: int
    accuracy: Interval
    fitted: float | None
    """The law's accuracy there; None without a law."""
    seconds: float
    """Training time, the mean over seeds."""


@dataclass(frozen=True)
class Gain:
    """What so many times the rows would add to accuracy, by the law."""

    times: int
    rows: int
    accuracy: Interval


@dataclass(frozen=True)
class LearningCurve:
    """Accuracy, or R², on the validation rows against training rows."""

    recipe: str
    validation_rows: int
    seeds: int
    confidence_level: float
    sizes: tuple[Size, ...]
    law: PowerLaw | None
    """None for fewer than LEAST_SIZES sizes."""
    gains: tuple[Gain, ...]
    notes: tuple[str, ...] = ()
    score: str = "accuracy"
    """Or r2."""


def learning_curve(
    recipe: Recipe,
    out: str | Path,
    *,
    rows: Sequence[int] = (),
    seeds: int = 1,
    labelled: Labelled | None = None,
    on_point: Callable[[Point, bool], object] | None = None,
) -> LearningCurve:
    """Train `recipe` on each number of rows (all, a half, … a sixteenth when left out) with so many seeds.

    Points that `out` has are taken from there; `on_point` hears of every point, and whether it was there. `labelled` are the
    recipe's files, where the caller has read them. Raises DataError for sizes that the data has not, RunError for a folder
    with points of another recipe or of other data.
    """
    labelled = labelled or read_labelled(recipe.data)
    sizes = _sizes(rows, len(labelled.train.texts), len(labelled.classes))
    # In these runs the test rows are the validation rows, scored in full precision and kept row by row; the true ones stay
    # untouched, and so that no ladder trains on the validation rows, they count as given. Nobody sees the runs: their folders
    # go once the points have their numbers.
    none_leaked = np.zeros(len(labelled.validation.texts), dtype=np.bool_)
    labelled = replace(labelled, test=labelled.validation, leaked=none_leaked, set_aside=False)
    fingerprint = f"{recipe.with_overrides(['train.seed=0']).fingerprint}:{labelled.sha256}"
    folder = make_folder(Path(out) / "points").parent
    points, notes = [], list[str]()
    for size, seed in product(sizes, range(recipe.train.seed, recipe.train.seed + seeds)):
        path = folder / "points" / f"rows-{size}-seed-{seed}.json"
        point, damaged = _kept(path)
        if damaged:
            notes.append(f"{damaged}, so that point was trained again")
        reused = point is not None
        if point is None:
            point = _trained(recipe, labelled, size, seed, folder, fingerprint)
            write_sealed(path, point)
        if point.fingerprint != fingerprint:
            raise RunError(f"{folder} has points of another recipe or of other data; give another --out")
        points.append(point)
        if on_point is not None:
            on_point(point, reused)
    curve = curve_of(points, recipe.name, confidence=recipe.evaluate.confidence, resamples=recipe.evaluate.resamples)
    curve = replace(curve, notes=(*curve.notes, *notes))
    write_json(folder / "curve.json", curve)
    lines: list[OutputRow] = []
    columns = [curve.score if column == "accuracy" else column for column in CURVE]
    for one in curve.sizes:
        shares = ["" if number is None else f"{number:.6f}" for number in (*astuple(one.accuracy), one.fitted)]
        lines.append(dict(zip(columns, (one.rows, curve.seeds, *shares, f"{one.seconds:.2f}"), strict=True)))
    write_rows(folder / "curve.csv", columns, lines)
    return curve


def _kept(path: Path) -> tuple[Point | None, str]:
    """The point that a file has, None where there is none; and what is wrong with a damaged one.

    Raises RunError for a point that is as it was written and can't be read, such as a newer rankwise's.
    """
    if not path.is_file():
        return None, ""
    try:
        return read_sealed(path, Point), ""
    except Damaged as damage:
        return None, str(damage).partition(";")[0]


def curve_of(
    points: Sequence[Point], name: str, *, confidence: float = 0.95, resamples: int = 1000, seed: int = 0
) -> LearningCurve:
    """The curve of points that have the same seeds at every size and the same validation rows."""
    sizes = sorted({point.rows for point in points})
    seeds = sorted({point.seed for point in points})
    right = {(point.rows, point.seed): point.hits() for point in points}
    cube = np.array([[right[rows, number] for number in seeds] for rows in sizes], dtype=np.float64)  # (S, K, V)
    rng, are_shares = np.random.default_rng(seed), points[0].credit is None
    errors = measured_errors(np.array(sizes, dtype=np.float64), cube, resamples=resamples, rng=rng, are_shares=are_shares)
    name_of_score, least = ("accuracy", 0.0) if are_shares else ("R²", -np.inf)

    law, gains, notes = None, [], []
    if len(sizes) >= LEAST_SIZES:
        fit = fit_power_law(errors, rng)
        law = fit.law
        gains = [Gain(times, times * sizes[-1], fit.gain(sizes[-1], times, confidence)) for times in TIMES]
        off = deviations(law, errors)
        if off.max() > FAR:
            notes.append(
                f"the {name_of_score} at {sizes[int(off.argmax())]:,} rows is {off.max():.0f} standard errors from the law, "
                "so it may not hold; leave the smallest sizes out: --rows"
            )
    else:
        notes.append(f"{len(sizes)} size(s) say nothing of more rows; type three or more: --rows 100,200,400")
    if len(seeds) == 1:
        notes.append("one seed: the intervals know of validation rows only, not of chance in training; type --seeds 3")
    accuracies = [
        mean_score(Sample(1 - errors.by_seed[index], 1 - errors.resampled[:, index]), least=least, confidence=confidence)
        for index in range(len(sizes))
    ]
    widest = max(accuracy.width for accuracy in accuracies)
    if 1 < len(seeds) < ENOUGH_SEEDS and widest > WIDE:
        notes.append(
            f"{len(seeds)} seeds leave an {name_of_score} uncertain by {100 * widest:.0f} points; more narrow it: type "
            f"--seeds {ENOUGH_SEEDS}"
        )
    seconds = {rows: float(np.mean([point.seconds for point in points if point.rows == rows])) for rows in sizes}
    return LearningCurve(
        recipe=name,
        validation_rows=cube.shape[2],
        seeds=len(seeds),
        confidence_level=confidence,
        sizes=tuple(
            Size(rows, accuracy, 1 - law.error(rows) if law else None, seconds[rows])
            for rows, accuracy in zip(sizes, accuracies, strict=True)
        ),
        law=law,
        gains=tuple(gains),
        notes=tuple(notes),
        score="accuracy" if are_shares else "r2",
    )


def _sizes(wanted: Sequence[int], there: int, classes: int) -> list[int]:
    if not wanted:
        halves = [there // 2**power for power in range(HALVINGS, -1, -1)]
        return [rows for rows in halves if rows >= LEAST_ROWS] or [there]
    for rows in sorted(set(wanted)):
        if not classes <= rows <= there:
            raise DataError(
                f"--rows {rows}: expected {classes} (a row for each class) to {there:,}, the training rows there are"
            )
    return sorted(set(wanted))


def _trained(recipe: Recipe, labelled: Labelled, rows: int, seed: int, folder: Path, fingerprint: str) -> Point:
    """The point of a training on the first `rows` of the seed's order, whose run is in `folder` while it lasts."""
    assert labelled.train.labels is not None
    strata: Sequence[str] | NDArray[np.int64] = labelled.train.labels
    if labelled.task.name not in ONE_LABEL:
        strata = labelled.task.strata(labelled.task.parse(labelled.train, labelled.numbering, recipe.data))
    indices = np.sort(nested_order(strata, seed)[:rows])
    part = replace(labelled, train=labelled.train.take(indices))
    with TemporaryDirectory(prefix="training-", dir=folder) as run_folder:
        run = train_on(part, recipe.with_overrides([f"train.seed={seed}", "evaluate.baselines=false"]), run_folder)
        if run.facts.ladder is not None and run.facts.ladder.interrupted:  # it hands over a rung, which is no point of ours
            raise KeyboardInterrupt
        scored = run.scored_rows()
        told, truth = scored.probabilities.astype(np.float64), scored.truth
        right: Bools | Floats = run.task.right(told, truth)
        if not run.task.has_classes:
            known = ~np.isnan(truth)
            right = run.task.credit(told[known], truth[known])
        return Point.of(rows, seed, right, seconds=run.facts.seconds.training, fingerprint=fingerprint)
