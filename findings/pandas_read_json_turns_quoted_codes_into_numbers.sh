#!/usr/bin/env bash
# Strings in JSON lines come out of pandas.read_json as numbers where all of a column look like some, so that codes that
# differ become one: "007" and "07", or two ids of twenty digits.
#
# Expected: JSON has strings and numbers, and the file says which is which; types are guessed of CSV, which has none.
# Seen: dtype=True, the default, casts a column of strings to int64, or to float64 where the numbers do not fit, whole columns
# at once and without a warning. Labels lose their leading zeros, long ids their last digits.
# What helps: dtype=False (or dtype={"label": str}), or json.loads for each line.
#
# pandas 3.1.1, numpy 2.4.6, Python 3.11. Seen on 2026-11-30:
#   "007", "07" -> [7, 7]; with dtype=False ['007', '07']
#   "12345678901234567890", "12345678901234567891" -> 1 different value of 2
# Exits 1 if read_json keeps either pair apart by default.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pandas==3.1.1 numpy==2.4.6
cat > "$folder/probe.py" <<'PY'
import io
import json
import sys

import pandas as pd


def read(labels, **options):
    lines = "".join(json.dumps({"text": "some words", "label": label}) + "\n" for label in labels)
    return pd.read_json(io.StringIO(lines), lines=True, **options)["label"].tolist()


codes, ids = ["007", "07"], ["12345678901234567890", "12345678901234567891"]
guessed, kept, long = read(codes), read(codes, dtype=False), read(ids)
print(f'#   "007", "07" -> {guessed}; with dtype=False {kept}')
print(f'#   "{ids[0]}", "{ids[1]}" -> {len(set(long))} different value of 2')
sys.exit(0 if guessed == [7, 7] and kept == codes and len(set(long)) == 1 else 1)
PY
"$folder/venv/bin/python" "$folder/probe.py"
