"""Memory in bytes: what this process may take, holds and has held at most, and how freed memory goes back to the system."""

import ctypes
import importlib
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from rankwise.system.procfs import ROOT, cgroups, numbers, whole_number

KERNEL_CACHES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")  # oneDNN's own, and torch's before it
TRIM_EVERY = 16  # updates or batches between two calls of return_freed_memory: costs next to nothing, keeps the peak flat
NEAR = 0.85  # of a memory limit, from where freed memory is given back after each update
OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "cublas_status_alloc_failed")


def available_bytes(root: Path = ROOT) -> int:
    """Memory that this process may still take, of the machine's or of the smallest cgroup around it.

    Where the system does not say what is free (macOS), that is all of it.
    """
    fields = numbers(root / "proc/meminfo")
    total = fields.get("MemTotal") or _physical_bytes()
    available = fields.get("MemAvailable", total)
    for folder in cgroups(root, "memory"):
        limit = whole_number(folder / "memory.max") or whole_number(folder / "memory.limit_in_bytes")
        if limit is None or limit >= total:  # version 1 writes "no limit" as a huge number
            continue
        held = numbers(folder / "memory.stat")
        reclaimable = held.get("inactive_file", held.get("total_inactive_file", 0))  # cached files, which can be given up
        used = whole_number(folder / "memory.current") or whole_number(folder / "memory.usage_in_bytes") or 0
        available = min(available, max(0, limit - used + reclaimable))
        total = limit
    return min(available, total)


def resident_bytes(root: Path = ROOT) -> int | None:
    """Physical memory that this process holds now; None where the system has no /proc."""
    return numbers(root / "proc/self/status").get("VmRSS")


def peak_resident_bytes(root: Path = ROOT) -> int | None:
    """The most physical memory that this process has held; None where the system does not say (Windows)."""
    # VmHWM first: ru_maxrss would count what was before exec, the parent's memory too.
    peak = numbers(root / "proc/self/status").get("VmHWM")
    if peak is not None:
        return peak
    try:
        resource: Any = importlib.import_module("resource")
    except ModuleNotFoundError:
        return None
    peak = int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return peak * (1 if sys.platform == "darwin" else 1024)  # macOS counts bytes, the other systems units of 1,024


def forget_peak(root: Path = ROOT) -> None:
    """Let the peak count from now on. Where the system can't (it is not Linux, or forbids it), it stays what it was."""
    with suppress(OSError):
        (root / "proc/self/clear_refs").write_text("5")


def return_freed_memory() -> bool:
    """Give the system back what this process has freed; whether the C library can (glibc: some 50 ms after much freeing).

    glibc keeps freed activations in pieces, and batches of many widths seldom find one that fits. Called every 16 updates
    it took half a gigabyte off MiniLM's peak in batches of 16, and no time that could be measured.
    """
    trim: Any = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    return trim is not None and bool(trim(0))


def bound_kernel_cache(kernels: int = 32) -> None:
    """Let torch keep so many of the CPU kernels that oneDNN makes for each shape, not 1,024; call it before torch computes.

    With texts of every length they came to 0.6 GB within 50 updates; making them again takes about 5 % of the time. A limit
    that the environment sets already stays.
    """
    for name in KERNEL_CACHES:
        os.environ.setdefault(name, str(kernels))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out: Python's, torch's on a GPU, its CPU allocator's or cuBLAS's."""
    if isinstance(error, MemoryError) or any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__):
        return True
    said = str(error).lower()
    return isinstance(error, RuntimeError) and any(sign in said for sign in OUT_OF_MEMORY)


class Ceiling:
    """Keeps a training under a limit of resident memory: freed memory goes back as it nears, fewer rows when it is passed.

    A limit of None asks for nothing.
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
        """The rows of the next update's micro-batches: `size`, or half of it, where memory has just passed the limit."""
        if self.limit_bytes is None:
            return size
        highest = self._peak() or 0
        passed = highest > max(self.limit_bytes, self._highest)
        self._highest = max(self._highest, highest)
        if passed or (self._resident() or 0) > NEAR * self.limit_bytes:
            self._give_back()
        return -(-size // 2) if passed else size


def _physical_bytes() -> int:
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 0
