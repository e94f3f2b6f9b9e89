"""text-embeddings-inference, `POST /predict`: labels with scores, the highest first.

`"inputs": ["a", "b"]` is one pair here, as there; several inputs are lists of one: `[["a"], ["b"]]`.
"""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from rankwise.serving.catalogue import Served
from rankwise.serving.queue import Answer
from rankwise.serving.refusals import Place, Refused, Statuses, tei_body
from rankwise.serving.states import Question, question, two_texts
from rankwise.serving.wire import MOST_TEXTS, Asked, Body, Call, Reply, checked, decided

PAIR = 2


class Request(Body):
    inputs: str | list[str] | list[list[str]]
    truncate: bool | None = None
    truncation_direction: Literal["Left", "Right", "left", "right"] = Field(
        "Right", description="Not read: a run cuts texts as in training."
    )
    raw_scores: bool = False
    model: str | None = None


class Scored(Reply):
    label: str
    score: float


request, reply = Request, list[Scored] | list[list[Scored]]
statuses = Statuses(json=400, value=422, empty=400)
refusal = tei_body


def read(body: Any, call: Call) -> Asked:
    """The questions of a request. Raises Refused for a pair to a run of single texts, and for too many inputs."""
    given = checked(Request, body)
    run = call.catalogue.one(call.name or given.model)
    several = isinstance(given.inputs, list) and bool(given.inputs) and isinstance(given.inputs[0], list)
    inputs: list[Any] = list(given.inputs) if several else [given.inputs]
    check_count(given.inputs if several or not given.inputs else inputs, "inputs")
    places: list[Place] = [("inputs", number) if several else ("inputs",) for number in range(len(inputs))]
    questions = [_question(run, one, place) for one, place in zip(inputs, places, strict=True)]

    def answer(answers: Sequence[Answer]) -> list[Any]:
        lists = [scored(run, one, one.logits.tolist() if given.raw_scores else one.probabilities) for one in answers]
        return lists if several else lists[0]

    return Asked(questions, answer, whole=given.truncate is False)


def check_count(texts: Any, name: str) -> None:
    """Raises Refused for no text, or for more than a request may have."""
    if not texts:
        raise Refused(f"`{name}` is empty; give a text", "empty", place=(name,))
    if len(texts) > MOST_TEXTS:
        raise Refused(f"`{name}` has {len(texts)} texts; give {MOST_TEXTS} at most", "too_many", place=(name,))


def scored(run: Served, answer: Answer, values: Sequence[float]) -> list[dict[str, Any]]:
    """Every label with its value, the highest first; what a decision rule says stands in the first."""
    order = sorted(range(len(values)), key=lambda number: -values[number])
    told = [{"score": float(values[number]), "label": run.labels[number]} for number in order]
    return [told[0] | decided(answer, run.predictor.rule is not None), *told[1:]]


def _question(run: Served, given: str | list[str], place: Place) -> Question:
    texts = [given] if isinstance(given, str) else given
    if not all(texts) or not texts:
        raise Refused("`inputs` has an empty text; give one with something in it", "empty", place=place)
    if len(texts) > PAIR:
        raise Refused(
            f"{len(texts)} texts in one list, where two are a pair; give several inputs as lists of one: [[TEXT], [TEXT]]",
            "invalid_inputs",
            place=place,
        )
    return two_texts(run, texts[0], texts[1], place) if len(texts) == PAIR else question(run, texts[0], place)
