"""What waits for the engine: bounded by texts and seconds, taken by one thread whenever it is free, up to a budget of tokens.

There is no timer: a batch is whatever waits. What the thread takes is tokenised there; a client that has gone is dropped
before, one that has waited too long is told so. Whoever asks when the queue is full is refused at once, and told when to
come back.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from math import ceil
from statistics import median
from threading import Condition, Thread
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rankwise.errors import DataError
from rankwise.inference.predict import Prediction
from rankwise.serving.catalogue import Served
from rankwise.serving.engine import Engine, Work
from rankwise.serving.refusals import Refused
from rankwise.serving.states import Question, Text
from rankwise.system.memory import return_freed_memory

MOST_TEXTS = 512
MOST_SECONDS = 1.0  # of work that may be before one's own, so that an overload is over within a second of its end
FEW = 16  # texts that may wait whatever they take, so that long texts of a few clients are not taken for an overload
PACES = 5  # batches, of whose seconds a text the median is the pace: the first text after a start takes longer than others
TOKENS = 8_192  # of a batch; what is longer is a batch of its own
TIMEOUT = 30.0  # seconds
TRIM_EVERY = 64  # texts: a second's work, of which giving memory back takes a hundredth


@dataclass(frozen=True)
class Answer:
    """What a run says of a text."""

    prediction: Prediction
    probabilities: tuple[float, ...]
    """In the order of its classes (C,); where a number is estimated, that alone."""
    logits: NDArray[np.float32] = field(repr=False)
    """(C,)"""
    tokens: int
    """That were read."""
    unread: int
    """Tokens that were cut off."""


@dataclass(frozen=True)
class Answered:
    """The answers to some questions, in their order, and the seconds that they took."""

    answers: list[Answer]
    waited: float = 0.0
    tokenized: float = 0.0
    inferred: float = 0.0


class Watch(Protocol):
    """What hears of batches, to count them."""

    def batch(self, texts: int, tokens: int, tokenized: float, inferred: float) -> None: ...
    def waited(self, seconds: float) -> None: ...


@dataclass(eq=False)
class _Entry:
    """The questions of a request, no two the same."""

    questions: tuple[Question, ...]
    whole: bool
    """Whether a text that is cut off is refused."""
    since: float
    answers: Future[Answered] = field(default_factory=Future)
    work: list[Work] | None = None
    texts: list[list[Text]] = field(default_factory=list)
    sizes: list[list[int]] = field(default_factory=list)
    unread: list[list[int]] = field(default_factory=list)
    tokenized: float = 0.0

    @property
    def tokens(self) -> int:
        return sum(map(sum, self.sizes))

    def read(self) -> None:
        """Tokenise its texts, run by run. Raises Refused for one that is not read whole, where that was asked for."""
        begun = time.monotonic()
        by_run = dict[Served, list[Question]]()
        for question in self.questions:
            by_run.setdefault(question.run, []).append(question)
        self.work = []
        for run, questions in by_run.items():
            texts = [question.text for question in questions]
            read = run.predictor.read(texts)
            unread = run.predictor.unread(texts, read)
            if self.whole and any(unread):
                most = run.run.preprocessing.limits["max_length"]
                told = f"a text has {max(unread)} tokens more than the {most} that the model '{run.name}' reads"
                raise Refused(told, "too_long")
            self.work.append(Work(run, read))
            self.texts.append(texts)
            self.sizes.append(run.predictor.sizes(read))
            self.unread.append(unread)
        self.tokenized = time.monotonic() - begun

    def answered(self, logits: Sequence[NDArray[np.float32]], waited: float, inferred: float) -> Answered:
        """The answers in the order of the questions."""
        found = dict[Question, Answer]()
        for work, texts, sizes, unread, values in zip(
            self.work or (), self.texts, self.sizes, self.unread, logits, strict=True
        ):
            for text, size, left, row, prediction in zip(
                texts, sizes, unread, values, work.run.predictor.predictions(values), strict=True
            ):
                probabilities = tuple(prediction.probabilities.values()) or (float(str(prediction.label)),)
                found[Question(work.run, text)] = Answer(prediction, probabilities, row, size, left)
        answers = [found[question] for question in self.questions]
        return Answered(answers, waited, self.tokenized, inferred)


class Queue:
    """Questions in, answers out. One thread computes; any may ask."""

    def __init__(
        self,
        engine: Engine,
        *,
        most: int = MOST_TEXTS,
        most_seconds: float = MOST_SECONDS,
        tokens: int = TOKENS,
        timeout: float = TIMEOUT,
        watch: Watch | None = None,
    ) -> None:
        self.engine, self.most, self.most_seconds, self.tokens, self.timeout = engine, most, most_seconds, tokens, timeout
        self.watch = watch
        self.draining = False
        """Whether what is new is refused, while what waits is answered."""
        self._entries = deque[_Entry]()
        self._waiting = 0
        self._computing = 0
        self._changed = Condition()
        self._closed = False
        self._paces = deque([0.01] * PACES, maxlen=PACES)
        self._thread = Thread(target=self._work, name="rankwise-engine", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Texts that wait."""
        return self._waiting

    def close(self) -> None:
        """Let the thread end once nothing waits, and wait for that."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    async def answers(self, questions: Sequence[Question], *, whole: bool = False) -> Answered:
        """The answers in order; each question that is asked twice is computed once. Cancelled, what waits is dropped.

        Raises Refused where the queue is full or draining, where it took too long, and for a text that can't be read.
        """
        entry = _Entry(tuple(dict.fromkeys(questions)), whole, time.monotonic())
        self._admit(entry)
        try:
            told = await asyncio.wrap_future(entry.answers)
        except asyncio.CancelledError:
            self._drop(entry)
            raise
        if len(entry.questions) == len(questions):
            return told
        by_question = dict(zip(entry.questions, told.answers, strict=True))
        return Answered([by_question[one] for one in questions], told.waited, told.tokenized, told.inferred)

    def refuse_if_busy(self) -> None:
        """Raises Refused where nothing more is taken, so that a body need not be read first."""
        if self.draining:
            raise Refused("the server is shutting down; ask again", "draining", status=503, headers={"retry-after": "1"})
        seconds = (self._waiting + self._computing) * median(self._paces)
        if self._waiting >= self.most or (self._waiting >= FEW and seconds > self.most_seconds):
            after = max(0.05, seconds)
            headers = {"retry-after": str(max(1, ceil(after))), "retry-after-ms": str(ceil(1000 * after))}
            raise Refused(f"{self._waiting} texts wait already; ask again", "overloaded", status=429, headers=headers)

    def _admit(self, entry: _Entry) -> None:
        with self._changed:
            self.refuse_if_busy()
            self._entries.append(entry)
            self._waiting += len(entry.questions)
            self._changed.notify()

    def _drop(self, entry: _Entry) -> None:
        with self._changed:
            if entry in self._entries:
                self._entries.remove(entry)
                self._waiting -= len(entry.questions)

    def _work(self) -> None:
        """Compute batches until the queue is closed, and give back what they freed, which lies in pieces of every size."""
        texts = 0
        while batch := self._taken():
            self._computing = sum(len(entry.questions) for entry in batch)
            self._compute(batch)
            texts += self._computing
            self._computing = 0
            if texts >= TRIM_EVERY:
                return_freed_memory()
                texts = 0

    def _taken(self) -> list[_Entry]:
        """What waits, up to the budget of tokens; nothing once the queue is closed."""
        batch, tokens = list[_Entry](), 0
        while True:
            with self._changed:
                while not self._entries and not batch and not self._closed:
                    self._changed.wait()
                if not self._entries:
                    return batch
                entry = self._entries[0]
            if entry.work is None and not self._is_ready(entry):
                self._drop(entry)
                continue
            if batch and tokens + entry.tokens > self.tokens:
                return batch
            self._drop(entry)
            if entry.answers.set_running_or_notify_cancel():
                batch.append(entry)
                tokens += entry.tokens

    def _is_ready(self, entry: _Entry) -> bool:
        """Read an entry's texts; where it has waited too long, or can't be read, its answer is that."""
        waited = time.monotonic() - entry.since
        if entry.answers.cancelled():
            return False
        if waited > self.timeout:
            headers = {"retry-after": "1"}
            late = Refused(
                f"waited {waited:.1f} s, and longer than that nobody does", "queue_timeout", status=503, headers=headers
            )
            _fail(entry, late)
            return False
        try:
            entry.read()
        except Refused as refused:
            _fail(entry, refused)
        except DataError as problem:
            _fail(entry, Refused(str(problem), "invalid_text"))
        except Exception as defect:  # noqa: BLE001 - of one request, which must not end the thread that answers all
            _fail(entry, defect)
        else:
            return True
        return False

    def _compute(self, batch: list[_Entry]) -> None:
        begun = time.monotonic()
        work = [one for entry in batch for one in entry.work or ()]
        try:
            logits = self.engine.logits(work)
            inferred = time.monotonic() - begun
            rest = iter(logits)
            told = [
                entry.answered([next(rest) for _ in entry.work or ()], begun - entry.since - entry.tokenized, inferred)
                for entry in batch
            ]
        except Exception as defect:  # noqa: BLE001 - as above
            if len(batch) > 1:  # whose it is shows when each is computed alone
                for entry in batch:
                    self._compute([entry])
                return
            _fail(batch[0], defect)
            return
        texts = sum(len(entry.questions) for entry in batch)
        spent = sum(entry.tokenized for entry in batch) + inferred
        self._paces.append(spent / texts)
        for entry, answered in zip(batch, told, strict=True):
            entry.answers.set_result(answered)
            if self.watch is not None:
                self.watch.waited(answered.waited)
        if self.watch is not None:
            tokenized = sum(entry.tokenized for entry in batch)
            self.watch.batch(texts, sum(entry.tokens for entry in batch), tokenized, inferred)


def _fail(entry: _Entry, problem: Exception) -> None:
    """Make an error of an entry's answer, unless its client has gone."""
    if entry.answers.running() or entry.answers.set_running_or_notify_cancel():
        entry.answers.set_exception(problem)
