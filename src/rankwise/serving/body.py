"""A request's body, held to limits before it is decoded: by what it says of its length, while it is read, unpacked.

A body that comes too slowly is given up. Of one that is refused unread a little is still taken and thrown away, for a client
that is cut off as it sends never reads why.
"""

import asyncio
import gzip
import sys
import zlib
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from importlib import import_module
from io import BytesIO
from typing import Any, TypeVar

from starlette.types import Receive

from rankwise.serving.refusals import Refused

MOST_BYTES = 2_000_000
SECONDS = 10.0  # for a body to come
DRAINED = 4 * MOST_BYTES  # bytes of an unread body, at most, and
LINGER = 1.0  # seconds
T = TypeVar("T")

WINDOW = 23  # log2 of the bytes that unpacking zstd may look back over: what its specification asks decoders for


class ClientGone(Exception):
    """Nobody is there any more to answer."""


async def read_body(
    headers: Mapping[str, str], receive: Receive, *, most: int = MOST_BYTES, seconds: float = SECONDS
) -> bytes:
    """The whole body, unpacked. Raises Refused (408, 413, 415, 400) and ClientGone."""
    told = headers.get("content-length", "")
    if told.isdecimal() and int(told) > most:
        raise _too_large(most)
    coding = headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("identity", "gzip", "zstd"):
        raise Refused(f"content-encoding '{coding:.40}'; expected gzip, zstd or none", "unsupported_encoding", status=415)
    pieces, size = list[bytes](), 0
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                pieces.append(message.get("body", b""))
                size += len(pieces[-1])
                if size > most:
                    raise _too_large(most)
                if not message.get("more_body", False):
                    break
    except TimeoutError:
        raise Refused(f"the body did not come within {seconds:g} s", "body_timeout", status=408) from None
    body = b"".join(pieces)
    return body if coding == "identity" else _unpacked(body, coding, most)


async def drain(receive: Receive) -> None:
    """Throw away what still comes of a body, not much and not for long."""
    size = 0
    try:
        async with asyncio.timeout(LINGER):
            while size < DRAINED:
                message = await receive()
                size += len(message.get("body", b""))
                if not message.get("more_body", False):
                    return
    except TimeoutError:
        return


async def until_gone(receive: Receive) -> None:
    """Wait until the client has closed its connection, its body read."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def unless_gone(work: Coroutine[Any, Any, T], receive: Receive) -> T:
    """What some work gives; where the client goes before, it is cancelled and ClientGone raised."""
    answer, gone = asyncio.ensure_future(work), asyncio.ensure_future(until_gone(receive))
    try:
        await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise ClientGone
        return answer.result()
    finally:
        for task in (answer, gone):
            task.cancel()
        with suppress(asyncio.CancelledError):
            await gone


def _unpacked(body: bytes, coding: str, most: int) -> bytes:
    """What was packed, of which no more than the limit is ever made."""
    failures: tuple[type[Exception], ...] = (OSError, EOFError, zlib.error)
    try:
        if coding == "gzip":
            file: Any = gzip.GzipFile(fileobj=BytesIO(body))
        else:
            zstd = _zstd()
            failures += (zstd.ZstdError,)
            file = zstd.ZstdFile(BytesIO(body), options={zstd.DecompressionParameter.window_log_max: WINDOW})
        whole: bytes = file.read(most + 1)
    except failures as problem:
        raise Refused(f"the body is no {coding}: {problem}", "json_invalid") from problem
    if len(whole) > most:
        raise _too_large(most)
    return whole


def _zstd() -> Any:
    return import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")


def _too_large(most: int) -> Refused:
    return Refused(f"the body has more than {most:,} bytes", "too_large", status=413)
