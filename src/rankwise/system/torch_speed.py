"""torch's speed on this machine, by what training spends its time on: a batch's tokens times a linear layer's weight."""

import time
from dataclasses import dataclass
from statistics import median_high

import torch

from rankwise.system.cores import default_threads, usable_cores
from rankwise.system.device import Device
from rankwise.system.speed import Throughput, fastest_threads

ROWS, INNER, WIDTH = 880, 384, 1536  # 16 texts of 55 tokens into MiniLM's feed-forward layer
REPEATS = 12
CPU = Device.cpu()


@dataclass(frozen=True)
class Speed:
    """What the machine was measured to compute."""

    threads: int
    """CPU threads that torch uses from now on."""
    by_threads: dict[int, float]
    """GFLOP/s of each thread count tried; empty where the number was given."""
    gflops: float
    """Of the device that trains, in fp32."""
    measured: Throughput | None = None
    """How fast a classifier itself runs, where that was worth measuring."""


def measure_speed(threads: int | None, device: Device) -> Speed:
    """Set torch's threads to a number, or to the fastest in a short measurement among this process's share of the cores.

    OMP_NUM_THREADS is an upper limit. Beside other processes two threads are often slower than one.
    """
    by_threads: dict[int, float] = {}
    if threads is None:
        share = max(1, min(usable_cores(), default_threads()) // device.processes)
        threads, measured = fastest_threads(share, gflops)
        by_threads = {count: round(speed, 1) for count, speed in measured.items()}
    speed = by_threads[threads] if by_threads and device.is_cpu else gflops(threads, device)
    torch.set_num_threads(threads)
    return Speed(threads, by_threads, speed)


def gflops(threads: int, device: Device = CPU) -> float:
    """Median GFLOP/s of the matmul in fp32 on so many threads, or on a GPU; sets torch's thread count."""
    torch.set_num_threads(threads)
    left, right = (torch.ones(rows, INNER, device=device.torch_device) for rows in (ROWS, WIDTH))
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        torch.nn.functional.linear(left, right)
        device.synchronize()
        times.append(time.perf_counter() - started)
    return 2 * ROWS * INNER * WIDTH / median_high(times[2:]) / 1e9
