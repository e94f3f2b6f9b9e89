"""`rankwise evaluate`: the scores of a run on labelled data, and with --shift those under each kind of shift."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from rich.markup import escape
from rich.measure import Measurement
from typer import Argument, Option

from rankwise.cli import arguments, console
from rankwise.cli.options import check_data, spec_for, with_columns
from rankwise.cli.progress import WorkProgress
from rankwise.cli.verbs.predict import show_engine
from rankwise.data.labelled import losses
from rankwise.data.scripts import script_counts, unseen_scripts
from rankwise.run.manifest import check_run
from rankwise.stats.score_names import called, is_share
from rankwise.stats.scores import Mistake, ScoresWithMistakes
from rankwise.system.events import Events
from rankwise.system.visible import one_line

if TYPE_CHECKING:
    from rankwise.run.format import ShiftReport
    from rankwise.stats.intervals import Interval

MOST_MIXED = 10  # pairs of classes that are shown
WIDTH = 76  # characters of an example
NOT_KEPT = "(not kept: evaluate.keep_texts is false)"
BEFORE = 24  # of them before the first that changed


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    run: arguments.RunArg
    source: Annotated[str, Argument(metavar="DATA", help="Labelled rows: a file, a folder, hub:NAME:SPLIT, sample.")]
    text_column: arguments.TextColumn = None
    text_pair_column: arguments.TextPairColumn = None
    label_column: arguments.LabelColumn = None
    unseen: Annotated[bool, Option("--unseen-as-wrong", help="Score labels the run never saw as wrong.")] = False
    shift: Annotated[
        bool, Option("--shift", help="Also under typos, letter case, title only and more; writes RUN/shift.json.")
    ] = False
    engine: arguments.EngineOption = "torch"
    base: arguments.BaseOption = None
    overrides: arguments.SetOption = None
    as_json: arguments.JsonOption = False


@arguments.takes_options
def evaluate(options: EvaluateOptions) -> None:
    """Score a run on labelled data, every score with its interval."""
    check_run(options.run)
    check_data(options.source)
    from rankwise.run.folder import Run
    from rankwise.workflows.score_files import evaluate_file, seen_in_training, source_for
    from rankwise.workflows.under_shift import shift_report, write_report

    run = Run.load(options.run, base=options.base)
    unseen = ["data.unseen_labels=wrong"] if options.unseen else []
    spec = spec_for(run.recipe, options.source, [*(options.overrides or []), *unseen])
    source, numbering = source_for(spec, labelled=True)
    source = with_columns(source, options.text_column, options.label_column, options.text_pair_column)
    with WorkProgress() as progress:
        how: dict[str, Any] = {"numbering": numbering, "engine": options.engine, "events": Events(progress)}
        table, split, evaluation = evaluate_file(run, source, spec, **how)
    show_engine(run, options.engine)
    seen = seen_in_training(run, table)
    scripts = {} if run.scripts is None else script_counts(table.texts)
    with console.working("scoring under shift"):
        report = shift_report(run, table, split, evaluation, engine=options.engine) if options.shift else None
    if options.as_json:
        if report:
            write_report(report, run.folder)
        about = {"run": str(options.run), "data": table.layout.describe(), "rows_seen_in_training": seen}
        about["rows_in_unseen_scripts"] = sum(scripts.values()) - sum(scripts.get(name, 0) for name in run.scripts or {})
        arguments.print_json(about, evaluation.scores, {"shift": report} if report else {})
        return
    console.dim(table.layout.describe())
    for line in (*losses(table.layout.name, table), *table.warnings):
        console.note(line)
    if seen:
        console.note(
            f"{seen:,} of {len(split):,} rows ({seen / len(split):.0%}) have texts that this run trained on or chose by, so "
            "the scores say little of new texts; give rows that it has not seen"
        )
    if line := unseen_scripts(scripts, run.scripts or {}, len(table.texts)):
        console.note(f"{line}; the scores are of all of them together")
    show_evaluation(evaluation.scores, run.preprocessing.classes)
    if report:
        show_shift(report)
        console.dim(f"written to {write_report(report, run.folder)}")


def show_evaluation(scores: ScoresWithMistakes, classes: Sequence[str]) -> None:
    """All scores, per-class scores, the confusion matrix and the most confident mistakes."""
    shown = [(score_name(name), score_cell(name, scores.named(name))) for name in scores.names]
    headings = (f"{scores.rows:,} rows", f"score [{scores.confidence_level:.0%} interval]")
    console.out.print(console.plain_table(*headings, rows=shown))
    if scores.per_class:
        _show_classes(scores)
    if scores.confusion:
        _show_confusion(scores.confusion, classes)
    if scores.mistakes:
        _show_mistakes(scores.mistakes)


def _show_classes(scores: ScoresWithMistakes) -> None:
    by_class = [
        (escape(row.name), f"{row.support:,}", *map(console.percent, (row.precision, row.recall, row.f1)))
        for row in scores.per_class
    ]
    per_class = console.plain_table("class", "rows", "precision %", "recall %", "F1 %", rows=by_class)
    per_class.columns[0].overflow = "fold"
    console.out.print(per_class)


def score_name(name: str) -> str:
    """The name of a score as a table has it: `micro-F1 %`."""
    return escape(called(name)) + " %" * is_share(name)


def score_cell(name: str, score: "Interval") -> str:
    """A score as a table has it under its name."""
    return console.percent(score) if is_share(name) else console.number(score)


def _show_confusion(matrix: Sequence[Sequence[int]], classes: Sequence[str]) -> None:
    """The matrix where the lines hold it whole; else the pairs of classes that are mixed up most."""
    shown = [[f"{n:,}" if i != j else f"[bold]{n:,}[/]" for j, n in enumerate(counts)] for i, counts in enumerate(matrix)]
    rows = [(escape(label), *counts) for label, counts in zip(classes, shown, strict=True)]
    table = console.plain_table("truth ↓  predicted →", *map(escape, classes), rows=rows)
    wide = console.out.options.update(width=10_000)
    if Measurement.get(console.out, wide, table).maximum <= console.out.width:
        console.out.print(table)
        return
    pairs = [(count, i, j) for i, counts in enumerate(matrix) for j, count in enumerate(counts) if count and i != j]
    if most := sorted(pairs, key=lambda pair: -pair[0])[:MOST_MIXED]:
        rows = [(escape(classes[i]), escape(classes[j]), f"{count:,}") for count, i, j in most]
        console.out.print(console.plain_table("mixed up most: truth", "predicted", "rows", rows=rows, right=(2,)))
    size = f"the confusion matrix of {len(classes)} classes"
    console.dim(f"{size} is wider than these lines; --json has it, and rankwise report")


def _show_mistakes(mistakes: Sequence[Mistake]) -> None:
    worst = ("farthest off", "truth", "estimated")
    of_numbers = all(mistake.confidence is None for mistake in mistakes)
    headings = worst if of_numbers else ("most confident mistakes", "truth", "predicted", "sure")
    table = console.plain_table("row", *headings, right=(2, 3) if of_numbers else (4,))
    table.columns[1].ratio = 1
    for mistake in mistakes:
        named = map(escape, (one_line(mistake.text or NOT_KEPT, 110), mistake.truth, mistake.predicted))
        table.add_row(f"[dim]{mistake.row}[/]", *named, *([] if of_numbers else [f"{mistake.confidence:.1%}"]))
    console.out.print(table)


def show_shift(report: "ShiftReport") -> None:
    """Accuracy, or R², and drop of each kind with intervals, the worst marked, an example under each."""
    score = "R² %" if report.of_numbers else "accuracy %"
    console.out.print(f"\n[dim]{'under shift':<20}{score:<20}{'drop, points':<22}inputs changed[/]")
    worst = report.worst
    for kind in report.kinds:
        name = f"{kind.kind.replace('_', ' '):<20}"
        original = kind.kind == "original"
        drop = "" if original else console.points(kind.drop)
        changed = "" if original else f"{kind.changed / kind.rows:.0%}"
        mark = "  [bold red]worst[/]" if kind is worst and (kind.drop.value or 0.0) > 0 else ""
        console.out.print(f"[bold]{name}[/]{console.percent(kind.r2 or kind.accuracy):<20}{drop:<22}{changed}{mark}")
        if kind.example:
            console.out.print(f"  [dim]{escape(excerpt(report.text, kind.example))}[/]", soft_wrap=True)
    console.out.print(
        f"[dim]{report.rows:,} rows, the same under every kind; {report.confidence_level:.0%} intervals in brackets, those "
        "of drops from paired rows. Inputs changed: rows whose tokens are others; cleaning and the tokenizer may undo a "
        "change of the text, such as of agencies or letter case.[/]"
    )


def excerpt(before: str, after: str, width: int = WIDTH) -> str:
    """`after` in one line of at most `width` characters, from shortly before where it differs from `before`."""
    before, after = (" ".join(text.split()) for text in (before, after))
    pairs = enumerate(zip(before, after, strict=False))
    differs = next((index for index, (old, new) in pairs if old != new), min(len(before), len(after)))
    start = 0 if differs < width - BEFORE or before == after else differs - BEFORE
    shown = ("…" if start else "") + after[start:]
    return shown if len(shown) <= width else shown[: width - 1] + "…"
