#!/usr/bin/env bash
# add_weighted_adapter(…, weights=[0.5, 0.5], combination_type="linear") of an adapter and a copy of it gives twice that adapter.
#
# Expected: 0.5 ΔW + 0.5 ΔW is ΔW, and of two adapters "linear" is the weighted sum of what they add to the weights.
# Seen: A and B are summed one by one, each by the root of its weight, and then multiplied, so that terms of one adapter's B with
# the other's A come in. Of equal adapters they make twice the update; of two trained from different seeds, noise of nearly
# half the size of the mean that was asked for. "cat" is exact, at the sum of the ranks. peft#3004 tells of it for negative weights;
# nothing in the documentation does. Whoever averages seeds, or mixes a domain's adapter into a task's, gets neither.
# (Adapters with a classification head are refused altogether, so these are of an encoder.)
# What helps: combination_type="cat", or "svd" with a rank of the sum.
#
# peft 0.21.2, transformers 5.23.0, torch 2.13.0, numpy 2.4.6, Python 3.11. Seen on 2026-12-01, norm of the difference from the
# weighted sum over the norm of that sum:
#   the same adapter twice: linear 1.00, cat 0.00, svd 0.00
#   two seeds: linear 0.44, cat 0.00
# Exits 1 if "linear" is the weighted sum, or "cat" is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 peft==0.21.2 transformers==5.23.0 numpy==2.4.6
cat > "$folder/probe.py" <<'PY'
import sys

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import BertConfig, BertModel

folder = sys.argv[1]
torch.set_num_threads(1)
torch.manual_seed(0)
sizes = BertConfig(vocab_size=80, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
BertModel(sizes).save_pretrained(f"{folder}/encoder")
words, wanted = torch.randint(3, 80, (24, 9)), torch.randn(24, 32)


def encoder():
    return BertModel.from_pretrained(f"{folder}/encoder")


for seed in (1, 2):
    torch.manual_seed(seed)
    settings = LoraConfig(task_type="FEATURE_EXTRACTION", r=4, lora_alpha=8, target_modules=["query", "value"])
    model = get_peft_model(encoder(), settings).train()
    steps = torch.optim.AdamW((weight for weight in model.parameters() if weight.requires_grad), lr=0.01)
    for _ in range(20):
        (model(input_ids=words).pooler_output - wanted).square().mean().backward()
        steps.step()
        steps.zero_grad()
    model.save_pretrained(f"{folder}/{seed}")


def apart(first, second, way):
    model = PeftModel.from_pretrained(encoder(), f"{folder}/{first}", adapter_name="first")
    model.load_adapter(f"{folder}/{second}", adapter_name="second")
    model.add_weighted_adapter(["first", "second"], [0.5, 0.5], "mean", combination_type=way)
    layers = [part for part in model.modules() if hasattr(part, "get_delta_weight")]
    update = {name: torch.cat([part.get_delta_weight(name) for part in layers]) for name in ("first", "second", "mean")}
    wanted = 0.5 * update["first"] + 0.5 * update["second"]
    return float((update["mean"] - wanted).norm() / wanted.norm())


same = {way: apart(1, 1, way) for way in ("linear", "cat", "svd")}
seeds = {way: apart(1, 2, way) for way in ("linear", "cat")}
for name, found in (("the same adapter twice", same), ("two seeds", seeds)):
    print(f"#   {name}: {', '.join(f'{way} {distance:.2f}' for way, distance in found.items())}")
exact = max(same["cat"], same["svd"], seeds["cat"]) < 1e-3
sys.exit(0 if exact and abs(same["linear"] - 1) < 1e-3 and seeds["linear"] > 0.1 else 1)
PY
"$folder/venv/bin/python" "$folder/probe.py" "$folder" 2> "$folder/stderr" || { cat "$folder/stderr"; exit 1; }
