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

_TYPE = (
    rb"\w*(?:int|char|text|blob|time|date)|integer|character|serial|real|float|double|decimal|numeric|bool|boolean|json|uuid"
)

BY_SUFFIX = {
    **dict.fromkeys((".pkl", ".pickle", ".joblib", ".pt", ".pth"), _CODE),
    **dict.fromkeys((".bin", ".npy", ".safetensors"), "it holds numbers or weights, no text"),
    **dict.fromkeys((".py", ".ipynb"), "a script would have to be run; rankwise runs no code from data"),
    **dict.fromkeys((".zip", ".tar", ".tgz", ".7z", ".bz2", ".xz", ".zst"), "an archive; unpack it first"),
    **dict.fromkeys((".xls", ".xlsb", ".numbers"), "a spreadsheet in a form that is not read; save it as .xlsx"),
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

_BEGINNINGS = tuple(
    (re.compile(form, re.IGNORECASE | re.DOTALL), what)
    for form, what in (  # of text as much as no sentence has
        (
            rb"PK\x03\x04",
            "a zip archive or an office document, whatever its name; unpack it, or give a workbook its ending, .xlsx",
        ),
        (rb"\xd0\xcf\x11\xe0", "an old office document, or one behind a password; save it as .xlsx without one, or as CSV"),
        (rb"\x1f\x8b", "compressed, though its name does not end in .gz; rename it so"),
        (rb"version https://git-lfs\.", "a note of Git LFS where the file should be; fetch the file itself: git lfs pull"),
        (rb"<!doctype html[^>]*>\s*<|<html[^>]*>\s*<(?:head|body|!--)", _PAGE),
        (rb"<\?xml\s[^>]*\?>\s*<", _XML),
        (rb"%PDF-\d", "a PDF; save its text first"),
        (rb"\{\\rtf\d", "a rich text document; save it as plain text"),
        (rb"SQLite format 3\0", "a database; have it export the table as CSV"),
        (rb"\x80[\x04\x05]\x95", _CODE),
        (rb"@relation\s.*?\n\s*@(?:attribute|data)\b", _ARFF),
        (rb"insert\s+into\s+\S+?\s*(?:\([^()]*\)\s*)?values\s*\(", _SQL),
        (rb"create\s+table\s+(?:if\s+not\s+exists\s+)?\S+?\s*\(\s*\S+\s+(?:%b)\b" % _TYPE, _SQL),
    )
)

MANY = 5  # lines of one form, from which on it is no coincidence

_LINES = (
    (_FEATURES, re.compile(r"[-+]?\d+(?:\.\d+)?(?:,\d+)*(?: qid:\d+)?(?: \d+:[-+.\de]+)+(?:\s*#.*)?")),
    (_VOWPAL, re.compile(r"[-+]?\d+(?:\.\d+)?(?: [-+.\d]+)?(?: '\S*)? \|\w+ .*")),
    (_TREES, re.compile(r"\(\d \(\d .*\)\)|\(\d [^\s()]+\)")),
)
_TAGGED = re.compile(r"\S+(?:[ \t]\S+)*[ \t](O|[BIESLUM]-[^\W\d]\S*)")
_TAG = re.compile(r"O|[BIESLUM]-[A-Z][A-Z_-]*")
# below or above a table's header
_RULE = re.compile(r"\|?(?:\s*:?-{3,}:?\s*\|)+(?:\s*:?-{3,}:?\s*)?|\+?[-=]{3,}(?:\+[-=]{3,})+\+?")


def by_beginning(head: bytes) -> str:
    """What a file is that begins with these bytes, without blanks before them; empty for what may be read."""
    return next((what for form, what in _BEGINNINGS if form.match(head)), "")


def by_lines(lines: Sequence[str]) -> str:
    """What a file is whose first lines, none of them blank, look like this; empty for what may be read."""
    lines = [line.rstrip() for line in lines]
    if _are_tagged(lines):
        return _WORDS
    if len(lines) >= MANY and (what := next((what for what, line in _LINES if all(map(line.fullmatch, lines))), "")):
        return what
    return _TABLE if any(_RULE.fullmatch(line.strip()) for line in lines[:2]) else ""


def _are_tagged(lines: Sequence[str]) -> bool:
    """Whether each line ends in the tag of a word: in tags of two kinds, in many lines, or with names that are upper case.

    Two of these are enough, for texts end in E-Mail and U-Bahn too, and a class may be called O.
    """
    found = list(map(_TAGGED.fullmatch, lines))
    tags = {tag[1] for tag in found if tag}
    if None in found or tags <= {"O"}:
        return False
    return ("O" in tags) + (len(lines) >= MANY) + all(map(_TAG.fullmatch, tags)) >= 2
