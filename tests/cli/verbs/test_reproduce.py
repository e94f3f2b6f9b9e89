"""`rankwise reproduce`: the list, a report's numbers beside ours, progress on standard error alone."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from rankwise.cli.app import app
from rankwise.cli.console import out
from rankwise.cli.verbs.reproduce import show_reproduction
from rankwise.published.reports import reports
from rankwise.published.reproduce import Outcome, Reproduction

pytestmark = pytest.mark.long


def typed(*words):
    return CliRunner().invoke(app, ["reproduce", *words], catch_exceptions=False)


@pytest.fixture
def quick(tiny, data_file, tmp_path):
    """What makes a report run in seconds."""
    changes = [
        f"base={tiny('bert')}",
        "data.max_length=24",
        "data.split.validation=12",
        "data.split.test=12",
        "train.epochs=1",
        "evaluate.resamples=20",
    ]
    options = [word for change in changes for word in ("--set", change)]
    return ["--data", str(data_file), "--out", str(tmp_path / "out"), "--seeds", "2", *options]


def test_without_a_report_it_lists_them_in_80_columns(monkeypatch):
    monkeypatch.setattr(out, "_width", 80)
    shown = typed().stdout
    for report in reports():
        assert report.title in shown
        assert all(experiment.name in shown for experiment in report.experiments)
    assert max(map(len, shown.splitlines())) <= 80
    listed = shown.partition("\n\n")[0].splitlines()
    assert len(listed) == len(reports()) + sum(len(report.experiments) for report in reports())  # not one is broken


def test_the_list_as_json_is_the_reports():
    assert json.loads(typed("--json").stdout) == [report.model_dump(mode="json") for report in reports()]


@pytest.mark.parametrize(
    "options", [["--seeds", "3"], ["--seeds", "1", "--json"], ["--only", "adamw", "--set", "train.epochs=1"]]
)
def test_options_without_a_report_are_refused(options):
    answer = typed(*options)
    assert (answer.exit_code, answer.stdout) == (2, "")
    assert options[0] in answer.stderr
    assert f"type its number too, such as rankwise reproduce 002 {options[0]}" in " ".join(answer.stderr.split())


def test_what_is_done_and_why_an_experiment_runs_stand_in_its_line(quick):
    words = ["002", "--only", "uniform", "--only", "mc-dropout", *quick, "--seeds", "1"]
    first, again = ([line for line in typed(*words).stderr.splitlines() if " of 3: " in line] for _ in range(2))
    assert first == ["1 of 3: by-depth, seed 0; mc-dropout needs it", "2 of 3: uniform, seed 0", "3 of 3: mc-dropout, seed 0"]
    assert again == [f"{line}; done already" for line in first]


def test_a_report_is_laid_beside_ours(quick, monkeypatch):
    monkeypatch.setattr(out, "_width", 80)
    answer = typed("000", "--only", "adamw", "--only", "rmsprop", *quick)
    shown = answer.stdout
    assert "691,722" in shown
    assert "691,972" in shown
    assert "there validation accuracy 94.6 %, validation loss 0.185, test accuracy X %" in shown
    assert "; 36 rows, 3 updates" in " ".join(shown.split())
    assert "what does not add up" in shown
    assert "1 of 4: adamw, seed 0" in answer.stderr
    assert "1 of 4" not in shown


def test_what_was_left_out_names_the_extra_in_full(monkeypatch, capsys):
    monkeypatch.setattr(out, "_width", 200)
    left_out = "'bitsandbytes' is not installed, and this needs it; type: pip install 'rankwise[qlora]'"
    outcome = Outcome(reports()[0].experiments[3], 1, 1, left_out=left_out)
    show_reproduction(Reproduction(reports()[0], "minilm", (), (outcome,), {}, ()))
    assert f"not run: {left_out}" in capsys.readouterr().out


def test_json_has_the_outcomes_and_nothing_else_on_standard_output(quick):
    found = json.loads(typed("003", "--only", "grid-best", *quick, "--json").stdout)
    assert found["report"] == "003"
    (outcome,) = found["outcomes"]
    assert (outcome["counted"], outcome["system"]["seeds"]) == (759_556, [0, 1])


def test_a_misspelt_experiment_is_refused_at_once():
    answer = typed("002", "--only", "by-dept")
    assert answer.exit_code == 2
    assert "did you mean 'by-depth'" in answer.stderr
