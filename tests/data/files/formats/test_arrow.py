"""Arrow and Feather files are read as Parquet is; class numbers come out as the names that a schema has."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from tables import failing, read

ROWS = {"text": ["x", "y", "z", "w"], "label": [1, 0, 1, -1]}
NAMES = {"text": {"dtype": "string", "_type": "Value"}, "label": {"names": ["login", "praise"], "_type": "ClassLabel"}}


def schema(features: object = NAMES, label: pa.DataType | None = None) -> pa.Schema:
    """A schema with the metadata that the datasets library writes."""
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.schema({"text": pa.string(), "label": label or pa.int64()}, metadata=metadata)


def stream(table: pa.Table, path: Path) -> None:
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=3)


def file(table: pa.Table, path: Path) -> None:
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=3)


@pytest.mark.parametrize(
    ("name", "write"),
    [("t.arrow", stream), ("t.arrow", file), ("t.feather", pyarrow.feather.write_feather), ("t.parquet", pq.write_table)],
)
def test_a_file_gives_its_class_names(tmp_path: Path, name: str, write: Callable) -> None:
    write(pa.table(ROWS | {"label": [1, 0, 1, 1]}, schema()), tmp_path / name)
    table = read(tmp_path / name)
    assert (table.texts, table.labels) == (("x", "y", "z", "w"), ("praise", "login", "praise", "praise"))
    assert table.layout.classes == ("login", "praise")


def test_minus_one_is_no_label_where_there_are_class_names(tmp_path: Path) -> None:
    stream(pa.table(ROWS, schema()), tmp_path / "t.arrow")
    assert "1 of 4 rows have no label in column 'label' (row 4)" in failing(tmp_path / "t.arrow")


def test_class_numbers_in_lists_of_one_are_named(tmp_path: Path) -> None:
    listed = pa.table({"text": ["x", "y"], "label": [[1], [0]]}, schema({"label": [NAMES["label"]]}, pa.list_(pa.int64())))
    pq.write_table(listed, tmp_path / "t.parquet")
    assert read(tmp_path / "t.parquet").labels == ("praise", "login")


@pytest.mark.parametrize("metadata", ["{broken", "[1]", '{"info": null}', '{"info": {"features": {"label": 3}}}'])
def test_metadata_that_names_nothing_changes_nothing(tmp_path: Path, metadata: str) -> None:
    table = pa.table({"text": ["x", "y"], "label": [1, 0]}).replace_schema_metadata({"huggingface": metadata})
    stream(table, tmp_path / "t.arrow")
    assert read(tmp_path / "t.arrow").labels == ("1", "0")


@pytest.mark.parametrize("content", [b"", b"ARROW1\0\0 not really", b"text,label\nx,a\n"])
def test_what_is_no_arrow_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.arrow").write_bytes(content)
    assert "t.arrow: not an Arrow file that can be read" in failing(tmp_path / "t.arrow")


def test_the_first_version_of_feather_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.feather").write_bytes(b"FEA1" + bytes(20))
    assert "Feather's first version" in failing(tmp_path / "t.feather")


def test_a_cut_stream_is_refused_after_the_rows_that_could_be_read(tmp_path: Path) -> None:
    stream(pa.table({"text": ["x"] * 9, "label": ["a"] * 9}), tmp_path / "t.arrow")
    whole = (tmp_path / "t.arrow").read_bytes()
    (tmp_path / "t.arrow").write_bytes(whole[:-200])
    assert "t.arrow: cannot be read after row" in failing(tmp_path / "t.arrow")


def test_a_large_batch_is_read_in_parts(tmp_path: Path) -> None:
    pyarrow.feather.write_feather(pa.table({"text": ["x"] * 5_000, "label": ["a", "b"] * 2_500}), tmp_path / "t.feather")
    assert len(read(tmp_path / "t.feather").texts) == 5_000
