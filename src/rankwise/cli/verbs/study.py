"""What a person sees of a sweep: how it goes while it runs, and the study when it is done."""

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.progress import TextColumn, TimeElapsedColumn

from rankwise.cli import console
from rankwise.cli.progress import Bar
from rankwise.recipe.differences import short_keys
from rankwise.stats.score_names import OF_NUMBERS, called
from rankwise.sweep import results
from rankwise.sweep.results import Standing, Trial
from rankwise.system.events import Event

if TYPE_CHECKING:
    from rankwise.sweep.space import Space
    from rankwise.sweep.study import Study

SHOWN = 10  # rows of the leaderboard that are printed; the file has them all
SHOWN_REJECTED = 3  # trials of which a line says why they were not trained
SHARES = ("accuracy", "macro_f1", "worst_shift")  # scores that are printed in percent
NAMES = {
    "accuracy": "accuracy %",
    "macro_f1": "macro-F1 %",
    "worst_shift": "worst shift %",
    "mcc": "MCC",
    "log_loss": "log-loss",
    **{name: called(name) for name in OF_NUMBERS},
    "root_mean_squared_error": "RMSE",
    "mean_absolute_error": "MAE",
}
VALUES = dict.fromkeys(SHARES, ".1%") | {"trained_parameters": ",.0f"}  # formats of objectives in one line; others: ,.4g


def show_study(study: "Study", folder: Path) -> None:
    """The leaderboard, what was left out, which settings mattered, the finalists, what to type next."""
    counted = Counter(trial.state for trial in study.trials)
    states = ", ".join(f"{count} {state}" for state, count in counted.items())
    console.out.print(f"[bold]{escape(study.name)}[/] on {escape(study.base.base)}: {len(study.trials)} trials: {states}")
    if finished := study.finished:
        _show_leaderboard(study, finished)
    for state, what in (("rejected", "rejected before training"), ("failed", "failed"), ("pruned", "pruned")):
        if left_out := [trial for trial in study.trials if trial.state == state]:
            console.dim(f"{len(left_out)} {what}, such as trial {left_out[0].number}: {left_out[0].reason}")
    if shares := study.importances():
        rows = [(escape(name), f"{share:.0%}", console.bar(round(1000 * share), 1000)) for name, share in shares.items()]
        mattered = "what mattered for " + study.objectives[0].replace("_", " ")
        console.out.print(console.plain_table(mattered, "share", "", rows=rows, right=(1,)))
    if study.finals:
        _show_finals(study)
    if best := study.best:
        console.out.print(
            f"\n[bold]best[/]   trial {best.number}: {escape(changes_of(best.params, study.varied))}\n"
            f"[bold]files[/]  {escape(str(folder))}/leaderboard.csv, trials.csv, best.yaml\n"
            f"[bold]next[/]   rankwise train {console.shell(folder / 'best.yaml')}\n"
            f"       rankwise report {console.shell(folder)}",
            soft_wrap=True,
        )


def _show_leaderboard(study: "Study", finished: Sequence[Trial]) -> None:
    """Scores and costs of the best, with what was changed beside them, or below where 80 columns don't hold it."""
    front = {trial.number for trial in study.front()} if len(study.objectives) > 1 else set()
    scores = [name for name in study.objectives if name in finished[0].scores]
    headings = [f"{NAMES[name]:>13}" for name in scores]
    console.out.print(f"[dim]trial{''.join(headings)}     trained  seconds{'  front' if front else ''}  what was changed[/]")
    shown = [trial for rank, trial in enumerate(finished) if rank < SHOWN or trial.number in front]
    for trial in shown:
        cells = "".join(f"{shown_scores(name, trial.scores[name]):>13}" for name in scores)
        mark = f"  {'●' if trial.number in front else ' ':^5}" if front else ""
        line = f"{trial.number:>5}[bold]{cells}[/]{trial.trained_parameters or 0:>12,}{trial.seconds or 0.0:>9.1f}{mark}"
        changed = escape(changes_of(trial.params, study.varied))
        fits = len(line) - len("[bold][/]") + 2 + len(changed) <= console.out.width
        console.out.print(f"{line}{'  ' if fits else chr(10) + '      '}[dim]{changed}[/]", soft_wrap=True)
    if len(finished) > len(shown):
        console.dim(f"and {len(finished) - len(shown)} more in leaderboard.csv")
    if front:
        console.dim("● on the Pareto front: no other trial is better in one objective without being worse in another")
    best = finished[0]
    if best.validation_rows and "accuracy" in best.scores:  # for who would read much into small differences
        share = best.mean("accuracy")
        margin = 1.96 * math.sqrt(share * (1 - share) / best.validation_rows)
        console.dim(
            f"on {best.validation_rows:,} validation rows the choice of rows alone makes ±{100 * margin:.1f} points (95 %); "
            "the best of many is flattered"
        )


