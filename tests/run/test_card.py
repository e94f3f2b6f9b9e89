"""The code on a model card runs for any base and gives the run's own scores, under the run's own classes."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from pipelines import check_pipeline
from transformers import AutoConfig, AutoModelForMaskedLM, AutoModelForSequenceClassification, pipeline

from conftest import CLASSES, save_tiny
from rankwise.workflows.train import train

pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")]

PAIR = ("apple and iron near the rhine", "zinc and the very long nile, " * 6)  # of which the second is cut
EXAMPLE = ("The first text of a pair.", "The second text.")
MASKED = ["bert", "albert", "distilbert", "electra", "deberta-v2", "roberta", "mpnet", "modernbert"]
TEXT = "apple and pear near the rhine, " + "under some very long river of iron and steel " * 4  # more than is read
HEADS = {
    "no head": None,
    "four classes": {"num_labels": 4},
    "the same count under other names": {"id2label": {0: "joy", 1: "fear", 2: "anger"}},
    "several labels at once": {"num_labels": 3, "problem_type": "multi_label_classification"},
    "one number": {"num_labels": 1, "problem_type": "regression"},
}
CONFIGURED = {
    "tuples": {"return_dict": False, "torchscript": True},
    "all hidden states": {"output_hidden_states": True, "output_attentions": True},
    "half precision": {"dtype": "float16"},
    "names without their numbers": {"label2id": {"joy": 0, "fear": 1}, "id2label": None},
}


def base_with(head, folder):
    """A tiny encoder with a head that it was published with, or with none."""
    save_tiny("bert", folder)
    if head is not None:
        ids = {"label2id": {name: number for number, name in head["id2label"].items()}} if "id2label" in head else {}
        AutoModelForSequenceClassification.from_pretrained(folder, **head, **ids).save_pretrained(folder)
    return folder


def masked_language_model(family, folder):
    """A tiny encoder as run_mlm.py saves one: under its pretraining head, without a pooler."""
    save_tiny(family, folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        AutoModelForMaskedLM.from_config(AutoConfig.from_pretrained(folder)).save_pretrained(folder)
    return folder


def ran(run, base):
    """What the card's code for others than rankwise leaves behind when it has run, where a base is found by its name."""
    code = "\n".join(re.findall(r"```python\n(.*?)```", (run.folder / "README.md").read_text("utf-8"), re.DOTALL)[1:])
    for example, text in (("A text to classify.", TEXT), *zip(EXAMPLE, PAIR, strict=True)):
        code = code.replace(example, text)
    code = code.replace('"path/to/this/folder"', repr(str(run.folder)))
    code = code.replace(f'from_pretrained("{Path(base).name}"', f'from_pretrained("{base}"')
    scope: dict[str, object] = {}
    with contextlib.chdir(Path(base).parent):
        exec(code.replace("\npipeline(", "\nclassify = pipeline("), scope)
    return scope


def scores_of(scope, given=TEXT):
    if "classify" in scope:
        return {entry["label"]: entry["score"] for entry in scope["classify"](given, top_k=None)}
    return dict(zip(scope["about"]["classes"], scope["scores"][0].tolist(), strict=True))


def check_the_code(run, base):
    """The card's code gives our scores, by our names."""
    scope = ran(run, base)
    expected = run.predict([TEXT])[0].probabilities
    assert scores_of(scope) == pytest.approx(expected, abs=1e-5)
    if "SentenceTransformer" in scope:
        by_one_call = torch.tensor(scope["logits"])[0].softmax(-1).tolist()
        assert by_one_call == pytest.approx(list(expected.values()), abs=1e-5)
    if "model" in scope:
        assert scope["model"].config.id2label == dict(enumerate(CLASSES))


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("head", HEADS)
def test_the_code_runs_for_a_base_with_any_head_and_gives_our_scores(recipe_for, tmp_path, head, method):
    base = base_with(HEADS[head], tmp_path / "published")
    run = train(recipe_for("bert", f"base={base}", f"adapter.method={method}", "train.max_steps=3"), tmp_path / "run")
    check_the_code(run, base)


@pytest.mark.parametrize("changes", ["head.kind=pooled", "adapter.method=prefix", "adapter.method=head"])
def test_the_code_of_other_kinds_of_run_gives_our_scores(recipe_for, tmp_path, changes):
    base = base_with(HEADS["several labels at once"], tmp_path / "published")
    run = train(recipe_for("bert", f"base={base}", changes, "train.max_steps=3"), tmp_path / "run")
    check_the_code(run, base)


