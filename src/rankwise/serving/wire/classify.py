"""vLLM's and SGLang's `POST /classify`: a label and every class's probability for each input, in the order of the classes."""

from collections.abc import Sequence
from typing import Any

from rankwise.data.given import name_of
from rankwise.serving.catalogue import Served
from rankwise.serving.queue import Answer
from rankwise.serving.refusals import Refused, Statuses, openai_body
from rankwise.serving.states import question
from rankwise.serving.wire import Asked, Body, Call, Reply, checked, decided
from rankwise.serving.wire.tei import check_count


class Request(Body):
    input: str | list[str] | list[int] | list[list[int]]
    model: str | None = None


class Row(Reply):
    index: int
    label: str
    probs: list[float]
    num_classes: int


class Response(Reply):
    id: str
    object: str
    created: int
    model: str
    data: list[Row]
    usage: dict[str, Any]


request, reply = Request, Response
statuses = Statuses(json=400, value=400)
refusal = openai_body


def read(body: Any, call: Call) -> Asked:
    """The questions of a request. Raises Refused, also for token ids, whose tokenizer nobody can know."""
    given = checked(Request, body)
    run = call.catalogue.one(given.model)
    inputs = given.input if isinstance(given.input, list) else [given.input]
    check_count(inputs, "input")
    questions = []
    for number, text in enumerate(inputs):
        if not isinstance(text, str):
            raise Refused(
                "`input` has token ids; give texts, which the model's own tokenizer reads", "invalid_input", place=("input",)
            )
        questions.append(question(run, text, ("input", number)))

    def answer(answers: Sequence[Answer]) -> dict[str, Any]:
        tokens = sum(one.tokens for one in answers)
        return {
            "id": f"classify-{call.id}",
            "object": "list",
            "created": run.made,
            "model": run.name,
            "data": [_row(run, number, one) for number, one in enumerate(answers)],
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens, "completion_tokens": 0, "prompt_tokens_details": None},
        }

    return Asked(questions, answer)


def _row(run: Served, index: int, answer: Answer) -> dict[str, Any]:
    likeliest = max(range(len(answer.probabilities)), key=lambda number: answer.probabilities[number])
    label, several = answer.prediction.label, {}
    if isinstance(label, (tuple, dict)):
        label, several = run.labels[likeliest], {"x_labels": label if isinstance(label, dict) else list(label)}
    probabilities = list(answer.probabilities)
    row = {"index": index, "label": name_of(label), "probs": probabilities, "num_classes": len(probabilities)}
    return row | several | decided(answer, run.predictor.rule is not None)
