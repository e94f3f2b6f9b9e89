"""Attention on a CPU, written out and fused, with a backward pass and without; writes results/attention.csv.

    python benchmarks/attention.py --threads 1

Ratios of CPU seconds, the written-out ones over torch's fused ones, the best of some passes that alternate; some 2,000 tokens
in 12 heads of 32 numbers, padded. Above 1 the fused one is faster: src/rankwise/model/forward.py goes by that.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from results_file import write
from torch.nn.functional import scaled_dot_product_attention

from rankwise.model.forward import _attend_on_cpu

RESULTS = Path(__file__).parent / "results" / "attention.csv"
LENGTHS = (16, 32, 55, 64, 96, 128, 192, 256, 384, 512)
TOKENS, HEADS, WIDTH, PASSES = 2_048, 12, 32, 9
COLUMNS = ("dtype", "tokens", "scoring", "training")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    torch.set_num_threads(parser.parse_args().threads)
    rows = []
    for dtype in (torch.float32, torch.bfloat16):
        for length in LENGTHS:
            rows.append(
                {
                    "dtype": str(dtype).removeprefix("torch."),
                    "tokens": length,
                    "scoring": f"{ratio(dtype, length, backward=False):.2f}",
                    "training": f"{ratio(dtype, length, backward=True):.2f}",
                }
            )
            print(*rows[-1].values(), flush=True)
    write(RESULTS, COLUMNS, rows)


def ratio(dtype: torch.dtype, length: int, *, backward: bool) -> float:
    """CPU seconds of the written-out attention over those of the fused one."""
    rows = max(2, TOKENS // length)
    inputs = [torch.randn(rows, HEADS, length, WIDTH).to(dtype).requires_grad_(backward) for _ in range(3)]
    mask = torch.zeros(rows, 1, 1, length, dtype=dtype)
    mask[1:, :, :, -3:] = torch.finfo(dtype).min

    def written() -> torch.Tensor:
        return _attend_on_cpu(*inputs, mask, 0.0)

    def fused() -> torch.Tensor:
        return scaled_dot_product_attention(*inputs, attn_mask=mask)

    best = {written: float("inf"), fused: float("inf")}
    for _ in range(PASSES):
        for attend, before in best.items():
            started = time.process_time()
            output = attend()
            if backward:
                output.backward(torch.ones_like(output))
            best[attend] = min(before, time.process_time() - started)
    return best[written] / best[fused]


if __name__ == "__main__":
    main()
