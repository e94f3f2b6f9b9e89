#!/usr/bin/env bash
# On a base loaded in bf16, peft keeps LoRA's matrices in fp32 and trains the classification head, and all of LN tuning, in bf16:
# the norms' weights do not move at all at the learning rates that are usual.
#
# Expected: autocast_adapter_dtype=True, the default, is documented to cast adapter weights to float32 "as this is typically
# required for stable training", so what trains is fp32: A and B, and the copies of modules beside them.
# Seen: what is copied from the base, modules_to_save (the head of SEQ_CLS) and LN tuning's norms, keeps the base's dtype. Near 1,
# where norms start, numbers of bf16 are 0.004 or 0.008 apart, so that AdamW's step of 0.001 rounds to nothing, each time.
# Nothing warns, and what else is trained goes on learning. ("select PEFT tuners" is what the documentation says of
# the option; of modules_to_save it says nothing.)
# What helps: loading the base in float32 under torch.autocast, or calling .float() on the trained parameters.
#
# peft 0.21.2, transformers 5.23.0, torch 2.13.0, numpy 2.4.6, Python 3.11. Seen on 2026-12-01:
#   LoRA on bfloat16: lora_A and lora_B float32, classifier bfloat16
#   LN tuning on float32: 160 of 160 weights of norms moved in 50 steps of 0.001
#   LN tuning on bfloat16: 0 of 160 weights of norms moved in 50 steps of 0.001
# Exits 1 if the head is fp32, or norms of bf16 move.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 peft==0.21.2 transformers==5.23.0 numpy==2.4.6
cat > "$folder/probe.py" <<'PY'
import sys

import torch
from peft import LNTuningConfig, LoraConfig, get_peft_model
from transformers import BertConfig, BertForSequenceClassification

folder = sys.argv[1]
torch.set_num_threads(1)
torch.manual_seed(0)
sizes = BertConfig(
    vocab_size=80, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, num_labels=2
)
BertForSequenceClassification(sizes).save_pretrained(f"{folder}/base")
words, classes = torch.randint(3, 80, (24, 9)), torch.arange(24) % 2


def adapted(settings, dtype):
    return get_peft_model(BertForSequenceClassification.from_pretrained(f"{folder}/base", dtype=dtype), settings)


def trained(model):
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def short(dtype):
    return str(dtype).removeprefix("torch.")


lora = trained(adapted(LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["query"]), torch.bfloat16))
low_rank = {weight.dtype for name, weight in lora.items() if "lora_" in name}
head = {weight.dtype for name, weight in lora.items() if "classifier" in name}
print(f"#   LoRA on bfloat16: lora_A and lora_B {short(*low_rank)}, classifier {short(*head)}")
moved = {}
for dtype in (torch.float32, torch.bfloat16):
    model = adapted(LNTuningConfig(task_type="SEQ_CLS", target_modules=["LayerNorm"]), dtype).train()
    weights = trained(model)
    norms = [weight for name, weight in weights.items() if "LayerNorm" in name and name.endswith("weight")]
    start = torch.cat(norms).detach().clone()
    steps = torch.optim.AdamW(weights.values(), lr=0.001, weight_decay=0.0)
    for _ in range(50):
        model(input_ids=words, labels=classes).loss.backward()
        steps.step()
        steps.zero_grad()
    moved[dtype] = int((torch.cat(norms) != start).sum())
    print(f"#   LN tuning on {short(dtype)}: {moved[dtype]} of {len(start)} weights of norms moved in 50 steps of 0.001")
as_seen = low_rank == {torch.float32} and head == {torch.bfloat16} and list(moved.values()) == [len(start), 0]
sys.exit(0 if as_seen else 1)
PY
"$folder/venv/bin/python" "$folder/probe.py" "$folder" 2> "$folder/stderr" || { cat "$folder/stderr"; exit 1; }
