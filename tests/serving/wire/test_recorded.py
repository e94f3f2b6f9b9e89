"""What real clients sent, and what they were answered, as it was recorded: read and written again without a server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="rankwise[serve] is not installed")
pytest.importorskip("httpx", reason="httpx is not installed: rankwise[dev]")

from pydantic import TypeAdapter
from servers import stub

from rankwise.serving.catalogue import Catalogue
from rankwise.serving.queue import Answer
from rankwise.serving.refusals import Refused
from rankwise.serving.routes import ASKING
from rankwise.serving.wire import Call, systemone

RECORDED = sorted((Path(__file__).parent / "recorded").glob("*.json"))
RUN = stub(("billing", "technical"), "tickets", text=("subject", "body"))
NAMED = {"/models/tickets": "/models/{name}", "/v2/models/tickets/infer": "/v2/models/{name}/infer"}
NAMED |= {"/v1/models/tickets:predict": "/v1/models/{name}:predict"}


def answers(asked):
    """What the stub says of these questions."""
    told = []
    for question in asked.questions:
        predictor = question.run.predictor
        read = predictor.read([question.text])
        logits = predictor.logits(read)
        (prediction,) = predictor.predictions(logits)
        told.append(Answer(prediction, tuple(prediction.probabilities.values()), logits[0], predictor.sizes(read)[0], 0))
    return told


@pytest.mark.parametrize("file", RECORDED, ids=[file.stem for file in RECORDED])
def test_what_a_client_sent_is_answered_as_it_was(file):
    recorded = json.loads(file.read_text("utf-8"))
    path = NAMED.get(recorded["path"], recorded["path"])
    wire = ASKING[path]
    call = Call(
        Catalogue({"tickets": RUN}),
        id="req",
        name=RUN.name if path != recorded["path"] else None,
        raw=bytes.fromhex(recorded["raw"]),
    )
    if recorded["status"] != 200:
        with pytest.raises(Refused) as caught:
            wire.read(recorded["sent"], call)
        status = wire.statuses.of(caught.value)
        assert (status, wire.refusal(caught.value, status)) == (recorded["status"], recorded["answered"])
        return
    asked = wire.read(recorded["sent"], call)
    answered = json.loads(json.dumps(asked.answer(answers(asked)), allow_nan=False))
    assert rounded(answered) == rounded(recorded["answered"])
    TypeAdapter(wire.reply).validate_python(answered)


def rounded(value):
    """With numbers as exact as any machine's exponents are."""
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return list(map(rounded, value))
    return round(value, 9) if isinstance(value, float) else value


def test_every_family_of_clients_was_recorded():
    paths = {NAMED.get(path, path) for path in (json.loads(file.read_text("utf-8"))["path"] for file in RECORDED)}
    assert {ASKING[path] for path in paths} == set(ASKING.values())


def test_a_body_of_system_one_is_known_by_its_state_or_by_questions_with_names():
    for file in RECORDED:
        recorded = json.loads(file.read_text("utf-8"))
        assert systemone.is_meant(recorded["sent"]) is (recorded["path"] == "/v1/systemone")
