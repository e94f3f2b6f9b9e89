"""Where a process computes, and all that depends on the kind of hardware: precision, peaks, generators, what is recorded.

No other module compares a device's name. ACCELERATE_USE_CPU keeps a process on the CPU, as Accelerate has it.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Self

import torch

from rankwise.errors import TrainingError
from rankwise.system.cores import accelerators_are_off, has_bf16
from rankwise.system.memory import forget_peak, peak_resident_bytes, return_freed_memory

GENERATOR, DEVICE_GENERATOR = "generator", "generator_device"  # the states of torch's generators, the CPU's and the device's


@dataclass(frozen=True)
class Device:
    """One of torch's devices, and the number of processes that train together, each on a device of its own."""

    torch_device: torch.device
    processes: int = 1

    @classmethod
    def cpu(cls) -> Self:
        """The CPU, for this process alone."""
        return cls(torch.device("cpu"))

    @classmethod
    def for_predictions(cls) -> Self:
        """This process's NVIDIA GPU, or the CPU where there is none or ACCELERATE_USE_CPU says so."""
        return cls(torch.device("cuda" if torch.cuda.is_available() and not stays_on_cpu() else "cpu"))

    @property
    def kind(self) -> str:
        return self.torch_device.type

    @property
    def is_cpu(self) -> bool:
        """Whether products are computed on the CPU, in the process's own memory."""
        return self.kind == "cpu"

    @property
    def runs_cuda(self) -> bool:
        """Whether work can be recorded once and replayed."""
        return self.kind == "cuda"

    @property
    def fuses_optimizers(self) -> bool:
        """Whether torch's optimisers update each tensor in one kernel, or all of them."""
        return self.is_cpu or self.runs_cuda

    @property
    def for_doubles(self) -> torch.device:
        """Where double-precision sums are kept: this device, or the CPU beside Apple's GPUs, which have no doubles."""
        return torch.device("cpu") if self.kind == "mps" else self.torch_device

    def resolve_precision(self, precision: str) -> str:
        """fp32, bf16 or fp16; `auto` is bf16 where the hardware multiplies it. Raises TrainingError for what it lacks."""
        if precision == "auto":
            return "bf16" if self._has_bf16() else "fp32"
        if precision == "fp16" and self.is_cpu:
            raise TrainingError("train.precision is fp16, which needs a GPU; on a CPU use fp32 or bf16")
        if precision == "bf16" and not self._has_bf16():
            raise TrainingError(f"train.precision is bf16, which this {self.kind} has no instructions for; use fp32")
        return precision

    def own_generators(self) -> AbstractContextManager[Any]:
        """A context that leaves torch's random generators, the CPU's and a CUDA device's, as they were before it."""
        return torch.random.fork_rng(devices=[self.torch_device] if self.runs_cuda else [])

    def generator_states(self) -> dict[str, torch.Tensor]:
        """The states of the generators that dropout draws from, by name."""
        states = {GENERATOR: torch.get_rng_state()}
        return {**states, DEVICE_GENERATOR: torch.cuda.get_rng_state()} if self.runs_cuda else states

    def restore_generators(self, states: Mapping[str, torch.Tensor]) -> None:
        """Put generators back as `generator_states` had them; a GPU's state is left out where a run goes on on a CPU."""
        torch.set_rng_state(states[GENERATOR])
        if self.runs_cuda and DEVICE_GENERATOR in states:
            torch.cuda.set_rng_state(states[DEVICE_GENERATOR])

    def forget_peak(self) -> None:
        """Let the peak of memory count from now on."""
        forget_peak()
        if self.runs_cuda:
            torch.cuda.reset_peak_memory_stats()

    def peak_bytes(self) -> int | None:
        """The most memory taken so far: resident on a CPU, allocated on a GPU; None where the system does not say."""
        return torch.cuda.max_memory_allocated() if self.runs_cuda else peak_resident_bytes()

    def trim(self) -> None:
        """Give freed memory back to the system, where tensors lie in the process's own memory."""
        if self.is_cpu:
            return_freed_memory()

    def synchronize(self) -> None:
        """Wait until all work that was started on the device is done."""
        if not self.is_cpu:
            torch.accelerator.synchronize()

    def _has_bf16(self) -> bool:
        if self.is_cpu:
            return has_bf16()
        return not self.runs_cuda or torch.cuda.is_bf16_supported(including_emulation=False)


def stays_on_cpu() -> bool:
    """Whether there is no accelerator, or none is wanted."""
    return accelerators_are_off() or not torch.accelerator.is_available()


def on_cpu(tensor: torch.Tensor) -> bool:
    """Whether a tensor lies in the process's own memory."""
    return tensor.device.type == "cpu"
