"""fp16's loss scale: gradients that would vanish in 16 bits are computed large, and an update that overflows is skipped."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from rankwise.system.device import Device
from rankwise.training.parts import Part


class LossScale(Part):
    """torch's GradScaler, which does nothing in fp32 and bf16; a resumed run skips no update that a whole one makes."""

    name = "scale"

    def __init__(self, device: Device, precision: str) -> None:
        self.scaler = torch.amp.GradScaler(device.kind, enabled=precision == "fp16")

    def applies(self, norm: torch.Tensor) -> bool:
        """Whether an update whose gradient has this length, (), is made."""
        return not self.scaler.is_enabled() or bool(torch.isfinite(norm))

    def state(self) -> dict[str, torch.Tensor]:
        return {name: torch.tensor(value) for name, value in self.scaler.state_dict().items()}

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        self.scaler.load_state_dict({name: value.item() for name, value in state.items()})
