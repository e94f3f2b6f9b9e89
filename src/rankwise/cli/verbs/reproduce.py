"""`rankwise reproduce REPORT`: what a report printed beside what comes of it here, and what in it does not add up."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from typer import Argument, Option

from rankwise.cli import console
from rankwise.cli.arguments import FastOption, JsonOption, SetOption, print_json, takes_options
from rankwise.cli.options import FAST, check_data
from rankwise.cli.progress import TrainingProgress
from rankwise.cli.verbs.compare import show_comparison
from rankwise.errors import RecipeError
from rankwise.system.events import Event
from rankwise.system.storage import told_refusals

if TYPE_CHECKING:
    from rankwise.published.reports import DataName, Report
    from rankwise.published.reproduce import Outcome, Reproduction

SHOWN = ("start", "tick", "step", "evaluation", "end", "memory")  # kinds of a training's events


@dataclass(frozen=True, kw_only=True)
class ReproduceOptions:
    context: typer.Context
    report: Annotated[
        str | None, Argument(metavar="REPORT", help="A number such as 002, or one of its recipes; lists them if not.")
    ] = None
    data: Annotated[str | None, Option(help="AG News: a file, a folder; from the hub if not.")] = None
    imdb: Annotated[str | None, Option(help="IMDB, for report 004; from the hub if not.")] = None
    out: Annotated[Path | None, Option(help="The folder of its runs; reproductions/REPORT when left out.")] = None
    seeds: Annotated[int, Option(min=1, help="How many seeds each experiment is trained with.")] = 1
    only: Annotated[list[str] | None, Option(help="Just this experiment. Repeatable.")] = None
    fast: FastOption = False
    overrides: SetOption = None
    overwrite: Annotated[bool, Option("--overwrite", help="Train again what is already in --out.")] = False
    as_json: JsonOption = False


@takes_options
def reproduce(options: ReproduceOptions) -> None:
    """Run everything a report describes; its published numbers beside ours. The same command goes on where it stopped."""
    from rankwise.published.reports import find_report, reports

    if options.report is None:
        source_of = options.context.get_parameter_source
        known = {option.opts[0]: source_of(option.name or "") for option in options.context.command.params}
        if typed := [name for name, source in known.items() if source and source.name == "COMMANDLINE" and name != "--json"]:
            raise RecipeError(
                f"{' and '.join(typed)} without a report; type its number too, such as rankwise reproduce 002 {typed[0]} "
                "…; rankwise reproduce alone lists them"
            )
        _list(reports(), as_json=options.as_json)
        return
    report = find_report(options.report)
    report.chosen(options.only or [])  # a misspelt name is refused before libraries load
    paths: dict[DataName, str | None] = {"ag_news": options.data, "imdb": options.imdb}
    sources = {name: path for name, path in paths.items() if path is not None}
    for source in sources.values():
        check_data(source)
    from rankwise.published import reproduce as published

    overrides = (*(FAST if options.fast else ()), *(options.overrides or ()))
    request = published.Request(report, overrides, sources, options.seeds, tuple(options.only or ()))
    folder = options.out or Path("reproductions") / report.number
    advice = "free room there, and the same command goes on; or give another --out"
    with _Progress() as progress, told_refusals(folder, advice):
        reproduction = published.reproduce(request, folder, listeners=[progress], overwrite=options.overwrite)
    if options.as_json:
        print_json(reproduction.as_dict())
    else:
        show_reproduction(reproduction)


def show_reproduction(reproduction: "Reproduction") -> None:
    """Parameters, scores, what does not add up, and the experiments held against each other."""
    console.out.print(f"[bold]report {reproduction.report.number}[/]  {escape(reproduction.report.title)}\n")
    table = console.plain_table("trained parameters", "printed", "counted there", "counted here")
    for one in reproduction.outcomes:
        printed = one.experiment.trained_parameters
        shown = "" if printed is None else f"[red]{printed:,}[/]" if printed != one.counted else f"{printed:,}"
        table.add_row(one.experiment.name, shown, f"{one.counted:,}", f"{one.counted_here:,}")
    console.out.print(table)
    theirs = ", ".join(sorted({one.experiment.load().base for one in reproduction.outcomes}))
    console.dim(f"there: {theirs}, from its plan; here: {reproduction.base}")
    console.out.print()
    _show_scores(reproduction)
    console.out.print("\n[bold]what does not add up[/]")
    for line in reproduction.doubts:
        console.hanging("-", escape(line))
    for name, comparison in reproduction.comparisons.items():
        console.out.print("\n[bold]our runs compared[/]" + (f" on {name}" if len(reproduction.comparisons) > 1 else ""))
        show_comparison(comparison)


def _show_scores(reproduction: "Reproduction") -> None:
    for one in reproduction.outcomes:
        console.out.print(f"[bold]{one.experiment.name}[/]  [dim]{escape(one.experiment.summary)}[/]", soft_wrap=True)
        printed = ", ".join(f"{name} {value}" for name, value in one.experiment.scores.items())
        console.hanging("  there", escape(printed or "no score"))
        console.hanging("  here ", _ours(one))
    if idle := [one.experiment for one in reproduction.outcomes if not one.learned]:
        tiered = [experiment.load().train.rate_is_idle for experiment in idle]
        keys = ["--set train.learning_rate=1e-3"] if not all(tiered) else []
        keys += ["--set 'train.rates.tiers=[…]'"] if any(tiered) else []
        console.note(
            "not shown to be better than always answering the commonest class: "
            f"{', '.join(experiment.name for experiment in idle)}. Few updates move little at the report's learning rates; "
            f"give more rows or epochs, or another rate: {' or '.join(keys)}"
        )


def _ours(one: "Outcome") -> str:
    if one.system is None:
        return f"[yellow]not run:[/] {escape(one.left_out or '')}"
    scores = f"test accuracy {console.percent(one.system.accuracy)}"
    if one.validation_accuracy is not None and one.experiment.asks is None:
        scores += f", validation {100 * one.validation_accuracy:.1f}"
    return f"{scores}; {one.training_rows:,} rows, {console.counted(one.updates or 0, 'update')}"


def _list(known: list["Report"], *, as_json: bool) -> None:
    if as_json:
        print_json([report.model_dump(mode="json") for report in known])
        return
    for report in known:
        console.out.print(f"[bold]{report.number}[/]  {escape(report.title)}")
        for experiment in report.experiments:
            console.out.print(f"     {experiment.name:<20}[dim]{escape(experiment.summary)}[/]")
    console.out.print(
        "\nrankwise reproduce NUMBER --data FOLDER runs one; for a quick look add\n"
        "  --set base=minilm --set data.rows=500 --set data.test_rows=500 --fast"
    )


class _Progress(TrainingProgress):
    """A listener that says which training runs, and draws its progress, on standard error."""

    def __call__(self, event: Event) -> None:
        from rankwise.published.reports import ExperimentStarted

        if isinstance(event, ExperimentStarted):
            if self.task is not None:
                self.remove_task(self.task)
                self.task = None
            line = f"[dim]{event.number} of {event.total}:[/] {event.name}, seed {event.seed}"
            line += f"; {event.asked_by} needs it" if event.asked_by else ""
            console.err.print(line + ("; done already" if event.done else ""), soft_wrap=True)
        elif event.kind in SHOWN:
            super().__call__(event)
