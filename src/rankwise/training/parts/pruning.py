"""AdaLoRA's schedule: when ranks are pruned, and what keeps them orthogonal (Zhang et al., arXiv 2303.10512).

The change of a linear layer is B·diag(E)·A. A rank's importance is a running mean of |weight · gradient| over its parts,
times that mean's uncertainty. For the first tenth of the updates all ranks train; then, over all linear layers together,
the least important have their value in E set to 0, more of them as updates go by, until the mean rank is the target; the
last half trains what is left. peft computes all of this; here it is called with the number of updates, stored and put back.
"""

from collections.abc import Mapping

import torch

from rankwise.errors import TrainingError
from rankwise.model.classifier import Classifier
from rankwise.system.events import Events
from rankwise.training.events import RanksPruned
from rankwise.training.pace import Pace
from rankwise.training.parts import Part, Step

WARMUP = 0.1  # of the updates, before the first rank goes
SETTLED = 0.5  # of the updates, after the last rank has gone; both are about the paper's, which differ by data set
LEAST_UPDATES = 4  # one to score ranks by, one to prune them after, and as many to go on
MOMENTS = 100  # at which ranks are pruned, at most

_PARTS = {"average": "exp_avg_ipt", "uncertainty": "exp_avg_unc"}  # of an importance, and what peft calls them


class Pruning(Part):
    """The ranks of one AdaLoRA classifier, which fall over the pace's updates; gradients are summed over `processes`.

    Raises TrainingError for too few updates.
    """

    name = "pruning"

    def __init__(self, classifier: Classifier, pace: Pace, events: Events, *, processes: int = 1) -> None:
        total = pace.planned
        if total < LEAST_UPDATES:
            raise TrainingError(
                f"adalora prunes ranks from update to update, and this run makes {total}; give more train.epochs, so that it "
                f"makes {LEAST_UPDATES}, or type --set adapter.method=lora"
            )
        self.classifier = classifier
        self.processes = processes
        self.tuner = classifier.wrapper.base_model
        self.config = classifier.wrapper.peft_config["default"]
        self.config.total_step = total
        self.config.tinit, self.config.tfinal = int(WARMUP * total), int(SETTLED * total)
        self.config.deltaT = max(1, total // MOMENTS)
        self.last = total - self.config.tfinal
        """The update after which ranks are final."""
        self.pace, self.events = pace, events
        self.settled = False

    def after_update(self, step: Step) -> None:
        """Prune by the gradients of an update; those of fp16's overflow would stay in the averages for good."""
        if step.applied:
            self.prune(self.pace.position)

    def prune(self, position: float) -> None:
        """Prune what this moment asks for: after the optimiser's step, while its gradients are still there.

        `position` counts the recipe's updates; where time cuts some, it moves on by more than one.
        """
        moment = self.last + 1 if self.settled else min(int(position), self.last)
        self.tuner.update_and_allocate(moment)
        self.settled = moment >= self.last

    def after_scoring(self) -> None:
        live = sum(live_ranks(self.classifier).values())
        self.events.emit(RanksPruned(step=self.pace.step, live=live, start=sum(self.classifier.plan.ranks.values())))

    def penalty(self) -> torch.Tensor:
        """What an update adds to the loss: how far A·Aᵀ and Bᵀ·B are from the identity, on average, times a weight.

        The norm is Frobenius's, the weight peft's 0.5. Of several processes each gives its share.
        """
        distances = []
        for name, weight in self.classifier.trainable().items():
            if "lora_A" in name or "lora_B" in name:
                gram = weight @ weight.T if "lora_A" in name else weight.T @ weight  # (R, R)
                distances.append(torch.linalg.norm(gram - torch.eye(len(gram), dtype=gram.dtype, device=gram.device)))
        share: float = self.config.orth_reg_weight / self.processes
        return share * torch.stack(distances).mean()

    def state(self) -> dict[str, torch.Tensor]:
        """Importances of ranks, and after the last pruning which ranks are left."""
        if self.settled:
            return {f"kept.{name}": torch.tensor(kept) for name, kept in self.config.rank_pattern.items()}
        allocator = self.tuner.rankallocator
        return {
            f"{part}.{name}": value.detach().cpu().contiguous()
            for part, attribute in _PARTS.items()
            for name, value in getattr(allocator, attribute).items()
        }

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        parts: dict[str, dict[str, torch.Tensor]] = {"kept": {}, **{part: {} for part in _PARTS}}
        for key, value in state.items():
            part, _, name = key.partition(".")
            parts[part][name] = value
        self.settled = bool(parts["kept"])
        self.config.rank_pattern = {name: kept.tolist() for name, kept in parts["kept"].items()} or None
        allocator, device = self.tuner.rankallocator, self.classifier.device
        allocator.ipt = {name: torch.zeros_like(value, device=device) for name, value in parts["average"].items()}
        for part, attribute in _PARTS.items():
            setattr(allocator, attribute, {name: value.to(device) for name, value in parts[part].items()})


def live_ranks(classifier: Classifier) -> dict[str, int]:
    """The rank of each of AdaLoRA's adapters as it stands, by module path: as planned, less what pruning has taken."""
    base = classifier.transformers_model
    return {path: int(base.get_submodule(path).lora_E["default"].count_nonzero()) for path in classifier.plan.ranks}
