"""`rankwise compare`: a table that fits, verdicts in words, JSON and CSV; one clear line for a mistake."""

from __future__ import annotations

import csv
import json

import pytest
from typer.testing import CliRunner

from rankwise.cli.app import app
from rankwise.cli.console import out
from rankwise.workflows.compare import compare


@pytest.fixture
def folders(run_for):
    """Two recipes, one of them with two seeds."""
    changes = (), ("train.seed=1",), ("train.epochs=1", "train.learning_rate=1e-5")
    return [str(run_for("bert", *change).folder) for change in changes]


def typed(*words):
    return CliRunner().invoke(app, ["compare", *words], catch_exceptions=False)


def test_it_prints_a_line_a_system_and_a_verdict_a_pair_in_80_columns(folders, monkeypatch):
    monkeypatch.setattr(out, "_width", 80)
    answer = typed(*folders)
    assert answer.exit_code == 0
    lines = answer.stdout.splitlines()
    assert lines[0].split() == ["system", "seeds", "accuracy", "%", "F1", "%", "loss", "trained", "seconds", "GB"]
    assert max(map(len, lines)) <= 80
    assert "tiny epochs=2" in answer.stdout
    assert "12 test rows, the same for all" in answer.stdout
    told = " ".join(answer.stdout.split())
    assert "rows that one alone has right (McNemar): seed 0 " in told
    assert "95% intervals over rows, and over seeds where there are several; means" in " ".join(answer.stdout.split())
    assert "only one seed of tiny" in answer.stdout.replace("\n", " ")


def test_the_caption_says_what_intervals_are_over(folders):
    single, pooled = (" ".join(typed(*some).stdout.split()) for some in (folders[1:], folders[:2]))
    assert "95% intervals over rows alone. F1:" in single
    assert "95% intervals over rows and seeds; means over seeds. F1:" in pooled


def test_names_take_the_width_that_is_free(folders, monkeypatch):
    monkeypatch.setattr(out, "_width", 120)
    lines = typed(*folders).stdout.splitlines()
    assert lines[1].startswith("tiny epochs=")
    assert lines[2].startswith("tiny epochs=")
    assert lines[3].startswith("12 test rows")


def test_seeds_of_one_recipe_come_with_a_word_that_nothing_is_compared(folders):
    assert "one recipe with several seeds, so there is nothing to compare" in " ".join(typed(*folders[:2]).stdout.split())
    assert "nothing to compare" not in typed(*folders).stdout


def test_json_is_the_comparison(folders):
    answer = typed(*folders, "--json")
    assert json.loads(answer.stdout) == json.loads(json.dumps(compare_folders(folders).as_dict()))


def compare_folders(folders):
    from rankwise.run.folder import Run

    return compare(Run.load(folder) for folder in folders)


def test_the_table_goes_to_a_csv_too(folders, tmp_path):
    typed(*folders, "--out", str(tmp_path / "table.csv"), "--metric", "macro-f1")
    with (tmp_path / "table.csv").open(newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 2


def test_one_run_is_a_mistake_and_says_what_to_type(folders):
    answer = typed(folders[0])
    assert answer.exit_code == 2
    assert f"found one run, {folders[0]}; expected two or more to compare: rankwise compare runs/*" in answer.stderr


def test_a_file_that_is_no_csv_is_refused(folders, tmp_path):
    answer = typed(*folders, "--out", str(tmp_path / "cmp.txt"))
    assert answer.exit_code == 2
    assert "can't write '.txt' files; expected a .csv file" in answer.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("given", "inside"), [("runs", "runs"), ("sweeps/x", "sweeps/x/finals")])
def test_a_folder_of_runs_is_refused_with_what_to_type(folders, tmp_path, monkeypatch, given, inside):
    monkeypatch.chdir(tmp_path)
    (tmp_path / inside).mkdir(parents=True)
    for name, folder in zip("ab", folders, strict=False):
        (tmp_path / inside / name).symlink_to(folder)
    for more in ([], folders[:1]):
        answer = typed(given, *more)
        assert answer.exit_code == 2
        assert f"{given} is no run but holds some, such as {inside}/a; give those: {inside}/*" in answer.stderr
