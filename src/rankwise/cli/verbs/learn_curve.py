"""`rankwise learn-curve`: accuracy, or a number's R², against training rows, and what more rows would bring."""

from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from rankwise.cli import console
from rankwise.cli.arguments import JsonOption, RecipeArg, RecipeOptions, print_json, takes_options
from rankwise.cli.options import recipe_of
from rankwise.errors import DataError
from rankwise.stats.score_names import called
from rankwise.system.storage import told_refusals

if TYPE_CHECKING:
    from rankwise.workflows.learning_curve import LearningCurve, Point

BAR = 22  # characters of an accuracy of 100 %


@dataclass(frozen=True, kw_only=True)
class LearnCurveOptions(RecipeOptions):
    recipe: RecipeArg
    rows: Annotated[str | None, Option(help="Training rows, such as 100,200,400; all, 1/2, 1/4, 1/8, 1/16 if left out.")] = (
        None
    )
    seeds: Annotated[int, Option(min=1, help="Trainings at each number of rows.")] = 1
    out: Annotated[Path | None, Option(help="Folder of the finished points; a second call goes on. curves/RECIPE.")] = None
    as_json: JsonOption = False


@takes_options
def learn_curve(options: LearnCurveOptions) -> None:
    """Accuracy, or a number's R², on validation rows against training rows, and what more would bring."""
    try:
        sizes = [] if options.rows is None else [int(number) for number in options.rows.split(",")]
    except ValueError:
        expected = "expected whole numbers with commas between them, such as 100,200,400"
        raise DataError(f"--rows {options.rows}: {expected}") from None
    loaded = recipe_of(options.recipe, options)
    from rankwise.workflows.learning_curve import learning_curve

    folder = options.out or Path("curves") / loaded.name

    def tell(point: "Point", reused: bool) -> None:
        how = "from before" if reused else f"{point.seconds:.0f} s"
        console.err.print(f"[dim]{point.rows:,} rows, seed {point.seed}: {point.accuracy:.1%}, {how}[/]")

    with told_refusals(folder, "free room there, and the same command goes on; or give another --out"):
        curve = learning_curve(loaded, folder, rows=sizes, seeds=options.seeds, on_point=tell)
    if options.as_json:
        print_json({"out": str(folder)}, curve)
        return
    show_curve(curve)
    console.dim(f"points and curve.csv in {folder}")


def show_curve(curve: "LearningCurve") -> None:
    """Sizes with their bars, the law, what more rows would bring, notes."""
    lowest = min(size.accuracy.value or 0.0 for size in curve.sizes)
    scale = max(0.0, lowest - 0.05)  # the bars' left end, so that differences show
    heading = f"{called(curve.score)} %"
    table = console.plain_table("training rows", heading, "by the law", "seconds", "", right=(1, 2, 3))
    for size in curve.sizes:
        fitted = "" if size.fitted is None else f"{100 * size.fitted:.1f}"
        share = max(0.0, (size.accuracy.value or 0.0) - scale) / (1 - scale)
        bar = f"[cyan]{'█' * round(BAR * share)}[/]"
        table.add_row(f"{size.rows:,}", console.percent(size.accuracy), fitted, f"{size.seconds:.0f}", bar)
    console.out.print(table)
    trainings = console.counted(curve.seeds, "training")
    console.out.print(
        f"[dim]{curve.validation_rows:,} validation rows, {trainings} at each size; {curve.confidence_level:.0%} intervals "
        f"in brackets. Bars start at {scale:.0%}.[/]\n"
    )
    if law := curve.law:
        error = "error" if curve.score == "accuracy" else f"1 - {called(curve.score)}"
        console.out.print(f"{error} = {law.a:.3f} + {law.b:.3g} · rows^-{law.c:.2f}  [dim](a power law, fitted)[/]")
    for gain in curve.gains:
        value, low, high = (100 * (number or 0.0) for number in astuple(gain.accuracy))
        console.out.print(f"[bold]{gain.times}x the rows[/] ({gain.rows:,}): {value:+.1f} points ({low:.1f} to {high:.1f})")
    for line in curve.notes:
        console.note(line)
