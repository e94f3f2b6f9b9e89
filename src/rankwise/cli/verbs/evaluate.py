"""`rankwise evaluate`: the scores of a run on labelled data, and with --shift those under each kind of shift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.measure import Measurement

from rankwise.cli import console
from rankwise.cli.arguments import (
    EngineOption,
    JsonOption,
    LabelColumn,
    RunArg,
    SetOption,
    TextColumn,
    print_json,
    takes_options,
)
from rankwise.cli.options import check_data, spec_for, with_columns
from rankwise.cli.verbs.predict import show_engine
from rankwise.recipe import DataSpec, SourceSpec
from rankwise.run.manifest import check_run
from rankwise.stats.scores import Mistake, Scores

if TYPE_CHECKING:
    from rankwise.run.folder import Run
    from rankwise.run.format import ShiftReport

MOST_MIXED = 10  # pairs of classes that are shown
WIDTH = 76  # characters of an example
BEFORE = 24  # of them before the first that changed


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """The arguments and options of `rankwise evaluate`."""

    run: RunArg
    source: Annotated[str, typer.Argument(metavar="DATA", help="Labelled rows: a file, a folder, hub:NAME:SPLIT, sample.")]
    text_column: TextColumn = None
    label_column: LabelColumn = None
    unseen: Annotated[bool, typer.Option("--unseen-as-wrong", help="Score labels the run never saw as wrong.")] = False
    shift: Annotated[
        bool, typer.Option("--shift", help="Also under typos, letter case, title only and more; writes RUN/shift.json.")
    ] = False
    engine: EngineOption = "torch"
    overrides: SetOption = None
    as_json: JsonOption = False


@takes_options
def evaluate(options: EvaluateOptions) -> None:
    """Score a run on labelled data, every score with its interval."""
    check_run(options.run)
    check_data(options.source)
    from rankwise.run.folder import Run
    from rankwise.workflows.score_files import evaluate_file, source_for

    loaded = Run.load(options.run)
    unseen = ["data.unseen_labels=wrong"] if options.unseen else []
    spec = spec_for(loaded.recipe, options.source, [*(options.overrides or []), *unseen])
    source, numbering = source_for(spec, labelled=True)
    source = with_columns(source, options.text_column, options.label_column)
    show_engine(loaded, options.engine)
    if options.shift:
        _evaluate_under_shift(loaded, source, spec, numbering=numbering, engine=options.engine, as_json=options.as_json)
        return
    layout, evaluation = evaluate_file(loaded, source, spec, numbering=numbering, engine=options.engine)
    if options.as_json:
        print_json({"run": str(options.run), "data": layout.describe()}, evaluation.with_mistakes())
    else:
        console.dim(layout.describe())
        show_evaluation(evaluation.scores, evaluation.mistakes, loaded.preprocessing.classes)


def show_evaluation(scores: Scores, mistakes: Sequence[Mistake], classes: Sequence[str]) -> None:
    """All scores, per-class scores, the confusion matrix and the most confident mistakes."""
    table = console.plain_table(f"{scores.rows:,} rows", f"score [{scores.confidence_level:.0%} interval]")
    table.add_row("accuracy %", console.percent(scores.accuracy))
    table.add_row("macro-F1 %", console.percent(scores.macro_f1))
    others = {"MCC": scores.mcc, "log-loss": scores.log_loss, "calibration error": scores.calibration_error}
    for name, interval in others.items():
        table.add_row(name, console.number(interval))
    console.out.print(table)
    per_class = console.plain_table("class", "rows", "precision %", "recall %", "F1 %")
    per_class.columns[0].overflow = "fold"
    for row in scores.per_class:
        shares = (console.percent(interval) for interval in (row.precision, row.recall, row.f1))
        per_class.add_row(escape(row.name), f"{row.support:,}", *shares)
    console.out.print(per_class)
    _show_confusion(scores.confusion, classes)
    _show_mistakes(mistakes)


def _show_confusion(matrix: Sequence[Sequence[int]], classes: Sequence[str]) -> None:
    """The matrix where the lines hold it whole; else the pairs of classes that are mixed up most."""
    table = console.plain_table("truth ↓  predicted →", *map(escape, classes))
    for label, counts in zip(classes, matrix, strict=True):
        table.add_row(escape(label), *(f"[bold]{n:,}[/]" if classes[i] == label else f"{n:,}" for i, n in enumerate(counts)))
    wide = console.out.options.update(width=10_000)
    if Measurement.get(console.out, wide, table).maximum <= console.out.width:
        console.out.print(table)
        return
    pairs = [
        (count, truth, predicted)
        for truth, counts in zip(classes, matrix, strict=True)
        for predicted, count in zip(classes, counts, strict=True)
        if count and truth != predicted
    ]
    mixed = console.plain_table("mixed up most: truth", "predicted", "rows", right=(2,))
    for count, truth, predicted in sorted(pairs, key=lambda pair: -pair[0])[:MOST_MIXED]:
        mixed.add_row(escape(truth), escape(predicted), f"{count:,}")
    if pairs:
        console.out.print(mixed)
    size = f"the confusion matrix of {len(classes)} classes"
    console.dim(f"{size} is wider than these lines; --json has it, and rankwise report")


def _show_mistakes(mistakes: Sequence[Mistake]) -> None:
    """A line for every mistake, cut where it gets long."""
    if not mistakes:
        return
    table = console.plain_table("row", "most confident mistakes", "truth", "predicted", "sure", right=(4,))
    table.columns[1].ratio = 1
    for mistake in mistakes:
        text = mistake.text if len(mistake.text) <= 110 else mistake.text[:107] + "…"
        names = (escape(mistake.truth), escape(mistake.predicted))
        table.add_row(f"[dim]{mistake.row}[/]", escape(text), *names, f"{mistake.confidence:.1%}")
    console.out.print(table)


def _evaluate_under_shift(
    run: Run, source: SourceSpec, spec: DataSpec, *, numbering: Sequence[str], engine: str, as_json: bool
) -> None:
    """Scores as `rankwise evaluate` prints them, then those under each kind of shift, which go into the run's folder too."""
    from rankwise.workflows.under_shift import shift_file, write_report

    layout, evaluation, report = shift_file(run, source, spec, numbering=numbering, engine=engine)
    if as_json:
        about = {"run": str(run.folder), "data": layout.describe()}
        print_json(about, evaluation.with_mistakes(), {"shift": report})
        write_report(report, run.folder)
    else:
        console.dim(layout.describe())
        show_evaluation(evaluation.scores, evaluation.mistakes, run.preprocessing.classes)
        show_shift(report)
        console.dim(f"written to {write_report(report, run.folder)}")


