"""What a recipe may say of each PEFT method, one row a method: allowed values and the texts of refusals follow from here.

What a method trains and costs is in `planning/methods.py`, how it computes and is saved in `model/methods.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

MethodName = Literal["lora", "rslora", "dora", "pissa", "adalora", "vera", "ia3", "prefix", "full", "head", "bias"]
UNEVEN_POLICIES = ("by-depth", "first-and-last", "fibonacci", "by-importance", "explicit")
"""Policies that give some layers more rank than others."""


HEAD_ALONE: MethodName = "head"
"""The method that adapts nothing."""


@dataclass(frozen=True)
class MethodRow:
    """What a recipe needs to know of a method; AdapterSpec has `has_ranks` and `is_apart` too, and says what they mean."""

    has_ranks: bool = False
    is_apart: bool = True
    options: tuple[str, ...] = ()
    """Keys of the adapter that belong to this method alone."""
    refused_policies: tuple[str, ...] = ()
    refused_because: str = ""
    """What stands between the method's name and the policy that it refuses."""
    unquantizable: str = ""
    """Why the encoder can't be in 4 bits, a whole clause; empty where it can."""


METHODS: Mapping[MethodName, MethodRow] = {
    "lora": MethodRow(has_ranks=True),
    "rslora": MethodRow(has_ranks=True),
    "dora": MethodRow(has_ranks=True),
    "pissa": MethodRow(
        has_ranks=True, unquantizable="the pissa start takes the encoder's weights apart, so it can't be quantized"
    ),
    "adalora": MethodRow(
        has_ranks=True,
        options=("init_rank",),
        refused_policies=UNEVEN_POLICIES,
        refused_because="shares ranks among linear layers itself",
    ),
    "vera": MethodRow(has_ranks=True, refused_policies=UNEVEN_POLICIES, refused_because="has one rank for all linear layers"),
    "ia3": MethodRow(refused_policies=("explicit",), refused_because="has no ranks"),
    "prefix": MethodRow(options=("virtual_tokens",)),
    "full": MethodRow(is_apart=False),
    "head": MethodRow(is_apart=False),
    "bias": MethodRow(is_apart=False),
}
