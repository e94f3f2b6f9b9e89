"""Raw texts → labels and probabilities, through the same cleaning and tokens as in training.

Texts come in any number and are taken in windows, so memory stays bounded; rows are sorted by length inside a window. While
the classifier works on one window, a thread cleans and tokenises the next. Shapes: N texts, C classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rankwise.data.batches import Padding
from rankwise.data.clean import Preprocessing, has_surrogate
from rankwise.data.given import Label, text_of, texts_in
from rankwise.data.pairs import BETWEEN
from rankwise.data.tasks import Probabilities, task_called
from rankwise.data.tokens import Tokens, tokenize
from rankwise.errors import DataError, ModelError
from rankwise.inference.decision import Rule, energy, ranges
from rankwise.inference.scorer import Scorer, logits

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    from rankwise.data.prepare import Split
    from rankwise.data.shifts import Shifted
    from rankwise.inference.torch_scorer import DropoutScorer
    from rankwise.system.events import Events

FIRST = 256  # texts in the first window, so that the first predictions come soon; each further one is twice as large
NO_DROPOUT = "an exported classifier has no dropout; for mc_dropout, type --engine torch (engine='torch')"
CHUNK = 4_096  # texts in a window at most: 1 % of what news takes to compute is padding then, and larger ones halve that

MOST_SHOWN = 8  # classes of a prediction that a notebook shows


@dataclass(frozen=True)
class Prediction:
    """What is decided about a text, how sure that is, every class's probability, and whether that is given as an answer.

    Without a decision, which `rankwise decide` makes, all texts are answered. With one, probabilities are calibrated.
    """

    label: Label | tuple[Label, ...] | dict[str, Label]
    """A string, or what was given from Python: a whole number, true or false.

    Where a text may have several labels, those it has; of several label columns the label of each; where a number is
    estimated, that.
    """
    score: float
    """How sure that is: the label's probability, of several that of the least sure, where `scores` has each one's; NaN of a
    number, of which nothing is known.
    """
    probabilities: dict[Label, float]
    """Empty where a number is estimated."""
    unsure: bool = False
    """Whether a person should look at the text."""
    reason: str = ""
    """Why."""
    labels: tuple[Label, ...] = ()
    """The set that holds the true class as often as was asked for, the likeliest first; empty where nobody asked."""
    range: tuple[float, float] | None = None
    """Between which ends an estimated number's true one is, as often as was asked for; None where nobody asked."""

    @property
    def scores(self) -> float | tuple[float, ...] | dict[str, float]:
        """The probability of each label that is predicted, in the shape of `label`."""
        if isinstance(self.label, dict):
            return {column: self.probabilities[f"{column}={label}"] for column, label in self.label.items()}
        return tuple(map(self.probabilities.__getitem__, self.label)) if isinstance(self.label, tuple) else self.score

    def _repr_html_(self) -> str:
        """The label and the likeliest classes, in a notebook."""
        from rankwise.system import html  # only a notebook needs it

        likeliest = sorted(self.probabilities.items(), key=lambda entry: -entry[1])[:MOST_SHOWN]
        left = len(self.probabilities) - len(likeliest)
        rows = [(name, f"{share:.1%}", html.Bar(share)) for name, share in likeliest]
        unsure = html.line(f"unsure: {self.reason}") if self.unsure else ""
        return html.card(self.label, unsure, html.table(rows), below=f"and {left:,} more classes" if left else "")

    @property
    def decision(self) -> Label | tuple[Label, ...] | dict[str, Label] | None:
        """The label that is given as an answer; None where a person should look."""
        return None if self.unsure else self.label


