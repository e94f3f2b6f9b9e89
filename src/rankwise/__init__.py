"""Spend a budget of trainable parameters wisely: plan, train, prove and hand over text classifiers.

Names are imported when first used, so `import rankwise` costs milliseconds and loads no torch.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rankwise.data.prepare import prepare as prepare
    from rankwise.errors import RankwiseError as RankwiseError
    from rankwise.evaluation import evaluate as evaluate
    from rankwise.pipeline import train as train
    from rankwise.planner import Plan as Plan
    from rankwise.planner import plan as plan
    from rankwise.recipe import Recipe as Recipe
    from rankwise.recipe import builtin_recipes as builtin_recipes
    from rankwise.run import Run as Run

_HOME = {
    "Plan": "rankwise.planner",
    "RankwiseError": "rankwise.errors",
    "Recipe": "rankwise.recipe",
    "Run": "rankwise.run",
    "builtin_recipes": "rankwise.recipe",
    "evaluate": "rankwise.evaluation",
    "plan": "rankwise.planner",
    "prepare": "rankwise.data.prepare",
    "train": "rankwise.pipeline",
}

__all__ = [*sorted(_HOME), "__version__"]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version("rankwise")
    if name not in _HOME:
        raise AttributeError(f"module 'rankwise' has no attribute '{name}'")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
