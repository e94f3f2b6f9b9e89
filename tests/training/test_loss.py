"""Class weights are scikit-learn's, or the recipe's by name."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from conftest import CLASSES
from rankwise.errors import TrainingError
from rankwise.recipe import TrainSpec
from rankwise.training.loss import class_weights

COUNTS = {"fruit": 5, "metal": 20, "river": 1}


def test_balanced_weights_are_scikit_learns():
    labels = [name for name, count in COUNTS.items() for _ in range(count)]
    expected = compute_class_weight("balanced", classes=np.array(CLASSES), y=labels)
    assert class_weights(TrainSpec(class_weights="balanced"), COUNTS).tolist() == pytest.approx(expected.tolist())


def test_given_weights_stand_in_the_order_of_the_classes_and_default_to_one():
    weights = class_weights(TrainSpec(class_weights={"river": 4, "fruit": 0.5}), COUNTS)
    assert weights.tolist() == [0.5, 1.0, 4.0]


def test_a_weight_for_a_class_that_is_not_there_is_refused_with_the_nearest_name():
    with pytest.raises(TrainingError, match=r"'rivers', which is no class.*did you mean 'river'\?"):
        class_weights(TrainSpec(class_weights={"rivers": 4}), COUNTS)


def test_no_class_weights_are_none():
    assert class_weights(TrainSpec(), COUNTS) is None
