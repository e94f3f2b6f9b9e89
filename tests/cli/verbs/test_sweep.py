"""`rankwise sweep`: real trials of a tiny encoder in processes, a leaderboard that fits, files that go on to be trained."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from conftest import separable
from rankwise.cli.app import app
from rankwise.cli.console import out
from rankwise.cli.verbs.study import SweepProgress, changes_of, show_study, shown_scores
from rankwise.cli.verbs.sweep import fitting_jobs
from rankwise.data.files.output import write_rows
from rankwise.recipe import Recipe
from rankwise.report.blocks import Table
from rankwise.report.study import report_of_study
from rankwise.run.folder import Run
from rankwise.sweep.results import Final, SearchStarted, Standing, Trial, TrialEnded
from rankwise.sweep.space import Space
from rankwise.sweep.study import Study, write_tables
from rankwise.system.cores import usable_cores

pytestmark = pytest.mark.long

SPACE = """\
name: tiny
base: {base}
search: {{sampler: grid, finalists: 1, finalist_seeds: 1}}
space:
  adapter.rank: [1, 2, 8]
"""


@pytest.fixture(scope="module")
def swept(recipe_for, tmp_path_factory):
    """A space of three ranks, of which one is over the cap; swept once, and asked for again as JSON."""
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "base.yaml").write_text(recipe_for("bert", "train.max_steps=4").to_yaml(), "utf-8")
    (folder / "space.yaml").write_text(SPACE.format(base=folder / "base.yaml"), "utf-8")
    words = ["sweep", str(folder / "space.yaml"), "--out", str(folder / "out"), "--budget", "6000", "--jobs", "1", "--fast"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(out, "_width", 80)
        first = CliRunner().invoke(app, words, catch_exceptions=False)
    again = CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False)
    return folder / "out", words, first, again


def refused(words):
    """What a command that is the user's mistake says."""
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 2
    return result.stderr


def test_it_prints_a_leaderboard_what_was_left_out_and_what_to_type_next(swept):
    folder, _, first, _ = swept
    assert first.exit_code == 0
    lines = first.stdout.splitlines()
    assert lines[0].startswith("out on ")
    told = " ".join(first.stdout.split())
    assert "3 trials: 2 finished, 1 rejected" in told
    assert "1 rejected before training, such as trial" in told
    assert max(map(len, lines[1:-4])) <= 80
    assert "on 12 validation rows" in told
    assert f"rankwise train {folder}/best.yaml" in first.stdout
    assert "(2 of 2, best" in first.stderr
    assert "finalist trial" in first.stderr


def scores_of(study):
    """By configuration, so that it matters not which was tried first."""
    return {tuple(trial.params.items()): (trial.state, trial.scores) for trial in study.trials}


@pytest.mark.slow
def test_a_sweep_in_postgresql_stops_after_some_trials_goes_on_and_ends_as_in_a_file(swept, postgres, tmp_path):
    folder, words, _, _ = swept
    words = [*words[:2], "--out", str(tmp_path / "out"), *words[4:], "--storage", postgres]
    assert words[2:4] == ["--out", str(tmp_path / "out")]
    first = CliRunner().invoke(app, [*words, "--trials", "1"], catch_exceptions=False)
    assert first.exit_code == 0, first.output
    assert Study.load(f"{postgres}#out").count("finished") == 1
    assert CliRunner().invoke(app, words, catch_exceptions=False).exit_code == 0
    assert not (tmp_path / "out" / "study.db").exists()
    assert scores_of(Study.load(f"{postgres}#out")) == scores_of(Study.load(folder))


@pytest.fixture(scope="module")
def numbers(recipe_for, tmp_path_factory):
    """A sweep of a base that estimates numbers, of what a space says beside its base, with more words to type."""
    folder = tmp_path_factory.mktemp("numbers")
    rows = separable(60, seed=4)
    rated = [{"fruit": 1.25, "metal": 3.0, "river": 4.5}[label] for label in rows.labels]
    listed = [{"text": text, "rating": number} for text, number in zip(rows.texts, rated, strict=True)]
    write_rows(folder / "rows.csv", ["text", "rating"], listed)
    told = (f"data.source={folder / 'rows.csv'}", "data.label=rating", "data.task=regression", "train.max_steps=4")
    (folder / "base.yaml").write_text(recipe_for("bert", *told).to_yaml(), "utf-8")

    def swept(says, out, *words):
        (folder / "space.yaml").write_text(SPACE.format(base=folder / "base.yaml") + says, "utf-8")
        typed = ["sweep", str(folder / "space.yaml"), "--out", str(out), "--jobs", "1", "--fast", *words]
        return CliRunner().invoke(app, typed, catch_exceptions=False)

    return swept


