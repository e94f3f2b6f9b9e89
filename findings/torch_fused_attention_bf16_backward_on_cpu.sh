#!/usr/bin/env bash
# On a CPU, torch's fused attention is the fast way forward in bf16 and the slow way back: with a backward pass it takes
# several times as long as attention written out in four calls, on short texts.
#
# Expected: scaled_dot_product_attention is at least as fast as softmax(q·kᵀ)·v written out, in training as in inference, which
# is why encoders call it everywhere; and bf16 is faster than fp32 where the hardware multiplies it.
# Seen: forward alone it is faster in bf16. Forward and backward together take several times the written-out CPU seconds in bf16
# at 55 and 128 tokens. In fp32 the two are about equal there.
# What helps: fused attention under inference_mode, written-out attention where there is a backward pass in bf16 on a CPU
# (torch.nn.attention.sdpa_kernel(SDPBackend.MATH) also avoids the fused kernel).
#
# torch 2.13.0, numpy 2.4.6, Python 3.11, an Intel Xeon with AMX, one thread. Seen on 2026-11-29, CPU seconds of the fused
# attention over the written-out one, best of passes that alternate, 12 heads of 32 numbers, some 2,000 tokens, a mask:
#   bfloat16, 55 tokens: forward 0.70, forward and backward 4.52
#   bfloat16, 128 tokens: forward 0.58, forward and backward 3.15
#   float32, 55 tokens: forward 1.23, forward and backward 1.17
#   float32, 128 tokens: forward 0.62, forward and backward 0.87
# Exits 1 if at 55 and 128 tokens the fused one is less than 1.5 times as slow in bf16 with a backward pass. Says so and exits 0
# on a CPU without bf16 products, where nobody would train in it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
cat > "$folder/probe.py" <<'PY'
import sys
import time

import torch
from torch.nn.functional import scaled_dot_product_attention

torch.set_num_threads(1)
HEADS, WIDTH, PASSES = 12, 32, 15


def written(query, key, value, mask):
    scores = query @ key.transpose(-1, -2) * WIDTH**-0.5 + mask
    return torch.softmax(scores, dim=-1) @ value


def fused(query, key, value, mask):
    return scaled_dot_product_attention(query, key, value, attn_mask=mask)


def ratio(dtype, tokens, backward):
    rows = max(2, 2048 // tokens)
    inputs = [torch.randn(rows, HEADS, tokens, WIDTH).to(dtype).requires_grad_(backward) for _ in range(3)]
    mask = torch.zeros(rows, 1, 1, tokens, dtype=dtype)
    mask[1:, ..., -3:] = torch.finfo(dtype).min
    best = {written: float("inf"), fused: float("inf")}
    for _ in range(PASSES):
        for attend in best:
            started = time.process_time()
            output = attend(*inputs, mask)
            if backward:
                output.backward(torch.ones_like(output))
            best[attend] = min(best[attend], time.process_time() - started)
    return best[fused] / best[written]


if "avx512_bf16" not in open("/proc/cpuinfo").read():
    print("this CPU does not multiply bf16; nothing to see")
    sys.exit(0)
slow = []
for dtype in (torch.bfloat16, torch.float32):
    for tokens in (55, 128):
        forward, both = ratio(dtype, tokens, False), ratio(dtype, tokens, True)
        print(f"#   {str(dtype).removeprefix('torch.')}, {tokens} tokens: forward {forward:.2f}, forward and backward {both:.2f}")
        if dtype == torch.bfloat16:
            slow.append(both > 1.5)
sys.exit(0 if all(slow) else 1)
PY
"$folder/venv/bin/python" "$folder/probe.py"
