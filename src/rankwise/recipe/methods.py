"""What a recipe may say of each PEFT method, one row a method: allowed values and the texts of refusals follow from here.

What a method trains and costs is in `planning/methods`, how it computes and is saved in `model/methods`: a file each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

MethodName = Literal["lora", "rslora", "dora", "pissa", "adalora", "vera", "ia3", "prefix", "full", "head", "bias"]
UNEVEN_POLICIES = ("by-depth", "first-and-last", "fibonacci", "by-importance", "explicit")
"""Policies that give some layers more rank than others."""


@dataclass(frozen=True)
class MethodRow:
    """What a recipe needs to know of a method."""

    summary: str = ""
    """A few words for --help; empty where the name says it."""
    has_ranks: bool = False
    """Whether each linear layer that it adapts has a rank."""
    is_apart: bool = True
    """Whether what trains is an adapter beside the encoder, saved as peft saves one; else a run holds the whole model."""
    by_layer: bool = False
    """Whether the policy says in which layers it trains."""
    options: tuple[str, ...] = ()
    """Keys of the adapter that belong to this method alone."""
    refused_policies: tuple[str, ...] = ()
    refused_because: str = ""
    """What stands between the method's name and the policy that it refuses."""
    unquantizable: str = ""
    """Why the encoder can't be in 4 bits, a whole clause; empty where it can."""


METHODS: Mapping[MethodName, MethodRow] = {
    "lora": MethodRow(has_ranks=True, by_layer=True),
    "rslora": MethodRow("scaled by 1/√R", has_ranks=True, by_layer=True),
    "dora": MethodRow("with magnitudes", has_ranks=True, by_layer=True),
    "pissa": MethodRow(
        "SVD start",
        has_ranks=True,
        by_layer=True,
        unquantizable="the pissa start takes the encoder's weights apart, so it can't be quantized",
    ),
    "adalora": MethodRow(
        "ranks pruned while it trains",
        has_ranks=True,
        by_layer=True,
        options=("init_rank",),
        refused_policies=UNEVEN_POLICIES,
        refused_because="shares ranks among linear layers itself",
    ),
    "vera": MethodRow(
        "vectors around shared random matrices",
        has_ranks=True,
        by_layer=True,
        refused_policies=UNEVEN_POLICIES,
        refused_because="has one rank for all linear layers",
    ),
    "ia3": MethodRow(
        "scales of keys, values and inner activations",
        by_layer=True,
        refused_policies=("explicit",),
        refused_because="has no ranks",
    ),
    "prefix": MethodRow("virtual keys and values", options=("virtual_tokens",)),
    "full": MethodRow("every parameter", is_apart=False),
    "head": MethodRow("the head alone", is_apart=False),
    "bias": MethodRow("biases and the head", is_apart=False),
}


def described() -> str:
    """Every method with its summary, for --help and the reference page."""
    named = [f"{name} ({row.summary})" if row.summary else name for name, row in METHODS.items()]
    return f"{', '.join(named)}."
