"""What a text's words did, asked of a process of its own (`explaining.py`): gradients take seconds, and memory of their own.

The process is started when somebody asks, has one run in memory, yields to the engine, and ends when nobody asks for a
while. It answers one request at a time, few may wait, and it is killed where one takes too long or its client goes.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from asyncio.subprocess import PIPE, Process
from typing import Any

from rankwise.errors import NAME
from rankwise.run.engines import ENGINES
from rankwise.serving.catalogue import Served
from rankwise.serving.refusals import Refused
from rankwise.serving.states import Question

log = logging.getLogger("rankwise.serving")

MOST_CHARACTERS = 20_000
MOST_WAITING = 4
SECONDS = 120.0  # for one text, and for loading its run
IDLE = 120.0  # seconds
MOST_BYTES = 2**24  # of an answer, which has a word in some hundred


def no_words(run: Served) -> str:
    """Why nobody can say what the words of a text did to its label; empty where somebody can."""
    if run.run.counts_words or run.engine == next(iter(ENGINES)):
        return ""
    return f"that takes gradients, which --engine {run.engine} has none of; serve it with --engine {next(iter(ENGINES))}"


class Explaining:
    """The process, if there is one, and who waits for it."""

    def __init__(self, *, seconds: float = SECONDS, idle: float = IDLE, most: int = MOST_WAITING) -> None:
        self.seconds, self.idle, self.most = seconds, idle, most
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._process: Process | None = None
        self._ending: asyncio.Task[None] | None = None

    async def words(self, question: Question) -> dict[str, Any]:
        """The words with their scores. Raises Refused where it can't be told or takes too long, RuntimeError for a defect.

        Cancelled, the process is killed.
        """
        if why := no_words(question.run):
            raise Refused(why, "no_words")
        texts = (question.text,) if isinstance(question.text, str) else question.text
        if (characters := sum(map(len, texts))) > MOST_CHARACTERS:
            raise Refused(
                f"the text has {characters:,} characters; words are explained of {MOST_CHARACTERS:,} at most", "too_long"
            )
        if self._waiting >= self.most:
            headers = {"retry-after": str(int(self.seconds / 4))}
            raise Refused(f"{self._waiting} texts wait to be explained", "overloaded", status=429, headers=headers)
        self._waiting += 1
        try:
            async with self._turn:
                told = await self._asked(question)
        finally:
            self._waiting -= 1
        if "defect" in told:
            log.error("explaining: %s", told["defect"])
            raise RuntimeError("the process that explains met a defect")
        if "problem" in told:
            raise Refused(told["problem"], "no_words")
        return told

    async def close(self) -> None:
        """End the process, if there is one."""
        if self._ending is not None and self._ending is not asyncio.current_task():
            self._ending.cancel()
        self._ending = None
        process, self._process = self._process, None
        if process is not None:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    async def _asked(self, question: Question) -> dict[str, Any]:
        run = question.run
        asked = {"folder": str(run.run.folder), "base": None, "digest": run.digest, "text": question.text}
        if run.run.base_folder is not None:
            asked["base"] = str(run.run.base_folder)
        answered = False
        try:
            async with asyncio.timeout(self.seconds):
                line = await self._line(json.dumps(asked).encode() + b"\n")
            answered = bool(line)
        except TimeoutError as late:
            headers = {"retry-after": "1"}
            why = f"it took more than {self.seconds:g} s; give a shorter text"
            raise Refused(why, "words_timeout", status=503, headers=headers) from late
        finally:
            if not answered:
                await self.close()
        if not line:
            raise RuntimeError("the process that explains has ended")
        self._ending = asyncio.create_task(self._end_later())
        told: dict[str, Any] = json.loads(line)
        return told

    async def _line(self, asked: bytes) -> bytes:
        """What the process answers; nothing where it has ended."""
        if self._ending is not None:
            self._ending.cancel()
        if self._process is None or self._process.returncode is not None:
            command = (sys.executable, "-m", f"{NAME}.serving.explaining")
            own = {"stdin": PIPE, "stdout": PIPE, "limit": MOST_BYTES, "start_new_session": True}  # Ctrl-C is the server's
            self._process = await asyncio.create_subprocess_exec(*command, **own)  # type: ignore[arg-type]
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(asked)
            await self._process.stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            return b""
        return await self._process.stdout.readline()

    async def _end_later(self) -> None:
        await asyncio.sleep(self.idle)
        async with self._turn:
            await self.close()
