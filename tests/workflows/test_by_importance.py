"""Importance: gradients are the model's own, gains are what their definition says, and a run plans again without probing."""

from __future__ import annotations

import json
import os
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from conftest import CLASSES, prepared
from rankwise.data.batches import Padding, collate
from rankwise.data.labelled import read_labelled
from rankwise.errors import PlanError
from rankwise.model.classifier import to_tensors
from rankwise.model.load import load_tokenizer
from rankwise.run.folder import Run
from rankwise.system.cache import cache_folder
from rankwise.workflows.by_importance import KNOWN_RANKS, gains, mean_gradients, with_scores
from rankwise.workflows.train import train

pytestmark = pytest.mark.long

POLICY = ("adapter.allocate={policy: by-importance, rows: 36}", "adapter.rank=max", "budget.parameters=3000")


@pytest.fixture
def own_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RANKWISE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "importance"


def cached(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/entry.json"))


# --------------------------------------------------------------------------------------------------------- gradients


def test_gradients_are_those_of_the_mean_loss_in_the_live_model(built_for, family):
    built = built_for(family, "adapter.method=head")
    train_split, padding = prepared(built.recipe).train, Padding.of(load_tokenizer(built.base))
    weights, found = mean_gradients(built.classifier, train_split, padding=padding)
    model, sites = built.classifier.model, built.plan.encoder.sites
    assert set(found) == {site.address for site in sites}
    for site in sites:
        assert found[site.address].shape == (site.d_out, site.d_in)
        torch.testing.assert_close(weights[site.address], model.get_submodule(site.name).weight.detach())
    model.zero_grad()
    inputs = to_tensors(collate(train_split.tokens, range(len(train_split)), padding))  # all rows in one batch
    cross_entropy(model(**inputs).logits, torch.from_numpy(train_split.labels)).backward()
    for site in sites:
        oracle = model.get_submodule(site.name).weight.grad
        torch.testing.assert_close(
            found[site.address], oracle, rtol=1e-3, atol=1e-5, msg=lambda m, s=site: f"{s.address}: {m}"
        )


def test_a_map_that_nothing_downstream_reads_has_no_gradient(built_for):
    built = built_for("bert", "adapter.method=head")
    with torch.no_grad():
        built.classifier.model.get_submodule("bert.encoder.layer.1.attention.output.dense").weight.zero_()
    padding = Padding.of(load_tokenizer(built.base))
    _, found = mean_gradients(built.classifier, prepared(built.recipe).train, padding=padding)
    silent = {name for name, gradient in found.items() if float(gradient.abs().max()) == 0}
    assert silent == {"1.query", "1.key", "1.value"}


# ------------------------------------------------------------------------------------------------------------- gains


@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (6, 6)])
def test_energy_is_the_squared_singular_values_falling(shape):
    gradient = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    found = gains(torch.zeros(shape), gradient, "energy")
    assert found == pytest.approx((torch.linalg.svdvals(gradient) ** 2).tolist(), rel=1e-4)
    assert list(found) == sorted(found, reverse=True)


def test_sensitivity_is_the_sum_of_weight_times_gradient():
    weight, gradient = torch.tensor([[1.0, -2.0]]), torch.tensor([[3.0, 0.5]])
    assert gains(weight, gradient, "sensitivity") == (4.0,)


# ------------------------------------------------------------------------------------------------------------ scores


@pytest.mark.parametrize("criterion", ["energy", "sensitivity"])
def test_scores_are_shares_of_every_map_and_repeat_exactly(recipe_for, own_cache_folder, criterion):
    recipe = recipe_for("bert", *POLICY, f"adapter.allocate.criterion={criterion}", "adapter.targets=[query]")
    before = torch.get_rng_state()
    first = with_scores(recipe, read_labelled(recipe.data)).adapter.allocate.scores
    assert torch.equal(torch.get_rng_state(), before)
    (entry,) = cached(own_cache_folder)
    entry.unlink()
    assert with_scores(recipe, read_labelled(recipe.data)).adapter.allocate.scores == first
    assert len(first) == 3 * 6  # whatever is targeted, so that another target needs no second probing
    assert sum(map(sum, first.values())) == pytest.approx(1.0, abs=0.01)
    assert {len(values) for values in first.values()} == ({1} if criterion == "sensitivity" else {min(32, KNOWN_RANKS)})


