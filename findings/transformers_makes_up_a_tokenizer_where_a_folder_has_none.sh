#!/usr/bin/env bash
# AutoTokenizer.from_pretrained of a folder that holds a model and no tokenizer's file gives a tokenizer for BERT, RoBERTa and
# their like: one that knows no word. Each text becomes unknown tokens, or, for RoBERTa, none at all.
#
# Expected: an OSError that names the missing tokenizer.json or vocab.txt.
# Seen: config.json names the family, the family's tokenizer class starts from an empty vocabulary with its special tokens,
# and no file is missed. Training on such a folder runs to its end, on texts that differ in length alone or not at all. MPNet
# and ModernBERT do raise, in other words each.
# What helps: look for tokenizer.json before loading, or check that len(tokenizer) is config.vocab_size.
#
# transformers 5.23.0, tokenizers 0.23.3, Python 3.11. Seen on 2026-11-30, ids of "the bank refused my card":
#   bert: 5 tokens known, [2, 1, 1, 1, 1, 1, 3], of "five other words in here" the same
#   roberta: 5 tokens known, [2, 3], of "five other words in here" the same
#   distilbert: 5 tokens known, [2, 1, 1, 1, 1, 1, 3], of "five other words in here" the same
# Exits 1 if one of the three raises, or tells the two texts apart.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet transformers==5.23.0 tokenizers==0.23.3
cat > "$folder/probe.py" <<'PY'
import sys

from transformers import AutoConfig, AutoTokenizer

first, second, alike = "the bank refused my card", "five other words in here", []
for family in ("bert", "roberta", "distilbert"):
    path = f"{sys.argv[1]}/{family}"
    AutoConfig.for_model(family).save_pretrained(path)  # and the weights, which no tokenizer asks for
    tokenizer = AutoTokenizer.from_pretrained(path)
    ids = [tokenizer(text)["input_ids"] for text in (first, second)]
    alike.append(ids[0] == ids[1])
    print(f'#   {family}: {len(tokenizer)} tokens known, {ids[0]}, of "{second}" {"the same" if alike[-1] else ids[1]}')
sys.exit(0 if all(alike) else 1)
PY
"$folder/venv/bin/python" "$folder/probe.py" "$folder" 2> "$folder/stderr" || { cat "$folder/stderr"; exit 1; }
