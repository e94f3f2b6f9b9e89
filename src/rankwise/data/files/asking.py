"""What is asked where several columns may be the text or the label: a command for each reading that fits."""

from collections.abc import Sequence

from rankwise.data.files.candidates import BODY, LABEL, Candidates, Choice, flags_of
from rankwise.errors import DataError, Unlabelled

SHOWN = 4  # commands that a message has, at most


def may_be(file: Candidates, indices: Sequence[int]) -> str:
    """`column 0 ('neg', 'pos') and column 1 ('app', 'web') may both be the label`."""
    each = [f"{file.named(index)} ({file.all(index).examples()})" for index in indices[:SHOWN]]
    return f"{', '.join(each[:-1])} and {each[-1]} may {'both' if len(each) == 2 else 'each'} be the label"


def unclear(file: Candidates, choice: Choice, *, needs_label: bool) -> DataError:
    """What is missing, what stands there, and what to type for each reading that fits."""
    untaken = [index for index in range(len(file.columns)) if index not in choice.taken]
    nested = [index for index in untaken if file.all(index).kind == "objects"]
    free = [index for index in untaken if index not in nested]
    seeks_label = needs_label and not choice.is_labelled
    texts = [choice.text]
    if not choice.text:
        likely = [index for index in free if file.all(index).may_be_text]
        likely = likely or [index for index in free if not file.all(index).may_be_labels] or free
        texts = [(index,) for index in likely]
    labels: list[int | None] = [choice.label]
    if seeks_label:
        labels = [index for index in free if file.all(index).may_name_labels]
        labels = labels or [index for index in free if file.all(index).may_be_classes and not file.all(index).may_be_text]
    commands = [
        file.command(() if text == choice.text else text, label if seeks_label else None)
        for text in texts
        for label in labels
        if label not in text
    ]
    if len(texts) == 2 and commands:
        of_both = [label for label in labels if label not in {*texts[0], *texts[1]}]
        commands[SHOWN - 1 :] = [
            file.command_for_pair(texts[0], texts[1], label if seeks_label else None) for label in of_both[:1]
        ]
    typed = " or ".join(commands[:SHOWN])
    if seeks_label and (flags := flags_of(file, choice)):
        names = ", ".join(file.columns[index] for index in flags[:5]) + (", …" if len(flags) > 5 else "")
        text = () if texts[0] == choice.text else texts[0]
        return DataError(
            f"{file.path}: columns {names} hold only 0 and 1; say whether each is a label that a text may have, or only "
            f"one of them: {file.command(text, flags)} or {typed}"
        )
    missing = [what for what, is_missing in (("text", not choice.text), ("label", seeks_label)) if is_missing]
    count = len(file.columns)
    where = f"in {count} column{'' if count == 1 else 's'} without a header"
    where = f"among {', '.join(file.columns)}" if file.by_name else where
    found_out = [label for label in labels if label is not None] if seeks_label else []
    candidates = [label for label in found_out if file.all(label).may_name_labels]
    fix = f"say which: {typed}" if typed else "none holds values that repeat, as labels do; add a column of labels"
    if not typed and len(file.columns) == 1:
        fix = "its rows have one cell; add a column of labels, or name by data.delimiter what stands between text and label"
    if not typed and nested:
        names = ", ".join(file.columns[index] for index in nested[:SHOWN])
        fix = f"{names} hold{'s' if len(nested) == 1 else ''} objects; write what is in them into columns of their own"
    if len(candidates) > 1:
        found = f"unclear which column is the label: {may_be(file, candidates)}"
        if len(candidates) <= SHOWN:
            fix += f" or {file.command(() if texts[0] == choice.text else texts[0], candidates)}"  # a label in each
        return DataError(f"{file.path}: {found}; {fix}")
    if file.by_name:
        found = f"no {' and no '.join(missing)} column found {where}"
        known = " and ".join(f"called {BODY[0] if what == 'text' else LABEL[0]}" for what in missing)
        fix = f"expected one {known}; {fix}"
    else:
        found = f"unclear which column is the {' and which the '.join(missing)} {where}"
    if missing == ["label"]:
        return Unlabelled(f"{file.path}: {found}", fix)
    return DataError(f"{file.path}: {found}; {fix}")
