"""A finished run and a source of texts → scores, or predictions row by row.

The run brings its own cleaning, max length and class names; the file only says where its text is.
"""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, tee
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from rankwise.data.audit import seen_in
from rankwise.data.files.columns import Layout, columns_in_words
from rankwise.data.files.rows import OutputRow
from rankwise.data.files.table import Record, Table, like_training, read_table, stream
from rankwise.data.given import Label, name_of
from rankwise.data.labelled import read_labelled
from rankwise.data.pairs import apart, is_blank
from rankwise.data.prepare import Split, split_of
from rankwise.data.scripts import script_of
from rankwise.data.sources import source_to_score, sources_of
from rankwise.data.tasks import read_as
from rankwise.errors import DataError, as_set, as_typed
from rankwise.inference.decision import UNSURE
from rankwise.inference.evaluation import Evaluation, evaluated
from rankwise.inference.explain import Explanation
from rankwise.inference.predict import Prediction
from rankwise.recipe import DataSpec, SourceSpec
from rankwise.run.folder import Run
from rankwise.system.events import Events


@dataclass(frozen=True)
class Form:
    """Which columns a prediction is written in."""

    probabilities: bool = False
    """Every class's probability, as `p_CLASS`."""
    submission: tuple[str, str] | None = None
    """Exactly two columns, id and label, by these names."""
    numbers: bool = False
    """Class numbers from 0 instead of names."""
    words: bool = False
    """What each word adds to the label's margin, as [[word, start, end, score], …], of a pair with its text, 0 or 1."""
    typed: bool = False
    """The source's own cells in their types, for a format that has some, instead of as strings."""
    nested: bool = False
    """Words and several labels as lists or objects, for JSON, instead of as a string that holds such JSON."""
    decided: bool = False
    """`unsure` instead of a label where a person should look, and the reason."""
    sets: bool = False
    """The set of labels that holds the true one as often as was asked for, with | between them, or a number's range."""
    several: bool = False
    """Several labels of a text, or one for each column: the probability of each, and the one that words are told of."""
    number: bool = False
    """An estimated number alone."""

    def columns(self, classes: Sequence[str], own: Sequence[str] = ()) -> list[str]:
        """The source's own columns, or without any the row's number, and behind them what is predicted."""
        return list(self.submission) if self.submission else [*(own or ["row"]), *self.added(classes, own)]

    def added(self, classes: Sequence[str], own: Sequence[str] = ()) -> list[str]:
        """What is predicted: label, score and the rest, by other names where the source has columns of these."""
        names = ["label", "score", *(["scores"] if self.several else [])]
        names += [*(["reason"] if self.decided else []), *(["labels"] if self.sets else [])]
        names += [f"p_{name}" for name in classes] if self.probabilities else []
        names = ["estimated", *(["low", "high"] if self.sets else [])] if self.number else names
        names += [*(["explained"] if self.several else []), "words"] if self.words else []
        taken = set(own)
        return [next(free for free in _names_like(name) if free not in taken) for name in names]


@dataclass
class Noticed:
    """What there is to say of texts that are predicted."""

    rows: int = 0
    blank: array[int] = field(default_factory=lambda: array("q"))
    """The numbers of rows without a text."""
    scripts: Counter[str] = field(default_factory=Counter)
    """How many texts are mostly in each script."""

    def of(self, records: Iterable[Record]) -> Iterator[Record]:
        """The records as they come, each of them noticed."""
        for record in records:
            self.rows += 1
            if is_blank(record.text):
                self.blank.append(record.number)
            if script := script_of(record.text):
                self.scripts[script] += 1
            yield record


def source_for(spec: DataSpec, *, labelled: bool) -> tuple[SourceSpec, tuple[str, ...]]:
    """What `spec.source` means, and the class names in the order of their numbers where they are known.

    A file or hub data set stands for itself; of a folder, a workbook of splits or `sample`, the rows to be scored are meant.
    """
    source = spec.source or ""
    if source == "sample" and not labelled:
        return SourceSpec(path=str(Path(sources_of(spec).train.path).with_name("unlabelled.csv"))), ()
    if source == "sample" or Path(source).expanduser().is_dir():
        return source_to_score(spec)
    splits = sources_of(spec)
    if splits.train.sheet is not None:  # sheets of a workbook that are named after splits
        return source_to_score(spec)
    return splits.train, splits.classes


def with_text_columns(run: Run, source: SourceSpec, spec: DataSpec) -> SourceSpec:
    """The source read from the columns that training read, where it has them by name and nothing else is asked for.

    Raises DataError for a file that has only some of them.
    """
    about = run.preprocessing
    return like_training(source, spec, tuple(map(str, about.text)), pair=tuple(map(str, about.text_pair or ())))


