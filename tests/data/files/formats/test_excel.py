"""Workbooks are read as CSV is, from the sheet that holds rows or that is named, and written so that no cell is a formula."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from tables import failing, read, write

from rankwise.data.files.output import write_rows
from rankwise.data.sources import sources_of
from rankwise.errors import DataError
from rankwise.recipe import DataSpec, SourceSpec

pytest.importorskip("python_calamine", reason="the extra excel is not installed")
xlsxwriter = pytest.importorskip("xlsxwriter", reason="the extra excel is not installed")

ROWS = [("text", "label"), ("so late", "delivery"), ("how kind", "praise")]


def book(path: Path, hidden: str = "", **sheets: Sequence[Sequence[Any]]) -> Path:
    """A workbook of these sheets."""
    with xlsxwriter.Workbook(path, {"default_date_format": "yyyy-mm-dd"}) as workbook:
        for name, rows in sheets.items():
            sheet = workbook.add_worksheet(name)
            for at, row in enumerate(rows):
                sheet.write_row(at, 0, row)
            if name == hidden:
                sheet.hide()
    return path


def test_the_sheet_that_holds_rows_is_read(tmp_path: Path) -> None:
    table = read(book(tmp_path / "t.xlsx", hidden="old", data=ROWS, empty=[], old=ROWS))
    assert (tuple(table.texts), table.labels) == (("so late", "how kind"), ("delivery", "praise"))
    assert table.layout.describe() == "t.xlsx: Excel, header; label = label, text = text"


CONTENT = """<?xml version="1.0"?>
<office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"
 xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0" xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"
><office:body><office:spreadsheet><table:table table:name="data">{}</table:table></office:spreadsheet></office:body
></office:document-content>"""


def test_an_open_document_is_read_and_what_a_file_is_called_does_not_matter(tmp_path: Path) -> None:
    kind = "application/vnd.oasis.opendocument.spreadsheet"
    entry = '<manifest:file-entry manifest:full-path="{}" manifest:media-type="{}"/>'
    manifest = entry.format("/", kind) + entry.format("content.xml", "text/xml")
    cell = '<table:table-cell office:value-type="string"><text:p>{}</text:p></table:table-cell>'
    rows = "".join(f"<table:table-row>{''.join(map(cell.format, row))}</table:table-row>" for row in ROWS)
    with zipfile.ZipFile(tmp_path / "t.ods", "w") as archive:
        archive.writestr("mimetype", kind)
        archive.writestr(
            "META-INF/manifest.xml",
            '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0">'
            f"{manifest}</manifest:manifest>",
        )
        archive.writestr("content.xml", CONTENT.format(rows))
    book(tmp_path / "t.xlsx", data=ROWS).rename(tmp_path / "other.ods")
    for name in ("t.ods", "other.ods"):
        assert (read(tmp_path / name).texts, read(tmp_path / name).labels) == (
            ("so late", "how kind"),
            ("delivery", "praise"),
        )


def test_several_sheets_with_rows_are_asked_about_and_the_one_that_is_named_is_read(tmp_path: Path) -> None:
    path = book(tmp_path / "t.xlsx", north=ROWS, south=[("text", "label"), ("again", "praise"), ("late", "delivery")])
    assert "t.xlsx: 2 sheets hold rows: north, south; say which: --set data.sheet=north" in failing(path)
    assert tuple(read(path, sheet="south").texts) == ("again", "late")
    assert "Excel, sheet south, header" in read(path, source={"sheet": "south"}).layout.describe()
    assert "no sheet 'soth' among north, south; did you mean 'south'" in failing(path, sheet="soth")


def test_sheets_named_after_splits_are_the_splits(tmp_path: Path) -> None:
    path = str(book(tmp_path / "t.xlsx", Train=ROWS, notes=ROWS, test=ROWS))
    splits = sources_of(DataSpec(source=path)).splits
    assert splits == {"train": SourceSpec(path=path, sheet="Train"), "test": SourceSpec(path=path, sheet="test")}
    assert sources_of(DataSpec(source=path, sheet="notes")).splits == {"train": SourceSpec(path=path)}


def test_cells_are_what_is_stored_in_them(tmp_path: Path) -> None:
    row = ("x", 3.0, 2.5, True, date(2024, 1, 2), datetime(2024, 1, 2, 3, 4, 5))
    path = book(tmp_path / "t.xlsx", data=[("text", "label", "share", "seen", "day", "at"), row])
    cells = tuple(read(path, label=name).labels for name in ("label", "share", "seen", "day", "at"))
    assert cells == (("3",), ("2.5",), ("true",), ("2024-01-02",), ("2024-01-02 03:04:05",))


def test_blank_rows_are_left_out_and_rows_are_named_by_their_numbers_in_the_sheet(tmp_path: Path) -> None:
    flags = [("text", "a", "b"), (), ("x", 1, 0), ("y", 0, 1), ("z", 1, 7)]
    message = failing(book(tmp_path / "t.xlsx", data=[*flags[:-1], *flags[2:4] * 60, flags[-1]]), label=("a", "b"))
    assert "t.xlsx, row 123 (line 125), column 'b': found '7', expected 0 or 1" in message


def test_a_workbook_without_rows_is_refused(tmp_path: Path) -> None:
    assert "0 rows" in failing(book(tmp_path / "t.xlsx", data=[]))


@pytest.mark.parametrize("content", [b"PK\x03\x04 and no more", b"text,label\n", b""])
def test_what_is_no_workbook_is_refused(tmp_path: Path, content: bytes) -> None:
    message = failing(write(tmp_path / "t.xlsx", content))
    assert "t.xlsx: not a workbook that can be read (" in message
    assert "\n" not in message


def test_a_workbook_of_another_kind_of_archive_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "t.xlsx", "w") as archive:
        archive.writestr("a.txt", "x")
    assert "t.xlsx: not a workbook that can be read (" in failing(tmp_path / "t.xlsx")


def test_a_workbook_that_grows_out_of_proportion_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "t.xlsx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b"0" * 210_000_000)
    assert "over 200 times as many" in failing(tmp_path / "t.xlsx")


def rows_of(path: Path) -> list[Mapping[str, str]]:
    """The rows of a workbook as any reader has them."""
    import python_calamine

    names, *rows = python_calamine.CalamineWorkbook.from_path(str(path)).get_sheet_by_index(0).to_python()
    return [dict(zip(names, row, strict=True)) for row in rows]


def test_cells_are_written_in_their_types_and_text_is_never_a_formula(tmp_path: Path) -> None:
    cells = {"text": "=1+1", "score": 0.5, "n": 3, "seen": True, "none": None, "link": "https://x.org", "tags": ["a", "b"]}
    write_rows(tmp_path / "out.xlsx", list(cells), [cells, cells | {"text": "'@SUM(A1)\n_x0041_", "n": 2**60}])
    first, second = rows_of(tmp_path / "out.xlsx")
    assert first == cells | {"none": "", "tags": '["a", "b"]'}
    assert (second["text"], second["n"]) == ("'@SUM(A1)\n_x0041_", str(2**60))
    with zipfile.ZipFile(tmp_path / "out.xlsx") as archive:
        assert b"<f>" not in archive.read("xl/worksheets/sheet1.xml")


def test_a_text_that_is_too_long_for_a_cell_is_refused_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="row 2, column 'text': over 32,767 characters, and Excel's cells hold no more"):
        write_rows(tmp_path / "out.xlsx", ["text"], [{"text": "x"}, {"text": "x" * 32_768}])
    assert list(tmp_path.iterdir()) == []
