"""Optimisers and their parameter groups, as the recipe says.

A parameter's rate is: the head's own for the head; else its depth tier's (or the recipe's), times the LoRA+ ratio for B
matrices (Hayou et al., arXiv 2402.12354), times the schedule's factor in [0, 1]. Weight decay falls on matrices only, as
transformers' Trainer has it for a model without an adapter; an adapter's vectors are scales and biases too.
"""

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from rankwise.encoders.encoder import Encoder
from rankwise.model.classifier import Classifier
from rankwise.model.methods import factor_of
from rankwise.planning.policies import depth_group
from rankwise.recipe import OptimizerSpec, TrainSpec
from rankwise.system.device import Device

Group = dict[str, Any]


def parameter_groups(classifier: Classifier, spec: TrainSpec) -> list[Group]:
    """Groups of trained parameters with `name`, `params`, `lr` (the peak rate) and `weight_decay`."""
    encoder = classifier.plan.encoder
    groups: dict[tuple[str, float, float], list[nn.Parameter]] = defaultdict(list)
    for name, weight in classifier.trainable().items():
        label, rate = learning_rate(name, encoder, spec, factor=factor_of(name))
        decay = spec.optimizer.weight_decay if classifier.method.is_matrix(name, weight) else 0.0
        groups[label, rate, decay].append(weight)
    return [
        {"name": label, "params": weights, "lr": rate, "peak_lr": rate, "weight_decay": decay}
        for (label, rate, decay), weights in groups.items()
    ]


def learning_rate(name: str, encoder: Encoder, spec: TrainSpec, *, factor: str | None) -> tuple[str, float]:
    """(a label for its group, the peak rate) of a trained parameter; `factor` is A or B in a low-rank adapter."""
    if any(f".{module}." in f".{name}" for module in encoder.head_modules) and encoder.layer_of(name) is None:
        return "head", spec.rates.head or spec.learning_rate
    tiers = spec.rates.tiers
    tier = depth_group(encoder.depth_of(name), encoder.layers, len(tiers)) if tiers else None
    rate = spec.learning_rate if tier is None else tiers[tier]
    label = "encoder" if tier is None else f"tier {tier + 1}"
    if factor == "B":
        rate *= spec.rates.b_over_a
    return (f"{label} {factor}" if factor else label), rate


def schedule_factor(step: float, *, total: int, spec: TrainSpec) -> float:
    """The factor on every peak rate, in [0, 1], for update `step` (from 0) of `total`; a plateau's halvings come on top."""
    warmup = warmup_steps(spec, total)
    if step < warmup:
        return (step + 1) / (warmup + 1)  # transformers starts at 0, which spends the first update on nothing
    if spec.schedule in ("constant", "reduce-on-plateau"):
        return 1.0
    left = max(0.0, (total - step) / max(1, total - warmup))
    if spec.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * (1 - left)))
    return left**spec.power if spec.schedule == "polynomial" else left


def warmup_steps(spec: TrainSpec, total: int) -> int:
    """Warm-up in updates; a number below 1 is a share of all updates, rounded up."""
    return math.ceil(spec.warmup * total) if spec.warmup < 1 else int(spec.warmup)


def build_optimizers(classifier: Classifier, spec: TrainSpec) -> list[torch.optim.Optimizer]:
    """The optimisers that together update every trained parameter once: one, or two with Muon."""
    groups = parameter_groups(classifier, spec)
    if spec.optimizer.name != "muon":
        return [_optimizer(groups, spec.optimizer)]
    matrices: list[Group] = []
    rest: list[Group] = []
    for group in groups:
        is_matrix = group["name"].endswith((" A", " B")) and all(weight.ndim == 2 for weight in group["params"])
        (matrices if is_matrix else rest).append(group)
    others = spec.optimizer.model_copy(update={"name": "adamw"})
    optimizers = [_optimizer(rest, others)] if rest else []
    if matrices:  # match_rms_adamw makes one learning rate mean about the same as AdamW's (Moonlight, arXiv 2502.16982)
        muon = torch.optim.Muon(matrices, momentum=spec.optimizer.momentum or 0.95, adjust_lr_fn="match_rms_adamw")
        optimizers.insert(0, muon)
    return optimizers


