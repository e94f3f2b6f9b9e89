"""A decision is made by rows that were held out, verified on the test rows, kept with the run and refused with another."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from rankwise.errors import RunError
from rankwise.inference.decision import Costs
from rankwise.run.decision import DECISION, read_decision
from rankwise.run.folder import Run
from rankwise.run.format import ScoredRows
from rankwise.run.manifest import HELD_OUT, check_files, read_manifest
from rankwise.workflows.decide import Wish, chances, decide, share, verdict
from rankwise.workflows.train import train


def rows_like(run, count, *, seed=0, right=0.9):
    """Held-out rows of a classifier that is as sure as it is right: most are sure, and wrong as seldom as they say."""
    rng, classes = np.random.default_rng(seed), len(run.preprocessing.classes)
    confidence = np.where(rng.random(count) < right, 0.995, rng.uniform(0.4, 0.9, count)) + rng.random(count) * 1e-3
    truth = rng.integers(classes, size=count)
    answers = np.where(rng.random(count) < confidence, truth, (truth + 1) % classes)
    probabilities = np.repeat((1 - confidence)[:, None] / (classes - 1), classes, axis=1)
    probabilities[np.arange(count), answers] = confidence
    return ScoredRows(np.arange(count), truth, probabilities.astype(np.float32), rng.normal(size=count).astype(np.float32))


@pytest.fixture
def run(run_for, copy_of):
    """A run whose folder a test may write into."""
    return Run.load(copy_of(run_for("bert")))


def test_a_run_keeps_what_it_said_of_its_validation_rows(run_for):
    run = run_for("bert")
    held, test = run.held_out_rows(), run.scored_rows()
    assert len(held.truth) == run.facts.rows.validation
    assert HELD_OUT in read_manifest(run.folder).sha256
    assert held.energy.shape == held.truth.shape
    assert not set(held.rows) & set(test.rows)
    assert (held.probabilities.argmax(1) == held.truth).mean() == pytest.approx(run.scores.validation.accuracy)


def test_where_folds_chose_a_run_keeps_what_other_folds_said_of_every_row(recipe_for, tmp_path):
    run = train(
        recipe_for("bert", "rungs=[features]", "head={kind: pooled, start: fitted}", "data.split.validation=0.1"),
        tmp_path / "run",
    )
    assert run.facts.ladder.folds == 3
    held = run.held_out_rows()
    assert len(held.truth) == run.facts.ladder.rows
    assert held.energy is None
    assert (held.probabilities.argmax(1) == held.truth).mean() == pytest.approx(run.facts.ladder.rungs[0].accuracy)
    found = decide(run, Wish(coverage=0.8))
    assert found.chosen_on == f"{len(held.truth)} rows in 3 folds"
    assert found.rule.most_energy is None


def test_a_decision_is_read_back_as_it_was_made_and_the_run_stays_whole(run):
    made = decide(run, Wish(coverage=0.5))
    assert read_decision(run.folder, run.preprocessing.classes) == made
    assert Run.load(run.folder).decision == made
    check_files(run.folder, read_manifest(run.folder))
    assert made.verified.rows == len(run.scored_rows().truth)
    assert made.asked == "50 % of the texts answered"


def test_a_run_that_predicted_before_applies_a_decision_from_then_on(run):
    assert not run.predict(["the a of"])[0].reason
    decide(run, Wish(coverage=0.2, unlike=0.0))
    texts = ["apple pear", "the a of", "iron fig danube", "under over very"]
    assert [one.reason for one in run.predict(texts)] == [one.reason for one in Run.load(run.folder).predict(texts)]
    assert any(one.unsure for one in run.predict(texts))


def test_the_test_rows_have_no_say(run):
    made = decide(run, Wish(max_error=0.05), rows=rows_like(run, 800))
    truth = run.scored_rows().truth
    flipped = ScoredRows(run.scored_rows().rows, (truth + 1) % 3, run.scored_rows().probabilities, run.scored_rows().energy)
    vars(run)["scored_rows"] = lambda: flipped
    again = decide(run, Wish(max_error=0.05), rows=rows_like(run, 800))
    assert again.rule == made.rule
    assert again.promised == made.promised
    assert again.verified != made.verified


def test_what_was_promised_is_what_the_chosen_threshold_does_on_the_rows_that_chose(run):
    rows = rows_like(run, 800)
    made = decide(run, Wish(max_error=0.05, unlike=0.0), rows=rows)
    assert made.promised.error_bound <= 0.05
    assert made.promised.coverage.value > 0.5
    assert made.rule.most_energy is None
    assert made.chosen_on == "800 labelled rows"


def test_some_texts_like_those_of_training_may_be_called_unlike_and_as_many_are(run):
    made = decide(run, Wish(coverage=0.9, unlike=0.05), rows=rows_like(run, 999))
    assert made.promised.unlike == 49  # above the 950th of 999
    assert made.promised.coverage.value == pytest.approx(0.9, abs=0.002)


def test_too_few_rows_are_told_with_how_many_more_would_do_and_what_can_be_promised(run):
    with pytest.raises(RunError, match=r"12 validation rows show of no threshold that at most 1 % of its answers are wrong"):
        decide(run, Wish(max_error=0.01))
    rows = rows_like(run, 200)
    with pytest.raises(RunError, match=r"about [\d,]+ more rows like these would do; (\S+) % can be .*: --max-error \1%"):
        decide(run, Wish(max_error=0.005), rows=rows)
    with pytest.raises(RunError, match=r"too few to promise sets that hold the true label of 99 % .* takes 299"):
        decide(run, Wish(sets=0.99), rows=rows)
    assert not (run.folder / DECISION).exists()


def test_what_is_proposed_in_place_of_too_much_can_be_had(run):
    rows = rows_like(run, 200)
    with pytest.raises(RunError) as refused:
        decide(run, Wish(max_error=0.005), rows=rows)
    proposed = float(str(refused.value).split("--max-error ")[1].removesuffix("%")) / 100
    assert decide(run, Wish(max_error=proposed), rows=rows).promised.error_bound <= proposed


def test_what_can_be_promised_is_what_decide_then_does(run):
    rows = rows_like(run, 800)
    _, found = chances(run, rows=rows)
    for chance in found:
        if chance.threshold is None:
            with pytest.raises(RunError):
                decide(run, Wish(max_error=chance.max_error), rows=rows)
        else:
            assert decide(run, Wish(max_error=chance.max_error), rows=rows).promised.answered == chance.threshold.answered


def test_costs_lower_the_mean_cost_below_that_of_answering_everything(run):
    rows = rows_like(run, 800, right=0.5)
    vars(run)["scored_rows"] = lambda: rows_like(run, 800, seed=1, right=0.5)
    costs = Costs(1.0, tuple(tuple(0.0 if i == j else 10.0 for j in range(3)) for i in range(3)))
    made = decide(run, Wish(costs=costs), rows=rows)
    assert made.verified.cost.high < made.verified.cost_without
    assert 0.4 < made.verified.coverage.value < 0.7


def test_each_decision_on_the_same_test_rows_is_counted(run):
    assert [decide(run, Wish(coverage=0.5)).looks for _ in range(3)] == [1, 2, 3]


def test_a_decision_of_another_run_is_refused_and_replaced(run, run_for, tmp_path):
    decide(run, Wish(coverage=0.5))
    other = shutil.copytree(run_for("bert", "train.epochs=1").folder, tmp_path / "other")
    shutil.copy(run.folder / DECISION, other / DECISION)
    with pytest.raises(RunError, match=r"decision\.json is of another run; make it again: rankwise decide "):
        Run.load(other).decision  # noqa: B018
    decide(Run.load(other), Wish(coverage=0.5))
    assert Run.load(other).decision.looks == 1


def test_a_decision_that_was_changed_is_refused(run):
    decide(run, Wish(coverage=0.5))
    path = run.folder / DECISION
    content = json.loads(path.read_text("utf-8"))
    content["rule"]["least_confidence"] = 0.01
    path.write_text(json.dumps(content), "utf-8")
    with pytest.raises(RunError, match=r"decision\.json is not what was written"):
        Run.load(run.folder).decision  # noqa: B018


def test_a_run_without_rows_that_were_held_out_is_told_what_to_give(run):
    vars(run)["held_out_rows"] = lambda: None
    with pytest.raises(RunError, match=r"kept nothing of rows that it did not train on; .* --data FILE"):
        decide(run, Wish(coverage=0.5))
    assert decide(run, Wish(coverage=0.5), rows=rows_like(run, 100)).chosen_on == "100 labelled rows"


def test_training_again_into_the_folder_takes_the_decision_away(recipe_for, tmp_path):
    folder = tmp_path / "run"
    decide(train(recipe_for("bert"), folder), Wish(coverage=0.5))
    train(recipe_for("bert", "train.epochs=1"), folder, existing="overwrite")
    assert not (folder / DECISION).exists()


@pytest.mark.parametrize(("wrong", "told"), [(0, "borne out"), (5, "not contradicted"), (40, "not borne out")])
def test_the_verdict_says_whether_the_test_rows_bear_it_out(run, wrong, told):
    verified = decide(run, Wish(coverage=0.5)).verified
    upper = {0: 0.0149, 5: 0.0520, 40: 0.25}[wrong]
    counted = replace(verified, rows=400, answered=200, wrong=wrong, error_bound=upper)
    assert verdict(Wish(max_error=0.05), counted).startswith(told)


@pytest.mark.parametrize(
    ("value", "shown"), [(0.02, "2 %"), (0.005, "0.5 %"), (0.8312, "83.1 %"), (1.0, "100 %"), (0.1, "10 %")]
)
def test_a_share_has_no_more_digits_than_it_needs(value, shown):
    assert share(value) == shown
