"""The command line: one verb a function. Heavy imports come late, so that `--help`, `plan`, `recipes` answer at once.

Exit codes: 0; 2 for the user's mistake (a RankwiseError or a wrong option); 1 for ours, or where the reader of a pipe left;
130 after Ctrl-C.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TextIO

import typer

from rankwise.arguments import (
    BudgetOption,
    DataOption,
    EngineOption,
    FastOption,
    JsonOption,
    LabelColumn,
    MemoryOption,
    MinutesOption,
    RecipeArg,
    RunArg,
    SetOption,
    TextColumn,
    print_json,
)
from rankwise.errors import DataError, RankwiseError
from rankwise.families import KNOWN
from rankwise.folders import check_run
from rankwise.options import check_apart, check_data
from rankwise.verbs.compare import compare
from rankwise.verbs.learn_curve import learn_curve
from rankwise.verbs.report import report
from rankwise.verbs.reproduce import reproduce
from rankwise.verbs.sweep import sweep

if TYPE_CHECKING:
    from rankwise.data.sources import Record

GOING_ON = {  # by verb: how to go on after Ctrl-C
    "train": "; a training goes on from its last checkpoint with --resume",
    "learn-curve": "; the same command goes on",
    "reproduce": "; the same command goes on",
}


class _Verbs(typer.core.TyperGroup):
    """The verbs; a mistake and Ctrl-C, for which typer itself has a traceback and no word, end one with a clear line."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except RankwiseError as problem:
            from rankwise import console

            console.error(str(problem))
            raise typer.Exit(problem.exit_code) from None
        except KeyboardInterrupt:
            from rankwise import console

            console.error(f"stopped{GOING_ON.get(ctx.invoked_subcommand or '', '')}")
            raise typer.Exit(130) from None


class _Verb(typer.core.TyperCommand):
    """A verb whose usage has RECIPE where typer writes {RECIPE}, which reads like a set of choices."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [piece.replace("{", "").replace("}", "") for piece in super().collect_usage_pieces(ctx)]


app = typer.Typer(
    name="rankwise",
    cls=_Verbs,
    help="Fine-tune text classifiers under a hard cap on trainable parameters: plan, train, prove, hand over.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
recipes_app = typer.Typer(help="List the built-in recipes, or show one.", invoke_without_command=True)
app.add_typer(recipes_app, name="recipes")


def main() -> None:
    """The `rankwise` command."""
    app()


def _print_version(wanted: bool) -> None:
    if wanted:
        import rankwise

        typer.echo(f"rankwise {rankwise.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    del version  # its callback has answered


@app.command(short_help="Plan, train and evaluate a recipe; write a run folder.")
def train(
    recipe: RecipeArg,
    data: DataOption = None,
    out: Annotated[Path | None, typer.Option("--out", help="The run folder; the next free runs/NAME when left out.")] = None,
    budget: BudgetOption = None,
    minutes: MinutesOption = None,
    memory_gb: MemoryOption = None,
    fast: FastOption = False,
    overrides: SetOption = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where a stopped run left off.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run in --out.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Plan, train and evaluate a recipe; write a run folder."""
    from rankwise.options import forecast_of, recipe_of, scored

    started = time.monotonic()
    loaded = recipe_of(recipe, overrides, budget, data, minutes=minutes, memory_gb=memory_gb, fast=fast)
    from rankwise import console
    from rankwise.data.prepare import read
    from rankwise.data.volume import Volume
    from rankwise.planner import plan as make_plan
    from rankwise.work import character_counts

    labelled = read(loaded.data)
    quiet = as_json or not _is_main_process()
    if not quiet:  # the plan is known in milliseconds; the libraries that train take seconds to import
        loaded = scored(loaded, labelled)
        found = make_plan(loaded, classes=len(labelled.classes))
        console.show_layouts([labelled.train.layout, labelled.validation.layout, labelled.test.layout])
        rows = (len(labelled.train.texts), len(labelled.validation.texts), len(labelled.test.texts))
        known = Volume(labelled.classes, rows, character_counts(labelled.train.texts))
        console.show_plan(loaded.name, found, forecast_of(loaded, found, known))
    from rankwise import pipeline

    with console.TrainingProgress() as progress:
        listeners = [] if quiet else [progress]
        run = pipeline.train(
            loaded, out, labelled=labelled, listeners=listeners, resume=resume, overwrite=overwrite, started=started
        )
    if not _is_main_process():
        return
    if as_json:
        print_json({"run": str(run.folder), **run.facts, "scores": run.scores, "plan": run.plan_facts})
    else:
        console.show_run(run)


