"""How many CPU threads to use: measured, for on a busy or throttled machine two are often slower than one.

The measurement is what training spends its time on, a product of a batch's tokens with a feed-forward weight.
"""

from __future__ import annotations

import time

import torch

ROWS, INNER, WIDTH = 880, 384, 1536  # 16 texts of 55 tokens into MiniLM's feed-forward map
REPEATS = 12


def fastest_threads(cores: int) -> tuple[int, dict[int, float]]:
    """(the thread count to use, GFLOP/s by thread count) among powers of two up to `cores`, and `cores`.

    A larger count must be at least 15 % faster than a smaller one to be worth the cores it takes. torch's own count is left
    as it was.
    """
    before = torch.get_num_threads()
    counts = sorted({2**power for power in range(cores.bit_length()) if 2**power <= cores} | {cores})
    try:
        measured = {count: gflops(count) for count in counts}
    finally:
        torch.set_num_threads(before)
    best = counts[0]
    for count in counts[1:]:
        if measured[count] > 1.15 * measured[best]:
            best = count
    return best, measured


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
