"""A text read in windows is trained, scored, predicted and exported as one: its logits are the mean of its windows'."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from conftest import prepared, save_tiny
from rankwise.data.batches import Padding, collate, training_batches
from rankwise.inference.features import head_features
from rankwise.model.classifier import to_tensors
from rankwise.model.hidden_cache import HiddenStatesCache
from rankwise.model.load import load_tokenizer
from rankwise.recipe import Recipe
from rankwise.run.folder import Run
from rankwise.training.validation import Validation
from rankwise.workflows.train import train

WINDOWS = ["data.max_length=8", "data.windows=3"]
SGD = ["train.optimizer=sgd", "train.schedule=constant", "train.clip_norm=null", "train.learning_rate=0.5"]
LONG = "the apple of iron and zinc near the pear under very quite some tin"


@pytest.fixture(scope="module")
def still(tmp_path_factory):
    """A BERT without any dropout, so that two passes over the same rows agree."""
    folder = tmp_path_factory.mktemp("still") / "tiny-still"
    return f"base={save_tiny('bert', folder, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)}"


def alone(model, tokens, padding, text):
    """The mean of the logits (C,) that transformers' own forward gives each window of a text by itself."""
    windows = tokens.windows(np.array([text]))
    return torch.stack([model(**to_tensors(collate(tokens, [window], padding))).logits[0] for window in windows]).mean(0)


@pytest.mark.parametrize("head", ["slim", "pooled"])
def test_an_update_follows_the_gradient_of_the_texts_loss(fit_for, built_for, still, head):
    settings = [still, *SGD, *WINDOWS, f"head.kind={head}", "train.max_steps=1"]
    trained = fit_for(*settings)
    oracle = built_for(*["bert", *settings])
    spec, data, padding = oracle.recipe.train, prepared(oracle.recipe), Padding.of(load_tokenizer(oracle.base))
    rows = training_batches(data.train.tokens.text_lengths, spec.batch_size, seed=spec.seed, epoch=0)[0]
    assert data.train.tokens.window_counts[rows].max() > 1, "some texts of the update have windows"
    model = oracle.classifier.model.train()
    logits = torch.stack([alone(model, data.train.tokens, padding, row) for row in rows])
    cross_entropy(logits, torch.from_numpy(data.train.labels[rows])).backward()
    expected = {
        name: (weight - spec.learning_rate * weight.grad).detach() for name, weight in oracle.classifier.trainable().items()
    }
    found = trained.weights()
    assert max(float((found[name] - expected[name]).abs().max()) for name in expected) < 1e-6


@pytest.mark.parametrize("more", [[], ["train.contrast=1"]], ids=["plain", "in pairs"])
@pytest.mark.parametrize("micro", [1, 3, 5])
def test_a_micro_batch_holds_so_many_windows_and_no_text_is_torn(fit_for, still, micro, more):
    settings = [still, *SGD, *WINDOWS, *more, "train.epochs=1", "train.learning_rate=0.1", f"train.micro_batch_size={micro}"]
    widths = []

    def watch(job):
        forward = job.classifier.forward
        run = forward.run
        forward.run = lambda hidden, *args, **kwargs: widths.append(len(hidden)) or run(hidden, *args, **kwargs)

    cut = fit_for(*settings, on_built=watch)
    tokens = cut.data.train.tokens
    in_training = widths[: len(widths) - 1]
    assert max(in_training) <= max(micro, 3)
    if not more:  # pairs are those of a micro-batch, so there the weights are others
        whole = fit_for(*settings[:-1], folder="whole")
        found, expected = cut.weights(), whole.weights()
        assert max(float((found[name] - expected[name]).abs().max()) for name in expected) < 1e-5
        assert sum(in_training) == len(tokens)


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("layers", ["all", "head"])
def test_scores_and_features_are_of_texts_whatever_is_cached(fit_for, still, tmp_path, layers, cached):
    where = ["adapter.method=head"] if layers == "head" else ["adapter.allocate.policy=last-k", "adapter.allocate.k=1"]
    settings = [still, *WINDOWS, *where, "head.kind=pooled", "head.start=fitted", "train.encoder_dropout=off"]
    cache = HiddenStatesCache(tmp_path / "cache", limit_bytes=10**8) if cached else None
    trained = fit_for(*settings, "train.epochs=4", "train.prefix_cache=auto", cache=cache)
    job = trained.built
    assert (len(trained.heard("prefix")) > 0) == cached
    validation = job.data.validation
    model = job.classifier.model.eval()
    with torch.inference_mode():
        expected = torch.stack([alone(model, validation.tokens, job.padding, row) for row in range(len(validation))]).numpy()
        found = Validation(job.classifier, job.padding, 4).logits(validation.tokens)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    right = float((expected.argmax(-1) == validation.labels).mean())
    assert trained.fitted.best.accuracy == pytest.approx(right, abs=0.5 / len(validation))
    features = head_features(job.classifier, validation.tokens, np.array([3, 1]), padding=job.padding, precision="fp32")
    last = job.classifier.last_projection
    answers = features @ last.weight.detach().numpy().T + last.bias.detach().numpy()
    np.testing.assert_allclose(answers, expected[[3, 1]], atol=1e-5)


@pytest.fixture(scope="module")
def run(run_for):
    return run_for("bert", *WINDOWS, "head.kind=pooled")


@pytest.mark.parametrize("engine", ["torch", "onnx"])
def test_a_run_reads_a_longer_text_whole(run, engine):
    if engine == "onnx":
        pytest.importorskip("onnxscript")
    run = Run.load(run.folder)
    short, long = run.predict(["apple pear"], engine=engine)[0], run.predict([LONG], engine=engine)[0]
    assert run.predict([f"{LONG} don"], engine=engine)[0] != long, "its end is read"
    tokens = run.predictor_on("torch").tokenizer(LONG)["input_ids"]
    assert len(tokens) > 8
    both = run.predict([LONG, "apple pear", LONG], engine=engine)
    assert [one.label for one in both] == [long.label, short.label, long.label]
    assert [one.score for one in both] == pytest.approx([long.score, short.score, long.score], abs=1e-6)
    assert [one.label for one in run.predict([LONG] * 3, engine=engine, mc_dropout=0)] == [long.label] * 3


def test_windows_stay_with_the_run(run):
    assert json.loads((run.folder / "preprocessing.json").read_text("utf-8"))["windows"] == 3
    assert run.recipe.data.windows == 3
    averaged = run.predict([LONG], mc_dropout=2)[0]
    assert sum(averaged.probabilities.values()) == pytest.approx(1)


def test_a_ladder_climbs_over_windows(recipe_for, tmp_path):
    recipe = recipe_for("bert", *WINDOWS, "head.kind=pooled", "head.start=fitted", "rungs=[features, all]")
    run = train(recipe, tmp_path / "run")
    assert [rung["rung"] for rung in run.facts["ladder"]["rungs"]] == ["features", "all"]
    assert run.predict([LONG])


def test_auto_reads_long_texts_in_windows_and_published_recipes_cut_them():
    assert Recipe.load("auto").data.windows > 1
    assert Recipe.load("distilbert-lora").data.windows == 1
