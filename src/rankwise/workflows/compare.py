"""Runs on the same test rows → which system is better, by how much, and whether that is shown at all.

Runs of one recipe that differ in `train.seed` alone are one system. Scores and differences carry the variation of test rows
and of seeds (`stats/seeds.py`). The p-value of a pair is the exact McNemar test where both systems have a single run, for
accuracy; else a t test over rows and seeds. Counts of several seeds are not pooled into one McNemar test: the same rows
would count once a seed, as if they were others. It stands beside each pair by seed instead, and says that two trained models
differ, not that their recipes do. Over all pairs p-values are corrected by Holm's method.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from functools import cached_property
from itertools import combinations, groupby, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankwise.data.files.formats.csv import write_lines
from rankwise.errors import RunError
from rankwise.recipe import AFTER_READING
from rankwise.recipe.differences import is_under, names, settings_of
from rankwise.run.folder import Run
from rankwise.run.format import ScoredRows
from rankwise.stats.intervals import Interval
from rankwise.stats.paired import mcnemar
from rankwise.stats.regression import resampled_numbers
from rankwise.stats.score_names import called
from rankwise.stats.scores import UNDEFINED
from rankwise.stats.seeds import Sample, difference, holm, mean_score, resampled_scores
from rankwise.stats.several import resampled_several
from rankwise.system.files import to_json
from rankwise.system.storage import told_refusals, whole_file

OF_CLASSES = ("accuracy", "macro_f1")  # as decisions are resampled
LEAST = {"r2": -math.inf, "pearson": -1.0}  # that scores may be, which are 0 or more else
OF_WHOLE_ROWS = "accuracy is of rows whose labels are all right"
WIDE = 0.2  # an interval of more points, with less freedom than FEW, gets a word about its seeds
FEW = 5

# Settings of data that leave the test rows alone where a test file is given. The first change the raw texts that a run's
# digest covers, the others do not.
_TRAINING_ROWS = {"rows", "split", "validation"}
_READ_ALIKE = {"classes", *AFTER_READING}


def settings_of_run(run: Run) -> dict[str, Any]:
    """Its settings as they were asked for, by dotted key; the base by its name, wherever its folder lies."""
    base = run.facts.base
    return {**settings_of(run.asked), "base": base.hub or base.name}


def system_of(run: Run, name: str = "") -> str:
    """What a run is a run of: the same where runs differ in their seed, or in where the same data lies, alone."""
    settings = {key: value for key, value in settings_of_run(run).items() if not is_under(key, {"data.validation"})}
    return json.dumps([settings, run.facts.data_sha256, run.facts.base.sha256, name], sort_keys=True)


@dataclass(frozen=True)
class Answers:
    """What a run said of the test rows; `name` where it was asked in another way than at the end of training."""

    run: Run
    scored: ScoredRows = field(repr=False)
    name: str = ""
    """Makes it a system of its own; the recipe's name when left out."""

    @cached_property
    def system(self) -> str:
        return system_of(self.run, self.name)

    @property
    def seed(self) -> int:
        return self.run.recipe.train.seed


@dataclass(frozen=True)
class System:
    """A recipe, trained with one seed or several: its scores, means over seeds, and what it cost."""

    name: str
    runs: tuple[str, ...]
    seeds: tuple[int, ...]
    accuracy: Interval
    macro_f1: Interval
    log_loss: float | None
    accuracy_by_seed: tuple[float, ...]
    trained_parameters: int
    training_seconds: float
    """Training time of one run, the mean over seeds."""
    peak_bytes: int | None
    """Peak memory of the largest run."""
    more: Mapping[str, Interval] | None = None
    """R² and Pearson, where a number is estimated and the scores of classes are not defined."""

    def named(self, score: str) -> Interval:
        """One of the scores that it is compared by."""
        interval: Interval = (self.more or {})[score] if score in (self.more or {}) else getattr(self, score)
        return interval


@dataclass(frozen=True)
class SeedTest:
    """The exact McNemar test on the two runs with this seed."""

    seed: int
    only_a: int
    only_b: int
    p_value: float


