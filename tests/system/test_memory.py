"""Memory is read as a container sees it, freed memory goes back, and what says that memory ran out is known."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from rankwise.system.memory import (
    KERNEL_CACHES,
    Ceiling,
    available_bytes,
    bound_kernel_cache,
    is_out_of_memory,
    peak_resident_bytes,
    resident_bytes,
    return_freed_memory,
)

MEGABYTE = 1 << 20


def test_memory_is_the_machines_where_no_group_limits_it(root):
    assert available_bytes(root.path) == 6000 * 1024


def test_a_groups_limit_counts_and_cached_files_in_it_can_be_had(root):
    group = "sys/fs/cgroup/jobs/one"
    root(f"{group}/memory.max", str(5 * MEGABYTE))
    root(f"{group}/memory.current", str(3 * MEGABYTE))
    root(f"{group}/memory.stat", f"anon 1\ninactive_file {MEGABYTE}\n")
    assert available_bytes(root.path) == 3 * MEGABYTE


def test_the_smallest_limit_on_the_way_up_counts(root):
    root("sys/fs/cgroup/jobs/one/memory.max", "max")
    root("sys/fs/cgroup/jobs/memory.max", str(2 * MEGABYTE))
    assert available_bytes(root.path) == 2 * MEGABYTE


def test_version_1_writes_no_limit_as_a_huge_number(root):
    root("proc/self/cgroup", "4:memory:/pod\n")
    root("sys/fs/cgroup/memory/pod/memory.limit_in_bytes", "9223372036854771712")
    assert available_bytes(root.path) == 6000 * 1024
    root("sys/fs/cgroup/memory/pod/memory.limit_in_bytes", str(MEGABYTE))
    root("sys/fs/cgroup/memory/pod/memory.usage_in_bytes", str(2 * MEGABYTE))  # over its limit for a moment
    assert available_bytes(root.path) == 0


def test_this_machine_has_memory_and_this_process_holds_some_of_it():
    assert available_bytes() > 0
    assert peak_resident_bytes() > 0
    if resident_bytes() is not None:
        assert MEGABYTE < resident_bytes() <= peak_resident_bytes()


def test_a_large_array_raises_the_peak_and_the_peak_stays_when_it_is_gone():
    before = peak_resident_bytes()
    array = np.ones(before - (resident_bytes() or 0) + 100 * MEGABYTE, dtype=np.uint8)
    peak = peak_resident_bytes()
    del array
    assert peak >= before + 50 * MEGABYTE
    assert peak_resident_bytes() > 0.99 * peak  # the kernel counts in batches


def test_a_system_that_does_not_say_what_a_process_holds_gives_the_kernels_peak(tmp_path):
    assert resident_bytes(tmp_path) is None
    assert peak_resident_bytes(tmp_path) > MEGABYTE


@pytest.mark.parametrize(("platform", "unit"), [("darwin", 1), ("linux", 1024)])
def test_the_kernels_peak_is_in_bytes_on_macos_and_in_kilobytes_elsewhere(platform, unit, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr("resource.getrusage", lambda _: SimpleNamespace(ru_maxrss=7_000))
    assert peak_resident_bytes(tmp_path) == 7_000 * unit


def test_freed_memory_goes_back_to_the_system_where_the_c_library_can():
    pieces = [bytearray(100_000) for _ in range(2000)]  # small enough to come from the heap
    held = resident_bytes()
    del pieces[::2]  # holes
    if return_freed_memory() and held is not None:
        assert resident_bytes() < held - 50 * MEGABYTE


def test_the_kernel_caches_are_bounded_unless_the_environment_says_otherwise(monkeypatch):
    for name in KERNEL_CACHES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LRU_CACHE_CAPACITY", "7")
    bound_kernel_cache()
    assert [os.environ[name] for name in KERNEL_CACHES] == ["32", "7"]
    monkeypatch.delenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY")


class OutOfMemoryError(RuntimeError):
    """Named as torch's is."""


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory: you tried to allocate"
        ),
        RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
    ],
)
def test_what_says_that_memory_ran_out_is_known(error):
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error", [RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ValueError("out of memory"), KeyboardInterrupt()]
)
def test_other_errors_are_not_about_memory(error):
    assert not is_out_of_memory(error)


def test_torchs_own_refusal_of_an_absurd_size_is_known():
    torch = pytest.importorskip("torch")
    with pytest.raises(RuntimeError) as refused:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_out_of_memory(refused.value)


# ---------------------------------------------------------------------------------------------------------- under a limit


@dataclass
class ThisProcess:
    """A process whose memory a test sets."""

    resident: int = 50
    peak: int = 60
    given_back: int = 0

    def give_back(self):
        self.given_back += 1
        return True

    def ceiling(self, limit):
        return Ceiling(limit, resident=lambda: self.resident, peak=lambda: self.peak, give_back=self.give_back)


def test_memory_far_below_its_limit_is_left_alone():
    memory = ThisProcess()
    assert memory.ceiling(100).micro_batch(16) == 16
    assert memory.given_back == 0


def test_memory_near_its_limit_is_given_back():
    memory = ThisProcess(resident=90, peak=95)
    assert memory.ceiling(100).micro_batch(16) == 16
    assert memory.given_back == 1


def test_a_limit_that_was_passed_halves_the_rows_once_each_time_it_is_passed_further():
    memory = ThisProcess()
    ceiling = memory.ceiling(100)
    memory.peak = 120
    sizes = [ceiling.micro_batch(5), ceiling.micro_batch(3)]
    memory.peak = 130
    assert [*sizes, ceiling.micro_batch(3), ceiling.micro_batch(2), ceiling.micro_batch(1)] == [3, 3, 2, 2, 1]


def test_what_a_process_held_before_training_is_no_fault_of_the_rows():
    assert ThisProcess(peak=500).ceiling(100).micro_batch(16) == 16


def test_no_limit_asks_for_nothing():
    memory = ThisProcess(resident=10**12, peak=10**12)
    assert memory.ceiling(None).micro_batch(16) == 16
    assert memory.given_back == 0
