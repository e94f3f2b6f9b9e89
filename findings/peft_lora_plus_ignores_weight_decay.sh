#!/usr/bin/env bash
# create_loraplus_optimizer(…, weight_decay=0.1) makes an AdamW without weight decay, and steps the bias of a classification head
# sixteen times as far as its weight.
#
# Expected: keyword arguments are documented as "passed to the optimizer", and weight_decay is AdamW's; LoRA+ is a larger rate for
# B alone, so the head has one rate.
# Seen: the decay of each group is written as loraplus_weight_decay, an argument that the docstring does not name and that is 0
# where it is not given, over which weight_decay, though passed on, has no say. Each vector that trains counts as a B, the bias
# of the head among them. Nothing warns. It was met as axolotl#4010.
# What helps: loraplus_weight_decay=0.1; for the head, a group of one's own.
#
# peft 0.21.2, transformers 5.23.0, torch 2.13.0, numpy 2.4.6, Python 3.11. Seen on 2026-12-01, lr=1e-4, loraplus_lr_ratio=16:
#   weight_decay=0.1: lora_A 0.0001 decay 0.0, lora_B 0.0016 decay 0.0, head's weight 0.0001 decay 0.0, head's bias 0.0016 decay 0.0
#   loraplus_weight_decay=0.1: lora_A 0.0001 decay 0.1, lora_B 0.0016 decay 0.1, head's weight 0.0001 decay 0.1, head's bias 0.0016 decay 0.0
# Exits 1 if the first decays, or the head has one rate.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 peft==0.21.2 transformers==5.23.0 numpy==2.4.6
cat > "$folder/probe.py" <<'PY'
import sys

import torch
from peft import LoraConfig, get_peft_model
from peft.optimizers import create_loraplus_optimizer
from transformers import BertConfig, BertForSequenceClassification

sizes = BertConfig(vocab_size=80, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
settings = LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["query", "value"])
model = get_peft_model(BertForSequenceClassification(sizes), settings)
parts = {
    "lora_A": "lora_A",
    "lora_B": "lora_B",
    "head's weight": "classifier.modules_to_save.default.weight",
    "head's bias": "classifier.modules_to_save.default.bias",
}


def groups(**options):
    steps = create_loraplus_optimizer(model, torch.optim.AdamW, lr=1e-4, loraplus_lr_ratio=16, **options)
    of = {id(weight): (group["lr"], group["weight_decay"]) for group in steps.param_groups for weight in group["params"]}
    found = {}
    for name, part in parts.items():
        (found[name],) = {of[id(w)] for n, w in model.named_parameters() if w.requires_grad and part in n}
    ((option, value),) = options.items()
    told = ", ".join(f"{name} {rate:.4f} decay {decay}" for name, (rate, decay) in found.items())
    print(f"#   {option}={value}: {told}")
    return found


passed, own = groups(weight_decay=0.1), groups(loraplus_weight_decay=0.1)
no_decay = not any(decay for _, decay in passed.values())
sys.exit(0 if no_decay and own["lora_A"][1] == 0.1 and own["head's bias"][0] == 16 * own["head's weight"][0] else 1)
PY
"$folder/venv/bin/python" "$folder/probe.py" 2> "$folder/stderr" || { cat "$folder/stderr"; exit 1; }
