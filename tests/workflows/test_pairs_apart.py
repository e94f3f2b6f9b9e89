"""A run that reads both texts of a pair apart gives what each text's own mean gives, wherever it is asked."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModel, AutoTokenizer, BertTokenizerFast

from conftest import separable
from rankwise.data.batches import collate
from rankwise.data.labelled import read_labelled
from rankwise.encoders.base import locate
from rankwise.errors import PlanError, RecipeError
from rankwise.inference.gradients import CLOSE, CLOSE_SHARE
from rankwise.model.classifier import in_eval_mode, to_tensors
from rankwise.model.hidden_cache import HiddenStatesCache
from rankwise.model.load import load_tokenizer, reading_apart
from rankwise.planning.plan import settled
from rankwise.recipe import Recipe
from rankwise.run.folder import Run
from rankwise.system.device import Device
from rankwise.workflows.assemble import assemble
from rankwise.workflows.train import train

PAIRS = [
    ("the apple of iron near the rhine and some copper", "a pear"),
    ("zinc", "under the very quite long danube , with tin and lead and the fig !"),
    ("plum and fig", "plum and fig"),
    ("", "the nile"),
]
APART = ["head.kind=pooled", "head.pooling=apart"]
TOLD_APART = ["bert", "electra"]


@pytest.fixture(scope="module")
def pair_file(tmp_path_factory):
    """60 rows whose label is the class of the second text; the first is of any."""
    first, second = separable(60, seed=1), separable(60, seed=2)
    rows = zip(first.texts[1:] + first.texts[:1], second.texts, second.labels, strict=True)
    path = tmp_path_factory.mktemp("pairs") / "pairs.csv"
    path.write_text("\n".join(map(",".join, [("premise", "hypothesis", "label"), *rows])) + "\n", "utf-8")
    return path


@pytest.fixture
def apart(recipe_for, pair_file, tmp_path):
    """A run that reads pairs apart, with dotted overrides as strings."""

    def make(family="bert", *overrides):
        recipe = recipe_for(family, f"data.source={pair_file}", *APART, *overrides)
        return train(recipe, tmp_path / "run", progress=False)

    return make


def told(run, **how):
    """The probabilities (N, C) that a run gives pairs."""
    return np.array([list(prediction.probabilities.values()) for prediction in run.predict(PAIRS, **how)])


def without_rankwise(folder):
    """The same from a folder with the whole encoder, each text read alone, by transformers and the head that lies beside."""
    tokenizer, encoder = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    means = []
    for side in map(list, zip(*PAIRS, strict=True)):
        inputs = tokenizer(side, return_tensors="pt", padding=True)
        mask = inputs["attention_mask"][..., None]
        with torch.inference_mode():
            means.append((encoder(**inputs)[0] * mask).sum(1) / mask.sum(1))
    (u, v), head = means, load_file(folder / "2_Dense/model.safetensors")
    read = torch.cat([(u - v).abs(), u * v], -1)
    return nn.functional.linear(read, head["linear.weight"], head["linear.bias"]).softmax(-1).numpy()


@pytest.mark.parametrize("family", TOLD_APART)
def test_a_run_gives_what_the_means_of_both_texts_alone_give(apart, family):
    run = apart(family, "adapter.method=full", "budget.parameters=null")
    np.testing.assert_allclose(told(run), without_rankwise(run.folder), atol=1e-5)
    assert run.facts.trained_parameters.planned == run.facts.trained_parameters.counted
    assert [entry["path"] for entry in json.loads((run.folder / "modules.json").read_text("utf-8"))] == ["", "1_Pooling"]


@pytest.mark.parametrize("family", TOLD_APART)
def test_adapters_train_on_pairs_read_apart_and_reload_to_the_bit(apart, family):
    run = apart(family)
    np.testing.assert_array_equal(told(Run.load(run.folder)), told(run))
    assert run.classifier().plan.ledger.trainable_parameters == run.facts.trained_parameters.counted
    assert run.classifier().last_projection.in_features == 2 * run.classifier().plan.encoder.hidden


@pytest.mark.parametrize("family", TOLD_APART)
def test_the_fast_path_lets_neither_text_see_the_other(built_for, pair_file, family):
    built = built_for(family, f"data.source={pair_file}", *APART)
    inputs = to_tensors(collate(built.data.train.tokens, range(6), built.padding))
    classifier = built.classifier
    with in_eval_mode(classifier.model):
        found = classifier.logits(inputs)
        torch.testing.assert_close(found, classifier.model(**inputs).logits, rtol=1e-4, atol=1e-5)
        embedded = classifier.forward.embed(inputs)
        kept = classifier.forward.run(embedded, inputs, precision="fp32", stop=1)
        second = (inputs["token_type_ids"] == 1)[..., None]
        others = classifier.forward.run(torch.where(second, 0.0, embedded), inputs, precision="fp32", stop=1)
    first = (inputs["attention_mask"] == 1)[..., None] & ~second
    torch.testing.assert_close(torch.where(first, kept, 0.0), torch.where(first, others, 0.0))


def test_an_export_reads_texts_apart_as_torch_does(apart):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    run = apart("bert")
    np.testing.assert_allclose(told(run, engine="onnx"), told(run), atol=1e-4)


def test_a_merged_run_gives_the_same_without_rankwise(apart, tmp_path):
    run = apart("bert")
    np.testing.assert_allclose(without_rankwise(run.merge(tmp_path / "merged")), told(run), atol=1e-4)


def test_frozen_states_of_texts_read_apart_are_not_those_of_texts_read_together(fit_for, pair_file, tmp_path):
    cache = HiddenStatesCache(tmp_path / "cache", limit_bytes=10**8)
    settings = ["train.encoder_dropout=off", "adapter.method=head", "head.kind=pooled", f"data.source={pair_file}"]
    fitted = fit_for(*settings, "head.pooling=apart", cache=cache)
    again = fit_for(*settings, "head.pooling=apart", folder="again", cache=cache)
    together = fit_for(*settings, folder="other", cache=cache)
    reused = [[event.reused for event in each.heard("prefix")] for each in (fitted, again, together)]
    assert reused == [[False, False], [True, True], [False, False]]


def test_a_fitted_head_of_pairs_read_apart_makes_no_update(apart):
    run = apart("bert", "head.start=fitted", "rungs=[features]")
    assert run.facts.steps == 0
    np.testing.assert_allclose(told(run), without_rankwise(run.folder), atol=1e-5)


def test_the_words_of_both_texts_are_told_with_what_each_adds(apart):
    run = apart("bert")
    for pair, found in zip(PAIRS, run.explain(PAIRS), strict=True):
        for side in (0, 1):
            assert [word.word for word in found.words if word.side == side] == pair[side].split()
        assert abs(found.rest) <= max(CLOSE, CLOSE_SHARE * abs(found.margin - found.hidden_margin)) + 1e-6


def test_a_saved_tokenizer_gives_both_texts_their_own_special_tokens_and_is_read_back_so(tiny, tmp_path):
    original = load_tokenizer(locate(str(tiny("bert"))))
    tokenizer = reading_apart(original)
    tokenizer.save_pretrained(tmp_path)
    alone = [original(side)["input_ids"] for side in ("the apple", "a pear")]
    for one in (tokenizer, AutoTokenizer.from_pretrained(tmp_path)):
        encoded = one("the apple", "a pear")
        assert encoded["input_ids"] == alone[0] + alone[1]
        assert encoded["token_type_ids"] == [0] * len(alone[0]) + [1] * len(alone[1])
        assert one("the apple")["input_ids"] == alone[0]
    assert not issubclass(type(tokenizer), BertTokenizerFast)


@pytest.mark.parametrize(
    ("base", "pairs", "expected"),
    [
        ("minilm", 2_000, "apart"),
        ("minilm", 2_001, "auto"),
        ("minilm", 0, "auto"),
        ("bert-base-uncased", 100, "auto"),  # no sentence encoder
        ("all-mpnet-base-v2", 100, "auto"),  # which tells no segments
    ],
)
def test_a_sentence_encoder_reads_few_pairs_apart_where_nothing_is_said(base, pairs, expected):
    recipe = Recipe.load("auto", [f"base={base}"])
    assert settled(recipe, pairs=pairs).head.pooling == expected
    assert settled(recipe.with_overrides(["head.pooling=mean"]), pairs=pairs).head.pooling == "mean"


def test_a_frozen_sentence_encoder_reads_any_number_of_pairs_apart():
    recipe = Recipe.load("auto").rung("features")
    assert settled(recipe, pairs=100_000).head.pooling == "apart"
    assert settled(recipe).head.pooling == "auto"


@pytest.fixture
def sentence_base(tiny, tmp_path):
    """A base that says that it was trained with the mean."""
    base = tmp_path / "base"
    shutil.copytree(tiny("bert"), base)
    (base / "1_Pooling").mkdir()
    (base / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}', "utf-8")
    return base


def test_of_many_pairs_the_frozen_encoder_reads_each_text_and_what_adapts_both(
    sentence_base, pair_file, tmp_path, monkeypatch
):
    monkeypatch.setattr("rankwise.planning.plan.FEW_PAIRS", 10)
    changes = [f"base={sentence_base}", f"data.source={pair_file}", "data.max_length=16", "train.max_steps=2"]
    names, *rows = pair_file.read_text("utf-8").splitlines()
    held = tmp_path / "held.csv"  # in place of folds, in which every number of rows is small
    held.write_text("\n".join([names, *(row.replace(" ", " some ", 1) for row in rows[:30])]), "utf-8")
    changes += [f"data.validation={held}", "evaluate.baselines=false"]
    recipe = Recipe.load("auto", [*changes, "rungs=[features, top, all]"])
    run = train(recipe, tmp_path / "run", progress=False)
    assert [(one.rung, one.trained_parameters) for one in run.facts.ladder.rungs] == [
        ("features", 2 * 32 * 3 + 3),  # |u - v| and u * v
        ("all", run.facts.ladder.rungs[1].trained_parameters),
    ]
    alone = train(Recipe.load("auto", [*changes, "rungs=[all]"]), tmp_path / "alone", progress=False)
    assert alone.plan().encoder.reads == "mean"
    assert alone.facts.trained_parameters.counted == run.facts.ladder.rungs[1].trained_parameters
    assert train(recipe.rung("features"), tmp_path / "frozen", progress=False).plan().encoder.reads == "apart"
    forecast = assemble(recipe, read_labelled(recipe.data), Device.cpu()).forecast
    assert list(forecast.rungs) == ["features", "all"]


def test_what_reads_few_pairs_is_settled_once_for_the_plan_the_rungs_and_the_run(sentence_base, pair_file, tmp_path):
    base = sentence_base
    changes = [f"base={base}", f"data.source={pair_file}", "data.max_length=16", "train.max_steps=2", "rungs=[features, all]"]
    recipe = Recipe.load("auto", changes)
    run = train(recipe, tmp_path / "run", progress=False)
    assert run.recipe.head.pooling == "apart"
    assert any("each text of a pair is read on its own" in note for note in run.plan().notes)
    labelled = read_labelled(recipe.data, by_folds=True)
    assert assemble(recipe, labelled, Device.cpu()).plan.encoder.reads == "apart"
    np.testing.assert_allclose(told(Run.load(run.folder)), told(run))


@pytest.mark.parametrize("family", ["roberta", "distilbert", "albert"])
def test_encoders_that_tell_no_segments_are_refused(recipe_for, pair_file, family, tmp_path):
    with pytest.raises(PlanError, match="does not tell the two texts of a pair by segment ids, as BERT and ELECTRA do"):
        train(recipe_for(family, f"data.source={pair_file}", *APART), tmp_path / "run", progress=False)


def test_single_texts_are_refused(recipe_for, tmp_path):
    with pytest.raises(RecipeError, match=r"the data has single texts; leave it out, or .*--set data.text_pair=COLUMN"):
        train(recipe_for("bert", *APART), tmp_path / "run", progress=False)
