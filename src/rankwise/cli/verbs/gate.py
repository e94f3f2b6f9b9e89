"""`rankwise gate NEW --against OLD`: whether a new run is worse than the one in use, as an exit code that CI reads."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape
from typer import Argument, Option

from rankwise.cli import arguments, console
from rankwise.cli.options import check_data, spec_for, with_columns
from rankwise.cli.progress import WorkProgress
from rankwise.cli.verbs.predict import show_engine
from rankwise.errors import RunError
from rankwise.run.manifest import check_run
from rankwise.system.events import Events

if TYPE_CHECKING:
    from rankwise.run.folder import Run
    from rankwise.workflows.gate import Gate, Reading, Score

SCORES: "dict[str, Score]" = {"accuracy": "accuracy", "macro-f1": "macro_f1"}
EPILOG = (
    "Exit codes: 0 NEW is not worse by the margin and holds what its decision promises (rankwise decide), 3 it is worse by "
    "more or breaks a promise, 4 not enough rows to tell; 2 a mistake to correct."
)

MARKS = {0: "[bold green]passes:[/]", 3: "[bold red]fails:[/]", 4: "[bold yellow]not told:[/]"}


@dataclass(frozen=True, kw_only=True)
class GateOptions:
    new: Annotated[Path, Argument(metavar="NEW", help="The run that is to take the other's place.")]
    against: Annotated[Path, Option(metavar="OLD", help="The run that is in use.")]
    data: Annotated[str | None, Option(metavar="FILE", help="Labelled rows to score both on, not the kept test rows.")] = None
    margin: Annotated[float, Option(metavar="POINTS", help="How many points NEW may lose.")] = 0.5
    score: Annotated[
        Literal["accuracy", "macro-f1"] | None,
        Option(
            help="What they are held against each other by.  [default: accuracy; of several labels macro-f1, of a number R²]"
        ),
    ] = None
    summary: Annotated[
        Path | None, Option(metavar="FILE", help="Append a summary in Markdown, as to $GITHUB_STEP_SUMMARY.")
    ] = None
    text_column: arguments.TextColumn = None
    text_pair_column: arguments.TextPairColumn = None
    label_column: arguments.LabelColumn = None
    unseen: Annotated[bool, Option("--unseen-as-wrong", help="Score labels the runs never saw as wrong.")] = False
    engine: arguments.EngineOption = "torch"
    overrides: arguments.SetOption = None
    as_json: arguments.JsonOption = False


@arguments.takes_options
def gate(options: GateOptions) -> None:
    """Whether a new run is worse than the one in use by more than a margin, on the same rows; the exit code says it."""
    for folder in (options.new, options.against):
        check_run(folder)
    if options.new.samefile(options.against):
        raise RunError(f"NEW and OLD are one folder, {options.new}; give --against the run that is in use")
    if options.data is not None:
        check_data(options.data)
    elif idle := _of_files_alone(options):
        raise RunError(f"{idle} says how a file is read or scored, and none is; give one too: --data FILE")
    if options.summary is not None and not options.summary.absolute().parent.is_dir():
        raise RunError(f"--summary {options.summary}: no such folder; give a file in a folder that is there")
    from rankwise.run.folder import Run
    from rankwise.workflows.gate import check_margin

    check_margin(options.margin)
    gate = _held(Run.load(options.new), Run.load(options.against), options)
    if options.summary is not None:
        gate.append_to(options.summary)
    if options.as_json:
        arguments.print_json(gate.as_dict())
    else:
        show_gate(gate)
        if options.summary is not None:
            console.dim(f"the summary → {options.summary}")
    raise typer.Exit(gate.exit_code)


def _of_files_alone(options: GateOptions) -> str:
    """The first option given that means nothing without --data; empty where there is none."""
    given = {
        "--text-column": options.text_column,
        "--text-pair-column": options.text_pair_column,
        "--label-column": options.label_column,
        "--unseen-as-wrong": options.unseen,
        "--engine": options.engine != "torch",
        "--set": options.overrides,
    }
    return next((name for name, value in given.items() if value), "")


def _held(new: "Run", old: "Run", options: GateOptions) -> "Gate":
    """NEW held against OLD on the test rows that both kept, or on rows that both are scored on now."""
    from rankwise.workflows.gate import gate, kept_by_both, scored_by_both
    from rankwise.workflows.score_files import source_for

    def read_by(run: "Run") -> "Reading":
        unseen = ["data.unseen_labels=wrong"] if options.unseen else []
        spec = spec_for(run.recipe, options.data or "", [*(options.overrides or []), *unseen])
        source, numbering = source_for(spec, labelled=True)
        columns = (options.text_column, options.label_column, options.text_pair_column)
        return with_columns(source, *columns), spec, numbering

    if options.data is None:
        answered = kept_by_both(new, old)
    else:
        for run in (new, old):
            show_engine(run, options.engine)
        with WorkProgress() as progress:
            answered = scored_by_both(new, old, read_by, engine=options.engine, events=Events(progress))
    with console.working("comparing"):
        return gate(answered, margin=options.margin, score=None if options.score is None else SCORES[options.score])


def show_gate(gate: "Gate") -> None:
    """Both runs' scores, the verdicts in words, what the rows can tell, and what is to be noted."""
    from rankwise.workflows.gate import EXIT_CODES

    better = "nearer than the other" if gate.score == "r2" else "right where the other is not"
    table = console.plain_table("", "run", f"{gate.score_name} %", better, right=(2, 3))
    table.columns[1].overflow = "fold"
    for name, side in (("NEW", gate.new), ("OLD", gate.old)):
        percent = "n/a" if side.score is None else f"{100 * side.score:.1f}"
        table.add_row(f"[bold]{name}[/]", escape(side.run), percent, f"{side.alone_right:,}")
    console.out.print(table)
    console.dim(f"{gate.rows:,} rows: {gate.data}")
    told = [(gate.outcome, gate.verdict), *((promise.outcome, promise.verdict) for promise in gate.promises)]
    for outcome, verdict in told:
        console.out.print(f"{MARKS[EXIT_CODES[outcome]]} {escape(verdict)}")
    for line in filter(None, (gate.advice, str(gate.power))):
        console.dim(line)
    for line in gate.notes:
        console.note(line)
