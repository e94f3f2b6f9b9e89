"""A new run passes, fails, or is not told apart, by the rows that both answered; what does not belong together is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import f1_score

from conftest import Rows, as_if, separable
from rankwise.data.clean import Preprocessing
from rankwise.errors import RecipeError, RunError
from rankwise.recipe import Recipe, SourceSpec
from rankwise.run.format import ScoredRows
from rankwise.stats.intervals import Interval
from rankwise.stats.noninferiority import Chances
from rankwise.system.events import Events
from rankwise.workflows.compare import Answers
from rankwise.workflows.gate import Answered, Gate, Power, RowsEnough, Side, gate, kept_by_both, scored_by_both
from rankwise.workflows.score_files import evaluate_file


@pytest.fixture
def run(run_for):
    return run_for("bert")


def said(run, predicted, truth):
    """The run's answers, as if it had given these classes, (N,), to rows of these."""
    probabilities = np.full((len(truth), 3), 0.1, np.float32)
    probabilities[np.arange(len(truth)), predicted] = 0.8
    return Answers(run, ScoredRows(np.arange(1, len(truth) + 1), truth, probabilities))


def held(run, rows, only_new, only_old, **how):
    """The gate on so many rows, of which NEW alone and OLD alone have so many right, and both four fifths of the others."""
    truth = np.arange(rows) % 3
    wrong = (truth + 1) % 3
    both = np.where(np.arange(rows) < rows // 5, wrong, truth)
    old, new = both.copy(), both.copy()
    of_new, of_old = slice(rows - only_new, rows), slice(rows - only_new - only_old, rows - only_new)
    old[of_new], new[of_old] = wrong[of_new], wrong[of_old]
    return gate(Answered(said(run, new, truth), said(run, old, truth), "these"), **how)


# ---------------------------------------------------------------------------------------------------------- the rule


@pytest.mark.parametrize("margin", [50.0, 60.0, 99.0])
def test_a_margin_of_half_the_rows_and_more_is_one_too(run, margin):
    found = held(run, 300, 20, 25, margin=margin)
    assert found.outcome == "not worse"
    assert found.power.loss == 100
    assert (found.power.lost.worse > 0.9) == (margin < 99), "of 300 rows that are all lost, 99 points are no sure thing"


@pytest.mark.parametrize(
    ("only_new", "only_old", "outcome", "code"),
    [(310, 290, "not worse", 0), (250, 400, "worse", 3), (300, 310, "not enough rows", 4)],
)
def test_the_outcome_is_an_exit_code(run, only_new, only_old, outcome, code):
    found = held(run, 7600, only_new, only_old)
    assert (found.outcome, found.exit_code) == (outcome, code)
    assert (found.new.alone_right, found.old.alone_right) == (only_new, only_old)
    assert found.new.score - found.old.score == pytest.approx(found.difference.value)
    assert found.discordance == (only_new + only_old) / 7600


def test_runs_that_do_not_differ_pass_where_there_are_rows_enough(run):
    assert held(run, 30_000, 1200, 1200).outcome == "not worse"


def test_a_wider_margin_lets_more_pass(run):
    outcomes = [held(run, 7600, 250, 400, margin=margin).outcome for margin in (0.5, 2.0, 3.0)]
    assert outcomes == ["worse", "not enough rows", "not worse"]


@pytest.mark.parametrize("margin", [0.0, -1.0, 100.0, float("nan")])
def test_a_margin_that_is_no_points_to_lose_is_refused(run, margin):
    with pytest.raises(RecipeError, match=r"--margin .*: expected points that NEW may lose, above 0 and below 100"):
        held(run, 30, 1, 1, margin=margin)


def test_of_200_pairs_that_do_not_differ_at_most_5_of_100_are_called_worse_and_as_many_pass_as_is_said(run):
    rng, rows, changed = np.random.default_rng(0), 2000, 0.01
    outcomes, told = [], []
    for _ in range(200):
        truth = rng.integers(0, 3, rows)
        common = np.where(rng.random(rows) < 0.85, truth, (truth + 1) % 3)
        new, old = (np.where(rng.random(rows) < changed, (common + 1) % 3, common) for _ in range(2))
        found = gate(Answered(said(run, new, truth), said(run, old, truth), "drawn"), margin=0.5)
        outcomes.append(found.outcome)
        told.append(found.power.alike.not_worse)
    assert outcomes.count("worse") / 200 <= 0.05
    assert outcomes.count("not worse") / 200 == pytest.approx(np.mean(told), abs=0.1)
    assert 0.3 < np.mean(told) < 0.9


def test_classes_in_another_order_are_the_same_classes(run):
    turned = as_if(run, preprocessing=Preprocessing(("river", "fruit", "metal"), (), 24))
    truth = np.arange(90) % 3
    old = said(run, truth, truth)
    order = np.array([turned.preprocessing.classes.index(name) for name in run.preprocessing.classes])
    new = said(turned, order[truth], order[truth])
    found = gate(Answered(new, old, "these"))
    assert (found.new.score, found.old.score, found.discordance) == (1.0, 1.0, 0.0)


def test_macro_f1_is_held_against_macro_f1(run):
    truth = np.array([0] * 60 + [1] * 600 + [2] * 600)
    old = truth.copy()
    new = np.where((truth == 0) & (np.arange(len(truth)) % 2 == 0), 1, truth)  # half of a rare class is lost
    answered = Answered(said(run, new, truth), said(run, old, truth), "these")
    by_f1, by_accuracy = gate(answered, score="macro_f1", margin=5), gate(answered, margin=5)
    assert (by_accuracy.outcome, by_f1.outcome) == ("not worse", "worse")
    assert by_f1.new.score == pytest.approx(f1_score(truth, new, average="macro"))
    assert by_f1.old.score == 1.0
    assert by_f1.verdict.startswith("NEW is worse than OLD by more than 5 points of macro-F1: the difference is -")


def test_rows_of_no_known_class_tell_nothing_of_macro_f1(run):
    truth = np.full(20, -1)
    found = gate(Answered(*(said(run, np.zeros(20, int), truth) for _ in range(2)), "these"), score="macro_f1")
    assert (found.outcome, found.new.score, found.advice) == ("not enough rows", None, "")
    assert found.verdict == "not enough rows: none has a class that both runs know, so their macro-F1 is not defined"
    assert "| NEW minus OLD, points | | n/a |  |" in found.markdown()


# ------------------------------------------------------------------------------------------------------------- words


def example(outcome, value, low, high, **changes):
    side = Side("runs/a", 0.9, 304)
    power = Power(7600, Chances(0.44, 0.0006, 0.5594), 1.0, Chances(0.0006, 0.444, 0.5554))
    enough = RowsEnough(27_854, 41_451)
    found = Gate(outcome, "accuracy", 0.5, "kept", 7600, side, side, Interval(value, low, high), 0.08, power, enough)
    return replace(found, **changes)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (
            example("not worse", 0.002, -0.0031, 0.0071),
            "NEW is not worse than OLD by more than 0.5 points of accuracy: the difference is +0.20 points, 95% sure to be "
            "above -0.31",
        ),
        (
            example("worse", -0.02, -0.0281, -0.0119, margin=1.0),
            "NEW is worse than OLD by more than 1 point of accuracy: the difference is -2.00 points, 95% sure to be "
            "below -1.19",
        ),
        (
            example("not enough rows", -0.001, -0.0081, 0.0041, score="macro_f1"),
            "not enough rows to tell whether NEW is worse than OLD by more than 0.5 points of macro-F1: the difference is "
            "-0.10 points, 95% sure to be above -0.81 and as sure below +0.41",
        ),
    ],
)
def test_a_verdict_names_the_bound_that_it_rests_on(found, words):
    assert found.verdict == words


