"""A new run and the one in use, on the same rows → whether the new one may take its place, which CI reads as an exit code.

The rule stands in `stats/noninferiority.py`: not worse than the old one by the margin, worse by more, or not enough rows to
tell. It speaks of these two trained models, not of their recipes, for it is one of them that is put to use.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rankwise.data.labelled import losses
from rankwise.data.tasks import Task
from rankwise.errors import RecipeError, RunError, as_typed
from rankwise.recipe import DataSpec, SourceSpec
from rankwise.run.folder import Run
from rankwise.stats.intervals import Interval
from rankwise.stats.noninferiority import (
    CONFIDENCE,
    AccuracyTest,
    Chances,
    MacroF1Test,
    MeanTest,
    Outcome,
    PairedTest,
    outcome_of,
)
from rankwise.stats.score_names import called
from rankwise.stats.scores import confusion_matrix, macro_f1
from rankwise.stats.several import macro_f1_of
from rankwise.system.events import Events
from rankwise.system.files import to_json
from rankwise.system.storage import told_refusals
from rankwise.system.visible import one_line
from rankwise.workflows.compare import OF_WHOLE_ROWS, Answers, check_data, check_rows, decisions
from rankwise.workflows.decide import about, rows_of_file
from rankwise.workflows.promises import Promise, PromiseOutcome, decision_holds
from rankwise.workflows.score_files import seen_in_training

EXIT_CODES: dict[Outcome | PromiseOutcome, int] = {"not worse": 0, "holds": 0, "worse": 3, "broken": 3, "not enough rows": 4}
CALLED = {0: "passes", 3: "fails", 4: "not told"}
Reading = tuple[SourceSpec, DataSpec, Sequence[str]]  # what is read, how, and the classes that whole numbers count
Score = Literal["accuracy", "macro_f1", "r2"]
LARGE = 2  # margins that a model loses whose chance to be found out is told


@dataclass(frozen=True)
class Side:
    """One of the two runs."""

    run: str
    score: float | None
    """None where no row has a class that is known."""
    alone_right: int
    """Rows that it has right and the other has not; of numbers those that it is nearer to."""


@dataclass(frozen=True)
class Power:
    """What the rows tell, of models that disagree as often as these do."""

    rows: int
    alike: Chances
    """Of two that do not differ."""
    loss: float
    """Points by which another new one is worse,"""
    lost: Chances
    """and what the rows tell of that."""

    def __str__(self) -> str:
        alike, lost = self.alike, self.lost
        return (
            f"what {self.rows:,} such rows tell: of models that do not differ {_share(alike.not_worse)} pass and "
            f"{_share(alike.worse)} are called worse; of models {_points(self.loss)} worse {_share(lost.worse)} are called "
            f"worse and {_share(lost.not_worse)} pass"
        )


@dataclass(frozen=True)
class RowsEnough:
    """How many rows would tell nine in ten, of models that disagree as often as these; None where no number does."""

    if_alike: int | None
    """Of models that do not differ,"""
    as_seen: int | None
    """and of models that differ by as much as was seen."""


@dataclass(frozen=True)
class Gate:
    """What `gate` returns. Scores, the difference and the discordance are -1 to 1, the margin is in points."""

    outcome: Outcome
    score: Score
    margin: float
    data: str
    """Which rows they are."""
    rows: int
    new: Side
    old: Side
    difference: Interval
    """NEW minus OLD; each bound alone holds with `confidence`."""
    discordance: float
    """The share of rows that one of them alone has right."""
    power: Power
    rows_enough: RowsEnough
    confidence: float = CONFIDENCE
    promises: tuple[Promise, ...] = ()
    """Those of NEW's decision, where it has one."""
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """3 where NEW is worse or breaks a promise, else 4 where there are not enough rows to tell one of these, else 0."""
        found = {EXIT_CODES[one] for one in (self.outcome, *(promise.outcome for promise in self.promises))}
        return 3 if 3 in found else max(found)

    @property
    def score_name(self) -> str:
        """As people write it."""
        return called(self.score)

    @property
    def verdict(self) -> str:
        """In words, with the bound that it rests on."""
        value, low, high = self.difference.value, self.difference.low, self.difference.high
        if value is None or low is None or high is None:
            return f"not enough rows: none has a class that both runs know, so their {self.score_name} is not defined"
        by = f"by more than {_points(self.margin)} of {self.score_name}"
        seen, sure = f"the difference is {_signed(value)} points", f"{self.confidence:.0%} sure to be"
        if self.outcome == "not worse":
            return f"NEW is not worse than OLD {by}: {seen}, {sure} above {_signed(low)}"
        if self.outcome == "worse":
            return f"NEW is worse than OLD {by}: {seen}, {sure} below {_signed(high)}"
        told = f"not enough rows to tell whether NEW is worse than OLD {by}"
        return f"{told}: {seen}, {sure} above {_signed(low)} and as sure below {_signed(high)}"

    @property
    def advice(self) -> str:
        """How many rows would be enough; empty where these are."""
        if self.outcome != "not enough rows" or self.difference.value is None:
            return ""
        alike, seen = self.rows_enough.if_alike, self.rows_enough.as_seen
        alone = max(1, self.new.alone_right + self.old.alone_right) / self.rows
        one_right = f"where one of the two alone is right on {alone:.1%} of the rows, as here"
        if self.score == "r2":
            one_right = "where errors differ as much as here"
        if alike is not None and alike > self.rows:
            return f"about {about(alike)} rows would be enough, {one_right}: 9 in 10 models that do not differ pass then"
        if seen is not None:
            return f"about {about(seen)} rows would be enough, {one_right}, if the difference is what it seems"
        return "these models seem to differ by the margin itself, which no number of rows tells; give another --margin"

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, the words and the exit code among them."""
        plain: dict[str, Any] = to_json(self)
        for promise, entry in zip(self.promises, plain["promises"], strict=True):
            entry["verdict"] = promise.verdict
        return {"exit_code": self.exit_code, "verdict": self.verdict, "advice": self.advice, **plain}

    def markdown(self) -> str:
        """A summary for a pull request."""
        low, high = self.difference.low, self.difference.high
        between = "" if low is None or high is None else f"{_signed(low)} to {_signed(high)}"
        lines = [
            f"### Gate: {CALLED[self.exit_code]}",
            "",
            f"{_sentence(self.verdict)}{f' {_sentence(self.advice)}' if self.advice else ''}",
            *(f"\n{_sentence(promise.verdict)}" for promise in self.promises),
            "",
            f"| | run | {self.score_name} % | rows it {'is nearer to' if self.score == 'r2' else 'alone has right'} |",
            "|---|---|---:|---:|",
            *(
                f"| {name} | {_escaped(side.run)} | {_percent(side.score)} | {side.alone_right:,} |"
                for name, side in (("NEW", self.new), ("OLD", self.old))
            ),
            f"| NEW minus OLD, points | | {_signed(self.difference.value)} | {between} |",
            "",
            f"{self.rows:,} rows: {_escaped(self.data)}. Bounds are one-sided, {self.confidence:.0%} each. "
            f"{_sentence(str(self.power))}",
            *(f"\n**Note:** {_escaped(note)}." for note in self.notes),
        ]
        return "\n".join(lines) + "\n"

    def append_to(self, path: Path) -> None:
        """Add the summary to a file's end. Raises StorageError where the disk takes no more."""
        with told_refusals(path, "give another --summary"), path.open("a", encoding="utf-8") as file:
            file.write(self.markdown())


