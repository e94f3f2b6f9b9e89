"""`rankwise predict`: labels for a file, for texts of the command line, or for standard input.

Of the time that a text of the command line takes, imports are most, so nothing is imported before it is needed, and rich not
at all for a label.
"""

import io
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO, cast

import typer
from typer import Argument, Option

from rankwise.cli.arguments import (
    BaseOption,
    EngineOption,
    JsonOption,
    RunArg,
    SetOption,
    TextColumn,
    TextPairColumn,
    print_json,
    takes_options,
)
from rankwise.data.given import name_of
from rankwise.data.labels import in_figures
from rankwise.data.pairs import apart, is_blank, pair_of, shown
from rankwise.data.scripts import script_counts, unseen_scripts
from rankwise.data.tasks.names import ONE_LABEL
from rankwise.errors import DataError
from rankwise.inference.decision import UNSURE
from rankwise.run.engines import ENGINES, engine_called
from rankwise.run.manifest import WORDS, check_run, run_that_has
from rankwise.system.visible import one_line, visible, visible_json

if TYPE_CHECKING:
    from rankwise.inference.explain import Explanation
    from rankwise.run.folder import Run

SHOWN = 90  # characters of a text beside its label
STRONGEST = 10  # words that are told for a label, and against it
LEAST = 0.005  # a score that is not told: it would be shown as 0.00
NESTS = ".jsonl"  # the files whose cells may hold lists


@dataclass(frozen=True, kw_only=True)
class PredictOptions:
    run: RunArg
    source: Annotated[
        str | None, Argument(metavar="DATA", help="A file of texts; - reads one text a line from standard input; sample.")
    ] = None
    text: Annotated[list[str] | None, Option(help="A text to classify. Repeatable.")] = None
    text_pair: Annotated[list[str] | None, Option(help="The second text, where a run classifies pairs; one for each.")] = None
    out: Annotated[
        Path | None,
        Option(help="A .csv, .tsv, .jsonl, .xlsx, .parquet, .arrow or .feather file; else CSV on standard output."),
    ] = None
    overwrite: Annotated[bool, Option("--overwrite", help="Replace the file in --out.")] = False
    spreadsheet: Annotated[
        bool, Option("--spreadsheet", help="In CSV, put ' before cells that a spreadsheet would run as formulas.")
    ] = False
    probabilities: Annotated[bool, Option("--probabilities", help="Add every class's probability.")] = False
    submission: Annotated[
        str | None, Option(metavar="ID,LABEL", help="Two columns only: the file's id (or row from 0), label.")
    ] = None
    numbers: Annotated[bool, Option("--numbers", help="Write class numbers from 0 instead of names.")] = False
    explain: Annotated[
        bool, Option("--explain", help="Add what each word of a text adds to its label's margin over the other classes.")
    ] = False
    no_decision: Annotated[bool, Option("--no-decision", help="Leave out what rankwise decide decided.")] = False
    mc_dropout: Annotated[int, Option(min=0, help="Average N passes with dropout on.")] = 0
    batch_size: Annotated[int, Option(min=1, help="Texts per forward pass.")] = 32
    engine: EngineOption = "torch"
    base: BaseOption = None
    text_column: TextColumn = None
    text_pair_column: TextPairColumn = None
    overrides: SetOption = None
    as_json: JsonOption = False


@takes_options
def predict(options: PredictOptions) -> None:
    """Label texts from a file, the command line or standard input."""
    if (options.source is None) == (not options.text):
        raise DataError("give a file to predict, or --text TEXT; a - reads one text a line from standard input")
    if options.mc_dropout and not engine_called(options.engine).dropout:
        raise DataError(f"--mc-dropout needs dropout, which --engine {options.engine} has none of; type --engine torch")
    if options.text_pair is not None and len(options.text_pair) != len(options.text or ()):
        raise DataError(f"{len(options.text or ())} --text and {len(options.text_pair)} --text-pair; give one for each pair")
    check_run(options.run)
    if options.explain:
        _check_explained(options)
    if options.text and options.out is None and not (options.as_json or options.submission or options.numbers):
        _show_texts(options)
    else:
        _check_files(options)
        _write_rows(options)


