"""The columns that a source has, with samples of their cells, and those of them that are chosen so far."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rankwise.data.files.cells import Cells
from rankwise.errors import as_set

TITLE = ("title", "headline", "subject")
BODY = (
    *("text", "sentence", "review", "content", "document", "body", "message"),
    *("article", "description", "abstract", "summary"),
)
LABEL = (
    *("label", "labels", "class", "category", "target", "sentiment"),
    *("gold_label", "is_duplicate", "entailment_judgment"),
)
_NUMBERED = [("1", "2"), ("_1", "_2"), ("a", "b"), ("_a", "_b")]
PAIRS = (
    *((f"{what}{one}", f"{what}{two}") for what in ("sentence", "text", "question") for one, two in _NUMBERED),
    *(("premise", "hypothesis"), ("text", "text_pair")),
)
"""Names of the first and the second text, where a row is a pair."""
NAMES = {*TITLE, *BODY, *LABEL, *(name for pair in PAIRS for name in pair), "id"}
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

    def command(self, text: Sequence[int] = (), label: int | Sequence[int] | None = None) -> str:
        """What to type to read these columns."""
        return self._typed({"data.text": text}, label)

    def command_for_pair(self, first: Sequence[int], second: Sequence[int], label: int | None = None) -> str:
        """What to type to read these columns as pairs."""
        return self._typed({"data.text": first, "data.text_pair": second}, label)

    def _typed(self, columns: Mapping[str, Sequence[int]], label: int | Sequence[int] | None) -> str:
        parts = []
        for key, indices in columns.items():
            names = [self.columns[index] if self.by_name else index for index in indices]
            parts += [as_set(key, names[0] if len(names) == 1 else names)] if names else []
        if isinstance(label, int):
            parts.append(as_set("data.label", self.columns[label] if self.by_name else label))
        elif label:
            parts.append(as_set("data.label", [self.columns[index] if self.by_name else index for index in label]))
        return " ".join(parts)


@dataclass
class Choice:
    """The columns that are chosen so far, by their indices."""

    text: tuple[int, ...]
    label: int | None
    pair: tuple[int, ...] = ()
    """The second text, where a row is a pair."""
    labels: tuple[int, ...] = ()
    """Where there are several label columns; then `label` is None."""
    numbers: int | None = None
    guess: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def is_labelled(self) -> bool:
        return self.label is not None or bool(self.labels)

    @property
    def taken(self) -> set[int]:
        return {*self.text, *self.pair, *self.labels, *(one for one in (self.label, self.numbers) if one is not None)}


def flags_of(file: Candidates, choice: Choice) -> list[int]:
    """The columns, none of them chosen yet, that hold only 0 and 1, of which some hold both: each may be a label."""
    flags = [index for index in range(len(file.columns)) if index not in choice.taken and file.all(index).are_flags]
    written = [index for index in flags if not file.all(index).values[0].isalpha()]  # as 0 and 1, not as true and false
    flags = written if len(written) > 1 else flags
    return flags if len(flags) > 1 and any(len(file.all(index).values) > 1 for index in flags) else []


def paired(columns: Sequence[str]) -> tuple[int, int] | None:
    """The indices of the first columns whose names say that they are a pair, whatever their case; None where none are."""
    both = (named(columns, pair) for pair in PAIRS)
    return next(((found[0], found[1]) for found in both if len(found) == 2), None)


def named(columns: Sequence[str], known: Sequence[str]) -> list[int]:
    """The indices of the columns with known names, whatever their case, in the order of these names."""
    indices = {column.strip().lower(): index for index, column in reversed(list(enumerate(columns)))}
    return [indices[name] for name in known if name in indices]
