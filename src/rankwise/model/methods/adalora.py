"""AdaLoRA (arXiv 2303.10512) as peft has it: W + alpha/R · B·diag(E)·A; what is pruned has a 0 in E, in the file too.

R is the rank that training starts at, which pruning leaves as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from rankwise.model.method import LiveLora, LowRankUpdate, SavedTensors, register
from rankwise.planning.plan import Plan


@register
class AdaLora(LiveLora):
    name = "adalora"
    peft_type = "ADALORA"

    def config(self, plan: Plan, *, seed: int | None) -> dict[str, Any]:
        values = super().config(plan, seed=seed)
        own = {"init_r": values.pop("r"), "target_r": int(plan.adapter.rank)}
        own["total_step"] = 1  # the schedule is set where the number of updates is known
        own["rank_pattern"] = None  # one rank for all, and peft keeps notes of its pruning here
        return {**values, **own}

    def counted(self, model: Any) -> Iterator[Tensor]:
        without = {id(weight) for name, weight in model.named_parameters() if "ranknum" in name}  # a note, not a weight
        return (weight for weight in super().counted(model) if id(weight) not in without)

    def live_ranks(self, model: Any, plan: Plan) -> dict[str, int]:
        base = model.get_base_model()
        return {path: int(base.get_submodule(path).lora_E["default"].count_nonzero()) for path in plan.ranks}

    def before_saving(self, model: Any) -> None:
        model.peft_config["default"].rank_pattern = None  # with one, peft would leave the pruned ranks out

    def scale(self, plan: Plan, path: str) -> float:
        return plan.alphas[path]  # `update` divides by the rank

    def live(self, module: Any) -> tuple[dict[str, Tensor], float]:
        (name,) = module.active_adapters
        return {part: getattr(module, part)[name] for part in ("lora_A", "lora_B", "lora_E")}, float(module.scaling[name])

    def update(self, tensors: SavedTensors, scale: float) -> LowRankUpdate:
        a, b, values = tensors["lora_A"], tensors["lora_B"], tensors["lora_E"]  # (R, d_in), (d_out, R), (R, 1)
        return LowRankUpdate(a * values / (a.new_full((1,), float(len(a))) + 1e-5), b, scale)