@dataclass(frozen=True)
class Difference:
    """How far A's score is above B's."""

    interval: Interval
    p_value: float | None
    p_holm: float | None
    """Corrected over all pairs of the comparison."""
    few_seeds: bool = False
    """Whether the interval is wide because so few seeds are behind it."""


@dataclass(frozen=True)
class Pair:
    """Two systems; A has the higher first score."""

    a: str
    b: str
    accuracy: Difference
    macro_f1: Difference
    mcnemar: tuple[SeedTest, ...]
    """For the seeds that both have."""
    alike: bool = False
    """Whether both have the same seeds and gave, with each, the same answer to every row."""
    more: Mapping[str, Difference] | None = None
    """Of R² and Pearson, where a number is estimated."""

    def named(self, score: str) -> Difference:
        """How far A's score is above B's."""
        difference: Difference = (self.more or {})[score] if score in (self.more or {}) else getattr(self, score)
        return difference

    def by_seed(self) -> str:
        """McNemar's test of each seed that both have, in words; nothing where there is none."""
        tests = [f"seed {one.seed} {one.only_a:,} to {one.only_b:,}, p {_p(one.p_value)}" for one in self.mcnemar]
        return f"rows that one alone has right (McNemar): {'; '.join(tests)}" if tests and not self.alike else ""


@dataclass(frozen=True)
class Comparison:
    """What `compare` returns; systems and pairs by the first score, falling."""

    test_rows: int
    confidence: float
    systems: tuple[System, ...]
    pairs: tuple[Pair, ...]
    notes: tuple[str, ...] = ()
    scores: tuple[str, str] = ("accuracy", "macro_f1")
    """The two scores that systems are compared by."""

    def verdict(self, pair: Pair, by: str | None = None) -> str:
        """In words, by the first score when none is given.

        A difference is shown where Holm's p-value is below 1 - confidence and the interval leaves out 0.
        """
        by = by or self.scores[0]
        difference, unit = pair.named(by), f"points of {called(by)}" if by in LEAST else "points"
        value, low, high = difference.interval.value, difference.interval.low, difference.interval.high
        if pair.alike:
            return f"{pair.a} and {pair.b} gave the same answer to every row, with every seed"
        if value is None or low is None or high is None or difference.p_holm is None:
            return f"{pair.a} and {pair.b}: not defined on these rows"
        after = " after Holm" if len(self.pairs) > 1 else ""
        p_value = f"p {_p(difference.p_holm)}{after}"
        if difference.p_holm < 1 - self.confidence and low * high > 0:
            better, worse = (pair.a, pair.b) if value > 0 else (pair.b, pair.a)
            points = sorted(abs(100 * bound) for bound in (low, high))
            by_points = f"{abs(100 * value):.1f} {unit} ({points[0]:.1f} to {points[1]:.1f})"
            return f"{better} is better than {worse} by {by_points}, {p_value}"
        between = f"{100 * low:z.1f} to {100 * high:z.1f}"
        if low * high <= 0:
            return f"{pair.a} and {pair.b}: no difference shown ({between}), {p_value}"
        why = " were it the only pair" if after else ""  # bounds are not corrected, the p-value is
        return f"{pair.a} and {pair.b}: no difference shown, for {p_value}, though the interval is {between}{why}"

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, the verdicts among them."""
        plain: dict[str, Any] = to_json(self)
        for pair, entry in zip(self.pairs, plain["pairs"], strict=True):
            entry["verdict"] = {score: self.verdict(pair, score) for score in self.scores}
        return plain

    def write_csv(self, path: Path) -> None:
        """A line a system. Raises RunError when the file can't be written, StorageError where the disk takes no more."""
        rows = [_csv_row(system, self.scores) for system in self.systems]
        try:
            with (
                told_refusals(path, "free room there, or give another --out"),
                whole_file(path, shared=True) as draft,
                draft.open("w", newline="", encoding="utf-8") as file,
            ):
                write_lines(file, list(rows[0]), rows)
        except OSError as error:
            raise RunError(f"--out {path}: {error.strerror}; give a file in a folder that is there") from error


