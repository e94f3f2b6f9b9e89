"""A run and a wish → when it answers and when it hands a text to a person, with a bound that holds after choosing.

Everything is chosen on rows that the run did not train on, with probabilities that those rows' own labels did not calibrate;
the test rows verify it, once. Shapes: N rows, C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankwise.data.files.table import Table
from rankwise.data.tasks import ONE_LABEL, Task
from rankwise.errors import DataError, RunError, as_set, as_typed
from rankwise.inference.decision import UNLIKE, UNSURE, Costs, Rule, energy
from rankwise.recipe import DataSpec, SourceSpec
from rankwise.run.decision import Answers, Decision, Measured, read_decision
from rankwise.run.folder import Run
from rankwise.run.format import ScoredRows
from rankwise.run.manifest import SCORES
from rankwise.stats.calibration import Calibrated, calibrate
from rankwise.stats.conformal import fewest_rows, set_threshold
from rankwise.stats.intervals import Interval, percentile_interval
from rankwise.stats.scaling import Scaling
from rankwise.stats.scores import score
from rankwise.stats.selective import (
    RISK,
    Threshold,
    exact_interval,
    more_rows,
    threshold_for_coverage,
    threshold_for_error,
    upper_bound,
)
from rankwise.system.events import Events
from rankwise.system.files import sha256
from rankwise.workflows.ranges import SHARES, Reach, answers_within, reach_for
from rankwise.workflows.score_files import logits_of_file

ERRORS = (0.01, 0.02, 0.05, 0.1)  # for which it is told what can be promised
FURTHER = (0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3)  # what is proposed where a wish can't be promised
UNLIKE_SHARE = 0.01  # of texts that are like those of training, the share that may be taken for unlike them
RESAMPLES = 1000

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is asked for: one of the first three, `sets` beside it or alone."""

    max_error: float | None = None
    """Share of the answers that may be wrong."""
    coverage: float | None = None
    """Share of the texts that are to be answered."""
    costs: Costs | None = None
    sets: float | None = None
    """Probability with which a text's set of labels, or the range of its number, holds the true one."""
    unlike: float = UNLIKE_SHARE
    """Share of texts like those of training that may go to a person as unlike them; 0 lets none go for that."""

    @property
    def words(self) -> str:
        """`at most 2 % of the answers wrong`."""
        told = []
        if self.max_error is not None:
            told.append(f"at most {share(self.max_error)} of the answers wrong")
        if self.coverage is not None:
            told.append(f"{share(self.coverage)} of the texts answered")
        if self.costs is not None:
            told.append("the least expected cost")
        if self.sets is not None:
            told.append(f"sets that hold the true label of {share(self.sets)} of the texts")
        return ", ".join(told)


@dataclass(frozen=True)
class Chance:
    """What can be promised for a wanted share of mistakes."""

    max_error: float
    threshold: Threshold | None
    more_rows: int | None
    """How many more rows would do, where no threshold can promise it; None where no number of rows would."""


@dataclass(frozen=True)
class Held:
    """Rows that chose a decision, calibrated by others of them: N rows."""

    rows: ScoredRows
    calibrated: Calibrated
    answers: NDArray[np.int64]
    """(N,) by their calibrated probabilities."""
    most_energy: float | None
    where: str
    """`374 validation rows`."""
    folds: int

    @property
    def confidence(self) -> Floats:
        """(N,) of the answers."""
        return np.asarray(self.calibrated.probabilities[np.arange(len(self.answers)), self.answers])

    @property
    def wrong(self) -> Bools:
        """(N,) whether the answers are."""
        return np.asarray(self.answers != self.rows.truth)

    @property
    def alike(self) -> Bools:
        """(N,) which are not taken for unlike the training texts."""
        if self.most_energy is None or self.rows.energy is None:
            return np.ones(len(self.rows.truth), dtype=np.bool_)
        return np.asarray(self.rows.energy <= self.most_energy)


