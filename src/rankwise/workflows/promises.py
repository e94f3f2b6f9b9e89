"""What a run's decision promises, held against labelled rows: it holds, it is broken, or there are not enough rows to tell.

A promise is a share of rows that may fail: of the answers those that are wrong, of all rows those whose set of labels lacks
the true one, or whose range the true number. It holds where the exact binomial upper bound of the share that fails, 95 %
one-sided, is no more than that, and is broken where the lower bound is more.
"""

from dataclasses import dataclass
from typing import Literal

from rankwise.run.folder import Run
from rankwise.run.format import ScoredRows
from rankwise.stats.intervals import Interval
from rankwise.stats.noninferiority import CONFIDENCE, share_rows_needed
from rankwise.stats.selective import exact_interval
from rankwise.workflows.decide import about, answers_of, share
from rankwise.workflows.ranges import answers_within

PromiseOutcome = Literal["holds", "broken", "not enough rows"]


@dataclass(frozen=True)
class Promise:
    """One promise, and what the rows say of it."""

    outcome: PromiseOutcome
    what: str
    """`of the answers wrong`."""
    limit: float
    """The share that may fail."""
    failed: int
    rows: int
    """Of which so many failed: the rows that are answered, or all."""
    bounds: Interval
    """The share that fails; each bound alone holds with 95 %."""
    rows_enough: int | None
    """How many would tell nine times in ten, if the share is what it seems; None where no number does."""

    @property
    def verdict(self) -> str:
        """In words, with the bound that it rests on."""
        promised = f"NEW's decision promises at most {share(self.limit)} {self.what}"
        if self.bounds.low is None or self.bounds.high is None:
            return f"{promised}, and answers none of these rows"
        seen = f"{self.failed:,} of {self.rows:,} are, {CONFIDENCE:.0%} sure to be"
        low, high = f"more than {self.bounds.low:.2%}", f"at most {self.bounds.high:.2%}"
        if self.outcome == "holds":
            return f"{promised}: {seen} {high}"
        if self.outcome == "broken":
            return f"{promised}: {seen} {low}"
        enough = "" if self.rows_enough is None else f"; about {about(self.rows_enough)} such rows would be enough"
        return f"{promised}, and the rows are not enough to tell: {seen} {low} and as sure {high}{enough}"


def decision_holds(run: Run, scored: ScoredRows) -> tuple[Promise, ...]:
    """What rows say of each promise of a run's decision; none where it has no decision, or one that promises nothing."""
    decision = run.decision
    if decision is None:
        return ()
    if decision.rule.reach is not None and decision.sets is not None:
        ranged = answers_within(decision.rule.reach, scored, run.preprocessing.bounds)
        return (_promise("of the ranges without the true number", 1 - decision.sets, ranged.wrong, ranged.rows),)
    found = answers_of(decision.rule, decision.rule.scaling.probabilities(scored.logits), scored, run.task)
    promises = []
    if decision.max_error is not None:
        promises.append(_promise("of the answers wrong", decision.max_error, found.wrong, found.answered))
    if decision.sets is not None and found.holds is not None and found.holds.value is not None:
        without = round((1 - found.holds.value) * found.rows)
        promises.append(_promise("of the sets without the true label", 1 - decision.sets, without, found.rows))
    return tuple(promises)


def _promise(what: str, limit: float, failed: int, rows: int) -> Promise:
    bounds = exact_interval(failed, rows, 2 * CONFIDENCE - 1)
    outcome: PromiseOutcome = "not enough rows"
    if bounds.high is not None and bounds.high <= limit:
        outcome = "holds"
    elif bounds.low is not None and bounds.low > limit:
        outcome = "broken"
    enough = share_rows_needed(failed / rows, limit) if rows else None
    return Promise(outcome, what, limit, failed, rows, bounds, enough)
