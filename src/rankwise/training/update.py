"""One update's gradients: forward and backward over its micro-batches, summed over processes.

Shapes: B rows, W windows of theirs, which are as many where texts are short, C classes.
"""

from collections.abc import Iterator

import numpy as np
import torch
from accelerate import Accelerator

from rankwise.data.batches import Rows, collate
from rankwise.model.classifier import Classifier, to_tensors
from rankwise.model.hidden_cache import HiddenStates
from rankwise.planning.memory import GB, halved
from rankwise.recipe import TrainSpec
from rankwise.system.device import Device
from rankwise.system.events import Events
from rankwise.system.memory import TRIM_EVERY, Ceiling, is_out_of_memory
from rankwise.training.cuda_graphs import Graphs, Micro
from rankwise.training.events import MemoryRanOut
from rankwise.training.job import Job
from rankwise.training.loss import Contrast, Loss, loss_of, text_means
from rankwise.training.parts import Parts


class Update:
    """Gradients of one update: forward and backward over its micro-batches, smaller ones from then on if memory runs out.

    Each process computes its share of the rows. `hidden` are the training texts' states that enter the lowest adapted layer,
    where they are known; `parts` may add to the loss.
    """

    def __init__(
        self,
        job: Job,
        accelerator: Accelerator,
        hidden: HiddenStates | None,
        scaler: torch.amp.GradScaler,
        parts: Parts,
        events: Events,
    ) -> None:
        self.job, self.accelerator, self.hidden = job, accelerator, hidden
        self.scaler, self.parts, self.events = scaler, parts, events
        self.classifier, self.train, self.spec = job.classifier, job.data.train, job.recipe.train
        self.windows = self.train.tokens.window_counts  # (N,)
        labels = torch.from_numpy(self.train.labels)
        self._labels = labels.float() if labels.is_floating_point() else labels  # some devices have no doubles
        self.trained = list(self.classifier.trainable().values())
        self.loss: Loss = loss_of(self.spec, job.data, self.classifier.device)
        self.contrast = Contrast(self.classifier, self.spec.contrast) if self.spec.contrast else None
        self.graphs: Graphs | None = None
        """How a GPU's passes are recorded; None where they are computed one by one."""
        forward = self.classifier.forward
        if forward is not None and records(self.classifier, self.spec):
            longest = int(self.train.tokens.lengths.max())
            self.graphs = Graphs(
                device=self.classifier.device, padding=job.padding, longest=longest, forget=forward.forget_adapted
            )
        self.micro_batch_size = job.forecast.micro_batch_size
        limit = job.forecast.memory_gb if job.device.is_cpu else None  # resident memory says nothing of a GPU's
        self.ceiling = Ceiling(limit * GB if limit else None)

    def __call__(self, rows: Rows) -> tuple[float, float]:
        """Loss and right answers of an update's rows; gradients, summed over processes, are left in place."""
        mine = rows[self.accelerator.process_index :: self.accelerator.num_processes]
        return self._all_reduce(*self._within_memory(mine, self.loss.weight_of(rows)))

    def clear(self, step: int) -> None:
        """Make ready for the next update: gradients are cleared, freed memory goes back, and a memory limit is kept."""
        if self.graphs is None:
            for weight in self.trained:
                weight.grad = None
        else:  # recorded passes add to gradients where they are
            torch._foreach_zero_([weight.grad for weight in self.trained if weight.grad is not None])
        self.micro_batch_size = self.ceiling.micro_batch(self.micro_batch_size)
        if step % TRIM_EVERY == 0:
            self.job.device.trim()

    def _within_memory(self, mine: Rows, weight: float) -> tuple[float, float]:
        """As `_accumulate`, with micro-batches halved until they fit into memory. Raises OverMemory after one row."""
        while True:
            try:
                return self._accumulate(mine, weight)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self.micro_batch_size = halved(self.micro_batch_size)
                if self.graphs is not None:
                    self.graphs.clear()
                self.classifier.model.zero_grad(set_to_none=True)
                self.events.emit(MemoryRanOut(micro_batch_size=self.micro_batch_size))

    def _accumulate(self, mine: Rows, weight: float) -> tuple[float, float]:
        """Loss and right answers of this process's rows; `weight` is what all rows of the update weigh."""
        device = self.classifier.device
        sums = torch.zeros(2, dtype=torch.float64, device=self.job.device.for_doubles)  # loss, right answers
        for rows in self._micro_batches(mine):
            windows = self.train.tokens.windows(rows)  # (W,)
            micro = Micro(
                to_tensors(collate(self.train.tokens, windows, self.job.padding)),
                self._labels[torch.from_numpy(rows)],
                torch.tensor(weight),
                None if self.hidden is None else self.hidden.take(windows, device),
                None if len(windows) == len(rows) else torch.from_numpy(self.windows[rows]),
            )
            graphs = self.graphs if micro.windows is None else None
            passed = self._backward(micro.to(device)) if graphs is None else graphs(micro, self._backward)
            sums += passed.to(sums.device).to(sums.dtype)  # in two steps: Apple's GPUs have no doubles
        for penalty in self.parts.penalties():
            self.scaler.scale(penalty).backward()  # type: ignore[no-untyped-call]
            sums[0] += penalty.detach().to(sums.device).to(sums.dtype)
        loss, right = sums.tolist()  # here a GPU is waited for
        return loss, right

    def _micro_batches(self, mine: Rows) -> Iterator[Rows]:
        """Rows that together have no more windows than a micro-batch holds, one row at least."""
        ends, start = np.cumsum(self.windows[mine]), 0
        while start < len(mine):
            before = ends[start - 1] if start else 0
            end = max(start + 1, int(np.searchsorted(ends, before + self.micro_batch_size, side="right")))
            yield mine[start:end]
            start = end

    def _backward(self, micro: Micro) -> torch.Tensor:
        """Forward and backward: gradients are added to, (2,) the loss and the right answers."""
        logits = self.classifier.logits(
            micro.inputs, precision=self.job.precision, speed=self.spec.speed, entering=micro.entering
        )  # (W, C)
        logits = text_means(logits, micro.windows)  # (B, C)
        loss = self.loss(logits, micro.labels)
        if self.contrast is not None:
            loss = loss + self.contrast(micro.labels, micro.windows)
        loss = loss / micro.weight
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        right = self.loss.right(logits.detach(), micro.labels)
        return torch.stack([loss.detach(), right.to(loss.dtype)])

    def _all_reduce(self, loss: float, right: float) -> tuple[float, float]:
        """Gradients, loss and right answers summed over processes: one small message, for under a million numbers train."""
        if self.accelerator.num_processes == 1:
            return loss, right
        for weight in self.trained:
            if weight.grad is None:  # a process that had no row of this update
                weight.grad = torch.zeros_like(weight)
        gradients = [weight.grad for weight in self.trained if weight.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients] + [gradients[0].new_tensor([loss, right])])
        flat = self.accelerator.reduce(flat, "sum")
        for gradient, summed in zip(gradients, flat.split([gradient.numel() for gradient in gradients] + [2]), strict=False):
            gradient.copy_(summed.view_as(gradient))
        return float(flat[-2]), float(flat[-1])


def records(classifier: Classifier, spec: TrainSpec) -> bool:
    """Whether passes are recorded: on a GPU, in families that have a fast path, with weights that are plain numbers."""
    on = Device(classifier.device).runs_cuda and spec.speed.graphs and not spec.contrast
    return on and classifier.plan.adapter.quantize == "none"