def _show_texts(options: PredictOptions) -> None:
    """Print what is predicted of the texts of the command line, with the words that speak for it where they are asked for."""
    texts, run = _texts(options), _run_of(options)
    _check_pairs(options, run)
    given, all_classes = list(map(apart, texts)), options.probabilities
    if options.explain:
        show_explanations(list(map(shown, texts)), run.explain(given), all_classes=all_classes)
    else:
        decide = _decides(run, options)
        predictions = run.predict(given, mc_dropout=options.mc_dropout, engine=options.engine, decide=decide)
        show_predictions(list(map(shown, texts)), predictions, all_classes=all_classes)
    _note_blank([number for number, text in enumerate(texts, start=1) if is_blank(text)])
    _note_scripts(run, script_counts(texts), len(texts))


def _check_explained(options: PredictOptions) -> None:
    """Raises DataError for what words are not explained with."""
    if options.submission:
        raise DataError("--submission writes an id and a label alone; leave it or --explain out")
    if options.mc_dropout:
        raise DataError("--explain is for one pass without dropout; leave --mc-dropout out")
    if options.engine != next(iter(ENGINES)) and not (options.run / WORDS).is_file():
        raise DataError(
            f"--explain needs torch, for gradients, which --engine {options.engine} has none of; type --engine torch"
        )


def _texts(options: PredictOptions) -> list[str]:
    """The texts of the command line, or its pairs."""
    if options.text_pair is None:
        return list(options.text or ())
    return list(map(pair_of, options.text or (), options.text_pair))


def _check_pairs(options: PredictOptions, run: "Run") -> None:
    """Raise DataError for single texts to a run of pairs, and for pairs to one of single texts."""
    if options.source == "-" and run.preprocessing.reads_pairs:
        raise DataError("this run classifies pairs of texts, and a line is one text; give a file with both in columns")
    if options.text and (options.text_pair is not None) != run.preprocessing.reads_pairs:
        pairs, found = "this run classifies pairs of texts: type --text FIRST --text-pair SECOND", "found --text alone"
        singles = "this run classifies single texts: leave --text-pair out"
        raise DataError(f"{pairs}, {found}" if run.preprocessing.reads_pairs else singles)


def _check_files(options: PredictOptions) -> None:
    """Raises DataError for what can't be read or written: before anything that takes seconds is loaded."""
    from rankwise.cli.options import check_apart, check_data

    if options.source not in (None, "-"):
        check_data(str(options.source))
    if options.out is None:
        return
    from rankwise.data.files.output import SHEETS, check_output, check_room

    if options.source is not None:
        check_apart(options.out, options.source)
    if own := run_that_has(options.out):
        raise DataError(f"--out {options.out} is one of the files of the run {own}, and would be gone; give another")
    check_output(options.out)
    if options.out.exists() and not options.overwrite:
        raise DataError(f"{options.out} is there already; type --overwrite to replace it, or give another --out")
    if options.spreadsheet and options.out.suffix not in SHEETS:
        raise DataError(f"--spreadsheet is for {' and '.join(SHEETS)}; {options.out.suffix} files are not run by one")
    check_room(options.out)


