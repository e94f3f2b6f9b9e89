"""The file formats, one file each; a new one is a file here and a place in FORMATS.

A file whose name does not say its format is read by the last format that recognises it: later ones are more particular.
"""

from rankwise.data.files.formats import arrow, csv, excel, fasttext, json, lines, parquet, trec
from rankwise.data.files.rows import Format, Writer

FORMATS = (csv.FORMAT, json.FORMAT, parquet.FORMAT, arrow.FORMAT, excel.FORMAT, trec.FORMAT, fasttext.FORMAT)
LINES = lines.FORMAT  # what any other text is
READERS: dict[str, Format] = {suffix: format for format in FORMATS for suffix in format.reads}
WRITERS: dict[str, Writer] = {suffix: format.write for format in FORMATS if format.write for suffix in format.writes}
