"""Text and label among columns that have names: by names that are known."""

from collections.abc import Iterator, Sequence

from rankwise.data.files.asking import SHOWN, may_be
from rankwise.data.files.candidates import BODY, LABEL, TITLE, Candidates, Choice, flags_of, named, paired
from rankwise.data.files.cells import name_each_other
from rankwise.errors import DataError

LEAST_FLAGS = 3  # columns of 0 and 1 side by side, from which on they are taken for labels of a text unless somebody objects
_SURE = ("label", "labels")  # what goes before the others without a question
_STATES = ("status", "state", "verdict", "decision")
_TRAINING = {"train", "training"}
_SPLITS = _TRAINING | {"validation", "valid", "val", "dev", "eval", "test", "testing"}
_REFUSED = {"reject", "rejected", "ignore", "ignored", "skip", "skipped", "discarded", "cancelled", "invalid"}


def choose_by_name(file: Candidates, choice: Choice, *, seeks_label: bool, needs_label: bool) -> None:
    """Fill what is open from columns with known names. Raises DataError where two may be the label."""
    if seeks_label:
        found = [index for index in named(file.columns, LABEL) if index not in choice.text]
        if len(found) > 1:
            found = _one_label(file, found, choice, needs_label=needs_label)
        choice.label = found[0] if found else None
        if choice.label is not None:
            choice.label, choice.numbers = _with_its_names(file, choice.label, choice.text)
        elif needs_label and len(flags := flags_of(file, choice)) >= LEAST_FLAGS and _stand_together(flags):
            choice.labels, choice.guess = tuple(flags), "these columns alone hold 0 and 1"
    if not choice.text:
        _text_by_name(file, choice)


def refused_by_state(file: Candidates, choice: Choice) -> Iterator[str]:
    """A warning for each column that says of some rows that their label was rejected."""
    for index in named(file.columns, _STATES):
        refused = [value for value in file.first(index).values if value.lower() in _REFUSED]
        if refused and index not in choice.taken and file.first(index).may_be_labels:
            what = ", ".join(f"'{value}'" for value in refused)
            yield f"{file.named(index)} says {what} of some rows, whose labels are trained on all the same; remove such rows"


def splits_inside(file: Candidates, choice: Choice) -> Iterator[str]:
    """A warning for each column that says which split a row is of, though all rows are read as one."""
    for index in range(len(file.columns)):
        if index in choice.taken or not _are_splits(file.first(index).values):
            continue
        values = file.all(index).values
        if len(values) > 1 and _are_splits(values) and any(value.lower() in _TRAINING for value in values):
            yield (
                f"{file.named(index)} ({file.all(index).examples()}) says which split a row is of, and all rows are read as "
                "one; write each split into a file of its own"
            )


def _stand_together(indices: Sequence[int]) -> bool:
    return list(indices) == list(range(indices[0], indices[-1] + 1))


def _are_splits(values: Sequence[str]) -> bool:
    return bool(values) and {value.lower() for value in values} <= _SPLITS


def _one_label(file: Candidates, found: list[int], choice: Choice, *, needs_label: bool) -> list[int]:
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
            f"{file.path}: {may_be(file, sorted([first, *others]))}; say which: "
            f"{' or '.join(file.command(label=index) for index in sorted([first, *others])[:SHOWN])}"
        )
    choice.warnings += tuple(
        f"{file.named(index)} ({file.all(index).examples()}) may be the label too; {file.named(first)} is taken by its name: "
        f"to take the other, type {file.command(label=index)}"
        for index in others
    )
    return [first]


def _with_its_names(file: Candidates, label: int, text: Sequence[int]) -> tuple[int, int | None]:
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


def _text_by_name(file: Candidates, choice: Choice) -> None:
    """A pair, a title and a body, or one column, by their known names; other bodies are told."""
    if (pair := paired(file.columns)) and not choice.taken.intersection(pair):
        choice.text, choice.pair = (pair[0],), (pair[1],)
        return
    titles = [index for index in named(file.columns, TITLE) if index not in choice.taken]
    titles = [index for index in titles if file.columns[index].lower() != "subject" or file.first(index).may_be_text]
    bodies = [index for index in named(file.columns, BODY) if index not in choice.taken]
    choice.text = (*titles[:1], *bodies[:1])
    for index in bodies[1:]:
        if file.first(index).may_be_text:
            both = file.command(text=(*choice.text, index))
            choice.warnings += (f"{file.named(index)} may be text too and is left out; to read it, type {both}",)
