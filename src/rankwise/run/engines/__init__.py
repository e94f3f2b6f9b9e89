"""What computes a run's logits: a row for each engine, which names the module that loads it, imported when it is asked for.

An engine is a row here and a module beside this file. The command line reads the rows, so nothing heavy is imported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from rankwise.errors import MissingExtra, ModelError, nearest, require

if TYPE_CHECKING:
    from pathlib import Path

    from rankwise.data.clean import Preprocessing
    from rankwise.encoders.base import Base
    from rankwise.inference.scorer import Scorer
    from rankwise.inference.torch_scorer import DropoutScorer
    from rankwise.model.classifier import Classifier
    from rankwise.planning.plan import Plan


class SavedRun(Protocol):
    """What an engine reads of a finished run on disk, such as run/folder.py's."""

    @property
    def folder(self) -> Path: ...
    @property
    def preprocessing(self) -> Preprocessing: ...
    def base(self) -> Base: ...
    def plan(self) -> Plan: ...
    def classifier(self) -> Classifier: ...


@dataclass(frozen=True)
class Engine:
    """One way to compute logits: a module with `scorer(run, precision)`, and `dropout_scorer` where there is dropout."""

    help: str
    module: str
    extra: str
    """What `pip install 'rankwise[EXTRA]'` must have installed."""
    precision: str = "fp32"
    dropout: bool = False
    shares: bool = False
    """Whether runs that are served on it keep one encoder, where they can."""
    exports: bool = False
    """Whether its module has `is_made(run)`, for it reads a file that has to be made first."""

    def is_ready(self, run: SavedRun) -> bool:
        """Whether what it reads is there. Raises MissingExtra."""
        return not self.exports or bool(self._module().is_made(run))

    def scorer(self, run: SavedRun) -> Scorer:
        """The run's classifier. Raises MissingExtra, ModelError or RunError."""
        return cast("Scorer", self._module().scorer(run, self.precision))

    def dropout_scorer(self, run: SavedRun) -> DropoutScorer:
        """The run's classifier with dropout on, for Monte Carlo dropout."""
        return cast("DropoutScorer", self._module().dropout_scorer(run, self.precision))

    def _module(self) -> Any:
        """Its module. Raises MissingExtra, which names other engines too."""
        try:
            return require(self.module, extra=self.extra)
        except MissingExtra as missing:
            others = " or ".join(name for name, engine in ENGINES.items() if engine.extra != self.extra)
            raise MissingExtra(f"{missing}; or use what another extra brings: --engine {others}") from missing


ENGINES = {
    "torch": Engine("fp32", "rankwise.run.engines.torch", extra="train", dropout=True, shares=True),
    "fast": Engine(
        "bf16 where the hardware has it", "rankwise.run.engines.torch", extra="train", precision="auto", dropout=True
    ),
    "onnx": Engine("ONNX Runtime (extra onnx)", "rankwise.run.engines.onnx", extra="onnx", exports=True),
    "onnx-int8": Engine(
        "the same in 8 bits, once rankwise export has made it", "rankwise.run.engines.onnx_int8", extra="onnx"
    ),
    "openvino": Engine("OpenVINO, once rankwise export has made it", "rankwise.run.engines.openvino", extra="openvino"),
}
"""Every engine by name; the first is what a run uses unless told otherwise."""

HELP = "; ".join(f"{name}: {engine.help}" for name, engine in ENGINES.items()) + "."


def engine_called(name: str) -> Engine:
    """The engine of that name. Raises ModelError for a name that is none."""
    if name not in ENGINES:
        raise ModelError(f"engine '{name}'; expected one of {', '.join(ENGINES)}{nearest(name, ENGINES)}")
    return ENGINES[name]