@dataclass(frozen=True)
class Answered:
    """What two runs said of the same rows."""

    new: Answers
    old: Answers
    data: str
    """Which rows they are."""
    notes: tuple[str, ...] = ()


def check_margin(margin: float) -> None:
    """Raises RecipeError for a margin that is no number of points above 0 and below 100."""
    if not 0 < margin < 100:
        raise RecipeError(f"--margin {margin:g}: expected points that NEW may lose, above 0 and below 100, such as 0.5")


def gate(answered: Answered, *, margin: float = 0.5, score: Score | None = None, promises: bool = True) -> Gate:
    """Hold NEW against OLD on rows that both answered; NEW may lose `margin` points of a score, or of the task's first.

    With `promises` what NEW's decision promises is held too, on rows that did not choose it.

    Raises RecipeError for no margin, and for a score that the task does not have.
    """
    check_margin(margin)
    new, old = answered.new, answered.old
    score = score or _first_score(old.run.task)
    if (score == "r2") == old.run.task.has_classes:
        raise RecipeError(f"--score {score.replace('_', '-')} is of another task than this one; leave it out")
    held = _of_numbers(new, old) if score == "r2" else _of_classes(new, old, score)
    test, rows = held.test, len(old.scored.truth)
    limit, value = margin / 100, test.bounds.value
    large = min(LARGE * margin, 100.0)
    return Gate(
        outcome=outcome_of(test.bounds, limit),
        score=score,
        margin=margin,
        data=answered.data,
        rows=rows,
        new=Side(str(new.run.folder), None if value is None else held.scores[0], held.only_new),
        old=Side(str(old.run.folder), None if value is None else held.scores[1], held.only_old),
        difference=test.bounds,
        discordance=(held.only_new + held.only_old) / rows,
        power=Power(rows, test.chances(0.0, limit), large, test.chances(-large / 100, limit)),
        rows_enough=RowsEnough(test.rows_needed(0.0, limit), None if value is None else test.rows_needed(value, limit)),
        promises=decision_holds(new.run, new.scored) if promises else (),
        notes=(*([OF_WHOLE_ROWS] if score == "accuracy" and old.scored.truth.ndim > 1 else []), *answered.notes),
    )