@pytest.mark.parametrize(
    ("enough", "words"),
    [
        (
            RowsEnough(27_854, 41_451),
            "about 28,000 rows would be enough, where one of the two alone is right on 8.0% of the rows, as here: 9 in 10 "
            "models that do not differ pass then",
        ),
        (
            RowsEnough(7000, 141_451),
            "about 150,000 rows would be enough, where one of the two alone is right on 8.0% of the rows, as here, if the "
            "difference is what it seems",
        ),
        (
            RowsEnough(7000, None),
            "these models seem to differ by the margin itself, which no number of rows tells; give another --margin",
        ),
    ],
)
def test_too_few_rows_come_with_how_many_would_be_enough(enough, words):
    assert example("not enough rows", -0.004, -0.009, 0.001, rows_enough=enough).advice == words
    assert example("worse", -0.02, -0.03, -0.01, rows_enough=enough).advice == ""


def test_what_the_rows_tell_is_a_line():
    assert str(example("worse", -0.02, -0.03, -0.01).power) == (
        "what 7,600 such rows tell: of models that do not differ 44% pass and under 0.1% are called worse; of models 1 "
        "point worse 44% are called worse and under 0.1% pass"
    )


def test_json_has_the_words_and_the_exit_code(run):
    found = held(run, 7600, 300, 310)
    plain = json.loads(json.dumps(found.as_dict()))
    assert (plain["exit_code"], plain["verdict"], plain["advice"]) == (4, found.verdict, found.advice)
    assert plain["difference"] == vars(found.difference)
    assert plain["power"]["alike"]["not_worse"] == found.power.alike.not_worse
    assert plain["rows_enough"]["if_alike"] > 7600


