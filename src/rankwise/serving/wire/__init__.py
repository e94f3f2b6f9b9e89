"""A file for each family of clients: how it asks, how it is answered, how it is told no. Pure: no server, no sockets.

`read` takes a body's JSON and gives the questions in it with a function that writes their answers, so that a route is the
same for all of them. Extra keys of ours begin with `x_`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import from_json

from rankwise.serving.catalogue import Catalogue
from rankwise.serving.questions import Labels, Runs
from rankwise.serving.queue import Answer
from rankwise.serving.refusals import Fault, Refused, Statuses
from rankwise.serving.states import Question

MOST_TEXTS, MOST_QUESTIONS, MOST_OPTIONS = 32, 128, 255


class Body(BaseModel):
    """What a client sends: unknown keys are left alone, and no value is taken for another type's."""

    model_config = ConfigDict(strict=True, extra="ignore")


class Reply(BaseModel):
    """What a client gets."""

    model_config = ConfigDict(extra="allow")


@dataclass(frozen=True)
class Call:
    """What a request is read with."""

    catalogue: Catalogue
    id: str = ""
    name: str | None = None
    """Of the model in the path."""
    raw: bytes = b""
    """What comes after the JSON in the body."""
    any_json: bool = False
    """Whether a state is read as JSON is written, where it has no text columns."""
    open_labels: Runs | None = None
    """What knows which run answers, where it is not the runs' own labels: for tests."""

    @property
    def runs(self) -> Runs:
        return self.open_labels or Labels(self.catalogue)


@dataclass(frozen=True)
class Asked:
    """The questions of a request, and what writes their answers."""

    questions: Sequence[Question]
    answer: Callable[[Sequence[Answer]], Any] = field(repr=False)
    whole: bool = False
    """Whether a text that is cut off is refused."""


class Wire(Protocol):
    """A module of this folder."""

    request: Any
    """The model of its bodies, for OpenAPI,"""
    reply: Any
    """and of its answers."""
    statuses: Statuses

    @staticmethod
    def read(body: Any, call: Call) -> Asked:
        """The questions in a body. Raises Refused."""

    @staticmethod
    def refusal(refused: Refused, status: int) -> Any:
        """The body of a refusal."""


T = TypeVar("T", bound=BaseModel)


def parsed(body: bytes) -> Any:
    """The JSON of a body. Raises Refused for what is none."""
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError as problem:
        raise Refused(f"the body is no JSON: {problem}", "json_invalid") from problem


def checked(model: type[T], body: Any) -> T:
    """The body as a model. Raises Refused, which has each fault and where it is."""
    try:
        return model.model_validate(body)
    except ValidationError as problem:
        faults = tuple(
            Fault(one["msg"], one["type"], tuple(one["loc"]))
            for one in problem.errors(include_url=False, include_context=False, include_input=False)
        )
        where = ".".join(map(str, faults[0].place))
        message = f"{where}: {faults[0].message}" if where else faults[0].message
        raise Refused(message, faults[0].code, place=faults[0].place, faults=faults) from problem


def decided(answer: Answer, has_rule: bool) -> dict[str, Any]:
    """What a run's decision rule says, where it has one, and whether a text was cut off."""
    extra: dict[str, Any] = {}
    if answer.prediction.range is not None:
        extra["x_range"] = list(answer.prediction.range)
    elif has_rule:
        extra["x_unsure"] = answer.prediction.unsure
        if answer.prediction.unsure:
            extra["x_reason"] = answer.prediction.reason
        if answer.prediction.labels:
            extra["x_set"] = list(map(str, answer.prediction.labels))
    if answer.unread:
        extra["x_truncated"] = True
    return extra


def usage(answers: Mapping[Question, Answer]) -> int:
    """The tokens that were read, each text of each run once."""
    return sum(answer.tokens for answer in answers.values())