def _write_rows(options: PredictOptions) -> None:
    from rankwise.cli import console
    from rankwise.cli.options import spec_for, with_columns
    from rankwise.data.files.output import SHEETS, defused, write_rows
    from rankwise.data.files.table import Record
    from rankwise.run.folder import Run
    from rankwise.workflows.score_files import (
        Form,
        Noticed,
        other_columns,
        parse_submission,
        predict_rows,
        source_for,
        written_rows,
    )

    submission = parse_submission(options.submission)
    loaded = Run.load(options.run, base=options.base)
    _check_classes(options, loaded)
    printed = options.as_json and options.out is None
    decided = _decides(loaded, options)
    form = Form(
        options.probabilities,
        submission,
        options.numbers,
        typed=printed or (options.out is not None and options.out.suffix not in SHEETS),
        words=options.explain,
        nested=printed or (options.out is not None and options.out.suffix == NESTS),
        decided=decided,
        sets=decided and loaded.decision is not None and loaded.decision.rule.gives_sets,
        several=loaded.task.has_classes and loaded.task.name not in ONE_LABEL,
        number=not loaded.task.has_classes,
    )
    how: dict[str, Any] = {"mc_dropout": options.mc_dropout, "batch_size": options.batch_size, "engine": options.engine}
    own: Sequence[str] = ()
    noticed = Noticed()
    if options.text or options.source == "-":
        _check_pairs(options, loaded)
        texts = enumerate(_texts(options) or _lines(sys.stdin), start=1)
        records = (Record(number, text.rstrip("\r\n"), None, {}) for number, text in texts)
        rows = written_rows(loaded, noticed.of(records), form, **how)
    else:
        spec = spec_for(loaded.recipe, str(options.source), options.overrides)
        source = with_columns(source_for(spec, labelled=False)[0], options.text_column, None, options.text_pair_column)
        layout, rows = predict_rows(loaded, source, spec, form, noticed=noticed, **how)
        own = layout.columns
        for line in (*layout.warnings, *filter(None, [other_columns(loaded, layout)])):
            typer.secho(f"note: {visible(line)}", err=True)
        if options.out is not None and not options.as_json:
            console.dim(layout.describe())
        elif layout.guess:
            typer.secho(visible(layout.describe()), err=True)
    columns = form.columns(loaded.preprocessing.classes, own)
    if options.spreadsheet:
        columns, rows = defused(columns, rows)
    with console.working("loading the run"):
        if options.explain:
            _ = loaded.explainer
        else:
            show_engine(loaded, options.engine)
    if options.out is None:
        _print_rows(columns, rows, as_json=options.as_json)
        _note_blank(noticed.blank)
        _note_scripts(loaded, noticed.scripts, noticed.rows)
        return
    from rankwise.cli.progress import counted

    count = write_rows(options.out, columns, counted("predicting", rows))
    _note_blank(noticed.blank)
    _note_scripts(loaded, noticed.scripts, noticed.rows)
    if options.as_json:
        print_json({"rows": count, "out": str(options.out)})
    else:
        console.dim(f"{count:,} predictions → {options.out}")


def _check_classes(options: PredictOptions, run: "Run") -> None:
    """Raise DataError for what only classes have, where a run has none, or those of several columns."""
    if options.numbers and run.preprocessing.columns:
        raise DataError("--numbers counts the classes of one label column, and this run answers several; leave it out")
    given = {"--numbers": options.numbers, "--probabilities": options.probabilities}
    if not run.task.has_classes and (idle := [name for name, value in given.items() if value]):
        raise DataError(f"{idle[0]} is of classes, and this run estimates a number; leave it out")


def _note_blank(rows: Sequence[int]) -> None:
    """Say on standard error which rows had no text to go by."""
    if rows:
        numbers = f"{', '.join(map(str, rows[:5]))}{', …' if len(rows) > 5 else ''}"
        typer.secho(f"note: {len(rows):,} rows without a text ({numbers}) were labelled all the same; look at them", err=True)


def _note_scripts(run: "Run", counts: Mapping[str, int], rows: int) -> None:
    """Say on standard error how many of the texts are in scripts that no training text was in, where the run knows."""
    if run.scripts is not None and (line := unseen_scripts(counts, run.scripts, rows)):
        typer.secho(f"note: {line}; look at their labels", err=True)


def _print_rows(columns: Sequence[str], rows: Iterable[Mapping[str, Any]], *, as_json: bool) -> None:
    """Rows on standard output as they come: to the letter for a program, and for a terminal as they may be shown."""
    from rankwise.data.files.formats.csv import write_lines
    from rankwise.data.files.formats.json import as_line

    if as_json:
        for row in rows:
            typer.echo(visible_json(as_line(row)))
    else:
        stream = cast(TextIO, _Shown(sys.stdout)) if sys.stdout.isatty() else sys.stdout
        write_lines(stream, columns, rows)


