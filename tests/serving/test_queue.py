"""What waits, what is taken together, what is refused, what is dropped."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

import pytest

pytest.importorskip("starlette", reason="rankwise[serve] is not installed")
pytest.importorskip("httpx", reason="httpx is not installed: rankwise[dev]")

from rankwise.serving.engine import EachAlone
from rankwise.serving.queue import FEW, Queue
from rankwise.serving.refusals import Refused
from rankwise.serving.states import Question


class Gate(EachAlone):
    """An engine that computes only while its gate is open, and keeps what it was given at once."""

    def __init__(self):
        self.open, self.entered = threading.Event(), threading.Event()
        self.batches = []

    def logits(self, work):
        self.batches.append([(one.run.name, len(one.run.predictor.sizes(one.read))) for one in work])
        self.entered.set()
        assert self.open.wait(30)
        return super().logits(work)


@pytest.fixture
def gate():
    return Gate()


@pytest.fixture
def queue_of(gate):
    made = []

    def make(**how):
        made.append(Queue(gate, **how))
        return made[-1]

    yield make
    gate.open.set()
    for queue in made:
        queue.close()


async def held(queue, gate, question):
    """A question that the engine is computing, so that what comes now waits."""
    first = asyncio.ensure_future(queue.answers([question]))
    await asyncio.to_thread(gate.entered.wait, 10)
    return first


def test_what_waits_when_the_engine_is_free_is_one_batch_of_several_runs(catalogue, queue_of, gate):
    tickets, words = catalogue.runs["tickets"], catalogue.runs["words"]
    queue = queue_of()

    async def ask():
        first = await held(queue, gate, Question(tickets, "apple"))
        rest = [
            asyncio.ensure_future(queue.answers([Question(run, f"iron {n}")])) for n in range(3) for run in (tickets, words)
        ]
        await asyncio.sleep(0)
        gate.open.set()
        return await asyncio.gather(first, *rest)

    told = asyncio.run(ask())
    assert gate.batches == [[("tickets", 1)], [("tickets", 1), ("words", 1)] * 3]
    assert [one.answers[0].prediction for one in told[1::2]] == [tickets.run.predict([f"iron {n}"])[0] for n in range(3)]
    assert [one.answers[0].prediction for one in told[2::2]] == [words.run.predict([f"iron {n}"])[0] for n in range(3)]


def test_a_batch_ends_before_the_budget_of_tokens_does_and_a_longer_request_is_one_of_its_own(catalogue, queue_of, gate):
    tickets = catalogue.runs["tickets"]  # "apple" is three tokens, with the two special ones
    queue = queue_of(tokens=7)

    async def ask():
        first = await held(queue, gate, Question(tickets, "apple"))
        texts = ["iron", "zinc", "tin", "apple pear plum fig mango melon"]
        rest = [asyncio.ensure_future(queue.answers([Question(tickets, text)])) for text in texts]
        await asyncio.sleep(0)
        gate.open.set()
        await asyncio.gather(first, *rest)

    asyncio.run(ask())
    assert list(map(len, gate.batches)) == [1, 2, 1, 1]


def test_the_same_question_twice_is_computed_once(catalogue, queue_of, gate):
    tickets = catalogue.runs["tickets"]
    gate.open.set()
    questions = [Question(tickets, "apple"), Question(tickets, "iron"), Question(tickets, "apple")]
    told = asyncio.run(queue_of().answers(questions))
    assert gate.batches == [[("tickets", 2)]]
    assert [one.prediction for one in told.answers] == [
        *tickets.run.predict(["apple", "iron"]),
        tickets.run.predict(["apple", "iron"])[0],
    ]


def test_a_full_queue_refuses_at_once_and_says_when_to_come_back(catalogue, queue_of, gate):
    tickets = catalogue.runs["tickets"]
    queue = queue_of(most=2)

    async def ask():
        first = await held(queue, gate, Question(tickets, "apple"))
        rest = [asyncio.ensure_future(queue.answers([Question(tickets, text)])) for text in ("iron", "zinc")]
        await asyncio.sleep(0)
        assert queue.waiting == 2
        with pytest.raises(Refused) as refused:
            await queue.answers([Question(tickets, "tin")])
        gate.open.set()
        await asyncio.gather(first, *rest)
        return refused.value

    refused = asyncio.run(ask())
    assert (refused.status, refused.code) == (429, "overloaded")
    assert int(refused.headers["retry-after"]) >= 1
    assert int(refused.headers["retry-after-ms"]) > 0
    assert queue.waiting == 0


async def paced(queue, gate, question, seconds):
    """The question is answered in so many seconds."""
    asked = await held(queue, gate, question)
    await asyncio.sleep(seconds)
    gate.open.set()
    await asked
    gate.open.clear()
    gate.entered.clear()


@pytest.mark.parametrize(("slow", "let_in"), [(1, FEW + 3), (3, FEW)])
def test_more_work_than_may_wait_is_refused_by_the_pace_of_the_last_batches(catalogue, queue_of, gate, slow, let_in):
    tickets = catalogue.runs["tickets"]
    queue = queue_of(most_seconds=1.0)

    async def ask():
        for number in range(slow):
            await paced(queue, gate, Question(tickets, f"apple {number}"), 0.3)
        waiting = [await held(queue, gate, Question(tickets, "pear"))]
        for number in range(FEW + 3):
            with suppress(Refused):
                queue.refuse_if_busy()
                waiting.append(asyncio.ensure_future(queue.answers([Question(tickets, f"iron {number}")])))
                await asyncio.sleep(0)
        gate.open.set()
        await asyncio.gather(*waiting)
        return len(waiting) - 1

    assert asyncio.run(ask()) == let_in, "a single slow batch, such as the first, is no pace; 16 texts may wait always"


def test_who_waits_too_long_is_told_so(catalogue, queue_of, gate):
    tickets = catalogue.runs["tickets"]
    queue = queue_of(timeout=0.05)

    async def ask():
        first = await held(queue, gate, Question(tickets, "apple"))
        late = asyncio.ensure_future(queue.answers([Question(tickets, "iron")]))
        await asyncio.sleep(0.1)
        gate.open.set()
        await first
        with pytest.raises(Refused) as refused:
            await late
        return refused.value

    refused = asyncio.run(ask())
    assert (refused.status, refused.code) == (503, "queue_timeout")
    assert gate.batches == [[("tickets", 1)]]


def test_what_nobody_waits_for_any_more_is_not_computed(catalogue, queue_of, gate):
    tickets = catalogue.runs["tickets"]
    queue = queue_of()

    async def ask():
        first = await held(queue, gate, Question(tickets, "apple"))
        gone, stays = (asyncio.ensure_future(queue.answers([Question(tickets, text)])) for text in ("iron", "zinc"))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        assert queue.waiting == 1
        gate.open.set()
        await asyncio.gather(first, stays)

    asyncio.run(ask())
    assert gate.batches == [[("tickets", 1)], [("tickets", 1)]]


def test_draining_refuses_what_is_new_and_answers_what_waits(catalogue, queue_of, gate):
    tickets = catalogue.runs["tickets"]
    queue = queue_of()

    async def ask():
        first = await held(queue, gate, Question(tickets, "apple"))
        waits = asyncio.ensure_future(queue.answers([Question(tickets, "iron")]))
        await asyncio.sleep(0)
        queue.draining = True
        with pytest.raises(Refused) as refused:
            await queue.answers([Question(tickets, "tin")])
        gate.open.set()
        assert len((await waits).answers) == len((await first).answers) == 1
        return refused.value

    assert asyncio.run(ask()).status == 503


def test_a_defect_in_a_run_is_its_own_requests_and_no_other_ones(catalogue, queue_of):
    tickets, words = catalogue.runs["tickets"], catalogue.runs["words"]

    class Broken(Gate):
        def logits(self, work):
            told = super().logits(work)
            if any(one.run is words for one in work):
                raise RuntimeError("broken")
            return told

    gate = Broken()
    queue = Queue(gate)

    async def ask():
        first = await held(queue, gate, Question(tickets, "apple"))
        rest = [asyncio.ensure_future(queue.answers([Question(run, "iron")])) for run in (tickets, words)]
        await asyncio.sleep(0)
        gate.open.set()
        return await asyncio.gather(first, *rest, return_exceptions=True)

    _, good, bad = asyncio.run(ask())
    queue.close()
    assert good.answers[0].prediction == tickets.run.predict(["iron"])[0]
    assert isinstance(bad, RuntimeError)


def test_a_text_that_is_cut_off_is_refused_where_that_was_asked_for(catalogue, queue_of, gate):
    gate.open.set()
    tickets = catalogue.runs["tickets"]
    long = Question(tickets, "zinc " * 60)
    assert asyncio.run(queue_of().answers([long])).answers[0].unread == 38
    with pytest.raises(Refused, match=r"38 tokens more than the 24 that the model 'tickets' reads") as refused:
        asyncio.run(queue_of().answers([long], whole=True))
    assert refused.value.code == "too_long"
