"""What a person sees is plain, whatever the numbers and names are."""

from __future__ import annotations

import re
import shlex
from dataclasses import astuple, replace

import pytest

from rankwise.cli import console
from rankwise.cli.verbs.evaluate import show_evaluation
from rankwise.cli.verbs.train import show_run
from rankwise.run.verdict import verdict
from rankwise.stats.intervals import Interval
from rankwise.stats.scores import ClassScore, Mistake, ScoresWithMistakes

HALF = Interval(0.5, None, None)


@pytest.mark.parametrize(
    ("scored", "as_percent", "as_points"),
    [
        (Interval(0.895, 0.888, 0.902), "89.5 [88.8, 90.2]", "+89.5 [+88.8, +90.2]"),
        (Interval(-0.0001, -0.01, 0.02), "0.0 [-1.0, 2.0]", "+0.0 [-1.0, +2.0]"),
        (HALF, "50.0", "+50.0"),
        (Interval(None, None, None), "n/a", "n/a"),
    ],
    ids=["bounded", "about 0", "no resample had it", "not defined"],
)
def test_an_interval_is_shown_as_far_as_it_is_defined(scored, as_percent, as_points):
    assert (console.percent(scored), console.points(scored)) == (as_percent, as_points)


def test_scores_without_bounds_are_shown_without(capsys):
    show_evaluation(replace(scored(["fruit"], []), mcc=Interval(None, None, None)), ["fruit"])
    lines = {line.split("  ")[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()}
    assert lines["accuracy %"] == ["%", "50.0"]
    assert lines["MCC"] == ["n/a"]


def scored(classes, confusion):
    """Scores of one half each."""
    per_class = tuple(ClassScore(name, 9, HALF, HALF, HALF) for name in classes)
    matrix = tuple(map(tuple, confusion))
    return ScoresWithMistakes(
        9,
        HALF,
        HALF,
        HALF,
        HALF,
        HALF,
        per_class=per_class,
        confusion=matrix,
        reliability=(),
        confidence_level=0.95,
        mistakes=(),
    )


def test_a_confusion_matrix_that_lines_can_not_hold_gives_way_to_the_commonest_pairs(capsys, monkeypatch):
    monkeypatch.setattr(console.out, "_width", 80)
    classes = [f"tickets about topic number {number}" for number in range(6)]
    matrix = [[5 if row == column else int((row, column) == (2, 4)) for column in range(6)] for row in range(6)]
    show_evaluation(scored(classes, matrix), classes)
    told = capsys.readouterr().out
    assert "topic number 2  tickets about topic number 4     1" in told
    assert "…" not in told
    assert "--json has it" in told


def test_a_confusion_matrix_that_fits_has_every_class(capsys, monkeypatch):
    monkeypatch.setattr(console.out, "_width", 80)
    show_evaluation(scored(["a", "b"], [[3, 1], [2, 3]]), ["a", "b"])
    told = capsys.readouterr().out
    assert "truth ↓  predicted →" in told
    assert "mixed up" not in told


def test_shares_are_shown_in_percent_and_other_scores_as_they_are(run_for, capsys):
    scores = run_for("bert").scores.test
    show_evaluation(scores, run_for("bert").preprocessing.classes)
    shown = " ".join(capsys.readouterr().out.split())
    assert f"accuracy % {console.percent(scores.accuracy)} macro-F1 % {console.percent(scores.macro_f1)}" in shown
    loss, low, high = astuple(scores.log_loss)
    assert f"log-loss {loss:.3f} [{low:.3f}, {high:.3f}]" in shown


def test_a_recipe_may_be_called_anything(run_for, capsys):
    show_run(run_for("bert", "name='[red]'"))
    assert "[red]" in capsys.readouterr().out


STEERING = "\x1b[31mred\x07 \u202egnol\x9b2J [bold]:smile:"


def test_names_and_texts_of_an_evaluation_do_not_steer_the_terminal(capsys, monkeypatch):
    monkeypatch.setattr(console.out, "_width", 200)
    mistake = Mistake(1, f"text {STEERING}", STEERING, "b", 0.9)
    show_evaluation(replace(scored([STEERING, "b"], [[3, 1], [2, 3]]), mistakes=(mistake,)), [STEERING, "b"])
    told = capsys.readouterr().out
    assert told.count("\\x1b[31mred\\x07 \\u202egnol\\x9b2J [bold]:smile:") == 5
    assert not {"\x07", "\x1b", "\u202e", "\x9b"} & set(told)


def test_messages_do_not_steer_the_terminal(capsys):
    console.error(STEERING)
    console.note(STEERING)
    console.dim(STEERING)
    console.hanging("-", "x\x1b[2J")
    printed = capsys.readouterr()
    assert not {"\x07", "\x1b", "\u202e", "\x9b"} & set(printed.out + printed.err)
    assert printed.err == "error: \\x1b[31mred\\x07 \\u202egnol\\x9b2J [bold]:smile:\n"


def test_mistakes_without_texts_say_so(capsys):
    mistake = Mistake(7, None, "a", "b", 0.9)
    show_evaluation(replace(scored(["a", "b"], [[3, 1], [2, 3]]), mistakes=(mistake,)), ["a", "b"])
    assert "not kept" in capsys.readouterr().out


def test_the_end_of_a_run_shows_a_text_of_ones_own_and_what_the_scores_come_to(run_for, capsys):
    run = run_for("bert")
    show_run(run, example="It's a \x1b[31mlong\n text with more words than a command line should hold, so it is cut")
    told = capsys.readouterr().out
    command = re.search(r"rankwise predict \S+ --text (.*)", told)[1]
    assert shlex.split(command) == ["It's a [31mlong text with more words than a command line"]
    assert " ".join(verdict(run.scores).split()) in " ".join(told.split())
    show_run(run)
    assert "--text TEXT" in capsys.readouterr().out