def _show_finals(study: "Study") -> None:
    done = [final for final in study.finals if not final.reason]
    told = (*SHARES, *OF_NUMBERS)
    score = next((name for name in study.objectives if name in told and done and name in done[0].test), study.headline)
    table = console.plain_table("finalist", "runs", f"validation {NAMES[score]}", f"test {NAMES[score]}", "")
    best = study.best
    for number in dict.fromkeys(final.trial for final in study.finals):
        runs = [final for final in done if final.trial == number]
        scores = ([getattr(run, rows)[score] for run in runs] for rows in ("validation", "test"))
        cells = [shown_scores(score, values) if values else "" for values in scores]
        failed = sum(final.trial == number for final in study.finals) - len(runs)
        marks = ["[green]best[/]"] if best and best.number == number else []
        marks += [f"[red]{failed} of {len(runs) + failed} failed[/]"] if failed else []
        table.add_row(f"trial {number}", str(len(runs)), *cells, ", ".join(marks))
    console.out.print(table)
    if reason := next((final.reason for final in study.finals if final.reason), ""):
        console.note(f"a finalist that fails on a fresh seed gives way to one that does not: {reason}")
    console.dim(
        "finalists: whole runs on seeds that the search did not use; the best by validation; test rows scored once a run"
    )


def shown_scores(name: str, values: Sequence[float]) -> str:
    """`89.1 ± 0.3`: a score's mean over seeds and its standard deviation, in percent where it is a share."""
    scale, digits = (100, 1) if name in SHARES else (1, 3)
    around = f" ± {scale * stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{scale * fmean(values):.{digits}f}{around}"


def _tested(scores: Mapping[str, float]) -> str:
    """`test accuracy 89.1%`, of numbers `test Pearson 0.87`."""
    return f"test accuracy {scores['accuracy']:.1%}" if "accuracy" in scores else f"test Pearson {scores['pearson']:.3f}"


def _shown(name: str, value: float) -> str:
    return format(value, VALUES.get(name, ",.4g"))


def changes_of(params: Mapping[str, Any], varied: Sequence[str]) -> str:
    """`rank 8, alpha 16, adam`: as much of each key as tells it from the others."""
    short = short_keys(varied)
    values = {key: _plainly(value) for key, value in params.items()}
    return ", ".join(text if key == "train.optimizer.name" else f"{short[key]} {text}" for key, text in values.items())


def _plainly(value: Any) -> str:
    if isinstance(value, list):
        return "+".join(map(str, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)


class SweepProgress(Bar):
    """A listener that draws a bar with the trials done, the best so far and the time left, and a line for each trial."""

    def __init__(self, space: "Space", *, quiet: bool) -> None:
        best, eta = TextColumn("{task.fields[best]}"), TextColumn("{task.fields[eta]}")
        super().__init__(best, TimeElapsedColumn(), eta, disable=quiet)
        self.space, self.quiet = space, quiet
        self.unfinished = False
        self._waited = 0.0
        self._rejected = 0

    def __call__(self, event: Event) -> None:
        if isinstance(event, results.SweepStopped):
            self.unfinished = True
        if self.quiet:
            return
        match event:
            case results.SearchStarted():
                done, total = event.standing.done, event.standing.total
                self.task = self.add_task("trials", total=total, completed=done, best="", eta="")
                size = "" if self.space.size is None else f" of {self.space.size:,}"
                before = f"; {done} are done already" if done else ""
                beside = f"{event.jobs} beside each other" if event.jobs > 1 else "one after another"
                self._say(f"[dim]{total}{size} configurations by {self.space.search.sampler}, {beside}{before}[/]")
            case results.TrialEnded():
                self._trial(event.trial, event.standing)
            case results.ProcessDied():
                self._say(f"trial {event.number}: its process died; it is trained again")
            case results.TrialsAwaited() if time.monotonic() - self._waited > 10:
                self._waited = time.monotonic()
                which = "a trial" if event.trials == 1 else f"{event.trials} trials"
                what = "what a killed one left is taken over in half a minute"
                self._say(f"[dim]waiting for {which} of another driver; {what}[/]")
            case results.FinalistsChosen() if event.runs:
                self.update(self.task, description="finalists", completed=0, total=event.runs, eta="")
                runs = "one whole run" if event.runs == 1 else f"{event.runs} whole runs"
                which = "trial" if len(event.trials) == 1 else "trials"
                self._say(f"finalists: {which} {', '.join(map(str, event.trials))}; {runs}")
            case results.Final() as final:
                self.advance(self.task)
                outcome = escape(final.reason) or _tested(final.test)
                self._say(f"finalist trial {final.trial}, seed {final.seed}: {outcome}")

    def _trial(self, trial: Trial, standing: Standing) -> None:
        first = self.space.objectives[0]
        by = f" by {first.replace('_', ' ')}" if len(self.space.objectives) > 1 else ""
        best = f"best{by} {_shown(first, standing.best.values[first])}" if standing.best is not None else ""
        eta = "" if standing.eta_seconds is None else "ETA {}:{:02}".format(*divmod(round(standing.eta_seconds), 60))
        self.update(self.task, completed=standing.done, best=best, eta=eta)
        self._rejected += trial.state == "rejected"
        if trial.state == "rejected" and self._rejected > SHOWN_REJECTED:
            return
        scores = ", ".join(f"{name.replace('_', ' ')} {_shown(name, value)}" for name, value in trial.values.items())
        outcome = escape(scores if trial.state == "finished" else f"{trial.state}: {trial.reason}")
        progress = ", ".join(part for part in (f"{standing.done} of {standing.total}", best, eta) if part)
        bar = "" if console.err.is_terminal else f"[dim]({progress})[/] "  # where no bar is drawn
        self._say(f"{bar}trial {trial.number}: {outcome}  [dim]{escape(changes_of(trial.params, self.space.keys))}[/]")
        if trial.state == "rejected" and self._rejected == SHOWN_REJECTED:
            self._say("[dim]what else is rejected is told at the end, and in trials.csv[/]")

    def _say(self, line: str) -> None:
        console.err.print(line, soft_wrap=True)
