#!/usr/bin/env bash
# A ClassLabel with the names '1', '2' and '3' maps the string '01' to the class '2', and '0' to the class '1': labels that
# are none of its names.
#
# Expected: str2int of a string that is no class name raises ValueError, as it does for 'zzz'.
# Seen: a string that is no name and can be read as a whole number is taken for the place of a class instead. So of a file
# with the labels 1, 2 and 3 where one is written 01 or 0, that row gets a class that is one off. Casting a column of strings
# to such a ClassLabel does the same without a word.
# What helps: compare the column's values with features["label"].names before casting, or name classes by words.
#
# datasets 5.2.0, pyarrow 26.0.1, pandas 3.1.1, numpy 2.4.6, Python 3.11. Seen on 2026-11-30:
#   '1' -> class '1', '2' -> class '2', '3' -> class '3'
#   '01' -> class '2', '0' -> class '1', 'zzz' -> ValueError
#   a column of '1', '01', '3' cast: ['1', '2', '3']
# Exits 1 if '01' or '0' is refused, or found to be another class.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet datasets==5.2.0 pyarrow==26.0.1 pandas==3.1.1 numpy==2.4.6
cat > "$folder/probe.py" <<'PY'
import sys

from datasets import ClassLabel, Dataset, disable_progress_bars

disable_progress_bars()
stars = ClassLabel(names=["1", "2", "3"])


def told(text):
    try:
        return f"class {stars.int2str(stars.str2int(text))!r}"
    except ValueError:
        return "ValueError"


known, others = {text: told(text) for text in ("1", "2", "3")}, {text: told(text) for text in ("01", "0", "zzz")}
for answers in (known, others):
    print("#   " + ", ".join(f"{text!r} -> {answer}" for text, answer in answers.items()))
column = Dataset.from_dict({"label": ["1", "01", "3"]}).cast_column("label", stars)["label"][:]
print(f"#   a column of '1', '01', '3' cast: {stars.int2str(column)}")
as_seen = list(others.values()) == ["class '2'", "class '1'", "ValueError"] and stars.int2str(column) == ["1", "2", "3"]
sys.exit(0 if as_seen else 1)
PY
HF_HOME="$folder/cache" "$folder/venv/bin/python" "$folder/probe.py"
