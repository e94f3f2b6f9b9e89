"""The columns that a source has, with samples of their cells, and those of them that are chosen so far."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rankwise.data.files.cells import Cells
from rankwise.errors import as_set

TITLE = ("title", "headline", "subject")
BODY = (
    *("text", "sentence", "review", "content", "document", "body", "message"),
    *("article", "description", "abstract", "summary"),
)
LABEL = ("label", "labels", "class", "category", "target", "sentiment")
NAMES = {*TITLE, *BODY, *LABEL, "id"}
"""The names by which columns are known."""


@dataclass(frozen=True)
class Candidates:
    """A source's columns and samples of their cells."""

    path: str
    columns: tuple[str, ...]
    header: bool | None
    first: Callable[[int], Cells]
    """A column's cells in the first rows."""
    all: Callable[[int], Cells]
    """A sample of a column's cells in all rows."""

    @property
    def by_name(self) -> bool:
        return self.header is not False

    def named(self, index: int) -> str:
        """A column in a sentence: `column 0`, `column 'topic'`."""
        return f"column '{self.columns[index]}'" if self.by_name else f"column {self.columns[index]}"

    def command(self, text: Sequence[int] = (), label: int | None = None) -> str:
        """What to type to read these columns."""
        names = [self.columns[index] if self.by_name else index for index in text]
        parts = [as_set("data.text", names[0] if len(names) == 1 else names)] if text else []
        if label is not None:
            parts.append(as_set("data.label", self.columns[label] if self.by_name else label))
        return " ".join(parts)


@dataclass
class Choice:
    """The columns that are chosen so far, by their indices."""

    text: tuple[int, ...]
    label: int | None
    numbers: int | None = None
    guess: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def taken(self) -> set[int]:
        return {*self.text, *(index for index in (self.label, self.numbers) if index is not None)}


def named(columns: Sequence[str], known: Sequence[str]) -> list[int]:
    """The indices of the columns with known names, whatever their case, in the order of these names."""
    indices = {column.strip().lower(): index for index, column in reversed(list(enumerate(columns)))}
    return [indices[name] for name in known if name in indices]