class Predictor(ABC):
    """What classifies raw text. Several threads may use one."""

    about = ""
    """What there is to say of it before it predicts."""

    rule: Rule | None = None
    """When to answer, where that was decided."""

    def __init__(self, classes: tuple[str, ...], tokenizer: Any, preprocessing: Preprocessing) -> None:
        self.tokenizer = tokenizer
        self.preprocessing = preprocessing
        about = preprocessing
        self.task = task_called(about.task, classes, about.thresholds, about.columns, about.bounds)
        self._labels = preprocessing.labels

    @abstractmethod
    def read(self, texts: Sequence[Any], first: int = 0) -> Any:
        """What it computes with, of raw texts or pairs; `first` is the number of the first among all. Raises DataError."""

    @abstractmethod
    def logits_of(self, known: Split | Shifted, *, batch_size: int, events: Events | None = None) -> NDArray[np.float32]:
        """Logits (N, C) of texts that are clean and in tokens already; `events` hear how far it is."""

    @abstractmethod
    def sizes(self, read: Any) -> list[int]:
        """How much of each text it reads: tokens, special ones included; words where it counts words."""

    @abstractmethod
    def unread(self, texts: Sequence[Any], read: Any) -> list[int]:
        """How many tokens of each text are cut off, of texts and what `read` gave of them."""

    @abstractmethod
    def logits(self, read: Any, *, batch_size: int = 32) -> NDArray[np.float32]:
        """Logits (N, C) of what `read` gives."""

    @abstractmethod
    def _with_dropout(self, read: Any, passes: int, *, batch_size: int, seed: int) -> Probabilities:
        """The mean probabilities (N, C) of several passes with dropout on. Raises ModelError where there is none."""

    def predict(self, texts: Any, *, mc_dropout: int = 0, seed: int = 0, decide: bool = True) -> list[Prediction]:
        """One prediction per text, in order: of a list, an array, a column, or a frame's columns that training read.

        Where training read pairs, each is one of them: (first, second).
        `mc_dropout=n` averages n passes with dropout on, to which no decision is applied; `decide=False` applies none to a
        single one. Raises DataError for anything else, ModelError for dropout where there is none.
        """
        given = self._texts(texts, "predict")
        listed = given if isinstance(given, Sequence) else list(given)
        if len(listed) > min(FIRST, CHUNK):
            return list(self.stream(listed, mc_dropout=mc_dropout, seed=seed, decide=decide))
        if not listed:
            return []
        return list(self._predictions(self.read(listed), batch_size=32, mc_dropout=mc_dropout, seed=seed, decide=decide))

    def stream(
        self, texts: Any, *, batch_size: int = 32, mc_dropout: int = 0, seed: int = 0, decide: bool = True
    ) -> Iterator[Prediction]:
        """Predictions one by one, from texts as `predict` takes them, which need not fit in memory."""
        from concurrent.futures import ThreadPoolExecutor  # not for a single text, whose time imports are

        given = self._texts(texts, "stream")
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="rankwise-tokens") as worker:
            for number, read in enumerate(self._ahead(worker, iter(given))):
                how: dict[str, Any] = {"batch_size": batch_size, "mc_dropout": mc_dropout, "seed": seed + number}
                yield from self._predictions(read, decide=decide, **how)

    def probabilities(self, texts: Any, *, batch_size: int = 32, mc_dropout: int = 0, seed: int = 0) -> Probabilities:
        """(N, C), in the order of `preprocessing.classes`, of texts as `predict` takes them."""
        read = self.read(list(self._texts(texts, "probabilities")))
        return self._probabilities(read, batch_size=batch_size, mc_dropout=mc_dropout, seed=seed)

    def _texts(self, texts: Any, call: str) -> Iterable[Any]:
        """What holds the texts; each is looked at when its turn comes. Raises DataError for what is no list of texts."""
        about = self.preprocessing
        return texts_in(texts, about.text, about.join, call=call, pair=about.text_pair or ())

    def _ahead(self, worker: ThreadPoolExecutor, source: Iterator[str]) -> Iterator[Any]:
        """What is read of each window, made by `worker` while the caller works on the window before.

        The source is read by the caller's thread, for a reader of files need not bear another. What stops it, or a text that
        can't be used, is raised after the windows before it, where it would be without a thread.
        """
        size, taken = min(FIRST, CHUNK), 0
        pending: Future[Any] | None = None
        problem: Exception | None = None
        while problem is None:
            window, problem = _take(source, size)
            if not window:
                break
            ahead = worker.submit(self.read, window, taken)
            if pending is not None:
                yield pending.result()
            pending = ahead
            taken += len(window)
            size = min(2 * size, CHUNK)
        if pending is not None:
            yield pending.result()
        if problem is not None:
            raise problem

    def clean(self, texts: Sequence[Any], first: int) -> list[str]:
        """Clean texts, the first of which has the number `first` among all. Raises DataError."""
        checked = []
        for number, given in enumerate(texts, start=first):
            text = text_of(given, f"text {number}", pairs=self.preprocessing.reads_pairs)
            if has_surrogate(text):
                raise DataError(f"text {number} holds half of a character; expected valid Unicode, such as UTF-8 gives")
            checked.append(text)
        return list(map(self.preprocessing.apply, checked))

    def _probabilities(self, read: Any, *, batch_size: int, mc_dropout: int, seed: int) -> Probabilities:
        """(N, C) of one window, of a single pass or the mean of several with dropout on."""
        if mc_dropout:
            return self._with_dropout(read, mc_dropout, batch_size=batch_size, seed=seed)
        return self.task.probabilities(self.logits(read, batch_size=batch_size))

    def _predictions(self, read: Any, *, batch_size: int, mc_dropout: int, seed: int, decide: bool) -> Iterable[Prediction]:
        """The predictions of one window, decided where there is a rule for a single pass."""
        if mc_dropout:
            return map(self.prediction, self._probabilities(read, batch_size=batch_size, mc_dropout=mc_dropout, seed=seed))
        return self.predictions(self.logits(read, batch_size=batch_size), decide=decide)

    def predictions(self, logits: NDArray[np.float32], *, decide: bool = True) -> Iterable[Prediction]:
        """The predictions of logits (N, C), decided where there is a rule."""
        if self.rule is None or not decide:
            return map(self.prediction, self.task.probabilities(logits))
        if self.rule.reach is not None:
            estimates = self.task.probabilities(logits)
            ends = ranges(estimates[:, 0], self.rule.reach, self.preprocessing.bounds).tolist()
            return (
                replace(self.prediction(row), range=(low, high)) for row, (low, high) in zip(estimates, ends, strict=True)
            )
        probabilities = self.rule.scaling.probabilities(logits)
        decided = self.rule.decide(probabilities, energy(logits), answers=self.task.decide(probabilities))
        return map(self._decided, probabilities, *decided.by_text())

    def _decided(
        self, row: NDArray[np.float64], answer: int, score: float, reason: str, chosen: NDArray[np.bool_] | None
    ) -> Prediction:
        """One row of probabilities (C,) with what a rule makes of it."""
        named = dict(zip(self._labels, row.tolist(), strict=True))
        order = () if chosen is None else (number for number in np.argsort(-row, kind="stable") if chosen[number])
        labels = tuple(self._labels[number] for number in order)
        return Prediction(self._labels[answer], score, named, bool(reason), reason, labels)

    def prediction(self, row: NDArray[np.float64]) -> Prediction:
        """One row of probabilities (C,) with its decision."""
        decided, named = self.task.decide(row[None])[0], dict(zip(self._labels, row.tolist(), strict=True))
        named = named if self.task.has_classes else {}
        return Prediction(self.task.answer(decided, self._labels), float(self.task.confidence(row[None])[0]), named)


