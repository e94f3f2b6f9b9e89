"""Which columns hold the text and the label: as the recipe says, by name, or by what is in them.

The first row is a header when it has a known name, one that the recipe asks for, or words above numbers. A guess says why;
where two readings fit a file, the error has the commands to choose between. Columns count from 0.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from shlex import quote

from rankwise.data.files.cells import SHORT, Cells, name_each_other, spread
from rankwise.data.files.reading import role_of
from rankwise.data.files.rows import PROBED_ROWS, Rows, as_strings
from rankwise.errors import DataError, Unlabelled, nearest
from rankwise.recipe import Column, DataSpec, SourceSpec

_TITLE = ("title", "headline", "subject")
_BODY = (
    *("text", "sentence", "review", "content", "document", "body", "message"),
    *("article", "description", "abstract", "summary"),
)
_LABEL = ("label", "labels", "class", "category", "target", "sentiment")
_SURE = ("label", "labels")  # what goes before the others without a question
_NAMES = {*_TITLE, *_BODY, *_LABEL, "id"}
_VERDICT = "answer"  # the column in which an annotation tool keeps what a person said of the label that it suggested
_VERDICTS = {"accept", "reject", "ignore"}
_STATES = ("status", "state", "verdict", "decision")
_REFUSED = {"reject", "rejected", "ignore", "ignored", "skip", "skipped", "discarded", "cancelled", "invalid"}
_MEASURED = ("numbers", "unique numbers", "dates")  # what no name looks like
_SHOWN = 4  # commands that a message has, at most
_PLAIN = re.compile(r"[^\W\d]\w*(?:[ .-]\w+)*")  # names that YAML reads as they are, but for these:
_YAML_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}


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
    classes: tuple[str, ...] = ()
    """Class names in the order of their numbers, where a hub data set's features or `numbers` say them."""
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
        why = f" ({self.guess})" if self.guess else ""
        return f"{self.name}: {self.format}{header}; {label}, text = {many}{' + '.join(self.text)}{why}"

    @property
    def name(self) -> str:
        """The file's own name, or the hub data set's."""
        return self.path if self.path.startswith("hub:") else Path(self.path).name


@dataclass
class _Choice:
    """The columns that are chosen so far, by their indices."""

    text: tuple[int, ...]
    label: int | None
    numbers: int | None = None
    guess: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def taken(self) -> set[int]:
        return {*self.text, *(index for index in (self.label, self.numbers) if index is not None)}


@dataclass(frozen=True)
class _File:
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
        parts = []
        if text:
            names = [self._typed(index) for index in text]
            parts.append(f"data.text={names[0]}" if len(names) == 1 else f"data.text=[{', '.join(names)}]")
        if label is not None:
            parts.append(f"data.label={self._typed(label)}")
        return " ".join(f"--set {quote(part)}" for part in parts)

    def _typed(self, index: int) -> str:
        name = self.columns[index]
        plain = not self.by_name or (_PLAIN.fullmatch(name) and name.lower() not in _YAML_WORDS)
        return name if plain else json.dumps(name, ensure_ascii=False)


