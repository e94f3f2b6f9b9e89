"""What a recipe may say: one frozen spec per question, each field documented by the text under it.

Conventions: `C` classes, `R` rank. A share is written `6%` (or a number below 1); a count is a whole number. The same texts
become `--help`, the schema and the reference page, so there is one place to read and one place to change.
"""

from __future__ import annotations

from rankwise.recipe.adapter import (
    SHORT_KINDS,
    AdapterSpec,
    BudgetSpec,
    ByDepth,
    ByImportance,
    Explicit,
    Fibonacci,
    FirstAndLast,
    Fraction,
    HeadSpec,
    Kind,
    LastK,
    Policy,
    Rank,
    Uniform,
)
from rankwise.recipe.data import AFTER_READING, CleanStep, DataSpec, ShiftKind, Source, SourceSpec, SplitSpec
from rankwise.recipe.recipe import Recipe, builtin_recipes
from rankwise.recipe.train import (
    EarlyStopSpec,
    EvaluateSpec,
    Metric,
    Optimizer,
    OptimizerSpec,
    Published,
    RatesSpec,
    Schedule,
    SpeedSpec,
    TrainSpec,
)
from rankwise.recipe.values import Column, Columns, Count, Positive, Share, ShareOrCount, Spec

__all__ = [
    "AFTER_READING",
    "SHORT_KINDS",
    "AdapterSpec",
    "BudgetSpec",
    "ByDepth",
    "ByImportance",
    "CleanStep",
    "Column",
    "Columns",
    "Count",
    "DataSpec",
    "EarlyStopSpec",
    "EvaluateSpec",
    "Explicit",
    "Fibonacci",
    "FirstAndLast",
    "Fraction",
    "HeadSpec",
    "Kind",
    "LastK",
    "Metric",
    "Optimizer",
    "OptimizerSpec",
    "Policy",
    "Positive",
    "Published",
    "Rank",
    "RatesSpec",
    "Recipe",
    "Schedule",
    "Share",
    "ShareOrCount",
    "ShiftKind",
    "Source",
    "SourceSpec",
    "Spec",
    "SpeedSpec",
    "SplitSpec",
    "TrainSpec",
    "Uniform",
    "builtin_recipes",
]
