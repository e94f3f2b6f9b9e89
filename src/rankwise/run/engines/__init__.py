"""What computes a run's logits: a row for each engine, which names the function that loads it, imported when it is asked for.

An engine is a row here and a module beside this file. The command line reads the rows, so nothing heavy is imported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rankwise.errors import MissingExtra, ModelError, nearest, require

if TYPE_CHECKING:
    from rankwise.run.engines.saved import SavedRun


@dataclass(frozen=True)
class Engine:
    """One way to compute logits."""

    name: str
    help: str
    scorer: str
    """`module:function`, from a SavedRun to its Scorer."""
    extra: str
    """What `pip install 'rankwise[EXTRA]'` must have installed."""
    dropout: str | None = None
    """`module:function`, from a SavedRun to the scorer of Monte Carlo dropout; None where there is no dropout."""

    def load(self, function: str, run: SavedRun) -> Any:
        """What one of the functions above makes of a run. Raises MissingExtra, ModelError or RunError."""
        module, _, name = function.partition(":")
        try:
            return getattr(require(module, extra=self.extra), name)(run)
        except MissingExtra as missing:
            if function != self.scorer:
                raise
            others = " or ".join(engine.name for engine in ENGINES.values() if engine.extra != self.extra)
            raise MissingExtra(f"{missing}; or use what another extra brings: --engine {others}") from missing


ENGINES = {
    engine.name: engine
    for engine in (
        Engine(
            "torch",
            "fp32",
            scorer="rankwise.run.engines.torch:scorer",
            extra="train",
            dropout="rankwise.run.engines.torch:dropout_scorer",
        ),
        Engine(
            "fast",
            "bf16 where the hardware has it",
            scorer="rankwise.run.engines.torch:fast_scorer",
            extra="train",
            dropout="rankwise.run.engines.torch:fast_dropout_scorer",
        ),
        Engine("onnx", "ONNX Runtime (extra onnx)", scorer="rankwise.run.engines.onnx:scorer", extra="onnx"),
    )
}
"""Every engine by name; the first is what a run uses unless told otherwise."""

HELP = "; ".join(f"{engine.name}: {engine.help}" for engine in ENGINES.values()) + "."


def engine_called(name: str) -> Engine:
    """The engine of that name. Raises ModelError for a name that is none."""
    if name not in ENGINES:
        raise ModelError(f"engine '{name}'; expected one of {', '.join(ENGINES)}{nearest(name, ENGINES)}")
    return ENGINES[name]
