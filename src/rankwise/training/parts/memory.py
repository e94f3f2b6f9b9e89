"""Memory between updates: gradients are cleared, freed memory goes back to the system, and a limit is kept."""

from __future__ import annotations

from collections.abc import Callable

from rankwise.system.device import Device
from rankwise.system.memory import TRIM_EVERY, peak_resident_bytes, resident_bytes, return_freed_memory
from rankwise.training.parts import Part, Step
from rankwise.training.update import Update

NEAR = 0.85  # of a memory limit, from where freed memory is given back after each update


class Memory(Part):
    """Clears what an update leaves behind. It comes last, for other parts read the gradients."""

    def __init__(self, update: Update, device: Device, limit_bytes: float | None) -> None:
        self.update = update
        self.device = device
        self.ceiling = Ceiling(limit_bytes)

    def after_update(self, step: Step) -> None:
        self.update.zero_gradients()
        self.update.micro_batch_size = self.ceiling.micro_batch(self.update.micro_batch_size)
        if step.number % TRIM_EVERY == 0:
            self.device.trim()

    def after_scoring(self) -> None:
        return_freed_memory()


class Ceiling:
    """Keeps a training under a limit of resident memory: freed memory goes back as it nears, fewer rows when it is passed.

    Ask `micro_batch` after each update for the rows of the next one's micro-batches. A limit of None asks for nothing.
    """

    def __init__(
        self,
        limit_bytes: float | None,
        *,
        resident: Callable[[], int | None] = resident_bytes,
        peak: Callable[[], int | None] = peak_resident_bytes,
        give_back: Callable[[], bool] = return_freed_memory,
    ) -> None:
        self.limit_bytes = limit_bytes
        self._resident, self._peak, self._give_back = resident, peak, give_back
        self._highest = peak() or 0

    def micro_batch(self, size: int) -> int:
        """`size`, or half of it, rounded up, where memory has just passed the limit; at least 1."""
        if self.limit_bytes is None:
            return size
        highest = self._peak() or 0
        passed = highest > max(self.limit_bytes, self._highest)
        self._highest = max(self._highest, highest)
        if passed or (self._resident() or 0) > NEAR * self.limit_bytes:
            self._give_back()
        return -(-size // 2) if passed else size