def check_columns(run: Run, layout: Layout, spec: DataSpec, source: SourceSpec) -> None:
    """Raise DataError where a file gives fewer text columns than training read, and nobody asked for these.

    And where it gives pairs to a run of single texts, or single texts to a run of pairs.
    """
    trained = tuple(map(str, run.preprocessing.text))
    if run.preprocessing.reads_pairs != bool(layout.text_pair):
        if layout.text_pair:
            fix = f"to read them joined, type {as_set('data.text', layout.read)}"
            raise DataError(f"{layout.path}: {layout.read_in_words}, and this run classifies single texts; {fix}")
        raise DataError(
            f"{layout.path}: this run classifies pairs of texts, and of {', '.join(layout.columns)} only "
            f"{' + '.join(layout.text)} would be read; name both: --set data.text=COLUMN --set data.text_pair=COLUMN"
        )
    if source.text or spec.text or not run.recipe.data.names_files or len(layout.text) >= len(trained):
        return
    found = f"{' + '.join(layout.text)}{' alone' if len(layout.text) == 1 else ''}"
    raise DataError(
        f"{layout.path}: training read {' + '.join(trained)}, and of {', '.join(layout.columns)} this would read {found}; if "
        f"that is meant, type {' '.join(f'--text-column {as_typed(name)}' for name in layout.text)}"
    )


def other_columns(run: Run, layout: Layout) -> str:
    """A line where a file's text stands in columns of other names than training read, or in more; empty where it does not."""
    text, pair = (tuple(map(str, side or ())) for side in (run.preprocessing.text, run.preprocessing.text_pair))
    trained = (*text, *pair)
    if not run.recipe.data.names_files or not trained or layout.read == trained:
        return ""
    without_names = False in (layout.header, not trained[0].isdecimal())
    if without_names and len(layout.read) == len(trained):
        return ""
    return f"training read {columns_in_words(text, pair)}, here it is {layout.read_in_words}"


def evaluate_file(
    run: Run,
    source: SourceSpec,
    spec: DataSpec,
    *,
    numbering: Sequence[str] = (),
    engine: str = "torch",
    events: Events | None = None,
) -> tuple[Table, Split, Evaluation]:
    """Labelled rows as they were read, and as the run's classifier takes them, and its scores on them. Raises DataError."""
    table, split, logits = logits_of_file(run, source, spec, numbering=numbering, engine=engine, events=events)
    return table, split, evaluated(logits, split, run.task, run.recipe.evaluate)


def logits_of_file(
    run: Run,
    source: SourceSpec,
    spec: DataSpec,
    *,
    numbering: Sequence[str] = (),
    engine: str = "torch",
    events: Events | None = None,
) -> tuple[Table, Split, NDArray[np.float32]]:
    """Labelled rows as they were read, and as the run's classifier takes them, and its logits (N, C) of them.

    `numbering` names the classes that whole-number labels count; `events` hear how far it is. Raises DataError.
    """
    table, split = split_of_file(run, source, spec, engine, numbering=numbering)
    predictor = run.predictor_on(engine)
    return table, split, predictor.logits_of(split, batch_size=run.recipe.evaluate.batch_size, events=events)


def split_of_file(
    run: Run, source: SourceSpec, spec: DataSpec, engine: str, *, numbering: Sequence[str] = ()
) -> tuple[Table, Split]:
    """Labelled rows as they were read, and as the run's classifier on an engine takes them. Raises DataError."""
    table = read_table(with_text_columns(run, source, spec), spec)
    check_columns(run, table.layout, spec, source)
    task = run.task
    table = read_as(table, task.name, task.classes)
    numbers = task.parse(table, numbering or run.preprocessing.numbering, spec)  # before what computes is loaded
    return table, split_of(table, numbers, run.predictor_on(engine).tokenizer, run.preprocessing)


def seen_in_training(run: Run, table: Table) -> int:
    """How many rows have a text that the run trained on or chose by; 0 where its files are no longer there to tell."""
    data = run.recipe.data
    sources = [data.source or "", *(source.path for source in (data.train, data.validation, data.test) if source)]
    if not data.names_files or any(source.startswith("hub:") for source in sources):
        return 0
    if not all(source in ("", "sample") or Path(source).expanduser().exists() for source in sources):
        return 0
    try:
        labelled = read_labelled(data, by_folds=True)
    except DataError:  # they are no longer what they were
        return 0
    if labelled.sha256 != run.facts.data_sha256:  # likewise
        return 0
    return int((seen_in(labelled.train, table) | seen_in(labelled.validation, table)).sum())


def predict_rows(
    run: Run, source: SourceSpec, spec: DataSpec, form: Form, *, noticed: Noticed | None = None, **how: Any
) -> tuple[Layout, Iterator[OutputRow]]:
    """The source's layout, and one written row per data row, in bounded memory; `how` goes to `written_rows`.

    What there is to say of the texts is `noticed` while rows are predicted. Raises DataError.
    """
    layout, records = stream(with_text_columns(run, source, spec), spec)
    check_columns(run, layout, spec, source)
    if noticed is not None:
        records = noticed.of(records)
    return layout, written_rows(run, records, form, layout, **how)