def decide(run: Run, wish: Wish, *, rows: ScoredRows | None = None) -> Decision:
    """Make a decision, verify it on the run's test rows and keep it in the run's folder.

    `rows` are others to choose by than those that the run held out. Raises RunError for a run without any, and where no
    threshold can promise what is asked for. Of a run that estimates numbers `sets` alone can be asked for.
    """
    check_wish(wish)
    if not run.task.has_classes:
        return _decide_range(run, wish, rows)
    if UNSURE in run.preprocessing.classes:
        raise RunError(
            f"{run.folder}: a class is called '{UNSURE}', which is what texts for a person get; train under another"
        )
    held = held_out(run, unlike=wish.unlike, rows=rows)
    rule = _rule(run, held, wish)
    test = run.scored_rows()
    probabilities = rule.scaling.probabilities(test.logits)
    verified = answers_of(rule, probabilities, test, run.task)
    decision = Decision(
        classes=run.preprocessing.classes,
        run=sha256(run.folder / SCORES),
        asked=wish.words,
        wanted=next((one for one in (wish.max_error, wish.coverage, wish.sets) if one is not None), None),
        chosen_on=held.where,
        folds=held.folds,
        rule=rule,
        promised=answers_of(rule, held.calibrated.probabilities, held.rows, run.task),
        verified=verified,
        calibration=_measured(run, test, probabilities),
        looks=1 + _looks(run),
        verdict=verdict(wish, verified),
        max_error=wish.max_error,
        sets=wish.sets,
    )
    run.keep_decision(decision)
    return decision


def chances(run: Run, *, rows: ScoredRows | None = None, unlike: float = UNLIKE_SHARE) -> tuple[Held, list[Chance]]:
    """What can be promised for several shares of mistakes, by the rows that the run held out."""
    held = held_out(run, unlike=unlike, rows=rows)
    confidence, wrong = held.confidence[held.alike], held.wrong[held.alike]
    found = []
    for max_error in ERRORS:
        threshold = threshold_for_error(confidence, wrong, max_error)
        more = more_rows(confidence, wrong, max_error) if threshold is None else None
        found.append(Chance(max_error, threshold, more))
    return held, found


def held_out(run: Run, *, unlike: float = UNLIKE_SHARE, rows: ScoredRows | None = None) -> Held:
    """Rows that may choose, calibrated. Raises RunError for a run that has none, or without one label a text."""
    _check_task(run)
    found, where, folds = choosing_rows(run, rows)
    count = len(found.truth)
    known = found.energy if run.scored_rows().energy is not None else None
    most = None
    if known is not None and unlike and count >= 1 / unlike - 1:
        most = float(np.sort(known)[min(count, int(np.ceil((count + 1) * (1 - unlike)))) - 1])
    calibrated = calibrate(found.logits, found.truth)
    return Held(found, calibrated, run.task.decide(calibrated.probabilities), most, where, folds)


def choosing_rows(run: Run, rows: ScoredRows | None) -> tuple[ScoredRows, str, int]:
    """Rows that may choose, the run's own where none are given; `374 validation rows`; and how many folds told of them.

    Raises RunError for a run that has none.
    """
    ladder = run.facts.ladder
    folds = ladder.folds if ladder is not None and rows is None else 0
    found = run.held_out_rows() if rows is None else rows
    if found is None or not len(found.truth):
        raise RunError(
            f"{run.folder} kept nothing of rows that it did not train on; give labelled rows that it has not seen: "
            f"rankwise decide {as_typed(run.folder)} --data FILE, or train again with data.split.validation"
        )
    kind = f"rows in {folds} folds" if folds else "labelled rows" if rows is not None else "validation rows"
    return found, f"{len(found.truth):,} {kind}", folds


def rows_of_file(
    run: Run,
    source: SourceSpec,
    spec: DataSpec,
    *,
    numbering: Sequence[str] = (),
    engine: str = "torch",
    events: Events | None = None,
) -> tuple[Table, ScoredRows]:
    """Labelled rows of a file as they were read, and what the run says of them. Raises DataError."""
    table, split, values = logits_of_file(run, source, spec, numbering=numbering, engine=engine, events=events)
    probabilities = run.task.probabilities(values).astype(np.float32)
    known = not run.counts_words and run.task.has_classes
    return table, ScoredRows(split.rows, split.labels, probabilities, energy(values) if known else None)