class Optimizers:
    """The optimisers of a training, taken as one, and fp16's loss scale, which does nothing in other precisions."""

    def __init__(self, classifier: Classifier, spec: TrainSpec, *, precision: str = "fp32", rate_factor: float = 1.0) -> None:
        """`rate_factor` is what every rate is multiplied by, all the time."""
        self.spec, self.rate_factor = spec, rate_factor
        self.trained = list(classifier.trainable().values())
        self.optimizers = build_optimizers(classifier, spec)
        self.scaler = torch.amp.GradScaler(classifier.device.type, enabled=precision == "fp16")

    @property
    def rate(self) -> float:
        """The learning rate of the first group."""
        return float(self.optimizers[0].param_groups[0]["lr"])

    def set_rates(self, step: float, *, total: int, stalls: int = 0) -> None:
        """Every group's rate := its peak times `rate_factor` and the schedule's factor for update `step` (from 0) of `total`.

        On a plateau, halved by each of `stalls` evaluations that were no better than the best before them.
        """
        halved = 0.5**stalls if self.spec.schedule == "reduce-on-plateau" else 1.0
        factor = self.rate_factor * halved * schedule_factor(step, total=total, spec=self.spec)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak_lr"] * factor

    def step(self) -> torch.Tensor:
        """Clip the gradients and update the weights, unless fp16 overflowed; the gradients' length before, ()."""
        for optimizer in self.optimizers:
            self.scaler.unscale_(optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self.trained, self.spec.clip_norm or math.inf)
        for optimizer in self.optimizers:
            self.scaler.step(optimizer)
        self.scaler.update()
        torch.autograd.graph.increment_version(self.trained)  # fused optimizers don't, and folded adapters go by it
        return norm

    def applied(self, norm: torch.Tensor) -> bool:
        """Whether `step`, which gave this length, changed the weights: not where fp16 overflowed."""
        return not self.scaler.is_enabled() or bool(torch.isfinite(norm))

    def state(self) -> tuple[dict[str, torch.Tensor], list[Any]]:
        """Tensors under `optimizer.parameter.key` and, of the loss scale, `scale.key`; the numbers that are no tensors."""
        tensors = {f"scale.{name}": torch.tensor(value) for name, value in self.scaler.state_dict().items()}
        numbers: list[Any] = []
        for position, optimizer in enumerate(self.optimizers):
            plain: dict[str, dict[str, Any]] = {}
            for index, values in optimizer.state_dict()["state"].items():
                for key, value in values.items():
                    if isinstance(value, torch.Tensor):
                        tensors[f"{position}.{index}.{key}"] = value.detach().cpu().contiguous().clone()
                    elif value is not None:
                        plain.setdefault(str(index), {})[key] = value
            numbers.append(plain)
        return tensors, numbers

    def load(self, tensors: Mapping[str, torch.Tensor], numbers: list[Any]) -> None:
        """Go on from what `state` gave; other tensors are left alone."""
        states = [{int(index): dict(values) for index, values in plain.items()} for plain in numbers]
        for name, tensor in tensors.items():
            owner, _, rest = name.partition(".")
            if owner.isdigit():
                index, _, key = rest.partition(".")
                states[int(owner)].setdefault(int(index), {})[key] = tensor
        for optimizer, state in zip(self.optimizers, states, strict=True):
            optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        self.scaler.load_state_dict({name: tensors[f"scale.{name}"].item() for name in self.scaler.state_dict()})


def _optimizer(groups: list[Group], spec: OptimizerSpec) -> torch.optim.Optimizer:
    if spec.name == "rmsprop":
        return torch.optim.RMSprop(groups, eps=spec.eps, momentum=spec.momentum)
    if spec.name == "sgd":
        return torch.optim.SGD(groups, momentum=spec.momentum)
    kind = torch.optim.Adam if spec.name == "adam" else torch.optim.AdamW
    fused = all(Device(weight.device).fuses_optimizers for group in groups for weight in group["params"])
    return kind(groups, betas=spec.betas, eps=spec.eps, fused=fused or None)  # one kernel for all tensors
