"""Scores of several labels a text are scikit-learn's, their intervals hold the truth, and thresholds are the best ones."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, log_loss, matthews_corrcoef, precision_score, recall_score

from rankwise.stats.several import best_thresholds, paired_macro_f1, quick_scores, resampled_several, score_several

NAMES = ("a", "b", "c", "d")


def answers(rows=400, seed=0, noise=0.7, rates=(0.5, 0.3, 0.1, 0.05)):
    """(probabilities, decisions, truth), each (N, 4)."""
    rng = np.random.default_rng(seed)
    truth = (rng.random((rows, 4)) < np.array(rates)).astype(np.int64)
    probabilities = np.clip((1 - noise) * truth + noise * rng.random((rows, 4)), 0, 1)
    return probabilities, (probabilities >= 0.5).astype(np.int64), truth


def test_scores_are_those_of_scikit_learn():
    probabilities, decided, truth = answers()
    scores = score_several(probabilities, decided, truth, NAMES, resamples=50)
    assert scores.accuracy.value == pytest.approx((decided == truth).all(axis=1).mean())
    assert scores.macro_f1.value == pytest.approx(f1_score(truth, decided, average="macro"))
    assert scores.named("micro_f1").value == pytest.approx(f1_score(truth, decided, average="micro"))
    expected = average_precision_score(truth, probabilities, average="macro")
    assert scores.named("mean_average_precision").value == pytest.approx(expected)
    assert scores.mcc.value == pytest.approx(matthews_corrcoef(truth.ravel(), decided.ravel()))
    assert scores.log_loss.value == pytest.approx(np.mean([log_loss(truth[:, n], probabilities[:, n]) for n in range(4)]))
    for number, row in enumerate(scores.per_class):
        assert row.support == truth[:, number].sum()
        assert row.precision.value == pytest.approx(precision_score(truth[:, number], decided[:, number]))
        assert row.recall.value == pytest.approx(recall_score(truth[:, number], decided[:, number]))
        assert row.f1.value == pytest.approx(f1_score(truth[:, number], decided[:, number]))
    quick = quick_scores(probabilities, decided, truth)
    assert quick == {name: round(getattr(scores, name).value, 6) for name in quick}


def test_equal_probabilities_rank_alike_in_average_precision():
    probabilities, decided, truth = answers()
    tied = np.round(probabilities, 1)
    scores = score_several(tied, decided, truth, NAMES, resamples=0)
    expected = average_precision_score(truth, tied, average="macro")
    assert scores.named("mean_average_precision").value == pytest.approx(expected)


def test_a_row_with_an_unknown_label_is_wrong_and_in_no_other_score():
    probabilities, decided, truth = answers(rows=50)
    known = score_several(probabilities[1:], decided[1:], truth[1:], NAMES, resamples=0)
    truth[0] = -1
    scores = score_several(probabilities, decided, truth, NAMES, resamples=0)
    assert scores.accuracy.value == pytest.approx(known.accuracy.value * 49 / 50)
    assert scores.macro_f1 == known.macro_f1
    assert scores.log_loss.value == pytest.approx(known.log_loss.value)
    assert sum(one.rows for one in scores.reliability) == 49 * 4


def test_intervals_hold_the_score_of_many_rows_as_often_as_they_say():
    whole = score_several(*answers(200_000, seed=99), NAMES, resamples=0)
    held = dict.fromkeys(("accuracy", "macro_f1", "micro_f1", "mean_average_precision", "log_loss"), 0)
    for seed in range(60):
        found = score_several(*answers(300, seed=seed), NAMES, resamples=200, seed=seed)
        for name in held:
            interval = found.named(name)
            held[name] += interval.low <= whole.named(name).value <= interval.high
    assert min(held.values()) >= 51, held  # 57 are expected of 60; fewer than 51 come once in 500


def test_thresholds_of_many_rows_are_the_best_there_are():
    probabilities, _, truth = answers(rates=(0.5, 0.3, 0.1, 0.02))
    chosen = best_thresholds(probabilities, truth, sure_rows=0)
    for number in range(4):
        best = max(f1_score(truth[:, number], probabilities[:, number] >= limit) for limit in probabilities[:, number])
        found = f1_score(truth[:, number], probabilities[:, number] >= chosen[number])
        assert found == pytest.approx(best)


def test_the_fewer_rows_have_a_class_the_nearer_is_its_threshold_to_giving_it_to_as_many():
    probabilities, _, truth = answers(rates=(0.5, 0.3, 0.1, 0.02))
    as_many, chosen, best = (best_thresholds(probabilities, truth, sure_rows=rows) for rows in (1e9, 80, 0))
    assert (probabilities >= as_many).sum(axis=0).tolist() == truth.sum(axis=0).tolist()
    assert (np.minimum(as_many, best) <= chosen).all()
    assert (chosen <= np.maximum(as_many, best)).all()
    by_share = np.log(chosen / (1 - chosen)) - np.log(as_many / (1 - as_many))
    whole = np.log(best / (1 - best)) - np.log(as_many / (1 - as_many))
    support = truth.sum(axis=0)
    assert by_share == pytest.approx(support / (support + 80) * whole, abs=1e-3)


def test_a_class_that_no_row_has_is_given_above_all_that_was_seen():
    probabilities, _, truth = answers()
    truth[:, 3] = 0
    highest = probabilities[:, 3].max()
    assert highest < best_thresholds(probabilities, truth)[3] < highest + 1e-5


def test_thresholds_of_few_rows_are_better_on_others_than_those_with_the_best_f1():
    gains = []
    for seed in range(20):
        probabilities, _, truth = answers(rows=2_100, seed=seed, noise=0.85, rates=(0.1, 0.05, 0.03, 0.02))
        few, others = slice(0, 100), slice(100, None)
        drawn, best = (best_thresholds(probabilities[few], truth[few], sure_rows=rows) for rows in (80, 0))
        scores = [f1_score(truth[others], probabilities[others] >= limits, average="macro") for limits in (drawn, best)]
        gains.append(scores[0] - scores[1])
    assert np.mean(gains) > 2 * np.std(gains) / np.sqrt(len(gains))


def test_a_difference_is_paired():
    _probabilities, decided, truth = answers()
    assert paired_macro_f1(decided, decided, truth).width == 0
    better = np.where(np.random.default_rng(5).random(truth.shape) < 0.5, truth, decided)
    gain = paired_macro_f1(better, decided, truth)
    expected = f1_score(truth, better, average="macro") - f1_score(truth, decided, average="macro")
    assert gain.value == pytest.approx(expected)
    assert 0 < gain.low < expected < gain.high


def test_runs_are_resampled_together():
    _, decided, truth = answers()
    scores, draws = resampled_several(np.stack([decided, truth]), truth, resamples=20)
    assert scores[0] == pytest.approx([(decided == truth).all(axis=1).mean(), f1_score(truth, decided, average="macro")])
    assert scores[1].tolist() == [1, 1]
    assert draws.shape == (20, 2, 2)
    assert (draws[:, 1] == 1).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p, t: (p[:0], t[:0]), "0 rows"),
        (lambda p, t: (p[:, :2], t), "expected .N, C. of both"),
        (lambda p, t: (p * 3, t), "through a sigmoid"),
    ],
)
def test_what_is_no_answer_is_refused(change, words):
    probabilities, _, truth = answers(rows=10)
    probabilities, truth = change(probabilities, truth)
    with pytest.raises(ValueError, match=words):
        score_several(probabilities, truth, truth, NAMES)
