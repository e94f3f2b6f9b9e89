"""A recipe trained on growing parts of its training rows → accuracy against rows, and what more rows would bring.

The parts are nested and stratified, drawn anew for each seed; the validation rows, the same for every point, are scored, and
the test rows are never looked at. Error is taken to fall as a + b·n^-c with the rows n (Hestness et al., arXiv 1712.00409),
fitted by weighted least squares. An accuracy has the interval that `significance` gives a mean over seeds; a gain has that of
laws fitted again to resampled validation rows, with seeds added as a multivariate t distribution has them: two or three are
too few to draw from. A test holds how often both hold the truth.

What the intervals don't promise: that the law holds beyond the rows there are, or that a choice of checkpoint made on the
same validation rows flatters no score. A finished point is one JSON file in `OUT/points`, so a second call goes on.
Shapes: S sizes, K seeds, V validation rows, R resamples.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankwise.data.prepare import Labelled, nested_order, read, take
from rankwise.errors import DataError, RunError
from rankwise.recipe import Recipe
from rankwise.run.folder import write_json
from rankwise.stats.scores import Interval
from rankwise.stats.significance import Sample, mean_score
from rankwise.system.files import make_folder
from rankwise.workflows.train import digest, train

HALVINGS = 4  # of all training rows, where no sizes are given
LEAST_ROWS = 32  # of a size that nobody asked for
TIMES = (2, 4)  # the rows there are, for which the gain is told
LEAST_SIZES = 3  # as many as the law has numbers
EXPONENTS = np.geomspace(0.05, 2.0, 75)  # c is searched among them; a and b follow for each
WIDE, ENOUGH_SEEDS = 0.2, 5  # an interval of more gets a word about the seeds, where they are fewer
FAR = 3.0  # standard errors of a point from the law that say it does not hold

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Point:
    """One training."""

    rows: int
    seed: int
    right: Bools = field(repr=False)
    """(V,) which validation rows it got right."""
    seconds: float
    """Of training."""


@dataclass(frozen=True)
class Size:
    """A number of training rows, over all seeds."""

    rows: int
    accuracy: Interval
    fitted: float | None
    """The law's accuracy there; None without a law."""
    seconds: float
    """Mean of the seeds."""


@dataclass(frozen=True)
class Law:
    """error = a + b·n^-c: `a` is what no number of rows takes away."""

    a: float
    b: float
    c: float

    def error(self, rows: float) -> float:
        return float(self.a + self.b * rows**-self.c)


@dataclass(frozen=True)
class Gain:
    """What so many times the rows would add to accuracy, by the law."""

    times: int
    rows: int
    accuracy: Interval


@dataclass(frozen=True)
class LearningCurve:
    """Accuracy on the validation rows against training rows."""

    recipe: str
    validation_rows: int
    seeds: int
    confidence_level: float
    sizes: tuple[Size, ...]
    law: Law | None
    """None for fewer than LEAST_SIZES sizes."""
    gains: tuple[Gain, ...]
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        sizes = [{**vars(size), "accuracy": size.accuracy.as_dict()} for size in self.sizes]
        gains = [{**vars(gain), "accuracy": gain.accuracy.as_dict()} for gain in self.gains]
        return {**vars(self), "sizes": sizes, "gains": gains, "law": vars(self.law) if self.law else None}


def learning_curve(
    recipe: Recipe,
    out: str | Path,
    *,
    rows: Sequence[int] = (),
    seeds: int = 1,
    labelled: Labelled | None = None,
    on_point: Callable[[Point, bool], object] | None = None,
) -> LearningCurve:
    """Train `recipe` on each number of rows (all, a half, … a sixteenth when none are given) with each of so many seeds.

    Points that `out` has are taken from there; `on_point` hears of each, and whether it was there. `labelled` are the
    recipe's files, where the caller has read them. Raises DataError for sizes that the data has not, RunError for a folder
    with points of another recipe or of other data.
    """
    labelled = labelled or read(recipe.data)
    sizes = _sizes(rows, len(labelled.train.texts), len(labelled.classes))
    # In these runs the test rows are the validation rows, scored in full precision and kept row by row; the true ones stay
    # untouched. Nobody sees the runs: their folders go once the points have their numbers.
    labelled = replace(labelled, test=labelled.validation, leaked=np.zeros(len(labelled.validation.texts), dtype=np.bool_))
    fingerprint = f"{recipe.with_overrides(['train.seed=0']).fingerprint}:{digest(labelled)}"
    folder = make_folder(Path(out) / "points").parent
    points = []
    for size, seed in product(sizes, range(recipe.train.seed, recipe.train.seed + seeds)):
        path = folder / "points" / f"rows-{size}-seed-{seed}.json"
        reused = path.is_file()
        point = _read(path, fingerprint) if reused else _trained(recipe, labelled, size, seed, folder)
        if not reused:
            _write(path, point, fingerprint)
        points.append(point)
        if on_point is not None:
            on_point(point, reused)
    found = curve_of(points, recipe.name, confidence=recipe.evaluate.confidence, resamples=recipe.evaluate.resamples)
    write_json(folder / "curve.json", found.as_dict())
    return found