def test_numbers_are_swept_by_their_own_scores(numbers, tmp_path):
    done = numbers("objectives: [r2, trained_parameters]\n", tmp_path / "out")
    assert done.exit_code == 0, done.output
    study = Study.load(tmp_path / "out")
    assert study.objectives == ("r2", "trained_parameters")
    assert study.finished[0].values["r2"] == max(trial.mean("r2") for trial in study.finished)
    (final,) = study.finals
    assert set(final.test) == {"pearson", "spearman", "mean_absolute_error", "root_mean_squared_error", "r2"}
    assert "test Pearson " in done.stderr
    assert " R² " in done.stdout
    report = report_of_study(study, tmp_path / "out")
    tables = {table.name: table for section in report.sections for table in section.blocks if isinstance(table, Table)}
    assert [column.name for column in tables["finalists"].columns][3:5] == ["validation_r2", "test_pearson"]
    assert [column.name for column in tables["trials"].columns][1:3] == ["pearson", "spearman"]


def test_what_says_nothing_of_numbers_compares_them_by_the_root_mean_squared_error(numbers, tmp_path):
    done = numbers("", tmp_path / "out", "--trials", "2")
    assert done.exit_code == 0, done.output
    assert "trials are compared by root mean squared error" in " ".join(done.output.split())
    values = [trial.values["root_mean_squared_error"] for trial in Study.load(tmp_path / "out").finished]
    assert values == sorted(values)


def test_an_objective_of_another_task_is_refused_before_anything_is_trained(numbers, recipe_for, tmp_path):
    done = numbers("objectives: [macro_f1]\n", tmp_path / "out")
    assert done.exit_code == 2
    assert "macro_f1 is no objective of data that has numbers to estimate; expected some of pearson" in done.stderr
    (tmp_path / "base.yaml").write_text(recipe_for("bert").to_yaml(), "utf-8")
    (tmp_path / "space.yaml").write_text(SPACE.format(base=tmp_path / "base.yaml") + "objectives: [r2]\n", "utf-8")
    told = refused(["sweep", str(tmp_path / "space.yaml"), "--out", str(tmp_path / "out")])
    assert "r2 is no objective of data that has classes; expected some of accuracy" in told
    assert not (tmp_path / "out").exists()


def test_json_has_every_trial_and_nothing_else_is_printed(swept):
    folder, _, _, again = swept
    answer = json.loads(again.stdout)
    study = Study.load(folder)
    assert [trial["state"] for trial in answer["trials"]] == [trial.state for trial in study.trials]
    assert sorted(trial["state"] for trial in answer["trials"]) == ["finished", "finished", "rejected"]
    assert answer["best"]["number"] == study.best.number
    assert len(answer["finals"]) == 1
    assert again.stderr == ""


def test_what_is_over_the_cap_was_never_trained(swept):
    study = Study.load(swept[0])
    (rejected,) = [trial for trial in study.trials if trial.state == "rejected"]
    assert rejected.params == {"adapter.rank": 8}
    assert "6,000" in rejected.reason
    assert rejected.seconds is None


def test_the_tables_have_a_row_a_trial(swept):
    folder = swept[0]
    with (folder / "leaderboard.csv").open(newline="", encoding="utf-8") as file:
        board = list(csv.DictReader(file))
    with (folder / "trials.csv").open(newline="", encoding="utf-8") as file:
        trials = list(csv.DictReader(file))
    assert [row["place"] for row in board] == ["1", "2"]
    assert float(board[0]["accuracy"]) >= float(board[1]["accuracy"])
    assert sorted(row["adapter.rank"] for row in trials) == ["1", "2", "8"]
    assert int(board[0]["trained_parameters"]) < 6000


def test_the_best_recipe_is_the_best_trials_and_the_finalist_is_a_run(swept):
    folder = swept[0]
    study = Study.load(folder)
    best = Recipe.load(folder / "best.yaml")
    assert best.adapter.rank == study.best.params["adapter.rank"]
    assert best.fingerprint == study.recipe(study.best).fingerprint
    assert (best.budget.parameters, best.train.encoder_dropout) == (6000, "off")
    (final,) = study.finals
    run = Run.load(final.folder)
    assert run.recipe.train.seed == final.seed == 1
    assert run.scores.test.accuracy.value == final.test["accuracy"]


def test_another_command_in_the_same_folder_is_refused(swept):
    assert "holds a sweep that differs in the base recipe" in refused([*swept[1], "--set", "train.epochs=7"])


def test_a_space_of_which_nothing_fits_says_what_the_smallest_needs(swept, tmp_path):
    words = [*swept[1], "--budget", "10", "--out", str(tmp_path / "none")]
    told = refused(words)
    study = Study.load(tmp_path / "none")
    least = min(trial.trained_parameters for trial in study.trials)
    assert f"the smallest would train {least:,}; type --budget {least + 1}" in told
    assert Study.load(swept[0]).finished[-1].trained_parameters in [trial.trained_parameters for trial in study.trials]


def test_a_folder_that_cannot_be_made_is_refused(swept, tmp_path):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        assert f"{place}: no folder can be made there" in " ".join(refused([*swept[1], "--out", str(place)]).split())


def test_the_command_to_type_next_can_be_copied(swept, capsys, tmp_path):
    show_study(Study.load(swept[0]), Path("my sweeps"))
    assert "rankwise train 'my sweeps/best.yaml'" in capsys.readouterr().out


