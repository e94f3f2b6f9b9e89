"""A recipe's data becomes one source for each split: from folders, files, the hub and the sample."""

from pathlib import Path

import pytest
from tables import GOOD, read, real, write

from rankwise.data.files.table import read_table, stream
from rankwise.data.sources import Sources, sources_of
from rankwise.errors import DataError
from rankwise.recipe import DataSpec, SourceSpec


def splits(tmp_path: Path, *names: str, **data: object) -> Sources:
    for name in names:
        write(tmp_path / name, GOOD)
    return sources_of(DataSpec(source=str(tmp_path), **data))


def test_a_file_that_is_named_needs_nothing_of_the_folder(tmp_path: Path) -> None:
    elsewhere = write(tmp_path / "elsewhere.csv", GOOD)
    folder = tmp_path / "folder"
    folder.mkdir()
    assert splits(folder, "notes.md", train=str(elsewhere)).train.path == str(elsewhere)
    assert splits(folder, "train.csv", "train.jsonl", train=str(folder / "train.csv")).train.path.endswith("train.csv")


def test_a_folder_gives_its_splits_and_class_names(tmp_path: Path) -> None:
    write(tmp_path / "classes.txt", "World\nSports\n\n")
    sources = splits(tmp_path, "train.csv", "dev.jsonl", "test.csv.gz", "notes.md")
    assert [Path(source.path).name for source in (sources.train, sources.splits["validation"], sources.splits["test"])] == [
        "train.csv",
        "dev.jsonl",
        "test.csv.gz",
    ]
    assert sources.classes == ("World", "Sports")
    assert splits(tmp_path, classes=("a", "b")).classes == ("a", "b")


def test_a_labels_txt_names_the_classes_too_unless_it_has_the_label_of_each_row(tmp_path: Path) -> None:
    write(tmp_path / "labels.txt", "World\nSports\n")
    assert splits(tmp_path, "train.csv").classes == ("World", "Sports")
    write(tmp_path / "labels.txt", "World\nSports\nWorld\n")
    assert splits(tmp_path, "train.csv").classes == ()
    write(tmp_path / "classes.txt", "Sports\nWorld\n")
    assert splits(tmp_path, "train.csv").classes == ("Sports", "World")


def test_a_folder_in_imdbs_layout_gives_train_and_test(tmp_path: Path) -> None:
    sources = splits(tmp_path, "train/pos/0.txt", "train/neg/0.txt", "test/pos/0.txt", "test/neg/0.txt", "train/urls.txt")
    assert read_table(sources.train, DataSpec()).labels == ("neg", "pos")
    assert sources.splits["test"].path.endswith("test")


def test_class_folders_and_a_single_file_are_training_rows(tmp_path: Path) -> None:
    assert splits(tmp_path / "folders", "pos/0.txt", "neg/0.txt") == Sources(
        {"train": SourceSpec(path=str(tmp_path / "folders"))}, ()
    )
    file = str(write(tmp_path / "all.csv", GOOD))
    assert sources_of(DataSpec(source=file)).train == SourceSpec(path=file)


def test_a_split_given_by_name_goes_before_the_folder(tmp_path: Path) -> None:
    other = str(write(tmp_path / "elsewhere" / "x.csv", GOOD))
    sources = splits(tmp_path / "data", "train.csv", "test.csv", test=other)
    assert sources.splits["test"] == SourceSpec(path=other)


def test_the_sample_comes_with_the_package() -> None:
    sources = sources_of(DataSpec(source="sample"))
    assert read_table(sources.splits["test"], DataSpec()).layout.text == ("title", "description")


def test_a_split_that_was_not_given_comes_from_no_other_data_set(tmp_path: Path) -> None:
    mine = {role: str(write(tmp_path / "mine" / f"{role}.csv", GOOD)) for role in ("train", "test")}
    for elsewhere in ("sample", str(write(tmp_path / "other" / "validation.csv", GOOD).parent)):
        assert list(sources_of(DataSpec(source=elsewhere, **mine)).splits) == ["train", "test"]
    beside = splits(tmp_path / "mine", "validation.csv", train=mine["train"])
    assert list(beside.splits) == ["train", "validation", "test"]