class TokenPredictor(Predictor):
    """A scorer with all that it needs to take raw text."""

    def __init__(
        self,
        scorer: Scorer,
        tokenizer: Any,
        preprocessing: Preprocessing,
        *,
        dropout_scorer: Callable[[], DropoutScorer] | None = None,
    ) -> None:
        """`dropout_scorer` makes the scorer for Monte Carlo dropout, when it is first asked for."""
        super().__init__(scorer.classes, tokenizer, preprocessing)
        self.scorer = scorer
        self.about = getattr(scorer, "about", "")
        self.padding = Padding.of(tokenizer)
        self._make_stochastic = dropout_scorer
        self._stochastic: DropoutScorer | None = None
        self._lock = Lock()  # a tokenizer that two streams use at once says "Already borrowed"
        self._loading = Lock()

    def read(self, texts: Sequence[Any], first: int = 0) -> Tokens:
        clean = self.clean(texts, first)
        with self._lock:
            return tokenize(self.tokenizer, clean, **self.preprocessing.limits)

    def logits_of(self, known: Split | Shifted, *, batch_size: int, events: Events | None = None) -> NDArray[np.float32]:
        return logits(self.scorer, known.tokens, padding=self.padding, batch_size=batch_size, events=events)

    def sizes(self, read: Tokens) -> list[int]:
        return [int(tokens) for tokens in read.text_lengths]

    def unread(self, texts: Sequence[Any], read: Tokens) -> list[int]:
        most, left = self.preprocessing.limits, [0] * len(texts)
        full = read.lengths == most["max_length"]  # whose text may be longer, which only reading it again tells
        if not full.any():
            return left
        from rankwise.planning.workload import reach_of  # for a longer text only: imports are a prediction's time

        firsts = np.arange(len(texts) + 1) if read.firsts is None else read.firsts
        suspects = [text for text in range(len(texts)) if full[firsts[text] : firsts[text + 1]].any()]
        clean = self.clean([texts[text] for text in suspects], 0)
        with self._lock:
            whole = tokenize(self.tokenizer, clean, max_length=None).text_lengths
        with self._lock:
            special = len(tokenize(self.tokenizer, [BETWEEN if self.preprocessing.reads_pairs else ""], max_length=None).ids)
        room = reach_of(most["max_length"] - special, most["windows"])
        for text, tokens in zip(suspects, whole.tolist(), strict=True):
            left[text] = max(0, tokens - special - room)
        return left

    def logits(self, read: Tokens, *, batch_size: int = 32) -> NDArray[np.float32]:
        return logits(self.scorer, read, padding=self.padding, batch_size=batch_size)

    def _with_dropout(self, read: Tokens, passes: int, *, batch_size: int, seed: int) -> Probabilities:
        scorer = self._dropout_scorer().seeded(seed)
        total = np.zeros((len(read.window_counts), len(self.task.classes)))
        for _ in range(passes):  # Gal & Ghahramani, arXiv 1506.02142
            total += self.task.probabilities(logits(scorer, read, padding=self.padding, batch_size=batch_size))
        return total / passes

    def _dropout_scorer(self) -> DropoutScorer:
        """The scorer with dropout on, loaded once. Raises ModelError where there is none."""
        if self._make_stochastic is None:
            raise ModelError(NO_DROPOUT)
        with self._loading:
            if self._stochastic is None:
                self._stochastic = self._make_stochastic()
            return self._stochastic


def _take(source: Iterator[str], size: int) -> tuple[list[str], Exception | None]:
    """Up to `size` texts, and what stopped the source, if it was an error."""
    window: list[str] = []
    try:
        for text in islice(source, size):
            window.append(text)  # what came before an error is kept
    except Exception as problem:  # noqa: BLE001 - whatever it is, it is raised after the predictions of the texts before it
        return window, problem
    return window, None
