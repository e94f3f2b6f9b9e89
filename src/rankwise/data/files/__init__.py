"""Files of labelled text: formats, columns, tables, and prediction files."""
