#!/usr/bin/env bash
# Trainer.predict gives its answers in another order than the rows that it was given, once training groups texts by length.
#
# Expected: train_sampling_strategy is documented as the sampler of the training dataloader; row i of predict(test) is text i.
# Seen: "group_by_length" also samples what is evaluated and predicted, in megabatches that are drawn and then sorted by length.
# The labels come in the same order, so metrics are right and nobody notices; whoever writes predictions.argmax(-1) beside the
# texts, or into a submission, has most of them at other texts. test_dataset's own order is nowhere to be had from the output.
# What helps: set trainer.args.train_sampling_strategy = "random" before predict. The seed of that sampler was the subject of
# transformers#48025; that predict returns rows in its order is not.
#
# transformers 5.23.0, accelerate 1.15.0, torch 2.13.0, numpy 2.4.6, Python 3.11. Seen on 2026-12-01, 60 rows:
#   random: 60 of 60 labels in the order of the rows, 60 logits that of their text
#   group_by_length: 27 of 60 labels in the order of the rows, 0 logits that of their text
# Exits 1 if grouping by length leaves the rows in order, or "random" does not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 transformers==5.23.0 accelerate==1.15.0 numpy==2.4.6
cat > "$folder/probe.py" <<'PY'
import sys

import numpy as np
import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

torch.set_num_threads(1)
torch.manual_seed(0)
sizes = BertConfig(
    vocab_size=100,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=64,
    initializer_range=0.2,
    num_labels=3,
)
model = BertForSequenceClassification(sizes).eval()
texts = [torch.randint(5, 100, (int(tokens),)).tolist() for tokens in torch.randint(3, 30, (60,))]
rows = [{"input_ids": text, "labels": number % 3} for number, text in enumerate(texts)]


def padded(batch):
    longest = max(len(row["input_ids"]) for row in batch)
    ids = [row["input_ids"] + [0] * (longest - len(row["input_ids"])) for row in batch]
    mask = [[int(token > 0) for token in line] for line in ids]
    columns = {"input_ids": ids, "attention_mask": mask, "labels": [row["labels"] for row in batch]}
    return {name: torch.tensor(column) for name, column in columns.items()}


with torch.no_grad():
    alone = np.concatenate([model(torch.tensor([text])).logits.numpy() for text in texts])
in_order = {}
for strategy in ("random", "group_by_length"):
    arguments = TrainingArguments(
        sys.argv[1], per_device_eval_batch_size=8, use_cpu=True, disable_tqdm=True, train_sampling_strategy=strategy
    )
    output = Trainer(model, arguments, data_collator=padded, train_dataset=rows, eval_dataset=rows).predict(rows)
    labels = int((output.label_ids == [row["labels"] for row in rows]).sum())
    logits = int(np.isclose(output.predictions, alone, atol=1e-4).all(axis=1).sum())
    print(f"#   {strategy}: {labels} of {len(rows)} labels in the order of the rows, {logits} logits that of their text")
    in_order[strategy] = labels, logits
sys.exit(0 if in_order["random"] == (60, 60) and max(in_order["group_by_length"]) < 40 else 1)
PY
"$folder/venv/bin/python" "$folder/probe.py" "$folder" 2> "$folder/stderr" || { cat "$folder/stderr"; exit 1; }
