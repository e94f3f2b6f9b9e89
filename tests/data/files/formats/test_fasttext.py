"""fastText's files are recognised by their labels, whatever they are called, and read to the letter."""

from pathlib import Path

import pytest
from tables import read, write

LINES = '__label__good It came, "so fast"\n__label__bad-1 Never again | really\n\n__label__good\tfine __label\n'


@pytest.mark.parametrize("name", ["train.txt", "train.ft", "train", "cooking.train", "reviews.ft.txt"])
def test_labels_are_cut_from_the_texts(tmp_path: Path, name: str) -> None:
    table = read(write(tmp_path / name, LINES))
    assert table.texts == ('It came, "so fast"', "Never again | really", "fine __label")
    assert table.labels == ("good", "bad-1", "good")
    assert "fastText; label = label, text = text" in table.layout.describe()


def test_a_label_may_stand_behind_its_text(tmp_path: Path) -> None:
    assert read(write(tmp_path / "t.txt", "so fast __label__good\nnever __label__bad again\n")).texts == (
        "so fast",
        "never again",
    )


def test_a_line_without_a_label_has_none(tmp_path: Path) -> None:
    assert read(write(tmp_path / "t.txt", "__label__a x\n" * 30 + "no label here\n")).dropped == {"missing label": 1}


def test_several_labels_of_a_line_are_a_list_as_are_those_that_stand_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "t.txt", "__label__a x\n__label__a __label__b y\n__label__b z\n__label__b __label__b w\n")
    table = read(path)
    assert (table.texts, table.labels) == (("x", "y", "z", "w"), ('["a"]', '["a", "b"]', '["b"]', '["b"]'))


def test_another_prefix_is_found_where_every_line_begins_with_it(tmp_path: Path) -> None:
    table = read(write(tmp_path / "t.txt", "__class__a x\n__class__b y, with __init__.py\n"))
    assert (table.labels, table.texts) == (("a", "b"), ("x", "y, with __init__.py"))
    assert "fastText, __class__ before labels" in table.layout.describe()


def test_words_with_underscores_are_no_labels_where_only_some_lines_begin_with_them(tmp_path: Path) -> None:
    path = write(tmp_path / "t.txt", "__init__.py is gone\nand __main__.py too\n")
    assert read(path, needs_label=False).texts == ("__init__.py is gone", "and __main__.py too")
