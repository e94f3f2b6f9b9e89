"""The pipelines of Hugging Face, `POST /` and `POST /models/NAME`: a list of labels with scores for each input.

A list of inputs is a batch here, and a single input has a list of one list too: so clients read it.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from rankwise.data.tasks import MultiLabel, SingleLabel
from rankwise.serving.catalogue import Served
from rankwise.serving.queue import Answer
from rankwise.serving.refusals import Place, Refused, Statuses, tei_body
from rankwise.serving.states import Question, by_columns, question, two_texts
from rankwise.serving.wire import Asked, Body, Call, checked
from rankwise.serving.wire.tei import Scored, check_count, scored


class Parameters(Body):
    top_k: Annotated[int | None, Field(ge=1)] = None
    function_to_apply: Literal["softmax", "sigmoid", "none"] | None = None
    candidate_labels: list[str] | None = None


class Request(Body):
    inputs: str | dict[str, Any] | list[str | dict[str, Any]]
    parameters: Parameters | None = None
    model: str | None = None


request, reply = Request, list[list[Scored]]
statuses = Statuses(json=400, value=422, empty=400)
refusal = tei_body


def read(body: Any, call: Call) -> Asked:
    """The questions of a request. Raises Refused."""
    given = checked(Request, body)
    run = call.catalogue.one(call.name or given.model)
    how = given.parameters or Parameters()
    if how.candidate_labels is not None:
        raise Refused(
            "candidate_labels are for zero-shot classification, and this model knows its own labels: leave them out",
            "unknown_label",
            place=("parameters", "candidate_labels"),
        )
    inputs = given.inputs if isinstance(given.inputs, list) else [given.inputs]
    check_count(inputs, "inputs")
    questions = [_question(run, one, ("inputs", number)) for number, one in enumerate(inputs)]

    def answer(answers: Sequence[Answer]) -> list[list[dict[str, Any]]]:
        return [scored(run, one, _values(one, how.function_to_apply))[: how.top_k] for one in answers]

    return Asked(questions, answer)


def _question(run: Served, given: str | dict[str, Any], place: Place) -> Question:
    """A text, the cells of a run's columns, or what pipelines call a pair: `{"text": …, "text_pair": …}`."""
    if isinstance(given, Mapping):
        found = by_columns(run, given, place)
        if found is not None:
            return found
        first, second = given.get("text"), given.get("text_pair")
        if isinstance(first, str) and isinstance(second, str):
            return two_texts(run, first, second, place)
        if not isinstance(first, str):
            raise Refused("expected a text, or an object with `text`", "missing_column", place=place)
        given = first
    if not given:
        raise Refused("`inputs` has an empty text; give one with something in it", "empty", place=place)
    return question(run, given, place)


def _values(answer: Answer, function: str | None) -> Sequence[float]:
    """What a client asked to see: by default the run's own probabilities."""
    if function is None:
        return answer.probabilities
    if function == "none":
        return [float(value) for value in answer.logits]
    task = (SingleLabel if function == "softmax" else MultiLabel)(())
    return [float(value) for value in task.probabilities(np.asarray(answer.logits)[None])[0]]
