"""A run as runtimes load it that know nothing of rankwise: a folder of a model file, its configuration and its tokenizer.

The layout is what transformers.js, optimum and plain runtimes look for, so the folder needs nothing else; `export.json` says
what it was made from, how large and how fast it is, and what its numbers cost. This module reads such folders; it loads none
of what writes them.
"""

from dataclasses import dataclass
from pathlib import Path

from rankwise.errors import RunError, as_typed
from rankwise.run.manifest import MANIFEST
from rankwise.stats.intervals import Interval
from rankwise.system.files import Stored, read_json, sha256

EXPORT = "export.json"
FILES = {"onnx": "onnx/model.onnx", "onnx-int8": "onnx/model_int8.onnx", "openvino": "openvino_model.xml"}
"""Of each format, where its model lies in a folder: by these names transformers.js and optimum find it."""
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt", "merges.txt")


def files_of(form: str) -> tuple[str, ...]:
    """What a folder in that format may hold, by its path there."""
    weights = {"openvino": ("openvino_model.bin",)}.get(form, ())
    return (EXPORT, "config.json", *TOKENIZER, FILES[form], *weights)


@dataclass(frozen=True, kw_only=True)
class Held:
    """What a paired test of the exported file against the run says, on rows that nothing was trained on."""

    rows: int
    data: str
    """Which rows they are."""
    margin: float
    """Points that it may lose."""
    difference: Interval
    """Its score minus the run's, -1 to 1; each bound alone holds with 95 %."""
    score: str
    changed: int
    """Rows that are decided otherwise."""


@dataclass(frozen=True, kw_only=True)
class Deployed(Stored):
    """export.json: what a folder holds."""

    form: str
    source: str
    """The sha256 of the run's manifest."""
    classes: tuple[str, ...]
    max_length: int
    windows: int | None
    bytes: int
    """Of the model's files,"""
    bytes_fp32: int
    """and of the same in fp32."""
    milliseconds: float | None
    """The median of one text at a time on this machine, on `threads`; None where no rows are kept to time."""
    milliseconds_fp32: float | None
    """The same in ONNX Runtime in fp32, measured in turns."""
    threads: int
    longest_milliseconds: float | None = None
    """The median of the longest text that is read, alone, from its characters on; None of an older export."""
    held: Held | None = None
    """None of fp32, whose logits are the run's."""

    @property
    def speed(self) -> float | None:
        """How many times as fast as fp32."""
        if self.milliseconds is None or self.milliseconds_fp32 is None:
            return None
        return self.milliseconds_fp32 / self.milliseconds


def check_deployed(run: Path, form: str) -> Path:
    """The model file of a run's export in that format. Raises RunError where there is none, or one of another run."""
    folder = run / form
    again = f"rankwise export {as_typed(run)} --format {form}"
    if not (folder / EXPORT).is_file():
        raise RunError(f"{run} was not exported as {form}; type {again}")
    if read_json(folder / EXPORT, Deployed).source != sha256(run / MANIFEST):
        raise RunError(f"{folder}: exported from another run than {run}; delete it, and type {again}")
    return folder / FILES[form]
