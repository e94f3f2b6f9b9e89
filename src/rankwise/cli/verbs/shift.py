"""What `rankwise evaluate --shift` prints: two lines a kind, its scores and what it does to one text."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape

from rankwise.cli import console
from rankwise.cli.arguments import print_json
from rankwise.recipe import DataSpec, SourceSpec
from rankwise.run.folder import Run
from rankwise.run.format import ShiftReport
from rankwise.workflows.under_shift import shift_file, write_report

WIDTH = 76  # characters of an example
BEFORE = 24  # of them before the first that changed


def evaluate_under_shift(
    run: Run, source: SourceSpec, spec: DataSpec, *, numbering: Sequence[str], engine: str, as_json: bool
) -> None:
    """Scores as `rankwise evaluate` prints them, then those under each kind of shift, which go into the run's folder too."""
    layout, evaluation, report = shift_file(run, source, spec, numbering=numbering, engine=engine)
    if as_json:
        about = {"run": str(run.folder), "data": layout.describe()}
        print_json(about, evaluation.with_mistakes(), {"shift": report})
        write_report(report, run.folder)
    else:
        console.dim(layout.describe())
        console.show_evaluation(evaluation.scores, evaluation.mistakes, run.preprocessing.classes)
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
