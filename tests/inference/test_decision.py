"""A rule answers, or says why a person should look; predictions carry it, in the types that labels were given in."""

from __future__ import annotations

import numpy as np
import pytest

from rankwise.data.clean import Preprocessing
from rankwise.inference.decision import UNLIKE, Costs, Rule, energy, in_sets
from rankwise.inference.predict import Predictor
from rankwise.stats.scaling import Scaling

PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.4, 0.35, 0.25], [0.1, 0.1, 0.8]])


def test_without_a_wish_the_likeliest_class_is_answered():
    decided = Rule(scaling=Scaling()).decide(PROBABILITIES)
    assert decided.answers.tolist() == [0, 0, 2]
    assert decided.confidence.tolist() == [0.7, 0.4, 0.8]
    assert decided.answered.all()


def test_what_is_less_sure_than_the_threshold_goes_to_a_person_and_what_is_as_sure_does_not():
    decided = Rule(scaling=Scaling(), least_confidence=0.7).decide(PROBABILITIES)
    assert decided.answered.tolist() == [True, False, True]
    assert decided.reasons[1] == "less sure than 0.7000"


def test_texts_of_a_high_energy_are_unlike_the_training_texts_however_sure_the_answer():
    decided = Rule(scaling=Scaling(), most_energy=-1.0).decide(PROBABILITIES, np.array([-2.0, -1.0, -0.5]))
    assert decided.reasons.tolist() == ["", "", UNLIKE]


def test_a_set_has_the_classes_that_reach_the_threshold_and_always_the_likeliest():
    probabilities = np.array([[0.5, 0.3, 0.2], [0.4, 0.35, 0.25], [0.34, 0.33, 0.33]])
    assert in_sets(probabilities, 0.3).tolist() == [[True, True, False], [True, True, False], [True, True, True]]
    assert in_sets(probabilities, 0.6).tolist() == [[True, False, False]] * 3
    assert in_sets(probabilities, 0.0).all()


def test_where_sets_alone_are_asked_for_a_text_with_several_labels_goes_to_a_person():
    decided = Rule(scaling=Scaling(), least_in_set=0.3).decide(PROBABILITIES)
    assert decided.answered.tolist() == [True, False, True]
    with_threshold = Rule(scaling=Scaling(), least_in_set=0.3, least_confidence=0.3).decide(PROBABILITIES)
    assert with_threshold.answered.all()


def test_the_answers_of_a_task_are_decided_on_and_are_in_their_sets():
    """Of classes in an order the median of [0.35, 0.25, 0.4] is the second, which is the least likely."""
    probabilities, median = np.array([[0.35, 0.25, 0.4]]), np.array([1])
    decided = Rule(scaling=Scaling(), least_confidence=0.3, least_in_set=0.36).decide(probabilities, answers=median)
    assert (decided.answers.tolist(), decided.confidence.tolist()) == ([1], [0.25])
    assert decided.reasons.tolist() == ["less sure than 0.3000"]
    assert decided.in_set.tolist() == [[False, True, True]]


def test_costs_choose_the_cheapest_answer_and_a_person_where_that_is_cheaper_still():
    costs = Costs(asking=2.0, of_answers=((0.0, 1.0, 1.0), (20.0, 0.0, 1.0), (1.0, 1.0, 0.0)))
    decided = Rule(scaling=Scaling(), costs=costs).decide(PROBABILITIES)
    expected = PROBABILITIES @ np.array(costs.of_answers)
    assert expected[0].tolist() == pytest.approx([0.2 * 20 + 0.1, 0.7 + 0.1, 0.7 + 0.2])
    assert decided.answers.tolist() == [1, 1, 2]  # where mistaking the second for the first is dear
    assert decided.answered.all()
    dear = Rule(scaling=Scaling(), costs=Costs(0.5, costs.of_answers)).decide(PROBABILITIES)
    assert dear.answered.tolist() == [False, False, True]
    assert dear.reasons[0] == "an answer would cost 0.8, asking 0.5"


def test_the_energy_is_minus_the_logarithm_of_the_sum_of_exponents():
    logits = np.array([[1.0, 2.0, 3.0], [800.0, 0.0, 0.0]], dtype=np.float32)
    assert energy(logits).tolist() == pytest.approx([-np.log(np.exp([1, 2, 3]).sum()), -800.0])


class Known(Predictor):
    """A predictor whose texts are the logits of two classes: the first's, with 0 for the second."""

    def read(self, texts, first=0):
        return self.clean(texts, first)

    def logits_of(self, known, *, batch_size, events=None):
        raise NotImplementedError

    def sizes(self, read):
        return [1] * len(read)

    def unread(self, texts, read):
        return [0 for _ in zip(texts, read, strict=True)]

    def logits(self, read, **_):
        return np.array([[float(text), 0.0] for text in read], dtype=np.float32)

    def _with_dropout(self, read, *_, **__):
        return np.full((len(read), 2), 0.5)


@pytest.fixture
def predictor():
    made = Known(("0", "1"), None, Preprocessing(("0", "1"), (), 8, label_type="int"))
    made.rule = Rule(scaling=Scaling(2.0), least_confidence=0.8, least_in_set=0.3)
    return made


def test_predictions_have_the_decision_in_the_type_of_the_labels(predictor):
    sure, unsure = predictor.predict(["6", "1"])
    assert (sure.decision, sure.unsure, sure.reason, sure.labels) == (0, False, "", (0,))
    assert sure.score == sure.probabilities[0] == pytest.approx(1 / (1 + np.exp(-3)))
    assert (unsure.decision, unsure.label, unsure.unsure, unsure.labels) == (None, 0, True, (0, 1))
    assert unsure.reason == "less sure than 0.8000"


def test_a_stream_of_many_texts_is_decided_as_a_few_are(predictor):
    texts = [str(number % 7) for number in range(600)]
    assert list(predictor.stream(texts)) == predictor.predict(texts) == [*predictor.predict(texts[:7] * 86)][:600]


def test_a_decision_is_left_out_when_asked_and_where_dropout_is_averaged(predictor):
    (plain,) = predictor.predict(["1"], decide=False)
    assert (plain.unsure, plain.labels, plain.decision) == (False, (), 0)
    assert plain.score == pytest.approx(1 / (1 + np.exp(-1)))
    (averaged,) = predictor.predict(["1"], mc_dropout=3)
    assert (averaged.unsure, averaged.score) == (False, 0.5)
