"""Numbers and names → what a reader sees."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from rankwise.stats.intervals import Interval

Kind = Literal["text", "count", "number", "share", "signed", "seconds", "rate"]
Value = str | int | float | Interval | None


def shown(value: Value, kind: Kind) -> str:
    """A value as a person reads it; of an interval the estimate alone. Nothing where there is nothing to say."""
    number = value.value if isinstance(value, Interval) else value
    if number is None:
        return "n/a" if isinstance(value, Interval) else ""
    if isinstance(number, str):
        return number
    match kind:
        case "share":
            return f"{100 * number:z.1f}"
        case "signed":
            return f"{100 * number:+z.1f}"
        case "count":
            return f"{number:,.0f}"
        case "seconds" if number < 59.5:
            return f"{number:.1f} s" if 0 < number < 9.95 else f"{number:.0f} s"
        case "seconds":
            minutes, rest = divmod(round(number), 60)
            hours, minutes = divmod(minutes, 60)
            return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
        case "rate":
            return f"{number:.3g}"
        case "number":
            return f"{number:z.3f}" if abs(number) < 100 else f"{number:,.0f}"
        case "text":
            return str(number) if isinstance(number, int) else f"{number:g}"


def shown_bounds(value: Value, kind: Kind) -> str:
    """`[88.8, 90.2]`, or nothing where there are none."""
    if not isinstance(value, Interval) or value.low is None or value.high is None:
        return ""
    return f"[{shown(value.low, kind)}, {shown(value.high, kind)}]"


def in_words(value: Value, kind: Kind) -> str:
    """Estimate and bounds, with % where the kind is a share."""
    unit = {"share": "\u00a0%", "signed": "\u00a0points"}.get(kind, "")
    return f"{shown(value, kind)}{unit} {shown_bounds(value, kind)}".rstrip(" ")


def percent(share: float, digits: int = 1) -> str:
    """`4.3 %`, which no line break divides."""
    return f"{100 * share:.{digits}f}\u00a0%"


def listed(names: Sequence[object]) -> str:
    """`a, b and c`."""
    *others, last = map(str, names)
    return f"{', '.join(others)} and {last}" if others else last


def with_capital(text: str) -> str:
    """The text as a sentence begins: its first letter large, the others, as those of MCC, as they are."""
    return text[:1].upper() + text[1:]


def run_name(folder: Path) -> str:
    """The folder as one would type it; its name alone where it lies outside the working folder."""
    path = Path(os.path.relpath(folder))
    return folder.resolve().name if ".." in path.parts else path.as_posix()
