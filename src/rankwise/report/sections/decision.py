"""When a run answers: mistakes against the share of texts that are answered, what was decided, and how honest it then is."""

import numpy as np

from rankwise.errors import as_typed
from rankwise.report.blocks import Block, Code, Column, Figure, Section, Table
from rankwise.report.columns import ACCURACY, RUN
from rankwise.report.figures import charts
from rankwise.report.figures.composed import mean_curve
from rankwise.report.groups import Group
from rankwise.report.words import Value, in_words, percent, run_name
from rankwise.run.decision import Decision, Measured
from rankwise.run.folder import Run
from rankwise.run.manifest import SCORED_ROWS
from rankwise.stats.intervals import Interval, wilson
from rankwise.stats.scaling import Scaling
from rankwise.stats.scores import TopLabel
from rankwise.stats.selective import risk_curve

SHARES = np.arange(1, 21) / 20  # of the test rows that are answered
BINS = 15
ANSWERED = Column("answered", "texts answered, the surest first, %", "count")
ERROR = Column("error", "of these wrong, %", "share")


def decision_section(group: Group) -> Section:
    title, name = "When to answer", "decision-section"
    kept = [run for run in group.runs if (run.folder / SCORED_ROWS).is_file()]
    blocks: list[Block] = [_risk(group, kept)] if kept else []
    decided = [(run, run.decision) for run in group.runs if run.decision is not None]
    if not decided:
        commands = (f"rankwise decide {as_typed(run_name(run.folder))} --max-error 5%" for run in group.runs)
        lead = "Nothing is decided: every text is answered. A threshold with a bound on the mistakes, this finds:"
        return Section(name, title, [Code("\n".join(commands)), *blocks], lead=lead)
    blocks.append(_decisions(decided))
    run, decision = decided[0]
    if run in kept and decision.calibration is not None:
        blocks.append(_calibrated(run, decision.rule.scaling, decision.calibration, group.confidence))
    lead = " ".join(f"{_told(run, decision)}." for run, decision in decided)
    note = "Exact binomial intervals; upper bounds are one-sided. They hold for texts from where these rows came from."
    return Section(name, title, blocks, lead=lead, note=note)


def ranges_section(group: Group) -> Section:
    """How far from the estimates the true numbers are."""
    title, name = "How near the true number is", "decision-section"
    decided = [(run, run.decision) for run in group.runs if run.decision is not None and run.decision.rule.reach is not None]
    if not decided:
        commands = (f"rankwise decide {as_typed(run_name(run.folder))} --sets 90%" for run in group.runs)
        lead = "Nothing is decided: a number stands alone. A range that holds the true one so often, this finds:"
        return Section(name, title, [Code("\n".join(commands))], lead=lead)
    width, holds = Column("width", "mean width", "number"), Column("holds", "ranges that hold it, %", "share")
    columns = (RUN, Column("rows", "rows"), Column("count", "rows", "count"), holds, width)
    rows: list[tuple[Value, ...]] = []
    for run, decision in decided:
        for which, answers in ((decision.chosen_on, decision.promised), ("test rows", decision.verified)):
            rows.append((run_name(run.folder), which, answers.rows, answers.holds, answers.set_size))
    lead = " ".join(
        f"Asked of {run_name(run.folder)}: {decision.asked}; they reach {decision.rule.reach:.3g} to each side; "
        f"{decision.verdict}."
        for run, decision in decided
    )
    note = (
        "Exact binomial intervals. Ranges hold for texts from where these rows came from, within the bounds of the numbers."
    )
    return Section(name, title, [Table("decisions", "What was decided", columns, rows)], lead=lead, note=note)


def _told(run: Run, decision: Decision) -> str:
    """`Asked for: at most 5 % of the answers wrong; 42.8 % of the test rows are answered; borne out: …`."""
    answered = percent(decision.verified.answered / decision.verified.rows)
    told = f"Asked of {run_name(run.folder)}: {decision.asked}; {answered} of the test rows are answered"
    return "; ".join(filter(None, (told, decision.verdict)))


def _risk(group: Group, runs: list[Run]) -> Figure:
    """The share of mistakes among the surest test rows, for each share of them that is answered."""
    found = []
    for run in runs:
        rows, scaling = run.scored_rows(), Scaling() if run.decision is None else run.decision.rule.scaling
        probabilities = scaling.probabilities(rows.logits)
        wrong = run.task.decide(probabilities) != rows.truth
        found.append(risk_curve(run.task.confidence(probabilities), wrong, SHARES, group.confidence))
    points = [[(100 * share, error.value or 0.0) for share, error in curve] for curve in found]
    title = "Mistakes against texts answered"
    if len(found) == 1:
        band = [(100 * share, error.low or 0.0, error.high or 0.0) for share, error in found[0]]
        line = charts.Curve("test rows", points[0], band=band)
        rows_: list[tuple[Value, ...]] = [(100 * share, error) for share, error in found[0]]
        note = f"The band is an exact binomial interval of {percent(group.confidence, 0)} at each share by itself."
    else:
        line = mean_curve(f"mean of {len(found)} seeds", points, 0)
        ends = {at: (low, high) for at, low, high in line.band}
        rows_ = [(at, Interval(error, *ends.get(at, (None, None)))) for at, error in line.points]
        note = "The band is from the lowest seed to the highest."
    half, every = (min(line.points, key=lambda point: abs(point[0] - at)) for at in (50, 100))
    summary = f"Of the surest half {percent(half[1])} are wrong, of all {percent(every[1])}."
    return Figure(
        title, summary, charts.shares([line], ANSWERED, ERROR), Table("risk", title, (ANSWERED, ERROR), rows_), note
    )


def _decisions(decided: list[tuple[Run, Decision]]) -> Table:
    coverage, bound = Column("answered", "answered, %", "share"), Column("bound", "upper bound, %", "share")
    columns = (RUN, Column("rows", "rows"), Column("count", "rows", "count"), coverage, ERROR, bound)
    rows: list[tuple[Value, ...]] = []
    for run, decision in decided:
        for which, answers in ((decision.chosen_on, decision.promised), ("test rows", decision.verified)):
            shares = (answers.coverage, answers.error, answers.error_bound)
            rows.append((run_name(run.folder), which, answers.rows, *shares))
    return Table("decisions", "What was decided", columns, rows)


def _calibrated(run: Run, scaling: Scaling, measured: Measured, level: float) -> Figure:
    """Reliability with the decision's scaling, to be held beside that without."""
    rows = run.scored_rows()
    found = TopLabel.of(scaling.probabilities(rows.logits), rows.truth, BINS).reliability()
    bins, cells = [], []
    for one in found:
        if one.rows and one.confidence is not None and one.accuracy is not None:
            accuracy = wilson(one.accuracy, one.rows, level)
            bins.append((one.rows, one.confidence, accuracy))
            cells.append((one.low, one.high, one.rows, one.confidence, accuracy))
    before, after = measured.calibration_error, measured.calibration_error_calibrated
    words = f"Calibration error {in_words(before, 'number')} before, {in_words(after, 'number')} after"
    ends = (Column("above", "confidence above, %", "share"), Column("up_to", "up to, %", "share"))
    confidence, count = Column("confidence", "mean confidence, %", "share"), Column("rows", "rows", "count")
    table = Table("reliability-calibrated", "Reliability, calibrated", (*ends, count, confidence, ACCURACY), cells)
    title = "Reliability, calibrated"
    return Figure(title, f"{words}, in {len(bins)} bins.", charts.reliability(bins), table, f"{words}.")