@dataclass(frozen=True)
class _Group:
    """One system, and what its S runs answered."""

    system: System
    predicted: NDArray[Any]
    """(S, N)"""
    correct: NDArray[np.bool_]
    """(S, N)"""
    samples: dict[str, Sample]
    """Every score with its resamples, by the score's name."""


def compare(runs: Iterable[Run | Answers], *, confidence: float = 0.95, resamples: int = 5_000, seed: int = 0) -> Comparison:
    """Group runs into systems and compare every two of them. The runs' order changes nothing.

    Raises RunError for no run, one that did not keep its answers, two runs of a recipe with the same seed, or runs whose
    test rows, labels or classes are not the same.
    """
    answers = [run if isinstance(run, Answers) else Answers(run, run.scored_rows()) for run in runs]
    if not answers:
        raise RunError("found no run to compare; give run folders, such as runs/*")
    answers.sort(key=lambda one: (one.system, one.seed))
    notes = _check_comparable(answers)
    groups = _groups(answers, confidence, resamples=resamples, seed=seed)
    pairs = list(combinations(groups, 2))
    scores = answers[0].run.task.compared_by
    differences = (_differences(pairs, metric, confidence) for metric in scores)
    systems = tuple(group.system for group in groups)
    compared = tuple(
        _pair(a, b, dict(zip(scores, both, strict=True))) for (a, b), *both in zip(pairs, *differences, strict=True)
    )
    return Comparison(
        test_rows=len(answers[0].scored.truth),
        confidence=confidence,
        systems=systems,
        pairs=compared,
        notes=(*notes, *_about_seeds(systems, compared, scores)),
        scores=scores,
    )


def _check_comparable(answers: Sequence[Answers]) -> list[str]:
    """Raises RunError where two runs do not belong side by side; notes on what differs and may."""
    first = answers[0]
    for before, after in pairwise(answers):
        if (before.system, before.seed) == (after.system, after.seed):
            raise RunError(
                f"{before.run.folder} and {after.run.folder} are the same recipe with the same seed; give one of them, or "
                "train with another seed: --set train.seed=1"
            )
    by_data: dict[str, Answers] = {}
    for other in answers:
        by_data.setdefault(other.run.facts.data_sha256, other)
        check_rows(first, other)
    notes = [check_data(one.run, other.run) for one, other in combinations(by_data.values(), 2)]
    several = [OF_WHOLE_ROWS] if first.scored.truth.ndim > 1 else []
    return [*several, *sorted(set(notes[: len(by_data) - 1]))]  # what differs from the first says it all


def check_rows(first: Answers, other: Answers) -> None:
    """Raises RunError where two runs answered other rows, or rows with other labels, or have other classes."""
    pair = f"{first.run.folder} and {other.run.folder}"
    if lone := sorted(set(first.run.preprocessing.classes) ^ set(other.run.preprocessing.classes)):
        raise RunError(f"{pair} have other classes: {', '.join(lone)} are in one of them only; train both with the same")
    if not np.array_equal(first.scored.rows, other.scored.rows):
        apart = np.setxor1d(first.scored.rows, other.scored.rows)
        ours, theirs = len(first.scored.rows), len(other.scored.rows)
        where = f"{len(apart):,} rows are in one of them only, such as row {apart[0]}" if apart.size else "in another order"
        raise RunError(
            f"{pair} were not scored on the same test rows ({ours:,} and {theirs:,}; {where}); train them with the same "
            "data, data.test_rows and data.split"
        )
    differ = np.flatnonzero(_labels(first) != _labels(other))
    if differ.size:
        row = int(differ[0])
        raise RunError(
            f"{pair} were scored on other labels: {differ.size:,} rows differ, such as row {first.scored.rows[row]}, "
            f"'{_labels(first)[row]}' in one and '{_labels(other)[row]}' in the other; train both on the same file"
        )


