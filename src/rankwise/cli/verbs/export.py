"""`rankwise export`: a run for runtimes that know nothing of rankwise, in 8 bits where a paired test allows it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape
from typer import Option

from rankwise.cli import arguments, console
from rankwise.cli.arguments import BaseOption, RunArg, takes_options
from rankwise.cli.options import check_data, spec_for, with_columns
from rankwise.errors import RunError
from rankwise.run.deployed import FILES
from rankwise.run.manifest import check_run

if TYPE_CHECKING:
    FormatName = str

    from rankwise.run.folder import Run
    from rankwise.workflows.export import Exported, LabelledTokens
else:
    FormatName = Literal[tuple(FILES)]

EPILOG = (
    "Exit codes: 0 written, 3 refused for it loses more than --max-loss, 4 refused for the rows are too few to tell; 2 a "
    "mistake to correct."
)


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    run: RunArg
    form: Annotated[FormatName, Option("--format", help="What to write; onnx-int8 has its weights in 8 bits.")] = "onnx"
    out: Annotated[
        Path | None, Option(metavar="FOLDER", help="Where to.  [default: RUN/FORMAT, where --engine FORMAT finds it]")
    ] = None
    max_loss: Annotated[float, Option(metavar="POINTS", help="How many points 8 bits may lose.")] = 0.5
    data: Annotated[
        str | None, Option(metavar="FILE", help="Labelled rows to hold 8 bits against the run on, not its validation rows.")
    ] = None
    base: BaseOption = None
    text_column: arguments.TextColumn = None
    text_pair_column: arguments.TextPairColumn = None
    label_column: arguments.LabelColumn = None
    overrides: arguments.SetOption = None
    as_json: arguments.JsonOption = False


@takes_options
def export(options: ExportOptions) -> None:
    """Write a run for ONNX Runtime, transformers.js or OpenVINO; in 8 bits only where that loses no more than a margin."""
    check_run(options.run)
    if options.data is not None:
        check_data(options.data)
    elif options.text_column or options.text_pair_column or options.label_column or options.overrides:
        raise RunError("columns and --set say how a file is read, and none is; give one too: --data FILE")
    from rankwise.run.folder import Run
    from rankwise.workflows.export import export as write

    run = Run.load(options.run, base=options.base)
    with console.working("exporting"):
        rows = None if options.data is None else _rows(run, options)
        exported = write(run, options.form, options.out, max_loss=options.max_loss, rows=rows)
    if options.as_json:
        arguments.print_json({**vars(exported.about), "folder": exported.folder and str(exported.folder)})
    else:
        show(exported, options.run)
    raise typer.Exit(exported.exit_code)


def _rows(run: "Run", options: ExportOptions) -> "LabelledTokens":
    from rankwise.workflows.export import rows_in
    from rankwise.workflows.score_files import source_for

    spec = spec_for(run.recipe, options.data or "", options.overrides or [])
    source, numbering = source_for(spec, labelled=True)
    columns = (options.text_column, options.label_column, options.text_pair_column)
    return rows_in(run, with_columns(source, *columns), spec, numbering)


def show(exported: "Exported", run: Path) -> None:
    """Say what was written, how large and fast it is, and what it costs; or why not."""
    about, gate = exported.about, exported.gate
    size = f"{about.bytes / 1e6:.1f} MB"
    if about.bytes != about.bytes_fp32:
        size = f"{size}, {about.bytes / about.bytes_fp32:.2f}x of ONNX in fp32"
    console.out.print(f"{'size':8}{size}")
    if about.milliseconds is not None:
        speed = "" if about.form == "onnx" else f", {about.speed:.2f}x as fast as ONNX Runtime in fp32 here"
        threads = f"{about.threads} thread{'s' if about.threads > 1 else ''}"
        console.out.print(f"{'speed':8}{about.milliseconds:.2f} ms a text on {threads}{speed}")
    if gate is not None and about.held is not None:
        held = about.held
        told = f"{held.difference.bracketed('+.2f', times=100)} points of {gate.score_name} on {held.rows:,} rows"
        console.out.print(f"{'answers':8}{held.changed:,} of {held.rows:,} rows changed; {told}: {escape(held.data)}")
    if exported.folder is None:
        assert gate is not None, "nothing else is refused"
        why = gate.verdict.replace("NEW", "8 bits").replace("OLD", "the run")
        console.out.print(f"[bold red]refused:[/] {escape(why)}")
        if gate.advice:
            console.out.print(f"[dim]{escape(gate.advice)}; or allow more: --max-loss POINTS[/]")
        return
    console.out.print(f"{'folder':8}[bold]{escape(str(exported.folder))}[/]", soft_wrap=True)
    if about.windows and about.windows > 1:
        console.dim(f"texts of more than {about.max_length} tokens are read in windows by rankwise, and cut by other readers")
    if exported.folder.parent == run:
        console.dim(f"rankwise predict {console.shell(run)} --engine {about.form}")
