"""A running mean of the trained weights, which often scores better than the last ones (Shamir & Zhang, arXiv 1212.1824).

After update t the mean moves towards the weights by (η + 1) / (t + η), with η = 1 / share - 1: it reaches back over about
that share of the updates so far, from the first update on, so it needs no length of its own for short and long runs. Weights
under a high rate jump about a good place; their mean is nearer to it. The optimiser goes on from the weights, not the mean.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

UPDATES = "updates"  # in a checkpoint, beside the weights by name


class Average:
    """The mean of some weights over about `share` of the updates so far."""

    def __init__(self, weights: Mapping[str, torch.nn.Parameter], *, share: float) -> None:
        self.weights = weights
        self.mean = {name: weight.detach().clone() for name, weight in weights.items()}
        self.eta = 1 / share - 1
        self.updates = 0

    def __call__(self, *, afresh: bool = False) -> None:
        """Take in the weights after an update; `afresh` forgets what was before."""
        self.updates = 1 if afresh else self.updates + 1
        step = (self.eta + 1) / (self.updates + self.eta)
        torch._foreach_lerp_(list(self.mean.values()), [weight.detach() for weight in self.weights.values()], step)

    @torch.no_grad()
    def swap(self) -> None:
        """Put the mean where the weights are, to be scored and saved, and the weights here; or each back."""
        for weight, mean in zip(self.weights.values(), self.mean.values(), strict=True):
            held = weight.detach().clone()
            weight.copy_(mean)
            mean.copy_(held)

    def state(self) -> dict[str, torch.Tensor]:
        """What a checkpoint holds beside the mean, which is in the classifier: the weights, and how many updates they had."""
        weights = {name: weight.detach().cpu().contiguous() for name, weight in self.mean.items()}
        return {**weights, UPDATES: torch.tensor(self.updates)}

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on from what `state` gave: the mean that is in the classifier comes here, and the weights go there."""
        self.updates = int(state[UPDATES])
        for name, mean in self.mean.items():
            mean.copy_(state[name])
        self.swap()
