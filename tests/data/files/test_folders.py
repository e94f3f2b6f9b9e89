"""A folder is looked into: splits by name, in parts, as pairs, in folders below, as datasets saves them, or classes."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tables import GOOD, failing, read, write

from rankwise.data.files.table import read_table
from rankwise.data.sources import sources_of
from rankwise.errors import DataError
from rankwise.recipe import DataSpec

FEATURES = {"text": {"dtype": "string", "_type": "Value"}, "label": {"names": ["login", "praise"], "_type": "ClassLabel"}}
SCHEMA = pa.schema(
    {"text": pa.string(), "label": pa.int64()}, metadata={"huggingface": json.dumps({"info": {"features": FEATURES}})}
)


def parquet(path: Path, *texts: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"text": texts, "label": [1] * len(texts)}, SCHEMA), path)


def saved(folder: Path, *parts: tuple[str, ...], state: dict | None = None) -> None:
    """A split as datasets saves it, in some parts."""
    folder.mkdir(parents=True)
    names = [f"data-{number:05}-of-{len(parts):05}.arrow" for number in range(len(parts))]
    for name, texts in zip(names, parts, strict=True):
        with pa.ipc.new_stream(folder / name, SCHEMA) as stream:
            stream.write_table(pa.table({"text": texts, "label": [0] * len(texts)}, SCHEMA))
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]} | (state or {})))
    (folder / "dataset_info.json").write_text(json.dumps({"features": FEATURES}))


def splits(folder: Path, **data: object) -> dict[str, str]:
    """The path of each split below the folder."""
    found = sources_of(DataSpec(source=str(folder), **data)).splits
    return {role: str(Path(source.path).relative_to(folder)) for role, source in found.items()}


def texts(folder: Path, role: str = "train") -> tuple[str, ...]:
    return tuple(read_table(sources_of(DataSpec(source=str(folder))).splits[role], DataSpec()).texts)


# ------------------------------------------------------------------------------------------------------- class folders


@pytest.mark.parametrize("ending", ["", ".eml", ".html", ".1999", ".7c53336b37003a9286aba55d2945844c", ".TXT"])
def test_files_of_class_folders_have_any_ending_or_none(tmp_path: Path, ending: str) -> None:
    for number, name in enumerate(("sci.med", "rec.autos", "sci.med")):
        write(tmp_path / name / f"{10160 + number}{ending}", f"text {number}")
    table = read(tmp_path)
    assert (table.texts, table.labels) == (("text 1", "text 0", "text 2"), ("rec.autos", "sci.med", "sci.med"))
    assert splits(tmp_path) == {"train": "."}


def test_a_latin_1_text_is_named_with_what_to_type_and_is_then_read(tmp_path: Path) -> None:
    for name in ("news-train/a/1", "news-train/b/2", "news-test/a/3", "news-test/b/4"):
        write(tmp_path / name, "café".encode("latin-1"))
    for role in ("train", "test"):
        source = sources_of(DataSpec(source=str(tmp_path))).splits[role]
        with pytest.raises(DataError, match=rf"not utf-8 at byte 3; .*--set data\.{role}\.encoding=latin-1"):
            read_table(source, DataSpec(source=str(tmp_path)))
        assert read(source.path, source={"encoding": "latin-1"}).texts == ("café", "café")


def test_folders_of_other_files_are_no_class_folders(tmp_path: Path) -> None:
    for name in ("src/a.py", "lib/b.py", "docs/c.md", "docs/d.css", "images/e.png", "data/x.csv", "data/y.json"):
        write(tmp_path / name, "x")
    write(tmp_path / "blobs" / "f", b"\0\1")
    with pytest.raises(DataError, match=r"found blobs, data, docs, images, lib, …; none is a file of data"):
        splits(tmp_path)
    assert "a folder without class folders or data files; it holds blobs, data" in failing(tmp_path)


def test_other_files_among_texts_cost_no_class_and_folders_without_texts_are_told(tmp_path: Path) -> None:
    for name in ("pos/0.txt", "pos/1.txt", "neg/0", "neg/1", "neg/README.md", "images/a.png"):
        write(tmp_path / name, name)
    table = read(tmp_path)
    assert table.labels == ("neg", "neg", "pos", "pos")
    assert "folder of class folders, without images, where no texts are;" in table.layout.describe()


def test_a_split_may_have_one_class(tmp_path: Path) -> None:
    for name in ("train/a/1", "train/b/2", "test/a/3"):
        write(tmp_path / name, name)
    assert splits(tmp_path) == {"train": "train", "test": "test"}


def test_one_folder_of_files_without_an_ending_is_no_class(tmp_path: Path) -> None:
    write(tmp_path / "letters" / "one", "x")
    with pytest.raises(DataError, match="found letters"):
        splits(tmp_path)


# ------------------------------------------------------------------------------------------------------ names of splits


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("20news-bydate-train/a/1", "20news-bydate-train/b/2", "20news-bydate-test/a/3", "20news-bydate-test/b/4"), {}),
        (("ag_train.csv", "ag_test.csv", "readme.md"), {"train": "ag_train.csv", "test": "ag_test.csv"}),
        (("train_v2.tsv", "dev_v2.tsv"), {"train": "train_v2.tsv", "validation": "dev_v2.tsv"}),
        (("train.txt", "test.txt"), {"train": "train.txt", "test": "test.txt"}),
        (("data/train.csv", "data/test.csv", "README.md"), {"train": "data/train.csv", "test": "data/test.csv"}),
        (("plain_text/train.csv", "notes/x.md"), {"train": "plain_text/train.csv"}),
        (("train/0000.csv", "train/0001.csv", "test/0000.csv"), {"train": "train", "test": "test"}),
    ],
)
def test_splits_are_found_by_what_their_names_have_in_common(
    tmp_path: Path, names: tuple[str, ...], expected: dict[str, str]
) -> None:
    for name in names:
        write(tmp_path / name, GOOD)
    assert splits(tmp_path) == (expected or {"train": "20news-bydate-train", "test": "20news-bydate-test"})


def test_a_named_split_leaves_the_others_of_its_pair(tmp_path: Path) -> None:
    for name in ("news_train.csv", "news_test.csv"):
        write(tmp_path / name, GOOD)
    assert splits(tmp_path, train=str(tmp_path / "news_train.csv"))["test"] == "news_test.csv"


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("X_train.csv", "X_test.csv", "y_train.csv", "y_test.csv"), r"X_train.csv and y_train.csv both look like the train"),
        (("cola/train.csv", "sst2/train.csv"), r"cola, sst2 hold splits each; name one: --set data.source=.*cola"),
        (("training.csv",), "found training.csv"),
        (("my_train.csv",), "found my_train.csv"),
    ],
)
def test_names_that_may_mean_several_splits_are_asked_about(tmp_path: Path, names: tuple[str, ...], says: str) -> None:
    for name in names:
        write(tmp_path / name, GOOD)
    with pytest.raises(DataError, match=says):
        splits(tmp_path)


# -------------------------------------------------------------------------------------------------------- several files


def test_a_hub_repository_is_read_with_all_its_parts_and_class_names(tmp_path: Path) -> None:
    parquet(tmp_path / "data" / "train-00000-of-00002.parquet", "x", "y")
    parquet(tmp_path / "data" / "train-00001-of-00002.parquet", "z")
    parquet(tmp_path / "data" / "test-00000-of-00001.parquet", "w")
    assert texts(tmp_path) == texts(tmp_path / "data") == ("x", "y", "z")
    table = read(tmp_path / "data" / "train-00000-of-00002.parquet")
    assert set(table.labels or ()) == {"praise"}
    assert table.layout.describe().startswith("train-00000-of-00002.parquet: Parquet, 2 files; label = label")
    assert texts(tmp_path, "test") == ("w",)


def test_a_missing_part_is_an_error(tmp_path: Path) -> None:
    parquet(tmp_path / "train-00000-of-00003.parquet", "x")
    parquet(tmp_path / "train-00002-of-00003.parquet", "x")
    assert "the first of 3 parts, of which train-00001-of-00003.parquet is not here" in failing(
        tmp_path / "train-00000-of-00003.parquet"
    )


def test_parts_of_csv_have_one_header(tmp_path: Path) -> None:
    write(tmp_path / "train-00000-of-00002.csv", "text,label\nx,a\n")
    write(tmp_path / "train-00001-of-00002.csv", "text,label\ny,b\n")
    assert texts(tmp_path) == ("x", "y")
    write(tmp_path / "train-00001-of-00002.csv", "text,label\ny,b\n\0,b\n")
    assert "row 3 (train-00001-of-00002.csv, line 3): a NUL" in failing(tmp_path / "train-00000-of-00002.csv")


def test_parts_of_other_columns_are_refused_and_other_orders_are_not(tmp_path: Path) -> None:
    write(tmp_path / "train" / "0.jsonl", '{"text": "x", "label": "a"}\n')
    write(tmp_path / "train" / "1.jsonl", '{"label": "b", "text": "y"}\n')
    assert read(tmp_path / "train").texts == ("x", "y")
    write(tmp_path / "train" / "1.jsonl", '{"label": "b", "body": "y"}\n')
    assert "1.jsonl: columns label, body where" in failing(tmp_path / "train")


def test_a_folder_of_splits_is_no_split(tmp_path: Path) -> None:
    for name in ("train.csv", "test.csv"):
        write(tmp_path / name, GOOD)
    assert "it holds test.csv, train.csv" in failing(tmp_path)


def test_what_datasets_saves_is_read_as_it_is(tmp_path: Path) -> None:
    saved(tmp_path / "all" / "train", ("x", "y"), ("z",))
    saved(tmp_path / "all" / "test", ("w",))
    (tmp_path / "all" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    assert texts(tmp_path / "all") == texts(tmp_path / "all" / "train") == ("x", "y", "z")
    assert read(tmp_path / "all" / "test").labels == ("login",)


def test_saved_splits_of_other_names_are_named(tmp_path: Path) -> None:
    saved(tmp_path / "full", ("x",))
    with pytest.raises(DataError, match=r"say which split trains: --set data\.train=.*full"):
        splits(tmp_path)


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ({"_indices_files": [{"filename": "i.arrow"}]}, "in a way that only it reads; type hub:./train"),
        ({"_data_files": [{"filename": "../x.arrow"}]}, "in a way that only it reads"),
        ({"_data_files": [{"filename": "gone.arrow"}]}, "gone.arrow is not here"),
        ({"_data_files": 3}, "not as datasets writes it"),
        ({"_data_files": []}, "holds no rows"),
    ],
)
def test_a_saved_split_that_is_not_whole_is_refused(tmp_path: Path, state: dict, says: str) -> None:
    saved(tmp_path / "train", ("x",), state=state)
    assert says in failing(tmp_path / "train")


def test_the_datasets_library_and_rankwise_read_the_same_rows(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="the hub extra is not installed")
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["login", "praise"])})
    whole = datasets.Dataset.from_dict({"text": ["x", "y", "z"], "label": [1, 0, 1]}, features=features)
    datasets.DatasetDict(train=whole, test=whole.select([2, 0])).save_to_disk(tmp_path / "set")
    train, test = (read(tmp_path / "set" / split) for split in ("train", "test"))
    assert (train.texts, train.labels) == (("x", "y", "z"), ("praise", "login", "praise"))
    assert (test.texts, test.labels, test.layout.classes) == (("z", "x"), ("praise", "praise"), ("login", "praise"))


def test_files_beside_texts_are_no_texts_and_a_class_may_begin_with_a_line(tmp_path: Path) -> None:
    for name in ("_other", "pos"):
        write(tmp_path / name / "a.txt", f"text of {name}")
        for beside in ("a.mp3", "README", "b.7z"):
            write(tmp_path / name / beside, "\0")
    table = read(tmp_path)
    assert (table.texts, table.labels) == (("text of _other", "text of pos"), ("_other", "pos"))


def test_parts_whose_columns_stand_in_another_order_are_read_by_their_names(tmp_path: Path) -> None:
    write(tmp_path / "data" / "part-1.csv", "text,label\nfirst,a\nsecond,b\n")
    write(tmp_path / "data" / "part-2.csv", "label,text\nb,third\na,fourth\n")
    assert read(tmp_path / "data").texts == ("first", "second", "third", "fourth")
    write(tmp_path / "data" / "part-3.csv", "text,label,more\nfifth,a,x\n")
    assert "part-3.csv: 3 columns where" in failing(tmp_path / "data")


def test_a_table_goes_before_the_text_beside_it(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", GOOD)
    write(tmp_path / "train.txt", "one line\nanother\n")
    write(tmp_path / "test", "#!/bin/sh\n")
    write(tmp_path / "test.csv", GOOD)
    assert splits(tmp_path) == {"train": "train.csv", "test": "test.csv"}
