"""What a person sees is plain, whatever the numbers and names are."""

from __future__ import annotations

import pytest

from rankwise import console


def interval(value, low=None, high=None):
    return {"value": value, "low": low, "high": high}


@pytest.mark.parametrize(
    ("scored", "as_percent", "as_points"),
    [
        (interval(0.895, 0.888, 0.902), "89.5 [88.8, 90.2]", "+89.5 [+88.8, +90.2]"),
        (interval(-0.0001, -0.01, 0.02), "0.0 [-1.0, 2.0]", "+0.0 [-1.0, +2.0]"),
        (interval(0.5), "50.0", "+50.0"),
        (interval(None), "n/a", "n/a"),
    ],
    ids=["bounded", "about 0", "no resample had it", "not defined"],
)
def test_an_interval_is_shown_as_far_as_it_is_defined(scored, as_percent, as_points):
    assert (console.percent(scored), console.points(scored)) == (as_percent, as_points)


def test_scores_without_bounds_are_shown_without(capsys):
    keys = ("accuracy", "macro_f1", "mcc", "log_loss", "calibration_error")
    scores = {key: interval(0.5) for key in keys}
    console.show_evaluation(
        {
            **scores,
            "mcc": interval(None),
            "rows": 1,
            "confidence_level": 0.95,
            "per_class": [],
            "confusion": [],
            "mistakes": [],
        },
        [],
    )
    lines = {line.split("  ")[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()}
    assert lines["accuracy %"] == ["%", "50.0"]
    assert lines["MCC"] == ["n/a"]


def test_shares_are_shown_in_percent_and_other_scores_as_they_are(run_for, capsys):
    scores = run_for("bert").scores["test"]
    console.show_evaluation(scores, run_for("bert").preprocessing.classes)
    shown = " ".join(capsys.readouterr().out.split())
    assert f"accuracy % {console.percent(scores['accuracy'])} macro-F1 % {console.percent(scores['macro_f1'])}" in shown
    loss, low, high = scores["log_loss"].values()
    assert f"log-loss {loss:.3f} [{low:.3f}, {high:.3f}]" in shown


def test_a_recipe_may_be_called_anything(run_for, capsys):
    console.show_run(run_for("bert", "name='[red]'"))
    assert "[red]" in capsys.readouterr().out
