"""The routes: which path is answered by what, from a request's key and body to its answer.

A wire module says what a body asks, and how the answer is written; the queue computes it. What is refused on the way raises
Refused, which `app.py` writes. Texts are never logged.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any, cast

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rankwise.errors import NAME, RankwiseError
from rankwise.serving import about
from rankwise.serving.body import read_body, unless_gone
from rankwise.serving.exchange import Exchange, json_reply
from rankwise.serving.openapi import document
from rankwise.serving.page import check_site, page
from rankwise.serving.refusals import Refused
from rankwise.serving.service import LOOPBACK, Service
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

MEDIA = re.compile(r"application/(?:[\w.-]+\+)?json|application/octet-stream")


class Routes:
    """The routes over a service."""

    def __init__(self, service: Service) -> None:
        key = service.settings.api_key
        self.service = service
        self.openapi = json.dumps(document(ASKING, needs_key=key is not None)).encode()
        self._key = None if key is None else _digest(key)

    def all(self) -> list[Route]:
        """Those that the settings ask for."""
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
        if self.service.settings.admin:
            routes.append(self._route("/admin/reload", self._reload, "POST"))
        if self.service.settings.page:
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
                catalogue = self.service.loaded()
                whole = await read_body(request.headers, request.receive)
                exchange.has_body = False
                self.service.queue.refuse_if_busy()
                size = _json_size(request.headers, len(whole))
                body = parsed(whole[:size])
                if given is ASKING["/v1/decisions"] and systemone.is_meant(body):
                    wire = ASKING["/v1/systemone"]
                call = Call(
                    catalogue,
                    id=exchange.id,
                    name=request.path_params.get("name"),
                    raw=whole[size:],
                    any_json=self.service.settings.any_json,
                    open_labels=self.service.open_labels,
                )
                asked = wire.read(body, call)
                cut = self.service.settings.truncate and not asked.whole
                answering = self.service.queue.answers(asked.questions, whole=not cut)
                exchange.timing = await unless_gone(answering, request.receive)
            except Refused as refused:
                refused.status = wire.statuses.of(refused)
                raise
            answers = exchange.timing.answers
            exchange.unread = sum(answer.unread for answer in answers)
            self.service.metrics.answered(asked.questions, answers)
            return json_reply(asked.answer(answers))

        return endpoint

    async def _page(self, _: Request) -> Response:
        return page()

    async def _words(self, request: Request) -> Response:
        """What the words of a text did to what one run says of it."""
        exchange: Exchange = request.scope["exchange"]
        check_site(request.headers)
        self._check_key(request.headers)
        _check_media(request.headers)
        catalogue = self.service.loaded()
        body = parsed(await read_body(request.headers, request.receive))
        exchange.has_body = False
        self.service.queue.refuse_if_busy()
        question = every.to_explain(body, Call(catalogue))
        told = await unless_gone(self.service.explaining.words(question), request.receive)
        return json_reply(told | every.as_read(question))

    async def _models(self, request: Request) -> Response:
        self._check_key(request.headers)
        return json_reply(about.models(self.service.loaded()))

    async def _model(self, request: Request) -> Response:
        self._check_key(request.headers)
        return json_reply(about.model(self.service.named(request.path_params["name"])))

    async def _ready(self, request: Request) -> Response:
        if "name" in request.path_params and self.service.catalogue is not None:
            self.service.named(request.path_params["name"])
        ready = self.service.status == "ok"
        count = 0 if self.service.catalogue is None else len(self.service.catalogue.runs)
        response = json_reply({"status": self.service.status, "ready": ready, "models": count}, status=200 if ready else 503)
        if not ready:
            response.headers["retry-after"] = "1"
        return response

    async def _alive(self, _: Request) -> Response:
        return json_reply({"status": "ok", "live": True})

    async def _info(self, request: Request) -> Response:
        catalogue = self.service.loaded()
        run = self.service.named(request.path_params["name"]) if "name" in request.path_params else catalogue.default
        return json_reply(about.info(catalogue, run, self.service.settings.most_queued, self.service.settings.most_tokens))

    async def _metrics(self, _: Request) -> Response:
        self.service.metrics.queue_size.set(self.service.queue.waiting)
        self.service.metrics.adapters.set(0 if self.service.catalogue is None else len(self.service.catalogue.runs))
        return Response(self.service.metrics.text(), media_type=self.service.metrics.content_type)

    async def _openapi(self, _: Request) -> Response:
        return Response(self.openapi, media_type="application/json")

    async def _server(self, _: Request) -> Response:
        return json_reply({"name": "rankwise", "version": version(NAME), "extensions": []})

    async def _tensors(self, request: Request) -> Response:
        self._check_key(request.headers)
        run = self.service.named(request.path_params["name"])
        return json_reply(oip.about(run.name, len(run.labels)))

    async def _reload(self, request: Request) -> Response:
        """Only for clients of this machine, and for no page of another site that a browser shows there."""
        if request.client is None or request.client.host not in LOOPBACK or "origin" in request.headers:
            raise Refused("reloading is for this machine alone; elsewhere send SIGHUP", "forbidden", status=403)
        self._check_key(request.headers)
        try:
            await self.service.reload()
        except (RankwiseError, OSError) as problem:
            raise Refused(f"{problem}; the models are as they were", "not_reloaded", status=409) from problem
        return json_reply({"models": list(self.service.loaded().runs)})

    def _check_key(self, headers: Headers) -> None:
        """Raises Refused without the key, which is compared in constant time."""
        if self._key is None:
            return
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(_digest(given.strip()), self._key):
            told = "the API key is wrong" if given else "an API key is missing: Authorization: Bearer KEY"
            raise Refused(told, "invalid_api_key", status=401, headers={"www-authenticate": "Bearer"})


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


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