def layout_of(rows: Rows, asked: SourceSpec, *, needs_label: bool) -> Layout:
    """The layout of a source whose columns are those that are asked for; what is left open is found out.

    Raises DataError for no rows, for two columns of one name, and where it is not clear which columns hold the text and the
    label, with what to type; Unlabelled where only the label is missing.
    """
    file = _opened(rows, asked)
    columns = file.columns
    choice = _Choice(tuple(_index(wanted, columns, asked.path) for wanted in asked.text), None)
    if asked.label is not None and (needs_label or _is_there(asked.label, columns)):
        choice.label = _label_index(asked.label, columns, asked.path)
    if file.by_name:
        _choose_by_name(file, choice, seeks_label=asked.label is None, needs_label=needs_label)
    else:
        _choose_by_values(file, choice, seeks_label=asked.label is None, needs_label=needs_label)
        if asked.header is None and choice.label is not None and choice.text:
            _refuse_likely_header(file, rows, choice, guessed=asked.label is None)
    if not choice.text or (choice.label is None and needs_label):
        raise _unclear(file, choice, needs_label=needs_label)
    text = choice.text
    if choice.label in text or len(set(text)) < len(text):
        twice = next(columns[index] for index in text if index == choice.label or text.count(index) > 1)
        raise DataError(f"{asked.path}: column '{twice}' is asked for twice; name a column once, for text or for label")
    if not needs_label and len(text) > 1:  # of a table with labels more is found out once it is read
        blank = [file.named(index) for index in text if file.first(index).kind == "blank"]
        choice.warnings += tuple(f"{name} is blank in the first rows, so the text lacks it" for name in blank)
    name = None if choice.label is None else columns[choice.label]
    verdicts = _named(columns, (_VERDICT,)) if needs_label and file.by_name else []
    judged = [index for index in verdicts if index not in choice.taken and set(file.first(index).values) <= _VERDICTS]
    choice.warnings += tuple(_refused(file, choice)) if needs_label and file.by_name else ()
    return Layout(
        path=asked.path,
        format=rows.format,
        header=file.header,
        columns=columns,
        text=tuple(columns[index] for index in text),
        label=name,
        classes=rows.classes.get(name or "", ()),
        numbers=None if choice.numbers is None else columns[choice.numbers],
        verdict=columns[judged[0]] if judged else None,
        guess=choice.guess,
        warnings=choice.warnings,
    )


def setting_of(source: SourceSpec, data: DataSpec) -> str:
    """What to type before `.encoding=…` to change how this source is read."""
    for role in ("train", "validation", "test"):
        if (named := getattr(data, role)) is not None and named.path == source.path:
            return f"--set data.{role}"
    role = "train" if data.source == source.path else role_of(Path(source.path).name) or "train"
    return f"--set data.{role}.path={quote(source.path)} --set data.{role}"


# ------------------------------------------------------------------------------------------------ names and the header


def _opened(rows: Rows, asked: SourceSpec) -> _File:
    """The column names of a source, and samples of its cells. Raises DataError for no column, or two of one name."""
    columns, header = rows.columns, None
    skipped = 0
    if columns is None:
        cells = [cell.strip() for cell in next((cells for _, cells in rows.read() if cells), ())]
        if (header := asked.header) is None:
            header = _is_header(cells, rows, asked)
        columns = tuple(cell if cell and header else str(index) for index, cell in enumerate(cells))
        skipped = int(header)
    if not columns:
        raise DataError(f"{asked.path}: 0 rows; expected a row for each text")
    if len(set(columns)) < len(columns):
        twice = next(name for index, name in enumerate(columns) if name in columns[:index])
        fix = "rename one, or say that there is no header: --set data.header=false" if header else "rename one"
        raise DataError(f"{asked.path}: two columns are called '{twice}'; {fix}")

    @cache
    def first() -> list[list[str]]:
        return spread(islice(_cells(rows, columns, asked.path), skipped, PROBED_ROWS))

    @cache
    def whole() -> list[list[str]]:
        return spread(islice(_cells(rows, columns, asked.path), skipped, None))

    def column_of(cells: list[list[str]], index: int) -> Cells:
        return Cells(cells[index] if cells else [])

    return _File(
        asked.path,
        columns,
        header,
        cache(lambda index: column_of(first(), index)),
        cache(lambda index: column_of(whole(), index)),
    )


def _cells(rows: Rows, columns: Sequence[str], path: str) -> Iterator[Sequence[str]]:
    """The rows' cells as strings, without the rows that can't be read."""
    read = as_strings(rows.read(), (), columns, path) if rows.typed else rows.read()
    return (cells for _, cells in read if cells)