def show_shift(report: ShiftReport) -> None:
    """Accuracy and drop of each kind with intervals, the worst marked, an example under each."""
    console.out.print(f"\n[dim]{'under shift':<20}{'accuracy %':<20}{'drop, points':<22}inputs changed[/]")
    worst = report.worst
    for kind in report.kinds:
        original = kind.kind == "original"
        name = f"{kind.kind.replace('_', ' '):<20}"
        drop = "" if original else console.points(kind.drop)
        changed = "" if original else f"{kind.changed / kind.rows:.0%}"
        is_worst = kind is worst and (kind.drop.value or 0.0) > 0
        mark = "  [bold red]worst[/]" if is_worst else ""
        console.out.print(f"[bold]{name}[/]{console.percent(kind.accuracy):<20}{drop:<22}{changed}{mark}")
        console.out.print(f"  [dim]{escape(excerpt(report.text, kind.example))}[/]", soft_wrap=True)
    console.out.print(
        f"[dim]{report.rows:,} rows, the same under every kind; {report.confidence_level:.0%} intervals in brackets, those "
        "of drops from paired rows. Inputs changed: rows whose tokens are others; a tokenizer may undo a change of the text, "
        "such as of letter case.[/]"
    )


def excerpt(before: str, after: str, width: int = WIDTH) -> str:
    """`after` in one line of at most `width` characters, from shortly before where it differs from `before`."""
    before, after = (" ".join(text.split()) for text in (before, after))
    pairs = enumerate(zip(before, after, strict=False))
    differs = next((index for index, (old, new) in pairs if old != new), min(len(before), len(after)))
    start = 0 if differs < width - BEFORE or before == after else differs - BEFORE
    shown = ("…" if start else "") + after[start:]
    return shown if len(shown) <= width else shown[: width - 1] + "…"
