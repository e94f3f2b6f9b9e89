"""`rankwise report`: a page from run folders or a sweep's, figures beside it, clear words when it can't."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

import pytest

from rankwise.cli import app as cli


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str


@pytest.fixture
def type_(capsys, monkeypatch, tmp_path):
    """Type `rankwise …` in an empty folder; what it answers."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["rankwise", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        code = ended.value.code
        return Answer(code if isinstance(code, int) else int(code is not None), printed.out, printed.err)

    return run


def test_it_writes_a_page_and_says_where_and_how_large(type_, run_for, tmp_path):
    answer = type_("report", run_for("bert").folder)
    assert (answer.code, answer.err) == (0, "")
    page = tmp_path / "report.html"
    assert "<h1>tiny</h1>" in page.read_text("utf-8")
    assert f"report.html  ({page.stat().st_size / 1000:,.0f} kB)" in answer.out


def test_figures_go_where_they_are_wanted(type_, run_for, tmp_path):
    answer = type_("report", run_for("bert").folder, "--out", "page.html", "--figures", "pictures", "--json")
    said = json.loads(answer.out)
    assert said["report"] == "page.html"
    assert said["bytes"] == (tmp_path / "page.html").stat().st_size
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == {path.rsplit("/", 1)[1] for path in said["figures"]}
    assert {"loss.svg", "loss.png", "loss.csv"} <= {path.name for path in (tmp_path / "pictures").iterdir()}


def test_several_runs_are_compared(type_, run_for, tmp_path):
    answer = type_("report", run_for("bert").folder, run_for("bert", "adapter.rank=1").folder)
    assert answer.code == 0
    assert "<h1>2 recipes compared</h1>" in (tmp_path / "report.html").read_text("utf-8")


def test_it_can_be_opened_at_once(type_, run_for, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr("typer.launch", opened.append)  # a browser, which a test has none of
    type_("report", run_for("bert").folder, "--open")
    assert opened == [(tmp_path / "report.html").as_uri()]


def test_it_reads_a_run_that_is_damaged_no_further(type_, run_for, copy_of):
    folder = copy_of(run_for("bert"))
    (folder / "scores.json").write_text("{}", "utf-8")
    answer = type_("report", folder)
    assert answer.code == 2
    assert "scores.json is not what was saved" in answer.err


def test_a_folder_that_is_none_is_a_clear_mistake(type_):
    answer = type_("report", "nowhere")
    assert (answer.code, answer.out) == (2, "")
    assert "nowhere: no such folder" in answer.err


def test_a_page_is_html_by_name_too(type_, run_for):
    answer = type_("report", run_for("bert").folder, "--out", "page.pdf")
    assert answer.code == 2
    assert "--out page.pdf: can't write '.pdf' files; expected a .html file" in answer.err


def test_a_place_that_takes_no_file_is_a_clear_mistake(type_, run_for, tmp_path):
    (tmp_path / "pictures" / "loss.svg").mkdir(parents=True)
    answer = type_("report", run_for("bert").folder, "--figures", "pictures")
    assert answer.code == 2
    assert "pictures/loss.svg: can't be written (Is a directory); free room there, or give another: --figures" in answer.err


def test_a_picture_without_all_of_its_letters_says_so_once(type_, tmp_path):
    made = rankwise_sweep(tmp_path, varied="revision: [𒀀, 𒁹]")  # cuneiform, of which no font that we ask for has a letter
    answer = type_("report", made, "--figures", "pictures")
    assert answer.code == 0
    assert " ".join(answer.out.split()).count("PNG files lack letters") == 1
    assert answer.err == ""


def test_a_study_goes_alone(type_, run_for, tmp_path):
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "sweep.json").write_text("{}", "utf-8")
    answer = type_("report", "sweep", run_for("bert").folder)
    assert answer.code == 2
    assert "a study is reported alone" in answer.err


def test_a_folder_of_studies_names_one_of_them(type_, tmp_path):
    for name in ("one", "two"):
        (tmp_path / "sweeps" / name).mkdir(parents=True)
        (tmp_path / "sweeps" / name / "sweep.json").write_text("{}", "utf-8")
    answer = type_("report", "sweeps")
    assert (answer.code, answer.out) == (2, "")
    assert "sweeps is no study but holds 2, such as sweeps/one" in answer.err


def test_a_sweeps_folder_is_reported_with_every_trial(type_, tmp_path):
    made = rankwise_sweep(tmp_path)
    answer = type_("report", made)
    assert (answer.code, answer.err) == (0, "")
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "<h1>tiny</h1>" in page
    assert "trials.csv" in page


def rankwise_sweep(folder, *, varied="adapter.rank: [2, 4]"):
    """A real sweep over two values of a key, of an objective that trains nothing."""
    from functools import partial

    from rankwise.recipe import Recipe
    from rankwise.sweep.driver import sweep
    from rankwise.sweep.engines.local import LocalEngine
    from rankwise.sweep.results import TrialWork
    from rankwise.sweep.space import Space
    from rankwise.sweep.storage import Store

    text = "name: tiny\nbase: rank4-adam\nsearch: {sampler: grid, finalists: 0}\nspace:\n"
    text += f"  {varied}\n"
    (folder / "space.yaml").write_text(text, "utf-8")
    sweep(
        Recipe.load("rank4-adam"),
        Space.load(folder / "space.yaml", ()),
        TrialWork(scored, None),
        Store(folder / "tiny"),
        engine=partial(LocalEngine, jobs=1),
    )
    return folder / "tiny"


def scored(recipe, report):
    from rankwise.sweep.results import Result

    accuracy = 0.8 + recipe.adapter.rank / 100
    entry = {"step": 1, "epoch": 1.0, "accuracy": accuracy, "log_loss": 1 - accuracy}
    report({**entry, "seconds": 1.0, "trained_parameters": 1000 * recipe.adapter.rank})
    scores = {"accuracy": accuracy, "macro_f1": accuracy, "mcc": accuracy, "log_loss": 1 - accuracy}
    return Result(scores, 1000 * int(recipe.adapter.rank), 4.0, (entry,), 100, "the data")


def test_words_in_texts_that_are_left_out_are_not_explained(type_, run_for):
    answer = type_("report", run_for("bert").folder, "--explain", "--no-texts")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == "error: --explain marks words in the texts that --no-texts leaves out; leave one of them out\n"
