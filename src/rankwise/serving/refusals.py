"""What a request gets instead of an answer: a status, a code, words, and which part of the body they are about.

Families of clients read errors in different bodies, which are here beside each other; a wire module names its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rankwise.errors import RankwiseError

Place = tuple[str | int, ...]
"""Where in a body: ("questions", "queue", "criteria")."""

TYPES = {401: "authentication_error", 404: "not_found_error", 429: "overloaded_error", 500: "server_error"}
TYPES |= {403: "permission_error", 408: "timeout_error", 503: "overloaded_error"}
INVALID = "invalid_request_error"  # of every other status
TEI_TYPES = {429: "Overloaded", 500: "Backend", 503: "Unhealthy"}  # of every other one Validation, or Empty
MLFLOW_CODES = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    429: "REQUEST_LIMIT_EXCEEDED",
}
MLFLOW_CODES |= {500: "INTERNAL_ERROR", 503: "TEMPORARILY_UNAVAILABLE"}
SHOWN = 40  # names that a message lists


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a body."""

    message: str
    code: str
    place: Place = ()


class Refused(RankwiseError):
    """A request that is not answered."""

    def __init__(
        self,
        message: str,
        code: str,
        *,
        status: int | None = None,
        place: Place = (),
        faults: tuple[Fault, ...] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """`status` is None for a value that makes no sense, for which families of clients have different ones."""
        super().__init__(message)
        self.faults = faults or (Fault(message, code, place),)
        self.code = code
        self.status = status
        self.headers = dict(headers or {})


@dataclass(frozen=True)
class Statuses:
    """What a family of clients gets for a body that is no JSON, and for one whose values make no sense."""

    json: int = 400
    value: int = 422
    empty: int = field(default=0)
    """For a body without a text, where that has a status of its own."""

    def of(self, refused: Refused) -> int:
        if refused.status is not None:
            return refused.status
        by_code = {"json_invalid": self.json, "empty": self.empty or self.value}
        return by_code.get(refused.code, self.value)


def openai_body(refused: Refused, status: int) -> dict[str, Any]:
    """What the SDKs of OpenAI and TypeSafe both read: `error` for the one, `detail` for the other."""
    first, message = refused.faults[0], str(refused)
    kind = TYPES.get(status, INVALID)
    error = {"message": message, "type": kind, "param": _param(first.place), "code": refused.code}
    if status not in (400, 422):
        return {"error": error, "detail": {"error_type": kind, "message": message}}
    listed = [{"loc": ["body", *fault.place], "msg": fault.message, "type": fault.code} for fault in refused.faults]
    return {"error": error, "detail": listed}


def _param(place: Place) -> str | None:
    """Where in a body, without the type of a question, which `detail` has in its place."""
    path = place[:2] + place[3:] if place[:1] == ("questions",) and len(place) > 2 else place
    return ".".join(map(str, path)) or None


def tei_body(refused: Refused, status: int) -> dict[str, Any]:
    """What text-embeddings-inference answers, which clients of Hugging Face read."""
    kind = "Empty" if refused.code == "empty" else TEI_TYPES.get(status, "Validation")
    return {"error": str(refused), "error_type": kind}


def plain_body(refused: Refused, status: int) -> dict[str, Any]:
    """What Triton's and KServe's clients read."""
    del status
    return {"error": str(refused)}


def mlflow_body(refused: Refused, status: int) -> dict[str, Any]:
    return {"error_code": MLFLOW_CODES.get(status, "BAD_REQUEST"), "message": str(refused)}


def listed(names: Any) -> str:
    """Names for a message, not more than people read."""
    every = list(map(str, names))
    more = f" and {len(every) - SHOWN} more" if len(every) > SHOWN else ""
    return ", ".join(every[:SHOWN]) + more
