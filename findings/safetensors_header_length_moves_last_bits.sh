#!/usr/bin/env bash
# Two safetensors files hold the same tensor, bit for bit; one has a few more letters of metadata. A single row times that
# tensor's transpose, on a CPU, comes out differently from each. Eight rows come out the same.
#
# Expected: equal weights, equal input, one thread, one build of torch, so equal results.
# Seen: load_file leaves a tensor in the file's mapped pages, where the length of the JSON header decides at which address it
# starts: a multiple of 16 bytes, or 8 beside one (the writer pads the header to 8). torch's product of one row with a matrix
# goes to a matrix-vector kernel whose order of summation depends on that address. Products of several rows take another
# kernel, which repacks its operands. So one text scored alone, served from a file or from a copy of its tensors
# (load_state_dict without assign=True), differs in the last bits, and a threshold or a test for equality can flip.
# What helps: copy tensors after loading, in every process alike, or compare with a tolerance.
#
# torch 2.13.0 (x86-64, AVX2 and AVX-512 alike), safetensors 0.8.0, numpy 2.4.6, Python 3.11. Seen on 2026-11-28:
#   equal tensors: True
#   8 bytes beside a multiple of 16: 1 row equal to a copy's: False, 8 rows: True
#   a multiple of 16: 1 row equal to a copy's: True, 8 rows: True
# Exits 1 if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 safetensors==0.8.0 numpy==2.4.6
cat > "$folder/probe.py" <<'PY'
import sys

import torch
from safetensors.torch import load_file, save_file

torch.set_num_threads(1)
torch.manual_seed(0)
weight, one, eight = torch.randn(384, 384), torch.randn(1, 384), torch.randn(8, 384)

seen, same_tensors = {}, True
for letters in range(17):
    file = f"{sys.argv[1]}/{letters}.safetensors"
    save_file({"weight": weight}, file, metadata={"note": "a" * letters})
    mapped = load_file(file)["weight"]
    same_tensors &= torch.equal(mapped, weight)
    copied = mapped.clone()
    equal = tuple(torch.equal(rows @ mapped.T, rows @ copied.T) for rows in (one, eight))
    seen.setdefault(mapped.data_ptr() % 16, set()).add(equal)

print("equal tensors:", same_tensors)
for beside, name in ((8, "8 bytes beside a multiple of 16"), (0, "a multiple of 16")):
    for row, rows in seen[beside]:
        print(f"{name}: 1 row equal to a copy's: {row}, 8 rows: {rows}")
sys.exit(not (same_tensors and seen == {8: {(False, True)}, 0: {(True, True)}}))
PY
"$folder/venv/bin/python" "$folder/probe.py" "$folder"
