"""A training that is ready to start: what a recipe, its data and a device come to. `workflows.assemble` makes one."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch

from rankwise.data.batches import Padding
from rankwise.data.labelled import Labelled
from rankwise.data.prepare import Prepared
from rankwise.data.shifts import Shifted
from rankwise.data.tasks import Regression, Task
from rankwise.encoders.base import Base
from rankwise.inference.words import Words
from rankwise.model.adapters import build
from rankwise.model.classifier import Classifier
from rankwise.model.load import check_match
from rankwise.planning.forecast import Forecast, forecast
from rankwise.planning.plan import Plan
from rankwise.planning.workload import Work
from rankwise.recipe import Recipe
from rankwise.system.device import Device
from rankwise.system.speed import Throughput
from rankwise.system.torch_speed import Speed
from rankwise.training.events import ValidationScores


def cost_of(plan: Plan, recipe: Recipe, work: Work, *, speed: Speed, precision: str, device: Device) -> Forecast:
    """What a training costs on a device. Raises OverTime and OverMemory."""
    bf16, gpu = precision != "fp32", not device.is_cpu
    return forecast(
        plan, recipe, work, gflops=speed.gflops, threads=speed.threads, bf16=bf16, gpu=gpu, measured=speed.measured
    )


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
    head: Mapping[str, torch.Tensor] | None = None
    """The fitted start of the head's last projection, where it is known, by the names of its own parameters."""
    held_out: ValidationScores | None = None
    """Scores of the training rows by classifiers that did not train on them, which stand where no validation rows are."""
    words: Words | None = None
    """What counts words in the encoder's place, once it is fitted; then no classifier is built."""

    @cached_property
    def classifier(self) -> Classifier:
        """The planned classifier, loaded on first use, so that what runs before training has the memory to itself.

        Raises ModelError, PlanError and BudgetMismatch as `build` does.
        """
        how: dict[str, Any] = {"seed": self.recipe.train.seed, "problem_type": self.data.task.problem_type}
        classifier = build(self.base, self.plan, self.data.classes, **how)
        check_match(self.tokenizer, classifier.model, self.recipe.base)
        return classifier

    @property
    def base_sha256(self) -> str | None:
        """The digest of the base's weights, which are loaded for it where they come from the hub."""
        if self.base.sha256 is None and self.words is None:
            _ = self.classifier
        return self.base.digest()

    def forecast_by(self, measured: Throughput) -> "Job":
        """The same job, without its classifier, its forecast made from what was measured of that."""
        speed, work = replace(self.speed, measured=measured), self.forecast.work
        cost = cost_of(self.plan, self.recipe, work, speed=speed, precision=self.precision, device=self.device)
        return replace(self, speed=speed, forecast=cost)

    @property
    def trained_parameters(self) -> int:
        """How many there are, counted in what trained."""
        if self.words is not None:
            return self.words.parameters
        return sum(weight.numel() for weight in self.classifier.trainable().values())

    @property
    def holds_classifier(self) -> bool:
        """Whether the classifier is loaded."""
        return "classifier" in vars(self)

    def deciding_as(self, task: Task) -> "Job":
        """The same job, with its classifier where that is loaded, and what the task has chosen by held-out rows."""
        chosen = replace(self.data.preprocessing, **task.remembered)
        job = replace(self, data=replace(self.data, preprocessing=chosen, task=task))
        if self.holds_classifier:
            vars(job)["classifier"] = self.classifier
        return job

    def in_units(self) -> "Job":
        """The same job, trained: where a head has learnt standardised numbers, its last layer gives them in their unit.

        It is changed in place, so this is done once, when no further update is made.
        """
        task = self.data.task
        if not isinstance(task, Regression):
            return self
        if self.words is None:
            last = self.classifier.last_projection
            with torch.no_grad():
                last.weight.mul_(task.deviation)
                last.bias.mul_(task.deviation).add_(task.mean)
        return self.deciding_as(task.in_units)

    def release_classifier(self) -> None:
        """Let go of the classifier and its memory; the next use loads it as it starts."""
        vars(self).pop("classifier", None)

    @cached_property
    def padding(self) -> Padding:
        """How the tokenizer fills up short texts."""
        return Padding.of(self.tokenizer)
