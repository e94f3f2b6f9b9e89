"""A schedule agrees with transformers' own after warm-up, and wastes no update."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import get_scheduler

from rankwise.recipe import TrainSpec
from rankwise.training.schedule import plateau_factor, schedule_factor, warmup_steps


@pytest.mark.parametrize(
    ("ours", "theirs", "options"),
    [
        ("linear", "linear", None),
        ("cosine", "cosine", None),
        ("constant", "constant_with_warmup", None),
        ("polynomial", "polynomial", {"power": 3.0, "lr_end": 0.0}),
    ],
)
@pytest.mark.parametrize("warmup", [0, 5])
def test_after_warmup_a_schedule_is_transformers_own(ours, theirs, options, warmup):
    total, spec = 23, TrainSpec(schedule=ours, warmup=warmup, power=3.0)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    oracle = get_scheduler(theirs, optimizer, warmup, total, options)
    for step in range(total):
        if step >= warmup:
            assert schedule_factor(step, total=total, spec=spec) == pytest.approx(oracle.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        oracle.step()


def test_warmup_rises_in_equal_steps_and_spends_no_update_on_a_rate_of_zero():
    spec = TrainSpec(schedule="constant", warmup=4)
    assert [schedule_factor(step, total=9, spec=spec) for step in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1])


@pytest.mark.parametrize(("warmup", "steps"), [("6%", 6), ("5.5%", 6), (0, 0), (7, 7)])
def test_warmup_is_a_share_of_all_updates_or_a_number_of_them(warmup, steps):
    assert warmup_steps(TrainSpec(warmup=warmup), 100) == steps


@pytest.mark.parametrize("schedule", ["linear", "cosine", "polynomial", "constant", "reduce-on-plateau"])
@pytest.mark.parametrize("warmup", [0, "10%", 3, 50])
def test_a_schedule_stays_within_0_and_1_and_never_wastes_an_update(schedule, warmup):
    factors = [schedule_factor(step, total=20, spec=TrainSpec(schedule=schedule, warmup=warmup)) for step in range(20)]
    assert all(0 < factor <= 1 for factor in factors)


def test_every_stall_halves_the_rate_on_a_plateau_only():
    assert [plateau_factor(stalls, TrainSpec(schedule="reduce-on-plateau")) for stalls in range(4)] == [1, 0.5, 0.25, 0.125]
    assert plateau_factor(3, TrainSpec(schedule="linear")) == 1
