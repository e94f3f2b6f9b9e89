"""The routes: what a request passes on its way to a wire module and the queue, and every header of a reply.

In order: an id, the Host, the route, the key, the body, its questions, the queue, the answer. Whatever refuses a request on
the way raises Refused, which is written here in the words of its family of clients. Texts are never logged.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import hmac
import json
import logging
import re
import time
import traceback
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, cast

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import Message, Receive, Scope, Send

from rankwise.errors import NAME, RankwiseError
from rankwise.serving import about
from rankwise.serving.body import ClientGone, drain, read_body, unless_gone
from rankwise.serving.catalogue import Catalogue, Served, Shelf
from rankwise.serving.engine import EachAlone, Engine
from rankwise.serving.metrics import Metrics
from rankwise.serving.openapi import document
from rankwise.serving.page import check_site, page
from rankwise.serving.questions import Runs
from rankwise.serving.queue import MOST_TEXTS, TIMEOUT, TOKENS, Answered, Queue
from rankwise.serving.refusals import Refused, mlflow_body, openai_body, plain_body, tei_body
from rankwise.serving.wire import (
    Call,
    Wire,
    classify,
    decisions,
    every,
    kserve,
    mlflow,
    oip,
    parsed,
    pipeline,
    systemone,
    tei,
)
from rankwise.serving.words import Explaining
from rankwise.system.memory import return_freed_memory

log = logging.getLogger("rankwise.serving")

ASKING: dict[str, Wire] = {
    "/v1/systemone": cast(Wire, systemone),
    "/v1/decisions": cast(Wire, decisions),
    "/predict": cast(Wire, tei),
    "/": cast(Wire, pipeline),
    "/models/{name}": cast(Wire, pipeline),
    "/classify": cast(Wire, classify),
    "/v1/classify": cast(Wire, classify),
    "/v2/models/{name}/infer": cast(Wire, oip),
    "/v2/models/{name}/versions/{version}/infer": cast(Wire, oip),
    "/v1/models/{name}:predict": cast(Wire, kserve),
    "/invocations": cast(Wire, mlflow),
}
"""What answers a POST."""

SANE_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)
LOOPBACK = ("localhost", "127.0.0.1", "::1", "[::1]")
OTHER = "other"  # the handler of what has no route, in metrics
MEDIA = re.compile(r"application/(?:[\w.-]+\+)?json|application/octet-stream")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a server is told."""

    api_key: str | None = None
    hosts: frozenset[str] | None = None
    """Names that a request may call the server by; None for any."""
    admin: bool = False
    """Whether clients of this machine may have the runs looked up again."""
    any_json: bool = False
    """Whether a state without a run's text columns is read as JSON is written."""
    page: bool = True
    """Whether people get a page at `/`."""
    truncate: bool = True
    """Whether a text that is too long is cut, and not refused."""
    most_queued: int = MOST_TEXTS
    most_tokens: int = TOKENS
    queue_timeout: float = TIMEOUT


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


