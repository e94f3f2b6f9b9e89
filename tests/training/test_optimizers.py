"""Each trained parameter gets one optimiser, the rate that the recipe says, and a schedule that agrees with transformers'."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import get_scheduler

from rankwise.recipe import TrainSpec
from rankwise.training.optimizers import Optimizers, build_optimizers, parameter_groups, schedule_factor, warmup_steps


def rates(built) -> dict[str, float]:
    """Peak rate of every trained parameter, by name."""
    groups = parameter_groups(built.classifier, built.recipe.train)
    by_id = {id(weight): group["lr"] for group in groups for weight in group["params"]}
    return {name: by_id[id(weight)] for name, weight in built.classifier.trainable().items()}


def owners(built) -> dict[str, torch.optim.Optimizer]:
    """The optimiser of every trained parameter, by name; fails where one has none or two."""
    found: dict[int, torch.optim.Optimizer] = {}
    for optimizer in build_optimizers(built.classifier, built.recipe.train):
        for group in optimizer.param_groups:
            for weight in group["params"]:
                assert id(weight) not in found
                found[id(weight)] = optimizer
    return {name: found[id(weight)] for name, weight in built.classifier.trainable().items()}


def decays(built) -> dict[str, float]:
    groups = parameter_groups(built.classifier, built.recipe.train)
    by_id = {id(weight): group["weight_decay"] for group in groups for weight in group["params"]}
    return {name: by_id[id(weight)] for name, weight in built.classifier.trainable().items()}


def test_a_factor_scales_every_groups_own_peak(built_for):
    built = built_for("bert", "train.rates.head=0.2", "train.learning_rate=0.1", "train.schedule=linear", "train.warmup=0")
    optimizers = Optimizers(*spec_of(built))
    for factor in (0.5, 0.25):  # from the peak each time, not from the last rate
        optimizers.set_rates(100 * (1 - factor), total=100)
        found = {group["name"]: group["lr"] for optimizer in optimizers.optimizers for group in optimizer.param_groups}
        assert found == pytest.approx({"encoder A": 0.1 * factor, "encoder B": 0.1 * factor, "head": 0.2 * factor})


def test_few_rows_and_wide_encoders_lower_every_rate_in_proportion(fit_for):
    shown = [*("train.learning_rate=0.01", "train.rates.head=0.02", "train.schedule=constant", "train.log_every=1")]
    whole, few, many, wide = (
        {step.rate for step in fit_for(*shown, *more, "train.epochs=1").heard("step")}
        for more in ([], ["train.full_rate_rows=144"], ["train.full_rate_rows=36"], ["train.full_rate_width=16"])
    )  # of 36 rows, and a width of 32
    assert whole == many == {0.01}
    assert sorted(few) == pytest.approx([0.0025])
    assert sorted(wide) == pytest.approx([0.005])


@pytest.mark.parametrize(("rows", "share"), [(0, 1 / 192), (16, 1 / 12), (96, 0.5), (192, 1.0), (5_000, 1.0)])
def test_the_share_of_the_rate_is_that_of_the_rows(rows, share):
    assert TrainSpec(full_rate_rows=192).rate_factor(rows, 768) == pytest.approx(share)
    assert TrainSpec().rate_factor(rows, 768) == 1.0


@pytest.mark.parametrize(("width", "share"), [(32, 1.0), (384, 1.0), (768, 0.5), (1024, 0.375)])
def test_the_share_of_the_rate_is_that_of_the_width(width, share):
    assert TrainSpec(full_rate_width=384).rate_factor(5_000, width) == pytest.approx(share)
    assert TrainSpec(full_rate_width=384, full_rate_rows=192).rate_factor(96, width) == pytest.approx(share / 2)


@pytest.mark.parametrize(("columns", "times"), [(1, 1.0), (2, 1.5), (3, 2.0), (9, 2.0)])
def test_each_label_column_after_the_first_raises_the_rate_up_to_twice(columns, times):
    assert TrainSpec(rate_a_column=0.5).rate_factor(5_000, 384, columns) == pytest.approx(times)
    assert TrainSpec().rate_factor(5_000, 384, columns) == 1.0


# --------------------------------------------------------------------------------------------------------------- groups


def test_every_trained_parameter_has_exactly_one_optimizer(family, built_for):
    for method in ("lora", "dora", "full", "bias"):
        built = built_for(family, f"adapter.method={method}", "train.optimizer=muon")
        assert owners(built).keys() == built.classifier.trainable().keys(), method


def test_the_head_has_its_own_rate_and_nothing_else_does(family, built_for):
    built = built_for(family, "train.rates.head=0.03", "train.learning_rate=0.001")
    heads = tuple(f"base_model.model.{part.path}." for part in built.plan.encoder.head)
    for name, rate in rates(built).items():
        is_head = name.replace("modules_to_save.default.", "").startswith(heads)
        assert rate == (0.03 if is_head else 0.001), name


def test_tiers_give_each_third_of_the_layers_its_rate(built_for):
    built = built_for("bert", "train.rates.tiers=[0.001, 0.002, 0.003]", "train.learning_rate=0.5")
    for name, rate in rates(built).items():
        layer = [number for number in range(3) if f".layer.{number}." in name]
        assert rate == ([0.001, 0.002, 0.003][layer[0]] if layer else 0.5), name


def test_loraplus_raises_the_rate_of_b_alone_and_leaves_the_head(built_for):
    built = built_for("bert", "train.rates.b_over_a=16", "train.rates.head=0.5", "train.learning_rate=0.001")
    for name, rate in rates(built).items():
        assert rate == (0.016 if "lora_B" in name else 0.001 if "lora_A" in name else 0.5), name


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "rmsprop", "sgd", "muon"])
def test_loraplus_keeps_the_weight_decay(built_for, optimizer):
    settings = [f"train.optimizer={{name: {optimizer}, weight_decay: 0.07}}", "train.rates.b_over_a=16"]
    built = built_for("bert", *settings)
    by_id = {
        id(weight): group["weight_decay"]
        for found in build_optimizers(built.classifier, built.recipe.train)
        for group in found.param_groups
        for weight in group["params"]
    }
    for name, weight in built.classifier.trainable().items():
        assert by_id[id(weight)] == (0.07 if weight.ndim >= 2 else 0.0), name


def test_weight_decay_falls_on_matrices_only(built_for):
    built = built_for("bert", "adapter.method=full", "train.optimizer.weight_decay=0.1")
    found = decays(built)
    assert found["bert.embeddings.word_embeddings.weight"] == found["classifier.weight"] == 0.1
    assert found["bert.embeddings.LayerNorm.weight"] == found["classifier.bias"] == 0.0


@pytest.mark.parametrize(("method", "vectors"), [("ia3", "ia3_l"), ("beft", "beft_bias"), ("dora", "magnitude")])
def test_weight_decay_leaves_an_adapters_vectors_alone_however_peft_stores_them(built_for, method, vectors):
    found = decays(built_for("bert", f"adapter.method={method}", "train.optimizer.weight_decay=0.1"))
    assert {decay for name, decay in found.items() if vectors in name} == {0.0}
    assert found["base_model.model.classifier.modules_to_save.default.weight"] == 0.1


def test_muon_owns_exactly_the_two_dimensional_adapter_matrices(family, built_for):
    built = built_for(family, "adapter.method=dora", "adapter.bias=lora_only", "train.optimizer=muon")
    for name, optimizer in owners(built).items():
        expected = torch.optim.Muon if "lora_A" in name or "lora_B" in name else torch.optim.AdamW
        assert type(optimizer) is expected, name


def test_muon_without_adapter_matrices_leaves_everything_to_adamw(built_for):
    optimizers = build_optimizers(*spec_of(built_for("bert", "adapter.method=head", "train.optimizer=muon")))
    assert [type(optimizer) for optimizer in optimizers] == [torch.optim.AdamW]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam), ("rmsprop", torch.optim.RMSprop), ("sgd", torch.optim.SGD)],
)
def test_each_name_is_torchs_optimizer_with_the_recipes_numbers(built_for, name, kind):
    numbers = "betas: [0.8, 0.9], eps: 1e-5, momentum: 0.3"
    (optimizer,) = build_optimizers(*spec_of(built_for("bert", f"train.optimizer={{name: {name}, {numbers}}}")))
    assert type(optimizer) is kind
    group = optimizer.param_groups[0]
    expected = {"betas": (0.8, 0.9), "eps": 1e-5} if "adam" in name else {"momentum": 0.3}
    assert {key: group[key] for key in expected} == expected


def spec_of(built):
    return built.classifier, built.recipe.train


# ------------------------------------------------------------------------------------------------------------ schedules


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


@pytest.mark.parametrize(("schedule", "share"), [("reduce-on-plateau", 0.5), ("constant", 1.0)])
def test_every_stall_halves_the_rate_on_a_plateau_only(built_for, schedule, share):
    optimizers = Optimizers(*spec_of(built_for("bert", f"train.schedule={schedule}", "train.warmup=0")))
    peak = optimizers.rate
    for stalls in range(4):
        optimizers.set_rates(0, total=100, stalls=stalls)
        assert optimizers.rate == peak * share**stalls
