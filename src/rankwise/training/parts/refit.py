"""A head that is fitted anew to what the encoder has learned to give, each time that the weights are scored.

Gradients leave a head that is too sure of few rows; a logistic regression whose weights are kept small is better there, and
the more so where the encoder was trained in pairs.
"""

from collections.abc import Callable

from rankwise.training.parts import Part


class Refit(Part):
    """Calls `fit` before scoring; training goes on from the head that it leaves."""

    name = "refit"

    def __init__(self, fit: Callable[[], object]) -> None:
        self.fit = fit

    def before_scoring(self) -> None:
        self.fit()
