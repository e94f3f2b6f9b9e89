"""Spend a budget of trainable parameters wisely: plan, train, prove and hand over text classifiers.

Names are imported when first used, so `import rankwise` costs milliseconds and loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rankwise.errors import told_extras

if TYPE_CHECKING:
    from rankwise.data.prepare import prepare as prepare
    from rankwise.errors import RankwiseError as RankwiseError
    from rankwise.inference.evaluation import evaluate as evaluate
    from rankwise.inference.predict import Prediction as Prediction
    from rankwise.integrations.estimator import RankwiseClassifier as RankwiseClassifier
    from rankwise.planning.plan import Plan as Plan
    from rankwise.planning.plan import plan as plan
    from rankwise.recipe.recipe import Recipe as Recipe
    from rankwise.recipe.recipe import builtin_recipes as builtin_recipes
    from rankwise.run.folder import Run as Run
    from rankwise.workflows.suggest import suggest as suggest
    from rankwise.workflows.train import train as train

_HOME = {
    "Plan": "rankwise.planning.plan",
    "Prediction": "rankwise.inference.predict",
    "RankwiseClassifier": "rankwise.integrations.estimator",
    "RankwiseError": "rankwise.errors",
    "Recipe": "rankwise.recipe",
    "Run": "rankwise.run.folder",
    "builtin_recipes": "rankwise.recipe",
    "evaluate": "rankwise.inference.evaluation",
    "plan": "rankwise.planning.plan",
    "prepare": "rankwise.data.prepare",
    "suggest": "rankwise.workflows.suggest",
    "train": "rankwise.workflows.train",
}

__all__ = [*sorted(_HOME), "__version__"]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("rankwise")
    if name not in _HOME:
        raise AttributeError(f"module 'rankwise' has no attribute '{name}'")
    with told_extras():
        return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
