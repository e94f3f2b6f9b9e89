"""What a live model asks of a PEFT method: how peft configures and saves its tensors, and how they change a layer.

A method is an object without state, registered by the file in `methods/` that describes it. Nothing here imports peft: what
peft is to do is told as its configuration's values, and what it has done is read from live modules or saved tensors.
Shapes: A (R, d_in), B (d_out, R), a linear layer's weight W (d_out, d_in).
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rankwise.encoders.site import Site
from rankwise.planning.plan import Plan
from rankwise.recipe.methods import MethodName

SavedTensors = Mapping[str, Tensor]
"""An adapter's tensors by their names in the saved file; those of one linear layer by what follows its path."""


@dataclass(frozen=True)
class LowRankUpdate:
    """W + scale · B·A."""

    a: Tensor
    """(R, d_in)"""
    b: Tensor
    """(d_out, R)"""
    scale: float


class LiveMethod:
    """A method's model half. What this base class answers holds for methods that train the model's own weights."""

    name: ClassVar[MethodName]
    marker: ClassVar[str] = ""
    """What only the names of tensors and modules that it adds contain; empty where it adds none."""
    unmergeable: ClassVar[str] = ""
    """Why what it trains can't become part of the encoder's weights, a sentence; empty where it can."""

    def trains(self, name: str) -> bool:
        """Whether a parameter of the encoder trains."""
        return False

    def factor(self, name: str) -> Literal["A", "B"] | None:
        """Which factor of a low-rank update a live parameter is."""
        return None

    def counted(self, model: Any) -> Iterator[Tensor]:
        """Every tensor that the total counts, with the head once."""
        return (weight for name, weight in model.named_parameters() if "original_module" not in name)

    def saved_name(self, name: str) -> str:
        """A live parameter's name → its name in the saved file."""
        return name.replace(".modules_to_save.default", "").replace(".default", "")

    def live_ranks(self, model: Any, plan: Plan) -> dict[str, int]:
        """The rank of each low-rank adapter as it stands, by module path."""
        return dict(plan.ranks)

    def before_saving(self, model: Any) -> None:
        """Make peft write every trained tensor as it was planned."""


class LiveAdapter(LiveMethod, ABC):
    """A method whose tensors peft adds to the encoder."""

    @abstractmethod
    def config(self, plan: Plan, *, seed: int | None) -> dict[str, Any]:
        """The plan as values of peft's configuration; `seed` None for a model without weights, which has no start."""

    def apply(self, module: Any, x: Tensor) -> Tensor:
        """A plain linear layer's output in the dtype of x (B, T, d_in), with its adapter, where that is not folded in."""
        return own_forward(module, x)


class LowRankAdapter(LiveAdapter):
    """A method that does nothing to a linear layer but W + scale · B·A, so that it can be folded into W while it trains."""

    merges_exactly: ClassVar[bool] = True
    """Whether weights merged from the saved file give the live classifier's logits to the bit, where these are folded."""

    @abstractmethod
    def live(self, module: Any) -> tuple[dict[str, Tensor], float]:
        """The update's live tensors at a linear layer, by their names in the saved file, and their scale."""

    @abstractmethod
    def update(self, tensors: SavedTensors, scale: float) -> LowRankUpdate:
        """One linear layer's tensors → the low-rank update that they stand for, with gradients to them."""

    def tensors_of(self, saved: SavedTensors, site: Site) -> dict[str, Tensor]:
        """Of a saved file's tensors those that change the linear layer `site`."""
        start = f"base_model.model.{site.name}."
        return {name.removeprefix(start): tensor for name, tensor in saved.items() if name.startswith(start)}

    def scale(self, plan: Plan, path: str) -> float:
        """What its change of the linear layer at `path` is multiplied by."""
        return 1.0

    def dropout(self, module: Any) -> Any:
        """The dropout before a live layer's adapter."""
        return getattr(module, f"{self.marker}dropout")[module.active_adapters[0]]

    def apply(self, module: Any, x: Tensor) -> Tensor:
        update = self.update(*self.live(module))
        y = linear(module.base_layer, x)
        down = F.linear(self.dropout(module)(x), update.a.to(x.dtype))  # (B, T, R)
        rows = torch.addmm(y.flatten(0, -2), down.flatten(0, -2), update.b.to(x.dtype).T, alpha=update.scale)
        return rows.view(y.shape)


class LoraConfigured(LiveAdapter):
    """A method that peft configures as LoRA, with `lora_A` and `lora_B` at each linear layer."""

    marker = "lora_"
    peft_type: ClassVar[str] = "LORA"

    def config(self, plan: Plan, *, seed: int | None) -> dict[str, Any]:
        rank, alpha = (Counter(values.values()).most_common(1)[0][0] for values in (plan.ranks, plan.alphas))
        ranks = {re.escape(name): other for name, other in plan.ranks.items() if other != rank}
        alphas = {re.escape(name): _whole(other) for name, other in plan.alphas.items() if other != alpha}
        return {
            "peft_type": self.peft_type,
            "r": rank,
            "lora_alpha": _whole(alpha),
            "rank_pattern": ranks,
            "alpha_pattern": alphas,
            "target_modules": list(plan.ranks),
            "lora_dropout": plan.adapter.dropout,
            "bias": plan.adapter.bias,
        }

    def factor(self, name: str) -> Literal["A", "B"] | None:
        return "A" if "lora_A" in name else "B" if "lora_B" in name else None


class LiveLora(LoraConfigured, LowRankAdapter):
    """LoRA, and what changes its scale or its start alone."""

    def scale(self, plan: Plan, path: str) -> float:
        return plan.alphas[path] / plan.ranks[path]

    def live(self, module: Any) -> tuple[dict[str, Tensor], float]:
        (name,) = module.active_adapters
        tensors = {"lora_A.weight": module.lora_A[name].weight, "lora_B.weight": module.lora_B[name].weight}
        return tensors, float(module.scaling[name])

    def update(self, tensors: SavedTensors, scale: float) -> LowRankUpdate:
        return LowRankUpdate(tensors["lora_A.weight"], tensors["lora_B.weight"], scale)


METHODS: dict[str, LiveMethod] = {}
"""By name in a recipe."""


def register(kind: type[LiveMethod]) -> type[LiveMethod]:
    """Enter a method into METHODS: a decorator of the class that describes it."""
    assert kind.name not in METHODS, f"{kind.name} is registered twice"
    METHODS[kind.name] = kind()
    return kind


def base_of(module: Any) -> Any:
    """The linear layer itself, under an adapter if there is one."""
    return getattr(module, "base_layer", module)


def is_plain(module: Any) -> bool:
    """Whether a live layer is one of torch's own, neither quantized nor of another shape."""
    return type(base_of(module)) is nn.Linear


def linear(base: Any, x: Tensor) -> Tensor:
    """A plain linear layer in the dtype of x."""
    return F.linear(x, base.weight.to(x.dtype), None if base.bias is None else base.bias.to(x.dtype))


def own_forward(module: Any, x: Tensor) -> Tensor:
    """A live layer's own forward, in its own dtype; the result in that of x."""
    return torch.as_tensor(module(x.to(torch.float32)).to(x.dtype))


def _whole(number: float) -> int | float:
    """Alphas may be fractions, which peft takes though its types don't say so; whole ones are written as such."""
    return int(number) if number == int(number) else number
