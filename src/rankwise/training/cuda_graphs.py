"""CUDA graphs: a GPU's work for a micro-batch recorded once for each width, then started by one call.

On a GPU a small encoder waits for Python, which starts each of an update's many kernels. A recorded pass is the same kernels
on the same numbers. Widths are rounded up to a multiple of WIDTH_STEP, so that few shapes are recorded; each is computed once
as usual before. Shapes: B rows, T tokens, H hidden.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Self

import torch
from torch.nn.functional import pad

from rankwise.data.batches import Padding
from rankwise.model.forward import Entering

WIDTH_STEP = 8
MOST_SHAPES = 64  # shapes that are recorded


@dataclass(frozen=True)
class Micro:
    """What forward and backward of a micro-batch read."""

    inputs: dict[str, torch.Tensor]
    """Token ids, mask and segments, (B, T)."""
    labels: torch.Tensor
    """Class numbers, (B,)."""
    weight: torch.Tensor
    """What the rows of the whole update weigh, ()."""
    entering: Entering | None = None
    windows: torch.Tensor | None = None
    """How many windows each text has, (B,), in `inputs`; None where each has one. What has more is not recorded."""

    @property
    def width(self) -> int:
        return int(self.inputs["input_ids"].shape[1])

    def padded(self, width: int, padding: Padding) -> Self:
        """The same rows with padding up to `width` tokens at their ends."""
        more = width - self.width
        values = {"input_ids": padding.token, "token_type_ids": padding.segment, "attention_mask": 0}
        inputs = {name: pad(tensor, (0, more), value=values[name]) for name, tensor in self.inputs.items()}
        entering = self.entering
        if entering is not None and entering.hidden.shape[1] > 1:  # past the last layer only the first token is known
            entering = entering._replace(hidden=pad(entering.hidden, (0, 0, 0, width - entering.hidden.shape[1])))
        return replace(self, inputs=inputs, entering=entering)

    def to(self, device: torch.device) -> Self:
        inputs = {name: tensor.to(device) for name, tensor in self.inputs.items()}
        entering = self.entering and self.entering._replace(hidden=self.entering.hidden.to(device))
        windows = None if self.windows is None else self.windows.to(device)
        return type(self)(inputs, self.labels.to(device), self.weight.to(device), entering, windows)

    def tensors(self) -> list[torch.Tensor]:
        """All that may differ from one micro-batch to the next, in one order."""
        known = [] if self.entering is None else [self.entering.hidden]
        return [*self.inputs.values(), self.labels, self.weight, *known]


Backward = Callable[[Micro], torch.Tensor]
"""Adds a micro-batch's gradients to the weights'; its loss and its right answers (2,), on its device."""


@dataclass(frozen=True)
class Recorded:
    """A pass that can be run again on what lies in `reads`; its answer comes into `answer`."""

    graph: torch.cuda.CUDAGraph
    reads: Micro
    answer: torch.Tensor


class Graphs:
    """A pass over micro-batches, recorded for each shape that comes again.

    Gradients must stay where they are from update to update: set them to zero, not to None. `forget` drops what a pass keeps
    for the next one. It is called before a recording, so that such things are computed within it, and after it, for a
    recording computes nothing.
    """

    def __init__(self, *, device: torch.device, padding: Padding, longest: int, forget: Callable[[], None]) -> None:
        self.device, self.padding, self.longest, self.forget = device, padding, longest, forget
        self.clear()

    def clear(self) -> None:
        """Forget all recordings, as when memory ran out or gradients moved."""
        self._recorded: dict[tuple[int, int], Recorded] = {}
        self._seen: Counter[tuple[int, int]] = Counter()
        self._pool: Any = None
        self._most = MOST_SHAPES

    def __call__(self, micro: Micro, backward: Backward) -> torch.Tensor:
        """The answer of `backward` for a micro-batch whose tensors may be anywhere, from a recording where there is one."""
        width = min(-(-micro.width // WIDTH_STEP) * WIDTH_STEP, self.longest)
        micro = micro.padded(width, self.padding)
        shape = (len(micro.labels), width)
        recorded = self._recorded.get(shape)
        if recorded is None:
            self._seen[shape] += 1
            here = micro.to(self.device)
            if self._seen[shape] == 1 or len(self._recorded) >= self._most:
                return backward(here)
            try:
                recorded = self._recorded[shape] = self.record(here, backward)
            except torch.OutOfMemoryError:  # it wants the pass's memory a second time; what is not recorded runs as it is
                self._most = len(self._recorded)
                return backward(here)
        for read, tensor in zip(recorded.reads.tensors(), micro.tensors(), strict=True):
            read.copy_(tensor)
        recorded.graph.replay()
        return recorded.answer

    def record(self, reads: Micro, backward: Backward) -> Recorded:
        """Record `backward` on `reads`, which computes nothing yet.

        All recordings work in one piece of memory, for they never run at the same time.
        """
        graph = torch.cuda.CUDAGraph()
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        self.forget()
        torch.cuda.synchronize()
        torch.cuda.empty_cache()  # a recording can't take what the usual passes hold ready
        try:
            with torch.cuda.stream(_side_stream()):
                graph.capture_begin(self._pool, capture_error_mode="thread_local")
                try:
                    answer = backward(reads)
                except BaseException:
                    with suppress(RuntimeError):  # the first error says what went wrong
                        graph.capture_end()
                    raise
                graph.capture_end()
        finally:
            self.forget()
        return Recorded(graph, reads, answer)


@cache
def _side_stream() -> torch.cuda.Stream:
    """The stream that all recordings are made on: recording wants one of its own, and a stream has working memory."""
    return torch.cuda.Stream()  # type: ignore[no-untyped-call]
