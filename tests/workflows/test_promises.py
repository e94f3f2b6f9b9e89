"""What a decision promises is held against rows that it has not seen, and a gate ends in 3 where it is broken."""

from __future__ import annotations

import json

import numpy as np
import pytest

from rankwise.run.folder import Run
from rankwise.run.format import ScoredRows
from rankwise.stats.noninferiority import share_rows_needed
from rankwise.stats.selective import upper_bound
from rankwise.workflows.compare import Answers
from rankwise.workflows.decide import Wish, decide
from rankwise.workflows.gate import Answered, gate
from rankwise.workflows.promises import decision_holds


def rows_like(run, count, *, seed=0, wrong=0.005):
    """Rows of which nine in ten are told surely, and such a share of these wrong; the others are told unsurely."""
    rng, classes = np.random.default_rng(seed), len(run.preprocessing.classes)
    sure = rng.random(count) < 0.9
    truth = rng.integers(classes, size=count)
    answers = np.where(rng.random(count) < np.where(sure, wrong, 0.4), (truth + 1) % classes, truth)
    confidence = np.where(sure, 0.99, 0.6) + rng.random(count) * 5e-3
    probabilities = np.repeat((1 - confidence)[:, None] / (classes - 1), classes, axis=1)
    probabilities[np.arange(count), answers] = confidence
    return ScoredRows(np.arange(count), truth, probabilities.astype(np.float32))


@pytest.fixture
def run(run_for, copy_of):
    return Run.load(copy_of(run_for("bert")))


@pytest.fixture
def careful(run):
    """A run that answers where at most 3 % of the answers are wrong."""
    decide(run, Wish(max_error=0.03), rows=rows_like(run, 2000, seed=1))
    return Run.load(run.folder)


def test_a_run_without_a_decision_promises_nothing(run):
    assert decision_holds(run, rows_like(run, 50)) == ()


@pytest.mark.parametrize(
    ("count", "wrong", "outcome"), [(3000, 0.005, "holds"), (3000, 0.08, "broken"), (60, 0.005, "not enough rows")]
)
def test_a_bound_on_the_error_holds_is_broken_or_is_not_told(careful, count, wrong, outcome):
    (promise,) = decision_holds(careful, rows_like(careful, count, seed=2, wrong=wrong))
    assert promise.outcome == outcome
    assert 0.8 * count < promise.rows < count
    assert promise.bounds.high == pytest.approx(upper_bound(promise.failed, promise.rows))
    start = f"NEW's decision promises at most 3 % of the answers wrong{', and' if outcome == 'not enough rows' else ': '}"
    assert promise.verdict.startswith(start)


def test_a_decision_for_a_coverage_promises_no_error(run):
    decide(run, Wish(coverage=0.9), rows=rows_like(run, 500))
    assert decision_holds(Run.load(run.folder), rows_like(run, 500, seed=2)) == ()


def test_sets_are_held_to_the_rows_whose_true_label_they_lack(run):
    decide(run, Wish(sets=0.9), rows=rows_like(run, 2000, seed=1))
    run = Run.load(run.folder)
    (promise,) = decision_holds(run, rows_like(run, 3000, seed=2))
    assert (promise.rows, promise.limit) == (3000, pytest.approx(0.1))
    assert promise.what == "of the sets without the true label"
    assert decision_holds(run, rows_like(run, 3000, seed=2, wrong=0.3))[0].outcome == "broken"


def test_a_gate_fails_where_a_promise_is_broken_though_the_run_is_not_worse(careful):
    old = rows_like(careful, 3000, seed=2, wrong=0.08)
    held = gate(Answered(Answers(careful, old), Answers(careful, old), "these"))
    assert (held.outcome, held.promises[0].outcome, held.exit_code) == ("not worse", "broken", 3)
    assert held.markdown().startswith("### Gate: fails\n\nNEW is not worse than OLD ")
    assert "NEW's decision promises at most 3 % of the answers wrong: " in held.markdown()
    plain = json.loads(json.dumps(held.as_dict()))
    assert (plain["exit_code"], plain["promises"][0]["verdict"]) == (3, held.promises[0].verdict)


@pytest.mark.parametrize(("wrong", "code"), [(0.005, 0), (0.025, 4)])
def test_a_gate_passes_where_promises_hold_too_and_does_not_where_that_is_not_told(careful, wrong, code):
    rows = rows_like(careful, 3000, seed=2, wrong=wrong)
    assert gate(Answered(Answers(careful, rows), Answers(careful, rows), "these")).exit_code == code


def test_as_many_rows_as_would_tell_of_a_promise_tell_nine_in_ten():
    rows = share_rows_needed(0.01, 0.02)
    wrong = np.random.default_rng(0).binomial(rows, 0.01, size=2000)
    assert np.mean([upper_bound(int(count), rows) <= 0.02 for count in wrong]) == pytest.approx(0.9, abs=0.04)
    assert share_rows_needed(0.02, 0.02) is None
