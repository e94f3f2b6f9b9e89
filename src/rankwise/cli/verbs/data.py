"""`rankwise data`: what to know of a data set before training on it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from rankwise.cli.arguments import JsonOption, LabelColumn, SetOption, TextColumn, print_json, takes_options
from rankwise.errors import DataError


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """What `rankwise data` is told."""

    source: Annotated[
        str, typer.Argument(metavar="DATA", help="A file, a folder with train/validation/test files, hub:NAME, or sample.")
    ]
    test: Annotated[Path | None, typer.Option("--test", help="A test file to compare with.")] = None
    text_column: TextColumn = None
    label_column: LabelColumn = None
    base: Annotated[str, typer.Option("--base", help="Whose tokenizer counts the tokens.")] = "minilm"
    no_tokens: Annotated[bool, typer.Option("--no-tokens", help="Leave token lengths out; loads no torch.")] = False
    suspects: Annotated[bool, typer.Option("--suspects", help="Instead: training rows whose label is probably wrong.")] = (
        False
    )
    features: Annotated[
        Literal["tfidf", "encoder"] | None,
        typer.Option("--features", help="What suspects are judged by; encoder: the --base.  [default: tfidf]"),
    ] = None
    truth: Annotated[
        str | None, typer.Option("--truth", metavar="COLUMN", help="True labels: print the suspects' precision and recall.")
    ] = None
    out: Annotated[Path | None, typer.Option("--out", help="Write every suspect to a .csv, .jsonl or .parquet file.")] = None
    overrides: SetOption = None
    as_json: JsonOption = False


@takes_options
def data(options: DataOptions) -> None:
    """What to know before training: rows, balance, lengths, duplicates, conflicts, leakage; or wrong labels."""
    from rankwise.cli import console
    from rankwise.cli.options import reading, with_columns
    from rankwise.data.audit import audit
    from rankwise.data.files.table import read_table
    from rankwise.data.sources import sources_of
    from rankwise.recipe import Recipe

    changes = [f"data.source={json.dumps(options.source)}", *reading(options.overrides)]
    if options.test is not None:
        changes.append(f"data.test={json.dumps(str(options.test))}")
    spec = with_columns(Recipe().with_overrides(changes).data, options.text_column, options.label_column)
    if options.suspects:
        from rankwise.cli.verbs.suspects import name_suspects

        name_suspects(
            spec,
            features=options.features or "tfidf",
            base=options.base,
            truth=options.truth,
            out=options.out,
            as_json=options.as_json,
        )
        return
    misplaced = [f"--{name}" for name in ("features", "truth", "out") if getattr(options, name) is not None]
    if misplaced:
        raise DataError(f"without --suspects there is nothing for {' and '.join(misplaced)} to do; type --suspects too")
    found = sources_of(spec)
    tables = {
        name: read_table(where, spec)
        for name, where in (("train", found.train), ("validation", found.validation), ("test", found.test))
        if where
    }
    lengths = None
    if not options.no_tokens:
        from rankwise.data.tokens import tokenize_to_disk
        from rankwise.encoders.base import locate
        from rankwise.model.load import load_tokenizer

        lengths = tokenize_to_disk(load_tokenizer(locate(options.base)), tables["train"].texts, max_length=None).lengths
    report = audit(tables["train"], validation=tables.get("validation"), test=tables.get("test"), lengths=lengths)
    layouts = [table.layout.describe() for table in tables.values()]
    if options.as_json:
        print_json({"layouts": layouts}, report)
    else:
        console.show_audit(layouts, report)