def _is_header(first: Sequence[str], rows: Rows, asked: SourceSpec) -> bool:
    """Whether the first row names the columns. Raises DataError where its known names are also values further down."""
    if any(isinstance(column, str) and not column.isdecimal() for column in (*asked.text, asked.label)):
        return True  # only a header can have the name that is asked for
    sample = islice(_cells(rows, (), asked.path), 1, PROBED_ROWS)
    others = spread(cells for cells in sample if [cell.strip() for cell in cells] != list(first))
    known = [index for index, cell in enumerate(first) if cell.lower() in _NAMES]
    if known:
        again = [index for index in known if others and first[index] in map(str.strip, others[index])]
        if len(again) < len(known):
            return True
        raise DataError(
            f"{asked.path}: the first row ({', '.join(first):.60}) may be a header, but '{first[again[0]]}' stands in its "
            "column again; say which it is: --set data.header=true or --set data.header=false"
        )
    short = all(cell and len(cell) <= 50 and len(cell.split()) <= SHORT for cell in first)
    if not short or len(set(first)) < len(first) or not others or len(others[0]) < 3:
        return False
    below = {cell: Cells(cells) for cell, cells in zip(first, others, strict=True) if not any(map(str.isdigit, cell))}
    values_never_seen = [cell for cell, cells in below.items() if cells.may_be_labels and cell not in cells.values]
    return len(values_never_seen) > 1 or any(cells.kind in _MEASURED for cells in below.values())


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
    others = [column for column in columns if column.lower() not in {*_BODY, *_TITLE, "id"}]
    if isinstance(wanted, int) or wanted.isdecimal():
        raise Unlabelled(f"{name}: no column {wanted}; the columns are 0 to {len(columns) - 1}: {', '.join(columns)}")
    raise Unlabelled(f"{name}: no column '{wanted}' among {', '.join(columns)}{nearest(str(wanted), others)}")


def _is_there(wanted: Column, columns: Sequence[str]) -> bool:
    if isinstance(wanted, str) and not wanted.isdecimal():
        return wanted in columns
    return wanted in columns or 0 <= int(wanted) < len(columns)


# ------------------------------------------------------------------------------------------------------------- by name


def _choose_by_name(file: _File, choice: _Choice, *, seeks_label: bool, needs_label: bool) -> None:
    """Fill what is open from columns with known names. Raises DataError where two may be the label."""
    if seeks_label:
        found = [index for index in _named(file.columns, _LABEL) if index not in choice.text]
        if len(found) > 1:
            found = _one_label(file, found, choice, needs_label=needs_label)
        choice.label = found[0] if found else None
        if choice.label is not None:
            choice.label, choice.numbers = _with_its_names(file, choice.label, choice.text)
    if not choice.text:
        _text_by_name(file, choice)


def _named(columns: Sequence[str], known: Sequence[str]) -> list[int]:
    """The indices of the columns with known names, whatever their case, in the order of these names."""
    indices = {column.strip().lower(): index for index, column in reversed(list(enumerate(columns)))}
    return [indices[name] for name in known if name in indices]


def _one_label(file: _File, found: list[int], choice: _Choice, *, needs_label: bool) -> list[int]:
    """The label among several columns with its names; one called `label` goes before others, which are told.

    Raises DataError where two or more may be it as well.
    """
    likely = [index for index in found if file.all(index).may_be_labels] or found
    first, others = likely[0], likely[1:]
    cells = file.all(first).sample
    others = [index for index in others if not name_each_other(cells, file.all(index).sample)]
    if not others or not needs_label:
        return [first]
    if file.columns[first].strip().lower() not in _SURE:
        raise DataError(
            f"{file.path}: {_may_be(file, sorted([first, *others]))}; say which: "
            f"{' or '.join(file.command(label=index) for index in sorted([first, *others])[:_SHOWN])}"
        )
    choice.warnings += tuple(
        f"{file.named(index)} ({file.all(index).examples()}) may be the label too; {file.named(first)} is taken by its name: "
        f"to take the other, type {file.command(label=index)}"
        for index in others
    )
    return [first]


def _refused(file: _File, choice: _Choice) -> Iterator[str]:
    """A warning for each column that says of some rows that their label was rejected."""
    for index in _named(file.columns, _STATES):
        refused = [value for value in file.first(index).values if value.lower() in _REFUSED]
        if refused and index not in choice.taken and file.first(index).may_be_labels:
            what = ", ".join(f"'{value}'" for value in refused)
            yield f"{file.named(index)} says {what} of some rows, whose labels are trained on all the same; remove such rows"