@app.command(
    short_help="What a recipe would train and cost, before it does.",
    epilog=f"Bases that need no network to plan: {', '.join(KNOWN)}; or a folder, or a Hugging Face id.",
)
def plan(
    recipe: RecipeArg,
    data: DataOption = None,
    budget: BudgetOption = None,
    minutes: MinutesOption = None,
    memory_gb: MemoryOption = None,
    fast: FastOption = False,
    classes: Annotated[
        int | None, typer.Option("--classes", min=2, help="Number of classes; from the data when left out.")
    ] = None,
    overrides: SetOption = None,
    every: Annotated[bool, typer.Option("--ledger", help="Also print every entry: layer, map, rank, cost.")] = False,
    as_json: JsonOption = False,
) -> None:
    """What a recipe would train, to the parameter, and what the run is predicted to cost, before anything loads."""
    from rankwise.options import forecast_of, recipe_of, scored, volume_of

    loaded = scored(recipe_of(recipe, overrides, budget, data, minutes=minutes, memory_gb=memory_gb, fast=fast))
    from rankwise import console
    from rankwise.planner import plan as make_plan

    known = volume_of(loaded)
    told = classes or len(loaded.data.classes) or (len(known.classes) if known else None)
    many = told or 2  # of data that is not on this machine
    found = make_plan(loaded, classes=many)
    cost = forecast_of(loaded, found, known)
    if as_json:
        print_json({"recipe": loaded.name, "classes": many, **found.as_dict(), "forecast": cost.as_dict()})
        return
    console.show_layouts(known.layouts if known else [])
    console.show_plan(loaded.name, found, cost)
    if told is None:
        console.note("2 classes assumed, for the data is not on this machine; type --classes N")
    if every:
        console.show_ledger(found)


