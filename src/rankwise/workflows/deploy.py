"""A trained run → what `budget.artifact_mb` and `budget.latency_ms` ask to be handed over, and whether it keeps them."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from rankwise.errors import as_typed
from rankwise.planning.deployment import FORMS, MB, forms_within
from rankwise.recipe import BudgetSpec
from rankwise.run.folder import Run
from rankwise.run.manifest import WORDS
from rankwise.system.events import Event, Events, Listener, WorkDone
from rankwise.workflows.export import export, rows_kept

SLACK = 1.25  # times the milliseconds: up to there a busy machine may be what is measured
REPEATS = 50
COUNTED = "a " * 1_000  # the text that counted words are timed on


@dataclass(frozen=True, kw_only=True)
class HandedOver(Event, kind="handed_over"):
    """What a trained run is handed over as, and how that stands to its budgets."""

    form: str
    folder: str
    megabytes: float | None = None
    """Of all its files; None where nothing was written, nor tried,"""
    milliseconds: float | None = None
    """nor the longest text that is read timed, alone."""
    lost: str = ""
    """What 8 bits cost in answers; empty of fp32."""
    problem: str = ""
    """Why a budget is not kept; empty where all are."""
    exit_code: int = 0
    """0 where budgets are kept, 3 where one is not, 4 where rows are too few to tell what 8 bits lose."""

    def lines(self) -> list[str]:
        """What a person reads."""
        told = [self.form]
        if self.megabytes is not None:
            told += [f"{self.megabytes:,.1f} MB, {self.milliseconds:,.1f} ms for the longest text"]
        return [", ".join(told) + (f"; {self.lost}" if self.lost else ""), *([self.problem] if self.problem else [])]


def deploy(run: Run, listeners: Iterable[Listener] = ()) -> HandedOver | None:
    """Hand a run over as its budgets ask, into its own folder, and measure that; None where no budget asks.

    8 bits are written only where fp32 is too large or too slow, and they lose no more than `budget.max_loss` points. Raises
    what `export` does.
    """
    budget = run.recipe.budget
    if not budget.deploys:
        return None
    events = Events(*listeners)
    events.emit(WorkDone("writing what is handed over", 0, 0))
    if run.counts_words:
        found = _counted(run)
    else:
        for form in forms_within(run.plan(), budget):
            found = _exported(run, form)
            if not found.problem:
                break
    events.emit(found)
    return found


def _exported(run: Run, form: str) -> HandedOver:
    """The run in a format, as far as it may be written in that."""
    budget = run.recipe.budget
    if form == FORMS[8] and (why := _untold(run)):
        return HandedOver(form=form, folder="", problem=f"8 bits are not written, for {why}", exit_code=4)
    exported = export(run, form, max_loss=budget.max_loss)
    about, gate, lost, refused = exported.about, exported.gate, "", ""
    if gate is not None and about.held is not None:
        lost = f"{about.held.difference.bracketed('+.2f', times=100)} points of {gate.score_name} on {gate.rows:,} rows"
        advice = f"; {gate.advice}; or allow more: --set budget.max_loss=POINTS" if gate.advice else ""
        refused = f"8 bits are not written: {gate.verdict}{advice}" if gate.exit_code else ""
    size = about.bytes if exported.folder is None else _bytes_in(exported.folder)
    assert about.longest_milliseconds is not None, "an export measures it"
    found = HandedOver(
        form=form,
        folder=str(exported.folder or ""),
        megabytes=round(size / MB, 2),
        milliseconds=about.longest_milliseconds,
        lost=lost,
    )
    return replace(found, problem=refused, exit_code=exported.exit_code) if refused else _judged(found, budget)


def _untold(run: Run) -> str:
    """Why nobody can tell what 8 bits lose; empty where their answers can be held against the run's."""
    if rows_kept(run) is None:
        typed = f"rankwise export {as_typed(run.folder)} --format {FORMS[8]} --data FILE"
        return f"the run keeps no validation rows to hold them against; with labelled rows of a file: {typed}"
    return ""


def _counted(run: Run) -> HandedOver:
    """A run that counts words, which is handed over as it is."""
    predictor, spent = run.predictor, []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        predictor.predict([COUNTED])
        spent.append(time.perf_counter() - begun)
    size = (run.folder / WORDS).stat().st_size
    found = HandedOver(
        form="words", folder=str(run.folder), megabytes=round(size / MB, 2), milliseconds=round(1000 * median(spent), 3)
    )
    return _judged(found, run.recipe.budget)


def _judged(found: HandedOver, budget: BudgetSpec) -> HandedOver:
    """The same, with what it breaks."""
    problems = []
    if budget.artifact_mb is not None and found.megabytes is not None and found.megabytes > budget.artifact_mb:
        problems.append(f"{found.megabytes:g} MB are more than budget.artifact_mb, {budget.artifact_mb:g}")
    if budget.latency_ms is not None and found.milliseconds is not None and found.milliseconds > SLACK * budget.latency_ms:
        slow = f"{found.milliseconds:.3g} ms are more than budget.latency_ms, {budget.latency_ms:g}"
        problems.append(f"{slow}; where this machine was busy, type the same command with --resume later")
    return replace(found, problem="; ".join(problems), exit_code=3) if problems else found


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
