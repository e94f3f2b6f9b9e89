"""What a recipe may say: one frozen spec per question, each field documented by the text under it.

Conventions: `C` classes, `R` rank. A share is written `6%` (or a number below 1); a count is a whole number.
"""

from rankwise.recipe.adapter import AdapterSpec as AdapterSpec
from rankwise.recipe.adapter import BudgetSpec as BudgetSpec
from rankwise.recipe.adapter import ByImportance as ByImportance
from rankwise.recipe.adapter import HeadSpec as HeadSpec
from rankwise.recipe.data import AFTER_READING as AFTER_READING
from rankwise.recipe.data import DELIMITERS as DELIMITERS
from rankwise.recipe.data import DataSpec as DataSpec
from rankwise.recipe.data import SourceSpec as SourceSpec
from rankwise.recipe.recipe import Overrides as Overrides
from rankwise.recipe.recipe import Recipe as Recipe
from rankwise.recipe.recipe import Rung as Rung
from rankwise.recipe.recipe import builtin_recipes as builtin_recipes
from rankwise.recipe.train import EvaluateSpec as EvaluateSpec
from rankwise.recipe.train import OptimizerSpec as OptimizerSpec
from rankwise.recipe.train import SpeedSpec as SpeedSpec
from rankwise.recipe.train import TrainSpec as TrainSpec
from rankwise.recipe.values import Column as Column
