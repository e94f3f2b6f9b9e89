"""The file formats, one file each; a new one is a file here and a place in FORMATS."""

from rankwise.data.files.formats import csv, jsonl, parquet
from rankwise.data.files.rows import Format

FORMATS = (csv.FORMAT, jsonl.FORMAT, parquet.FORMAT)
READERS: dict[str, Format] = {suffix: format for format in FORMATS for suffix in format.reads}
WRITERS: dict[str, Format] = {suffix: format for format in FORMATS for suffix in format.writes}
