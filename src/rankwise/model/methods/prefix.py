"""Prefix tuning (arXiv 2101.00190) as peft has it: one tensor of every layer's keys and values, through the model's cache."""

from __future__ import annotations

from typing import Any

from rankwise.model.method import LiveAdapter, register
from rankwise.planning.plan import Plan


@register
class Prefix(LiveAdapter):
    name = "prefix"
    marker = "prompt_encoder"
    unmergeable = (
        "this run trained a prefix, whose keys and values can't be merged into weights, so it runs in torch only; "
        "type --engine torch (engine='torch')"
    )

    def config(self, plan: Plan, *, seed: int | None) -> dict[str, Any]:
        return {"peft_type": "PREFIX_TUNING", "num_virtual_tokens": plan.prefix_length}

    def saved_name(self, name: str) -> str:
        return super().saved_name(name.replace("prompt_encoder.default.embedding.weight", "prompt_embeddings"))
