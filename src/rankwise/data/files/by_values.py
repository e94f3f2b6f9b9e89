"""Text and label among columns without names: by what is in them, with the reasons."""

from collections.abc import Callable, Iterator, Sequence

from rankwise.data.files.asking import unclear
from rankwise.data.files.candidates import Candidates, Choice
from rankwise.data.files.cells import SHORT, Cells, name_each_other


def choose_by_values(file: Candidates, choice: Choice, *, seeks_label: bool, needs_label: bool) -> None:
    """Fill what is open from what the cells look like. Raises DataError where two columns may be the label."""
    asked = choice.taken
    if seeks_label:
        free = [index for index in range(len(file.columns)) if index not in asked]
        labels = [index for index in free if file.all(index).may_name_labels]
        if len(labels) == 2:
            labels = _words_before_numbers(file, labels, choice)
        if len(labels) > 1 and needs_label:
            raise unclear(file, choice, needs_label=True)
        choice.label = labels[0] if len(labels) == 1 else None
    if not choice.text:
        rest = [index for index in range(len(file.columns)) if index not in choice.taken]
        choice.text = _texts_among(file, rest)
    if choice.taken == asked or len(file.columns) == 1:
        return
    why = []
    if choice.label is not None and choice.label not in asked:
        cells = file.all(choice.label)
        values = "few values" if cells.may_be_labels else "lists of few values"
        why.append(f"{values} in {file.named(choice.label)}: {cells.examples()}")
    left = [f"{index} ({file.all(index).kind})" for index in range(len(file.columns)) if index not in choice.taken]
    if left:
        why.append(f"left out: column{'s' if len(left) > 1 else ''} {', '.join(left)}")
    choice.guess = "; ".join(["guessed by what is in them", *why])
    if len(choice.text) > 1 and not asked.intersection(choice.text):
        choice.warnings += tuple(_short_texts(file, choice.text))


def _words_before_numbers(file: Candidates, labels: list[int], choice: Choice) -> list[int]:
    """Of two columns that name each other the one with words; the other has its numbers."""
    one, other = (file.all(index) for index in labels)
    if one.are_numbers == other.are_numbers or not name_each_other(one.sample, other.sample):
        return labels
    words, choice.numbers = reversed(labels) if one.are_numbers else labels
    return [words]


def _texts_among(file: Candidates, rest: Sequence[int]) -> tuple[int, ...]:
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


def _short_texts(file: Candidates, text: Sequence[int]) -> Iterator[str]:
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
