"""`rankwise predict`: labels for a file, for texts of the command line, or for standard input.

Of the time that a text of the command line takes, imports are most, so nothing is imported before it is needed, and rich not
at all for a label.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer
from typer import Argument, Option

from rankwise.cli.arguments import EngineOption, JsonOption, RunArg, SetOption, TextColumn, print_json, takes_options
from rankwise.errors import DataError
from rankwise.run.engines import engine_called
from rankwise.run.manifest import check_run

if TYPE_CHECKING:
    from rankwise.run.folder import Run


@dataclass(frozen=True, kw_only=True)
class PredictOptions:
    run: RunArg
    source: Annotated[
        str | None, Argument(metavar="DATA", help="A file of texts; - reads one text a line from standard input; sample.")
    ] = None
    text: Annotated[list[str] | None, Option(help="A text to classify. Repeatable.")] = None
    out: Annotated[Path | None, Option(help="A .csv, .tsv, .jsonl or .parquet file; CSV on standard output if not.")] = None
    probabilities: Annotated[bool, Option("--probabilities", help="Add every class's probability.")] = False
    submission: Annotated[
        str | None, Option(metavar="ID,LABEL", help="Two columns only: the file's id (or row from 0), label.")
    ] = None
    numbers: Annotated[bool, Option("--numbers", help="Write class numbers from 0 instead of names.")] = False
    mc_dropout: Annotated[int, Option(min=0, help="Average N passes with dropout on.")] = 0
    batch_size: Annotated[int, Option(min=1, help="Texts per forward pass.")] = 32
    engine: EngineOption = "torch"
    text_column: TextColumn = None
    overrides: SetOption = None
    as_json: JsonOption = False


@takes_options
def predict(options: PredictOptions) -> None:
    """Label texts from a file, the command line or standard input."""
    if (options.source is None) == (not options.text):
        raise DataError("give a file to predict, or --text TEXT; a - reads one text a line from standard input")
    if options.mc_dropout and not engine_called(options.engine).dropout:
        raise DataError(f"--mc-dropout needs dropout, which --engine {options.engine} has none of; type --engine torch")
    check_run(options.run)
    if options.text and options.out is None and not (options.as_json or options.submission or options.numbers):
        predictions = _run_of(options).predict(options.text, mc_dropout=options.mc_dropout, engine=options.engine)
        show_predictions(options.text, predictions, all_classes=options.probabilities)
    else:
        _write_rows(options)


def _write_rows(options: PredictOptions) -> None:
    from rankwise.cli import console
    from rankwise.cli.options import check_apart, check_data, spec_for, with_columns

    if options.source not in (None, "-"):
        check_data(str(options.source))
    if options.out is not None and options.source is not None:
        check_apart(options.out, options.source)
    from rankwise.data.files.formats.csv import write_lines
    from rankwise.data.files.output import write_rows
    from rankwise.data.files.table import Record
    from rankwise.workflows.score_files import Form, other_columns, parse_submission, predict_rows, source_for, written_rows

    loaded = _run_of(options)
    form = Form(options.probabilities, parse_submission(options.submission), options.numbers)
    columns = form.columns(loaded.preprocessing.classes)
    how: dict[str, Any] = {"mc_dropout": options.mc_dropout, "batch_size": options.batch_size, "engine": options.engine}
    if options.text or options.source == "-":
        texts = enumerate(options.text or _lines(sys.stdin), start=1)
        rows = written_rows(loaded, (Record(number, text.rstrip("\r\n"), None, {}) for number, text in texts), form, **how)
    else:
        spec = spec_for(loaded.recipe, str(options.source), options.overrides)
        source = with_columns(source_for(spec, labelled=False)[0], options.text_column, None)
        layout, rows = predict_rows(loaded, source, spec, form, **how)
        for line in (*layout.warnings, *filter(None, [other_columns(loaded, layout)])):
            typer.secho(f"note: {line}", err=True)
        if options.out is not None and not options.as_json:
            console.dim(layout.describe())
        elif layout.guess:
            typer.secho(layout.describe(), err=True)
    if options.out is not None:
        count = write_rows(options.out, columns, rows)
        if options.as_json:
            print_json({"rows": count, "out": str(options.out)})
        else:
            console.dim(f"{count:,} predictions → {options.out}")
    elif options.as_json:
        for row in rows:
            typer.echo(json.dumps(row, ensure_ascii=False))
    else:
        write_lines(sys.stdout, columns, rows)


def _run_of(options: PredictOptions) -> "Run":
    """The run, its engine loaded and told of."""
    from rankwise.run.folder import Run

    run = Run.load(options.run)
    show_engine(run, options.engine)
    return run


def show_engine(run: "Run", engine: str) -> None:
    """Load the engine, and say on standard error how close an export comes to torch; torch itself needs no word."""
    if about := run.predictor_on(engine).about:
        typer.secho(about, err=True, dim=True)


def _lines(stream: TextIO) -> Iterator[str]:
    """Lines of standard input. Raises DataError for one that is no UTF-8."""
    for number, line in enumerate(stream.buffer, start=1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"standard input, line {number}: not utf-8 at byte {error.start:,}; send it as UTF-8") from error


def show_predictions(texts: Sequence[str], predictions: Sequence[Any], *, all_classes: bool = False) -> None:
    """Label, score and text, a line each; with every class's probability below when asked."""
    for text, prediction in zip(texts, predictions, strict=True):
        shown = text if len(text) <= 90 else text[:87] + "…"
        typer.echo(f"{typer.style(prediction.label, bold=True)}  {prediction.score:.1%}  {typer.style(shown, dim=True)}")
        if all_classes:
            for name, value in sorted(prediction.probabilities.items(), key=lambda item: -item[1]):
                typer.echo(f"  {value:6.1%}  {name}")
