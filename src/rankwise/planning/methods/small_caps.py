"""What to train under caps that LoRA's lowest rank does not fit, as it was measured; `planning/under_cap.py` chooses."""

from typing import NamedTuple

from rankwise.recipe.methods import MethodName


class Way(NamedTuple):
    """A method with the learning rate at which it did best under small caps, the recipe's where that is None."""

    method: MethodName
    rate: float | None
    least: float = 0.0
    """The share of layers that it must fit in to be taken."""


UNDER_SMALL_CAPS = (Way("ln-tuning", 1e-2, least=0.5), Way("beft", 3e-3), Way("lora", 1e-3), Way("head", None))
"""What to train where LoRA does not fit everywhere, the best known first: benchmarks/results/board.csv."""