def _with_its_names(file: _File, label: int, text: Sequence[int]) -> tuple[int, int | None]:
    """(the column of class names, that of their numbers): where a column of words goes with numeric labels one to one.

    (label, None) where there is none.
    """
    if len(file.columns) == 2 or not file.first(label).are_numbers:
        return label, None
    of = file.first if file.first(label).may_be_labels else file.all  # sorted files begin with one label
    cells = of(label)
    if not cells.may_be_labels:
        return label, None
    names = [
        index
        for index in range(len(file.columns))
        if index not in {label, *text}
        and of(index).may_be_labels
        and not of(index).are_numbers
        and not of(index).are_flags
        and name_each_other(of(index).sample, cells.sample)
    ]
    own = file.columns[label].strip().lower()
    names.sort(key=lambda index: own not in file.columns[index].lower())
    return (names[0], label) if names else (label, None)


def _text_by_name(file: _File, choice: _Choice) -> None:
    """A title and a body, or one column, by their known names; other bodies are told."""
    titles = [index for index in _named(file.columns, _TITLE) if index not in choice.taken]
    titles = [index for index in titles if file.columns[index].lower() != "subject" or file.first(index).may_be_text]
    bodies = [index for index in _named(file.columns, _BODY) if index not in choice.taken]
    choice.text = (*titles[:1], *bodies[:1])
    for index in bodies[1:]:
        if file.first(index).may_be_text:
            both = file.command(text=(*choice.text, index))
            choice.warnings += (f"{file.named(index)} may be text too and is left out; to read it, type {both}",)


# ----------------------------------------------------------------------------------------------------------- by values


def _choose_by_values(file: _File, choice: _Choice, *, seeks_label: bool, needs_label: bool) -> None:
    """Fill what is open from what the cells look like. Raises DataError where two columns may be the label."""
    asked = choice.taken
    if seeks_label:
        labels = [index for index in range(len(file.columns)) if index not in asked and file.all(index).may_be_labels]
        if len(labels) == 2:
            labels = _words_before_numbers(file, labels, choice)
        if len(labels) > 1 and needs_label:
            raise _unclear(file, choice, needs_label=True)
        choice.label = labels[0] if len(labels) == 1 else None
    if not choice.text:
        rest = [index for index in range(len(file.columns)) if index not in choice.taken]
        choice.text = _texts_among(file, rest)
    if choice.taken == asked or len(file.columns) == 1:
        return
    why = []
    if choice.label is not None and choice.label not in asked:
        cells = file.all(choice.label)
        why.append(f"few values in {file.named(choice.label)}: {cells.examples()}")
    left = [f"{index} ({file.all(index).kind})" for index in range(len(file.columns)) if index not in choice.taken]
    if left:
        why.append(f"left out: column{'s' if len(left) > 1 else ''} {', '.join(left)}")
    choice.guess = "; ".join(["guessed by what is in them", *why])
    if len(choice.text) > 1 and not asked.intersection(choice.text):
        choice.warnings += tuple(_short_texts(file, choice.text))


def _words_before_numbers(file: _File, labels: list[int], choice: _Choice) -> list[int]:
    """Of two columns that name each other the one with words; the other has its numbers."""
    one, other = (file.all(index) for index in labels)
    if one.are_numbers == other.are_numbers or not name_each_other(one.sample, other.sample):
        return labels
    words, choice.numbers = reversed(labels) if one.are_numbers else labels
    return [words]


def _texts_among(file: _File, rest: Sequence[int]) -> tuple[int, ...]:
    """Those of these columns that hold text: sentences, else the only words, else the only column there is."""
    by_kind: tuple[Callable[[Cells], bool], ...] = (
        lambda cells: cells.may_be_text,
        lambda cells: cells.kind == "sentences",
        lambda cells: cells.kind.endswith("codes"),
        lambda _: True,
    )
    for number, fits in enumerate(by_kind):
        indices = [index for index in rest if fits(file.all(index))]
        if len(indices) == 1 or (indices and not number):
            return tuple(indices)
        if indices:
            break
    return ()


