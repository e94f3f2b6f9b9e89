"""What this machine has: usable cores, memory, arithmetic speed, and how much memory this process takes.

A container's quota counts, not the host's size: cgroup limits (version 1 and 2) of this process and of every group above
it. `root` is where `/proc` and `/sys` are, so that a test can build its own. Bytes are bytes; a speed is in GFLOP/s, 10⁹
multiplications and additions a second.
"""

from __future__ import annotations

import ctypes
import importlib
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rankwise.errors import RunError

ROOT = Path("/")
KERNEL_CACHES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")  # oneDNN's own, and torch's before it
TRIM_EVERY = (
    16  # updates or batches after which freed memory is given back: it costs next to nothing, and keeps the peak flat
)
NEAR = 0.85  # of a memory limit, from where freed memory is given back after each update
SAMPLE_SECONDS = 0.02  # of matrix products: the best of some dozens is steady to 2 %, however busy the machine is
SAMPLE_SIZE = 256  # rows and columns: large enough for full speed, and over (0.3 ms) before another process cuts in


@dataclass(frozen=True)
class Memory:
    """Bytes that this process may use, and those that are free now."""

    total: int
    available: int


def made_folder(path: str | Path) -> Path:
    """The folder, made where there is none. Raises RunError where it can't be, as below a file."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise RunError(f"{folder}: no folder can be made there ({problem.strerror}); give another --out") from None
    return folder


def cores(root: Path = ROOT) -> int:
    """CPU cores that this process may keep busy: its affinity, or a smaller cgroup quota rounded down; at least 1."""
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:
        allowed = os.cpu_count() or 1
    return max(1, math.floor(min([allowed, *_quotas(root)])))


def has_nvidia(root: Path = ROOT) -> bool:
    """Whether torch will find an NVIDIA GPU here, as far as can be told without loading it.

    Linux's driver lists one, CUDA_VISIBLE_DEVICES and ACCELERATE_USE_CPU don't keep this process from it, and torch's version
    does not say that it is a build for CPUs.
    """
    refused = os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes", "on", "y", "t")
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    listed = any((root / "proc/driver/nvidia/gpus").glob("*"))
    return listed and not (refused or hidden) and "+cpu" not in version("torch")


def threads(root: Path = ROOT) -> int:
    """Threads that torch takes unless a recipe says otherwise: OMP_NUM_THREADS, else one for each usable core."""
    given = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(given) if given.isdigit() and int(given) else cores(root)


def cache_folder() -> Path:
    """Where things that can be made again are kept: RANKWISE_CACHE, or `rankwise` in the user's cache folder."""
    return Path(
        os.environ.get("RANKWISE_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "rankwise").expanduser()
    )


def memory_bytes(root: Path = ROOT) -> Memory:
    """Memory of the machine, or of the smallest cgroup around this process.

    Where the system does not say what is free (macOS), all of it counts as available.
    """
    known = _status(root / "proc/meminfo")
    total = known.get("MemTotal") or _physical_bytes()
    available = known.get("MemAvailable", total)
    for folder in _cgroups(root, "memory"):
        limit = _number(folder / "memory.max") or _number(folder / "memory.limit_in_bytes")
        if limit is None or limit >= total:  # version 1 writes "no limit" as a huge number
            continue
        used = _number(folder / "memory.current") or _number(folder / "memory.usage_in_bytes") or 0
        available = min(available, max(0, limit - used + _reclaimable(folder)))
        total = limit
    return Memory(total, min(available, total))


def resident_bytes(root: Path = ROOT) -> int | None:
    """Physical memory that this process holds now; None where the system has no /proc."""
    return _status(root / "proc/self/status").get("VmRSS")


def peak_resident_bytes(root: Path = ROOT) -> int | None:
    """The most physical memory that this process has held; None where the system does not say (Windows)."""
    peak = _status(root / "proc/self/status").get("VmHWM")  # ru_maxrss would count what was before exec, the parent's too
    if peak is not None:
        return peak
    try:
        resource: Any = importlib.import_module("resource")
    except ModuleNotFoundError:
        return None
    return peak_of(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, sys.platform)


def forget_peak(root: Path = ROOT) -> None:
    """Let the peak count from now on. Where the system can't (it is not Linux, or forbids it), it stays what it was."""
    with suppress(OSError):
        (root / "proc/self/clear_refs").write_text("5")


def peak_of(ru_maxrss: int, platform: str) -> int:
    """getrusage's peak in bytes: macOS counts bytes, the other systems units of 1,024."""
    return ru_maxrss if platform == "darwin" else ru_maxrss * 1024


def gflops(threads: int = 1, *, seconds: float = SAMPLE_SECONDS) -> float:
    """The best single-precision matrix product among those that fit into `seconds`, on `threads` threads, in GFLOP/s."""
    import numpy as np

    rng = np.random.default_rng(0)
    left, right = (rng.standard_normal((SAMPLE_SIZE, SAMPLE_SIZE), dtype=np.float32) for _ in range(2))
    product = np.empty_like(left)
    with _blas_threads(threads):
        np.matmul(left, right, out=product)  # the first call starts threads and fills caches
        best, end = math.inf, time.perf_counter() + seconds
        while (started := time.perf_counter()) < end:
            np.matmul(left, right, out=product)
            best = min(best, time.perf_counter() - started)
    return 2 * SAMPLE_SIZE**3 / best / 1e9 if best < math.inf else 0.0


def fastest(cores: int, measure: Callable[[int], float] = gflops) -> tuple[int, dict[int, float]]:
    """(the threads to use, GFLOP/s by threads) among powers of two up to `cores`, and `cores`.

    On a busy or throttled machine two threads are often slower than one: more must be at least 15 % faster than fewer.
    """
    counts = sorted({2**power for power in range(cores.bit_length())} | {cores})
    measured = {count: measure(count) for count in counts}
    best = counts[0]
    for count in counts[1:]:
        if measured[count] > 1.15 * measured[best]:
            best = count
    return best, measured


def has_bf16(root: Path = ROOT) -> bool:
    """Whether this CPU multiplies bf16 numbers; False where the system does not say."""
    flags = next((line.split() for line in _text(root / "proc/cpuinfo").splitlines() if line.startswith("flags")), [])
    return "avx512_bf16" in flags or "amx_bf16" in flags


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


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out: Python's, torch's on a GPU, its CPU allocator's or cuBLAS's."""
    if isinstance(error, MemoryError) or any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__):
        return True
    said = str(error).lower()
    return isinstance(error, RuntimeError) and any(sign in said for sign in _OUT_OF_MEMORY)


_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "cublas_status_alloc_failed")


def _blas_threads(threads: int) -> Any:
    """A context in which numpy's matrix products use `threads` threads; scikit-learn brings what it takes."""
    try:
        threadpoolctl: Any = importlib.import_module("threadpoolctl")
    except ModuleNotFoundError:
        return nullcontext()
    return threadpoolctl.threadpool_limits(limits=threads, user_api="blas")


def _quotas(root: Path) -> Iterator[float]:
    """Cores that each cgroup around this process allows, where it has a quota."""
    for folder in _cgroups(root, "cpu"):
        words = _text(folder / "cpu.max").split()  # version 2: "150000 100000", or "max 100000"
        if len(words) == 2 and words[0].isdigit() and int(words[1]):
            yield int(words[0]) / int(words[1])
        quota, period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
        if quota and quota > 0 and period:  # version 1 writes -1 for no quota
            yield quota / period


def _cgroups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's cgroups that may limit `controller`, and of every group above them.

    A container often sees its own group as the root of the mount, while /proc/self/cgroup names the host's path; then only
    the mount's root is there.
    """
    seen: set[Path] = set()
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if names and controller not in names.split(","):
            continue
        mounts = [names, controller] if names else ["", "unified"]  # version 2 has no names
        for mount in (root / "sys/fs/cgroup" / name for name in dict.fromkeys(mounts)):
            inside = mount / path.strip("/")
            for folder in (inside, *inside.parents):
                if folder not in seen and folder.is_relative_to(mount) and folder.is_dir():
                    seen.add(folder)
                    yield folder


def _reclaimable(folder: Path) -> int:
    """Bytes of cached files in a cgroup that the system gives up when memory runs short."""
    for line in _text(folder / "memory.stat").splitlines():
        key, _, number = line.partition(" ")
        if key in ("inactive_file", "total_inactive_file") and number.strip().isdigit():
            return int(number)
    return 0


def _status(path: Path) -> dict[str, int]:
    """`VmRSS:  123 kB` lines as bytes by name."""
    found = {}
    for line in _text(path).splitlines():
        key, _, rest = line.partition(":")
        words = rest.split()
        if len(words) == 2 and words[1] == "kB" and words[0].isdigit():
            found[key] = int(words[0]) * 1024
    return found


def _physical_bytes() -> int:
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 0


def _number(path: Path) -> int | None:
    """The whole number in a file; None for `max` or no such file."""
    text = _text(path).strip()
    return int(text) if text.removeprefix("-").isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):  # no such file here, or no right to read it: then nothing is known from it
        return ""
