#!/usr/bin/env bash
# Dataset.class_encode_column on labels 0 to 11 gives them other numbers: 2 becomes 4 and 10 becomes 2. With ten classes or
# fewer each keeps its own.
#
# Expected: labels that are 0 to 11 already are what a ClassLabel of twelve classes stores, so encoding changes nothing but
# the type.
# Seen: the classes' names are the values as text, sorted as text, and a value's new number is its place among them: '0', '1',
# '10', '11', '2' … Whoever stratifies a split by the encoded column and then compares it with predictions, or with another
# file, by number, has ten of twelve classes wrong. -1 among 0 and 1 becomes 0 for the same reason, and 0 becomes 1.
# What helps: cast_column("label", ClassLabel(num_classes=12)), or a ClassLabel with names in the order that is meant.
#
# datasets 5.2.0, pyarrow 26.0.1, pandas 3.1.1, numpy 2.4.6, Python 3.11. Seen on 2026-11-30:
#   10 classes: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
#   12 classes: [0, 1, 4, 5, 6, 7, 8, 9, 10, 11, 2, 3]
#   cast to ClassLabel(num_classes=12): [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
# Exits 1 if twelve classes keep their numbers, or ten do not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet datasets==5.2.0 pyarrow==26.0.1 pandas==3.1.1 numpy==2.4.6
cat > "$folder/probe.py" <<'PY'
import sys

from datasets import ClassLabel, Dataset, disable_progress_bars

disable_progress_bars()


def labelled(classes):
    return Dataset.from_dict({"label": list(range(classes))})


ten, twelve = (labelled(classes).class_encode_column("label")["label"][:] for classes in (10, 12))
cast = labelled(12).cast_column("label", ClassLabel(num_classes=12))["label"][:]
print(f"#   10 classes: {ten}")
print(f"#   12 classes: {twelve}")
print(f"#   cast to ClassLabel(num_classes=12): {cast}")
sys.exit(0 if ten == list(range(10)) and cast == list(range(12)) and twelve[2] == 4 and twelve[10] == 2 else 1)
PY
HF_HOME="$folder/cache" "$folder/venv/bin/python" "$folder/probe.py"
