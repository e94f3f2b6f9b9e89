"""What a recipe may say of each PEFT method, one row a method: allowed values and the texts of refusals follow from here.

What a method trains and costs is in `planning/methods/`, how it computes and is saved in `model/methods/`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

MethodName = Literal[
    "lora",
    "rslora",
    "dora",
    "pissa",
    "lora-fa",
    "lora-xs",
    "adalora",
    "vera",
    "unilora",
    "delora",
    "miss",
    "loha",
    "lokr",
    "hra",
    "fourierft",
    "ia3",
    "road",
    "beft",
    "ln-tuning",
    "prefix",
    "prompt",
    "full",
    "head",
    "bias",
]
UNEVEN_POLICIES = ("by-depth", "first-and-last", "fibonacci", "by-importance", "explicit")
"""Policies that give some layers more rank than others."""
ONE_RANK = "has one rank for all linear layers"
NO_RANKS = "has no ranks"

HEAD_ALONE: MethodName = "head"
"""The method that adapts nothing."""


@dataclass(frozen=True)
class MethodRow:
    """What a recipe needs to know of a method; AdapterSpec has `has_ranks` and `is_apart` too, and says what they mean."""

    has_ranks: bool = False
    is_apart: bool = True
    like_lora: bool = False
    """Whether dropout, biases and 4 bits go with it as with LoRA."""
    options: tuple[str, ...] = ()
    """Keys of the adapter that belong to this method, and to no other that does not list them."""
    refused_policies: tuple[str, ...] = ()
    refused_because: str = ""
    """What stands between the method's name and the policy that it refuses."""
    unquantizable: str = ""
    """Why the encoder can't be in 4 bits, a whole clause; empty where it can."""


def _one_rank(*, like_lora: bool = False, options: tuple[str, ...] = (), because: str = ONE_RANK) -> MethodRow:
    return MethodRow(True, True, like_lora, options, UNEVEN_POLICIES, because)


def _from_weights(name: str) -> MethodRow:
    taken = f"the {name} start takes the encoder's weights apart, so it can't be quantized"
    return MethodRow(has_ranks=True, like_lora=True, unquantizable=taken)


def _no_ranks(*options: str) -> MethodRow:
    return MethodRow(options=options, refused_policies=UNEVEN_POLICIES, refused_because=NO_RANKS)


LORA = MethodRow(has_ranks=True, like_lora=True)
METHODS: Mapping[MethodName, MethodRow] = {
    "lora": LORA,
    "rslora": LORA,
    "dora": LORA,
    "pissa": _from_weights("pissa"),
    "lora-fa": LORA,
    "lora-xs": _from_weights("lora-xs"),
    "adalora": _one_rank(like_lora=True, options=("init_rank",), because="shares ranks among linear layers itself"),
    "vera": _one_rank(like_lora=True),
    "unilora": _one_rank(options=("vector_length",)),
    "delora": MethodRow(has_ranks=True),
    "miss": _one_rank(),
    "loha": MethodRow(has_ranks=True),
    "lokr": MethodRow(has_ranks=True),
    "hra": _one_rank(),
    "fourierft": _no_ranks("vector_length"),
    "ia3": _no_ranks(),
    "road": _no_ranks(),
    "beft": _no_ranks(),
    "ln-tuning": _no_ranks(),
    "prefix": MethodRow(options=("virtual_tokens",)),
    "prompt": MethodRow(options=("virtual_tokens",)),
    "full": MethodRow(is_apart=False),
    "head": MethodRow(is_apart=False),
    "bias": MethodRow(is_apart=False),
}
