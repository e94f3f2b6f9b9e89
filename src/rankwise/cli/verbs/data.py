"""`rankwise data`: what to know of a data set before training on it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from rich.markup import escape
from typer import Argument, Option

from rankwise.cli import console
from rankwise.cli.arguments import JsonOption, LabelColumn, SetOption, TextColumn, TextPairColumn, print_json, takes_options
from rankwise.cli.options import path_change, reading, with_columns
from rankwise.data.audit import Audit, audit
from rankwise.data.labelled import losses, read_splits
from rankwise.data.labels import in_figures
from rankwise.data.lengths import Lengths
from rankwise.data.tokens import tokenize_to_disk
from rankwise.encoders.base import locate
from rankwise.encoders.finding import find
from rankwise.errors import DataError
from rankwise.planning.workload import windows_of
from rankwise.recipe import Recipe

MOST_CLASSES = 40  # whose rows are shown
WINDOW = 128  # tokens, as `auto` has them


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    source: Annotated[
        str, Argument(metavar="DATA", help="A file, a folder with train/validation/test files, hub:NAME, or sample.")
    ]
    test: Annotated[Path | None, Option(help="A test file to compare with.")] = None
    text_column: TextColumn = None
    text_pair_column: TextPairColumn = None
    label_column: LabelColumn = None
    base: Annotated[str, Option(help="Whose tokenizer counts the tokens.")] = "minilm"
    no_tokens: Annotated[bool, Option("--no-tokens", help="Leave token lengths out; loads no torch.")] = False
    suspects: Annotated[bool, Option("--suspects", help="Instead: training rows whose label is probably wrong.")] = False
    features: Annotated[
        Literal["tfidf", "encoder"] | None, Option(help="What suspects are judged by; encoder: the --base.  [default: tfidf]")
    ] = None
    truth: Annotated[str | None, Option(metavar="COLUMN", help="True labels: print the suspects' precision and recall.")] = (
        None
    )
    out: Annotated[Path | None, Option(help="Write every suspect to a file, such as suspects.csv, .jsonl or .xlsx.")] = None
    overrides: SetOption = None
    as_json: JsonOption = False


@takes_options
def data(options: DataOptions) -> None:
    """What to know before training: rows, balance, lengths, duplicates, conflicts, leakage; or wrong labels."""
    changes = [path_change("data.source", options.source), *reading(options.overrides)]
    if options.test is not None:
        changes.append(path_change("data.test", str(options.test)))
    columns = (options.text_column, options.label_column, options.text_pair_column)
    spec = with_columns(Recipe().with_overrides(changes).data, *columns)
    if options.suspects:
        from rankwise.cli.verbs.suspects import name_suspects

        features, out, truth = options.features or "tfidf", options.out, options.truth
        name_suspects(spec, features=features, base=options.base, truth=truth, out=out, as_json=options.as_json)
        return
    misplaced = [f"--{name}" for name in ("features", "truth", "out") if getattr(options, name) is not None]
    if misplaced:
        raise DataError(f"without --suspects there is nothing for {' and '.join(misplaced)} to do; type --suspects too")
    with console.working("reading the data"):
        tables, _, left_out = read_splits(spec)
    lengths, longest = None, 0
    if not options.no_tokens:
        with console.working("counting tokens"):
            lengths, longest = _tokens(options.base, tables["train"].texts)
    with console.working("looking at labels, lengths and repeats"):
        report = audit(tables, lengths=lengths)
    lost = [line for name, table in tables.items() for line in losses(name, table)]
    report = replace(report, warnings=(*left_out, *lost, *report.warnings))
    layouts = [table.layout.describe() for table in tables.values()]
    if options.as_json:
        print_json({"layouts": layouts}, report)
    else:
        show_audit(layouts, report, longest=longest, pairs=bool(tables["train"].layout.text_pair))


def _tokens(base: str, texts: Sequence[str]) -> tuple[NDArray[np.int64], int]:
    """(the tokens of each text (N,), the most that the base takes at once)."""
    from rankwise.model.load import load_tokenizer, longest_text

    tokenizer = load_tokenizer(locate(base))
    longest = longest_text(tokenizer, find(base, classes=2))
    return tokenize_to_disk(tokenizer, texts, max_length=None).lengths, longest


def show_audit(layouts: Sequence[str], report: Audit, *, longest: int = 0, pairs: bool = False) -> None:
    """Rows and classes, lengths as a picture, repeats and leaks as warnings; `longest` is the most tokens a base takes."""
    for layout in layouts:
        console.dim(layout)
    rows = ", ".join(f"{count:,} {name}" for name, count in report.rows.items())
    lost = ", ".join(
        f"{count:,} {name} ({reason})" for name, reasons in report.dropped.items() for reason, count in reasons.items()
    )
    console.out.print(f"[bold]rows[/]  {rows}" + (f"; dropped: {lost}" if lost else ""))
    console.out.print()
    widest, total = max(report.classes.values()), report.rows["train"]
    classes = [
        (escape(name), f"{count:,}", f"{count / total:.1%}", console.bar(count, widest))
        for name, count in islice(report.classes.items(), MOST_CLASSES)
    ]
    console.out.print(
        console.plain_table("class" if report.numbers is None else "number", "rows", "share", "", rows=classes, right=(1, 2))
    )
    if len(report.classes) > MOST_CLASSES:
        console.dim(f"and {len(report.classes) - MOST_CLASSES:,} more; --json has them all")
    if numbers := report.numbers:
        console.dim(
            f"mean {in_figures(numbers.mean)}, standard deviation {in_figures(numbers.deviation)}; lowest "
            f"{in_figures(numbers.lowest)}, median {in_figures(numbers.median)}, highest {in_figures(numbers.highest)}"
        )
    if len(report.scripts) > 1:
        shares = ", ".join(f"{name} {count / total:.1%}" for name, count in report.scripts.items())
        console.dim(f"scripts of the training texts: {shares}")
    _show_lengths(report.tokens or report.characters, longest, pairs=pairs)
    for line in report.warnings:
        console.note(line)
    if not report.warnings:
        console.out.print("[green]nothing to warn of[/]")


def _recommended(lengths: Lengths, longest: int, *, pairs: bool = False) -> str:
    """What to type to read nearly all texts whole: one pass, or windows where the base takes `longest` at most."""
    wanted = lengths.recommended or 0
    if wanted <= longest or pairs:
        return f"--set data.max_length={min(wanted, longest)}"
    window = min(WINDOW, longest)
    return f"--set data.max_length={window} --set data.windows={windows_of(wanted, window, wanted)}"


def _show_lengths(lengths: Lengths, longest: int, *, pairs: bool) -> None:
    text = "pair of texts" if pairs else "text"
    most = max((rows for _, _, rows in lengths.histogram), default=1)
    bars = [(f"{low:,} to {high - 1:,}", f"{rows:,}", console.bar(rows, most)) for low, high, rows in lengths.histogram]
    console.out.print()
    console.out.print(console.plain_table(f"{lengths.unit} per training {text}", "rows", "", rows=bars, right=(1,)))
    console.dim("quantiles: " + ", ".join(f"{name} {value:,}" for name, value in lengths.quantiles.items()))
    if lengths.coverage:
        shares = ", ".join(f"{share:.1%} in {size}" for size, share in lengths.coverage.items())
        console.out.print(f"texts that fit whole: {shares} tokens")
        fits = "" if pairs and (lengths.recommended or 0) > longest else "  [dim](fits 99.5 %)[/]"
        console.out.print(f"[bold]recommended[/]  {_recommended(lengths, longest, pairs=pairs)}{fits}")
    console.out.print()