@dataclass(frozen=True)
class _Held:
    """Two runs' answers held against each other: NEW's and OLD's score, and how many rows speak for each."""

    test: PairedTest
    scores: tuple[float, float]
    only_new: int
    only_old: int


def _first_score(task: Task) -> Score:
    """What says most of a task."""
    if not task.has_classes:
        return "r2"
    return "macro_f1" if task.compared_by[0] == "macro_f1" else "accuracy"


def _of_classes(new: Answers, old: Answers, score: Score) -> _Held:
    numbers = {name: number for number, name in enumerate(old.run.preprocessing.classes)}
    truth, by_new, by_old = old.scored.truth, decisions(new, numbers), decisions(old, numbers)
    new_right, old_right = (
        one.run.task.right(one.scored.probabilities.astype(np.float64), one.scored.truth) for one in (new, old)
    )
    only_new, only_old = int((new_right & ~old_right).sum()), int((old_right & ~new_right).sum())
    if score == "accuracy":
        scores = (float(new_right.mean()), float(old_right.mean()))
        return _Held(AccuracyTest(only_new, only_old, len(truth)), scores, only_new, only_old)
    scores = (_macro_f1(by_new, truth, len(numbers)), _macro_f1(by_old, truth, len(numbers)))
    return _Held(MacroF1Test.of(by_new, by_old, truth, len(numbers)), scores, only_new, only_old)


def _of_numbers(new: Answers, old: Answers) -> _Held:
    """By R², of the rows whose number is known."""
    known = ~np.isnan(old.scored.truth)
    by_new, by_old = (
        one.run.task.credit(one.scored.probabilities.astype(np.float64), one.scored.truth)[known] for one in (new, old)
    )
    scores = (float(by_new.mean()), float(by_old.mean())) if known.any() else (0.0, 0.0)
    return _Held(MeanTest.of(by_new, by_old), scores, int((by_new > by_old).sum()), int((by_new < by_old).sum()))


def _macro_f1(decided: NDArray[np.int64], truth: NDArray[np.int64], classes: int) -> float:
    return macro_f1_of(decided, truth) if truth.ndim > 1 else float(macro_f1(confusion_matrix(truth, decided, classes)))


def kept_by_both(new: Run, old: Run) -> Answered:
    """What both said of their test rows when they were trained. Raises RunError where these are not the same rows."""
    ours, theirs = Answers(new, new.scored_rows()), Answers(old, old.scored_rows())
    try:
        check_rows(ours, theirs)
        notes = () if new.facts.data_sha256 == old.facts.data_sha256 else (check_data(old, new),)
    except RunError as problem:
        if set(new.preprocessing.classes) != set(old.preprocessing.classes):
            raise
        score_both = f"rankwise gate {as_typed(new.folder)} --against {as_typed(old.folder)} --data FILE"
        raise RunError(f"{problem}; or score both on rows that neither was trained on: {score_both}") from problem
    return Answered(ours, theirs, "the test rows that both kept", notes)


def scored_by_both(
    new: Run, old: Run, read_by: Callable[[Run], Reading], *, engine: str = "torch", events: Events
) -> Answered:
    """What both say now of labelled rows, which each reads as `read_by` says.

    Raises DataError, or RunError where the runs' classes, or the rows that they make of it, are not the same.
    """
    both: list[Answers] = []
    described, notes = "", dict[str, None]()
    for run in (new, old):
        source, spec, numbering = read_by(run)
        table, scored = rows_of_file(run, source, spec, numbering=numbering, engine=engine, events=events)
        both.append(Answers(run, scored))
        notes |= dict.fromkeys((*losses(table.layout.name, table), *table.warnings))
        if seen := seen_in_training(run, table):
            share = f"{seen:,} of {len(table.rows):,} rows ({seen / len(table.rows):.0%})"
            notes[f"{share} have texts that {run.folder} trained on or chose by, which is in its favour; give others"] = None
        described = table.layout.describe()
    by_new, by_old = both
    check_rows(by_new, by_old)
    return Answered(by_new, by_old, described, tuple(notes))


def _points(points: float) -> str:
    return f"{points:g} point{'' if points == 1 else 's'}"


def _signed(share: float | None) -> str:
    """A difference in points."""
    return "n/a" if share is None else f"{100 * share:+z.2f}"


def _percent(share: float | None) -> str:
    return "n/a" if share is None else f"{100 * share:.1f}"


def _share(chance: float) -> str:
    return "under 0.1%" if chance < 0.001 else f"{chance:.{1 if chance < 0.1 else 0}%}"


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def _escaped(text: str) -> str:
    """A path or a note as Markdown shows it to the letter, in a cell of a table too."""
    return re.sub(r"([\\`*_<>\[\]|])", r"\\\1", one_line(text))
