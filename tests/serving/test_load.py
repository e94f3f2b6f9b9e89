"""Ten times what it can do: no wrong answer, none lost, no other status than 200 and 429, and at once well again."""

from __future__ import annotations

import asyncio
import time

import pytest

pytest.importorskip("starlette", reason="rankwise[serve] is not installed")
pytest.importorskip("httpx", reason="httpx is not installed: rankwise[dev]")

import httpx
from servers import live, stub

from rankwise.serving.catalogue import Catalogue
from rankwise.serving.engine import EachAlone
from rankwise.serving.service import Service, Settings

SECONDS_A_TEXT = 0.005
CLIENTS, SECONDS = 40, 3.0


class Slow(EachAlone):
    """An engine that takes its time for each text."""

    def __init__(self):
        self.texts = 0

    def logits(self, work):
        texts = sum(len(one.read) for one in work)
        time.sleep(SECONDS_A_TEXT * texts)
        self.texts += texts
        return super().logits(work)


@pytest.mark.long
def test_overload_is_refused_at_the_door_and_what_is_let_in_is_answered():
    runs = {name: stub(labels, name) for name, labels in {"a": ("x", "y"), "b": ("u", "v", "w")}.items()}
    engine = Slow()
    service = Service(catalogue=Catalogue(runs), engine=engine, settings=Settings(most_queued=16, most_wait=60.0))

    async def hammer(url):
        replies = []
        limits = httpx.Limits(max_connections=CLIENTS)
        async with httpx.AsyncClient(base_url=url, timeout=30, limits=limits) as client:
            until = time.monotonic() + SECONDS

            async def one(number):
                while time.monotonic() < until:
                    name, text = "ab"[len(replies) % 2], f"text {number} {len(replies)}"
                    replies.append((name, text, await client.post("/classify", json={"model": name, "input": text})))

            await asyncio.gather(*map(one, range(CLIENTS)))
            began = time.monotonic()
            after = await client.post("/classify", json={"model": "a", "input": "after"})
            return replies, after, time.monotonic() - began

    with live(service) as running:
        replies, after, recovery = asyncio.run(hammer(running.url))
    assert {reply.status_code for _, _, reply in replies} == {200, 429}
    answered = [(name, text, reply) for name, text, reply in replies if reply.status_code == 200]
    assert len(answered) == engine.texts - 1, "every text that was computed was answered"
    for name, text, reply in answered:
        predictor = runs[name].predictor
        assert reply.json()["data"][0]["probs"] == list(
            next(predictor.predictions(predictor.logits([text]))).probabilities.values()
        )
    assert all(int(reply.headers["retry-after"]) >= 1 for _, _, reply in replies if reply.status_code == 429)
    assert (after.status_code, recovery < 1) == (200, True)


@pytest.mark.long
@pytest.mark.parametrize("round_", range(10))
def test_what_was_let_in_before_the_server_is_told_to_end_is_answered(round_):
    engine = Slow()
    service = Service(catalogue=Catalogue({"a": stub(("x", "y"), "a")}), engine=engine)

    async def hammer(running):
        replies, unheard = [], []
        async with httpx.AsyncClient(base_url=running.url, timeout=30) as client:

            async def one(number):
                while True:
                    text = f"text {number} {len(replies)} {len(unheard)}"
                    try:
                        replies.append(await client.post("/classify", json={"model": "a", "input": text}))
                    except httpx.TransportError:  # the socket is closed, or was as the request came
                        unheard.append(text)
                        return
                    if replies[-1].status_code != 200:
                        return

            asking = [asyncio.ensure_future(one(number)) for number in range(20)]
            while not engine.texts:  # a busy machine takes its time to begin
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.02 * round_)
            running.server.loop.call_soon_threadsafe(running.server.stop)
            await asyncio.gather(*asking)
        return replies

    with live(service) as running:
        replies = asyncio.run(hammer(running))
    codes = [reply.status_code for reply in replies]
    assert set(codes) <= {200, 503}
    assert codes.count(200) == engine.texts > 0, "as many answers as texts that were computed"
    assert service.queue.waiting == 0
