"""Each method beside LoRA goes the whole way: trained, resumed, saved, loaded, and predicting on every engine that can."""

from __future__ import annotations

import pytest
import torch

from conftest import CLASSES
from rankwise.errors import ModelError, PlanError
from rankwise.model.hidden_cache import HiddenStatesCache
from rankwise.run.folder import Run
from rankwise.system.cores import has_bf16
from rankwise.workflows.train import train

METHODS = {
    "adalora": ("adapter.method=adalora",),
    "vera": ("adapter.method=vera", "train.learning_rate=5e-2"),
    "ia3": ("adapter.method=ia3", "train.learning_rate=5e-2"),
    "prefix": ("adapter.method=prefix", "adapter.virtual_tokens=4", "train.learning_rate=5e-2"),
}
OTHERS = {
    "lora-fa": ("adapter.method=lora-fa", "train.learning_rate=3e-2"),
    "lora-xs": ("adapter.method=lora-xs", "train.learning_rate=3e-2"),
    "unilora": ("adapter.method=unilora", "adapter.vector_length=400", "train.learning_rate=3e-2"),
    "ln-tuning": ("adapter.method=ln-tuning", "train.learning_rate=3e-2"),
    "road": ("adapter.method=road", "train.learning_rate=3e-2"),
    "prompt": ("adapter.method=prompt", "adapter.virtual_tokens=4", "train.learning_rate=5e-2"),
    "delora": ("adapter.method=delora",),
    "miss": ("adapter.method=miss",),
    "loha": ("adapter.method=loha",),
    "lokr": ("adapter.method=lokr", "adapter.rank=2"),
    "hra": ("adapter.method=hra",),
    "fourierft": ("adapter.method=fourierft",),
    "beft": ("adapter.method=beft", "train.learning_rate=5e-2"),
}
OWN_WAY = ("lora-fa", "lora-xs", "unilora", "ln-tuning", "road", "prompt")  # of which a line here computes or saves something
PLACES = [
    *(("bert", method) for method in METHODS),
    *(("roberta", method) for method in METHODS),
    ("distilbert", "adalora"),
    ("distilbert", "vera"),
    ("distilbert", "ia3"),
]
TEXTS = ["apple pear plum and cherry", "iron copper the zinc tin with lead and nickel in it", "rhine volga nile loire"]


@pytest.fixture(scope="module")
def trained(run_for):
    return lambda family, method: run_for(family, *(METHODS | OTHERS)[method], "train.epochs=6")


@pytest.mark.parametrize(
    ("family", "method"),
    [*PLACES, *(pytest.param("bert", name, marks=[] if name in OWN_WAY else pytest.mark.slow) for name in OTHERS)],
)
def test_a_run_is_within_what_was_planned_and_predicts_when_loaded(trained, family, method):
    run = Run.load(trained(family, method).folder)
    counts = run.facts.trained_parameters
    assert counts.planned == counts.counted == run.plan_facts.trainable_parameters
    together = run.predict(TEXTS)
    assert [run.predict([text])[0].score for text in TEXTS] == pytest.approx([found.score for found in together], abs=1e-5)
    fast = [found.probabilities for found in run.predict(TEXTS, engine="fast")]
    for found, near in zip(together, fast, strict=True):
        assert [near[name] for name in CLASSES] == pytest.approx([found.probabilities[name] for name in CLASSES], abs=0.1)
    assert run.predict(TEXTS, mc_dropout=3)[0].score < 1


@pytest.mark.parametrize(
    ("family", "method", "rate"),
    [
        ("distilbert", "adalora", "3e-2"),
        ("distilbert", "vera", "1e-1"),
        ("distilbert", "ia3", "3e-2"),
        ("bert", "prefix", "1e-1"),
    ],
)
def test_training_learns(fit_for, family, method, rate):
    settings = ["train.epochs=12", f"train.learning_rate={rate}", "train.encoder_dropout=off"]
    history = fit_for(*METHODS[method], *settings, family=family).fitted.history
    assert history[-1].train_loss < history[0].train_loss / 2


