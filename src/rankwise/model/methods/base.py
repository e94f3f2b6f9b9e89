"""What every method's model half answers, and how a live linear layer under it is computed.

Nothing here or beside it imports peft: what peft is to do is told as its configuration's values, and what it has done is read
from live modules or saved tensors. Shapes: A (R, d_in), B (d_out, R), a linear layer's weight W (d_out, d_in).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rankwise.encoders.encoder import Site
from rankwise.planning.plan import Plan


class LiveMethod:
    """A method's model half. This class is that of methods that train the model's own weights, those in the plan's ledger."""

    marker: str = ""
    """What only the names of tensors and modules that it adds contain; empty where it adds none."""
    unmergeable: str = ""
    """Why what it trains can't become part of the encoder's weights, a sentence; empty where it can."""
    column_vectors: bool = False
    """Whether what it adds are vectors, which peft stores as matrices of one column."""
    renamed: ClassVar[tuple[str, str]] = ("", "")
    """A part of a live parameter's name that peft calls otherwise in the saved file, and how."""

    def saved_name(self, name: str) -> str:
        """A live parameter's name → its name in the saved file."""
        return name.replace(*self.renamed).replace(".modules_to_save.default", "").replace(".default", "")

    def is_matrix(self, name: str, weight: Tensor) -> bool:
        """Whether a trained parameter is a matrix (or of more dimensions), on which weight decay falls, and no vector."""
        return weight.ndim >= 2 and not (self.column_vectors and self.marker in name)

    def saved_parameters(self, plan: Plan) -> int:
        """How many numbers of a saved file are what trained, or were made of it."""
        return plan.ledger.trainable_parameters

    def as_loaded(self, model: Any, name: str, weight: Tensor) -> tuple[str, Tensor]:
        """The name and content that a trained parameter has in the model that is loaded from the saved file."""
        return name, weight

    def before_saving(self, model: Any) -> None:
        """Make peft write every trained tensor as it was planned."""

    def state_to_save(self, model: Any) -> Mapping[str, Tensor] | None:
        """The live model's tensors by the names that peft saves; None where its own are those."""
        return None


class LiveAdapter(LiveMethod, ABC):
    """A method whose tensors peft adds to the encoder."""

    ranks: str = "r"
    """The attribute of peft's layers that holds their rank, where the method has ranks."""

    @abstractmethod
    def config(self, plan: Plan, *, seed: int) -> dict[str, Any]:
        """The plan as values of peft's configuration."""

    def after_placing(self, model: Any) -> None:
        """Make of what peft has placed what the method trains."""

    def apply(self, module: Any, x: Tensor) -> Tensor:
        """A plain linear layer's output in the dtype of x (B, T, d_in), with its adapter, where that is not folded in."""
        return own_forward(module, x)


def targets(plan: Plan) -> list[str]:
    """The paths of the linear layers that are adapted."""
    return [site.name for site in plan.sites]


def saved_path(site: Site, part: str) -> str:
    """The name in the saved file of a part of a linear layer's adapter."""
    return f"base_model.model.{site.name}.{part}"


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
