"""A training that is ready to start: what a recipe, its data and a device come to. `workflows.assemble` makes one."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from rankwise.data.batches import Padding
from rankwise.data.labelled import Labelled
from rankwise.data.prepare import Prepared
from rankwise.data.shifts import Shifted
from rankwise.encoders.base import Base
from rankwise.model.adapters import build
from rankwise.model.classifier import Classifier
from rankwise.model.load import check_match
from rankwise.planning.forecast import Forecast
from rankwise.planning.memory import GB
from rankwise.planning.plan import Plan
from rankwise.recipe import Recipe
from rankwise.system.device import Device
from rankwise.system.torch_speed import Speed


@dataclass(frozen=True)
class Sizes:
    """How many rows run at a time, and the memory they may take."""

    micro_batch: int
    """Rows of a forward and backward pass."""
    evaluation_batch: int
    """Rows of a forward pass that scores."""
    memory_limit_bytes: float | None = None
    """Resident memory that training stays under, with smaller micro-batches if it must; None for no limit."""

    @classmethod
    def of(cls, forecast: Forecast, device: Device) -> Sizes:
        """The sizes that a forecast found to fit; a limit of resident memory says nothing about a GPU's."""
        limit = forecast.memory_gb * GB if forecast.memory_gb and device.is_cpu else None
        return cls(forecast.micro_batch_size, forecast.evaluation_batch_size, limit)


@dataclass(frozen=True)
class Job:
    """All that `fit` trains, and how."""

    recipe: Recipe
    labelled: Labelled = field(repr=False)
    plan: Plan
    base: Base
    tokenizer: Any = field(repr=False)
    data: Prepared = field(repr=False)
    shifted: tuple[Shifted, ...] = field(repr=False)
    """The validation texts under each kind of shift, where the worst of them chooses the checkpoint; else empty."""
    device: Device
    precision: str
    """fp32, bf16 or fp16, of the matmuls."""
    speed: Speed
    forecast: Forecast
    sizes: Sizes

    @cached_property
    def classifier(self) -> Classifier:
        """The planned classifier, loaded on first use, so that what runs before training has the memory to itself.

        Raises ModelError, PlanError and BudgetMismatch as `build` does.
        """
        classifier = build(self.base, self.plan, self.data.classes, seed=self.recipe.train.seed)
        check_match(self.tokenizer, classifier.model, self.recipe.base)
        return classifier

    @cached_property
    def padding(self) -> Padding:
        """How the tokenizer fills up short texts."""
        return Padding.of(self.tokenizer)
