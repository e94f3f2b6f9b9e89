"""A hub repository's description names the class numbers in its files, whatever their format."""

import json
from pathlib import Path

import pytest
from tables import failing, read, write

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


@pytest.mark.parametrize(
    ("card", "described"),
    [
        ("README.md", CARD),
        ("README.md", CARD.replace("  features:", "- config_name: default\n  features:")),
        ("dataset_infos.json", json.dumps({"default": INFOS})),
        ("dataset_info.json", json.dumps(INFOS)),
    ],
)
@pytest.mark.parametrize(("file", "content"), [("train.csv", CSV), ("data/train.csv", CSV), ("train.jsonl", JSONL)])
def test_numbers_are_read_as_the_names_that_a_description_gives_them(
    tmp_path: Path, card: str, described: str, file: str, content: str
) -> None:
    write(tmp_path / card, described)
    table = read(write(tmp_path / file, content))
    assert (table.labels or ())[:2] == ("delivery", "praise")
    assert table.layout.classes == ("praise", "delivery")
    assert f"class names of {card}" in table.layout.describe()


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
