"""`rankwise evaluate`: the scores of a run on labelled data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

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
from rankwise.run.manifest import check_run


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
    console.show_engine(loaded, options.engine)
    if options.shift:
        from rankwise.cli.verbs.shift import evaluate_under_shift

        evaluate_under_shift(loaded, source, spec, numbering=numbering, engine=options.engine, as_json=options.as_json)
        return
    layout, evaluation = evaluate_file(loaded, source, spec, numbering=numbering, engine=options.engine)
    if options.as_json:
        print_json({"run": str(options.run), "data": layout.describe()}, evaluation.with_mistakes())
    else:
        console.dim(layout.describe())
        console.show_evaluation(evaluation.scores, evaluation.mistakes, loaded.preprocessing.classes)
