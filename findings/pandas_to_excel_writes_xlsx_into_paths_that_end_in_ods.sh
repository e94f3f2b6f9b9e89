#!/usr/bin/env bash
# DataFrame.to_excel(Path("rows.ods")) writes an Excel workbook into a file called .ods; of the same name as a string an
# OpenDocument sheet.
#
# Expected: a file's format does not depend on whether its path is a str or a pathlib.Path; the documentation has both.
# Seen: ExcelWriter looks at the suffix of strings only, and takes xlsx for anything else. Nothing warns. A reader that goes by
# the name, as with engine="odf", finds no OpenDocument file: odfpy refuses it.
# What helps: str(path), or engine="odf".
#
# pandas 3.1.1, openpyxl 3.1.5, odfpy 1.4.1, Python 3.11. Seen on 2026-11-30:
#   str: odf, mimetype application/vnd.oasis.opendocument.spreadsheet
#   Path: openpyxl, mimetype none, a workbook of Excel: True
#   read_excel(path, engine="odf"): KeyError
# Exits 1 if both are of one format, or odfpy reads what was written to the Path.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pandas==3.1.1 openpyxl==3.1.5 odfpy==1.4.1 numpy==2.4.6
cat > "$folder/probe.py" <<'PY'
import sys
from pathlib import Path
from zipfile import ZipFile

import pandas as pd

rows, folder = pd.DataFrame({"text": ["a text"], "label": ["x"]}), Path(sys.argv[1])
by_string, by_path = folder / "string.ods", folder / "path.ods"
rows.to_excel(str(by_string), index=False)
rows.to_excel(by_path, index=False)


def mimetype(path):
    with ZipFile(path) as archive:
        return archive.read("mimetype").decode() if "mimetype" in archive.namelist() else "none"


engines = [pd.ExcelWriter(path).engine for path in (str(folder / "a.ods"), folder / "b.ods")]
with ZipFile(by_path) as archive:
    is_excel = "xl/workbook.xml" in archive.namelist()
print(f"#   str: {engines[0]}, mimetype {mimetype(by_string)}")
print(f"#   Path: {engines[1]}, mimetype {mimetype(by_path)}, a workbook of Excel: {is_excel}")
try:
    pd.read_excel(by_path, engine="odf")
    refused = "read"
except Exception as error:
    refused = type(error).__name__
print(f'#   read_excel(path, engine="odf"): {refused}')
sys.exit(0 if mimetype(by_string).endswith("spreadsheet") and is_excel and refused != "read" else 1)
PY
"$folder/venv/bin/python" "$folder/probe.py" "$folder"
