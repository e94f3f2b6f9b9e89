"""Names of runs, folders of runs, patterns; what answers where no run is named; what reloading keeps."""

from __future__ import annotations

import shutil

import pytest

pytest.importorskip("starlette", reason="rankwise[serve] is not installed")
pytest.importorskip("httpx", reason="httpx is not installed: rankwise[dev]")

from rankwise.errors import RunError
from rankwise.inference.decision import Rule
from rankwise.serving.catalogue import Catalogue, Shelf
from rankwise.serving.refusals import Refused


@pytest.fixture
def shelf_folder(served_folders, tmp_path):
    """A folder with two runs, which need no base beside them, and a file."""
    for name in ("words", "several"):
        shutil.copytree(served_folders["words"], tmp_path / "runs" / name)
    (tmp_path / "runs" / "notes.txt").write_text("nothing", "utf-8")
    return tmp_path / "runs"


def test_a_run_is_called_as_its_folder_and_may_be_given_a_name(served_folders):
    folder = served_folders["tickets"]
    assert Shelf((str(folder),)).folders() == {folder.name: folder}
    assert Shelf((f"{folder}/",)).folders() == {folder.name: folder}
    assert Shelf((f"tickets={folder}",)).folders() == {"tickets": folder}


@pytest.mark.parametrize("how", ["{}", "{}/*", "{}/*o*"])
def test_a_folder_of_runs_and_a_pattern_give_each_run_in_it(shelf_folder, how):
    wanted = ["words"] if how.endswith("o*") else ["several", "words"]
    assert list(Shelf((how.format(shelf_folder),)).folders()) == wanted


def test_two_runs_of_one_name_are_refused_with_what_to_type_and_one_run_twice_is_one(shelf_folder, served_folders):
    words = shelf_folder / "words"
    with pytest.raises(RunError, match=rf"both called 'words'; give one another name: OTHERNAME={served_folders['several']}"):
        Shelf((str(words), f"words={served_folders['several']}")).folders()
    assert list(Shelf((str(words), str(shelf_folder))).folders()) == ["words", "several"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("{}/nothing", "no such folder"),
        ("{}/no*", "no run is there; expected a pattern"),
        ("{}/notes.txt", "no such folder"),
        ("a={}/notes.txt", "no such folder"),
    ],
)
def test_what_is_no_run_is_told(shelf_folder, given, message):
    with pytest.raises(RunError, match=message):
        Shelf((given.format(shelf_folder),)).folders()


def test_a_default_that_is_none_of_the_runs_is_told(shelf_folder):
    with pytest.raises(RunError, match="--default tickets: no such run; expected one of several, words"):
        Shelf((str(shelf_folder),), "tickets").folders()


def test_the_only_run_is_the_default_and_of_several_the_one_that_was_chosen(catalogue):
    one = Catalogue({"tickets": catalogue.runs["tickets"]})
    for name in (None, "auto", "jev-latest", "tickets"):
        assert one.one(name) is catalogue.runs["tickets"]
    assert Catalogue(catalogue.runs, "words").one(None) is catalogue.runs["words"]
    with pytest.raises(Refused, match="name a model, for none is the default: tickets, shelves, "):
        catalogue.one(None)
    with pytest.raises(Refused, match=r"no model is called '\.\./tickets'; there are tickets, shelves, ") as refused:
        catalogue.one("../tickets")
    assert (refused.value.status, refused.value.code) == (404, "model_not_found")


def test_reloading_keeps_what_is_the_same_and_finds_what_is_new_or_gone_or_decided(shelf_folder, served_folders):
    shelf = Shelf((str(shelf_folder),))
    first = shelf.load()
    assert first.runs["words"].adapter.startswith("sha256:")
    shutil.copytree(served_folders["words"], shelf_folder / "tickets")
    shutil.rmtree(shelf_folder / "several")
    second = shelf.load(first)
    assert list(second.runs) == ["tickets", "words"]
    assert second.runs["words"] is first.runs["words"]
    (shelf_folder / "words" / "decision.json").write_text("{}", "utf-8")
    with pytest.raises(RunError, match=r"decision\.json"):
        shelf.load(second)


def test_labels_of_each_task_are_known_by_name(catalogue):
    tickets, several, columns, pairs = (catalogue.runs[name] for name in ("tickets", "several", "columns", "pairs"))
    assert tickets.set_with(["fruit", "river"]).size == 3
    assert tickets.set_with(["fruit", "gold"]) is None
    assert several.set_with(["fruit", "river"]) is None
    assert several.number_of("river") == 2
    assert [(known.column, known.size) for known in columns.label_sets] == [("topic", 3), ("size", 2)]
    assert columns.set_with(["large", "size=small"]).column == "size"
    assert columns.number_of("small") == columns.number_of("size=small") == columns.labels.index("size=small")
    assert pairs.labels[pairs.positive] == "true"
    assert tickets.positive is None


def test_a_run_without_a_decision_has_no_rule(catalogue):
    assert catalogue.runs["tickets"].predictor.rule is None
    assert isinstance(catalogue.runs["sure"].predictor.rule, Rule)
