"""System One, `POST /v1/systemone`: questions about a state, each a yes or no, a choice, or a place on a scale.

Options are labels of a run (`questions`); instructions and descriptions are not read, which each answer says.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from rankwise.serving.catalogue import Served
from rankwise.serving.questions import chosen, on_scale, scale
from rankwise.serving.queue import Answer
from rankwise.serving.refusals import Statuses, openai_body
from rankwise.serving.states import Question, of_state
from rankwise.serving.wire import MOST_OPTIONS, MOST_QUESTIONS, Asked, Body, Call, Reply, checked, decided, usage

MOST_LEVELS = 255

Prose = str | dict[str, Any] | list[Any]


class NoulCriteria(Body):
    true: Prose | None = None
    false: Prose | None = None


class Noul(Body):
    """Whether a text has one label, which `criteria.true` or the instructions spell."""

    type: Literal["noul"]
    instructions: Prose | None = None
    criteria: NoulCriteria | None = None


class Choice(Body):
    """Which of these labels."""

    type: Literal["choice"]
    instructions: Prose | None = None
    criteria: Annotated[dict[str, Prose | None], Field(min_length=2, max_length=MOST_OPTIONS)]


class Score(Body):
    """Where on a scale whose levels are labels, from low to high."""

    type: Literal["score"]
    instructions: Prose | None = None
    criteria: Annotated[list[Prose], Field(min_length=2, max_length=MOST_LEVELS)]


Asking = Annotated[Noul | Choice | Score, Field(discriminator="type")]
Id = Annotated[str, Field(min_length=1)]


class Request(Body):
    state: Prose
    model: str | None = None
    questions: Annotated[dict[Id, Asking], Field(min_length=1, max_length=MOST_QUESTIONS)]


class Usage(Reply):
    input_tokens: int
    output_tokens: int


class Response(Reply):
    model: str
    answers: dict[str, dict[str, Any]]
    usage: Usage
    x_id: str


request, reply = Request, Response
statuses = Statuses(json=422, value=422)
refusal = openai_body

Written = Callable[[Answer], dict[str, Any]]


def is_meant(body: Any) -> bool:
    """Whether a body is one of System One's, wherever it was sent."""
    return isinstance(body, Mapping) and ("state" in body or isinstance(body.get("questions"), Mapping))


def read(body: Any, call: Call) -> Asked:
    """The questions of a request. Raises Refused for a label that no run has, and for a state without its run's columns."""
    given = checked(Request, body)
    questions, writers = list[Question](), dict[str, Written]()
    for name, asking in given.questions.items():
        run, writers[name] = _asked(asking, given.model, call, name)
        questions.append(of_state(run, given.state, any_json=call.any_json))

    def answer(answers: Sequence[Answer]) -> dict[str, Any]:
        runs = list(dict.fromkeys(question.run for question in questions))
        written = {}
        for (name, write), question, one in zip(writers.items(), questions, answers, strict=True):
            own = {} if len(runs) == 1 else {"x_adapter": question.run.adapter}
            written[name] = write(one) | proof(question.run, one) | own | _ignored(given.questions[name])
        together = {"x_adapter": runs[0].adapter} if len(runs) == 1 else {}
        return {
            "model": runs[0].name if len(runs) == 1 else given.model or "auto",
            "answers": written,
            "usage": {"input_tokens": usage(dict(zip(questions, answers, strict=True))), "output_tokens": 0},
            "x_id": call.id,
            **together,
        }

    return Asked(questions, answer)


def proof(run: Served, answer: Answer) -> dict[str, Any]:
    """What stands in every answer beside its numbers: whose it is, and what the run's decision rule says."""
    return {"x_run": run.name} | decided(answer, run.predictor.rule is not None)


def _asked(asking: Noul | Choice | Score, model: str | None, call: Call, name: str) -> tuple[Served, Written]:
    """The run that answers a question, and what writes its answer."""
    place = ("questions", name, asking.type, "criteria")
    if isinstance(asking, Noul):
        meant = [asking.criteria.true if asking.criteria else None, asking.instructions]
        run, number = call.runs.with_label(model, [one for one in meant if isinstance(one, str)], place)
        return run, lambda answer: {"type": "noul", "noul": answer.probabilities[number]}
    if isinstance(asking, Choice):
        options = list(asking.criteria)
        run, known = call.runs.with_options(model, options, [(*place, option) for option in options])

        def choice(answer: Answer) -> dict[str, Any]:
            told = chosen(answer, run, known, options)
            by_option = dict(zip(options, told.probabilities, strict=True))
            mass = {} if told.mass is None else {"x_mass": told.mass}
            return {
                "type": "choice",
                "choice": told.option,
                "confidence": told.confidence,
                "probabilities": by_option,
                **mass,
            }

        return run, choice
    levels = [level if isinstance(level, str) else json.dumps(level, ensure_ascii=False) for level in asking.criteria]
    scale_run, scale_set = on_scale(call.runs, model, levels, [(*place, number) for number in range(len(levels))])

    def score(answer: Answer) -> dict[str, Any]:
        told = chosen(answer, scale_run, scale_set, levels)
        value, confidence = scale(told.probabilities)
        return {
            "type": "score",
            "score": value,
            "confidence": confidence,
            "legend": {str(number): level for number, level in enumerate(asking.criteria)},
            "probabilities": {str(number): one for number, one in enumerate(told.probabilities)},
        }

    return scale_run, score


def _ignored(asking: Noul | Choice | Score) -> dict[str, Any]:
    """What of a question was not read, where something was given."""
    descriptions = isinstance(asking, Choice) and any(one is not None for one in asking.criteria.values())
    given = {"instructions": asking.instructions is not None, "descriptions": descriptions}
    return {"x_ignored": [name for name, there in given.items() if there]} if any(given.values()) else {}
