#!/usr/bin/env bash
# Given pairs of texts as tuples, transformers' text-classification pipeline answers by the first text of each and leaves the
# second out, without a word.
#
# Expected: [("a premise", "a hypothesis")] is a list of pairs, as it is to the tokenizer that the pipeline calls and to
# sentence-transformers' CrossEncoder.predict; or it is refused, as a list of lists is.
# Seen: a list of two texts in the place of a text raises a ValueError that names the dict to write, {"text": …, "text_pair": …}.
# A tuple passes that check, is tokenised as a batch of two single texts, and of the two answers the first is returned: the
# score is to the last digit that of the first text alone, whatever the second says. So it is with padding=True, as one passes
# it for long texts; without it texts of unlike lengths end in an error about tensors, and those of one length do not.
# What helps: dicts with text and text_pair.
#
# transformers 5.23.0, torch 2.13.0, numpy 2.4.6, Python 3.11. Seen on 2026-12-01, a random model, the score of its first label:
#   a dict with text and text_pair: 0.76281
#   the tuple of the same texts: 0.50331
#   a tuple with another second text: 0.50331
#   the first text alone: 0.50331
#   a list in place of the tuple: ValueError
# Exits 1 if tuples are answered as pairs, or refused.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 transformers==5.23.0 numpy==2.4.6
cat > "$folder/probe.py" <<'PY'
import sys
from pathlib import Path

import torch
from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast, pipeline

torch.set_num_threads(1)
torch.manual_seed(0)
vocabulary = Path(sys.argv[1]) / "vocab.txt"
vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh"]))
tokenizer = BertTokenizerFast(str(vocabulary))
sizes = BertConfig(
    vocab_size=13, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, num_labels=3,
    initializer_range=0.5,
)
classify = pipeline(
    "text-classification", model=BertForSequenceClassification(sizes).eval(), tokenizer=tokenizer, top_k=None
)


def first_score(asked):
    answer = classify(asked, padding=True, truncation=True)
    while isinstance(answer[0], list):
        answer = answer[0]
    return round(next(each["score"] for each in answer if each["label"] == "LABEL_0"), 5)


pair = first_score([{"text": "a b c", "text_pair": "d e f"}])
as_tuple, other = first_score([("a b c", "d e f")]), first_score([("a b c", "g h")])
alone = first_score(["a b c"])
print("#   a dict with text and text_pair:", pair)
print("#   the tuple of the same texts:", as_tuple)
print("#   a tuple with another second text:", other)
print("#   the first text alone:", alone)
try:
    first_score([["a b c", "d e f"]])
    refused = False
except ValueError:
    refused = True
print("#   a list in place of the tuple:", "ValueError" if refused else "answered")
assert pair != alone
sys.exit(0 if as_tuple == other == alone and refused else 1)
PY
"$folder/venv/bin/python" "$folder/probe.py" "$folder" 2> "$folder/stderr" || { cat "$folder/stderr"; exit 1; }