def curve_of(
    points: Sequence[Point], name: str, *, confidence: float = 0.95, resamples: int = 1000, seed: int = 0
) -> LearningCurve:
    """The curve of points that have the same seeds at every size and the same validation rows."""
    sizes = sorted({point.rows for point in points})
    seeds = sorted({point.seed for point in points})
    right = {(point.rows, point.seed): point.right for point in points}
    cube = np.array([[right[rows, number] for number in seeds] for rows in sizes], dtype=np.float64)  # (S, K, V)
    by_seed = 1 - cube.mean(axis=2)  # (S, K)
    errors = by_seed.mean(axis=1)  # (S,)
    rng = np.random.default_rng(seed)
    drawn = _resampled(cube, resamples, rng)  # (R, S, K)
    weights = 1 / np.maximum(errors * (1 - errors), 1e-4)  # a share varies as its e·(1 - e)

    law, gains, notes = None, [], []
    numbers = np.array(sizes, dtype=np.float64)
    if len(sizes) >= LEAST_SIZES:
        law = Law(*(float(value[0]) for value in fit_law(numbers, errors[None], weights)))
        again = fit_law(numbers, _with_seeds(drawn.mean(axis=2), by_seed, rng), weights)
        gains = [_gain(times, sizes[-1], law, again, confidence) for times in TIMES]
        of_seeds = by_seed.var(axis=1, ddof=1) / len(seeds) if len(seeds) > 1 else 0.0
        spread = np.sqrt(drawn.mean(axis=2).var(axis=0) + of_seeds)  # (S,), 0 where no row was ever wrong
        least = (errors * cube.shape[2] + 0.5) / (cube.shape[2] + 1)
        spread = np.where(spread > 0, spread, np.sqrt(least * (1 - least) / cube.shape[2]))
        off = np.abs(errors - [law.error(rows) for rows in sizes]) / spread
        if off.max() > FAR:
            notes.append(
                f"the accuracy at {sizes[int(off.argmax())]:,} rows is {off.max():.0f} standard errors from the law, so it "
                "may not hold; leave the smallest sizes out: --rows"
            )
    else:
        notes.append(f"{len(sizes)} size(s) say nothing of more rows; type three or more: --rows 100,200,400")
    if len(seeds) == 1:
        notes.append("one seed: the intervals know of validation rows only, not of chance in training; type --seeds 3")
    accuracies = [
        mean_score(Sample(1 - by_seed[place], 1 - drawn[:, place]), confidence=confidence) for place in range(len(sizes))
    ]
    widest = max((found.high or 0.0) - (found.low or 0.0) for found in accuracies)
    if 1 < len(seeds) < ENOUGH_SEEDS and widest > WIDE:
        notes.append(
            f"{len(seeds)} seeds leave an accuracy uncertain by {100 * widest:.0f} points; more narrow it: type --seeds "
            f"{ENOUGH_SEEDS}"
        )
    seconds = {rows: float(np.mean([point.seconds for point in points if point.rows == rows])) for rows in sizes}
    return LearningCurve(
        recipe=name,
        validation_rows=cube.shape[2],
        seeds=len(seeds),
        confidence_level=confidence,
        sizes=tuple(
            Size(rows, accuracies[place], 1 - law.error(rows) if law else None, seconds[rows])
            for place, rows in enumerate(sizes)
        ),
        law=law,
        gains=tuple(gains),
        notes=tuple(notes),
    )