def test_a_test_file_beside_the_samples_training_rows_is_refused(tmp_path: Path) -> None:
    test = str(write(tmp_path / "test.csv", GOOD))
    with pytest.raises(DataError, match=r"would be the sample's; name yours too: --set data\.train=FILE"):
        sources_of(DataSpec(source="sample", test=test))


@pytest.mark.parametrize(
    ("names", "settings", "says"),
    [
        ((), {}, "found nothing"),
        (("data.csv", "notes.md"), {}, r"found data.csv, notes.md; give a file instead: \S+/data.csv$"),
        (("train.csv", "train.jsonl"), {}, "train.csv and train.jsonl both look like the train split"),
        (("test.csv",), {}, r"has test rows but no training rows; add train\.csv, or type --set data\.train=FILE"),
        (("train.csv", "test.csv"), {"test": "{}/train.csv"}, "train and test are the same file"),
        (("train.csv",), {"test": "{}/./train.csv"}, "train and test are the same file"),
        (("train.csv",), {"test": "{}/gone.csv"}, "no such file or folder"),
    ],
)
def test_splits_that_do_not_make_sense_are_refused(
    tmp_path: Path, names: tuple[str, ...], settings: dict[str, str], says: str
) -> None:
    with pytest.raises(DataError, match=says):
        splits(tmp_path, *names, **{key: value.format(tmp_path) for key, value in settings.items()})


def test_a_link_to_the_training_file_is_no_test_file(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", GOOD)
    (tmp_path / "test.csv").symlink_to(tmp_path / "train.csv")
    with pytest.raises(DataError, match="the same file"):
        splits(tmp_path)


def test_nothing_given_says_what_to_type() -> None:
    with pytest.raises(DataError, match=r"--set data\.source=sample"):
        sources_of(DataSpec())


@pytest.mark.filterwarnings("ignore")
def test_a_local_folder_is_read_as_a_hub_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datasets", reason="the hub extra is not installed")
    import datasets

    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["World", "Sports"])})
    for split in ("train", "test"):
        rows = {"text": ["x", "y", "z"], "label": [1, 0, -1]}
        datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "set" / f"{split}.parquet")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    sources = sources_of(DataSpec(source=f"hub:{tmp_path / 'set'}"))
    assert sources.train.path.endswith(":train")
    layout, records = stream(sources.train, DataSpec())
    assert [(record.text, record.label) for record in records] == [("x", "Sports"), ("y", "World"), ("z", None)]
    assert layout.describe().endswith("hub data set; label = label, text = text")
    assert layout.classes == ("World", "Sports")
    with pytest.raises(DataError, match="expected hub:NAME"):
        read(f"hub:{tmp_path / 'set'}:nowhere")


@pytest.mark.filterwarnings("ignore")
def test_lists_of_classes_in_a_hub_data_set_are_several_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datasets", reason="the hub extra is not installed")
    import datasets

    names = datasets.List(datasets.ClassLabel(names=["joy", "fear"]))
    features = datasets.Features({"text": datasets.Value("string"), "labels": names})
    rows = {"text": ["x", "y", "z"], "labels": [[1, 0], [0], []]}
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "set" / "train.parquet")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for source in (f"hub:{tmp_path / 'set'}:train", str(tmp_path / "set" / "train.parquet")):
        table = read(source)
        assert (table.labels, table.layout.classes) == (('["fear", "joy"]', '["joy"]', "[]"), ("joy", "fear"))


def test_ag_news_is_read_as_its_readme_says() -> None:
    folder = real("ag_news")
    sources = sources_of(DataSpec(source=str(folder)))
    assert sources.classes == ("World", "Sports", "Business", "Sci/Tech")
    train, test = read_table(sources.train, DataSpec()), read_table(sources.splits["test"], DataSpec())
    assert (len(train.texts), len(test.texts)) == (10_000, 7_600)
    assert set(train.labels or ()) == set(sources.classes)
    assert test.layout.describe().startswith(
        "test.csv: CSV, comma, no header; label = column 0, text = columns 1 + 2 (guessed"
    )
