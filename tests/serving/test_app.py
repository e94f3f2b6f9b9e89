"""Every route by a plain client: what it answers, and that it is what `Run.predict` says."""

from __future__ import annotations

import gzip
import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("starlette", reason="rankwise[serve] is not installed")
pytest.importorskip("httpx", reason="httpx is not installed: rankwise[dev]")

CHAT = [
    {"role": "system", "content": "be good"},
    {"role": "user", "content": "apple"},
    {"role": "user", "content": [{"type": "text", "text": "pear"}]},
]
ORDER = ("metal", "fruit", "river")
TEXT = "apple and zinc near the rhine"


def predicted(server, name, *texts):
    run = server.service.catalogue.runs[name]
    return [list(run.predictor.predict([text])[0].probabilities.values()) for text in texts]


def test_system_one_answers_a_choice_a_subset_and_a_yes_or_no_of_one_text(server):
    criteria = {"river": None, "fruit": "what grows", "metal": None}
    body = {
        "model": "tickets",
        "state": TEXT,
        "questions": {
            "all": {"type": "choice", "instructions": "Which?", "criteria": criteria},
            "two": {"type": "choice", "criteria": {"river": None, "metal": None}},
            "yes": {"type": "noul", "criteria": {"true": "metal"}},
            "prose": {"type": "noul", "instructions": "fruit"},
            "scale": {"type": "score", "criteria": ["river", "fruit", "metal"]},
        },
    }
    reply = server.post("/v1/systemone", body, x_request_id="req_mine")
    told, ((fruit, metal, river),) = reply.json(), predicted(server, "tickets", TEXT)
    assert reply.status_code == 200
    assert (told["model"], told["x_id"], told["usage"]) == ("tickets", "req_mine", {"input_tokens": 8, "output_tokens": 0})
    assert told["x_adapter"] == server.service.catalogue.runs["tickets"].adapter
    answers = told["answers"]
    label = server.service.catalogue.runs["tickets"].run.predict([TEXT])[0].label
    assert answers["all"] == {
        "type": "choice",
        "choice": label,
        "confidence": pytest.approx((max(fruit, metal, river) - 1 / 3) / (2 / 3)),
        "probabilities": {"river": river, "fruit": fruit, "metal": metal},
        "x_run": "tickets",
        "x_ignored": ["instructions", "descriptions"],
    }
    assert list(answers["all"]["probabilities"]) == list(criteria)
    assert answers["two"]["probabilities"] == pytest.approx(
        {"river": river / (river + metal), "metal": metal / (river + metal)}
    )
    assert answers["two"]["x_mass"] == pytest.approx(river + metal)
    assert "x_ignored" not in answers["two"]
    assert answers["yes"] == {"type": "noul", "noul": metal, "x_run": "tickets"}
    assert answers["prose"]["noul"] == fruit
    scale = answers["scale"]
    assert scale["score"] == pytest.approx(fruit + 2 * metal)
    assert scale["legend"] == {"0": "river", "1": "fruit", "2": "metal"}
    assert scale["probabilities"] == {"0": river, "1": fruit, "2": metal}


def test_without_a_model_each_question_goes_to_the_only_run_that_has_its_labels(server):
    body = {
        "model": "jev-latest",
        "state": {"title": "apple", "body": "and zinc", "text": "apple", "n": 3},
        "questions": {
            "shelves": {"type": "choice", "criteria": {"eat": None, "swim": None, "melt": None}},
            "size": {"type": "choice", "criteria": {"large": None, "small": None}},
        },
    }
    told = server.post("/v1/systemone", body).json()
    assert {name: answer["x_run"] for name, answer in told["answers"].items()} == {"shelves": "shelves", "size": "columns"}
    assert told["model"] == "jev-latest"
    assert "x_adapter" not in told
    assert told["answers"]["size"]["x_adapter"].startswith("sha256:")
    ((eat, melt, swim),) = predicted(server, "shelves", "apple . and zinc")
    assert told["answers"]["shelves"]["probabilities"] == {"eat": eat, "swim": swim, "melt": melt}