def written_rows(
    run: Run,
    records: Iterable[Record],
    form: Form,
    layout: Layout | None = None,
    *,
    mc_dropout: int = 0,
    batch_size: int = 32,
    engine: str = "torch",
) -> Iterator[OutputRow]:
    """Predict the records' texts and yield a row in the form's columns for every one."""
    id_column = None  # the file's own for a submission, by name without case; else rows are numbered from 0
    if form.submission and layout is not None:
        wanted = form.submission[0].lower()
        id_column = next((column for column in layout.columns if column.lower() == wanted), None)
    classes, own = run.preprocessing.classes, () if layout is None else layout.columns
    added = form.added(classes, own)
    for_texts, for_rows = tee(records)
    texts = (apart(record.text) for record in for_texts)
    predictions: Iterator[Prediction]
    if form.words:
        predictions = run.explainer.stream(texts)
    else:
        how: dict[str, Any] = {"batch_size": batch_size, "mc_dropout": mc_dropout, "decide": form.decided}
        predictions = run.predictor_on(engine).stream(texts, **how)
    for prediction, record in zip(predictions, for_rows, strict=True):
        if form.submission:
            yield _submitted(prediction, record, form, id_column, classes)
            continue
        values: list[Any] = [_label(prediction, form, classes), *([] if form.number else [round(prediction.score, 6)])]
        values += [_scores(prediction, form)] if form.several else []
        if form.number:
            values += [round(end, 6) for end in prediction.range or ()]
        else:
            values += [prediction.reason] if form.decided else []
            values += ["|".join(map(name_of, prediction.labels))] if form.sets else []
        if form.probabilities:
            values += [round(probability, 6) for probability in prediction.probabilities.values()]
        if isinstance(prediction, Explanation):
            words = scored_words(prediction, pairs=run.preprocessing.reads_pairs)
            values += [name_of(prediction.explained)] if form.several else []
            values.append(words if form.nested else json.dumps(words, ensure_ascii=False))
        kept = (record.own if form.typed else record.columns) if own else {"row": record.number}
        yield {**kept, **dict(zip(added, values, strict=True))}


def scored_words(explanation: Explanation, *, pairs: bool = False) -> list[tuple[str | int | float, ...]]:
    """(word, start, end, score) of every word of a text, and of pairs in which of both it stands, 0 or 1."""
    return [
        (word.word, word.start, word.end, round(word.score, 6), *([word.side] if pairs else [])) for word in explanation.words
    ]


def _names_like(name: str) -> Iterator[str]:
    """`label`, `predicted_label`, `predicted_label_2` and so on."""
    yield name
    yield f"predicted_{name}"
    yield from (f"predicted_{name}_{number}" for number in count(2))


def _label(prediction: Prediction, form: Form, classes: Sequence[str]) -> Any:
    if prediction.unsure:
        return UNSURE
    if form.number:
        return round(cast(float, prediction.label), 6)
    several: Any = None
    if isinstance(prediction.label, dict):
        several = {column: name_of(label) for column, label in prediction.label.items()}
    elif isinstance(prediction.label, tuple):
        several = [name_of(label) for label in prediction.label]
        several = [classes.index(name) for name in several] if form.numbers else several
    if several is not None:
        return several if form.nested else json.dumps(several, ensure_ascii=False)
    name = name_of(cast(Label, prediction.label))
    return classes.index(name) if form.numbers else name


def _scores(prediction: Prediction, form: Form) -> Any:
    """The probability of each of several labels, in the shape that `_label` gives these."""
    told: Any = prediction.scores
    several = (
        {name: round(one, 6) for name, one in told.items()} if isinstance(told, dict) else [round(one, 6) for one in told]
    )
    return several if form.nested else json.dumps(several, ensure_ascii=False)


def _submitted(
    prediction: Prediction, record: Record, form: Form, id_column: str | None, classes: Sequence[str]
) -> OutputRow:
    """Two columns, of a file's own id or the row from 0."""
    assert form.submission is not None
    name, label_name = form.submission
    number = record.columns[id_column] if id_column else record.number - 1
    return {name: number, label_name: _label(prediction, form, classes)}


def parse_submission(text: str | None) -> tuple[str, str] | None:
    """`ID,Label` → ("ID", "Label"). Raises DataError."""
    if text is None:
        return None
    names = tuple(name.strip() for name in text.split(","))
    if len(names) != 2 or not all(names):
        raise DataError(f"--submission {text}: expected two column names, such as ID,Label")
    return names[0], names[1]
