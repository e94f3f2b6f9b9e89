"""KServe's first protocol, `POST /v1/models/NAME:predict`: instances in, each label's probability out."""

from collections.abc import Sequence
from typing import Any

from rankwise.serving.queue import Answer
from rankwise.serving.refusals import Statuses, plain_body
from rankwise.serving.states import of_state
from rankwise.serving.wire import Asked, Body, Call, Reply, checked
from rankwise.serving.wire.tei import check_count


class Request(Body):
    instances: list[str | dict[str, Any]]


class Response(Reply):
    predictions: list[dict[str, float]]


request, reply = Request, Response
statuses = Statuses(json=400, value=400)
refusal = plain_body


def read(body: Any, call: Call) -> Asked:
    """A question for each instance: a text, or an object of the run's columns. Raises Refused."""
    given = checked(Request, body)
    run = call.catalogue.one(call.name)
    check_count(given.instances, "instances")
    questions = [of_state(run, one, place=("instances", number)) for number, one in enumerate(given.instances)]

    def answer(answers: Sequence[Answer]) -> dict[str, Any]:
        return {"predictions": [dict(zip(run.labels, one.probabilities, strict=True)) for one in answers]}

    return Asked(questions, answer)