def answers_of(rule: Rule, probabilities: Floats, scored: ScoredRows, task: Task) -> Answers:
    """What a rule makes of rows with scaled probabilities (N, C); a class that the run does not know is always a mistake."""
    answers, truth = task.decide(probabilities), scored.truth
    decided = rule.decide(probabilities, scored.energy, answers=answers)
    rows, answered = len(truth), decided.answered
    count, wrong = int(answered.sum()), int((answered & (decided.answers != truth)).sum())
    found = Answers(
        rows=rows,
        answered=count,
        wrong=wrong,
        coverage=exact_interval(count, rows),
        error=exact_interval(wrong, count),
        error_bound=upper_bound(wrong, count),
        unlike=int((decided.reasons == UNLIKE).sum()),
    )
    if decided.in_set is not None:
        known = truth >= 0
        held = decided.in_set[np.arange(rows), truth] & known  # -1 picks the last class, which is masked
        found = replace(found, holds=exact_interval(int(held.sum()), rows), set_size=float(decided.in_set.sum(axis=1).mean()))
    if rule.costs is not None:
        matrix = np.array(rule.costs.of_answers)
        matrix = np.concatenate([matrix, matrix.max(axis=0, keepdims=True)])  # an unknown class costs the most; -1 picks it
        costs = np.where(answered, matrix[truth, decided.answers], rule.costs.asking)
        rng = np.random.default_rng(0)
        draws = np.array([costs[rng.integers(rows, size=rows)].mean() for _ in range(RESAMPLES)])
        without = float(matrix[truth, answers].mean())
        found = replace(found, cost=percentile_interval(float(costs.mean()), draws, 0.95), cost_without=without)
    return found


def verdict(wish: Wish, verified: Answers) -> str:
    """Whether the test rows bear a wish out, in a line."""
    told = []
    if wish.max_error is not None and verified.answered:
        error, low = verified.error, exact_interval(verified.wrong, verified.answered, 1 - 2 * RISK).low
        wanted = share(wish.max_error)
        if verified.error_bound <= wish.max_error:
            told.append(f"borne out: the test rows alone show at most {share(verified.error_bound)} wrong")
        elif low is not None and low > wish.max_error:
            told.append(f"not borne out: {share(error.value or 0)} of the answers to test rows are wrong, more than {wanted}")
        else:
            told.append(f"not contradicted: the test rows are too few to show {wanted} by themselves")
    if wish.sets is not None and verified.holds is not None:
        borne = _borne_out(wish.sets, verified.holds)
        told.append(f"sets {borne}: {share(verified.holds.value or 0)} of the test rows' sets hold the true label")
    return "; ".join(told)


def _borne_out(wanted: float, holds: Interval) -> str:
    low, high = holds.low or 0.0, holds.high or 0.0
    return "borne out" if low >= wanted else "not contradicted" if high >= wanted else "not borne out"


def share(value: float) -> str:
    """A share in percent, with no more digits than it needs: `2 %`, `0.5 %`, `83.1 %`."""
    return f"{100 * value:.1f}".removesuffix(".0") + " %"


def about(rows: int) -> str:
    """A number of rows, up to the two digits that an estimate is good for."""
    step = 10 ** max(0, len(str(rows)) - 2)
    return f"{-(-rows // step) * step:,}"


def check_wish(wish: Wish) -> None:
    """Raise DataError for shares that are none."""
    shares = {"--max-error": wish.max_error, "--coverage": wish.coverage, "--sets": wish.sets}
    for name, value in shares.items():
        if value is not None and not 0 < value < 1:
            raise DataError(f"{name} {share(value)}; expected a share between 0 and 100 %, such as 5%")
    if not 0 <= wish.unlike < 0.5:
        raise DataError(f"--unlike {share(wish.unlike)}; expected less than half of the texts, such as 1%, or 0 for none")


def _check_task(run: Run) -> None:
    """Raise RunError for a run whose texts have several labels, with what to type for one of them."""
    if run.task.name in ONE_LABEL:
        return
    column = next(iter(run.preprocessing.columns or {}), None)
    one = (
        "train a label column as a run of its own"
        if column
        else "write whether a text has a label into a column of its own, and train that"
    )
    raise RunError(
        f"{run.folder}: its task is {run.task.name}, and decisions are made for one label a text; {one}: "
        f"{as_set('data.label', column or 'COLUMN')} --set data.task=single-label"
    )


