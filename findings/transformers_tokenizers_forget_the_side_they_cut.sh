#!/usr/bin/env bash
# tokenizer.truncation_side = "left" holds until the tokenizer is saved: what loads it cuts on the right again, unless the last
# call before saving happened to cut something.
#
# Expected: tokenizer_config.json keeps truncation_side and padding_side, attributes documented to be set, as it does
# model_max_length when that is set.
# Seen: saving writes the two only where from_pretrained or the constructor was given them, or the file that was loaded has them.
# Where they survive otherwise, it is in tokenizer.json, as the truncation or padding of the last call. A classifier that learned
# the ends of texts (complaints, mails, dialogues) reads their beginnings after reloading, if its tokenizer's last call before
# saving was one without truncation, as for a look at a text; a decoder padded by a collator alone, which the Rust tokenizer
# does not hear of, loses padding_side.
# What helps: AutoTokenizer.from_pretrained(PATH, truncation_side="left", padding_side="left"), which is saved, in place of
# setting attributes.
#
# transformers 5.23.0, tokenizers 0.23.3, Python 3.11. Seen on 2026-12-01, "a b c d e f" cut to five tokens:
#   as set: [CLS] d e f [SEP]
#   set, then saved: [CLS] a b c [SEP]
#   set, a text cut, saved: [CLS] d e f [SEP]
#   set, a text cut, a text whole, saved: [CLS] a b c [SEP]
#   given to from_pretrained, saved: [CLS] d e f [SEP]
#   model_max_length set to 7, saved: 7
# Exits 1 if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet transformers==5.23.0 tokenizers==0.23.3
cat > "$folder/probe.py" <<'PY'
import sys

from transformers import AutoTokenizer, BertTokenizer

start, saved = f"{sys.argv[1]}/start", f"{sys.argv[1]}/saved"
words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdef"]
BertTokenizer(vocab={word: number for number, word in enumerate(words)}).save_pretrained(start)
text, shorter = "a b c d e f", {"truncation": True, "max_length": 5}


def told(what, tokenizer):
    answer = tokenizer.decode(tokenizer(text, **shorter)["input_ids"])
    print(f"#   {what}: {answer}")
    return answer


def set_left():
    tokenizer = AutoTokenizer.from_pretrained(start)
    tokenizer.truncation_side = "left"
    return tokenizer


def reloaded(tokenizer, *calls):
    for options in calls:
        tokenizer(text, **options)
    tokenizer.save_pretrained(saved)
    return AutoTokenizer.from_pretrained(saved)


answers = [
    told("as set", set_left()),
    told("set, then saved", reloaded(set_left())),
    told("set, a text cut, saved", reloaded(set_left(), shorter)),
    told("set, a text cut, a text whole, saved", reloaded(set_left(), shorter, {})),
    told("given to from_pretrained, saved", reloaded(AutoTokenizer.from_pretrained(start, truncation_side="left"))),
]
short = AutoTokenizer.from_pretrained(start)
short.model_max_length = 7
kept = reloaded(short).model_max_length
print(f"#   model_max_length set to 7, saved: {kept}")
ends, begins = "[CLS] d e f [SEP]", "[CLS] a b c [SEP]"
sys.exit(0 if answers == [ends, begins, ends, begins, ends] and kept == 7 else 1)
PY
"$folder/venv/bin/python" "$folder/probe.py" "$folder" 2> "$folder/stderr" || { cat "$folder/stderr"; exit 1; }
