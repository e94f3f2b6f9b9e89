"""A running mean of the trained weights, which often scores better than the last ones (Shamir & Zhang, arXiv 1212.1824).

After update t the mean moves towards the weights by (η + 1) / (t + η), with η = 1 / share - 1: it reaches back over about
that share of the updates so far, from the first update on, so it needs no length of its own for short and long runs. Weights
under a high rate jump about a good point; their mean is nearer to it. The optimiser goes on from the weights, not the mean.
"""

from collections.abc import Mapping

import torch

from rankwise.training.parts import Part, Step

UPDATES = "updates"  # in a checkpoint, beside the weights by name


class Average(Part):
    """The mean of some weights over about `share` of the updates so far; it is what is scored and kept."""

    name = "average"

    def __init__(self, weights: Mapping[str, torch.nn.Parameter], *, share: float) -> None:
        self.weights = weights
        self.mean = {name: weight.detach().clone() for name, weight in weights.items()}
        self.eta = 1 / share - 1
        self.updates = 0

    def after_update(self, step: Step) -> None:
        """Take in the weights; until other parts have settled the mean begins anew with each update."""
        self.updates = self.updates + 1 if step.settled else 1
        towards = (self.eta + 1) / (self.updates + self.eta)
        torch._foreach_lerp_(list(self.mean.values()), [weight.detach() for weight in self.weights.values()], towards)

    @torch.no_grad()
    def before_scoring(self) -> None:
        """Put the mean where the weights are, and keep the weights here; done again, it puts the weights back."""
        for weight, mean in zip(self.weights.values(), self.mean.values(), strict=True):
            held = weight.detach().clone()
            weight.copy_(mean)
            mean.copy_(held)

    after_scoring = before_scoring

    def state(self) -> dict[str, torch.Tensor]:
        """Beside the mean, which stands in the classifier while a checkpoint is written: the weights, and their updates."""
        weights = {name: weight.detach().cpu().contiguous() for name, weight in self.mean.items()}
        return {**weights, UPDATES: torch.tensor(self.updates)}

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        self.updates = int(state[UPDATES])
        for name, mean in self.mean.items():
            mean.copy_(state[name])
        self.before_scoring()
