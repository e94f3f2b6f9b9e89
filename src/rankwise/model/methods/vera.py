"""VeRA (arXiv 2310.11454) as peft has it: W + diag(b)·B·diag(d)·A, with A and B cut from one shared, frozen random pair.

A (R, widest d_in) and B (widest d_out, R) are drawn from the seed, and saved once, beside the layers' b (d_out,) and d (R,).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from rankwise.encoders.site import Site
from rankwise.model.method import LowRankAdapter, LowRankUpdate, SavedTensors, register
from rankwise.planning.plan import Plan


@register
class Vera(LowRankAdapter):
    name = "vera"
    marker = "vera_"

    def config(self, plan: Plan, *, seed: int | None) -> dict[str, Any]:
        return {
            "peft_type": "VERA",
            "r": max(plan.ranks.values()),
            "target_modules": list(plan.ranks),
            "vera_dropout": plan.adapter.dropout,
            "bias": plan.adapter.bias.replace("lora", "vera"),
            "projection_prng_key": seed or 0,
        }

    def counted(self, model: Any) -> Iterator[Tensor]:
        yield from super().counted(model)
        yield from (shared["default"] for shared in (model.base_model.vera_A, model.base_model.vera_B))

    def tensors_of(self, saved: SavedTensors, site: Site) -> dict[str, Tensor]:
        a, b = saved["base_model.vera_A"], saved["base_model.vera_B"]
        return {**super().tensors_of(saved, site), "vera_A": a[:, : site.d_in], "vera_B": b[: site.d_out]}

    def live(self, module: Any) -> tuple[dict[str, Tensor], float]:
        (name,) = module.active_adapters
        a, b = module.vera_A[name][:, : module.in_features], module.vera_B[name][: module.out_features]
        own = {part: getattr(module, part)[name] for part in ("vera_lambda_b", "vera_lambda_d")}
        return {**own, "vera_A": a, "vera_B": b}, 1.0

    def update(self, tensors: SavedTensors, scale: float) -> LowRankUpdate:
        a = tensors["vera_lambda_d"][:, None] * tensors["vera_A"]  # (R, d_in)
        b = tensors["vera_lambda_b"][:, None] * tensors["vera_B"]  # (d_out, R)
        return LowRankUpdate(a, b, scale)
