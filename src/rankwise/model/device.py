"""Where to compute: training on the accelerator that torch finds, else the CPU. ACCELERATE_USE_CPU says the CPU."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch
from accelerate.utils import parse_flag_from_env


def stays_on_cpu() -> bool:
    """Whether there is no accelerator, or none is wanted."""
    return not torch.accelerator.is_available() or parse_flag_from_env("ACCELERATE_USE_CPU")


def best_device() -> torch.device:
    """Where predictions are made: this process's CUDA device, or the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() and not stays_on_cpu() else "cpu")


def own_generators(device: torch.device) -> AbstractContextManager[Any]:
    """A context that leaves torch's random generators, the CPU's and a CUDA device's, as they were found."""
    others = [device] if device.type == "cuda" else []
    return torch.random.fork_rng(devices=others)
