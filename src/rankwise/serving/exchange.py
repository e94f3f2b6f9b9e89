"""A request and what is known of it on its way, the headers of its reply, and how a reply is written."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from starlette.datastructures import Headers
from starlette.responses import Response

from rankwise.serving.queue import Answered
from rankwise.serving.refusals import Refused, mlflow_body, openai_body, plain_body, tei_body

SANE_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)
OTHER = "other"  # the handler of what has no route, in metrics


@dataclass
class Exchange:
    """A request and what is known of it so far."""

    id: str
    refusal: Callable[[Refused, int], Any]
    begun: float = field(default_factory=time.perf_counter)
    handler: str = OTHER
    timing: Answered = field(default_factory=lambda: Answered([]))
    unread: int = 0
    """Tokens that were cut off."""
    has_body: bool = True
    """Whether some of its body is yet to be read."""
    status: int = 0

    @classmethod
    def of(cls, path: str, headers: Headers) -> Self:
        """One that begins now."""
        exchange = cls(_request_id(headers), _body_for(path))
        exchange.has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
        return exchange

    def told(self) -> dict[str, str]:
        """The headers that every reply has."""
        told = {
            "x-request-id": self.id,
            "x-typesafe-request-id": self.id,
            "x-queue-time": _milliseconds(self.timing.waited),
            "x-tokenization-time": _milliseconds(self.timing.tokenized),
            "x-inference-time": _milliseconds(self.timing.inferred),
            "x-total-time": _milliseconds(time.perf_counter() - self.begun),
        }
        return told | ({"x-truncated-tokens": str(self.unread)} if self.unread else {})


def json_reply(content: Any, *, status: int = 200) -> Response:
    """A reply in JSON, in the fewest bytes."""
    body = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    return Response(body, status, media_type="application/json")


def _body_for(path: str) -> Callable[[Refused, int], Any]:
    """How a refusal is written where no route says: as the routes around it do."""
    if path.startswith("/v2") or path.endswith(":predict"):
        return plain_body
    if path == "/invocations":
        return mlflow_body
    return tei_body if path in ("/", "/predict") or path.startswith("/models/") else openai_body


def _request_id(headers: Headers) -> str:
    given = headers.get("x-request-id", "")
    return given if SANE_ID.fullmatch(given) else f"req_{uuid.uuid4().hex}"


def _milliseconds(seconds: float) -> str:
    return f"{1000 * max(0.0, seconds):.2f}"