class Service:
    """The ASGI application: a catalogue that may be replaced, a queue, and routes over both."""

    def __init__(
        self,
        shelf: Shelf | None = None,
        *,
        settings: Settings | None = None,
        engine: Engine | None = None,
        catalogue: Catalogue | None = None,
        open_labels: Runs | None = None,
    ) -> None:
        """Without a `catalogue` it is loading until `load` has made one of the shelf's; `open_labels` are for tests."""
        self.shelf, self.settings = shelf, settings or Settings()
        self.catalogue = catalogue
        self.open_labels = open_labels
        self.metrics = Metrics()
        how = self.settings
        self.queue = Queue(
            engine or EachAlone(), most=how.most_queued, tokens=how.most_tokens, timeout=how.queue_timeout, watch=self.metrics
        )
        self.active = 0
        """Requests that are being answered."""
        self._reloading = asyncio.Lock()
        self._key = None if how.api_key is None else _digest(how.api_key)
        self.explaining = Explaining()
        self.router = Router(routes=self._routes(), redirect_slashes=False)
        self.openapi = json.dumps(document(ASKING, needs_key=how.api_key is not None)).encode()

    def load(self) -> None:
        """Put every run of the shelf in memory; those that are there already, and the same, stay. Raises RankwiseError.

        What stays is not searched for cycles again, which would hold requests up for tenths of a second now and then.
        """
        if self.shelf is not None:
            gc.unfreeze()
            self.catalogue = self.shelf.load(self.catalogue)
            gc.collect()
            gc.freeze()
            return_freed_memory()

    async def reload(self) -> None:
        """`load`, while requests are answered; where it fails the runs stay as they were. Raises RankwiseError, OSError."""
        async with self._reloading:
            await asyncio.to_thread(self.load)

    async def close(self) -> None:
        """End what it has started beside the queue."""
        await self.explaining.close()

    @property
    def status(self) -> str:
        """`ok`, `loading` or `draining`."""
        if self.queue.draining:
            return "draining"
        return "ok" if self.catalogue is not None else "loading"

    # ------------------------------------------------------------------------------------------------- each request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        exchange = Exchange(_request_id(headers), _body_for(scope["path"]))
        scope["exchange"], scope["app"] = exchange, self
        if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
            exchange.has_body = False
        answer = self._with_headers(exchange, send)
        self.active += 1
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
            self.active -= 1
            seconds = time.perf_counter() - exchange.begun
            self.metrics.request(exchange.handler, _method(scope["method"]), exchange.status, seconds)

    def _with_headers(self, exchange: Exchange, send: Send) -> Send:
        """A `send` that adds to each reply what all replies have."""

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                told = {
                    "x-request-id": exchange.id,
                    "x-typesafe-request-id": exchange.id,
                    "x-queue-time": _milliseconds(exchange.timing.waited),
                    "x-tokenization-time": _milliseconds(exchange.timing.tokenized),
                    "x-inference-time": _milliseconds(exchange.timing.inferred),
                    "x-total-time": _milliseconds(time.perf_counter() - exchange.begun),
                }
                if exchange.unread:
                    told["x-truncated-tokens"] = str(exchange.unread)
                if exchange.has_body or self.queue.draining:
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
        response = _json(exchange.refusal(refused, status), status=status)
        for name, value in refused.headers.items():
            response.headers[name] = value
        await response({"type": "http"}, receive, send)

    def _check_host(self, headers: Headers) -> None:
        """Raises Refused for a name that is not the server's: a page of another site may have been told that it is."""
        host, allowed = headers.get("host"), self.settings.hosts
        if allowed is None or host is None:
            return
        name = host.lower() if host.endswith("]") else re.sub(r":\d+$", "", host.lower())
        if name not in allowed:
            raise Refused(f"the host '{host:.80}' is not this server's name", "unknown_host", status=403)

    def _check_key(self, headers: Headers) -> None:
        """Raises Refused without the key, which is compared in constant time."""
        if self._key is None:
            return
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(_digest(given.strip()), self._key):
            told = "the API key is wrong" if given else "an API key is missing: Authorization: Bearer KEY"
            raise Refused(told, "invalid_api_key", status=401, headers={"www-authenticate": "Bearer"})

    def _loaded(self) -> Catalogue:
        """The runs. Raises Refused while they are being loaded."""
        if self.catalogue is None:
            raise Refused("the models are being loaded; ask again", "loading", status=503, headers={"retry-after": "1"})
        return self.catalogue

    # -------------------------------------------------------------------------------------------------- the routes

    def _routes(self) -> list[Route]:
        asking = [self._route(path, self._asks(wire), "POST", wire.refusal) for path, wire in ASKING.items()]
        telling = {
            "/v1/models": self._models,
            "/v1/models/{name}": self._model,
            "/health": self._ready,
            "/ping": self._ready,
            "/readyz": self._ready,
            "/livez": self._alive,
            "/healthz": self._alive,
            "/info": self._info,
            "/models/{name}/health": self._ready,
            "/models/{name}/info": self._info,
            "/metrics": self._metrics,
            "/openapi.json": self._openapi,
            "/v2": self._server,
            "/v2/health/live": self._alive,
            "/v2/health/ready": self._ready,
            "/v2/models/{name}": self._tensors,
            "/v2/models/{name}/ready": self._ready,
        }
        routes = asking + [self._route(path, tells, "GET") for path, tells in telling.items()]
        if self.settings.admin:
            routes.append(self._route("/admin/reload", self._reload, "POST"))
        if self.settings.page:
            answers = self._asks(cast(Wire, every))
            routes += [
                self._route("/", self._page, "GET"),
                self._route("/page/answers", answers, "POST", every.refusal),
                self._route("/page/words", self._words, "POST", every.refusal),
            ]
        return routes

    def _route(
        self,
        path: str,
        handle: Callable[[Request], Awaitable[Response]],
        method: str,
        refusal: Callable[[Refused, int], Any] | None = None,
    ) -> Route:
        async def endpoint(request: Request) -> Response:
            exchange: Exchange = request.scope["exchange"]
            exchange.handler, exchange.refusal = path, refusal or exchange.refusal
            return await handle(request)

        return Route(path, endpoint, methods=[method])

    def _asks(self, given: Wire) -> Callable[[Request], Awaitable[Response]]:
        """The endpoint of a wire module."""

        async def endpoint(request: Request) -> Response:
            wire, exchange = given, cast(Exchange, request.scope["exchange"])
            try:
                self._check_key(request.headers)
                _check_media(request.headers)
                catalogue = self._loaded()
                whole = await read_body(request.headers, request.receive)
                exchange.has_body = False
                self.queue.refuse_if_busy()
                size = _json_size(request.headers, len(whole))
                body = parsed(whole[:size])
                if given is ASKING["/v1/decisions"] and systemone.is_meant(body):
                    wire = ASKING["/v1/systemone"]
                call = Call(
                    catalogue,
                    id=exchange.id,
                    name=request.path_params.get("name"),
                    raw=whole[size:],
                    any_json=self.settings.any_json,
                    open_labels=self.open_labels,
                )
                asked = wire.read(body, call)
                cut = self.settings.truncate and not asked.whole
                exchange.timing = await self._answers(asked.questions, request.receive, whole=not cut)
            except Refused as refused:
                refused.status = wire.statuses.of(refused)
                raise
            answers = exchange.timing.answers
            exchange.unread = sum(answer.unread for answer in answers)
            self.metrics.answered(asked.questions, answers)
            return _json(asked.answer(answers))

        return endpoint

    async def _answers(self, questions: Any, receive: Receive, *, whole: bool) -> Answered:
        """The answers, unless the client goes before. Raises Refused and ClientGone."""
        return await unless_gone(self.queue.answers(questions, whole=whole), receive)

    async def _page(self, _: Request) -> Response:
        return page()

    async def _words(self, request: Request) -> Response:
        """What the words of a text did to what one run says of it."""
        exchange: Exchange = request.scope["exchange"]
        check_site(request.headers)
        self._check_key(request.headers)
        _check_media(request.headers)
        catalogue = self._loaded()
        body = parsed(await read_body(request.headers, request.receive))
        exchange.has_body = False
        self.queue.refuse_if_busy()
        question = every.to_explain(body, Call(catalogue))
        told = await unless_gone(self.explaining.words(question), request.receive)
        return _json(told | every.as_read(question))

    async def _models(self, request: Request) -> Response:
        self._check_key(request.headers)
        return _json(about.models(self._loaded()))

    async def _model(self, request: Request) -> Response:
        self._check_key(request.headers)
        return _json(about.model(self._run(request)))

    async def _ready(self, request: Request) -> Response:
        if "name" in request.path_params and self.catalogue is not None:
            self._run(request)
        ready = self.status == "ok"
        count = 0 if self.catalogue is None else len(self.catalogue.runs)
        response = _json({"status": self.status, "ready": ready, "models": count}, status=200 if ready else 503)
        if not ready:
            response.headers["retry-after"] = "1"
        return response

    async def _alive(self, _: Request) -> Response:
        return _json({"status": "ok", "live": True})

    async def _info(self, request: Request) -> Response:
        catalogue = self._loaded()
        run = self._run(request) if "name" in request.path_params else catalogue.default
        return _json(about.info(catalogue, run, self.settings.most_queued, self.settings.most_tokens))

    async def _metrics(self, _: Request) -> Response:
        self.metrics.queue_size.set(self.queue.waiting)
        self.metrics.adapters.set(0 if self.catalogue is None else len(self.catalogue.runs))
        return Response(self.metrics.text(), media_type=self.metrics.content_type)

    async def _openapi(self, _: Request) -> Response:
        return Response(self.openapi, media_type="application/json")

    async def _server(self, _: Request) -> Response:
        return _json({"name": "rankwise", "version": version(NAME), "extensions": []})

    async def _tensors(self, request: Request) -> Response:
        self._check_key(request.headers)
        run = self._run(request)
        return _json(oip.about(run.name, len(run.labels)))

    async def _reload(self, request: Request) -> Response:
        """Only for clients of this machine, and for no page of another site that a browser shows there."""
        if request.client is None or request.client.host not in LOOPBACK or "origin" in request.headers:
            raise Refused("reloading is for this machine alone; elsewhere send SIGHUP", "forbidden", status=403)
        self._check_key(request.headers)
        try:
            await self.reload()
        except (RankwiseError, OSError) as problem:
            raise Refused(f"{problem}; the models are as they were", "not_reloaded", status=409) from problem
        return _json({"models": list(self._loaded().runs)})

    def _run(self, request: Request) -> Served:
        """The run that a path names. Raises Refused."""
        run = self._loaded().runs.get(request.path_params["name"])
        if run is None:
            self._loaded().named(f"{request.path_params['name']}")
            raise Refused("no model of that name", "model_not_found", status=404)
        return run


