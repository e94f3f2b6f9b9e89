"""`rankwise compare RUN…`: a line a system with scores and costs, then a verdict in words for each pair."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from rich.markup import escape
from typer import Argument, Option

from rankwise.cli import console
from rankwise.cli.arguments import JsonOption, print_json
from rankwise.errors import RunError
from rankwise.run.manifest import check_run
from rankwise.stats.score_names import called

if TYPE_CHECKING:
    from rankwise.workflows.compare import Comparison


def compare(
    runs: Annotated[list[Path], Argument(metavar="RUN", help="Run folders, two or more, such as runs/*.")],
    metric: Annotated[
        Literal["accuracy", "macro-f1", "r2", "pearson"] | None,
        Option(help="What the verdicts are on.  [default: accuracy; of several labels a text macro-f1, of numbers r2]"),
    ] = None,
    out: Annotated[Path | None, Option(help="Also write the table to a .csv file.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Which run is better on the same test rows, and whether that is shown; runs that differ in their seed are pooled."""
    for folder in runs:
        check_run(folder)
    if len(runs) < 2:
        raise RunError(f"found one run, {runs[0]}; expected two or more to compare: rankwise compare runs/*")
    if out is not None and out.suffix != ".csv":
        raise RunError(f"--out {out}: can't write '{out.suffix}' files; expected a .csv file")
    from rankwise.run.folder import Run
    from rankwise.workflows.compare import compare as compare_runs

    with console.working("comparing"):
        comparison = compare_runs(Run.load(folder) for folder in runs)
    if metric is not None and metric.replace("-", "_") not in comparison.scores:
        scores = " or ".join(score.replace("_", "-") for score in comparison.scores)
        raise RunError(f"--metric {metric}: these runs are compared by {scores}; type one of them, or leave it out")
    if out is not None:
        comparison.write_csv(out)
    if as_json:
        print_json(comparison.as_dict())
        return
    show_comparison(comparison, None if metric is None else metric.replace("-", "_"))
    if not comparison.pairs:
        console.note(
            "these runs are one recipe with several seeds, so there is nothing to compare; give another recipe's too"
        )
    if out is not None:
        console.dim(f"the table → {out}")


def show_comparison(comparison: "Comparison", metric: str | None = None) -> None:
    """Scores and costs of each system, the verdicts on a score or on the first, how they came about."""
    of_classes = "accuracy" in comparison.scores
    first, second = ("accuracy", "macro_f1") if of_classes else comparison.scores
    metric = metric or comparison.scores[0]
    headings = ("accuracy %", "F1 %", "loss") if of_classes else (called(first), called(second))
    table = console.plain_table("system", "seeds", *headings, "trained", "seconds", "GB")
    table.padding = (0, 1, 0, 0)
    table.columns[0].overflow = "fold"  # the only one to wrap where the lines are too narrow
    for system in comparison.systems:
        f1, peak = system.named(second).value, system.peak_bytes
        told = "n/a" if f1 is None else f"{100 * f1:.1f}" if of_classes else f"{f1:.3f}"
        table.add_row(
            f"[bold]{escape(system.name)}[/]",
            str(len(system.seeds)),
            (console.percent if of_classes else console.number)(system.named(first)),
            told,
            *([] if system.log_loss is None else [f"{system.log_loss:.2f}"]),
            f"{system.trained_parameters:,}",
            f"{system.training_seconds:,.0f}",
            "" if peak is None else f"{peak / 1e9:.1f}",
        )
    console.out.print(table)
    console.dim(
        f"{comparison.test_rows:,} test rows, the same for all; {_intervals(comparison)}. "
        f"{'F1: macro, loss: log-loss, ' * of_classes}trained: parameters, seconds: of training, GB: peak memory."
    )
    if comparison.pairs:
        console.out.print(f"\n[bold]{called(metric)}[/]")
    for pair in comparison.pairs:
        console.hanging("-", escape(comparison.verdict(pair, metric)))
        if metric == "accuracy" and (by_seed := pair.by_seed()):
            console.hanging(" ", f"[dim]{by_seed}[/]")
    for line in comparison.notes:
        console.note(line)


def _intervals(comparison: "Comparison") -> str:
    """What the intervals are over; a single seed says nothing of seeds."""
    several = [len(system.seeds) > 1 for system in comparison.systems]
    level = f"{comparison.confidence:.0%} intervals"
    if not any(several):
        return f"{level} over rows alone"
    seeds = "rows and seeds" if all(several) else "rows, and over seeds where there are several"
    return f"{level} over {seeds}; means over seeds"