def test_a_summary_is_added_to_what_its_file_holds(tmp_path):
    file = tmp_path / "summary.md"
    found = example("not worse", 0.002, -0.0031, 0.0071, notes=("1 row dropped",))
    for _ in range(2):
        found.append_to(file)
    assert file.read_text("utf-8") == 2 * found.markdown()
    assert found.markdown().splitlines()[:8] == [
        "### Gate: passes",
        "",
        f"{found.verdict}.",
        "",
        "| | run | accuracy % | rows it alone has right |",
        "|---|---|---:|---:|",
        "| NEW | runs/a | 90.0 | 304 |",
        "| OLD | runs/a | 90.0 | 304 |",
    ]
    assert found.markdown().endswith("\n\n**Note:** 1 row dropped.\n")


def test_names_are_no_markdown():
    hostile = example("worse", -0.02, -0.03, -0.01, new=Side("a|b<img>\n# c`", 0.9, 1), data="*x*.csv")
    assert r"| NEW | a\|b\<img\> # c\` | 90.0 | 1 |" in hostile.markdown()
    assert r"7,600 rows: \*x\*.csv." in hostile.markdown()


# -------------------------------------------------------------------------------------------------------- which rows


def test_runs_that_kept_the_same_test_rows_are_held_against_each_other_on_them(run_for):
    new, old = run_for("bert"), run_for("bert", "train.epochs=1", "train.learning_rate=1e-5")
    found = gate(kept_by_both(new, old))
    assert found.rows == 12
    assert [found.new.score, found.old.score] == [one.scores.test.accuracy.value for one in (new, old)]
    assert (found.data, found.notes) == ("the test rows that both kept", ())


def test_one_recipe_and_seed_trained_twice_is_what_a_gate_is_for(run_for, copy_of):
    from rankwise.run.folder import Run

    old = run_for("bert")
    assert gate(kept_by_both(Run.load(copy_of(old)), old)).discordance == 0


def test_other_test_rows_are_refused_with_a_command_that_scores_both_on_one_file(run_for):
    new, old = run_for("bert"), run_for("bert", "data.split.test=15")
    with pytest.raises(RunError) as problem:
        kept_by_both(new, old)
    assert "were not scored on the same test rows (12 and 15; " in str(problem.value)
    command = f"rankwise gate {new.folder} --against {old.folder} --data FILE"
    assert str(problem.value).endswith(f"; or score both on rows that neither was trained on: {command}")


def test_data_that_changed_between_the_runs_is_refused_with_that_command_too(run):
    other = as_if(run, facts=replace(run.facts, data_sha256="other"))
    with pytest.raises(RunError, match=r"texts or labels of the data changed between them; .* --data FILE"):
        kept_by_both(other, run)


def test_other_classes_are_refused_by_name(run):
    other = as_if(run, preprocessing=Preprocessing(("fruit", "metal", "sea"), (), 24), scored_rows=run.scored_rows)
    with pytest.raises(RunError, match=r"have other classes: river, sea are in one of them only; train both with the same$"):
        kept_by_both(other, run)


def test_fewer_training_rows_are_told(run_for):
    old = run_for("bert")
    new = as_if(old, recipe=old.recipe.with_overrides(["data.rows=30"]), facts=replace(old.facts, data_sha256="other"))
    assert kept_by_both(new, old).notes == ("not all were trained on the same rows (data.rows: None and 30)",)


def reading(path):
    """What the command line makes of --data, for any run."""
    spec = Recipe(name="x").with_overrides([f"data.source={path}"]).data
    return lambda _: (SourceSpec(path=str(path)), spec, ())


def test_a_file_is_scored_by_both(run_for, tmp_path):
    new, old = run_for("bert"), run_for("bert", "train.epochs=1", "train.learning_rate=1e-5")
    path = separable(40, seed=9).write(tmp_path / "new.csv")
    answered = scored_by_both(new, old, reading(path), engine="torch", events=Events())
    found = gate(answered)
    assert found.rows == 40
    for side, one in ((found.new, new), (found.old, old)):
        source, spec, _ = reading(path)(one)
        _, _, evaluation = evaluate_file(one, source, spec)
        assert side.score == evaluation.scores.accuracy.value
    assert found.data.startswith("new.csv: CSV")
    assert found.notes == ()


def test_rows_that_a_run_was_trained_on_are_told_of_that_run(run_for, data_file, rows, tmp_path):
    run = run_for("bert")
    other = run_for("bert", "train.seed=1")
    path = Rows(rows.texts[:20], rows.labels[:20]).write(tmp_path / "seen.csv")
    notes = scored_by_both(run, other, reading(path), engine="torch", events=Events()).notes
    assert len(notes) == 2
    assert all(" of 20 rows (" in note and "trained on or chose by, which is in its favour" in note for note in notes)
    assert str(run.folder) in notes[0]
    assert str(other.folder) in notes[1]