def _decide_range(run: Run, wish: Wish, rows: ScoredRows | None) -> Decision:
    """How far ranges around estimated numbers reach, as `decide` makes a decision. Raises DataError for other wishes."""
    others = {"--max-error": wish.max_error, "--coverage": wish.coverage, "--costs": wish.costs}
    asked = next((name for name, value in others.items() if value is not None), None)
    if asked is not None or wish.sets is None:
        raise DataError(
            f"{asked or 'nothing'} was asked for, and {run.folder} estimates a number, around which a range can hold the "
            f"true one: rankwise decide {as_typed(run.folder)} --sets 90%"
        )
    chosen, where, folds = choosing_rows(run, rows)
    bounds, test, wanted = run.preprocessing.bounds, run.scored_rows(), share(wish.sets)
    found = reach_for(chosen, bounds, wish.sets)
    if found.reach is None:
        why = (
            f"are too few for ranges that hold the true number of {wanted} of the texts; {found.more_rows:,} more would do: "
            "give them all with --data FILE, or ask for less"
            if found.more_rows
            else f"have more numbers beyond the bounds that the run keeps to (data.bounds) than {wanted} lets; ask for less"
        )
        raise RunError(f"{run.folder}: {where} {why}")
    verified = answers_within(found.reach, test, bounds)
    decision = Decision(
        classes=run.preprocessing.classes,
        run=sha256(run.folder / SCORES),
        asked=f"ranges that hold the true number of {wanted} of the texts",
        wanted=wish.sets,
        chosen_on=where,
        folds=folds,
        rule=Rule(scaling=Scaling(), reach=found.reach),
        promised=answers_within(found.reach, chosen, bounds),
        verified=verified,
        calibration=None,
        looks=1 + _looks(run),
        verdict="",
        sets=wish.sets,
    )
    if verified.holds is not None and verified.rows:
        held = f"{share(verified.holds.value or 0)} of the test rows' ranges hold the true number"
        decision = replace(decision, verdict=f"{_borne_out(wish.sets, verified.holds)}: {held}")
    run.keep_decision(decision)
    return decision


def reaches(run: Run, *, rows: ScoredRows | None = None) -> tuple[str, list[Reach]]:
    """How far ranges reach for several shares of texts, by the rows that the run held out, and which rows these are."""
    chosen, where, _ = choosing_rows(run, rows)
    return where, [reach_for(chosen, run.preprocessing.bounds, wanted) for wanted in SHARES]


def _rule(run: Run, held: Held, wish: Wish) -> Rule:
    """The rule that grants a wish. Raises RunError where the rows can't promise it."""
    rule = Rule(scaling=held.calibrated.scaling, most_energy=held.most_energy, costs=wish.costs)
    confidence, wrong = held.confidence[held.alike], held.wrong[held.alike]
    if wish.max_error is not None:
        threshold = threshold_for_error(confidence, wrong, wish.max_error)
        if threshold is None:
            raise RunError(f"{run.folder}: {_why_not(held, wish.max_error)}")
        rule = replace(rule, least_confidence=threshold.confidence)
    if wish.coverage is not None:
        among = min(1.0, wish.coverage / max(held.alike.mean(), 1e-9))
        rule = replace(rule, least_confidence=threshold_for_coverage(confidence, wrong, among).confidence)
    if wish.sets is not None:
        rule = replace(rule, least_in_set=_set_threshold(run, held, wish.sets))
    return rule


def _set_threshold(run: Run, held: Held, wanted: float) -> float:
    known = held.rows.truth >= 0
    of_truth = held.calibrated.probabilities[np.arange(len(known)), held.rows.truth]
    if len(of_truth) < fewest_rows(wanted):
        raise RunError(
            f"{run.folder}: {held.where} are too few to promise sets that hold the true label of {share(wanted)} of the "
            f"texts, which takes {fewest_rows(wanted):,}; give as many with --data FILE, or ask for less"
        )
    return set_threshold(np.where(known, of_truth, 0.0), wanted)


def _why_not(held: Held, max_error: float) -> str:
    """Why no threshold promises a share of mistakes, how many rows would do, and what can be promised."""
    confidence, wrong = held.confidence[held.alike], held.wrong[held.alike]
    more = more_rows(confidence, wrong, max_error)
    needs = f"about {about(more)} more rows like these would do" if more else "even the surest are wrong too often for that"
    others = (error for error in FURTHER if error > max_error and threshold_for_error(confidence, wrong, error))
    other = next(others, None)
    advice = f"{share(other)} can be promised: --max-error {100 * other:g}%" if other else "train on more rows first"
    return f"{held.where} show of no threshold that at most {share(max_error)} of its answers are wrong; {needs}; {advice}"


def _measured(run: Run, test: ScoredRows, probabilities: Floats) -> Measured:
    """Log-loss and calibration error of the test rows, before and after calibration."""
    how: dict[str, Any] = {"resamples": run.recipe.evaluate.resamples, "confidence": run.recipe.evaluate.confidence}
    before, after = run.scores.test, score(probabilities, test.truth, run.preprocessing.classes, **how)
    return Measured(before.log_loss, before.calibration_error, after.log_loss, after.calibration_error)


def _looks(run: Run) -> int:
    """How many decisions were verified on the run's test rows so far; one that is damaged or another run's is replaced."""
    try:
        before = read_decision(run.folder, run.preprocessing.classes)
    except RunError:
        return 0
    return 0 if before is None else before.looks