def test_several_labels_are_a_yes_or_no_each_and_label_columns_a_choice_each(server):
    columns = server.service.catalogue.runs["columns"]
    body = {
        "model": "columns",
        "state": TEXT,
        "questions": {
            "topic": {"type": "choice", "criteria": {"metal": None, "fruit": None, "river": None}},
            "size": {"type": "choice", "criteria": {"size=large": None, "size=small": None}},
        },
    }
    answers = server.post("/v1/systemone", body).json()["answers"]
    prediction = columns.run.predict([TEXT])[0]
    assert answers["topic"]["choice"] == prediction.label["topic"]
    assert answers["size"]["choice"] == f"size={prediction.label['size']}"
    assert answers["topic"]["probabilities"]["metal"] == prediction.probabilities["topic=metal"]
    body = {"model": "several", "state": TEXT, "questions": {"a": {"type": "noul", "criteria": {"true": "river"}}}}
    several = server.service.catalogue.runs["several"].run.predict([TEXT])[0]
    assert server.post("/v1/systemone", body).json()["answers"]["a"]["noul"] == several.probabilities["river"]
    body["questions"] = {"a": {"type": "choice", "criteria": {"fruit": None, "river": None}}}
    refused = server.post("/v1/systemone", body)
    assert refused.status_code == 422
    assert "gives a text any number of its labels" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ("apple pear", "apple pear"),
        ({"title": "apple", "body": "pear"}, "apple . pear"),
        ({"title": "apple", "body": " "}, "apple"),
        ({"instructions": "x", "inputs": {"title": "apple", "body": "pear"}}, "apple . pear"),
        ({"anything": "apple pear"}, "apple pear"),
        (CHAT, "apple\npear"),
    ],
)
def test_a_state_is_read_as_the_run_reads_its_columns(server, state, text):
    body = {"model": "shelves", "state": state, "questions": {"a": {"type": "noul", "criteria": {"true": "eat"}}}}
    ((eat, *_),) = predicted(server, "shelves", text)
    assert server.post("/v1/systemone", body).json()["answers"]["a"]["noul"] == eat


def test_decisions_answer_in_the_order_of_the_questions(server):
    body = {
        "model": "tickets",
        "input": [{"role": "user", "content": [{"type": "input_text", "text": TEXT}]}],
        "questions": [
            {"type": "choice", "name": "a", "instructions": "?", "choices": [{"value": one} for one in ORDER]},
            {"type": "predicate", "instructions": "metal"},
            {"type": "score", "name": "s", "levels": [{"label": one} for one in ("fruit", "metal", "river")]},
        ],
    }
    told, ((fruit, metal, river),) = server.post("/v1/decisions", body).json(), predicted(server, "tickets", TEXT)
    choice, predicate, score = told["answers"]
    assert choice["probabilities"] == [
        {"value": "metal", "probability": metal},
        {"value": "fruit", "probability": fruit},
        {"value": "river", "probability": river},
    ]
    assert (choice["name"], choice["x_run"], choice["x_ignored"]) == ("a", "tickets", ["instructions"])
    assert predicate == {"type": "predicate", "name": None, "probability": metal, "x_run": "tickets"}
    assert score["score"] == pytest.approx(metal + 2 * river)
    assert score["probabilities"][1] == {"value": 1, "label": "metal", "probability": metal}
    assert told["usage"]["total_tokens"] == told["usage"]["input_tokens"] == 8


def test_true_and_false_are_labels_of_these_names_and_json_data_is_columns(server):
    data = {"premise": "apple", "hypothesis": "zinc"}
    question = {"type": "choice", "choices": [{"value": True}, {"value": False}]}
    body = {
        "model": "pairs",
        "input": [{"role": "user", "content": [{"type": "input_json", "data": data}]}],
        "questions": [question],
    }
    (answer,) = server.post("/v1/decisions", body).json()["answers"]
    ((no, yes),) = predicted(server, "pairs", ("apple", "zinc"))
    assert answer["probabilities"] == [{"value": True, "probability": yes}, {"value": False, "probability": no}]
    assert answer["choice"] is (yes > no)
    body["questions"] = [{"type": "predicate", "instructions": "Does the one follow from the other?"}]
    assert server.post("/v1/decisions", body).json()["answers"][0]["probability"] == yes


def test_a_body_of_system_one_is_answered_as_such_on_the_other_route(server):
    body = {"model": "tickets", "state": TEXT, "questions": {"a": {"type": "noul", "criteria": {"true": "metal"}}}}
    there, here = server.post("/v1/decisions", body).json(), server.post("/v1/systemone", body).json()
    assert there["answers"] == here["answers"]
    body["questions"] = {"a": {"type": "noul", "criteria": {"true": "gold"}}}
    assert server.post("/v1/decisions", body).status_code == 422


