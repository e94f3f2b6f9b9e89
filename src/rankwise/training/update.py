"""One update's gradients: forward and backward over its micro-batches, summed over processes.

The loss of a micro-batch is summed and divided by what the rows of the whole update weigh, so that cutting an update up
changes nothing but memory. Shapes: B rows, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch.nn.functional import cross_entropy

from rankwise.data.batches import Padding, Rows, collate
from rankwise.data.prepare import Split
from rankwise.model.classifier import Classifier
from rankwise.model.hidden_cache import HiddenStates
from rankwise.model.passes import to_tensors
from rankwise.planning.memory import halved
from rankwise.recipe import TrainSpec
from rankwise.system.device import Device
from rankwise.system.events import Events, MemoryRanOut
from rankwise.system.memory import is_out_of_memory
from rankwise.training.cuda_graphs import Graphs, Micro


@dataclass(frozen=True)
class LossScale:
    """fp16's loss scale as a part of a checkpoint, so that a resumed run skips no update that a whole one makes."""

    scaler: torch.amp.GradScaler

    def state(self) -> dict[str, torch.Tensor]:
        return {name: torch.tensor(value) for name, value in self.scaler.state_dict().items()}

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        self.scaler.load_state_dict({name: value.item() for name, value in state.items()})


class Update:
    """Gradients of one update: forward and backward over its micro-batches, smaller ones from then on if memory runs out."""

    def __init__(
        self,
        classifier: Classifier,
        train: Split,
        spec: TrainSpec,
        padding: Padding,
        precision: str,
        weights: torch.Tensor | None,
        scaler: torch.amp.GradScaler,
        prefix: HiddenStates | None,
        events: Events,
    ) -> None:
        self.trained = list(classifier.trainable().values())
        self.classifier, self.train, self.spec, self.padding, self.precision = classifier, train, spec, padding, precision
        self.weights, self.scaler, self.prefix, self.events = weights, scaler, prefix, events
        device, forward = classifier.device, classifier.forward
        self.on_device = None if weights is None else weights.to(device)
        self.graphs: Graphs | None = None
        """How a GPU's passes are recorded; None where they are computed one by one."""
        if forward is not None and records(classifier, spec):
            longest = int(train.tokens.lengths.max())
            self.graphs = Graphs(device=device, padding=padding, longest=longest, forget=forward.forget_adapted)
        self.micro_batch_size = spec.micro_batch_size or spec.batch_size
        self.penalty: Callable[[], torch.Tensor] | None = None
        """What is added to an update's loss, whatever its rows."""

    def __call__(self, mine: Rows, rows: Rows) -> tuple[float, int]:
        """Loss and right answers of this process's rows, out of all `rows` of the update; gradients are left in place."""
        while True:
            try:
                return self._accumulate(mine, _weight_of(rows, self.train, self.weights))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self.micro_batch_size = halved(self.micro_batch_size)
                if self.graphs is not None:
                    self.graphs.clear()
                self.classifier.model.zero_grad(set_to_none=True)
                self.events.emit(MemoryRanOut(micro_batch_size=self.micro_batch_size))

    def _accumulate(self, mine: Rows, weight: float) -> tuple[float, int]:
        device = self.classifier.device
        found = torch.zeros(2, dtype=torch.float64, device=Device(device).for_doubles)  # loss, right answers
        for start in range(0, len(mine), self.micro_batch_size):
            micro = mine[start : start + self.micro_batch_size]
            read = Micro(
                to_tensors(collate(self.train.tokens, micro, self.padding)),
                torch.from_numpy(self.train.labels[micro]),
                torch.tensor(weight),
                None if self.prefix is None else self.prefix.take(micro, device),
            )
            passed = self._backward(read.to(device)) if self.graphs is None else self.graphs(read, self._backward)
            found += passed.to(found.device).to(found.dtype)  # in two steps: Apple's GPUs have no doubles
        if self.penalty is not None:
            penalty = self.penalty()
            self.scaler.scale(penalty).backward()  # type: ignore[no-untyped-call]
            found[0] += penalty.detach().to(found.device).to(found.dtype)
        loss_sum, rights = found.tolist()  # here a GPU is waited for
        return loss_sum, round(rights)

    def _backward(self, micro: Micro) -> torch.Tensor:
        """Forward and backward: gradients are added to, (2,) the loss and the right answers."""
        logits = self.classifier.logits(
            micro.inputs, precision=self.precision, speed=self.spec.speed, entering=micro.entering
        )  # (B, C)
        loss = _loss(logits, micro.labels, self.on_device, self.spec) / micro.weight
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        right = (logits.detach().argmax(-1) == micro.labels).sum()
        return torch.stack([loss.detach(), right.to(loss.dtype)])

    def zero_gradients(self) -> None:
        """Between updates; recorded passes add to gradients where they are."""
        if self.graphs is None:
            for weight in self.trained:
                weight.grad = None
        else:
            torch._foreach_zero_([weight.grad for weight in self.trained if weight.grad is not None])


def records(classifier: Classifier, spec: TrainSpec) -> bool:
    """Whether passes are recorded: on a GPU, in families that we compute ourselves, with weights that are plain numbers."""
    return Device(classifier.device).records_passes and spec.speed.graphs and classifier.plan.adapter.quantize == "none"


def shared(accelerator: Accelerator, trained: list[torch.nn.Parameter], loss: float, right: int) -> tuple[float, int]:
    """Gradients, loss and right answers summed over the processes: one small message, for under a million numbers train."""
    if accelerator.num_processes == 1:
        return loss, right
    for weight in trained:
        if weight.grad is None:  # a process that had no row of this update
            weight.grad = torch.zeros_like(weight)
    gradients = [weight.grad for weight in trained if weight.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients] + [gradients[0].new_tensor([loss, right])])
    flat = accelerator.reduce(flat, "sum")
    for gradient, summed in zip(gradients, flat.split([gradient.numel() for gradient in gradients] + [2]), strict=False):
        gradient.copy_(summed.view_as(gradient))
    return float(flat[-2]), round(float(flat[-1]))


def _loss(logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None, spec: TrainSpec) -> torch.Tensor:
    """Summed cross-entropy of a micro-batch; `_weight_of` says what to divide by."""
    return cross_entropy(
        logits,
        labels,
        weight=None if weights is None else weights.to(logits),
        label_smoothing=spec.label_smoothing,
        reduction="sum",
    )


def _weight_of(rows: Rows, train: Split, weights: torch.Tensor | None) -> float:
    """What the rows of a whole update weigh together: their number, or the sum of their classes' weights."""
    if weights is None:
        return float(len(rows))
    return float(weights[torch.from_numpy(train.labels[rows])].sum())
