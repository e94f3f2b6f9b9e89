"""torch's speed on this machine, by what training spends its time on: a product of a batch's tokens with a map's weight."""

from __future__ import annotations

import time

import torch

ROWS, INNER, WIDTH = 880, 384, 1536  # 16 texts of 55 tokens into MiniLM's feed-forward map
REPEATS = 12


def gflops(threads: int, *, device: torch.device | str = "cpu") -> float:
    """Median GFLOP/s of the product in fp32 on so many threads, or on a GPU; sets torch's thread count."""
    torch.set_num_threads(threads)
    left, right = torch.ones(ROWS, INNER, device=device), torch.ones(WIDTH, INNER, device=device)
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        torch.nn.functional.linear(left, right)
        if left.device.type != "cpu":
            torch.accelerator.synchronize()
        times.append(time.perf_counter() - started)
    return 2 * ROWS * INNER * WIDTH / sorted(times[2:])[len(times[2:]) // 2] / 1e9
