#!/usr/bin/env bash
# A text with a lone carriage return in it, as old Mac files and copied e-mails have, is written by DataFrame.to_csv without
# quotes, and pandas.read_csv then makes two rows of it, the first without a label.
#
# Expected: what to_csv writes, read_csv reads back: line breaks in a cell are why cells are quoted, and "\n" is.
# Seen: where lines end with "\n" (the default on Linux and macOS) the writer quotes cells with "\n" and leaves "\r" bare,
# while the reader, in its default C engine, ends a row at either. Nothing warns: one more row, and a label that is missing.
# What helps: quoting=csv.QUOTE_NONNUMERIC when writing, lineterminator="\n" when reading, or Parquet.
#
# pandas 3.1.1, numpy 2.4.6, Python 3.11, Linux. Seen on 2026-11-30:
#   2 rows written, bytes b'text,label\none\rtwo,x\nthree,y\n'
#   3 rows read, 1 without a label; with lineterminator="\n" 2 rows, 0 without
#   written with QUOTE_NONNUMERIC 2 rows
# Exits 1 if the two rows are two again by default.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pandas==3.1.1 numpy==2.4.6
cat > "$folder/probe.py" <<'PY'
import csv
import sys

import pandas as pd

path = f"{sys.argv[1]}/texts.csv"
rows = pd.DataFrame({"text": ["one\rtwo", "three"], "label": ["x", "y"]})
rows.to_csv(path, index=False)
print(f"#   {len(rows)} rows written, bytes {open(path, 'rb').read()}")
plain, told = pd.read_csv(path), pd.read_csv(path, lineterminator="\n")
missing = [int(table["label"].isna().sum()) for table in (plain, told)]
print(
    f"#   {len(plain)} rows read, {missing[0]} without a label; "
    f'with lineterminator="\\n" {len(told)} rows, {missing[1]} without'
)
rows.to_csv(path, index=False, quoting=csv.QUOTE_NONNUMERIC)
quoted = pd.read_csv(path)
print(f"#   written with QUOTE_NONNUMERIC {len(quoted)} rows")
sys.exit(0 if (len(plain), missing) == (3, [1, 0]) and told.equals(rows) and quoted.equals(rows) else 1)
PY
"$folder/venv/bin/python" "$folder/probe.py" "$folder"
