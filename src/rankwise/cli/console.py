"""What several verbs show a person: messages, plain tables, scores with their intervals.

Results go to standard output, progress to standard error; a stream that is no terminal gets no colours, no progress.
Whatever is printed here goes through one console for each, which writes out what would steer a terminal.
"""

from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from rankwise.cli.stopping import drop_output
from rankwise.errors import as_typed
from rankwise.stats.intervals import Interval
from rankwise.system.visible import visible

if TYPE_CHECKING:
    from rankwise.data.files.columns import Layout


class PlainConsole(Console):
    """A console that shows what it is given and obeys none of it, and goes on where nobody reads any more.

    Control characters are written out, `:smile:` stays what it is. A reader who has seen enough ends no work:
    `rankwise train auto | head` trains.
    """

    def render_str(self, text: str, **how: Any) -> Text:
        return super().render_str(visible(text), **how)

    def on_broken_pipe(self) -> None:
        drop_output(self.file)


out = PlainConsole(highlight=False, emoji=False)
err = PlainConsole(stderr=True, highlight=False, emoji=False)


def error(message: str) -> None:
    err.print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True)


def dim(message: str) -> None:
    out.print(f"[dim]{escape(message)}[/]")


def note(message: str) -> None:
    out.print(f"[yellow]note:[/] {escape(message)}")


def show_layouts(layouts: Iterable["Layout"]) -> None:
    """A line about the files that are read, one for all that are alike."""
    alike: dict[str, dict[str, None]] = {}
    for layout in layouts:
        name, _, description = layout.describe().partition(": ")
        alike.setdefault(description, {})[name] = None
    for description, names in alike.items():
        dim(f"{', '.join(names)}: {description}")


def working(what: str) -> AbstractContextManager[object]:
    """Inside, a line on a terminal says what takes its time."""
    return err.status(f"[dim]{what}[/]") if err.is_terminal else nullcontext()


def shell(path: Path) -> str:
    """A path in a command to copy, quoted where a shell asks for it."""
    return escape(as_typed(path))


def plain_table(
    first: str, *rest: str, rows: Iterable[Iterable[RenderableType]] = (), right: Collection[int] | None = None
) -> Table:
    """A plain table; columns after the first are right-aligned unless `right` says which are."""
    table = Table(first, box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    for column, heading in enumerate(rest, start=1):
        numeric = right is None or column in right
        table.add_column(heading, justify="right" if numeric else "left", no_wrap=numeric)
    for row in rows:
        table.add_row(*row)
    return table


def counted(number: int, what: str) -> str:
    """A number and its noun: `1 update`, `2,000 updates`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def bar(value: int, largest: int) -> Text:
    return Text("█" * max(1 if value else 0, round(36 * value / max(1, largest))), style="cyan")


def percent(interval: Interval) -> str:
    """A share in percent: `89.5 [88.8, 90.2]`."""
    return interval.bracketed("z.1f", times=100)


def points(interval: Interval) -> str:
    """A difference of shares in percentage points: `+4.1 [+3.0, +5.2]`."""
    return interval.bracketed("+z.1f", times=100)


def number(interval: Interval) -> str:
    """Any other score: `0.314 [0.290, 0.341]`."""
    return interval.bracketed("z.3f")


def hanging(mark: str, text: str) -> None:
    """Print text, with markup, after a mark; further lines begin under its first word."""
    for number, line in enumerate(out.render_str(text).wrap(out, out.width - len(mark) - 1)):
        line.rstrip()
        out.print(Text(f"{mark if number == 0 else ' ' * len(mark)} ") + line)