def fit_law(rows: Floats, errors: Floats, weights: Floats) -> tuple[Floats, Floats, Floats]:
    """a, b and c of error = a + b·n^-c, each (R,), to errors (R, S) at rows (S,), least squares under weights (S,).

    a and b are at least 0, c is one of EXPONENTS; for each c the best a and b are known in closed form.
    """
    best = np.full(len(errors), np.inf)
    found = np.zeros((3, len(errors)))
    total, mean = weights.sum(), errors @ weights / weights.sum()  # mean (R,)
    for c in EXPONENTS:
        x = (rows / rows[-1]) ** -c  # (S,), 1 at the most rows
        centre = x @ weights / total
        b = ((errors - mean[:, None]) * weights) @ (x - centre) / (weights @ (x - centre) ** 2)  # (R,)
        a = mean - b * centre
        through_zero = (errors * weights) @ x / (weights @ x**2)
        a, b = np.where(a < 0, 0.0, a), np.where(a < 0, through_zero, b)
        a, b = np.where(b < 0, mean, a), np.maximum(b, 0.0)
        loss = ((errors - a[:, None] - b[:, None] * x) ** 2) @ weights  # (R,)
        better = loss < best
        best = np.where(better, loss, best)
        found = np.where(better, np.stack([a, b * rows[-1] ** c, np.full(len(errors), c)]), found)
    return found[0], found[1], found[2]


def _resampled(cube: Floats, resamples: int, rng: np.random.Generator) -> Floats:
    """Errors of every size and seed on validation rows drawn with replacement, (R, S, K): the same draw for all of them."""
    sizes, seeds, rows = cube.shape
    flat = cube.reshape(sizes * seeds, rows)
    found = np.empty((resamples, sizes * seeds))
    for place in range(resamples):
        found[place] = 1 - flat @ rng.multinomial(rows, np.full(rows, 1 / rows)) / rows
    return found.reshape(resamples, sizes, seeds)


def _with_seeds(drawn: Floats, by_seed: Floats, rng: np.random.Generator) -> Floats:
    """Mean errors (R, S) moved as other seeds would move them, given the errors (S, K) of K seeds.

    A seed's distance from the mean at all sizes at once, times a draw of a t distribution with K - 1 degrees of freedom that
    the seeds of a resample share: over the resamples any weighted sum of sizes has the t interval of its mean over seeds.
    """
    seeds = by_seed.shape[1]
    if seeds == 1:
        return drawn
    apart = by_seed - by_seed.mean(axis=1, keepdims=True)  # (S, K)
    shares = rng.normal(size=(len(drawn), seeds)) / np.sqrt(rng.chisquare(seeds - 1, size=(len(drawn), 1)) / (seeds - 1))
    moved: Floats = drawn + shares @ apart.T / np.sqrt(seeds * (seeds - 1))
    return moved.clip(0.0, 1.0)


def _gain(times: int, rows: int, law: Law, again: tuple[Floats, Floats, Floats], confidence: float) -> Gain:
    _, b, c = again
    drawn = b * float(rows) ** -c * (1 - float(times) ** -c)  # error(n) - error(times·n)
    return Gain(times, times * rows, _interval(law.error(rows) - law.error(times * rows), drawn, confidence))


def _interval(value: float, drawn: Floats, confidence: float) -> Interval:
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2]).tolist()
    return Interval(float(value), low, high)


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


def _trained(recipe: Recipe, labelled: Labelled, rows: int, seed: int, folder: Path) -> Point:
    """A training on the first `rows` of the seed's order, scored on the validation rows; in `folder` while it lasts."""
    assert labelled.train.labels is not None
    places = np.sort(nested_order(labelled.train.labels, seed)[:rows])
    part = replace(labelled, train=take(labelled.train, places))
    with TemporaryDirectory(prefix="training-", dir=folder) as place:
        run = train(recipe, place, overrides=[f"train.seed={seed}", "evaluate.baselines=false"], labelled=part)
        said = run.scored_rows()
    right = said.probabilities.argmax(-1) == said.truth
    return Point(rows, seed, right, float(run.facts["seconds"]["training"]))


def _write(path: Path, point: Point, fingerprint: str) -> None:
    right = "".join("01"[hit] for hit in point.right.astype(int))
    about = {"rows": point.rows, "seed": point.seed, "seconds": point.seconds, "accuracy": float(point.right.mean())}
    write_json(path, {"fingerprint": fingerprint, **about, "right": right})


def _read(path: Path, fingerprint: str) -> Point:
    found = json.loads(path.read_text("utf-8"))
    if found["fingerprint"] != fingerprint:
        raise RunError(f"{path.parent.parent} has points of another recipe or of other data; give another --out")
    right = np.frombuffer(found["right"].encode("ascii"), dtype=np.uint8) == ord("1")
    return Point(found["rows"], found["seed"], right, found["seconds"])
