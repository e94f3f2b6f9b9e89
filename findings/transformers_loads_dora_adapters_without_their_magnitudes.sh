#!/usr/bin/env bash
# A DoRA adapter answers differently when transformers loads its folder (AutoModel….from_pretrained(ADAPTER),
# pipeline(ADAPTER), model.load_adapter) than when peft does. LoRA without DoRA answers the same.
#
# Expected: both read the same two files, and transformers has peft do the placing, so logits are equal.
# Seen: peft saves each trained magnitude as `….lora_magnitude_vector` and adds `.weight` when it loads one. transformers' own
# loader looks for the name with `.weight`, files what it finds under UNEXPECTED and what it does not find under MISSING, in a
# report that it logs, and goes on with the magnitudes that a new adapter starts with, the norms of W. A and B are there, so
# answers look sound. No exception, no Python warning.
# What helps: PeftModel.from_pretrained(base, ADAPTER), or merging before it is handed over.
#
# transformers 5.23.0, peft 0.21.2, torch 2.13.0, numpy 2.4.6, Python 3.11. Seen on 2026-11-30, largest difference of a logit
# from the trained model's over the largest logit:
#   LoRA: peft 0.0000, transformers 0.0000
#   DoRA: peft 0.0000, transformers 0.7043
# Exits 1 if transformers loads the DoRA adapter as it was trained, or one of the other three is off.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 transformers==5.23.0 peft==0.21.2 numpy==2.4.6
cat > "$folder/probe.py" <<'PY'
import sys

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForSequenceClassification, BertConfig

folder = sys.argv[1]
torch.set_num_threads(1)
torch.manual_seed(0)
shape = BertConfig(
    vocab_size=80, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, num_labels=2
)
AutoModelForSequenceClassification.from_config(shape).save_pretrained(f"{folder}/encoder")
words, classes = torch.randint(3, 80, (24, 9)), torch.arange(24) % 2


def encoder():
    return AutoModelForSequenceClassification.from_pretrained(f"{folder}/encoder")


@torch.no_grad()
def answers(model):
    return model.eval()(input_ids=words).logits


def distances(use_dora):
    adapter = f"{folder}/dora-{use_dora}"
    settings = LoraConfig(task_type="SEQ_CLS", r=2, use_dora=use_dora, target_modules=["query", "value", "dense"])
    model = get_peft_model(encoder(), settings).train()
    steps = torch.optim.AdamW((weight for weight in model.parameters() if weight.requires_grad), lr=0.02)
    for _ in range(15):
        model(input_ids=words, labels=classes).loss.backward()
        steps.step()
        steps.zero_grad()
    model.save_pretrained(adapter)
    trained = answers(model)
    loaded = PeftModel.from_pretrained(encoder(), adapter), AutoModelForSequenceClassification.from_pretrained(adapter)
    return [float((answers(each) - trained).abs().max() / trained.abs().max()) for each in loaded]


found = {name: distances(use_dora) for name, use_dora in (("LoRA", False), ("DoRA", True))}
for name, (by_peft, by_transformers) in found.items():
    print(f"#   {name}: peft {by_peft:.4f}, transformers {by_transformers:.4f}")
equal = max(*found["LoRA"], found["DoRA"][0]) < 1e-5
sys.exit(0 if equal and found["DoRA"][1] > 0.01 else 1)
PY
"$folder/venv/bin/python" "$folder/probe.py" "$folder" 2> "$folder/stderr" || { cat "$folder/stderr"; exit 1; }
