#!/usr/bin/env bash
# BigBirdForSequenceClassification scores a long text otherwise once it has scored a batch of short ones, and from then on.
#
# Expected: a model in eval mode has no memory; in which order texts are scored is nothing to their logits.
# Seen: sparse attention takes a certain length (704 tokens as google/bigbird-roberta-base is configured). The first batch below
# it turns the model itself to full attention, which the documentation calls an automatic fallback, and nothing turns it back: a
# log line once, then other logits, quadratic time and memory for every long text, in training as well. transformers#20031 told
# of it in 2022 and was closed. Sparse attention also counts the last block as seen by all, padding or not, so the same text
# scores otherwise beside a longer one.
# What helps: attention_type="original_full" from the start, or model.bert.set_attention_type("block_sparse") before each batch.
#
# transformers 5.23.0, torch 2.13.0, numpy 2.4.6, Python 3.11. Seen on 2026-12-01, attention and logits of one text of 512 tokens,
# where 144 are enough for sparse attention:
#   first: block_sparse, 0.7972 -1.4122 0.4509
#   again: block_sparse, 0.7972 -1.4122 0.4509
#   after a text of 10 tokens: original_full, 0.8031 -1.4262 0.4539
# Exits 1 if the third is the first, or the second is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 transformers==5.23.0 numpy==2.4.6
cat > "$folder/probe.py" <<'PY'
import sys

import torch
from transformers import BigBirdConfig, BigBirdForSequenceClassification

torch.set_num_threads(1)
torch.manual_seed(0)
sizes = BigBirdConfig(
    vocab_size=100,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=64,
    max_position_embeddings=2048,
    block_size=16,
    num_random_blocks=2,
    initializer_range=0.15,
    num_labels=3,
)
model = BigBirdForSequenceClassification(sizes).eval()
long, short = torch.randint(5, 100, (1, 512)), torch.randint(5, 100, (1, 10))


@torch.no_grad()
def told(what):
    logits = model(long).logits[0]
    print(f"#   {what}: {model.bert.attention_type}, {' '.join(f'{logit:.4f}' for logit in logits)}")
    return logits


first, again = told("first"), told("again")
with torch.no_grad():
    model(short)
after = told("after a text of 10 tokens")
sys.exit(0 if torch.equal(first, again) and float((after - first).abs().max()) > 1e-3 else 1)
PY
"$folder/venv/bin/python" "$folder/probe.py" 2> "$folder/stderr" || { cat "$folder/stderr"; exit 1; }
