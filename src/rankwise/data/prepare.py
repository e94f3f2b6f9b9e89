"""Labelled tables → Prepared: class numbers, clean texts and tokens of three splits.

Texts and tokens go from file to file on disk, a chunk of them in memory. Shapes: a split of N texts holds its tokens end to
end with N + 1 offsets, so nothing is stored padded. Labels are as the task has them (`tasks.task.Labels`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankwise.data.clean import Preprocessing, clean
from rankwise.data.files.table import Table
from rankwise.data.given import type_of
from rankwise.data.labelled import Labelled, read_labelled
from rankwise.data.lengths import COVERED, Lengths, covering, lengths_of
from rankwise.data.store import Texts
from rankwise.data.tasks import SINGLE_LABEL, Labels, Task
from rankwise.data.tokens import Tokens, cut, tokenize_to_disk
from rankwise.errors import DataError
from rankwise.planning.workload import reach_of, windows_of
from rankwise.recipe import DataSpec
from rankwise.system.cache import Cache

LEAST_SHARE = 0.01  # of texts that are cut, below which the side hardly matters
LEAST_ROWS = 100  # that are cut, below which a comparison says nothing
MOST_ROWS = 4_000  # that are compared: seconds, whatever the number of texts
FOLDS = 3
MOST_CUT = 0.5  # share of the training texts, above which being cut is worth a warning
_PAIRS = "both texts of a pair share the max length: what is too long is cut off the longer one"


@dataclass(frozen=True)
class Split:
    """The N rows of train, validation or test."""

    texts: Sequence[str] = field(repr=False)
    """Clean texts, N of them."""
    tokens: Tokens = field(repr=False)
    labels: Labels = field(repr=False)
    """As the task has them: class numbers (N,), 1 for each class that a text has (N, C), or numbers (N,)."""
    rows: NDArray[np.int64] = field(repr=False)
    """The data row that a text stands in, from 1; shape (N,)."""

    def __len__(self) -> int:
        return len(self.texts)

    def where(self, kept: NDArray[np.bool_]) -> "Split":
        """The rows that a mask (N,) keeps; the split itself where it keeps all."""
        if kept.all():
            return self
        rows = np.flatnonzero(kept)
        return Split(Texts.of(self.texts).take(rows), self.tokens.take(rows), self.labels[rows], self.rows[rows])


@dataclass(frozen=True)
class Prepared:
    """The data that a training needs, and what its run must remember of them."""

    preprocessing: Preprocessing
    task: Task
    """What is decided about a text."""
    train: Split
    validation: Split
    test: Split
    lengths: Lengths
    """Lengths of the training texts, in tokens, before any was cut or left out."""
    notes: tuple[str, ...] = ()
    """Lines for a person to read, on what the data have and what was done with them."""
    warnings: tuple[str, ...] = ()
    """Lines on what went wrong with them, though they can be trained on."""

    @property
    def classes(self) -> tuple[str, ...]:
        return self.preprocessing.classes


def prepare(
    spec: DataSpec, tokenizer: Any, *, longest: int, labelled: Labelled | None = None, cache: Cache | None = None
) -> Prepared:
    """The data of a recipe, read (unless `labelled` has them), cleaned and tokenised.

    `longest` is the most tokens that the encoder takes, `tokenizer` one of transformers', whose truncation side is set as the
    recipe says. Processes that share a `cache` share the tokens. Raises DataError for files, columns, labels and texts that
    cannot be used.
    """
    labelled = labelled or read_labelled(spec)
    task = labelled.task
    numbers = {name: task.parse(table, labelled.numbering, spec) for name, table in labelled.tables.items()}
    task = task.learnt(numbers["train"], spec)
    pair = labelled.train.layout.text_pair or None
    windows = 1 if pair else spec.windows
    texts = clean_all(labelled.train.texts, spec.clean)
    whole = tokenize_to_disk(tokenizer, texts, max_length=None, cache=cache)
    max_length, length_note = choose_length(whole.lengths, spec.max_length, longest, windows)
    if spec.truncation_side == "auto" and pair:
        side, side_note = "right", ""
    elif spec.truncation_side == "auto":
        side, side_note = better_side(whole, task.strata(numbers["train"]), reach_of(max_length, windows))
    else:
        side = spec.truncation_side
        side_note = "longer texts lose their beginning" if side == "left" else ""
    tokenizer.truncation_side = side  # saved with it, so whoever loads the run cuts on the same side
    kept, kept_note = _within_percentiles(whole.lengths, spec.length_percentiles)
    preprocessing = Preprocessing(
        classes=labelled.classes,
        clean=spec.clean,
        max_length=max_length,
        join=spec.join,
        text=labelled.train.layout.text,
        numbering=labelled.numbering,
        windows=windows if windows > 1 else None,
        label_type=type_of(labelled.classes, labelled.train.label_type),
        task=task.name if task.name != SINGLE_LABEL else None,
        columns=labelled.columns,
        text_pair=pair,
        **task.remembered,
    )
    tokens = cut(whole, texts, tokenizer, **preprocessing.limits)
    return Prepared(
        preprocessing=preprocessing,
        task=task,
        train=Split(texts, tokens, numbers["train"], labelled.train.rows).where(kept),
        validation=split_of(labelled.validation, numbers["validation"], tokenizer, preprocessing, cache),
        test=split_of(labelled.test, numbers["test"], tokenizer, preprocessing, cache),
        lengths=lengths_of(whole.lengths, "tokens", bars=40, width=1),
        notes=(*labelled.notes, *filter(None, (length_note, side_note, kept_note, _PAIRS if pair else ""))),
        warnings=(
            *labelled.warnings,
            *(_lost_pairs if pair else _lost_text)(whole.lengths, max_length, longest, spec.windows),
        ),
    )


def split_of(table: Table, labels: Labels, tokenizer: Any, preprocessing: Preprocessing, cache: Cache | None = None) -> Split:
    """The rows of a table and their labels, with texts as a classifier takes them."""
    texts = clean_all(table.texts, preprocessing.clean)
    tokens = tokenize_to_disk(tokenizer, texts, **preprocessing.limits, cache=cache)
    return Split(texts, tokens, labels, table.rows)


def clean_all(texts: Sequence[str], steps: Sequence[str]) -> Sequence[str]:
    """Texts after cleaning, on disk; the texts themselves where there is no step."""
    return Texts.of(clean(text, steps) for text in texts) if steps else texts


def choose_length(lengths: NDArray[np.int64], wanted: float, longest: int, windows: int = 1) -> tuple[int, str]:
    """(the max length in tokens, a line about it) for texts of these lengths, (N,), read in so many `windows` at most.

    A share `wanted` up to 1 is that of texts which fit whole, in a multiple of 8. Raises DataError for more than `longest`.
    """
    chosen = min(covering(lengths, wanted), longest) if wanted <= 1 else int(wanted)
    if chosen > longest:
        raise DataError(f"data.max_length is {chosen}, but this encoder takes at most {longest} tokens")
    longer = float((lengths > chosen).mean())
    if windows > 1:
        if not longer:
            return chosen, f"max length {chosen} tokens holds every training text"
        lost = float((lengths > reach_of(chosen, windows)).mean())
        return chosen, (
            f"{longer:.1%} of the training texts are longer than {chosen} tokens and are read in up to {windows} windows, "
            f"which cut {lost:.1%}"
        )
    fits_all = min(covering(lengths, COVERED), longest)
    hint = f"; {fits_all} would cut 0.5 % or fewer" if longer > 0.05 and fits_all > chosen else ""
    return chosen, f"max length {chosen} tokens cuts {longer:.1%} of the training texts{hint}"


def _lost_text(lengths: NDArray[np.int64], max_length: int, longest: int, windows: int) -> Iterator[str]:
    """A warning where most texts of these lengths (N,) are cut, with what to type to read nearly all of them whole."""
    reach = reach_of(max_length, windows)
    lost = float((lengths > reach).mean()) if len(lengths) else 0.0
    if lost > MOST_CUT:
        wanted = covering(lengths, COVERED)
        more = windows_of(wanted, max_length, wanted)
        whole = f"data.max_length={wanted}" if wanted <= longest else f"data.windows={more}"
        yield f"{lost:.0%} of the training texts are cut after {reach} tokens; to read them whole, type --set {whole}"


def _lost_pairs(lengths: NDArray[np.int64], max_length: int, longest: int, windows: int) -> Iterator[str]:
    """A warning where most pairs are cut, and where any is that was to be read in `windows`, which pairs are not."""
    lost = float((lengths > max_length).mean()) if len(lengths) else 0.0
    if lost > (0 if windows > 1 else MOST_CUT):
        wanted = min(covering(lengths, COVERED), longest)
        fix = f"to cut fewer, type --set data.max_length={wanted}" if wanted > max_length else f"this encoder takes {longest}"
        yield (
            f"{lost:.1%} of the training pairs are cut after {max_length} tokens, both texts together, for a pair is read in "
            f"no windows; {fix}"
        )


def better_side(tokens: Tokens, labels: NDArray[np.int64], max_length: int) -> tuple[str, str]:
    """(the side to cut, `right` or `left`; a line about it, empty where no text is longer).

    `tokens` are those of N whole texts, `labels` their class numbers (N,). The end is kept whose words tell the classes apart
    better, by a quick stand-in for the encoder: TF-IDF of token ids and logistic regression, cross-validated on beginnings
    and on ends of the texts that are cut. Reviews come to their point at the end, news at the beginning: of IMDB's reviews
    the last 128 tokens gave the encoder 86.5 % where the first gave 80.2 (benchmarks/results/tuning.csv).
    """
    long = np.flatnonzero(tokens.lengths > max_length)
    if not len(long):
        return "right", ""
    if len(long) < LEAST_ROWS or len(long) < LEAST_SHARE * len(tokens):
        return "right", "the few longer texts lose their end"
    rows = np.sort(np.random.default_rng(0).permutation(long)[:MOST_ROWS])
    counts = np.bincount(labels[rows])
    rows = rows[counts[labels[rows]] >= FOLDS]
    if len(np.unique(labels[rows])) < 2:
        return "right", "longer texts lose their end; too few of them to tell which end says more"
    starts, ends = tokens.offsets[rows], tokens.offsets[rows + 1]
    beginnings = _accuracy([tokens.ids[start : start + max_length] for start in starts], labels[rows])
    endings = _accuracy([tokens.ids[end - max_length : end] for end in ends], labels[rows])
    side, kept, other = ("left", "end", "beginning") if endings > beginnings else ("right", "beginning", "end")
    low, high = sorted((beginnings, endings))
    note = f"longer texts keep their {kept}, which tells classes apart better ({high:.1%}, their {other} {low:.1%}, TF-IDF)"
    return side, note


def _within_percentiles(lengths: NDArray[np.int64], percentiles: tuple[float, float] | None) -> tuple[NDArray[np.bool_], str]:
    """(which texts (N,) lie between two percentiles of length, a line about the others)."""
    if percentiles is None:
        return np.ones(len(lengths), dtype=np.bool_), ""
    low, high = np.percentile(lengths, percentiles)
    kept = (lengths >= low) & (lengths <= high)
    return kept, f"train: {(~kept).sum():,} rows outside {low:.0f} to {high:.0f} tokens left out of training"


def _accuracy(pieces: list[NDArray[np.integer]], labels: NDArray[np.int64]) -> float:
    """Cross-validated accuracy of TF-IDF with logistic regression on bags of token ids."""
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline

    ids = np.concatenate(pieces).astype(np.int64)
    offsets = np.cumsum([0, *map(len, pieces)])
    counts = csr_matrix((np.ones(len(ids)), ids, offsets))
    counts.sum_duplicates()
    model = make_pipeline(TfidfTransformer(sublinear_tf=True), LogisticRegression(C=10.0, max_iter=1000))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    return float(cross_val_score(model, counts, labels, cv=folds).mean())
