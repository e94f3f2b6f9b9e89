"""MLflow's scoring, `POST /invocations`: a table, or a list of texts, in one of four forms; a record for each row out."""

from collections.abc import Mapping, Sequence
from typing import Any

from rankwise.serving.catalogue import Served
from rankwise.serving.queue import Answer
from rankwise.serving.refusals import Refused, Statuses, mlflow_body
from rankwise.serving.states import of_state
from rankwise.serving.wire import Asked, Body, Call, Reply, checked, decided
from rankwise.serving.wire.oip import label_of
from rankwise.serving.wire.tei import check_count

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")


class Split(Body):
    columns: list[str | int]
    data: list[list[Any]]


class Request(Body):
    dataframe_split: Split | None = None
    dataframe_records: list[dict[str, Any]] | None = None
    instances: list[str | dict[str, Any]] | None = None
    inputs: str | list[str | dict[str, Any]] | dict[str, Any] | None = None
    params: dict[str, Any] | None = None


class Response(Reply):
    predictions: list[dict[str, Any]]


request, reply = Request, Response
statuses = Statuses(json=400, value=400)
refusal = mlflow_body


def read(body: Any, call: Call) -> Asked:
    """A question for each row. Raises Refused."""
    given = checked(Request, body)
    run = call.catalogue.one(call.name or (given.params or {}).get("model"))
    forms = [form for form in FORMS if getattr(given, form) is not None]
    if len(forms) != 1:
        raise Refused(f"expected one of {', '.join(FORMS)}; found {' and '.join(forms) or 'none'}", "invalid_input")
    (form,) = forms
    rows = _rows(given, form)
    check_count(rows, form)
    questions = [of_state(run, row, place=(form, number)) for number, row in enumerate(rows)]

    def answer(answers: Sequence[Answer]) -> dict[str, Any]:
        return {"predictions": [_record(run, one) for one in answers]}

    return Asked(questions, answer)


def _rows(given: Request, form: str) -> list[Any]:
    """The rows as texts or objects of columns."""
    table = given.dataframe_split
    if table is not None:
        if any(len(row) != len(table.columns) for row in table.data):
            raise Refused(f"a row has not {len(table.columns)} cells", "invalid_input", place=(form, "data"))
        return [dict(zip(map(str, table.columns), row, strict=True)) for row in table.data]
    rows = getattr(given, form)
    if isinstance(rows, Mapping):  # columns of cells
        columns = {name: cells if isinstance(cells, list) else [cells] for name, cells in rows.items()}
        if len({len(cells) for cells in columns.values()}) > 1:
            raise Refused("its columns are of different lengths", "invalid_input", place=(form,))
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return [rows] if isinstance(rows, str) else list(rows)


def _record(run: Served, answer: Answer) -> dict[str, Any]:
    """A text's label with its probabilities; of a number that alone."""
    if run.estimates:
        return {"label": answer.prediction.label} | decided(answer, run.predictor.rule is not None)
    probabilities = dict(zip(run.labels, answer.probabilities, strict=True))
    record = {"label": label_of(answer), "score": answer.prediction.score, "probabilities": probabilities}
    return record | decided(answer, run.predictor.rule is not None)