@recipes_app.callback()
def recipes(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the built-in recipes with what they train."""
    if context.invoked_subcommand is not None:
        return
    from rankwise import console
    from rankwise.options import classes_of
    from rankwise.planner import plan as make_plan
    from rankwise.recipe import Recipe, builtin_recipes

    rows = []
    for name in builtin_recipes():
        recipe = Recipe.load(name)
        ledger = make_plan(recipe, classes=classes_of(recipe)).ledger
        published = recipe.published.model_dump() if recipe.published else None
        rows.append({
            "name": name, "summary": recipe.summary, "base": recipe.base, "published": published,
            "trainable_parameters": ledger.trainable_parameters, "total_parameters": ledger.total_parameters,
        })  # fmt: skip
    if as_json:
        print_json(rows)
    else:
        console.show_recipes(rows)


@recipes_app.command("show", short_help="Print one recipe as YAML.")
def show_recipe(
    name: RecipeArg,
    overrides: SetOption = None,
    full: Annotated[bool, typer.Option("--full", help="Every key, defaults filled in.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print one recipe as YAML: as written, or with every default filled in."""
    from rankwise.recipe import Recipe, source_text

    recipe = Recipe.load(name, overrides or [])
    if as_json:
        print_json(recipe.to_dict())
    else:
        typer.echo(recipe.to_yaml() if full or overrides else source_text(name), nl=False)


@app.command(short_help="What to know of a data set; rows with wrong labels.")
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
    from rankwise import console
    from rankwise.data.audit import audit
    from rankwise.data.sources import read_table
    from rankwise.data.splits import resolve
    from rankwise.options import reading, with_columns
    from rankwise.recipe import Recipe

    changes = [f"data.source={json.dumps(source)}", *reading(overrides)]
    if test is not None:
        changes.append(f"data.test={json.dumps(str(test))}")
    spec = with_columns(Recipe().with_overrides(changes).data, text_column, label_column)
    if suspects:
        from rankwise.verbs.suspects import name_suspects

        name_suspects(spec, features=features or "tfidf", base=base, truth=truth, out=out, as_json=as_json)
        return
    if given := [
        f"--{name}" for name, value in (("features", features), ("truth", truth), ("out", out)) if value is not None
    ]:
        raise DataError(f"without --suspects there is nothing for {' and '.join(given)} to do; type --suspects too")
    found = resolve(spec)
    tables = {
        name: read_table(where, spec)
        for name, where in (("train", found.train), ("validation", found.validation), ("test", found.test)) if where
    }  # fmt: skip
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


@app.command(short_help="Score a run on labelled data, also under shift.")
def evaluate(
    run: RunArg,
    source: Annotated[str, typer.Argument(metavar="DATA", help="Labelled rows: a file, a folder, hub:NAME:SPLIT, sample.")],
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    unseen: Annotated[bool, typer.Option("--unseen-as-wrong", help="Score labels the run never saw as wrong.")] = False,
    shift: Annotated[
        bool, typer.Option("--shift", help="Also under typos, letter case, title only and more; writes RUN/shift.json.")
    ] = False,
    engine: EngineOption = "torch",
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score a run on labelled data, every score with its interval."""
    check_run(run)
    check_data(source)
    from rankwise import console
    from rankwise.files import evaluate_file, source_for
    from rankwise.options import spec_for, with_columns
    from rankwise.run import Run

    loaded = Run.load(run)
    spec = spec_for(loaded.recipe, source, [*(overrides or []), *(["data.unseen_labels=wrong"] if unseen else [])])
    where, numbering = source_for(spec, labelled=True)
    where = with_columns(where, text_column, label_column)
    console.show_engine(loaded, engine)
    if shift:
        from rankwise.verbs.shift import evaluate_under_shift

        evaluate_under_shift(loaded, where, spec, numbering=numbering, engine=engine, as_json=as_json)
        return
    layout, evaluation = evaluate_file(loaded, where, spec, numbering=numbering, engine=engine)
    if as_json:
        print_json({"run": str(run), "data": layout.describe(), **evaluation.as_dict()})
    else:
        console.dim(layout.describe())
        console.show_evaluation(evaluation.as_dict(), loaded.preprocessing.classes)


@app.command(short_help="Label texts from a file or the command line.")
def predict(
    run: RunArg,
    source: Annotated[
        str | None,
        typer.Argument(metavar="DATA", help="A file of texts; - reads one text a line from standard input; sample."),
    ] = None,
    text: Annotated[list[str] | None, typer.Option("--text", help="A text to classify. Repeatable.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="A .csv, .tsv, .jsonl or .parquet file; CSV on standard output if not.")
    ] = None,
    probabilities: Annotated[bool, typer.Option("--probabilities", help="Add every class's probability.")] = False,
    submission: Annotated[
        str | None,
        typer.Option("--submission", metavar="ID,LABEL", help="Two columns only: the file's id (or row from 0), label."),
    ] = None,
    numbers: Annotated[bool, typer.Option("--numbers", help="Write class numbers from 0 instead of names.")] = False,
    mc_dropout: Annotated[int, typer.Option("--mc-dropout", min=0, help="Average N passes with dropout on.")] = 0,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Texts per forward pass.")] = 32,
    engine: EngineOption = "torch",
    text_column: TextColumn = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Label texts from a file, the command line or standard input."""
    if (source is None) == (not text):
        raise DataError("give a file to predict, or --text TEXT; a - reads one text a line from standard input")
    if mc_dropout and engine == "onnx":
        raise DataError(f"--mc-dropout needs dropout, which --engine {engine} has none of; type --engine torch")
    check_run(run)
    if source not in (None, "-"):
        check_data(str(source))
    if out is not None and source is not None:
        check_apart(out, source)
    from rankwise import console
    from rankwise.data.sinks import Sink, TextSink
    from rankwise.files import Form, parse_submission, predict_rows, source_for, written_rows
    from rankwise.run import Run

    loaded = Run.load(run)
    console.show_engine(loaded, engine)
    form = Form(probabilities, parse_submission(submission), numbers)
    columns = form.columns(loaded.preprocessing.classes)
    if text and out is None and not (as_json or submission or numbers):
        found = loaded.predict(text, mc_dropout=mc_dropout, engine=engine)
        console.show_predictions(text, found, all_classes=probabilities)
        return
    how: dict[str, Any] = {"mc_dropout": mc_dropout, "batch_size": batch_size, "engine": engine}
    if text or source == "-":
        rows = written_rows(loaded, _records(text or _lines(sys.stdin)), form, **how)
    else:
        from rankwise.options import spec_for, with_columns

        spec = spec_for(loaded.recipe, str(source), overrides)
        where = with_columns(source_for(spec, labelled=False)[0], text_column, None)
        layout, rows = predict_rows(loaded, where, spec, form, **how)
        if out is not None and not as_json:
            console.dim(layout.describe())
    if out is not None:
        with Sink(out, columns) as sink:
            for row in rows:
                sink.write(row)
        if as_json:
            print_json({"rows": sink.rows, "out": str(out)})
        else:
            console.dim(f"{sink.rows:,} predictions → {out}")
    elif as_json:
        for row in rows:
            typer.echo(json.dumps(row, ensure_ascii=False))
    else:
        stream = TextSink(sys.stdout, columns)
        for row in rows:
            stream.write(row)


app.command("learn-curve", short_help="Accuracy against rows, and what more would bring.")(learn_curve)
app.command("compare", short_help="Which run is better, and whether that is shown.")(compare)
app.command("reproduce", short_help="Run what a published report describes.")(reproduce)
app.command("report", short_help="Runs or a sweep as one HTML page.")(report)
app.command("sweep", short_help="Search recipes; train the best again.")(sweep)
for verb in (*app.registered_commands, *recipes_app.registered_commands):
    verb.cls = _Verb


def _is_main_process() -> bool:
    """Whether this is the process that speaks, of those that torchrun or accelerate launch have started."""
    return os.environ.get("RANK", "0") == "0"


def _lines(stream: TextIO) -> Iterator[str]:
    """Lines of standard input. Raises DataError for one that is no UTF-8."""
    for number, line in enumerate(stream.buffer, start=1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"standard input, line {number}: not utf-8 at byte {error.start:,}; send it as UTF-8") from error


def _records(texts: Iterable[str]) -> Iterator[Record]:
    from rankwise.data.sources import Record

    for number, text in enumerate(texts, start=1):
        yield Record(number, text.rstrip("\r\n"), None, {})
