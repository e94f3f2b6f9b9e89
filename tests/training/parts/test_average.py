"""What is scored and kept is the mean that the paper defines; the optimiser goes on as if there were none."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rankwise.training.parts import Step
from rankwise.training.parts import pruning as adalora
from rankwise.training.parts.average import Average
from rankwise.training.parts.pruning import live_ranks

WALK = st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=30)


def averaged(walk: list[float], share: float) -> float:
    """The mean after a weight has taken these values, one after each update."""
    weight = torch.nn.Parameter(torch.full((1,), 99.0, dtype=torch.float64))  # where it started does not count
    average = Average({"w": weight}, share=share)
    step = Step(applied=True, settled=True)
    for value in walk:
        with torch.no_grad():
            weight.fill_(value)
        average.after_update(step)
    return float(average.mean["w"])


@given(walk=WALK)
def test_over_all_updates_it_is_the_plain_mean(walk):
    assert averaged(walk, 1.0) == pytest.approx(sum(walk) / len(walk), abs=1e-6)


@given(walk=WALK, eta=st.integers(0, 12))
def test_later_weights_count_as_the_paper_has_it(walk, eta):
    # Unrolled, w_t's share is proportional to (t + 1)(t + 2) … (t + eta - 1) · t, a polynomial of degree eta.
    shares = []
    for t in range(1, len(walk) + 1):
        share = 1.0
        for k in range(eta):
            share *= t + k
        shares.append(share)
    expected = sum(share * value for share, value in zip(shares, walk, strict=True)) / sum(shares)
    assert averaged(walk, 1 / (eta + 1)) == pytest.approx(expected, abs=1e-6)


def test_the_optimiser_goes_on_as_if_there_were_no_mean(fit_for):
    plain, mean = fit_for(folder="plain"), fit_for("train.average=30%", folder="mean")
    assert [event.loss for event in mean.heard("step")] == [event.loss for event in plain.heard("step")]
    assert [entry.train_loss for entry in mean.fitted.history] == [entry.train_loss for entry in plain.fitted.history]


def test_what_is_scored_and_kept_is_the_mean(fit_for):
    steps = [
        fit_for("train.evaluate_every=end", f"train.max_steps={n}", "train.schedule=constant", folder=str(n))
        for n in (1, 2, 3)
    ]
    kept = fit_for(
        "train.evaluate_every=end", "train.max_steps=3", "train.schedule=constant", "train.average=99.9999%", folder="mean"
    )
    for name, weight in kept.weights().items():
        mean = torch.stack([trained.weights()[name] for trained in steps]).mean(0)
        assert torch.allclose(weight, mean, atol=1e-5)
        assert not torch.equal(weight, steps[-1].weights()[name]) or not weight.any()
    assert kept.fitted.best.log_loss != steps[-1].fitted.best.log_loss


@pytest.mark.parametrize("moments", [100, 4], ids=["pruned after every update", "pruned after every fifth"])
def test_ranks_that_adalora_has_pruned_are_nothing_in_the_mean_too(fit_for, monkeypatch, moments):
    monkeypatch.setattr(adalora, "MOMENTS", moments)
    trained = fit_for(
        "adapter.method=adalora",
        "adapter.rank=1",
        "adapter.init_rank=2",
        "train.average=50%",
        "train.evaluate_every=end",
        "train.epochs=4",
    )
    start = trained.built.plan.ranks
    assert sum(live_ranks(trained.built.classifier).values()) == len(start), "a mean rank of 1 is left"
    nothing = sum(int((weight == 0).sum()) for name, weight in trained.weights().items() if "lora_E" in name)
    assert nothing == sum(start.values()) - len(start)