def check_data(one: Run, other: Run) -> str:
    """Of two runs whose texts differ: a note if the recipes say that only training does. Raises RunError otherwise."""
    pair = f"{one.folder} and {other.folder}"
    before, now = one.recipe.to_dict()["data"], other.recipe.to_dict()["data"]
    changed = {key for key in before if before[key] != now[key]} - _READ_ALIKE
    if not changed:
        raise RunError(f"{pair}: texts or labels of the data changed between them; train both on the data as it is now")
    shown = "; ".join(f"data.{key}: {before[key]} and {now[key]}" for key in sorted(changed))
    if changed - _TRAINING_ROWS:
        raise RunError(f"{pair} were trained and scored on other data ({shown}); train them on the same")
    return f"not all were trained on the same rows ({shown})"


def decisions(answers: Answers, numbers: Mapping[str, int]) -> NDArray[Any]:
    """The decision for each row, by the numbers that the names have here: (N,), or of several labels a text (N, C).

    Where a number is estimated, that (N,).
    """
    if not answers.run.task.has_classes:
        return answers.run.task.decide(answers.scored.probabilities.astype(np.float64))
    renumbered = np.array([numbers[name] for name in answers.run.preprocessing.classes], dtype=np.int64)
    decided = answers.run.task.decide(answers.scored.probabilities.astype(np.float64))
    return np.asarray(renumbered[decided] if decided.ndim == 1 else decided[:, np.argsort(renumbered)])


def _labels(answers: Answers) -> NDArray[np.str_]:
    """The class name of each test row, (N,)."""
    task = answers.run.task
    return np.array([task.shown(label) for label in answers.scored.truth])


def _groups(answers: Sequence[Answers], confidence: float, *, resamples: int, seed: int) -> list[_Group]:
    """Systems by falling headline, all resampled together; the answers are sorted by system and seed."""
    numbers = {name: number for number, name in enumerate(answers[0].run.preprocessing.classes)}
    truth, predicted = answers[0].scored.truth, np.stack([decisions(one, numbers) for one in answers])
    task = answers[0].run.task
    measured = OF_CLASSES if task.has_classes else task.compared_by
    if not task.has_classes:
        scores, draws = resampled_numbers(predicted, truth, names=measured, resamples=resamples, seed=seed)
    elif truth.ndim == 1:
        scores, draws = resampled_scores(predicted, truth, len(numbers), resamples=resamples, seed=seed)
    else:
        scores, draws = resampled_several(predicted, truth, resamples=resamples, seed=seed)
    right = np.stack([one.run.task.right(one.scored.probabilities.astype(np.float64), one.scored.truth) for one in answers])
    runs_of = [list(group) for _, group in groupby(range(len(answers)), key=lambda index: answers[index].system)]
    firsts = [answers[first] for first, *_ in runs_of]
    named = names([one.name or one.run.recipe.name for one in firsts], [settings_of_run(one.run) for one in firsts])
    groups = []
    for name, group in zip(named, runs_of, strict=True):
        samples = {metric: Sample(scores[group, column], draws[:, group, column]) for column, metric in enumerate(measured)}
        system = _system(name, [answers[index] for index in group], samples, confidence)
        groups.append(_Group(system, predicted[group], right[group], samples))
    return sorted(groups, key=lambda group: (-float(group.samples[task.compared_by[0]].scores.mean()), group.system.name))


def _differences(pairs: Sequence[tuple[_Group, _Group]], metric: str, confidence: float) -> list[Difference]:
    """The difference of every pair, with p-values corrected over all pairs."""
    estimates = []
    for a, b in pairs:
        estimate = difference(a.samples[metric], b.samples[metric], least=LEAST.get(metric, 0.0), confidence=confidence)
        if metric == "accuracy" and len(a.correct) == len(b.correct) == 1:
            estimate = replace(estimate, p_value=mcnemar(a.correct[0], b.correct[0]).p_value)
        estimates.append(estimate)
    corrected = iter(holm([estimate.p_value for estimate in estimates if estimate.p_value is not None]))
    p_holm = [None if estimate.p_value is None else next(corrected) for estimate in estimates]
    return [
        Difference(one.interval, one.p_value, p, few_seeds=one.interval.width > WIDE and one.freedom < FEW)
        for one, p in zip(estimates, p_holm, strict=True)
    ]


