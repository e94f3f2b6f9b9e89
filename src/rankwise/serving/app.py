"""The application: what every request passes on its way to a route, and every header and refusal of a reply.

In order: an id, the Host, the route (`routes.py`). Whatever refuses a request on the way raises Refused, which is written
here in the words of its family of clients. Texts are never logged.
"""

from __future__ import annotations

import logging
import re
import time
import traceback

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.routing import Router
from starlette.types import Message, Receive, Scope, Send

from rankwise.serving.body import ClientGone, drain
from rankwise.serving.exchange import OTHER, Exchange, json_reply
from rankwise.serving.refusals import Refused
from rankwise.serving.routes import Routes
from rankwise.serving.service import Service

log = logging.getLogger("rankwise.serving")


class App:
    """The ASGI application over a service."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.router = Router(routes=Routes(service).all(), redirect_slashes=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        exchange = Exchange.of(scope["path"], headers)
        scope["exchange"], scope["app"] = exchange, self
        answer = self._with_headers(exchange, send)
        self.service.active += 1
        try:
            try:
                self._check_host(headers)
                await self.router(scope, receive, answer)
            except HTTPException as problem:
                given = dict(problem.headers or {})
                words = "no such route" if problem.status_code == 404 else f"{scope['method']} is no method of this route"
                refused = Refused(words, "not_found", status=problem.status_code, headers=given)
                await self._refuse(refused, exchange, headers, receive, answer)
            except Refused as refused:
                await self._refuse(refused, exchange, headers, receive, answer)
            except ClientGone:
                exchange.status = 499
            except Exception as defect:  # noqa: BLE001 - the edge: whatever it is, a client is told that it is ours
                _log_defect(defect, exchange.id)
                broken = Refused(f"a defect of the server; its log has it under {exchange.id}", "server_error", status=500)
                await self._refuse(broken, exchange, headers, receive, answer)
        finally:
            self.service.active -= 1
            seconds = time.perf_counter() - exchange.begun
            self.service.metrics.request(exchange.handler, _method(scope["method"]), exchange.status, seconds)

    def _with_headers(self, exchange: Exchange, send: Send) -> Send:
        """A `send` that adds to each reply what all replies have."""

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                told = exchange.told()
                if exchange.has_body or self.service.queue.draining:
                    told["connection"] = "close"
                message["headers"] = [*message["headers"], *((name.encode(), value.encode()) for name, value in told.items())]
            await send(message)

        return answer

    async def _refuse(self, refused: Refused, exchange: Exchange, headers: Headers, receive: Receive, send: Send) -> None:
        if exchange.status:  # the answer was on its way already
            return
        if exchange.has_body and "expect" not in headers:
            await drain(receive)
        status = refused.status or 400
        response = json_reply(exchange.refusal(refused, status), status=status)
        for name, value in refused.headers.items():
            response.headers[name] = value
        await response({"type": "http"}, receive, send)

    def _check_host(self, headers: Headers) -> None:
        """Raises Refused for a name that is not the server's: a page of another site may have been told that it is."""
        host, allowed = headers.get("host"), self.service.settings.hosts
        if allowed is None or host is None:
            return
        name = host.lower() if host.endswith("]") else re.sub(r":\d+$", "", host.lower())
        if name not in allowed:
            raise Refused(f"the host '{host:.80}' is not this server's name", "unknown_host", status=403)


def _method(method: str) -> str:
    """A method's name for metrics, whose number must be bounded."""
    return method if method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH") else OTHER


def _log_defect(defect: BaseException, request: str) -> None:
    """Where it broke; not the error's own words, which may quote a text."""
    where = "".join(traceback.format_tb(defect.__traceback__))
    log.error("%s: %s\n%s", request, type(defect).__name__, where)
