"""A number's range holds the true one as often as was asked for, is cut at the bounds, and travels wherever numbers go."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from rankwise.data.files.output import write_rows
from rankwise.errors import DataError, RunError
from rankwise.inference.decision import ranges
from rankwise.report.blocks import Table
from rankwise.report.runs import report_of
from rankwise.run.decision import DECISION
from rankwise.run.folder import Run
from rankwise.run.format import ScoredRows
from rankwise.workflows.decide import Wish, decide
from rankwise.workflows.promises import decision_holds
from rankwise.workflows.ranges import answers_within, reach_for
from rankwise.workflows.train import train


def rows_of(count, *, seed=0, off=0.5, bounds=None):
    """Rows whose numbers are from 0 to 10 and whose estimates are off by so much."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0, 10, count)
    estimates = truth + rng.normal(0, off, count)
    return ScoredRows(np.arange(count), truth, estimates.astype(np.float32)[:, None])


@pytest.mark.parametrize("wanted", [0.5, 0.9, 0.95])
def test_a_coverage_is_missed_no_more_often_than_one_time_in_twenty(wanted):
    world = rows_of(20_000)
    missed = 0
    for seed in range(200):
        chosen = np.random.default_rng(seed).integers(len(world.rows), size=150)
        drawn = ScoredRows(world.rows[chosen], world.truth[chosen], world.probabilities[chosen])
        missed += answers_within(reach_for(drawn, None, wanted).reach, world, None).holds.value < wanted
    assert 0 < missed <= 0.05 * 200 + 2 * np.sqrt(0.05 * 0.95 * 200)


def test_of_as_few_rows_as_can_tell_it_is_the_farthest_and_of_fewer_none():
    rows = rows_of(29)  # 0.9 ** 29 is 4.7 %, and of 28 rows 5.2 %
    assert reach_for(rows, None, 0.9).reach == pytest.approx(np.abs(rows.probabilities[:, 0] - rows.truth).max())
    found = reach_for(ScoredRows(rows.rows[:28], rows.truth[:28], rows.probabilities[:28]), None, 0.9)
    assert (found.reach, found.more_rows) == (None, 1)


def test_ranges_stay_within_the_bounds_and_hold_nothing_beyond_them():
    ends = ranges(np.array([0.2, 5.0, 12.0]), 1.0, (0.0, 10.0))
    assert ends.tolist() == [[0.0, 1.2], [4.0, 6.0], [9.0, 10.0]]
    rows = rows_of(400)
    found = reach_for(rows, (0.0, 9.0), 0.8)  # a tenth of the numbers are beyond, where no range reaches
    held = answers_within(found.reach, rows, (0.0, 9.0))
    low, high = ranges(rows.probabilities[:, 0].astype(np.float64), found.reach, (0.0, 9.0)).T
    assert held.holds.value == pytest.approx(((low <= rows.truth) & (rows.truth <= high)).mean())
    assert held.holds.value >= 0.8
    assert held.set_size == pytest.approx((high - low).mean())
    assert reach_for(rows, (0.0, 9.0), 0.95).reach is None


def test_a_number_that_is_not_known_says_nothing():
    rows = rows_of(100)
    some = np.where(np.arange(100) < 50, np.nan, rows.truth)
    half = ScoredRows(rows.rows[50:], rows.truth[50:], rows.probabilities[50:])
    found = ScoredRows(rows.rows, some, rows.probabilities)
    assert reach_for(found, None, 0.8) == reach_for(half, None, 0.8)
    assert answers_within(0.5, found, None).rows == 50


@pytest.fixture(scope="module")
def rated(tmp_path_factory):
    rng, path = np.random.default_rng(0), tmp_path_factory.mktemp("rated") / "rated.csv"
    shares = rng.integers(0, 7, size=240)
    texts = (" ".join(["apple"] * share + ["iron"] * (6 - share) + [f"row{row}"]) for row, share in enumerate(shares))
    write_rows(
        path, ["text", "score"], [{"text": t, "score": f"{s / 2 + 0.05:g}"} for t, s in zip(texts, shares, strict=True)]
    )
    return path


@pytest.fixture
def run(recipe_for, rated, tmp_path):
    told = (f"data.source={rated}", "data.label=score", "data.task=regression", "data.split.validation=0.3")
    how = ("train.epochs=1", "head.start=random", "head.kind=slim", "evaluate.baselines=false")
    return train(recipe_for("bert", *told, *how), tmp_path / "run")


@pytest.mark.long
def test_ranges_are_decided_shown_kept_and_written_wherever_numbers_go(run, typed, tmp_path):
    code, told, _ = typed("decide", run.folder)
    assert code == 0
    assert "What 68 validation rows can promise of the true number" in told
    assert "231 more rows would do" in told  # of 299, for 99 %
    promised = json.loads(typed("decide", run.folder, "--json")[1])["can_promise"]
    assert [one["sets"] for one in promised] == [0.5, 0.8, 0.9, 0.95, 0.99]
    assert not (run.folder / DECISION).exists()

    code, told, _ = typed("decide", run.folder, "--sets", "80%")
    assert code == 0, told
    assert "68 validation rows chose; 12 test rows verified" in told
    decided = Run.load(run.folder)
    reach = decided.decision.rule.reach
    assert reach == pytest.approx(promised[1]["reach"])
    assert f"at most {reach:.3g} from the estimate" in told
    (one,) = decided.predict(["apple iron"])
    assert one.range == pytest.approx(tuple(np.clip([one.label - reach, one.label + reach], *decided.task.bounds or (-9, 9))))
    assert decided.predict(["apple iron"], decide=False)[0].range is None

    shown = typed("predict", run.folder, "--text", "apple iron")[1]
    assert " to " in shown
    source = tmp_path / "new.csv"
    source.write_text("text\napple iron\n", "utf-8")
    written = json.loads(typed("predict", run.folder, source, "--json")[1])
    assert (written["low"], written["high"]) == pytest.approx(one.range, abs=1e-6)
    assert "low" not in json.loads(typed("predict", run.folder, source, "--json", "--no-decision")[1])

    (promise,) = decision_holds(decided, decided.scored_rows())
    assert (promise.rows, promise.limit) == (12, pytest.approx(0.2))
    assert promise.failed == decided.decision.verified.wrong
    section = next(one for one in report_of([decided]).sections if one.name == "decision-section")
    assert isinstance(section.blocks[0], Table)
    assert [row[2] for row in section.blocks[0].rows] == [68, 12]


@pytest.mark.long
def test_a_report_of_numbers_without_a_decision_says_what_finds_one(run):
    section = next(one for one in report_of([run]).sections if one.name == "decision-section")
    assert section.blocks[0].text == f"rankwise decide {run.folder.name} --sets 90%"


def test_what_numbers_have_none_of_and_too_few_rows_are_refused_in_words(run, tmp_path):
    for wish in (Wish(max_error=0.05), Wish(coverage=0.9), Wish(max_error=0.05, sets=0.9)):
        with pytest.raises(DataError, match=r"estimates a number, .* --sets 90%"):
            decide(run, wish)
    with pytest.raises(RunError, match=r"68 validation rows are too few .* 231 more would do"):
        decide(run, Wish(sets=0.99))
    made = decide(run, Wish(sets=0.8))
    for reach in (-1.0, float("inf")):
        run.keep_decision(replace(made, rule=replace(made.rule, reach=reach)))
        with pytest.raises(RunError, match="its ranges reach"):
            _ = Run.load(run.folder).decision
