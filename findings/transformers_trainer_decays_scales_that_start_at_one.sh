#!/usr/bin/env bash
# Trainer's weight decay pulls (IA)³'s scales, which are 1 where they change nothing, to 0, and DoRA's magnitudes likewise; those
# of norms, which play the same part, it leaves alone.
#
# Expected: decay pulls what trains to what changes nothing, as it does LoRA's matrices; weight_decay is documented as "excluded
# from bias and LayerNorm parameters", the vectors of a stock model, and scales that adapters bring are such vectors.
# Seen: the exception goes by the names and classes of modules, and peft's vectors have neither. Where gradients are none, an (IA)³
# scale falls by weight_decay times the learning rate each step, so the encoder's keys and values fade; so does a magnitude,
# and with it the norm of a whole row of the weight. LoRA, to which DoRA is compared, returns to the base instead.
# What helps: optimizer_cls_and_kwargs or optimizers=, with groups of one's own.
#
# transformers 5.23.0, peft 0.21.2, accelerate 1.15.0, torch 2.13.0, numpy 2.4.6, Python 3.11. Seen on 2026-12-01, mean of what trains
# after 100 steps of 0.01 with weight_decay=0.1 on a loss without gradient:
#   IA3: ia3_l 1.0000 -> 0.9048
#   DoRA: lora_magnitude_vector 0.1123 -> 0.1016
#   LN tuning: LayerNorm.weight 1.0000 -> 1.0000
# Exits 1 if one of the first two stays, or the third does not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 transformers==5.23.0 peft==0.21.2 accelerate==1.15.0 numpy==2.4.6
cat > "$folder/probe.py" <<'PY'
import sys

import torch
from peft import IA3Config, LNTuningConfig, LoraConfig, get_peft_model
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

torch.set_num_threads(1)
torch.manual_seed(0)
sizes = BertConfig(
    vocab_size=80, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, num_labels=2
)
adapters = {
    "IA3": ("ia3_l", IA3Config(target_modules=["key", "value"], feedforward_modules=[])),
    "DoRA": ("lora_magnitude_vector", LoraConfig(r=2, use_dora=True, target_modules=["query", "value"])),
    "LN tuning": ("LayerNorm.weight", LNTuningConfig(target_modules=["LayerNorm"])),
}
rows = [{"input_ids": torch.randint(3, 80, (6,)), "labels": number % 2} for number in range(100)]
arguments = TrainingArguments(
    sys.argv[1],
    learning_rate=0.01,
    lr_scheduler_type="constant",
    weight_decay=0.1,
    per_device_train_batch_size=1,
    num_train_epochs=1,
    save_strategy="no",
    use_cpu=True,
    disable_tqdm=True,
    report_to="none",
)


def no_gradient(outputs, labels, num_items_in_batch=None):
    return outputs.logits.sum() * 0.0


means = {}
for name, (part, settings) in adapters.items():
    model = get_peft_model(BertForSequenceClassification(sizes), settings)
    vectors = [w for n, w in model.named_parameters() if w.requires_grad and part in n.replace(".ln_tuning_layers.default", "")]
    before = float(torch.cat([vector.detach().flatten() for vector in vectors]).mean())
    Trainer(model, arguments, train_dataset=rows, compute_loss_func=no_gradient).train()
    after = float(torch.cat([vector.detach().flatten() for vector in vectors]).mean())
    means[name] = after / before
    print(f"#   {name}: {part} {before:.4f} -> {after:.4f}")
decayed = 0.999**100
sys.exit(
    0
    if abs(means["IA3"] - decayed) < 1e-3 and abs(means["DoRA"] - decayed) < 1e-3 and means["LN tuning"] == 1
    else 1
)
PY
"$folder/venv/bin/python" "$folder/probe.py" "$folder" > "$folder/stdout" 2> "$folder/stderr" || { cat "$folder/stderr"; exit 1; }
grep "^#" "$folder/stdout"
