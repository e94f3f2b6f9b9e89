"""`rankwise train`: a recipe as a run folder, with the plan before it and the scores after it."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.markup import escape
from typer import Exit, Option

from rankwise.cli import arguments, console
from rankwise.cli.options import RungOption, deployed, recipe_of, scored
from rankwise.cli.progress import TrainingProgress
from rankwise.cli.verbs.evaluate import score_cell, score_name
from rankwise.cli.verbs.plan import show_plan, show_rungs
from rankwise.data.labelled import read_labelled
from rankwise.data.pairs import sides
from rankwise.errors import as_typed, check_installed
from rankwise.planning.plan import plan as make_plan
from rankwise.planning.plan import settled
from rankwise.recipe import Recipe
from rankwise.run.opening import Existing, check_free
from rankwise.run.verdict import verdict
from rankwise.workflows.forecasting import forecast_of

if TYPE_CHECKING:
    from rankwise.run.folder import Run
    from rankwise.workflows.deploy import HandedOver

EXAMPLE = 60  # characters of a text in the command that labels one


@dataclass(frozen=True, kw_only=True)
class TrainOptions(arguments.RecipeOptions):
    recipe: arguments.RecipeArg
    out: Annotated[Path | None, Option(help="The run folder; the next free runs/NAME when left out.")] = None
    minutes: arguments.MinutesOption = None
    memory_gb: arguments.MemoryOption = None
    rung: RungOption = None
    no_texts: Annotated[
        bool, Option("--no-texts", help="Keep none of the data's texts in the run folder (evaluate.keep_texts).")
    ] = False
    resume: Annotated[bool, Option("--resume", help="Go on where a stopped run left off.")] = False
    overwrite: Annotated[bool, Option("--overwrite", help="Replace the run in --out.")] = False
    as_json: arguments.JsonOption = False


@arguments.takes_options
def train(options: TrainOptions) -> None:
    """Plan, train and evaluate a recipe; write a run folder."""
    started = time.monotonic()
    limits = {"minutes": options.minutes, "memory_gb": options.memory_gb}
    loaded = recipe_of(options.recipe, options, **limits, rung=options.rung).dearest
    loaded = loaded.with_overrides(["evaluate.keep_texts=false"]) if options.no_texts else loaded
    existing: Existing = "overwrite" if options.overwrite else "resume" if options.resume else "refuse"
    speaks = os.environ.get("RANK", "0") == "0"  # of the processes that torchrun or accelerate launch have started
    if speaks:
        _check(loaded, options.out, existing)
    with console.working("reading the data"):
        labelled = read_labelled(loaded.data, by_folds=bool(loaded.rungs))
    quiet = options.as_json or not speaks
    loaded = settled(loaded if quiet else scored(loaded, labelled), pairs=labelled.pairs)
    planned = None if loaded.adapter.unscored else make_plan(loaded, classes=len(labelled.classes))
    if planned is not None and not quiet:  # known in milliseconds; the libraries that train take seconds to import
        known = labelled.volume
        console.show_layouts(known.layouts)
        loaded, planned = deployed(loaded, planned, known)
        cost = forecast_of(loaded, planned, known)
        show_plan(loaded.name, planned, cost)
        show_rungs(cost)
    with console.working("loading torch"):
        from rankwise.workflows.deploy import deploy
        from rankwise.workflows.train import train_on

    with TrainingProgress() as progress:
        listeners = [] if quiet else [progress]
        run = train_on(labelled, loaded, options.out, listeners=listeners, existing=existing, started=started)
        handed_over = deploy(run, listeners) if speaks else None
    if not speaks:
        return
    if options.as_json:
        told = {"scores": run.scores, "plan": run.plan_facts, **({"handed_over": handed_over} if handed_over else {})}
        arguments.print_json({"run": str(run.folder)}, run.facts, told)
    else:
        show_run(run, handed_over, example=labelled.test.texts[0] if loaded.evaluate.keep_texts else "")
    if handed_over is not None:
        raise Exit(handed_over.exit_code)


def show_ladder(run: "Run") -> None:
    """What each rung of the ladder reached, where the recipe has one."""
    ladder = run.facts.ladder
    if ladder is None:
        return
    table = console.plain_table("rung", "trained", f"{run.task.credit_name} %", "gained, points", "seconds")
    for rung in ladder.rungs:
        name = f"[bold]{rung.rung}[/]" if rung.handed_over else rung.rung
        table.add_row(name, f"{rung.trained_parameters:,}", f"{100 * rung.accuracy:.1f}", rung.gained, f"{rung.took:.0f}")
    console.out.print()
    console.out.print(table)
    console.out.print(f"[dim]Held against each other on {ladder.where}; {ladder.handed_over.rung} is handed over.[/]")
    if ladder.verdict:
        console.out.print(ladder.verdict, soft_wrap=True)
    if ladder.interrupted:
        console.out.print("Type the same command with --resume to go on with the climb.")


def show_run(run: "Run", handed_over: "HandedOver | None" = None, *, example: str = "") -> None:
    """The end of a training: scores beside baselines, what they come to, what was spent, where it is, what to type next.

    `example` is a text of the data, for the command that labels one, or a pair of texts.
    """
    scores, test, facts = run.scores, run.scores.test, run.facts
    first, second = run.task.headline
    table = console.plain_table("on the test rows", score_name(first), score_name(second), f"ahead by, {run.task.points}")
    headlines = [score_cell(score, test.named(score)) for score in (first, second)]
    table.add_row(f"[bold]{escape(run.recipe.name)}[/]", f"[bold]{headlines[0]}[/]", headlines[1], "")
    for name, baseline in scores.baselines.items():
        headlines = [score_cell(score, baseline.named(score)) for score in (first, second)]
        table.add_row(name, *headlines, console.points(baseline.difference))
    console.out.print(table)
    if clean := scores.test_not_in_training:
        console.out.print(f"test texts that are not in training: {score_name(first)} {score_cell(first, clean.named(first))}")
    level = test.confidence_level
    console.out.print(f"[dim]{test.rows:,} test rows, scored once; {level:.0%} bootstrap intervals in brackets.[/]")
    if told := verdict(scores, counts_words=run.counts_words):
        console.out.print(f"[bold]{escape(told)}[/]")
    show_ladder(run)
    ledger = run.plan_facts
    spent = f"{ledger.trainable_parameters:,} trained parameters"
    if ledger.budget and ledger.share is not None:
        spent += f" of {ledger.budget:,} ({ledger.share:.1%})"
    console.out.print(f"\n[bold]spent[/]   {spent}; {facts.seconds.all:.0f} s")
    if handed_over is not None:
        told, *problem = handed_over.lines()
        console.out.print(f"[bold]export[/]  {escape(told)}", soft_wrap=True)
        for line in problem:
            console.out.print(f"[bold red]not kept:[/] {escape(line)}", soft_wrap=True)
    if left := facts.ranks:
        spread = f"{min(left.values())} to {max(left.values())} a linear layer"
        console.out.print(f"[bold]ranks[/]   {sum(left.values())} of {sum(ledger.ranks.values())} are left, {spread}")
    text, *paired = sides(example)
    pair = "".join(f" --text-pair {_example(other)}" for other in paired)
    console.out.print(
        f"[bold]run[/]     {escape(str(run.folder))}  (best at step {facts.best.step} of {facts.steps})\n"
        f"[bold]next[/]    rankwise predict {console.shell(run.folder)} --text {_example(text)}{pair}\n"
        f"        rankwise evaluate {console.shell(run.folder)} DATA",
        soft_wrap=True,
    )


def _check(recipe: Recipe, out: Path | None, existing: Existing) -> None:
    """Raises what can be known of a folder and of what is installed before anything that takes seconds is loaded."""
    for tracker in recipe.train.trackers:
        check_installed(tracker, extra=tracker)
    check_installed("torch", extra="train")
    if out is not None:
        check_free(out, existing)


def _example(text: str) -> str:
    """The beginning of a text as a shell takes it, cut between words; a word for one where there is none."""
    words = "".join(filter(str.isprintable, " ".join(text.split())))
    cut = words if len(words) <= EXAMPLE else words[:EXAMPLE].rpartition(" ")[0] or words[:EXAMPLE]
    return escape(as_typed(cut)) if cut else "TEXT"
