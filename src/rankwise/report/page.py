"""Report → one HTML file that holds everything it shows, and its figures as SVG and PNG files.

The page asks for nothing over the network, runs no script, and says so in its content security policy.
"""

from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from rankwise.errors import RunError, as_typed
from rankwise.report.blocks import Report
from rankwise.report.figures.style import DARK, LIGHT
from rankwise.report.figures.writing import file_png, file_svg, page_svg
from rankwise.report.words import shown, shown_bounds
from rankwise.run.format import versions
from rankwise.system.storage import told_refusals, write_whole
from rankwise.system.visible import visible

GENERATOR = "rankwise report"  # in a meta tag, by which a later report knows what it may replace
LONG_TEXT = 600  # characters of a quoted text; longer ones open on demand
HEAD = 2_000  # bytes of a page in which its meta tags stand


def render(report: Report) -> str:
    """The page as HTML."""
    loader = PackageLoader("rankwise.report", ".")
    environment = Environment(
        autoescape=True, finalize=_as_shown, loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(shown=shown, bounds=shown_bounds)
    made = {"generator": GENERATOR, "version": versions()["rankwise"], "svg": page_svg}
    return environment.get_template("page.html").render(report=report, light=LIGHT, dark=DARK, long_text=LONG_TEXT, **made)


def _as_shown(value: Any) -> Any:
    """A text of the page as it may be shown; what is HTML already, such as a figure, was made of such texts."""
    return visible(value) if type(value) is str else value


def write(report: Report, out: Path) -> int:
    """Write the page, and how many bytes it has. Raises RunError where something else is in the way, or StorageError."""
    if not out.parent.is_dir():
        raise RunError(f"{out}: no such folder: {out.parent}; make it first, or give another --out")
    if out.is_dir():
        raise RunError(f"{out} is a folder; give a file: --out {as_typed(out / 'report.html')}")
    if out.suffix.lower() not in (".html", ".htm"):
        raise RunError(f"--out {out}: can't write '{out.suffix}' files; expected a .html file")
    if out.exists() and f'content="{GENERATOR}"'.encode() not in out.read_bytes()[:HEAD]:
        raise RunError(f"{out} is no report of rankwise, so it is not replaced; give another --out")
    return _written(out, render(report).encode(), "--out report.html")


def write_figures(report: Report, folder: Path) -> list[Path]:
    """Every figure as NAME.svg and NAME.png, its numbers as NAME.csv. Raises RunError and StorageError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder} can't be a folder ({error.strerror}); give another: --figures figures") from error
    written = []
    for figure in report.figures():
        files = {
            "svg": file_svg(figure.picture, figure.title, figure.summary).encode(),
            "png": file_png(figure.picture, figure.title),
            "csv": figure.table.as_csv().encode(),
        }
        for ending, content in files.items():
            path = folder / f"{figure.table.name}.{ending}"
            _written(path, content, "--figures figures")
            written.append(path)
    return written


def _written(path: Path, content: bytes, example: str) -> int:
    with told_refusals(path, f"free room there, or give another: {example}"):
        return write_whole(path, content, shared=True)
