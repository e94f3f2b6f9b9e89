"""The cores are those that a container's quota leaves, of both cgroup versions, read from files that a test builds."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError

import pytest

from rankwise.system import cores
from rankwise.system.cores import default_threads, has_bf16, has_nvidia, usable_cores

MANY = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def test_without_a_quota_the_cores_are_those_that_this_process_may_run_on(root):
    root("sys/fs/cgroup/jobs/one/cpu.max", "max 100000\n")
    assert usable_cores(root.path) == MANY


@pytest.mark.parametrize(("quota", "expected"), [("100000 100000", 1), ("50000 100000", 1), ("199000 100000", 1)])
def test_a_quota_is_rounded_down_to_whole_cores_and_at_least_one(root, quota, expected):
    root("sys/fs/cgroup/jobs/one/cpu.max", quota)
    assert usable_cores(root.path) == expected


def test_the_quota_of_a_group_further_up_counts(root):
    root("sys/fs/cgroup/jobs/one/cpu.max", "max 100000")
    root("sys/fs/cgroup/jobs/cpu.max", "100000 100000")
    assert usable_cores(root.path) == 1


def test_a_container_that_sees_its_own_group_as_the_root_of_the_mount_is_read(root):
    root("sys/fs/cgroup/cpu.max", "100000 100000")  # /jobs/one is the host's name; there is no such folder in here
    assert usable_cores(root.path) == 1


@pytest.mark.parametrize("mount", ["cpu,cpuacct", "cpu"])
def test_a_quota_of_version_1_is_read(root, mount):
    root("proc/self/cgroup", "5:memory:/pod\n4:cpu,cpuacct:/pod\n")
    root(f"sys/fs/cgroup/{mount}/pod/cpu.cfs_quota_us", "100000")
    root(f"sys/fs/cgroup/{mount}/pod/cpu.cfs_period_us", "100000")
    assert usable_cores(root.path) == 1


def test_version_1_without_a_quota_limits_nothing(root):
    root("proc/self/cgroup", "4:cpu:/\n")
    root("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1")
    root("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000")
    assert usable_cores(root.path) == MANY


def test_a_system_without_proc_has_its_cores(tmp_path):
    assert usable_cores(tmp_path) == MANY


def test_an_nvidia_gpu_is_known_by_its_driver_and_left_alone_when_hidden(tmp_path, monkeypatch):
    for name in ("CUDA_VISIBLE_DEVICES", "ACCELERATE_USE_CPU"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cores, "version", lambda _: "2.13.0")
    assert not has_nvidia(tmp_path)
    (tmp_path / "proc/driver/nvidia/gpus/0000:00:01.0").mkdir(parents=True)
    assert has_nvidia(tmp_path)
    for name, value in (("CUDA_VISIBLE_DEVICES", ""), ("CUDA_VISIBLE_DEVICES", "-1"), ("ACCELERATE_USE_CPU", "true")):
        monkeypatch.setenv(name, value)
        assert not has_nvidia(tmp_path)
        monkeypatch.delenv(name)
    monkeypatch.setattr(cores, "version", lambda _: "2.13.0+cpu")
    assert not has_nvidia(tmp_path)


@pytest.mark.parametrize(("given", "expected"), [("3", 3), ("4,2", 4), ("0", MANY), ("many", MANY), ("", MANY)])
def test_threads_are_what_openmp_was_told(root, monkeypatch, given, expected):
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert default_threads(root.path) == expected


def test_a_cpu_with_bf16_says_so_in_its_flags(root):
    assert not has_bf16(root.path)
    root("proc/cpuinfo", "processor : 0\nflags\t\t: fpu avx512f avx512_bf16 fma\n")
    assert has_bf16(root.path)


def test_without_torch_there_is_no_gpu_to_compute_on(tmp_path, monkeypatch):
    (tmp_path / "proc/driver/nvidia/gpus/0").mkdir(parents=True)
    for name in ("ACCELERATE_USE_CPU", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)

    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(cores, "version", missing)
    assert not has_nvidia(tmp_path)