def test_tei_gives_labels_with_scores_the_highest_first(server):
    ((fruit, metal, river),) = predicted(server, "tickets", TEXT)
    wanted = sorted(zip((fruit, metal, river), ("fruit", "metal", "river"), strict=True), reverse=True)
    wanted = [{"score": score, "label": label} for score, label in wanted]
    assert server.post("/predict", {"inputs": TEXT, "model": "tickets"}).json() == wanted
    assert server.post("/predict", {"inputs": [TEXT], "model": "tickets"}).json() == wanted
    assert server.post("/predict", {"inputs": [[TEXT], [TEXT]], "model": "tickets"}).json() == [wanted, wanted]
    raw = server.post("/predict", {"inputs": TEXT, "model": "tickets", "raw_scores": True}).json()
    assert [one["label"] for one in raw] == [one["label"] for one in wanted]
    assert sum(one["score"] for one in raw) != pytest.approx(1)


def test_two_texts_of_tei_are_a_pair_or_both_columns(server):
    pair = server.post("/predict", {"inputs": ["apple", "zinc"], "model": "pairs"}).json()
    assert {one["label"]: one["score"] for one in pair} == dict(
        zip(("false", "true"), *predicted(server, "pairs", ("apple", "zinc")), strict=True)
    )
    both = server.post("/predict", {"inputs": [["apple", "zinc"]], "model": "shelves"}).json()
    ((eat, *_),) = predicted(server, "shelves", "apple . zinc")
    assert {one["label"]: one["score"] for one in both[0]}["eat"] == eat
    refused = server.post("/predict", {"inputs": ["apple", "zinc"], "model": "tickets"})
    assert (refused.status_code, refused.json()["error_type"]) == (422, "Validation")


def test_pipelines_get_a_list_for_each_input(server):
    found = server.post("/models/tickets", {"inputs": [TEXT, "iron"], "parameters": {"top_k": 2}}).json()
    assert [one["label"] for one in found[0]] == [
        one["label"] for one in server.post("/predict", {"inputs": TEXT, "model": "tickets"}).json()
    ][:2]
    assert list(map(len, found)) == [2, 2]
    (none,) = server.post("/models/tickets", {"inputs": TEXT, "parameters": {"function_to_apply": "none"}}).json()
    (sigmoid,) = server.post("/models/tickets", {"inputs": TEXT, "parameters": {"function_to_apply": "sigmoid"}}).json()
    assert none != sigmoid
    assert sum(one["score"] for one in sigmoid) != pytest.approx(1)
    assert server.get("/models/tickets/health").json()["ready"] is True
    assert server.get("/models/tickets/info").json()["model_type"]["classifier"]["label2id"] == {
        "fruit": 0,
        "metal": 1,
        "river": 2,
    }


@pytest.mark.parametrize("route", ["/classify", "/v1/classify"])
def test_classify_gives_probabilities_in_the_order_of_the_classes(server, route):
    found = server.post(route, {"model": "tickets", "input": [TEXT, "iron"]}).json()
    rows = predicted(server, "tickets", TEXT, "iron")
    assert [row["probs"] for row in found["data"]] == [pytest.approx(row, abs=1e-6) for row in rows]
    assert found["data"][1]["num_classes"] == 3
    assert found["id"].startswith("classify-req_")
    several = server.post(route, {"model": "several", "input": TEXT}).json()["data"][0]
    prediction = server.service.catalogue.runs["several"].run.predict([TEXT])[0]
    assert several["x_labels"] == list(prediction.label)
    assert several["label"] == max(prediction.probabilities, key=prediction.probabilities.get)


def test_what_a_decision_rule_says_travels(server):
    found = server.post("/classify", {"model": "sure", "input": TEXT}).json()["data"][0]
    rule = server.service.catalogue.runs["sure"].predictor.predict([TEXT])[0]
    assert (found["x_unsure"], found["x_reason"]) == (True, rule.reason)
    assert found["probs"] == list(rule.probabilities.values())
    body = {"model": "sure", "state": TEXT, "questions": {"a": {"type": "noul", "criteria": {"true": "metal"}}}}
    assert server.post("/v1/systemone", body).json()["answers"]["a"]["x_unsure"] is True
    assert server.post("/predict", {"inputs": TEXT, "model": "sure"}).json()[0]["x_unsure"] is True
    assert "x_unsure" not in server.post("/predict", {"inputs": TEXT, "model": "tickets"}).json()[0]


def test_a_text_that_is_cut_off_is_told_of(server):
    body = {"model": "tickets", "state": "zinc " * 60, "questions": {"a": {"type": "noul", "criteria": {"true": "metal"}}}}
    reply = server.post("/v1/systemone", body)
    assert reply.json()["answers"]["a"]["x_truncated"] is True
    assert reply.headers["x-truncated-tokens"] == "38"
    assert reply.json()["usage"]["input_tokens"] == 24
    refused = server.post("/predict", {"inputs": "zinc " * 60, "truncate": False, "model": "tickets"})
    assert (refused.status_code, refused.json()["error_type"]) == (422, "Validation")
    assert "x-truncated-tokens" not in server.post("/predict", {"inputs": "zinc", "model": "tickets"}).headers


