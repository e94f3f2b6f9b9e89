"""What this process may compute on: CPU cores as a container's quota leaves them, threads, bf16, an NVIDIA GPU."""

import math
import os
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rankwise.system.procfs import ROOT, cgroups, text_of, whole_number


def usable_cores(root: Path = ROOT) -> int:
    """CPU cores that this process may keep busy: its affinity, or a smaller cgroup quota rounded down; at least 1."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.floor(min([allowed, *_quotas(root)])))


def default_threads(root: Path = ROOT) -> int:
    """Threads that torch takes unless a recipe says otherwise: OMP_NUM_THREADS, else one for each usable core."""
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(wanted) if wanted.isdigit() and int(wanted) else usable_cores(root)


def has_bf16(root: Path = ROOT) -> bool:
    """Whether this CPU multiplies bf16 numbers; False where the system does not say."""
    flags = next((line.split() for line in text_of(root / "proc/cpuinfo").splitlines() if line.startswith("flags")), [])
    return "avx512_bf16" in flags or "amx_bf16" in flags


def has_nvidia(root: Path = ROOT) -> bool:
    """Whether torch will find an NVIDIA GPU here, as far as can be told without loading it.

    Linux's driver lists one, CUDA_VISIBLE_DEVICES and ACCELERATE_USE_CPU don't keep this process from it, and torch's version
    does not say that it is a build for CPUs.
    """
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    listed = any((root / "proc/driver/nvidia/gpus").glob("*"))
    if not listed or hidden or accelerators_are_off():
        return False
    try:
        return "+cpu" not in version("torch")
    except PackageNotFoundError:
        return False


def accelerators_are_off() -> bool:
    """Whether ACCELERATE_USE_CPU keeps this process on the CPU."""
    return os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes", "on", "y", "t")


def _quotas(root: Path) -> Iterator[float]:
    """Cores that each cgroup around this process allows, where it has a quota."""
    for folder in cgroups(root, "cpu"):
        words = text_of(folder / "cpu.max").split()  # version 2: "150000 100000", or "max 100000"
        if len(words) == 2 and words[0].isdigit() and int(words[1]):
            yield int(words[0]) / int(words[1])
        quota, period = whole_number(folder / "cpu.cfs_quota_us"), whole_number(folder / "cpu.cfs_period_us")
        if quota and quota > 0 and period:  # version 1 writes -1 for no quota
            yield quota / period
