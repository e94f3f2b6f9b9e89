"""What a live model asks of a PEFT method: how peft configures and saves its tensors, and how they change a layer.

A method is an object that never changes, a row of METHODS; `planning/methods/` has what it trains and costs.
"""

from collections.abc import Mapping
from typing import Any, Literal

from rankwise.model.methods.base import LiveAdapter, LiveMethod, base_of, is_plain, linear, own_forward
from rankwise.model.methods.beside import Beft, Dora, Ia3, LnTuning, Placed, Prompt, Road, VirtualTokens, norm_of
from rankwise.model.methods.low_rank import (
    AdaLora,
    Delora,
    Loha,
    Lokr,
    Lora,
    LoraFa,
    LoraXs,
    LowRank,
    LowRankUpdate,
    Miss,
    SavedLowRank,
    UniLora,
    Vera,
)
from rankwise.planning.plan import Plan
from rankwise.recipe.methods import MethodName

__all__ = [
    "METHODS",
    "LiveAdapter",
    "LiveMethod",
    "LowRank",
    "LowRankUpdate",
    "SavedLowRank",
    "base_of",
    "factor_of",
    "is_plain",
    "linear",
    "live_method",
    "method_of_config",
    "norm_of",
    "own_forward",
]

METHODS: dict[MethodName, LiveMethod] = {
    "lora": Lora(),
    "rslora": Lora(power=0.5, use_rslora=True),  # rank-stabilised, arXiv 2312.03732
    "dora": Dora(),
    # PiSSA, arXiv 2404.02948: A and B start as W's principal components, and W as what is left; peft saves A and B, and takes
    # the components out of W again when it loads them, by its own decomposition, which rounds otherwise
    "pissa": Lora(merges_exactly=False, init_lora_weights="pissa"),
    "lora-fa": LoraFa(),
    "lora-xs": LoraXs(),
    "adalora": AdaLora(),
    "vera": Vera(),
    "unilora": UniLora(),
    "delora": Delora(),
    "miss": Miss(),
    "loha": Loha(),
    "lokr": Lokr(),
    "hra": Placed(
        "hra_", lambda plan: {"peft_type": "HRA", "r": max(plan.ranks.values())}, ranks="hra_r"
    ),  # arXiv 2405.17484
    "fourierft": Placed(  # 2405.03003
        "fourierft_",
        lambda plan: {"peft_type": "FOURIERFT", "n_frequency": plan.ledger.adapters[0].parameters, "init_weights": True},
        seed="random_loc_seed",
    ),
    "ia3": Ia3(),
    "road": Road(),
    "beft": Beft(),
    "ln-tuning": LnTuning(),
    "prefix": VirtualTokens("PREFIX_TUNING", "a prefix, whose keys and values"),
    "prompt": Prompt("PROMPT_TUNING", "a prompt, whose tokens"),
    "full": LiveMethod(),
    "head": LiveMethod(),
    "bias": LiveMethod(),
}


def live_method(plan: Plan) -> LiveMethod:
    """The model half of a plan's method."""
    return METHODS[plan.adapter.method]


HARMLESS_STARTS = (None, True, False, "gaussian", "orthogonal", "eva")
"""peft's starts of LoRA that leave the encoder's weights as they are."""


def method_of_config(config: Mapping[str, Any]) -> MethodName | None:
    """Which method made an adapter that was not planned here, by peft's configuration; None for one that is not taken over.

    Those are low-rank updates of weights that are still the base's.
    """
    if config.get("peft_type") != "LORA" or config.get("init_lora_weights") not in HARMLESS_STARTS:
        return None
    with_magnitudes, stabilised = bool(config.get("use_dora")), bool(config.get("use_rslora"))
    if with_magnitudes and stabilised:
        return None
    return "dora" if with_magnitudes else "rslora" if stabilised else "lora"


def factor_of(name: str) -> Literal["A", "B"] | None:
    """Which factor of a low-rank update a live parameter is."""
    return "A" if "lora_A" in name else "B" if "lora_B" in name else None
