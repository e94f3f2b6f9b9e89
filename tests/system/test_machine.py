"""The machine is read as a container sees it: quotas and limits of both cgroup versions, from files that a test builds."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankwise.system import machine

MANY = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
MEGABYTE = 1 << 20


@pytest.fixture
def root(tmp_path):
    """A root with a process in cgroup `/jobs/one` of version 2 and nothing limited; call it to write files below it."""

    def write(path, text):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
        return tmp_path

    write("proc/self/cgroup", "0::/jobs/one\n")
    write("proc/meminfo", "MemTotal:        8000 kB\nMemFree:   10 kB\nMemAvailable:    6000 kB\nHugePages_Total:       0\n")
    write.path = tmp_path
    return write


# --------------------------------------------------------------------------------------------------------------- cores


def test_without_a_quota_the_cores_are_those_that_this_process_may_run_on(root):
    root("sys/fs/cgroup/jobs/one/cpu.max", "max 100000\n")
    assert machine.cores(root.path) == MANY


@pytest.mark.parametrize(("quota", "expected"), [("100000 100000", 1), ("50000 100000", 1), ("199000 100000", 1)])
def test_a_quota_is_rounded_down_to_whole_cores_and_at_least_one(root, quota, expected):
    root("sys/fs/cgroup/jobs/one/cpu.max", quota)
    assert machine.cores(root.path) == expected


def test_the_quota_of_a_group_further_up_counts(root):
    root("sys/fs/cgroup/jobs/one/cpu.max", "max 100000")
    root("sys/fs/cgroup/jobs/cpu.max", "100000 100000")
    assert machine.cores(root.path) == 1


def test_a_container_that_sees_its_own_group_as_the_root_of_the_mount_is_read(root):
    root("sys/fs/cgroup/cpu.max", "100000 100000")  # /jobs/one is the host's name; there is no such folder in here
    assert machine.cores(root.path) == 1


@pytest.mark.parametrize("mount", ["cpu,cpuacct", "cpu"])
def test_a_quota_of_version_1_is_read(root, mount):
    root("proc/self/cgroup", "5:memory:/pod\n4:cpu,cpuacct:/pod\n")
    root(f"sys/fs/cgroup/{mount}/pod/cpu.cfs_quota_us", "100000")
    root(f"sys/fs/cgroup/{mount}/pod/cpu.cfs_period_us", "100000")
    assert machine.cores(root.path) == 1


def test_version_1_without_a_quota_limits_nothing(root):
    root("proc/self/cgroup", "4:cpu:/\n")
    root("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1")
    root("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000")
    assert machine.cores(root.path) == MANY


def test_a_system_without_proc_has_its_cores(tmp_path):
    assert machine.cores(tmp_path) == MANY


def test_an_nvidia_gpu_is_known_by_its_driver_and_left_alone_when_hidden(tmp_path, monkeypatch):
    for name in ("CUDA_VISIBLE_DEVICES", "ACCELERATE_USE_CPU"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(machine, "version", lambda _: "2.13.0")
    assert not machine.has_nvidia(tmp_path)
    (tmp_path / "proc/driver/nvidia/gpus/0000:00:01.0").mkdir(parents=True)
    assert machine.has_nvidia(tmp_path)
    for name, value in (("CUDA_VISIBLE_DEVICES", ""), ("CUDA_VISIBLE_DEVICES", "-1"), ("ACCELERATE_USE_CPU", "true")):
        monkeypatch.setenv(name, value)
        assert not machine.has_nvidia(tmp_path)
        monkeypatch.delenv(name)
    monkeypatch.setattr(machine, "version", lambda _: "2.13.0+cpu")
    assert not machine.has_nvidia(tmp_path)


@pytest.mark.parametrize(("given", "expected"), [("3", 3), ("4,2", 4), ("0", MANY), ("many", MANY), ("", MANY)])
def test_threads_are_what_openmp_was_told(root, monkeypatch, given, expected):
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert machine.threads(root.path) == expected


def test_a_cpu_with_bf16_says_so_in_its_flags(root):
    assert not machine.has_bf16(root.path)
    root("proc/cpuinfo", "processor : 0\nflags\t\t: fpu avx512f avx512_bf16 fma\n")
    assert machine.has_bf16(root.path)


# -------------------------------------------------------------------------------------------------------------- memory


def test_memory_is_the_machines_where_no_group_limits_it(root):
    assert machine.memory_bytes(root.path) == machine.Memory(8000 * 1024, 6000 * 1024)


def test_a_groups_limit_counts_and_cached_files_in_it_can_be_had(root):
    group = "sys/fs/cgroup/jobs/one"
    root(f"{group}/memory.max", str(5 * MEGABYTE))
    root(f"{group}/memory.current", str(3 * MEGABYTE))
    root(f"{group}/memory.stat", f"anon 1\ninactive_file {MEGABYTE}\n")
    assert machine.memory_bytes(root.path) == machine.Memory(5 * MEGABYTE, 3 * MEGABYTE)


def test_the_smallest_limit_on_the_way_up_counts(root):
    root("sys/fs/cgroup/jobs/one/memory.max", "max")
    root("sys/fs/cgroup/jobs/memory.max", str(2 * MEGABYTE))
    assert machine.memory_bytes(root.path).total == 2 * MEGABYTE


def test_version_1_writes_no_limit_as_a_huge_number(root):
    root("proc/self/cgroup", "4:memory:/pod\n")
    root("sys/fs/cgroup/memory/pod/memory.limit_in_bytes", "9223372036854771712")
    assert machine.memory_bytes(root.path).total == 8000 * 1024
    root("sys/fs/cgroup/memory/pod/memory.limit_in_bytes", str(MEGABYTE))
    root("sys/fs/cgroup/memory/pod/memory.usage_in_bytes", str(2 * MEGABYTE))  # over its limit for a moment
    assert machine.memory_bytes(root.path) == machine.Memory(MEGABYTE, 0)


def test_this_machine_has_memory_and_this_process_holds_some_of_it():
    memory = machine.memory_bytes()
    assert 0 < memory.available <= memory.total
    assert machine.peak_resident_bytes() > 0
    if machine.resident_bytes() is not None:
        assert MEGABYTE < machine.resident_bytes() <= machine.peak_resident_bytes() < memory.total


def test_a_large_array_raises_the_peak_and_the_peak_stays_when_it_is_gone():
    before = machine.peak_resident_bytes()
    array = np.ones(before - (machine.resident_bytes() or 0) + 100 * MEGABYTE, dtype=np.uint8)
    peak = machine.peak_resident_bytes()
    del array
    assert peak >= before + 50 * MEGABYTE
    assert machine.peak_resident_bytes() > 0.99 * peak  # the kernel counts in batches


def test_a_system_that_does_not_say_what_a_process_holds_gives_none_or_the_kernels_peak(tmp_path):
    assert machine.resident_bytes(tmp_path) is None
    peak = machine.peak_resident_bytes(tmp_path)
    assert peak is None or peak > MEGABYTE


@given(st.integers(0, 1 << 40))
def test_the_kernels_peak_is_in_bytes_on_macos_and_in_kilobytes_elsewhere(number):
    assert machine.peak_of(number, "darwin") == number
    assert machine.peak_of(number, "linux") == 1024 * number


# --------------------------------------------------------------------------------------------------------------- speed


def test_the_speed_is_found_in_a_moment_and_is_no_fantasy():
    machine.gflops()  # numpy starts its threads
    started = time.perf_counter()
    speed = machine.gflops(seconds=0.02)
    assert time.perf_counter() - started < 2
    assert 0.1 < speed < 10_000


def test_more_threads_are_used_only_where_they_are_faster():
    speeds = {1: 100.0, 2: 180.0, 4: 110.0}
    assert [machine.fastest(cores, speeds.__getitem__)[0] for cores in (1, 2, 4)] == [1, 2, 2]
    assert machine.fastest(4, speeds.__getitem__)[1] == speeds
    assert machine.fastest(2, {1: 100.0, 2: 110.0}.__getitem__)[0] == 1


# ------------------------------------------------------------------------------------------------------- under a limit


def test_freed_memory_goes_back_to_the_system_where_the_c_library_can():
    pieces = [bytearray(100_000) for _ in range(2000)]  # small enough to come from the heap
    held = machine.resident_bytes()
    del pieces[::2]  # holes
    if machine.return_freed_memory() and held is not None:
        assert machine.resident_bytes() < held - 50 * MEGABYTE


def test_the_kernel_caches_are_bounded_unless_the_environment_says_otherwise(monkeypatch):
    for name in machine.KERNEL_CACHES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LRU_CACHE_CAPACITY", "7")
    machine.bound_kernel_cache()
    assert [os.environ[name] for name in machine.KERNEL_CACHES] == ["32", "7"]
    monkeypatch.delenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY")


@dataclass
class Memory:
    """A process whose memory a test sets."""

    resident: int = 50
    peak: int = 60
    given_back: int = 0

    def give_back(self):
        self.given_back += 1
        return True

    def ceiling(self, limit):
        return machine.Ceiling(limit, resident=lambda: self.resident, peak=lambda: self.peak, give_back=self.give_back)


def test_memory_far_below_its_limit_is_left_alone():
    memory = Memory()
    assert memory.ceiling(100).micro_batch(16) == 16
    assert memory.given_back == 0


def test_memory_near_its_limit_is_given_back():
    memory = Memory(resident=90, peak=95)
    assert memory.ceiling(100).micro_batch(16) == 16
    assert memory.given_back == 1


def test_a_limit_that_was_passed_halves_the_rows_once_each_time_it_is_passed_further():
    memory = Memory()
    ceiling = memory.ceiling(100)
    memory.peak = 120
    sizes = [ceiling.micro_batch(5), ceiling.micro_batch(3)]
    memory.peak = 130
    assert [*sizes, ceiling.micro_batch(3), ceiling.micro_batch(2), ceiling.micro_batch(1)] == [3, 3, 2, 2, 1]


def test_what_a_process_held_before_training_is_no_fault_of_the_rows():
    assert Memory(peak=500).ceiling(100).micro_batch(16) == 16


def test_no_limit_asks_for_nothing():
    memory = Memory(resident=10**12, peak=10**12)
    assert memory.ceiling(None).micro_batch(16) == 16
    assert memory.given_back == 0


# ------------------------------------------------------------------------------------------------------- out of memory


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
    assert machine.is_out_of_memory(error)


@pytest.mark.parametrize(
    "error", [RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ValueError("out of memory"), KeyboardInterrupt()]
)
def test_other_errors_are_not_about_memory(error):
    assert not machine.is_out_of_memory(error)


def test_torchs_own_refusal_of_an_absurd_size_is_known():
    torch = pytest.importorskip("torch")
    with pytest.raises(RuntimeError) as refused:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert machine.is_out_of_memory(refused.value)


def test_the_cache_is_the_users_own(monkeypatch):
    monkeypatch.delenv("RANKWISE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert machine.cache_folder() == Path("/somewhere/rankwise")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert machine.cache_folder() == Path("/home/me/.cache/rankwise")
    monkeypatch.setenv("RANKWISE_CACHE", "/mine")
    assert machine.cache_folder() == Path("/mine")