class _Shown(io.TextIOBase):
    """A stream to a terminal, which obeys nothing that is written to it."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        return self.stream.write(visible(text))


def _run_of(options: PredictOptions) -> "Run":
    """The run, its engine loaded and told of where it predicts."""
    from rankwise.run.folder import Run

    run = Run.load(options.run, base=options.base)
    if not options.explain:
        show_engine(run, options.engine)
    return run


def _decides(run: "Run", options: PredictOptions) -> bool:
    """Whether the run's decision is applied, which is told on standard error, as where it can't be."""
    if run.decision is None or options.no_decision:
        return False
    off = {
        "--submission": options.submission,
        "--numbers": options.numbers,
        "--mc-dropout": options.mc_dropout,
        "--explain": options.explain,
    }
    if left_out := [name for name, value in off.items() if value]:
        typer.secho(f"note: with {left_out[0]} every text gets a label: the run's decision is left out", err=True)
        return False
    typer.secho(f"decided: {run.decision.asked} (decision.json; --no-decision leaves it out)", err=True, dim=True)
    return True


def show_engine(run: "Run", engine: str) -> None:
    """Load the engine, and say on standard error that it makes an export first, and how close that comes to torch."""
    if not (run.counts_words or engine_called(engine).is_ready(run)):
        typer.secho(f"exporting the run for --engine {engine}, once", err=True, dim=True)
    if about := run.predictor_on(engine).about:
        typer.secho(about, err=True, dim=True)


def _lines(stream: TextIO) -> Iterator[str]:
    """Lines of standard input. Raises DataError for one that is no UTF-8."""
    for number, line in enumerate(stream.buffer, start=1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"standard input, line {number}: not utf-8 at byte {error.start:,}; send it as UTF-8") from error


def show_explanations(texts: Sequence[str], explanations: Sequence["Explanation"], *, all_classes: bool) -> None:
    """Predictions, each with the words that speak for its label and against it, the strongest first."""
    for text, explanation in zip(texts, explanations, strict=True):
        show_predictions([text], [explanation], all_classes=all_classes)
        told = [word for word in explanation.strongest if abs(word.score) >= LEAST]
        if isinstance(explanation.label, (tuple, dict)):  # of which the surest is explained
            typer.echo(f"  of {visible(name_of(explanation.explained))}")
        if not told:
            typer.echo("  no word speaks for it or against it")
            continue
        for what, color, words in (
            ("for", "green", [word for word in told if word.score > 0]),
            ("against", "red", [word for word in told if word.score < 0]),
        ):
            scored = "  ".join(f"{one_line(word.word, SHOWN)} {word.score:+.2f}" for word in words[:STRONGEST])
            more = f"  and {len(words) - STRONGEST} more" if len(words) > STRONGEST else ""
            typer.echo(
                f"  {what:8} {typer.style(scored, fg=color)}{typer.style(more, dim=True)}" if words else f"  {what:8} no word"
            )


def show_predictions(texts: Sequence[str], predictions: Sequence[Any], *, all_classes: bool = False) -> None:
    """Label, score and text, a line each, of several labels each with its own; every class's probability below when asked."""
    for text, prediction in zip(texts, predictions, strict=True):
        label = _label_in_words(prediction)
        shown = typer.style(one_line(text, SHOWN), dim=True)
        if not prediction.probabilities:  # a number
            ends = "" if prediction.range is None else f"  {' to '.join(map(in_figures, prediction.range))}"
            typer.echo(f"{typer.style(in_figures(prediction.label), bold=True)}{ends}  {shown}")
            continue
        why = f" ({label}? {prediction.reason})" if prediction.unsure else ""
        given = UNSURE if prediction.unsure else label
        sure = "" if prediction.label and isinstance(prediction.label, (tuple, dict)) else f"  {prediction.score:.1%}"
        typer.echo(f"{typer.style(given, bold=True)}{why}{sure}  {shown}")
        if prediction.labels:
            typer.echo(f"  one of: {visible(', '.join(map(name_of, prediction.labels)))}")
        if all_classes:
            for name, value in sorted(prediction.probabilities.items(), key=lambda item: -item[1]):
                typer.echo(f"  {value:6.1%}  {visible(name_of(name))}")


def _label_in_words(prediction: Any) -> str:
    """The label; several of them with the probability of each."""
    found, scores = prediction.label, prediction.scores
    if isinstance(found, dict):
        return "  ".join(f"{visible(column)}: {visible(name_of(one))} {scores[column]:.1%}" for column, one in found.items())
    if isinstance(found, tuple):
        told = zip(found, scores, strict=True)
        return " + ".join(f"{visible(name_of(one))} {score:.1%}" for one, score in told) or "(none)"
    return visible(name_of(found))
