"""A training that is ready to start: what a recipe, its data and a device come to. `workflows.assemble` makes one."""

from dataclasses import dataclass
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
from rankwise.planning.plan import Plan
from rankwise.recipe import Recipe
from rankwise.system.device import Device
from rankwise.system.torch_speed import Speed


@dataclass(frozen=True, repr=False)
class Job:
    """All that `fit` trains, and how."""

    recipe: Recipe
    labelled: Labelled
    plan: Plan
    base: Base
    tokenizer: Any
    data: Prepared
    shifted: tuple[Shifted, ...]
    """The validation texts under each kind of shift, where the worst of them chooses the checkpoint; else empty."""
    device: Device
    precision: str
    """fp32, bf16 or fp16, of the matmuls."""
    speed: Speed
    forecast: Forecast
    """What it will cost, and how many rows run at a time, so that they fit into memory."""

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