def test_what_is_cached_is_used_and_other_data_or_settings_probe_again(recipe_for, own_cache_folder):
    recipe = recipe_for("bert", *POLICY)
    labelled = read_labelled(recipe.data)
    other = replace(labelled, test=labelled.test.take(np.arange(3)))  # whose training rows are the same
    known = with_scores(recipe, labelled).adapter.allocate.scores
    (entry,) = cached(own_cache_folder)
    facts = {name: [0.5] for name in known}
    crc32 = {entry.name: zlib.crc32(json.dumps(facts).encode())}
    entry.write_text(json.dumps({"facts": facts, "crc32": crc32}), "utf-8")
    assert set(with_scores(recipe, labelled).adapter.allocate.scores.values()) == {(0.5,)}
    assert with_scores(recipe, other).adapter.allocate.scores == known
    fewer = recipe.with_overrides(["adapter.allocate.rows=24"])
    assert with_scores(fewer, labelled).adapter.allocate.scores != known
    assert len(cached(own_cache_folder)) == 3


def test_a_ladder_is_probed_as_its_recipe_without_rungs_is(recipe_for, own_cache_folder):
    recipe = recipe_for("bert", *POLICY, "head.kind=pooled", "head.start=fitted", "rungs=[features,all]")
    scored = with_scores(recipe, read_labelled(recipe.data))
    assert scored.rungs == ("features", "all")
    plain = with_scores(recipe.with_overrides(["rungs=[]"]), read_labelled(recipe.data))
    assert scored.adapter == plain.adapter


@pytest.mark.parametrize("changes", [("adapter.allocate=uniform",), ("adapter.method=head",)])
def test_a_recipe_that_needs_no_scores_is_not_probed(recipe_for, own_cache_folder, changes):
    recipe = recipe_for("bert", *POLICY, *changes)
    assert with_scores(recipe, read_labelled(recipe.data)) is recipe
    assert not own_cache_folder.exists()


# -------------------------------------------------------------------------------------------------------------- runs


def test_a_run_keeps_its_scores_and_plans_again_without_the_cache(recipe_for, own_cache_folder, tmp_path, monkeypatch):
    run = train(recipe_for("bert", *POLICY), tmp_path / "run")
    assert cached(own_cache_folder)
    monkeypatch.setenv("RANKWISE_CACHE", str(tmp_path / "empty"))
    again = Run.load(run.folder)
    assert again.recipe.adapter.allocate.policy == "by-importance"
    assert again.plan().ranks == run.plan_facts.ranks
    assert again.plan().ledger.trainable_parameters == run.facts.trained_parameters.counted < 3000
    assert set(run.plan_facts.scores) == set(again.recipe.adapter.allocate.scores)
    assert run.plan_facts.policy == "by-importance"
    assert again.predict(["apple"])[0].label in CLASSES
    assert not (cache_folder() / "importance").exists()


def test_a_stopped_run_is_resumed_with_the_same_ranks(recipe_for, own_cache_folder, tmp_path):
    recipe = recipe_for("bert", *POLICY)

    def stop(event):
        if event.kind == "evaluation":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "run", listeners=[stop])
    started = json.loads((tmp_path / "run" / "started.json").read_text("utf-8"))
    os.remove(cached(own_cache_folder)[0])
    run = train(recipe, tmp_path / "run", existing="resume")
    assert run.recipe.to_dict()["adapter"] == started["recipe"]["adapter"]


def test_another_encoder_than_the_scores_are_of_is_refused(recipe_for, tiny, own_cache_folder):
    distil = recipe_for("distilbert", *POLICY)
    scored = with_scores(distil, read_labelled(distil.data))  # two layers, where bert has three
    with pytest.raises(PlanError, match=r"no score for '2\.query'.*scores=\{\}"):
        train(scored.with_overrides([f"base={tiny('bert')}"]))