@pytest.mark.parametrize("method", ["vera", "ia3", "prefix"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_fast_settings_train_nearly_the_same(fit_for, method, precision):
    if precision == "bf16" and not has_bf16():
        pytest.skip("this machine has no instructions for bf16")
    settings = [*METHODS[method], "train.encoder_dropout=off", "train.optimizer=sgd", "train.epochs=1"]
    plain = fit_for(*settings, folder="plain").fitted.history[-1]
    fast = fit_for(*settings, f"train.precision={precision}", folder="fast").fitted.history[-1]
    assert fast.train_loss == pytest.approx(plain.train_loss, abs=0 if precision == "fp32" else 0.02)


class Interrupted(Exception):
    pass


@pytest.mark.parametrize(
    "method",
    ["vera", "ia3", "prefix", *(pytest.param(name, marks=[] if name in OWN_WAY else pytest.mark.slow) for name in OTHERS)],
)
def test_an_interrupted_run_ends_in_the_same_weights_to_the_bit(fit_for, method):
    settings = [*(METHODS | OTHERS)[method], "train.evaluate_every=2", "train.keep=9"]

    def interrupt(event):
        if event.kind in ("tick", "step") and event.step == 5:
            raise Interrupted

    whole = fit_for(*settings, folder="whole").weights()
    with pytest.raises(Interrupted):
        fit_for(*settings, folder="cut", listener=interrupt)
    resumed = fit_for(*settings, folder="cut", resume=True).weights()
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(weight, resumed[name]) for name, weight in whole.items())


@pytest.mark.parametrize("method", METHODS)
def test_seeds_start_and_end_elsewhere(fit_for, method):
    one, other = (fit_for(*METHODS[method], f"train.seed={seed}", folder=str(seed)).weights() for seed in (1, 2))
    assert any(not torch.equal(weight, other[name]) for name, weight in one.items())


@pytest.mark.parametrize("method", ["adalora", "vera", "ia3"])
def test_layers_below_the_lowest_adapted_one_are_cached(fit_for, tmp_path, method):
    settings = [*METHODS[method], "adapter.allocate={policy: last-k, k: 1}", "train.encoder_dropout=off"]
    cache = HiddenStatesCache(tmp_path / "cache", limit_bytes=10**9)
    cached = fit_for(*settings, folder="cached", cache=cache)
    assert [event.layer for event in cached.heard("prefix")] == [2, 2]
    plain = fit_for(*settings, "train.prefix_cache=off", folder="plain")
    assert cached.fitted.best.log_loss == pytest.approx(plain.fitted.best.log_loss, abs=1e-2)


def test_a_prefix_has_nothing_to_cache(fit_for, tmp_path):
    cache = HiddenStatesCache(tmp_path / "cache", limit_bytes=10**9)
    trained = fit_for(*METHODS["prefix"], "train.encoder_dropout=off", cache=cache)
    assert trained.heard("prefix") == []


def test_a_text_may_be_as_long_as_the_prefix_leaves_room_for(recipe_for, run_for, tmp_path):
    settings = [*METHODS["prefix"], "train.max_steps=1"]
    refusal = "data.max_length is 61, but .* has 64 positions, 4 of them the prefix's; type --set data.max_length=60"
    with pytest.raises(PlanError, match=refusal):
        train(recipe_for("bert", *settings, "data.max_length=61"), tmp_path / "run")
    run = run_for("bert", *settings, "data.max_length=60")
    assert run.predict(["zinc " * 100]) == run.predict(["zinc " * 58])  # 60 tokens with the two special ones


def test_a_prefix_is_not_exported(trained):
    pytest.importorskip("onnxruntime")
    with pytest.raises(ModelError, match=r"can't be merged into weights, so it runs in torch only; type --engine torch"):
        trained("bert", "prefix").predict(TEXTS, engine="onnx")


def test_adalora_in_4_bits_reloads(run_for):
    pytest.importorskip("bitsandbytes")
    trained = run_for("bert", *METHODS["adalora"], "adapter.quantize=nf4")
    run = Run.load(trained.folder)
    assert sum(run.facts.ranks.values()) == 2 * 18, "pruned to a mean of rank 2"
    assert run.predict(TEXTS) == trained.predict(TEXTS)


def test_a_run_under_a_small_cap_has_the_recipe_that_was_trained(run_for):
    run = run_for(
        "bert", "adapter.rank=max", "adapter.targets=all", "budget={parameters: 400, shrink: true}", "train.max_steps=2"
    )
    assert run.recipe.adapter.method == run.plan_facts.method == "ln-tuning"
    assert run.facts.trained_parameters.counted < 400
    assert Run.load(run.folder).predict(TEXTS) == run.predict(TEXTS)
