"""The file formats, one file each; a new one is a file here and a place in FORMATS."""

from rankwise.data.files.formats import arrow, csv, json, parquet
from rankwise.data.files.rows import Format, Writer

FORMATS = (csv.FORMAT, json.FORMAT, parquet.FORMAT, arrow.FORMAT)
READERS: dict[str, Format] = {suffix: format for format in FORMATS for suffix in format.reads}
WRITERS: dict[str, Writer] = {suffix: format.write for format in FORMATS if format.write for suffix in format.writes}