@pytest.mark.parametrize("head", ["stock", "pooled"])
@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
def test_the_code_of_a_run_of_pairs_classifies_a_pair(recipe_for, tmp_path, rows, family, method, head):
    base = save_tiny(family, tmp_path / "published")
    texts = list(zip(rows.texts, rows.texts[1:] + rows.texts[:1], strict=True))
    changes = [f"base={base}", f"adapter.method={method}", f"head.kind={head}", "train.max_steps=3"]
    run = train(recipe_for(family, *changes), tmp_path / "run", texts=texts, labels=rows.labels, progress=False)
    scope, expected = ran(run, base), run.predict([PAIR])[0].probabilities
    assert scores_of(scope, dict(zip(("text", "text_pair"), PAIR, strict=True))) == pytest.approx(expected, abs=1e-5)
    assert ("SentenceTransformer" in scope) == (head == "pooled")
    if head == "pooled":
        assert torch.tensor(scope["logits"])[0].softmax(-1).tolist() == pytest.approx(list(expected.values()), abs=1e-5)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_the_code_of_a_run_that_reads_pairs_apart_classifies_a_pair_and_gives_a_mean(recipe_for, tmp_path, rows, method):
    base = save_tiny("bert", tmp_path / "published")
    texts = list(zip(rows.texts, rows.texts[1:] + rows.texts[:1], strict=True))
    changes = [f"base={base}", f"adapter.method={method}", "head={kind: pooled, pooling: apart}", "train.max_steps=3"]
    run = train(recipe_for("bert", *changes), tmp_path / "run", texts=texts, labels=rows.labels, progress=False)
    scope, expected = ran(run, base), run.predict([PAIR])[0].probabilities
    assert scores_of(scope) == pytest.approx(expected, abs=1e-5)
    assert torch.allclose(torch.tensor(scope["u"]), scope["means"][0][0], atol=1e-5)


@pytest.mark.parametrize("head", ["stock", "pooled"])
@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("key", CONFIGURED)
def test_what_else_a_bases_configuration_says_changes_no_score(recipe_for, tmp_path, key, method, head):
    base = base_with(None, tmp_path / "published")
    path = base / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | CONFIGURED[key]), "utf-8")
    changes = [f"base={base}", f"adapter.method={method}", f"head.kind={head}", "data.truncation_side=left"]
    run = train(recipe_for("bert", *changes, "train.max_steps=1"), tmp_path / "run")
    check_the_code(run, base)


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors:UserWarning")
@pytest.mark.parametrize("method", ["full", "head", "lora", "ia3"])
def test_a_pooled_head_is_nothing_that_a_pipeline_puts_a_random_one_in_place_of(recipe_for, tmp_path, monkeypatch, method):
    base = base_with(HEADS["the same count under other names"], tmp_path / "published")
    changes = [f"base={base}", "head.kind=pooled", f"adapter.method={method}", "train.max_steps=1"]
    run = train(recipe_for("bert", *changes), tmp_path / "run")
    monkeypatch.chdir(tmp_path)  # where an adapter finds its base by its name
    with pytest.raises(ValueError, match=r"zero-size array|not found in the base model"):
        pipeline("text-classification", str(run.folder))(TEXT)
    assert 'pipeline("text-classification", …)` ends in an error' in (run.folder / "README.md").read_text("utf-8")


@pytest.mark.parametrize("head", HEADS)
def test_a_climb_that_trains_the_whole_encoder_saves_what_a_pipeline_answers_alike(recipe_for, tmp_path, head):
    base = base_with(HEADS[head], tmp_path / "published")
    climb = ["head.kind=auto", "head.start=fitted", "rungs=[features,all]", "adapter.method=full", "train.max_steps=3"]
    run = train(recipe_for("bert", f"base={base}", *climb), tmp_path / "run")
    check_pipeline(run)


@pytest.mark.parametrize("method", ["full", "head", "bias"])
def test_what_is_saved_says_one_class_a_text_whatever_the_base_says(recipe_for, tmp_path, method):
    base = base_with(HEADS["several labels at once"], tmp_path / "published")
    run = train(recipe_for("bert", f"base={base}", f"adapter.method={method}", "train.max_steps=1"), tmp_path / "run")
    config = json.loads((run.folder / "config.json").read_text("utf-8"))
    assert config["problem_type"] == "single_label_classification"
    assert config["id2label"] == {str(number): name for number, name in enumerate(CLASSES)}


@pytest.mark.parametrize("family", MASKED)
@pytest.mark.parametrize(("kind", "method"), [("stock", "lora"), ("slim", "lora"), ("stock", "full"), ("slim", "full")])
def test_a_masked_language_model_is_a_base_whose_missing_layer_is_in_what_is_saved(
    recipe_for, tmp_path, family, kind, method
):
    base = masked_language_model(family, tmp_path / "adapted")
    changes = [f"base={base}", f"head.kind={kind}", f"adapter.method={method}", "train.max_steps=3"]
    run = train(recipe_for(family, *changes), tmp_path / "run")
    assert run.facts.trained_parameters.planned == run.facts.trained_parameters.counted
    assert scores_of(ran(run, base)) == pytest.approx(run.predict([TEXT])[0].probabilities, abs=1e-5)
    shutil.rmtree(tmp_path / "run")