def _json(content: Any, *, status: int = 200) -> Response:
    body = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    return Response(body, status, media_type="application/json")


def _json_size(headers: Headers, size: int) -> int:
    """How many bytes of a body are JSON. Raises Refused."""
    told = headers.get(oip.HEADER)
    if told is None:
        return size
    if not told.isdecimal() or int(told) > size:
        raise Refused(f"{oip.HEADER} is '{told:.20}', of a body of {size} bytes", "json_invalid")
    return int(told)


def _check_media(headers: Headers) -> None:
    """Raises Refused for what calls itself something else than JSON."""
    media = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media and not MEDIA.fullmatch(media):
        raise Refused(
            f"content-type '{media:.60}'; expected application/json: curl -H 'content-type: application/json'",
            "unsupported_media_type",
            status=415,
        )


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


def _method(method: str) -> str:
    """A method's name for metrics, whose number must be bounded."""
    return method if method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH") else OTHER


def _milliseconds(seconds: float) -> str:
    return f"{1000 * max(0.0, seconds):.2f}"


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _log_defect(defect: BaseException, request: str) -> None:
    """Where it broke; not the error's own words, which may quote a text."""
    where = "".join(traceback.format_tb(defect.__traceback__))
    log.error("%s: %s\n%s", request, type(defect).__name__, where)
