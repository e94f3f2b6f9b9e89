"""An object in a few lines of HTML, for notebooks: what is shown is escaped, and takes its colours from the page around it.

There is no style sheet and no script, for a notebook may drop both; bars are drawn in the page's own text colour, so that
light and dark pages show them alike.
"""

from collections.abc import Iterable, Sequence
from html import escape

from rankwise.system.visible import visible

CELL = "padding:2px 12px 2px 0;text-align:{align};border:0;background:none;vertical-align:baseline"
FAINT = "opacity:.7"


def shown(value: object) -> str:
    """Text as a page shows it: nothing in it is markup, and nothing steers."""
    return escape(visible(str(value)))


def card(title: object, *parts: str, below: str = "") -> str:
    """A title, what follows it, and a faint line below."""
    last = f'<div style="{FAINT}">{shown(below)}</div>' if below else ""
    return f'<div style="line-height:1.5"><div><strong>{shown(title)}</strong></div>{"".join(parts)}{last}</div>'


def line(text: object) -> str:
    return f"<div>{shown(text)}</div>"


def table(rows: Iterable[Sequence[object]], heads: Sequence[str] = (), *, words: bool = False) -> str:
    """A table whose first column is its rows' names; further ones hold numbers, or `words`. A `Bar` is drawn."""
    left = 99 if words else 1  # columns, from the first
    faint = f"{FAINT};font-weight:normal"
    head = "".join(_cell("th", name, faint, left=number < left) for number, name in enumerate(heads))
    cells = ("".join(_cell("td", cell, left=number < left) for number, cell in enumerate(row)) for row in rows)
    body = "".join(f"<tr>{row}</tr>" for row in cells)
    return f'<table style="border-collapse:collapse;margin:4px 0">{f"<tr>{head}</tr>" if heads else ""}{body}</table>'


def folded(summary: str, text: str) -> str:
    """Text that unfolds."""
    style = "margin:4px 0;max-height:30em;overflow:auto"
    return f'<details><summary>{shown(summary)}</summary><pre style="{style}">{shown(text)}</pre></details>'


class Bar(float):
    """A share from 0 to 1, as a bar."""


def _cell(tag: str, value: object, more: str = "", *, left: bool) -> str:
    style = CELL.format(align="left" if left or isinstance(value, Bar) else "right")
    if isinstance(value, Bar):
        width = f"width:{100 * min(max(value, 0.0), 1.0):.1f}px"
        drawn = f'<div style="{width};height:.7em;background:currentColor;opacity:.5" aria-hidden="true"></div>'
        return f'<{tag} style="{style}">{drawn}</{tag}>'
    return f'<{tag} style="{style}{f";{more}" if more else ""}">{shown(value)}</{tag}>'
