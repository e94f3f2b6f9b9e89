"""A value out of range is refused with its line, what was found and what was expected."""

from __future__ import annotations

import pytest

from rankwise.recipe import Recipe
from rankwise.recipe.problems import OTHER_TOOLS

OUT_OF_RANGE = {
    "adapter.rank": ["0", "-1", "1.5", "huge"],
    "adapter.alpha": ["0", "-2", "x"],
    "adapter.dropout": ["1", "-0.1"],
    "adapter.targets": ["[qurey]", "everything"],
    "adapter.method": ["lorra"],
    "adapter.bias": ["some"],
    "adapter.quantize": ["int8"],
    "head.kind": ["fat"],
    "budget.parameters": ["0", "-5", "1.5", "lots"],
    "train.learning_rate": ["0", "-1", "nan", ".nan", ".inf", "1e3", "[1]"],
    "train.epochs": ["0", "-1", ".inf", "many"],
    "train.batch_size": ["0", "1.5"],
    "train.schedule": ["exponential"],
    "train.precision": ["int8"],
    "train.label_smoothing": ["1", "-0.1"],
    "train.focal": ["-1", "21", "strong"],
    "train.warmup": ["-1", "-6%", "100%", "2.5"],
    "train.evaluate_every": ["0", "sometimes", "100%", "1.5"],
    "train.seed": ["-1", "1.5"],
    "train.class_weights": ["balance", "{a: -1}"],
    "data.max_length": ["0", "3", "-1", "4.5", "many"],
    "data.length_percentiles": ["[99, 1]", "[-1, 50]", "[0, 101]", "[5]"],
    "data.clean": ["[html, htlm]"],
    "evaluate.confidence": ["0", "1", "100%"],
    "published.report": ["7"],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in OUT_OF_RANGE.items() for value in values])
def test_a_value_out_of_range_is_refused_with_its_line_and_key(refused, key, value):
    section, field = key.split(".")
    for line in refused(f"name: x\n\n{section}:\n  # the next line is wrong\n  {field}: {value}\n").splitlines():
        assert line.startswith(f"r.yaml:5: {key}")


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("adapter:\n  allocate:\n    policy: last-k\n    k: fifth\n", 4, "adapter.allocate.k"),
        ("adapter:\n  allocate:\n    policy: last-k\n    k: 0\n", 4, "adapter.allocate.k"),
        ("adapter:\n  allocate:\n    policy: explicit\n    ranks: {'*.query': -4}\n", 4, "adapter.allocate.ranks"),
        ("adapter:\n  allocate:\n    policy: explicit\n", 2, "adapter.allocate.ranks"),
        ("train:\n  rates:\n    tiers: [1e-5, -1]\n", 3, "train.rates.tiers.1"),
        ("train:\n  early_stop:\n    min_delta: 1\n", 2, "train.early_stop.patience"),
        ("train:\n\n  optimizer: sdg\n", 3, "train.optimizer"),
        ("train:\n  optimizer:\n    name: adam\n    betas: [0.9, 1.5]\n", 4, "train.optimizer.betas.1"),
        ("train:\n  rates:\n    head: 1000\n", 3, "train.rates.head"),
        ("data:\n  split:\n    validation: 0\n", 3, "data.split.validation"),
        ("data:\n  split:\n    test: 150%\n", 3, "data.split.test"),
        ("data:\n  split:\n    seed: -5\n", 3, "data.split.seed"),
        ("train: 3\n", 1, "train"),
    ],
)
def test_a_wrong_value_deep_down_is_refused_with_its_line_and_key(refused, text, line, key):
    for message in refused(text).splitlines():
        assert message.startswith(f"r.yaml:{line}: {key}")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("bitfit", "adapter.method=bias"),
        ("qlora", "adapter.quantize=nf4"),
        ("Linear-Probe", "adapter.method=head"),
        ("p-tuning", "adapter.method=prompt"),
        ("lora+", "train.rates.b_over_a=16"),
        ("lorra", "lora"),
    ],
)
def test_another_tools_name_of_a_method_is_answered_with_ours(refused, typed, meant):
    assert refused(f"adapter:\n  method: {typed}\n").endswith(f"; did you mean '{meant}'?")


def test_what_other_tools_call_otherwise_is_a_recipe_here():
    for meant in OTHER_TOOLS:
        key, equals, value = meant.partition("=")
        recipe = Recipe.load("quickstart", [meant] if equals else [])
        found = recipe.to_dict()
        for part in key.split("."):
            found = found[part]
        assert not equals or str(found) in (value, f"{value}.0")


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "..", ".x", "''", "' '"])
def test_a_name_that_would_lead_elsewhere_is_refused(refused, name):
    assert refused(f"name: {name}\n").startswith("r.yaml:1: name: ")


def test_a_control_character_is_no_yaml(refused):
    assert refused("name: x\x01\n").startswith("r.yaml: ")


def test_an_unknown_policy_is_answered_with_the_policies(refused):
    message = refused("adapter:\n  allocate: by-deth\n")
    assert message.startswith("r.yaml:2: adapter.allocate: ")
    for policy in ("uniform", "by-depth", "last-k", "first-and-last", "fibonacci", "explicit"):
        assert f"'{policy}'" in message


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("adapter: {alpha: 3, alpha_per_rank: 3}", "give alpha or alpha_per_rank, not both"),
        ("adapter: {method: full, bias: all}", "bias and quantize belong to lora and what is like it"),
        ("adapter: {method: head, quantize: nf4}", "bias and quantize belong to lora and what is like it"),
        ("adapter: {method: pissa, quantize: nf4}", "can't be quantized"),
        (
            "adapter: {rank: max, allocate: {policy: explicit, ranks: {'*': 1}}}",
            "explicit ranks leave 'rank: max' nothing to solve",
        ),
    ],
)
def test_settings_of_the_adapter_that_contradict_each_other_are_refused(refused, text, reason):
    message = refused(text)
    assert message.startswith("r.yaml:1: adapter: ")
    assert reason in message


def test_a_micro_batch_larger_than_the_batch_is_refused(refused):
    assert "micro_batch_size 8 is larger than batch_size 4" in refused("train: {batch_size: 4, micro_batch_size: 8}")


def test_focal_loss_and_label_smoothing_are_refused_together(refused):
    assert "focal 2 and label_smoothing 0.1 contradict" in refused("train: {focal: 2, label_smoothing: 0.1}")
