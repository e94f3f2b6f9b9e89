"""What files are that hold text or labels in a form that is not read, and what to do with them instead.

They are known by the ending of their names, by their first bytes, whatever they are called, or by what their lines look like.
"""

import re
from collections.abc import Sequence

_CODE = "a pickle may run code when it is read"
_ARFF = "a Weka file; save it as CSV: ARFF Viewer, File, Save as"
_XML = "XML; write its texts and labels into a CSV file"
_YAML = "YAML; write its entries into a JSON file"
_SQL = "SQL; have the database export the table as CSV"
_TREES = "a tree of sentiments a line; write the words and the first number of each line into a CSV file"
_TABLE = "a table for people to read; save it as CSV"
_PAGE = "a web page; download the file that it leads to"
_WORDS = (
    "a word and its tags a line, as CoNLL has them, and rankwise classifies whole texts; write a text and its label a line"
)
_FEATURES = "numbers of features without their words, as SVMlight has them, of which no text can be read"
_VOWPAL = "Vowpal Wabbit's format; write its labels and texts into a CSV file"

BY_SUFFIX = {
    **dict.fromkeys((".pkl", ".pickle", ".joblib", ".pt", ".pth"), _CODE),
    **dict.fromkeys((".bin", ".npy", ".safetensors"), "it holds numbers or weights, no text"),
    **dict.fromkeys((".py", ".ipynb"), "a script would have to be run; rankwise runs no code from data"),
    **dict.fromkeys((".zip", ".tar", ".tgz", ".7z", ".bz2", ".xz", ".zst"), "an archive; unpack it first"),
    **dict.fromkeys((".xlsx", ".xls", ".ods"), "a spreadsheet; save the sheet as CSV"),
    **dict.fromkeys((".conll", ".conllu", ".iob", ".bio"), _WORDS),
    **dict.fromkeys((".svm", ".libsvm", ".svmlight"), _FEATURES),
    **dict.fromkeys((".yaml", ".yml"), _YAML),
    **dict.fromkeys((".db", ".sqlite", ".sqlite3"), "a database; have it export the table as CSV"),
    ".spacy": "spaCy's own format; write its texts and their categories as JSON, one object a line",
    ".arff": _ARFF,
    ".xml": _XML,
    ".sql": _SQL,
    ".vw": _VOWPAL,
}

BY_BEGINNING = {  # without case
    b"pk\x03\x04": "a zip archive or an office document, whatever its name; unpack it, or save it as CSV",
    b"\xd0\xcf\x11\xe0": "an old office document, whatever its name; save it as CSV",
    b"\x1f\x8b": "compressed, though its name does not end in .gz; rename it so",
    b"version https://git-lfs": "a note of Git LFS where the file should be; fetch the file itself: git lfs pull",
    b"<!doctype html": _PAGE,
    b"<html": _PAGE,
    b"<?xml": _XML,
    b"%pdf": "a PDF; save its text first",
    b"{\\rtf": "a rich text document; save it as plain text",
    b"sqlite format 3": "a database; have it export the table as CSV",
    b"\x80\x04\x95": _CODE,
    b"\x80\x05\x95": _CODE,
    b"@relation": _ARFF,
    b"insert into": _SQL,
    b"create table": _SQL,
}

_LINES = (
    (_FEATURES, re.compile(r"[-+]?\d+(?:\.\d+)?(?:,\d+)*(?: qid:\d+)?(?: \d+:[-+.\de]+)+(?:\s*#.*)?")),
    (_VOWPAL, re.compile(r"[-+]?\d+(?:\.\d+)?(?: [-+.\d]+)?(?: '\S*)? \|\w+ .*")),
    (_TREES, re.compile(r"\(\d+ .*\)")),
    (_WORDS, re.compile(r"\S+(?:[ \t]\S+)*[ \t](?:O|[BIESLUM]-[^\W\d]\S*)")),
)
_RULE = re.compile(
    r"\|?(?:\s*:?-{3,}:?\s*\|)+(?:\s*:?-{3,}:?\s*)?|\+?[-=]{3,}(?:\+[-=]{3,})+\+?"
)  # below or above a table's header


def by_lines(lines: Sequence[str]) -> str:
    """What a file is whose first lines, none of them blank, look like this; empty for what may be read."""
    found = next((what for what, line in _LINES if all(map(line.fullmatch, map(str.rstrip, lines)))), "")
    if found == _WORDS and not any(re.search(r"[BIESLUM]-[^\W\d]\S*\s*$", line) for line in lines):
        return ""  # a class may be called O
    if not found and any(_RULE.fullmatch(line.strip()) for line in lines[:2]):
        return _TABLE
    return found
