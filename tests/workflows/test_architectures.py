"""Architectures without a family of their own go the whole way: planned, trained, saved, loaded, predicted with, merged."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from tiny_architectures import save_architecture
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from conftest import CLASSES, VOCABULARY
from rankwise.data.batches import Padding, collate
from rankwise.data.labelled import read_labelled
from rankwise.data.tokens import tokenize
from rankwise.encoders.finding import find
from rankwise.errors import PlanError, RecipeError
from rankwise.model.adapters import merged
from rankwise.model.classifier import in_eval_mode, to_tensors
from rankwise.model.load import quiet
from rankwise.planning.plan import plan
from rankwise.recipe import Recipe
from rankwise.run.folder import Run
from rankwise.workflows.assemble import assemble, training_device
from rankwise.workflows.train import train

TEXTS = ["apple pear and the plum", "iron", "danube near the rhine , very quite some long loire tagus ebro oder don"]
SHAPES = {
    "qwen3": "pooled",  # gated layers, shared keys, a decoder
    "gemma3_text": "stock",  # a head without a bias, windows of attention
    "gpt2": "pooled",  # weights the other way round, positions from a table
    "bart": "slim",  # an encoder and a decoder, a head of two layers
    "t5": "stock",  # positions of relation alone
    "nomic_bert": "pooled",
}


def logits(classifier, tokenizer, *, left=False, texts=TEXTS):
    padding = Padding.of(tokenizer)
    batch = collate(
        tokenize(tokenizer, texts, max_length=24), range(len(texts)), Padding(padding.token, padding.segment, left=left)
    )
    with in_eval_mode(classifier.model):
        return classifier.logits(to_tensors(batch))


@pytest.mark.parametrize("model_type", SHAPES)
def test_an_architecture_goes_the_whole_way(model_type, recipe_for, tmp_path):
    recipe = recipe_for(model_type, f"head.kind={SHAPES[model_type]}", "train.epochs=1", "evaluate.baselines=false")
    run = train(recipe, tmp_path / "run", progress=False)  # which loads what it saved, and holds it against what it trained
    planned = run.plan_facts.trainable_parameters
    assert planned == run.facts.trained_parameters.planned == run.facts.trained_parameters.counted
    again = Run.load(run.folder)
    first, second = run.classifier(), again.classifier()
    tokenizer = AutoTokenizer.from_pretrained(run.folder)
    assert tokenizer.padding_side == "right"
    assert torch.equal(logits(first, tokenizer), logits(second, tokenizer))
    alone = torch.cat([logits(first, tokenizer, texts=[text]) for text in TEXTS])
    torch.testing.assert_close(logits(first, tokenizer), alone, rtol=1e-4, atol=1e-4)
    whole = merged(first)
    inputs = to_tensors(collate(tokenize(tokenizer, TEXTS, max_length=24), range(3), Padding.of(tokenizer)))
    with torch.inference_mode():
        torch.testing.assert_close(whole.eval()(**inputs).logits, logits(first, tokenizer), rtol=1e-4, atol=1e-4)
    assert not any("padded" in note for note in run.facts.notes)
    assert [one.label for one in again.predict(TEXTS)] == [CLASSES[place] for place in alone.argmax(1).tolist()]


def test_a_run_says_where_answers_go_by_the_padding(recipe_for, tmp_path):
    recipe = recipe_for("fnet", "train.epochs=1", "evaluate.baselines=false")
    run = train(recipe, tmp_path / "run", progress=False)
    (note,) = (note for note in run.facts.notes if "padded" in note)
    assert note.startswith("tiny-fnet (fnet) sees what texts are padded with: a logit changes by up to ")
    assert note.endswith("--batch-size 1")


# --------------------------------------------------------------------------------------------------------- decoders


@pytest.fixture
def bare_decoder(tmp_path):
    """A decoder whose tokenizer puts nothing around a text and has no padding token, as published ones."""

    def make(model_type):
        folder = save_architecture(model_type, tmp_path / "base", VOCABULARY, pad_token_id=None)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        tokenizer.backend_tokenizer.post_processor = None
        for name in ("pad_token", "cls_token", "sep_token", "mask_token"):
            setattr(tokenizer, name, None)
        tokenizer.save_pretrained(folder)
        return folder

    return make


@pytest.mark.parametrize("head", ["pooled", "stock"])
@pytest.mark.parametrize("model_type", ["qwen3", "llama", "mistral", "smollm3", "olmo2"])
def test_a_decoder_reads_the_last_token_of_a_text_on_either_side_of_the_padding(model_type, head, bare_decoder, recipe_for):
    recipe = recipe_for("bert", f"base={bare_decoder(model_type)}", f"head.kind={head}")
    job = assemble(recipe, read_labelled(recipe.data), training_device())
    assert job.plan.encoder.reads == "last"
    assert job.tokenizer.pad_token_id == job.tokenizer.eos_token_id == job.classifier.model.config.pad_token_id
    alone = torch.cat([logits(job.classifier, job.tokenizer, texts=[text]) for text in TEXTS])
    for left in (False, True):
        padded = logits(job.classifier, job.tokenizer, left=left)
        torch.testing.assert_close(padded, alone, rtol=1e-4, atol=1e-4)
    assert torch.isfinite(logits(job.classifier, job.tokenizer, texts=["", "iron"])).all(), "an empty text is its padding"


def test_a_slim_head_of_a_decoder_is_one_layer_without_a_bias(tiny):
    encoder = find(str(tiny("qwen3")), classes=3)
    overrides = [f"base={tiny('qwen3')}", "head.kind=slim", "budget.parameters=null", "data.max_length=24"]
    slim = plan(Recipe(name="tiny").with_overrides(overrides), classes=3, encoder=encoder)
    assert slim.ledger.sections()["head"] == 3 * 32
    pooled = plan(Recipe(name="tiny").with_overrides([*overrides, "head.kind=pooled"]), classes=3, encoder=encoder)
    assert (pooled.encoder.reads, pooled.ledger.sections()["head"]) == ("last", 3 * 32 + 3)


def test_the_adapter_of_a_decoder_loads_in_plain_peft_with_its_head(recipe_for, tmp_path):
    from peft import PeftModel

    recipe = recipe_for("gemma3_text", "head.kind=stock", "train.epochs=1", "evaluate.baselines=false")
    run = train(recipe, tmp_path / "run", progress=False)
    with quiet():
        base = AutoModelForSequenceClassification.from_pretrained(recipe.base, num_labels=3, dtype=torch.float32)
        plain = PeftModel.from_pretrained(base, str(run.folder)).eval()
    tokenizer = AutoTokenizer.from_pretrained(run.folder)
    inputs = dict(tokenizer(TEXTS, padding=True, return_tensors="pt"))
    inputs.pop("token_type_ids", None)
    with torch.inference_mode():
        torch.testing.assert_close(plain(**inputs).logits, logits(run.classifier(), tokenizer), rtol=1e-5, atol=1e-5)
    assert any("score" in name for name in load_file(run.folder / "adapter_model.safetensors"))


def test_a_number_is_not_learnt_by_a_head_without_a_bias(recipe_for, tmp_path):
    data = tmp_path / "numbers.csv"
    data.write_text("text,label\n" + "".join(f"apple row{n},{n / 7}\n" for n in range(60)), "utf-8")
    recipe = recipe_for("qwen3", "head.kind=stock", f"data.source={data}", "data.task=regression")
    with pytest.raises(RecipeError, match=r"the head of tiny-qwen3 \(qwen3\) has no bias.*head\.kind=pooled"):
        train(recipe, tmp_path / "run", progress=False)


@pytest.mark.parametrize("model_type", ["bart", "t5", "funnel"])
def test_a_pooled_head_is_refused_where_no_hidden_state_stands_for_each_token(model_type, tiny):
    overrides = [f"base={tiny(model_type)}", "budget.parameters=null", "data.max_length=24", "adapter.targets=all"]
    with pytest.raises(PlanError, match=r"no pooled head can stand on them; type --set head\.kind=slim"):
        plan(Recipe(name="tiny").with_overrides([*overrides, "head.kind=pooled"]), classes=3)
    assert not plan(Recipe(name="tiny").with_overrides(overrides), classes=3).encoder.pools, "slim by itself"


def test_adapters_without_a_place_are_refused_and_biases_train(tiny):
    overrides = [f"base={tiny('ibert')}", "budget.parameters=null", "data.max_length=24"]
    with pytest.raises(PlanError, match=r"has no linear layers that an adapter could stand in; .*adapter\.method=bias"):
        plan(Recipe(name="tiny").with_overrides(overrides), classes=3)
    planned = plan(Recipe(name="tiny").with_overrides([*overrides, "adapter.method=bias"]), classes=3)
    assert planned.ledger.sections()["bias"]


@pytest.mark.parametrize("quantize", ["none", "nf4"])
def test_the_decoders_recipe_fits_its_cap_on_the_base_that_it_names(quantize):
    planned = plan(Recipe.load("kaggle-decoder", [f"adapter.quantize={quantize}"]), classes=4)
    assert (planned.encoder.reads, len(planned.ranks), planned.notes) == ("last", 7 * 28, ())
    assert planned.ledger.trainable_parameters == 10_096_644 < planned.ledger.budget
