"""Which columns hold the text and the label: as the recipe says, by name, or by what is in them.

A guess says why; where two readings fit a file, the error has the commands to choose between. Columns count from 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rankwise.data.files.asking import unclear
from rankwise.data.files.by_name import choose_by_name, refused_by_state, splits_inside
from rankwise.data.files.by_values import choose_by_values
from rankwise.data.files.candidates import BODY, TITLE, Candidates, Choice, named
from rankwise.data.files.header import candidates_of, refuse_likely_header
from rankwise.data.files.rows import Rows
from rankwise.errors import DataError, Unlabelled, as_set, nearest
from rankwise.recipe import Column, SourceSpec

_VERDICT = "answer"  # the column in which an annotation tool keeps what a person said of the label that it suggested
_VERDICTS = {"accept", "reject", "ignore"}
SHOWN = 6  # label columns that a line names, at most

Labelling = Literal["one", "flags", "marks", "columns"]
"""How label columns say the label: one does; each names a label that a text has or has not, in 0 and 1 or in 1 and blank; or
each has a label of its own."""


@dataclass(frozen=True)
class Layout:
    """How a source is read: its format, and which columns hold what."""

    path: str
    format: str
    """In words: `CSV, gzip, comma`."""
    header: bool | None
    """Whether the first row names the columns; None where the format does."""
    columns: tuple[str, ...]
    text: tuple[str, ...]
    label: str | None
    """The label's column, or the names of several with a plus between them."""
    labels: tuple[str, ...] = ()
    """The label columns, where there are several."""
    labelling: Labelling = "one"
    classes: tuple[str, ...] = ()
    """Class names in the order of their numbers, where features of a data set, `numbers` or columns of 0 and 1 say them."""
    text_pair: tuple[str, ...] = ()
    """The columns of the second text, where a row is a pair of texts."""
    numbers: str | None = None
    """The column that has the label as a number, where `label` has its name."""
    verdict: str | None = None
    """The column of an annotation tool that says which labels a person accepted: only those count."""
    guess: str = ""
    """Why these columns were taken, where no name told which; empty where one did."""
    warnings: tuple[str, ...] = ()
    """What a person should look at in the choice of columns."""

    def describe(self) -> str:
        """The layout in one line: `test.csv: CSV, comma, no header; label = column 0, text = columns 1 + 2`."""
        header = {None: "", True: ", header", False: ", no header"}[self.header]
        one, many = ("column ", "columns " if len(self.text) > 1 else "column ") if self.header is False else ("", "")
        label = "no label" if self.label is None else f"label = {one}{self.label}"
        if self.labels:
            shown = self.labels if len(self.labels) <= SHOWN else (*self.labels[: SHOWN - 1], "…", self.labels[-1])
            label = f"label{'s' if self.labelling == 'columns' else ''} = {one and 'columns '}{' + '.join(shown)}"
            if self.labelling != "columns":
                label += f" ({len(self.labels)} columns of {'0 and 1' if self.labelling == 'flags' else '1 and blank'})"
        why = f" ({self.guess})" if self.guess else ""
        pair = f", text_pair = {many}{' + '.join(self.text_pair)}" if self.text_pair else ""
        return f"{self.name}: {self.format}{header}; {label}, text = {many}{' + '.join(self.text)}{pair}{why}"

    @property
    def label_columns(self) -> tuple[str, ...]:
        """The columns that say the label."""
        return self.labels or ((self.label,) if self.label is not None else ())

    @property
    def name(self) -> str:
        """The file's own name, or the hub data set's."""
        return self.path if self.path.startswith("hub:") else Path(self.path).name

    @property
    def read(self) -> tuple[str, ...]:
        """All columns that hold text, those of a pair's second text last."""
        return (*self.text, *self.text_pair)

    @property
    def read_in_words(self) -> str:
        """These columns in a sentence."""
        return columns_in_words(self.text, self.text_pair)


def columns_in_words(text: Sequence[str], pair: Sequence[str] = ()) -> str:
    """Text columns in a sentence: `title + body`, and of a pair `premise, hypothesis as a pair`."""
    return ", ".join(" + ".join(side) for side in (text, pair) if side) + (" as a pair" if pair else "")


