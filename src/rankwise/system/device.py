"""Where to compute, and how precisely: the accelerator that torch finds, else the CPU. ACCELERATE_USE_CPU says the CPU."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch
from accelerate.utils import parse_flag_from_env

from rankwise.errors import TrainingError
from rankwise.system.cores import has_bf16


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


def resolve_precision(precision: str, device: torch.device) -> str:
    """fp32, bf16 or fp16; `auto` is bf16 where the hardware multiplies it. Raises TrainingError for what it lacks."""
    if precision == "auto":
        return "bf16" if _has_bf16(device) else "fp32"
    if precision == "fp32":
        return precision
    if precision == "fp16" and device.type == "cpu":
        raise TrainingError("train.precision is fp16, which needs a GPU; on a CPU use fp32 or bf16")
    if precision == "bf16" and not _has_bf16(device):
        raise TrainingError(f"train.precision is bf16, which this {device.type} has no instructions for; use fp32")
    return precision


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cpu":
        return has_bf16()
    return device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
