"""A hub repository's description names the class numbers in its files, whatever their format."""

import json
from pathlib import Path

import pytest
from tables import failing, read, write

from rankwise.data.labelled import read_labelled, read_training
from rankwise.data.tasks import SingleLabel
from rankwise.errors import DataError
from rankwise.recipe import DataSpec, SourceSpec

CARD = """---
license: mit
dataset_info:
  features:
  - name: text
    dtype: string
  - name: label
    dtype:
      class_label:
        names:
          '0': praise
          '1': delivery
---
# Orders
"""
INFOS = {"features": {"text": {"dtype": "string"}, "label": {"names": ["praise", "delivery"], "_type": "ClassLabel"}}}
CSV = "text,label\nlate,1\nkind,0\nwhere,-1\n" + "late,1\n" * 30
JSONL = "\n".join([json.dumps({"text": "late", "label": 1}), json.dumps({"text": "kind", "label": 0})])


def classes_of(path: Path) -> list[str]:
    """The class of each row of a file, as training and scoring read it."""
    spec = DataSpec(source=str(path))
    _, table, classes = read_training(spec)
    return [classes[number] for number in SingleLabel(classes).parse(table, classes, spec)]


def topics(first: int, names: tuple[str, ...] = ("World", "Sports", "Business")) -> tuple[str, str]:
    """(a description of as many classes, a CSV file of 30 rows that number them from `first`)."""
    listed = "".join(f"          '{number}': {json.dumps(name)}\n" for number, name in enumerate(names))
    rows = "".join(f"text {row},{row % len(names) + first}\n" for row in range(30))
    return CARD.replace("          '0': praise\n          '1': delivery\n", listed), f"text,label\n{rows}"


@pytest.mark.parametrize(
    ("card", "described"),
    [
        ("README.md", CARD.replace("    dtype:\n", "    sequence:\n")),
        ("README.md", CARD.replace("    dtype:\n", "    list:\n")),
        ("dataset_info.json", json.dumps({"features": {"label": {"feature": INFOS["features"]["label"], "_type": "List"}}})),
    ],
)
def test_the_classes_of_lists_are_named_too(tmp_path: Path, card: str, described: str) -> None:
    write(tmp_path / card, described)
    rows = [{"text": "late", "label": [1, 0]}, {"text": "kind", "label": [0]}]
    table = read(write(tmp_path / "train.jsonl", "\n".join(map(json.dumps, rows))))
    assert (table.labels, table.layout.classes) == (('["1", "0"]', '["0"]'), ("praise", "delivery"))


@pytest.mark.parametrize(
    ("card", "described"),
    [
        ("README.md", CARD),
        ("README.md", CARD.replace("  features:", "- config_name: default\n  features:")),
        ("README.md", CARD.encode() + b"caf\xe9"),
        ("dataset_infos.json", json.dumps({"default": INFOS})),
        ("dataset_info.json", json.dumps(INFOS)),
    ],
)
@pytest.mark.parametrize(("file", "content"), [("train.csv", CSV), ("data/train.csv", CSV), ("train.jsonl", JSONL)])
def test_numbers_are_read_as_the_names_that_a_description_gives_them(
    tmp_path: Path, card: str, described: str | bytes, file: str, content: str
) -> None:
    write(tmp_path / card, described)
    path = write(tmp_path / file, content)
    assert classes_of(path)[:2] == ["delivery", "praise"]
    layout = read(path).layout
    assert layout.classes == ("praise", "delivery")
    assert f"class names of {card}" in layout.describe()


@pytest.mark.parametrize("first", [0, 1])
def test_numbers_that_count_from_0_or_from_1_are_the_names_in_their_order(tmp_path: Path, first: int) -> None:
    card, content = topics(first)
    write(tmp_path / "README.md", card)
    assert classes_of(write(tmp_path / "train.csv", content))[:3] == ["World", "Sports", "Business"]


def test_numbers_that_no_name_can_be_meant_by_are_refused(tmp_path: Path) -> None:
    card, content = topics(2)
    write(tmp_path / "README.md", card)
    with pytest.raises(DataError, match="can't number the classes World, Sports, Business; expected 0 to 2 or 1 to 3"):
        classes_of(write(tmp_path / "train.csv", content))


