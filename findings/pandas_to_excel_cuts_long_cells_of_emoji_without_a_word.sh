#!/usr/bin/env bash
# DataFrame.to_excel(engine="xlsxwriter") cuts a text of 20,000 emoji to 16,383 and says nothing; of 40,000 letters it warns.
#
# Expected: what a cell does not hold is told, as for letters: "Cell contents too long, truncated to 32767 characters".
# Seen: pandas counts code points, of which 20,000 are below the 32,767 that a cell holds. XlsxWriter counts UTF-16 units, as
# Excel does, of which an emoji has two; it cuts there and answers -2, as its documentation says, and pandas drops the answer.
# So texts with many emoji, or in scripts beyond the first 65,536 characters, lose their end in silence.
# What helps: a look at len(text.encode("utf-16-le")) // 2 before writing, or Parquet.
#
# pandas 3.1.1, XlsxWriter 3.3.1, openpyxl 3.1.5, Python 3.11. Seen on 2026-11-30:
#   40,000 letters: 32,767 read back, UserWarning: Cell contents too long, truncated to 32767 characters
#   20,000 emoji: 16,383 read back, no warning
#   XlsxWriter alone answers -2 to the emoji
# Exits 1 if the emoji all come back, or a warning tells of them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pandas==3.1.1 xlsxwriter==3.3.1 openpyxl==3.1.5 numpy==2.4.6
cat > "$folder/probe.py" <<'PY'
import sys
import warnings

import pandas as pd
import xlsxwriter

path = f"{sys.argv[1]}/rows.xlsx"


def told(what, text):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pd.DataFrame({"text": [text]}).to_excel(path, engine="xlsxwriter", index=False)
    words = "; ".join(f"{one.category.__name__}: {one.message}" for one in caught) or "no warning"
    kept = len(pd.read_excel(path, engine="openpyxl")["text"][0])
    print(f"#   {len(text):,} {what}: {kept:,} read back, {words}")
    return kept, bool(caught)


letters, emoji = told("letters", "a" * 40_000), told("emoji", "\N{GRINNING FACE}" * 20_000)
with xlsxwriter.Workbook(path) as book:
    answer = book.add_worksheet().write_string(0, 0, "\N{GRINNING FACE}" * 20_000)
print(f"#   XlsxWriter alone answers {answer} to the emoji")
sys.exit(0 if (letters, emoji, answer) == ((32_767, True), (16_383, False), -2) else 1)
PY
"$folder/venv/bin/python" "$folder/probe.py" "$folder"
