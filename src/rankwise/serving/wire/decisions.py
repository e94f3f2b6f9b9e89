"""OpenAI's Decisions, `POST /v1/decisions`: the same questions as System One's in other words, answered in a list.

A body with a `state`, or with questions by name, is System One's and is answered as such.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from rankwise.serving.catalogue import Served
from rankwise.serving.questions import chosen, on_scale, scale
from rankwise.serving.queue import Answer
from rankwise.serving.refusals import Refused, Statuses, openai_body
from rankwise.serving.states import Question, of_state
from rankwise.serving.wire import MOST_OPTIONS, MOST_QUESTIONS, Asked, Body, Call, Reply, checked, usage
from rankwise.serving.wire.systemone import proof


class Predicate(Body):
    """Whether a text has the label that the instructions spell."""

    type: Literal["predicate"]
    name: str | None = None
    instructions: str


class Option(Body):
    value: str | bool
    description: str | None = None

    @property
    def label(self) -> str:
        return self.value if isinstance(self.value, str) else str(self.value).lower()


class Choice(Body):
    """Which of these labels; true and false are labels of these names."""

    type: Literal["choice"]
    name: str | None = None
    instructions: str | None = None
    choices: Annotated[list[Option], Field(min_length=2, max_length=MOST_OPTIONS)]


class Level(Body):
    label: str
    description: str | None = None


class Score(Body):
    """Where on a scale whose levels are labels, from low to high."""

    type: Literal["score"]
    name: str | None = None
    instructions: str | None = None
    levels: Annotated[list[Level], Field(min_length=2, max_length=MOST_OPTIONS)]


Asking = Annotated[Predicate | Choice | Score, Field(discriminator="type")]


class Request(Body):
    model: str | None = None
    input: str | list[dict[str, Any]]
    questions: Annotated[list[Asking], Field(min_length=1, max_length=MOST_QUESTIONS)]


class Response(Reply):
    model: str
    answers: list[dict[str, Any]]
    usage: dict[str, Any]


request, reply = Request, Response
statuses = Statuses(json=400, value=400)
refusal = openai_body

Written = Callable[[Answer], dict[str, Any]]


def read(body: Any, call: Call) -> Asked:
    """The questions of a request. Raises Refused for a label that no run has, and for an input without text."""
    given = checked(Request, body)
    state = _state(given.input)
    questions, writers = list[Question](), list[Written]()
    for number, asking in enumerate(given.questions):
        run, write = _asked(asking, given.model, call, number)
        questions.append(of_state(run, state, place=("input",), any_json=call.any_json))
        writers.append(write)

    def answer(answers: Sequence[Answer]) -> dict[str, Any]:
        runs = list(dict.fromkeys(question.run for question in questions))
        tokens = usage(dict(zip(questions, answers, strict=True)))
        written = [
            {"type": asking.type, "name": asking.name, **write(one), **proof(question.run, one), **_ignored(asking)}
            for asking, write, question, one in zip(given.questions, writers, questions, answers, strict=True)
        ]
        if len(runs) > 1:
            written = [one | {"x_adapter": question.run.adapter} for one, question in zip(written, questions, strict=True)]
        return {
            "model": runs[0].name if len(runs) == 1 else given.model or "auto",
            "answers": written,
            "usage": {
                "input_tokens": tokens,
                "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                "output_tokens": 0,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": tokens,
            },
            "x_id": call.id,
            **({"x_adapter": runs[0].adapter} if len(runs) == 1 else {}),
        }

    return Asked(questions, answer)


def _state(given: str | list[dict[str, Any]]) -> Any:
    """An input as a state: the data of a single `input_json`, else what it is."""
    if isinstance(given, list) and len(given) == 1:
        content = given[0].get("content")
        if isinstance(content, list) and len(content) == 1 and isinstance(content[0], dict):
            (part,) = content
            if part.get("type") == "input_json":
                return part.get("data")
    return given


def _asked(asking: Predicate | Choice | Score, model: str | None, call: Call, number: int) -> tuple[Served, Written]:
    """The run that answers a question, and what writes its answer."""
    place = ("questions", number, asking.type)
    if isinstance(asking, Predicate):
        run, label = call.runs.with_label(model, [asking.instructions], (*place, "instructions"))
        return run, lambda answer: {"probability": answer.probabilities[label]}
    if isinstance(asking, Choice):
        options = [option.label for option in asking.choices]
        if len(set(options)) < len(options):
            raise Refused("two choices have one value", "repeated_label", place=(*place, "choices"))
        run, known = call.runs.with_options(model, options, [(*place, "choices", at, "value") for at in range(len(options))])

        def choice(answer: Answer) -> dict[str, Any]:
            told = chosen(answer, run, known, options)
            listed = zip(asking.choices, told.probabilities, strict=True)
            return {
                "choice": asking.choices[options.index(told.option)].value,
                "confidence": told.confidence,
                "probabilities": [{"value": option.value, "probability": one} for option, one in listed],
                **({} if told.mass is None else {"x_mass": told.mass}),
            }

        return run, choice
    levels = [level.label for level in asking.levels]
    places = [(*place, "levels", at, "label") for at in range(len(levels))]
    scale_run, scale_set = on_scale(call.runs, model, levels, places)

    def score(answer: Answer) -> dict[str, Any]:
        told = chosen(answer, scale_run, scale_set, levels)
        value, confidence = scale(told.probabilities)
        each = enumerate(zip(levels, told.probabilities, strict=True))
        listed = [{"value": at, "label": label, "probability": one} for at, (label, one) in each]
        return {"score": value, "confidence": confidence, "probabilities": listed}

    return scale_run, score


def _ignored(asking: Predicate | Choice | Score) -> dict[str, Any]:
    """What of a question was not read, where something was given; a predicate's instructions are its label."""
    options: Sequence[Option | Level] = ()
    if isinstance(asking, Choice):
        options = asking.choices
    elif isinstance(asking, Score):
        options = asking.levels
    instructions = not isinstance(asking, Predicate) and asking.instructions is not None
    given = {"instructions": instructions, "descriptions": any(option.description is not None for option in options)}
    return {"x_ignored": [name for name, there in given.items() if there]} if any(given.values()) else {}