def _short_texts(file: _File, text: Sequence[int]) -> Iterator[str]:
    """A warning for each guessed text column of few words beside longer ones: names of people or places, perhaps."""
    longest = max(file.all(index).words for index in text)
    for index in text:
        cells = file.all(index)
        if cells.words < min(SHORT, longest):
            others = [other for other in text if other != index]
            yield (
                f"{file.named(index)} has {cells.words:.1f} words a row, such as {cells.examples()}: titles, or names that "
                f"are no text? It is joined with the rest; to leave it out, type {file.command(text=others)}"
            )


def _refuse_likely_header(file: _File, rows: Rows, choice: _Choice, *, guessed: bool) -> None:
    """Raise DataError where the first row may well be a header: its label is in no other row.

    Of a label column that was asked for, only where every other label repeats.
    """
    assert choice.label is not None
    label = choice.label
    first, *others = (cell.strip() for cell in file.all(label).sample)
    if first in others or not others or (not guessed and min(map(others.count, others)) < 2):
        return
    everywhere = _cells(rows, file.columns, file.path)
    names = tuple(name.strip() for name in next(everywhere))
    if any(cells[label].strip() == first for cells in everywhere):
        return
    named = _File(file.path, names, True, file.first, file.all)
    raise DataError(
        f"{file.path}: the first row ({', '.join(names):.60}) has no known name, but may be a header: '{first}' is in no "
        f"other row; if it is one, name its columns: {named.command(choice.text, label)}; if not, type "
        "--set data.header=false"
    )


# --------------------------------------------------------------------------------------------------------------- asking


def _may_be(file: _File, indices: Sequence[int]) -> str:
    """`column 0 ('neg', 'pos') and column 1 ('app', 'web') may both be the label`."""
    each = [f"{file.named(index)} ({file.all(index).examples()})" for index in indices[:_SHOWN]]
    return f"{', '.join(each[:-1])} and {each[-1]} may {'both' if len(each) == 2 else 'each'} be the label"


def _unclear(file: _File, choice: _Choice, *, needs_label: bool) -> DataError:
    """What is missing, what stands there, and what to type for each reading that fits."""
    free = [index for index in range(len(file.columns)) if index not in choice.taken]
    seeks_label = needs_label and choice.label is None
    texts = [choice.text]
    if not choice.text:
        likely = [index for index in free if file.all(index).may_be_text]
        likely = likely or [index for index in free if not file.all(index).may_be_labels] or free
        texts = [(index,) for index in likely]
    labels: list[int | None] = [choice.label]
    if seeks_label:
        labels = [index for index in free if file.all(index).may_be_labels]
        labels = labels or [index for index in free if file.all(index).may_be_classes and not file.all(index).may_be_text]
    commands = [
        file.command(() if text == choice.text else text, label if seeks_label else None)
        for text in texts
        for label in labels
        if label not in text
    ]
    typed = " or ".join(commands[:_SHOWN])
    flags = [index for index in free if file.all(index).are_flags]
    if seeks_label and len(flags) > 1:
        names = ", ".join(file.columns[index] for index in flags[:5]) + (", …" if len(flags) > 5 else "")
        return DataError(
            f"{file.path}: columns {names} hold only 0 and 1, as if a text had several labels, and rankwise takes one label "
            f"a text; train on one of them: {typed}"
        )
    missing = [what for what, is_missing in (("text", not choice.text), ("label", seeks_label)) if is_missing]
    where = f"among {', '.join(file.columns)}" if file.by_name else f"in {len(file.columns)} columns without a header"
    candidates = [label for label in labels if label is not None and file.all(label).may_be_labels] if seeks_label else []
    fix = f"say which: {typed}" if typed else "none holds values that repeat, as labels do; add a column of labels"
    if len(candidates) > 1:
        found = f"unclear which column is the label: {_may_be(file, candidates)}"
        return DataError(f"{file.path}: {found}; {fix}")
    if file.by_name:
        found = f"no {' and no '.join(missing)} column found {where}"
        known = " and ".join(f"called {_BODY[0] if what == 'text' else _LABEL[0]}" for what in missing)
        fix = f"expected one {known}; {fix}"
    else:
        found = f"unclear which column is the {' and which the '.join(missing)} {where}"
    if missing == ["label"]:
        return Unlabelled(f"{file.path}: {found}", fix)
    return DataError(f"{file.path}: {found}; {fix}")