def test_models_are_listed_for_clients_of_both_kinds(server):
    listed = server.get("/v1/models").json()
    assert (
        [one["id"] for one in listed["data"]]
        == [one["name"] for one in listed["models"]]
        == list(server.service.catalogue.runs)
    )
    assert listed["data"][0]["x_labels"] == ["fruit", "metal", "river"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", listed["models"][0]["release_date"])
    assert server.get("/v1/models/tickets").json() == listed["data"][0]
    assert {one["name"]: one["description"] for one in listed["models"]}["words"] == "3 labels, counted words"


@pytest.mark.parametrize(
    "route", ["/health", "/ping", "/readyz", "/livez", "/healthz", "/v2/health/live", "/v2/health/ready"]
)
def test_health_is_told_on_every_route_that_is_asked_for_it(server, route):
    assert server.get(route).status_code == 200


def test_every_reply_has_an_id_and_its_times(server):
    for reply in (
        server.post("/predict", {"inputs": "a", "model": "tickets"}),
        server.get("/nothing"),
        server.post("/predict", {}),
    ):
        assert re.fullmatch(r"req_[0-9a-f]{32}", reply.headers["x-request-id"])
        assert reply.headers["x-typesafe-request-id"] == reply.headers["x-request-id"]
        assert all(float(reply.headers[f"x-{name}-time"]) >= 0 for name in ("queue", "inference", "total"))
    assert server.get("/health", x_request_id="mine-1").headers["x-request-id"] == "mine-1"
    assert server.get("/health", x_request_id="a b").headers["x-request-id"].startswith("req_")


def test_packed_bodies_are_read(server):
    body = json.dumps({"inputs": TEXT, "model": "tickets"}).encode()
    plain = server.http.post("/predict", content=body).json()
    assert server.http.post("/predict", content=gzip.compress(body), headers={"content-encoding": "gzip"}).json() == plain
    zstd = pytest.importorskip("backports.zstd", reason="backports.zstd is not installed")
    assert server.http.post("/predict", content=zstd.compress(body), headers={"content-encoding": "zstd"}).json() == plain


def test_metrics_count_requests_and_predictions(server):
    server.post("/predict", {"inputs": TEXT, "model": "tickets"})
    told = server.get("/metrics").text
    assert re.search(r'http_requests_total\{handler="/predict",method="POST",status="200"\} [\d.]+', told)
    label = server.service.catalogue.runs["tickets"].run.predict([TEXT])[0].label
    assert re.search(rf'rankwise_predictions_total\{{label="{label}",model="tickets"\}} [\d.]+', told)
    for name in ("batch_size", "batch_tokens", "tokenize_seconds", "queue_seconds", "inference_seconds"):
        assert f"rankwise_{name}_count" in told
    assert "rankwise_queue_size 0.0" in told
    assert TEXT not in told


def test_no_text_is_logged_whatever_the_level(server, caplog):
    caplog.set_level("DEBUG")
    assert server.post("/predict", {"inputs": TEXT, "model": "tickets"}).status_code == 200
    assert server.post("/predict", {"inputs": [[TEXT, TEXT, TEXT]], "model": "tickets"}).status_code == 422
    assert TEXT not in caplog.text


def test_many_clients_get_what_predict_gives_whatever_comes_beside(server):
    runs = server.service.catalogue.runs
    words = ["apple", "iron", "rhine", "zinc pear", "the nile near some copper and figs", "a " * 30]
    asked = [
        (name, f"{text} {number}")
        for number in range(8)
        for text in words
        for name in ("tickets", "words", "columns", "shelves")
    ]
    expected = [list(runs[name].run.predict([text])[0].probabilities.values()) for name, text in asked]

    def ask(one):
        reply = server.post("/classify", {"model": one[0], "input": one[1]})
        assert reply.status_code == 200
        return reply.json()["data"][0]["probs"]

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, asked)) == expected, "to the bit"


def test_the_openapi_document_has_every_route_and_the_models_of_its_bodies(server):
    document = server.get("/openapi.json").json()
    assert {"/v1/systemone", "/v1/decisions", "/predict", "/models/{name}", "/classify", "/v1/models"} <= set(
        document["paths"]
    )
    schemas = document["components"]["schemas"]
    assert "state" in schemas["systemone.Request"]["properties"]
    references = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
    assert references <= set(schemas)