def test_the_best_recipe_of_a_hidden_folder_can_be_loaded(swept, tmp_path):
    write_tables(replace(Study.load(swept[0]), name=".hidden"), tmp_path)
    assert Recipe.load(tmp_path / "best.yaml").name == "hidden-best"


def test_only_the_first_rejections_have_a_line(capsys):
    progress = SweepProgress(Space.load("rank4-grid"), quiet=False)
    standing = Standing(done=0, total=9, eta_seconds=None, best=None)
    with progress:
        progress(SearchStarted(1, standing))
        for number in range(9):
            progress(TrialEnded(Trial(number, "rejected", {}, reason="too much"), standing))
    told = capsys.readouterr().err
    assert (told.count("too much"), told.count("in trials.csv")) == (3, 1)


def test_set_fixes_a_key_and_names_search_settings(swept):
    assert "then the space varies nothing" in refused([*swept[1], "--set", "adapter.rank=2"])
    told = refused([*swept[1], "--set", "search.samplr=tpe"])
    assert "--set search.samplr=tpe: unknown key 'search.samplr'; did you mean 'search.sampler'" in told


def test_trials_beside_each_other_are_as_many_as_cores_and_memory_allow(recipe_for, monkeypatch):
    recipe = recipe_for("bert")
    assert 1 <= fitting_jobs(recipe) <= usable_cores()
    monkeypatch.setattr("rankwise.cli.verbs.sweep.usable_cores", lambda: 8)
    monkeypatch.setattr("rankwise.cli.verbs.sweep.available_bytes", lambda: 10**12)
    assert fitting_jobs(recipe) == 8
    monkeypatch.setattr("rankwise.cli.verbs.sweep.available_bytes", lambda: 10**6)
    assert fitting_jobs(recipe) == 1


def test_changes_are_named_by_as_much_of_a_key_as_tells_them_apart():
    varied = ("adapter.rank", "train.optimizer.name", "train.rates.head", "train.learning_rate", "adapter.targets")
    params = {
        "adapter.rank": 4,
        "train.optimizer.name": "adam",
        "train.learning_rate": 0.00123456,
        "adapter.targets": ["query", "value"],
    }
    assert changes_of(params, varied) == "rank 4, adam, learning_rate 0.00123, targets query+value"
    assert changes_of({"a.x": 1, "b.x": 2}, ("a.x", "b.x")) == "a.x 1, b.x 2"


def test_finalists_of_a_score_that_test_rows_have_not_are_shown_by_accuracy(capsys):
    validation = {"accuracy": 0.9, "worst_shift": 0.7}
    trials = (
        Trial(0, "finished", {"adapter.rank": 2}, {"worst_shift": 0.71}, {"worst_shift": (0.71,), "accuracy": (0.88,)}),
    )
    finals = (Final(0, 1, "finals/0-1", validation, {"accuracy": 0.85}, 1.0),)
    show_study(Study("s", ("worst_shift",), Recipe.load("rank4-adam"), trials, finals, ("adapter.rank",)), Path("s"))
    told = " ".join(capsys.readouterr().out.split())
    assert "validation accuracy % test accuracy %" in told
    assert "90.0 85.0 best" in told


def test_progress_tells_the_time_left_and_reasons_as_they_are(capsys):
    progress = SweepProgress(Space.load("rank4-grid"), quiet=False)
    progress(SearchStarted(1, Standing(done=0, total=8, eta_seconds=None, best=None)))
    standing = Standing(done=1, total=8, eta_seconds=119.6, best=None)
    progress(TrialEnded(Trial(0, "finished", {}, {"accuracy": 0.9}), standing))
    progress(Final(0, 1, "f", reason="adapter.targets: found [query]"))
    told = capsys.readouterr().err
    assert "(1 of 8, ETA 2:00)" in told
    assert "finalist trial 0, seed 1: adapter.targets: found [query]" in told


def test_a_finalist_that_diverged_is_told(capsys):
    score = {"accuracy": 0.9}
    trials = tuple(Trial(number, "finished", {"adapter.rank": 2 + number}, score, {"accuracy": (0.9,)}) for number in (0, 1))
    lost = "the loss became nan at update 3"
    finals = (Final(0, 1, "f", score, {"accuracy": 0.85}, 1.0), Final(0, 2, "g", reason=lost), Final(1, 1, "h", reason=lost))
    show_study(Study("s", ("accuracy",), Recipe.load("rank4-adam"), trials, finals, ("adapter.rank",)), Path("s"))
    told = " ".join(capsys.readouterr().out.split())
    assert "trial 0 1 90.0 85.0 best, 1 of 2 failed" in told
    assert "trial 1 0 1 of 1 failed" in told
    assert lost in told


def test_a_score_has_its_spread_over_seeds():
    assert shown_scores("accuracy", (0.9, 0.92)) == "91.0 ± 1.4"
    assert shown_scores("log_loss", (0.3,)) == "0.300"
