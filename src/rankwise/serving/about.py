"""What the server tells of its models: the lists that clients of OpenAI, TypeSafe, Hugging Face and KServe read."""

from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from rankwise.errors import NAME
from rankwise.serving.body import MOST_BYTES
from rankwise.serving.catalogue import Catalogue, Served
from rankwise.serving.wire import MOST_TEXTS


def models(catalogue: Catalogue) -> dict[str, Any]:
    """`data` for OpenAI's clients, `models` for TypeSafe's."""
    return {
        "object": "list",
        "data": [model(run) for run in catalogue.runs.values()],
        "models": [
            {
                "name": run.name,
                "description": run.about,
                "release_date": datetime.fromtimestamp(run.made, UTC).date().isoformat(),
            }
            for run in catalogue.runs.values()
        ],
    }


def model(run: Served) -> dict[str, Any]:
    """A model for OpenAI's clients, with what KServe's read of it beside that."""
    about = run.run.preprocessing
    return {
        "id": run.name,
        "object": "model",
        "created": run.made,
        "owned_by": "rankwise",
        "root": str(run.run.folder),
        "parent": run.base,
        "name": run.name,
        "ready": True,
        "x_labels": list(run.labels),
        "x_task": run.run.task.name,
        "x_columns": [list(map(str, side)) for side in (about.text, about.text_pair or ()) if side],
    }


def info(catalogue: Catalogue, run: Served | None, most_queued: int, most_tokens: int) -> dict[str, Any]:
    """What text-embeddings-inference tells of its model, of one run or of what they share."""
    about = {
        "model_id": None if run is None else run.name,
        "max_concurrent_requests": most_queued,
        "max_batch_tokens": most_tokens,
        "max_client_batch_size": MOST_TEXTS,
        "max_body_bytes": MOST_BYTES,
        "auto_truncate": True,
        "version": version(NAME),
        "models": list(catalogue.runs),
    }
    if run is None:
        return about
    id2label = {str(number): label for number, label in enumerate(run.labels)}
    label2id = {label: number for number, label in enumerate(run.labels)}
    return about | {
        "model_sha": run.adapter,
        "model_dtype": "float32",
        "model_type": {"classifier": {"id2label": id2label, "label2id": label2id}},
        "max_input_length": run.run.preprocessing.max_length * (run.run.preprocessing.windows or 1),
    }
