#!/usr/bin/env bash
# How a tokenizer of transformers was last called is saved with it: after one call with truncation=True, max_length=2 the
# tokenizer.json of save_pretrained cuts every text to two tokens wherever the tokenizers library reads that file.
#
# Expected: calling a tokenizer leaves it as it is; the arguments of a call hold for that call.
# Seen: the call sets truncation and padding on the tokenizer of Rust beneath, where they stay, and saving writes them out.
# transformers sets both anew at each call, so AutoTokenizer reads whole texts and nobody notices; whoever serves an exported
# classifier with tokenizers alone (Tokenizer.from_file, the usual way beside ONNX Runtime) gets texts cut, and padded, as the
# last batch before saving happened to be.
# What helps: save before the first call, or tokenizer.backend_tokenizer.no_truncation() and no_padding() before saving.
#
# transformers 5.23.0, tokenizers 0.23.3, Python 3.11. Seen on 2026-11-30, tokens of "a b c d e":
#   saved before a call: tokenizers 5, transformers 5
#   saved after one with max_length=2: tokenizers 2, transformers 5
# Exits 1 if the second file is read whole by tokenizers, or another of the four is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet transformers==5.23.0 tokenizers==0.23.3
cat > "$folder/probe.py" <<'PY'
import sys

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

folder, text = sys.argv[1], "a b c d e"
words = Tokenizer(models.WordLevel({word: number for number, word in enumerate(["?", "_", *text.split()])}, unk_token="?"))
words.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="?", pad_token="_")
tokenizer.save_pretrained(f"{folder}/before")
tokenizer(["a b", text], truncation=True, max_length=2)
tokenizer.save_pretrained(f"{folder}/after")

lengths = []
for when, name in (("before", "before a call"), ("after", "after one with max_length=2")):
    alone = len(Tokenizer.from_file(f"{folder}/{when}/tokenizer.json").encode(text).ids)
    wrapped = len(AutoTokenizer.from_pretrained(f"{folder}/{when}")(text)["input_ids"])
    print(f"#   saved {name}: tokenizers {alone}, transformers {wrapped}")
    lengths += [alone, wrapped]
sys.exit(0 if lengths == [5, 5, 2, 5] else 1)
PY
"$folder/venv/bin/python" "$folder/probe.py" "$folder" 2> "$folder/stderr" || { cat "$folder/stderr"; exit 1; }
