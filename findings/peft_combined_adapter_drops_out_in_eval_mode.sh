#!/usr/bin/env bash
# An adapter that add_weighted_adapter makes in a model in eval mode drops out: the same text gets another answer each time.
#
# Expected: PeftModel.from_pretrained gives a model in eval mode (model.training is False), load_adapter keeps it there, and so
# does adding a combination of what was loaded.
# Seen: the combination gets the dropout of the first adapter's configuration, as new modules, and new modules are in training mode.
# model.training still says False, which is the flag of the outermost module alone. Whoever trained without lora_dropout
# never sees it.
# What helps: model.eval() after add_weighted_adapter.
#
# peft 0.21.2, transformers 5.23.0, torch 2.13.0, numpy 2.4.6, Python 3.11. Seen on 2026-12-01, model.training and whether one text
# twice is one answer:
#   loaded: training False, equal True
#   a second one loaded: training False, equal True
#   their combination: training False, equal False
#   after model.eval(): training False, equal True
# Exits 1 if the combination's two answers are equal, or two of the others are not.
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
words = torch.randint(3, 80, (2, 9))


def encoder():
    return BertModel.from_pretrained(f"{folder}/encoder")


for name in ("first", "second"):
    settings = LoraConfig(r=4, lora_dropout=0.1, target_modules=["query", "value"], init_lora_weights=False)
    get_peft_model(encoder(), settings).save_pretrained(f"{folder}/{name}")  # weights drawn, as if trained

equal = []


@torch.no_grad()
def told(what):
    first, second = (model(input_ids=words).last_hidden_state for _ in range(2))
    equal.append(torch.equal(first, second))
    print(f"#   {what}: training {model.training}, equal {equal[-1]}")


model = PeftModel.from_pretrained(encoder(), f"{folder}/first", adapter_name="first")
told("loaded")
model.load_adapter(f"{folder}/second", adapter_name="second")
model.set_adapter("second")
told("a second one loaded")
model.add_weighted_adapter(["first", "second"], [0.5, 0.5], "both", combination_type="cat")
model.set_adapter("both")
told("their combination")
model.eval()
told("after model.eval()")
sys.exit(0 if equal == [True, True, False, True] else 1)
PY
"$folder/venv/bin/python" "$folder/probe.py" "$folder" 2> "$folder/stderr" || { cat "$folder/stderr"; exit 1; }