def _system(name: str, answers: Sequence[Answers], samples: Mapping[str, Sample], confidence: float) -> System:
    runs = [one.run for one in answers]
    seconds = [run.facts.seconds.training for run in runs]
    peaks = [peak for run in runs if (peak := run.facts.actual.peak_bytes) is not None]
    quick = [one.run.task.quick_scores(one.scored.probabilities.astype(np.float64), one.scored.truth) for one in answers]
    losses = [loss for scores in quick if (loss := scores.get("log_loss")) is not None]
    means = {name: mean_score(sample, least=LEAST.get(name, 0.0), confidence=confidence) for name, sample in samples.items()}
    return System(
        name=name,
        runs=tuple(str(run.folder) for run in runs),
        seeds=tuple(one.seed for one in answers),
        accuracy=means.get("accuracy", UNDEFINED),
        macro_f1=means.get("macro_f1", UNDEFINED),
        log_loss=float(np.mean(losses)) if losses else None,
        accuracy_by_seed=tuple(samples["accuracy"].scores.tolist()) if "accuracy" in samples else (),
        trained_parameters=runs[0].plan_facts.trainable_parameters,
        training_seconds=round(float(np.mean(seconds)), 2),
        peak_bytes=max(peaks, default=None),
        more=None if "accuracy" in means else means,
    )


def _pair(a: _Group, b: _Group, differences: Mapping[str, Difference]) -> Pair:
    alike = a.system.seeds == b.system.seeds and np.array_equal(a.predicted, b.predicted)
    names = (a.system.name, b.system.name)
    if "accuracy" not in differences:  # numbers, of which none is right
        undefined = Difference(UNDEFINED, None, None)
        return Pair(*names, undefined, undefined, (), alike, differences)
    of_a, of_b = (dict(zip(group.system.seeds, group.correct, strict=True)) for group in (a, b))
    tests = {seed: mcnemar(right, of_b[seed]) for seed, right in of_a.items() if seed in of_b}
    by_seed = tuple(SeedTest(seed, test.only_a, test.only_b, test.p_value) for seed, test in tests.items())
    return Pair(*names, differences["accuracy"], differences["macro_f1"], by_seed, alike)


def _about_seeds(systems: Sequence[System], pairs: Sequence[Pair], scores: Sequence[str]) -> list[str]:
    notes = []
    if single := [system.name for system in systems if len(system.seeds) == 1]:
        who = "every system" if len(single) == len(systems) else ", ".join(single)
        notes.append(
            f"only one seed of {who}: intervals leave out what a seed changes, so they speak of these trained models and not "
            "of their recipes; train.seed gives other seeds"
        )
    if wide := [called(score) for score in scores if any(pair.named(score).few_seeds for pair in pairs)]:
        notes.append(
            f"so few seeds leave a difference in {' and '.join(wide)} uncertain by more than {100 * WIDE:.0f} points; more "
            "seeds (train.seed) would narrow it"
        )
    return notes


def _csv_row(system: System, scores: Sequence[str]) -> dict[str, Any]:
    values = {
        f"{score}{bound}": None if value is None else round(value, 6)
        for score in scores
        for bound, value in zip(("", "_low", "_high"), astuple(system.named(score)), strict=True)
    }
    return {
        "system": system.name,
        "seeds": len(system.seeds),
        "seed_numbers": " ".join(map(str, system.seeds)),
        **values,
        **({} if system.log_loss is None else {"log_loss": round(system.log_loss, 6)}),
        "trained_parameters": system.trained_parameters,
        "training_seconds": system.training_seconds,
        "peak_bytes": system.peak_bytes,
    }


def _p(value: float) -> str:
    """A p-value in words: `= 0.031`, `= 0.31`, or `< 0.001`."""
    return "< 0.001" if value < 0.001 else f"= {value:.3g}" if value < 0.1 else f"= {value:.2f}"
