"""The end of a run says in words what its scores come to, and calls a useless run useless."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rankwise.run.format import RunScores
from rankwise.run.verdict import verdict
from rankwise.stats.paired import paired_bootstrap
from rankwise.stats.scores import BaselineScores, ScoresWithMistakes, score
from rankwise.training.events import HistoryEntry

CLASSES = ("no", "yes")
ENTRY = HistoryEntry(accuracy=0, macro_f1=0, mcc=0, log_loss=0, step=1, epoch=1, train_loss=0, train_accuracy=0)
TFIDF = "TF-IDF + logistic"


def scored(rows, right, *, words=None, yes=0.5):
    """A run that has the first `right` of so many rows right, beside one answer and TF-IDF, which has the last `words`."""
    truth = np.random.default_rng(0).permutation((np.arange(rows) < rows * yes).astype(np.int64))
    mine = np.where(np.arange(rows) < right, truth, 1 - truth)

    def of(decided):
        return score(np.eye(2)[decided], truth, CLASSES)

    def beside(decided):
        return BaselineScores(**vars(of(decided)), difference=paired_bootstrap(mine == truth, decided == truth))

    answer = int(yes > 0.5)
    baselines = {"majority class": beside(np.full(rows, answer))}
    if words is not None:
        baselines[TFIDF] = beside(np.where(np.arange(rows) >= rows - words, truth, 1 - truth))
    test = ScoresWithMistakes(**vars(of(mine)), mistakes=())
    return RunScores(classes=CLASSES, test=test, validation=ENTRY, baselines=baselines, history=())


def test_a_clear_lead_is_told_with_its_bounds():
    assert verdict(scored(1000, 950, words=800)).startswith("better than TF-IDF on 1,000 test rows (+1")


def test_what_is_behind_counted_words_is_told_so():
    assert verdict(scored(1000, 700, words=900)).startswith("worse than TF-IDF on 1,000 test rows (-2")


def test_a_lead_that_chance_may_give_says_how_many_more_rows_would_tell():
    told = verdict(scored(50, 44, words=41))
    assert told.startswith("not shown to be better than TF-IDF on 50 test rows (-")
    assert told.endswith(" more would tell, if the difference stays as it is")
    more = int(told.partition("about ")[2].split()[0].replace(",", ""))
    assert 1 < more < 500
    assert "not shown" not in verdict(scored(50 * 40, 44 * 40, words=41 * 40))  # the same difference on many more rows


def test_equals_are_called_so():
    told = verdict(scored(200, 160, words=160))
    assert told.startswith("not shown to be better than TF-IDF on 200 test rows")
    assert told.endswith("the two are about as good as each other")


@pytest.mark.parametrize("right", [400, 500])
def test_a_run_that_one_answer_equals_is_called_useless(right):
    assert verdict(scored(1000, right, words=900)).startswith("useless as it is: no better than always answering 'no'")


def test_a_run_that_finds_a_rare_class_is_not_called_useless():
    assert verdict(scored(1000, 900, yes=0.1)).startswith("no more often right than always answering 'no', but it does tell")


def test_a_few_rows_call_nothing_useless_that_is_ahead():
    told = verdict(scored(12, 8))
    assert told.startswith("not shown to be better than always answering 'no' on 12 test rows")


def test_counted_words_are_not_held_against_themselves():
    told = verdict(scored(1000, 900, words=900), counts_words=True)
    assert told.startswith("better than always answering 'no' on 1,000 test rows")


def test_without_baselines_or_intervals_nothing_is_said():
    whole = scored(100, 90, words=80)
    assert verdict(replace(whole, baselines={})) == ""
    without = {
        name: replace(baseline, difference=replace(baseline.difference, low=None, high=None))
        for name, baseline in whole.baselines.items()
    }
    assert verdict(replace(whole, baselines=without)) == ""