def layout_of(rows: Rows, asked: SourceSpec, *, needs_label: bool) -> Layout:
    """The layout of a source whose columns are those that are asked for; what is left open is found out.

    Raises DataError for no rows, for two columns of one name, and where it is not clear which columns hold the text and the
    label, with what to type; Unlabelled where only the label is missing.
    """
    file = candidates_of(rows, asked)
    columns = file.columns
    if asked.text_pair and not asked.text:
        pair = as_set("data.text_pair", asked.text_pair[0])
        raise DataError(f"{asked.path}: {pair} names a pair's second text alone; name the first too: --set data.text=COLUMN")
    indices = (tuple(_index(wanted, columns, asked.path) for wanted in side) for side in (asked.text, asked.text_pair))
    choice = Choice(next(indices), None, pair=next(indices))
    wanted = asked.label if isinstance(asked.label, tuple) else () if asked.label is None else (asked.label,)
    if wanted and (needs_label or all(_is_there(one, columns) for one in wanted)):
        asked_labels = tuple(_label_index(one, columns, asked.path) for one in wanted)
        choice.label, choice.labels = (asked_labels[0], ()) if len(asked_labels) == 1 else (None, asked_labels)
    if file.by_name:
        choose_by_name(file, choice, seeks_label=asked.label is None, needs_label=needs_label)
    else:
        choose_by_values(file, choice, seeks_label=asked.label is None, needs_label=needs_label)
        if asked.header is None and choice.label is not None and choice.text:
            refuse_likely_header(file, rows, choice, guessed=asked.label is None)
    if not choice.text or (not choice.is_labelled and needs_label):
        raise unclear(file, choice, needs_label=needs_label)
    text = (*choice.text, *choice.pair)
    roles = [*text, *choice.labels, *([] if choice.label is None else [choice.label])]
    if len(set(roles)) < len(roles):
        twice = next(columns[index] for index in roles if roles.count(index) > 1)
        raise DataError(f"{asked.path}: column '{twice}' is asked for twice; name a column once, for text or for label")
    if not needs_label and len(text) > 1:  # of a table with labels more is found out once it is read
        blank = [file.named(index) for index in text if file.first(index).kind == "blank"]
        choice.warnings += tuple(f"{name} is blank in the first rows, so the text lacks it" for name in blank)
    labels = tuple(columns[index] for index in choice.labels)
    name = " + ".join(labels) or (None if choice.label is None else columns[choice.label])
    labelling = _labelling(file, choice)
    verdicts = named(columns, (_VERDICT,)) if needs_label and file.by_name else []
    judged = [index for index in verdicts if index not in choice.taken and set(file.first(index).values) <= _VERDICTS]
    if needs_label:
        choice.warnings += tuple(refused_by_state(file, choice)) if file.by_name else ()
        choice.warnings += tuple(splits_inside(file, choice))
    return Layout(
        path=asked.path,
        format=rows.format,
        header=file.header,
        columns=columns,
        text=tuple(columns[index] for index in choice.text),
        label=name,
        labels=labels,
        labelling=labelling,
        text_pair=tuple(columns[index] for index in choice.pair),
        classes=labels if labelling in ("flags", "marks") else rows.classes.get(name or "", ()),
        numbers=None if choice.numbers is None else columns[choice.numbers],
        verdict=columns[judged[0]] if judged else None,
        guess=choice.guess,
        warnings=choice.warnings,
    )


def _labelling(file: Candidates, choice: Choice) -> Labelling:
    """How the columns that were chosen say the label."""
    if not choice.labels:
        return "one"
    cells = [file.all(index) for index in choice.labels]
    if not any(one.values for one in cells) or not all(one.are_nearly_flags for one in cells):
        return "columns"
    blank = any(len(one.filled) < len(one.sample) for one in cells)
    return "marks" if blank and all(one.are_marks for one in cells) else "flags"


def _index(wanted: Column, columns: Sequence[str], name: str) -> int:
    """The index of a column that is asked for by name or position. Raises DataError where there is none."""
    if isinstance(wanted, str) and wanted in columns:
        return columns.index(wanted)
    if _is_there(wanted, columns):
        return int(wanted)
    known = ", ".join(columns)
    if isinstance(wanted, int) or wanted.isdecimal():
        raise DataError(f"{name}: no column {wanted}; the columns are 0 to {len(columns) - 1}: {known}")
    raise DataError(f"{name}: no column '{wanted}' among {known}{nearest(wanted, columns)}")


def _label_index(wanted: Column, columns: Sequence[str], name: str) -> int:
    """As `_index`, of the label, for which no column of text is suggested. Raises Unlabelled."""
    if _is_there(wanted, columns) or wanted in columns:
        return _index(wanted, columns, name)
    others = [column for column in columns if column.lower() not in {*BODY, *TITLE, "id"}]
    if isinstance(wanted, int) or wanted.isdecimal():
        raise Unlabelled(f"{name}: no column {wanted}; the columns are 0 to {len(columns) - 1}: {', '.join(columns)}")
    raise Unlabelled(f"{name}: no column '{wanted}' among {', '.join(columns)}{nearest(str(wanted), others)}")


def _is_there(wanted: Column, columns: Sequence[str]) -> bool:
    if isinstance(wanted, str) and not wanted.isdecimal():
        return wanted in columns
    return wanted in columns or 0 <= int(wanted) < len(columns)
