"""torch's speed on this machine, by what training spends its time on: a batch's tokens times a linear layer's weight."""

from __future__ import annotations

import time

import torch

from rankwise.system.device import Device

ROWS, INNER, WIDTH = 880, 384, 1536  # 16 texts of 55 tokens into MiniLM's feed-forward layer
REPEATS = 12
CPU = Device.cpu()


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
    return 2 * ROWS * INNER * WIDTH / sorted(times[2:])[len(times[2:]) // 2] / 1e9
