"""`rankwise report`: finished runs, or a study, as one HTML page; its figures as files too."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from typer import Argument, Option

from rankwise.cli import console
from rankwise.cli.arguments import JsonOption, print_json
from rankwise.errors import RunError, require
from rankwise.run.manifest import MANIFEST, check_run

if TYPE_CHECKING:
    from rankwise.report.blocks import Report

STUDY = "sweep.json"  # the file by which a folder is a sweep's


def report(
    sources: Annotated[
        list[str], Argument(metavar="RUN", help="Run folders, those of one recipe's seeds pooled; or one study.")
    ],
    out: Annotated[Path, Option(help="The page.")] = Path("report.html"),
    figures: Annotated[Path | None, Option(help="A folder for every figure as SVG, PNG and CSV.", metavar="DIR")] = None,
    no_texts: Annotated[bool, Option("--no-texts", help="Show none of the texts that the runs kept.")] = False,
    explain: Annotated[
        bool, Option("--explain", help="Mark the words that pulled toward the wrong class in the surest mistakes (torch).")
    ] = False,
    show: Annotated[bool, Option("--open", help="Open the page in the browser.")] = False,
    as_json: JsonOption = False,
) -> None:
    """One HTML page about runs or a study: scores, budget, curves, mistakes, origin, in pictures and tables."""
    with console.working("drawing"):
        made = _report_of(sources, no_texts=no_texts, explain=explain)
        from rankwise.report.page import write, write_figures

        size = write(made, out)
    with console.working("writing figures"), warnings.catch_warnings(record=True) as warned:
        warnings.filterwarnings("always", message="Glyph ")  # matplotlib's, for each letter
        files = write_figures(made, figures) if figures is not None else []
    if any(str(warning.message).startswith("Glyph ") for warning in warned):
        console.note("the PNG files lack letters that no font here has; the page and the SVG files have them")
    if as_json:
        print_json({"report": str(out), "bytes": size, "figures": [str(path) for path in files]})
    else:
        console.out.print(f"[bold]report[/]   {escape(str(out))}  ({size / 1000:,.0f} kB)", soft_wrap=True)
        if files:
            console.out.print(f"[bold]figures[/]  {len(files)} files in {escape(str(figures))}", soft_wrap=True)
    if show:
        typer.launch(out.resolve().as_uri())


def _report_of(sources: list[str], *, no_texts: bool, explain: bool) -> "Report":
    if explain and no_texts:
        raise RunError("--explain marks words in the texts that --no-texts leaves out; leave one of them out")
    studies = [source for source in sources if "://" in source or (Path(source) / STUDY).is_file()]
    for source in [source for source in sources if source not in studies]:
        held = sorted(path.parent for path in Path(source).glob(f"*/{STUDY}"))
        if held and not (Path(source) / MANIFEST).is_file():
            what = f"{source} is no study but holds {len(held)}, such as {held[0]}"
            raise RunError(f"{what}; a study is reported alone: give one")
        check_run(source)
    from rankwise.report.runs import report_of, without_texts
    from rankwise.run.folder import Run

    if not studies:
        made = report_of([Run.load(source) for source in sources], explain=explain)
        return without_texts(made) if no_texts else made
    if len(sources) > 1:
        raise RunError(f"{studies[0]} is a study, and a study is reported alone; give it, or run folders, but not both")
    if explain:
        raise RunError(f"{studies[0]} is a study, whose report quotes no texts to explain; leave --explain out")
    require("optuna", extra="sweep")
    from rankwise.report.study import report_of_study
    from rankwise.sweep.study import Study

    return report_of_study(Study.load(studies[0]), Path(studies[0]) if "://" not in studies[0] else None)
