"""Every refusal: its status, its body in the words of its clients, its headers."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import json
import socket
import threading
import time

import pytest

pytest.importorskip("starlette", reason="rankwise[serve] is not installed")
pytest.importorskip("httpx", reason="httpx is not installed: rankwise[dev]")

import httpx
from servers import eventually, live

from rankwise.serving import body as bodies
from rankwise.serving.catalogue import Catalogue, Shelf
from rankwise.serving.engine import EachAlone
from rankwise.serving.service import Service, Settings

SYSTEM, DECISIONS = "/v1/systemone", "/v1/decisions"
TEXT_OF_A_CLIENT = "iron is a secret"
CHOICE, SCORE = {"type": "choice"}, {"type": "score"}
NOUL = {"type": "noul", "criteria": {"true": "metal"}}
ROUTES = {
    "/v1/systemone": {"model": "tickets", "state": "iron", "questions": {"a": NOUL}},
    "/v1/decisions": {"model": "tickets", "input": "iron", "questions": [{"type": "predicate", "instructions": "metal"}]},
    "/predict": {"inputs": "iron", "model": "tickets"},
    "/": {"inputs": "iron", "model": "tickets"},
    "/models/tickets": {"inputs": "iron"},
    "/classify": {"input": "iron", "model": "tickets"},
    "/v1/classify": {"input": "iron", "model": "tickets"},
    "/v2/models/tickets/infer": {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["iron"]}]},
    "/v1/models/tickets:predict": {"instances": ["iron"]},
    "/invocations": {"inputs": ["iron"], "params": {"model": "tickets"}},
}
OPENAI = ("/v1/systemone", "/v1/decisions", "/classify", "/v1/classify")
TEI = ("/predict", "/", "/models/tickets")
PLAIN = ("/v2/models/tickets/infer", "/v1/models/tickets:predict")


def check_body(path, told, status):
    """That a refusal is written as the clients of its route read it."""
    if path in OPENAI:
        assert set(told) == {"error", "detail"}
        assert set(told["error"]) == {"message", "type", "param", "code"}
        if status in (400, 422):
            assert all(set(one) == {"loc", "msg", "type"} and one["loc"][0] == "body" for one in told["detail"])
        else:
            assert told["detail"] == {"error_type": told["error"]["type"], "message": told["error"]["message"]}
    elif path in TEI:
        assert set(told) == {"error", "error_type"}
    elif path in PLAIN:
        assert set(told) == {"error"}
    else:
        assert set(told) == {"error_code", "message"}


@pytest.mark.parametrize("path", ROUTES)
def test_what_a_route_takes_is_answered(server, path):
    assert server.post(path, ROUTES[path]).status_code == 200


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("raw", [b"", b"{", b"nonsense", b'{"a": "\\ud800"}', b"[" * 100_000, b"\xff\xfe{}"])
def test_what_is_no_json_is_told(server, path, raw):
    reply = server.http.post(path, content=raw)
    assert reply.status_code == (422 if path == "/v1/systemone" else 400)
    check_body(path, reply.json(), reply.status_code)


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(
    "wrong", [[], "text", 3, None, {}, {"inputs": 3, "state": 3, "input": 3, "instances": 3, "questions": 3}]
)
def test_what_is_of_another_type_is_told(server, path, wrong):
    reply = server.http.post(path, content=json.dumps(wrong))
    assert reply.status_code in ((422,) if path in ("/v1/systemone", *TEI) else (400, 422))
    check_body(path, reply.json(), reply.status_code)


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("media", ["application/x-www-form-urlencoded", "text/csv", "text/plain"])
def test_another_media_type_is_415_and_json_with_a_charset_is_not(server, path, media):
    content = json.dumps(ROUTES[path])
    reply = server.http.post(path, content=content, headers={"content-type": media})
    assert reply.status_code == 415
    check_body(path, reply.json(), 415)
    for good in ("application/json; charset=utf-8", "application/vnd.api+json"):
        assert server.http.post(path, content=content, headers={"content-type": good}).status_code == 200


@pytest.mark.parametrize("path", ROUTES)
def test_an_unknown_encoding_is_415_and_what_is_not_in_it_is_no_json(server, path):
    reply = server.http.post(path, content=b"{}", headers={"content-encoding": "br"})
    assert reply.status_code == 415
    check_body(path, reply.json(), 415)
    for coding in ("gzip", "zstd"):
        reply = server.http.post(path, content=b"{}", headers={"content-encoding": coding})
        assert reply.status_code == (422 if path == "/v1/systemone" else 400)


@pytest.mark.parametrize("path", ROUTES)
def test_another_method_is_405_with_those_that_are_right(server, path):
    reply = server.http.put(path, json={})
    assert reply.status_code == 405
    assert "POST" in reply.headers["allow"]
    check_body(path, reply.json(), 405)


@pytest.mark.parametrize(
    "path", ["/nothing", "/v1/nothing", "/v2/nothing", "/models/a/b", "/v1/systemone/", "/../etc/passwd"]
)
def test_another_route_is_404_in_json(server, path):
    assert server.post(path, {}).status_code == 404
    assert server.get(path).json()["error"]


@pytest.mark.parametrize("name", ["nothing", "../tickets", "..%2Ftickets", "", "tickets/../words", "é", "a" * 500])
def test_an_unknown_model_is_404_and_the_known_ones_are_named(server, name):
    for path in ("/v1/systemone", "/v1/decisions", "/predict", "/", "/classify", "/invocations"):
        given = {"params": {"model": name}} if path == "/invocations" else {"model": name}
        reply = server.post(path, ROUTES[path] | given)
        assert reply.status_code == 404, path
        assert "there are tickets, shelves" in reply.text
        check_body(path, reply.json(), 404)
    for path in ("/models/{}", "/v2/models/{}/infer", "/v1/models/{}:predict"):
        if name:
            assert server.http.post(path.format(name), json={}).status_code in (404, 422, 400)
    assert server.get("/models/nothing/health").status_code == 404


def test_the_model_of_a_path_must_be_one(server):
    for path in ("/models/nothing", "/v2/models/nothing/infer", "/v1/models/nothing:predict"):
        good = ROUTES[path.replace("nothing", "tickets")]
        reply = server.post(path, good)
        assert reply.status_code == 404
        assert "no model is called 'nothing'" in reply.text


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("how", ["length", "chunks", "gzip", "zstd"])
def test_a_body_of_more_than_two_megabytes_is_413_however_it_comes(server, path, how):
    large = b'{"inputs": "' + b"a" * 3_000_000 + b'"}'
    zstd = pytest.importorskip("backports.zstd", reason="backports.zstd is not installed")
    content = {"gzip": gzip.compress, "zstd": zstd.compress}.get(how, bytes)(large)
    headers = {"content-encoding": how} if how in ("gzip", "zstd") else {}
    given = iter([content[:1_500_000], content[1_500_000:]]) if how == "chunks" else content
    reply = server.http.post(path, content=given, headers=headers)
    assert reply.status_code == 413
    check_body(path, reply.json(), 413)
    if how in ("length", "chunks"):
        assert reply.headers["connection"] == "close"


def test_a_body_of_two_megabytes_less_a_little_is_read(server):
    assert server.post("/predict", {"inputs": "a " * 900_000, "model": "words"}).status_code == 200


def test_a_zip_bomb_is_never_unpacked_whole(server):
    zstd = pytest.importorskip("backports.zstd", reason="backports.zstd is not installed")
    for coding, packed in (("gzip", gzip.compress(b" " * 200_000_000, 1)), ("zstd", zstd.compress(b" " * 1_000_000_000))):
        assert len(packed) < 1_000_000
        before = peak_memory()
        reply = server.http.post("/predict", content=packed, headers={"content-encoding": coding})
        assert reply.status_code == 413
        assert peak_memory() - before < 50_000


def peak_memory():
    """The most that the process has used, in KiB; read anew from zero each time."""
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")
    with open("/proc/self/status", encoding="ascii") as file:
        return int(next(line for line in file if line.startswith("VmHWM")).split()[1])


@pytest.mark.parametrize(
    ("path", "change", "status", "code"),
    [
        (SYSTEM, {"questions": {}}, 422, "too_short"),
        (SYSTEM, {"questions": {"": NOUL}}, 422, "string_too_short"),
        (SYSTEM, {"questions": {str(n): NOUL for n in range(129)}}, 422, "too_long"),
        (SYSTEM, {"questions": {"a": CHOICE | {"criteria": dict.fromkeys(map(str, range(300)))}}}, 422, "too_long"),
        (SYSTEM, {"questions": {"a": {"type": "choice", "criteria": {"metal": None}}}}, 422, "too_short"),
        (SYSTEM, {"questions": {"a": CHOICE | {"criteria": {"metal": None, "gold": None}}}}, 422, "unknown_label"),
        (SYSTEM, {"questions": {"a": {"type": "choice", "criteria": ["metal", "river"]}}}, 422, "dict_type"),
        (SYSTEM, {"questions": {"a": {"type": "score", "criteria": ["metal", "river"]}}}, 422, "missing_label"),
        (SYSTEM, {"questions": {"a": SCORE | {"criteria": ["metal", "metal", "river"]}}}, 422, "repeated_label"),
        (SYSTEM, {"questions": {"a": {"type": "score", "criteria": ["metal", None, "river"]}}}, 422, None),
        (SYSTEM, {"questions": {"a": {"type": "noul", "instructions": "Is it gold?"}}}, 422, "unknown_label"),
        (SYSTEM, {"questions": {"a": {"type": "box"}}}, 422, "union_tag_invalid"),
        (SYSTEM, {"questions": {"a": {}}}, 422, "union_tag_not_found"),
        (SYSTEM, {"state": {"a": "x", "b": "y"}}, 422, "missing_column"),
        (SYSTEM, {"state": ["x"]}, 422, "missing_column"),
        (SYSTEM, {"state": "a\0b"}, 422, "invalid_text"),
        (SYSTEM, {"state": None}, 422, None),
        (SYSTEM, {"model": "pairs"}, 422, "missing_column"),
        (SYSTEM, {"model": "auto"}, 422, "ambiguous_model"),
        (DECISIONS, {"questions": []}, 400, "too_short"),
        (DECISIONS, {"questions": [{"type": "choice", "choices": [{"value": "metal"}] * 2}]}, 400, "repeated_label"),
        (DECISIONS, {"questions": [CHOICE | {"choices": [{"value": "metal"}, {"value": True}]}]}, 400, "unknown_label"),
        (DECISIONS, {"questions": [{"type": "predicate", "instructions": "gold"}]}, 400, "unknown_label"),
        (DECISIONS, {"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, 400, "missing_column"),
        (DECISIONS, {"model": "auto"}, 400, "ambiguous_model"),
        ("/classify", {"input": [1, 2]}, 400, "invalid_input"),
        ("/classify", {"input": ["a"] * 33}, 400, "too_many"),
        ("/classify", {"input": []}, 400, "empty"),
        ("/classify", {"model": "pairs"}, 400, "missing_column"),
        ("/classify", {"model": None}, 400, "ambiguous_model"),
    ],
)  # fmt: skip
def test_a_value_that_makes_no_sense_is_told_with_its_place(server, path, change, status, code):
    reply = server.post(path, ROUTES[path] | change)
    assert reply.status_code == status, reply.text
    check_body(path, reply.json(), status)
    assert code in (None, reply.json()["error"]["code"]), reply.text


def test_an_unknown_label_is_where_the_clients_look_for_it_and_the_known_ones_are_listed(server):
    body = ROUTES["/v1/systemone"] | {"questions": {"queue": {"type": "choice", "criteria": {"metal": None, "x": None}}}}
    told = server.post("/v1/systemone", body).json()
    message = "'x' is no label of the model 'tickets', whose labels are fruit, metal, river"
    error = {
        "message": message,
        "type": "invalid_request_error",
        "param": "questions.queue.criteria.x",
        "code": "unknown_label",
    }
    detail = [{"loc": ["body", "questions", "queue", "choice", "criteria", "x"], "msg": message, "type": "unknown_label"}]
    assert told == {"error": error, "detail": detail}


@pytest.mark.parametrize(
    ("path", "change", "status", "kind"),
    [
        ("/predict", {"inputs": ""}, 400, "Empty"),
        ("/predict", {"inputs": []}, 400, "Empty"),
        ("/predict", {"inputs": [["a"], [""]]}, 400, "Empty"),
        ("/predict", {"inputs": ["a", "b", "c"]}, 422, "Validation"),
        ("/predict", {"inputs": [["a"]] * 33}, 422, "Validation"),
        ("/predict", {"inputs": [["a"], "b"]}, 422, "Validation"),
        ("/predict", {"truncation_direction": "up"}, 422, "Validation"),
        ("/", {"inputs": ""}, 400, "Empty"),
        ("/", {"inputs": ["a"] * 33}, 422, "Validation"),
        ("/", {"parameters": {"top_k": 0}}, 422, "Validation"),
        ("/", {"parameters": {"function_to_apply": "relu"}}, 422, "Validation"),
        ("/models/tickets", {"parameters": {"candidate_labels": ["a", "b"]}}, 422, "Validation"),
    ],
)
def test_routes_of_hugging_face_say_what_kind_of_error_it_is(server, path, change, status, kind):
    reply = server.post(path, ROUTES[path] | change)
    assert (reply.status_code, reply.json()["error_type"]) == (status, kind), reply.text


def test_as_many_labels_as_allowed_are_asked_for_in_one_go(server):
    """255 options pass the limit, and are then no labels."""
    body = ROUTES["/v1/systemone"] | {"questions": {"a": {"type": "choice", "criteria": dict.fromkeys(map(str, range(255)))}}}
    assert server.post("/v1/systemone", body).json()["error"]["code"] == "unknown_label"
    body = ROUTES["/v1/systemone"] | {"questions": {str(number): NOUL for number in range(128)}}
    assert len(server.post("/v1/systemone", body).json()["answers"]) == 128


# ----------------------------------------------------------------------------------------------------- who may ask


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("given", [None, "Bearer wrong", "Basic secret", "Bearer"])
def test_without_the_key_nothing_is_answered(tickets_only, path, given):
    headers = {} if given is None else {"authorization": given}
    reply = tickets_only.http.post(path, json=ROUTES[path], headers=headers)
    assert reply.status_code == 401
    assert reply.headers["www-authenticate"] == "Bearer"
    check_body(path, reply.json(), 401)
    if path in OPENAI:
        assert reply.json()["detail"]["error_type"] == "authentication_error"
    assert tickets_only.http.post(path, json=ROUTES[path], headers={"authorization": "bearer secret"}).status_code == 200


def test_the_key_guards_lists_and_reloading_but_not_health_nor_metrics(tickets_only):
    assert tickets_only.get("/v1/models").status_code == 401
    assert tickets_only.http.post("/admin/reload").status_code == 401
    for path in ("/health", "/livez", "/metrics", "/info", "/openapi.json"):
        assert tickets_only.get(path).status_code == 200


def test_without_a_key_of_ours_any_is_taken(server):
    assert server.http.post("/predict", json=ROUTES["/predict"], headers={"authorization": "Bearer any"}).status_code == 200


@pytest.mark.parametrize(
    ("host", "status"), [("127.0.0.1:99", 200), ("LOCALHOST", 200), ("evil.example", 403), ("evil.example:80", 403)]
)
def test_on_loopback_only_names_of_this_machine_are_heard(tickets_only, host, status):
    assert tickets_only.get("/health", host=host).status_code == status


def test_reloading_is_for_no_page_of_a_browser_and_where_it_is_not_asked_for_there_is_none(tickets_only, server):
    given = {"authorization": "Bearer secret"}
    assert tickets_only.http.post("/admin/reload", headers=given).json() == {"models": ["tickets"]}
    assert tickets_only.http.post("/admin/reload", headers=given | {"origin": "http://evil.example"}).status_code == 403
    assert server.http.post("/admin/reload").status_code == 404


def test_where_reloading_fails_the_runs_stay_as_they_were(catalogue, tmp_path):
    alone = Catalogue({"tickets": catalogue.runs["tickets"]})
    service = Service(Shelf((str(tmp_path / "gone"),)), catalogue=alone, settings=Settings(admin=True))
    with live(service) as running:
        reply = running.http.post("/admin/reload")
        assert reply.status_code == 409
        assert "no such folder" in reply.json()["error"]["message"]
        assert running.post("/predict", ROUTES["/predict"]).status_code == 200


# ------------------------------------------------------------------------------------------------ when it is busy


class Gate(EachAlone):
    """An engine that computes only while its gate is open."""

    def __init__(self):
        self.open, self.entered, self.texts = threading.Event(), threading.Event(), 0

    def logits(self, work):
        self.entered.set()
        assert self.open.wait(30)
        self.texts += sum(len(one.run.predictor.sizes(one.read)) for one in work)
        return super().logits(work)


@pytest.fixture
def gated(catalogue):
    """A server whose engine waits, and which lets two texts wait for it, for a second."""
    gate = Gate()
    alone = Catalogue({"tickets": catalogue.runs["tickets"]})
    service = Service(catalogue=alone, engine=gate, settings=Settings(most_queued=2, most_wait=60.0, queue_timeout=1.0))
    with live(service) as running:
        try:
            yield running, gate
        finally:
            gate.open.set()


async def busy(running, gate, *texts):
    """Requests for these texts, of which the engine has the first and the queue the others."""
    client = httpx.AsyncClient(base_url=running.url, timeout=30)
    tasks = []
    for text in texts:
        tasks.append(asyncio.ensure_future(client.post("/predict", json={"inputs": text})))
        await asyncio.sleep(0)
        if len(tasks) == 1:
            await asyncio.to_thread(gate.entered.wait, 10)
        else:
            assert await asyncio.to_thread(eventually, lambda: running.service.queue.waiting == len(tasks) - 1)
    return client, tasks


@pytest.mark.parametrize("path", ROUTES)
def test_a_full_queue_is_429_at_once_with_when_to_come_back(gated, path):
    running, gate = gated

    async def ask():
        client, tasks = await busy(running, gate, "apple", "iron", "zinc")
        begun = time.monotonic()
        refused = await client.post(path, json=ROUTES[path])
        assert time.monotonic() - begun < 1
        gate.open.set()
        replies = await asyncio.gather(*tasks)
        await client.aclose()
        return refused, replies

    refused, replies = asyncio.run(ask())
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    assert int(refused.headers["retry-after-ms"]) > 0
    check_body(path, refused.json(), 429)
    assert [reply.status_code for reply in replies] == [200] * 3


def test_who_waited_too_long_gets_503_with_when_to_come_back(gated):
    running, gate = gated

    async def ask():
        client, (first, late) = await busy(running, gate, "apple", "iron")
        await asyncio.sleep(1.1)
        gate.open.set()
        replies = await first, await late
        await client.aclose()
        return replies

    first, late = asyncio.run(ask())
    assert (first.status_code, late.status_code) == (200, 503)
    assert late.json()["error_type"] == "Unhealthy"
    assert "retry-after" in late.headers


def test_a_client_that_goes_has_its_work_dropped(gated):
    running, gate = gated

    async def ask():
        client, (first, gone) = await busy(running, gate, "apple", "iron")
        gone.cancel()
        assert await asyncio.to_thread(eventually, lambda: running.service.queue.waiting == 0)
        gate.open.set()
        assert (await first).status_code == 200
        await client.aclose()

    asyncio.run(ask())
    assert gate.texts == 1
    assert eventually(lambda: running.service.active == 0)


def test_loading_and_draining_are_503_while_liveness_stays(catalogue):
    service = Service()
    with live(service) as running:  # nothing is on its shelf
        assert running.get("/health").json() == {"status": "loading", "ready": False, "models": 0}
        for path, body in ROUTES.items():
            reply = running.post(path, body)
            assert (reply.status_code, "retry-after" in reply.headers) == (503, True)
            check_body(path, reply.json(), 503)
        service.catalogue = catalogue
        assert running.get("/health").status_code == 200
        service.queue.draining = True
        assert running.get("/readyz").json()["status"] == "draining"
        assert running.get("/livez").status_code == 200
        reply = running.post("/predict", ROUTES["/predict"])
        assert (reply.status_code, reply.headers["connection"]) == (503, "close")


def test_a_defect_is_500_without_its_words_and_the_log_has_its_place_without_the_text(catalogue, caplog):
    class Broken(EachAlone):
        def logits(self, _work):
            raise RuntimeError(TEXT_OF_A_CLIENT)

    alone = Catalogue({"tickets": catalogue.runs["tickets"]})
    with live(Service(catalogue=alone, engine=Broken())) as running:
        for path, body in ROUTES.items():
            reply = running.post(path, body)
            assert reply.status_code == 500
            assert TEXT_OF_A_CLIENT not in reply.text
            assert reply.headers["x-request-id"] in reply.text
            check_body(path, reply.json(), 500)
    assert "RuntimeError" in caplog.text
    assert TEXT_OF_A_CLIENT not in caplog.text


# ------------------------------------------------------------------------------------------- what comes slowly, or not


def raw(running, sent):
    connection = socket.create_connection((running.host, running.port), timeout=10)
    connection.sendall(sent)
    return connection


def test_half_a_body_whose_client_goes_leaves_nothing_behind(server):
    connection = raw(server, b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{")
    assert eventually(lambda: server.service.active == 1)
    connection.close()
    assert eventually(lambda: server.service.active == 0)
    assert server.get("/health").status_code == 200


def test_a_body_that_trickles_is_given_up_with_408(server, monkeypatch):
    monkeypatch.setattr(bodies.read_body, "__kwdefaults__", {"most": bodies.MOST_BYTES, "seconds": 0.3})
    connection = raw(server, b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n")
    begun = time.monotonic()
    with connection:
        for _ in range(5):
            connection.sendall(b" ")
            time.sleep(0.1)
        reply = http.client.HTTPResponse(connection)
        reply.begin()
        assert (reply.status, reply.headers["connection"]) == (408, "close")
        assert json.loads(reply.read())["error_type"] == "Validation"
    assert time.monotonic() - begun < 3
    assert eventually(lambda: server.service.active == 0)


def test_headers_that_do_not_come_are_not_waited_for(server, monkeypatch):
    monkeypatch.setattr("rankwise.serving.server.HEADERS", 0.2)
    for sent in (b"", b"POST /predict HTTP/1.1\r\nhost:"):
        with raw(server, sent) as connection:
            assert connection.recv(100) == b""


def test_headers_without_end_are_cut_off(server):
    def send():
        with raw(server, b"GET /health HTTP/1.1\r\n") as connection:
            for number in range(100_000):
                connection.sendall(b"x-%d: " % number + b"a" * 1_000 + b"\r\n")

    with pytest.raises(ConnectionError):
        send()
    assert server.get("/health").status_code == 200


def test_what_is_no_http_is_400(server):
    with raw(server, b"nonsense\r\n\r\n") as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 400")


def test_a_server_that_ends_leaves_no_thread_behind(catalogue):
    before = set(threading.enumerate())
    with live(Service(catalogue=Catalogue({"tickets": catalogue.runs["tickets"]}))) as running:
        assert running.post("/predict", ROUTES["/predict"]).status_code == 200
        assert len(set(threading.enumerate()) - before) >= 2
    assert set(threading.enumerate()) <= before
