"""Workbooks of Excel and LibreOffice: one sheet, read as CSV is; by python-calamine, written by XlsxWriter, both loaded late.

A cell is what is stored in it: a number without its format, a date as YYYY-MM-DD, of a formula its last result.
"""

import json
import math
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from rankwise.data.files.rows import Format, OutputRow, Row, Rows, first_line
from rankwise.data.files.text import MAX_RATIO, MAX_UNPACKED, TextFile
from rankwise.errors import DataError, as_set, as_typed, nearest, require

EXTRA = "excel"
SHOWN = 5  # sheets that a message names
TOO_LONG, TOO_MANY = -2, -1  # what XlsxWriter answers to a cell of over 32,767 characters, and to a row beyond the last one


def read(file: TextFile) -> Rows:
    """The rows of the sheet that is named, or of the only one that holds any."""
    if file.compressed:
        raise DataError(f"{file.name}: a compressed workbook; unpack it: gunzip {as_typed(file.name)}")

    name, sheet = _sheet(file)
    several = f", sheet {name}" if name else ""
    return Rows(f"Excel{several}", lambda: _rows(sheet))


def sheets_in(path: Path, name: str) -> list[str]:
    """The sheets of a workbook that hold rows and are not hidden. Raises DataError for what is no workbook."""
    return [sheet for sheet, _ in _filled(_workbook(path, name))]


def _sheet(file: TextFile) -> tuple[str, Any]:
    """(its name where there are others, the sheet that is read). Raises DataError where that is not clear."""
    workbook = _workbook(file.path, file.name)
    if file.sheet is not None:
        if file.sheet not in workbook.sheet_names:
            known = ", ".join(workbook.sheet_names)
            raise DataError(f"{file.name}: no sheet '{file.sheet}' among {known}{nearest(file.sheet, workbook.sheet_names)}")
        return file.sheet, workbook.get_sheet_by_name(file.sheet)
    filled = _filled(workbook)
    if len(filled) > 1:
        names = [name for name, _ in filled]
        shown = ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
        raise DataError(f"{file.name}: {len(names)} sheets hold rows: {shown}; say which: {as_set('data.sheet', names[0])}")
    return ("", filled[0][1]) if filled else ("", None)


def _workbook(path: Path, name: str) -> Any:
    calamine = require("python_calamine", extra=EXTRA)
    try:
        _refuse_bomb(path, name)
        with path.open("rb") as stream:  # whose content says what it is: pandas writes .xlsx into files called .ods
            return calamine.CalamineWorkbook.from_filelike(stream)
    except (calamine.CalamineError, zipfile.BadZipFile, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{name}: not a workbook that can be read ({first_line(error)}); save it again as .xlsx") from error


def _refuse_bomb(path: Path, name: str) -> None:
    """Raise DataError for a workbook that grows out of all proportion when it is unpacked."""
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(part.file_size for part in archive.infolist())
    packed = path.stat().st_size
    if unpacked > max(MAX_UNPACKED, MAX_RATIO * packed):
        raise DataError(
            f"{name}: {packed:,} bytes grow to {unpacked:,}, over {MAX_RATIO} times as many; if you trust it, save the sheet "
            "as CSV"
        )


def _filled(workbook: Any) -> list[tuple[str, Any]]:
    """(name, sheet) of each sheet that is not hidden and holds a cell."""
    calamine = require("python_calamine", extra=EXTRA)
    shown = [
        part.name
        for part in workbook.sheets_metadata
        if part.visible == calamine.SheetVisibleEnum.Visible and part.typ == calamine.SheetTypeEnum.WorkSheet
    ]
    sheets = [(name, workbook.get_sheet_by_name(name)) for name in shown]
    return [(name, sheet) for name, sheet in sheets if sheet.height]


def _rows(sheet: Any) -> Iterator[Row]:
    """The rows that are not blank, cells as strings, each with its number in the sheet."""
    for number, cells in enumerate(() if sheet is None else sheet.iter_rows(), start=1):
        written = [_written(cell) for cell in cells]
        if any(written):
            yield number, written


def _written(cell: Any) -> str:
    """A cell as text: 3 and 3.0 as 3, true and false in small letters."""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, datetime):
        return cell.isoformat(" ") if cell.time() != datetime.min.time() else cell.date().isoformat()
    return str(cell)


def _write(path: Path, columns: Sequence[str], rows: Iterable[OutputRow]) -> None:
    """One sheet, its rows in a temporary file; text stays text, also where it begins as a formula does.

    The packed workbook goes through memory, since XlsxWriter leaves a file that it can't write open.
    """
    xlsxwriter = require("xlsxwriter", extra=EXTRA)
    packed = BytesIO()
    with xlsxwriter.Workbook(packed, {"constant_memory": True}) as workbook:
        sheet = workbook.add_worksheet("predictions")
        for at, name in enumerate(columns):
            sheet.write_string(0, at, name)
        for number, row in enumerate(rows, start=1):
            for at, name in enumerate(columns):
                _write_cell(sheet, number, at, name, row[name])
    path.write_bytes(packed.getbuffer())


def _write_cell(sheet: Any, number: int, at: int, column: str, value: Any) -> None:
    """Raises DataError for what a sheet has no room for."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return
    if isinstance(value, bool):
        answer = sheet.write_boolean(number, at, value)
    elif isinstance(value, (int, float)) and abs(value) < 2**53:  # of longer numbers a sheet keeps the beginning
        answer = sheet.write_number(number, at, value)
    else:
        answer = sheet.write_string(number, at, value if isinstance(value, str) else _text_of(value))
    if answer == TOO_LONG:
        raise DataError(
            f"row {number}, column '{column}': over 32,767 characters, and Excel's cells hold no more; write .csv or .jsonl"
        )
    if answer == TOO_MANY:
        raise DataError("over 1,048,575 rows, and a sheet of Excel holds no more; write .csv, .jsonl or .parquet")


def _text_of(value: Any) -> str:
    is_nested = isinstance(value, (list, dict))
    return json.dumps(value, ensure_ascii=False, default=str) if is_nested else str(value)


FORMAT = Format(
    read=read, reads=(".xlsx", ".xlsm", ".ods"), begins=(b"PK\x03\x04",), writes=(".xlsx",), write=_write, gzipped=False
)
