#!/usr/bin/env bash
# A single linear layer that torch.onnx.export wrote, and that ONNX's own checks find in order, is refused by ONNX Runtime's dynamic
# quantisation if its input has two dimensions, as that of every classification head has; with three it is quantised.
#
# Expected: quantize_dynamic takes what the default exporter of torch writes; int8 is what people export small classifiers for.
# Seen: the exporter also writes each weight's shape into the graph's value_info. Of a two-dimensional input the layer is a Gemm with
# transB=1; quantize_dynamic turns it into a MatMul, whose weight it transposes under the same name, and leaves the shape in
# value_info as it was, so that its own shape inference then finds two shapes for one tensor and raises. Of three dimensions
# the exporter itself has transposed the weight, and all is well.
# What helps: take the initializers out of value_info before quantising (onnx_program.model, or onnx.load and a loop).
#
# torch 2.13.0, onnx 1.23.2, onnxscript 0.7.2, onnxruntime 1.31.1, numpy 2.4.6, Python 3.11. Seen on 2026-11-29:
#   input (2, 32): strict shape inference passes; quantize_dynamic: InferenceError, (32) vs (3)
#   input (2, 5, 32): strict shape inference passes; quantize_dynamic: quantised
#   input (2, 32), weights out of value_info: strict shape inference passes; quantize_dynamic: quantised
# Exits 1 if the first is quantised, or one of the others is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 onnx==1.23.2 onnxscript==0.7.2 onnxruntime==1.31.1 numpy==2.4.6
cat > "$folder/probe.py" <<'PY'
import logging
import re
import sys
import warnings

import onnx
import torch
from onnxruntime.quantization import quantize_dynamic

warnings.simplefilter("ignore")
logging.disable(logging.WARNING)
folder = sys.argv[1]


def told(shape, forget_weights):
    path = f"{folder}/layer.onnx"
    layer = torch.nn.Linear(32, 3).eval()
    torch.onnx.export(layer, (torch.randn(*shape),), path, dynamo=True, external_data=False, verbose=False)
    model = onnx.load(path)
    if forget_weights:
        weights = {weight.name for weight in model.graph.initializer}
        kept = [value for value in model.graph.value_info if value.name not in weights]
        del model.graph.value_info[:]
        model.graph.value_info.extend(kept)
        onnx.save(model, path)
    onnx.checker.check_model(model, full_check=True)
    onnx.shape_inference.infer_shapes(model, strict_mode=True)
    try:
        quantize_dynamic(path, f"{folder}/int8.onnx")
    except onnx.shape_inference.InferenceError as error:
        return f"InferenceError, {re.search(r'[(][0-9]+[)] vs [(][0-9]+[)]', str(error))[0]}"
    return "quantised"


found = {}
for shape, forget in (((2, 32), False), ((2, 5, 32), False), ((2, 32), True)):
    found[shape, forget] = told(shape, forget)
    note = ", weights out of value_info" if forget else ""
    print(f"#   input {shape}{note}: strict shape inference passes; quantize_dynamic: {found[shape, forget]}")
as_seen = [answer == "quantised" for answer in found.values()] == [False, True, True]
sys.exit(0 if as_seen else 1)
PY
"$folder/venv/bin/python" "$folder/probe.py" "$folder"
