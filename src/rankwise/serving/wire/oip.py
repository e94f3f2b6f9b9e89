"""The Open Inference Protocol, `POST /v2/models/NAME/infer`, which Triton's and KServe's clients speak.

The one input is `text`, BYTES of shape (N) or (N, 1), as JSON or, as Triton's clients send it, after the JSON: each string
behind its length, four bytes, little-endian. The outputs are `label`, BYTES (N), and `probabilities`, FP32 (N, C), in JSON.
"""

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

from rankwise.data.given import name_of
from rankwise.data.several import as_list, as_object
from rankwise.serving.queue import Answer
from rankwise.serving.refusals import Refused, Statuses, plain_body
from rankwise.serving.states import question
from rankwise.serving.wire import Asked, Body, Call, Reply, checked
from rankwise.serving.wire.tei import check_count

HEADER = "inference-header-content-length"  # bytes of JSON, where more follows
INPUT, OUTPUTS = "text", ("label", "probabilities")
LENGTH = 4  # bytes that hold a string's


class Tensor(Body):
    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: dict[str, Any] | None = None


class Wanted(Body):
    name: str


class Request(Body):
    inputs: list[Tensor]
    outputs: list[Wanted] | None = None
    id: str | None = None


class Response(Reply):
    model_name: str
    model_version: str
    outputs: list[dict[str, Any]]


request, reply = Request, Response
statuses = Statuses(json=400, value=400)
refusal = plain_body


def read(body: Any, call: Call) -> Asked:
    """A question for each string of the input. Raises Refused."""
    given = checked(Request, body)
    run = call.catalogue.one(call.name)
    if len(given.inputs) != 1 or given.inputs[0].name != INPUT or given.inputs[0].datatype != "BYTES":
        found = ", ".join(f"{one.name} {one.datatype}" for one in given.inputs) or "none"
        raise Refused(f"expected one input, {INPUT} of BYTES; found {found:.200}", "invalid_input", place=("inputs",))
    (tensor,) = given.inputs
    wanted = OUTPUTS if given.outputs is None else tuple(one.name for one in given.outputs)
    if strange := [name for name in wanted if name not in OUTPUTS]:
        raise Refused(
            f"there is no output '{strange[0]:.80}'; expected label or probabilities", "invalid_output", place=("outputs",)
        )
    texts = _texts(tensor, call.raw)
    check_count(texts, INPUT)
    if prod(tensor.shape) != len(texts):
        raise Refused(f"{len(texts)} strings of shape {tensor.shape}", "invalid_input", place=("inputs", 0, "shape"))
    questions = [question(run, text, ("inputs", 0, "data", number)) for number, text in enumerate(texts)]

    def answer(answers: Sequence[Answer]) -> dict[str, Any]:
        count = len(answers)
        outputs = {
            "label": {"datatype": "BYTES", "shape": [count], "data": [label_of(one) for one in answers]},
            "probabilities": {
                "datatype": "FP32",
                "shape": [count, len(run.labels)],
                "data": [value for one in answers for value in one.probabilities],
            },
        }
        return {
            "model_name": run.name,
            "model_version": "1",
            **({} if given.id is None else {"id": given.id}),
            "outputs": [{"name": name} | outputs[name] for name in wanted],
            "parameters": {"x_labels": list(run.labels)},
        }

    return Asked(questions, answer)


def label_of(answer: Answer) -> str:
    """What is decided, as files have labels: a name, or JSON of several names, or of a name for each column."""
    label = answer.prediction.label
    if isinstance(label, dict):
        return as_object({column: name_of(one) for column, one in label.items()})
    return as_list(map(name_of, label)) if isinstance(label, tuple) else name_of(label)


def about(name: str, classes: int) -> dict[str, Any]:
    """What a model takes and gives, as `GET /v2/models/NAME` tells."""
    return {
        "name": name,
        "versions": ["1"],
        "platform": "rankwise",
        "inputs": [{"name": INPUT, "datatype": "BYTES", "shape": [-1]}],
        "outputs": [
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, classes]},
        ],
    }


def _texts(tensor: Tensor, raw: bytes) -> list[str]:
    size = (tensor.parameters or {}).get("binary_data_size")
    if size is None:
        data = tensor.data or []
        flat = [one for part in data for one in (part if isinstance(part, list) else [part])]
        if not all(isinstance(one, str) for one in flat):
            raise Refused("the data of BYTES are strings", "invalid_input", place=("inputs", 0, "data"))
        return flat
    if size != len(raw):
        raise Refused(
            f"binary_data_size is {size}, and {len(raw)} bytes follow the JSON", "invalid_input", place=("inputs", 0)
        )
    try:
        return [part.decode("utf-8") for part in _strings(raw)]
    except UnicodeDecodeError as problem:
        raise Refused("the strings are no UTF-8", "invalid_input", place=("inputs", 0)) from problem


def _strings(raw: bytes) -> Iterator[bytes]:
    place = 0
    while place < len(raw):
        end = place + LENGTH + int.from_bytes(raw[place : place + LENGTH], "little")
        if end > len(raw) or place + LENGTH > len(raw):
            raise Refused("a string is longer than the bytes that follow", "invalid_input", place=("inputs", 0))
        yield raw[place + LENGTH : end]
        place = end