def test_names_that_are_other_numbers_are_not_taken_for_those_in_the_cells(tmp_path: Path) -> None:
    card, content = topics(0, ("1", "2", "3"))
    write(tmp_path / "README.md", card)
    with pytest.raises(DataError, match=r"label '0' is not among data\.classes \(1, 2, 3\)"):
        classes_of(write(tmp_path / "train.csv", content))


def test_whole_numbers_may_be_written_with_zeros_around_them(tmp_path: Path) -> None:
    write(tmp_path / "README.md", CARD)
    assert classes_of(write(tmp_path / "train.csv", "text,label\na,1.0\nb,00\nc, 1\n")) == ["delivery", "praise", "delivery"]


@pytest.mark.parametrize("digits", [400, 5_000])
def test_a_number_of_many_digits_is_refused(tmp_path: Path, digits: int) -> None:
    write(tmp_path / "README.md", CARD)
    with pytest.raises(DataError, match=r"train\.csv: label '1{40}' is not among"):
        classes_of(write(tmp_path / "train.csv", f"{CSV}much,{'1' * digits}\n"))


def test_each_file_is_read_by_the_description_beside_it(tmp_path: Path) -> None:
    names = ("World", "Sports", "Business")
    for folder, order in (("a", names), ("b", names[::-1])):
        card, content = topics(0, order)
        write(tmp_path / folder / "README.md", card)
        write(tmp_path / folder / "rows.csv", content.replace("text ", f"text of {folder} "))
    spec = DataSpec(train=SourceSpec(path=str(tmp_path / "a/rows.csv")), test=SourceSpec(path=str(tmp_path / "b/rows.csv")))
    labelled = read_labelled(spec)
    numbers = SingleLabel(labelled.classes).parse(labelled.test, labelled.numbering, spec)
    assert [labelled.classes[number] for number in numbers[:3]] == ["Business", "Sports", "World"]


def test_minus_one_is_no_label(tmp_path: Path) -> None:
    write(tmp_path / "README.md", CARD)
    assert read(write(tmp_path / "train.csv", CSV)).dropped == {"missing label": 1}


@pytest.mark.parametrize("card", ["# Orders", CARD.replace("name: label", "name: topic"), "---\nlicense: mit\n---\n"])
def test_a_description_of_other_columns_changes_nothing(tmp_path: Path, card: str) -> None:
    write(tmp_path / "README.md", card)
    table = read(write(tmp_path / "train.csv", "text,label\nlate,1\nkind,0\n"))
    assert (table.labels, table.layout.classes) == (("1", "0"), ())
    assert "README" not in table.layout.describe()


def test_configurations_that_name_numbers_unlike_name_none(tmp_path: Path) -> None:
    other = {"features": {"label": {"names": ["x", "y"], "_type": "ClassLabel"}}}
    write(tmp_path / "dataset_infos.json", json.dumps({"one": INFOS, "two": other}))
    assert read(write(tmp_path / "train.csv", "text,label\nlate,1\nkind,0\n")).labels == ("1", "0")


def test_a_description_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    write(tmp_path / "README.md", CARD.replace("license: mit", "license: [mit"))
    message = failing(write(tmp_path / "train.csv", CSV))
    assert "README.md: its class names can't be read (README.md:3: " in message


def test_a_description_without_classes_does_not_refuse_the_data_beside_it(tmp_path: Path) -> None:
    path = write(tmp_path / "train.csv", CSV)
    for card in (b"---\nlicense: [mit\n---\n", "---\nlicense: café\n---\n".encode("latin-1"), b"\xff\xfe\x00"):
        write(tmp_path / "README.md", card)
        assert read(path).layout.classes == ()
    (tmp_path / "README.md").unlink()
    write(tmp_path / "dataset_infos.json", "{broken")
    assert read(path).layout.classes == ()


def test_class_names_that_are_no_utf_8_are_none(tmp_path: Path) -> None:
    write(tmp_path / "README.md", CARD.replace("praise", "éloge").encode("latin-1"))
    assert read(write(tmp_path / "train.csv", CSV)).layout.classes == ()


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that can be opened and not read")
def test_a_description_that_the_system_does_not_give_names_no_classes(tmp_path: Path) -> None:
    (tmp_path / "README.md").symlink_to("/proc/self/mem")
    assert read(write(tmp_path / "train.csv", CSV)).layout.classes == ()
