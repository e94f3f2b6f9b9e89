"""`rankwise data`: what to know of a data set before training on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from rankwise.cli.arguments import JsonOption, LabelColumn, SetOption, TextColumn, print_json
from rankwise.errors import DataError


def data(
    source: Annotated[
        str, typer.Argument(metavar="DATA", help="A file, a folder with train/validation/test files, hub:NAME, or sample.")
    ],
    test: Annotated[Path | None, typer.Option("--test", help="A test file to compare with.")] = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    base: Annotated[str, typer.Option("--base", help="Whose tokenizer counts the tokens.")] = "minilm",
    no_tokens: Annotated[bool, typer.Option("--no-tokens", help="Leave token lengths out; loads no torch.")] = False,
    suspects: Annotated[
        bool, typer.Option("--suspects", help="Instead: training rows whose label is probably wrong.")
    ] = False,
    features: Annotated[
        Literal["tfidf", "encoder"] | None,
        typer.Option("--features", help="What suspects are judged by; encoder: the --base.  [default: tfidf]"),
    ] = None,
    truth: Annotated[
        str | None, typer.Option("--truth", metavar="COLUMN", help="True labels: print the suspects' precision and recall.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write every suspect to a .csv, .jsonl or .parquet file.")] = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """What to know before training: rows, balance, lengths, duplicates, conflicts, leakage; or wrong labels."""
    from rankwise.cli import console
    from rankwise.cli.options import reading, with_columns
    from rankwise.data.audit import audit
    from rankwise.data.files.table import read_table
    from rankwise.data.splitting import resolve
    from rankwise.recipe import Recipe

    changes = [f"data.source={json.dumps(source)}", *reading(overrides)]
    if test is not None:
        changes.append(f"data.test={json.dumps(str(test))}")
    spec = with_columns(Recipe().with_overrides(changes).data, text_column, label_column)
    if suspects:
        from rankwise.cli.verbs.suspects import name_suspects

        name_suspects(spec, features=features or "tfidf", base=base, truth=truth, out=out, as_json=as_json)
        return
    if given := [
        f"--{name}" for name, value in (("features", features), ("truth", truth), ("out", out)) if value is not None
    ]:
        raise DataError(f"without --suspects there is nothing for {' and '.join(given)} to do; type --suspects too")
    found = resolve(spec)
    tables = {
        name: read_table(where, spec)
        for name, where in (("train", found.train), ("validation", found.validation), ("test", found.test))
        if where
    }
    lengths = None
    if not no_tokens:
        from rankwise.data.tokens import tokenize_to_disk
        from rankwise.model.load import load_tokenizer, locate

        lengths = tokenize_to_disk(load_tokenizer(locate(base)), tables["train"].texts, max_length=None).lengths
    report = audit(tables["train"], validation=tables.get("validation"), test=tables.get("test"), lengths=lengths)
    layouts = [table.layout.describe() for table in tables.values()]
    if as_json:
        print_json({"layouts": layouts, **report.as_dict()})
    else:
        console.show_audit(layouts, report)
