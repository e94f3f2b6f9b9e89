"""The run folder holds what it promises, notices what was changed, and names nothing of the machine it was made on."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from peft import PeftModel
from pipelines import check_pipeline
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from typer.testing import CliRunner
from weight_forms import pickle_weights, shard

from conftest import CLASSES, save_tiny
from rankwise.cli.app import app
from rankwise.encoders.base import Base, locate
from rankwise.errors import ModelError, ReloadMismatch, RunError
from rankwise.model import adapters
from rankwise.model.load import tokenizer_in
from rankwise.recipe import Recipe
from rankwise.run.card import model_card
from rankwise.run.export.onnx import probe_batches
from rankwise.run.folder import Run
from rankwise.run.format import CleanScores, ScoredRows
from rankwise.run.manifest import write_manifest
from rankwise.run.saving import Kept, _check_reload, portable, save
from rankwise.run.verdict import verdict
from rankwise.stats.intervals import Interval
from rankwise.system.cache import cache_folder
from rankwise.system.files import sha256, write_json
from rankwise.workflows.train import train

TEXTS = ["apple &amp; pear", "iron   zinc over the copper", "", "the rhine and the volga near danube"]
REWRITTEN = (pickle_weights, shard)
PEFT_ASKS_BY_AN_OLD_NAME = "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"


def text_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".safetensors", ".parquet")]


# ------------------------------------------------------------------------------------------------------------- contents


def test_a_run_keeps_what_it_said_of_each_test_row(run_for):
    run = run_for("bert")
    kept = run.scored_rows()
    assert kept.probabilities.shape == (run.scores.test.rows, len(CLASSES))
    assert (kept.probabilities.argmax(-1) == kept.truth).mean() == pytest.approx(run.scores.test.accuracy.value)
    assert len(set(kept.rows)) == len(kept.rows)


def test_test_rows_of_unknown_classes_come_back_as_such(tmp_path):
    kept = ScoredRows(np.array([0, 7]), np.array([1, -1]), np.array([[0.25, 0.75], [0.5, 0.5]], dtype=np.float32))
    kept.write(tmp_path / "rows.parquet", ("a", "b"))
    again = ScoredRows.read(tmp_path / "rows.parquet", ("a", "b"))
    for name, values in vars(kept).items():
        np.testing.assert_array_equal(getattr(again, name), values)


def test_several_labels_of_a_row_survive_the_parquet_file_the_missing_and_the_strange_ones_too(tmp_path):
    truth = np.array([[1, 0, 1], [0, 0, 0], [-1, -1, -1], [0, 0, -1], [-1, -1, 1]])
    kept = ScoredRows(np.arange(5), truth, np.full((5, 3), 0.5, np.float32))
    kept.write(tmp_path / "rows.parquet", ("a", "b", "c"))
    assert ScoredRows.read(tmp_path / "rows.parquet", ("a", "b", "c")).truth.tolist() == truth.tolist()
    with pytest.raises(RunError, match="its columns are not those of 2 classes"):
        ScoredRows.read(tmp_path / "rows.parquet", ("a", "b"))


def test_energies_come_back_where_they_are_known(tmp_path):
    kept = ScoredRows(np.arange(2), np.array([1, 0]), np.full((2, 2), 0.5, np.float32), np.array([-3.5, 0.25], np.float32))
    kept.write(tmp_path / "rows.parquet", ("a", "b"))
    assert ScoredRows.read(tmp_path / "rows.parquet", ("a", "b")).energy.tolist() == [-3.5, 0.25]


def test_a_run_without_test_rows_says_what_to_do(run_for, tmp_path):
    folder = shutil.copytree(run_for("bert").folder, tmp_path / "run")
    (folder / "test.parquet").unlink()
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["sha256"]["test.parquet"]
    write_json(folder / "manifest.json", manifest)
    with pytest.raises(RunError, match=r"test\.parquet is missing"):
        Run.load(folder).scored_rows()


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("head", ["stock", "pooled"])
def test_a_run_folder_holds_exactly_its_promised_files(run_for, method, head):
    names = {path.name for path in run_for("bert", f"adapter.method={method}", f"head.kind={head}").folder.iterdir()}
    model = {"adapter_config.json", "adapter_model.safetensors"} if method == "lora" else {"config.json", "model.safetensors"}
    tokenizer = {"tokenizer.json", "tokenizer_config.json"}
    pooled = {"modules.json", "sentence_bert_config.json", "1_Pooling", "2_Dense"} if head == "pooled" else set()
    ours = {
        "recipe.yaml",
        "plan.json",
        "preprocessing.json",
        "scores.json",
        "run.json",
        "versions.json",
        "events.jsonl",
        "test.parquet",
        "held_out.parquet",
        "held_out_tokens.parquet",
    }
    assert names == {*model, *tokenizer, *pooled, *ours, "README.md", "manifest.json"}


@pytest.mark.parametrize("changes", [["adapter.method=lora"], ["adapter.method=head"], ["head.kind=pooled"]])
def test_every_file_may_be_read_by_whom_the_umask_lets(recipe_for, tmp_path, changes):
    before = os.umask(0o027)
    try:
        run = train(recipe_for("bert", *changes, "train.max_steps=1"), tmp_path / "run")
    finally:
        os.umask(before)
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in run.folder.rglob("*") if path.is_file()}
    assert modes == dict.fromkeys(modes, "0o640")


@pytest.mark.parametrize("method", ["lora", "full"])
def test_no_text_file_names_a_path_of_this_machine(recipe_for, data_file, tmp_path, monkeypatch, method):
    recipe = recipe_for("bert", f"adapter.method={method}", "train.max_steps=1")
    monkeypatch.chdir(data_file.parents[1])  # what lies below is named from here
    run = train(recipe, tmp_path / "run")
    here = {str(tmp_path), str(Path(recipe.base).parent), str(data_file.parent), str(Path.cwd()), str(Path.home())}
    here |= {sys.prefix, str(Path(__file__).parents[2])} - {"/"}
    for path in text_files(run.folder):
        text = path.read_text("utf-8")
        assert not [place for place in here if place in text], path.name
        assert not re.search(r'[\s"\'=(](/[A-Za-z_.-]+){2,}', text.replace("</", "")), path.name


def test_the_tokenizers_config_says_nothing_of_where_it_was_loaded_from(run_for):
    config = json.loads((run_for().folder / "tokenizer_config.json").read_text("utf-8"))
    assert config["tokenizer_class"]
    assert not {"name_or_path", "tokenizer_file", "vocab_file", "is_local", "local_files_only"} & config.keys()


def test_nothing_in_a_run_folder_is_a_pickle(run_for):
    for path in run_for().folder.rglob("*"):
        assert path.suffix in (".json", ".jsonl", ".yaml", ".md", ".safetensors", ".parquet"), path.name
        assert not path.read_bytes().startswith((b"\x80\x04", b"PK\x03\x04")), "neither a pickle nor a zip archive"


def test_the_manifest_has_the_sha256_of_every_file(run_for):
    import hashlib

    folder = run_for().folder
    found = json.loads((folder / "manifest.json").read_text("utf-8"))["sha256"]
    expected = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir() if path.name != "manifest.json"
    }
    assert found == expected


def test_class_names_cleaning_and_the_whole_recipe_travel_with_the_run(run_for, recipe_for):
    run = Run.load(run_for().folder)
    assert run.preprocessing.classes == CLASSES
    assert run.preprocessing.clean == ("html", "whitespace")
    recipe = recipe_for("bert", "data.clean=[html, whitespace]")
    assert run.recipe == portable(recipe)
    assert run.recipe.train == recipe.train


def test_planned_counted_and_printed_parameters_agree(run_for):
    run = run_for()
    trained = run.facts.trained_parameters
    card = (run.folder / "README.md").read_text("utf-8")
    assert trained.planned == trained.counted == run.plan_facts.trainable_parameters
    assert f"{trained.counted:,} of" in card


def test_a_recipe_keeps_values_that_only_look_like_paths(recipe_for):
    recipe = recipe_for("bert", "data.classes=[/r/cats, /r/dogs]", "data.join=/")
    assert portable(recipe).data.classes == ("/r/cats", "/r/dogs")
    assert portable(recipe).data.join == "/"


def test_a_recipes_own_paths_become_relative(recipe_for, data_file):
    recipe = portable(recipe_for("bert", f"data.test={data_file}"))
    for path in (recipe.base, recipe.data.source, recipe.data.test.path):
        assert not Path(path).is_absolute()
        assert Path(path).exists()


# --------------------------------------------------------------------------------------------------------- damage


def test_a_changed_file_is_noticed(run_for, copy_of):
    folder = copy_of(run_for())
    path = folder / "preprocessing.json"
    path.write_text(path.read_text("utf-8").replace("fruit", "Fruit"), "utf-8")
    with pytest.raises(RunError, match=r"preprocessing\.json is not what was saved"):
        Run.load(folder)


def test_a_missing_file_is_noticed(run_for, copy_of):
    folder = copy_of(run_for())
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(RunError, match=r"adapter_model\.safetensors is missing"):
        Run.load(folder)


@pytest.mark.parametrize("name", ["../outside.json", "/etc/hostname", "sub/../../outside.json"])
def test_a_manifest_that_reaches_outside_its_folder_is_refused(run_for, copy_of, name):
    folder = copy_of(run_for())
    (folder.parent / "outside.json").write_text("{}", "utf-8")
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    manifest["sha256"] = {name: "0" * 64}
    write_json(folder / "manifest.json", manifest)
    with pytest.raises(RunError, match="which is outside the folder"):
        Run.load(folder)


def test_a_link_out_of_the_folder_is_refused(run_for, copy_of):
    folder = copy_of(run_for())
    outside = folder.parent / "outside.md"
    (folder / "README.md").rename(outside)
    (folder / "README.md").symlink_to(outside)
    with pytest.raises(RunError, match=r"'README\.md', which is outside the folder"):
        Run.load(folder)


def test_a_folder_that_is_not_there_or_no_run_is_told_apart(tmp_path):
    with pytest.raises(RunError, match="no such folder"):
        Run.load(tmp_path / "none")
    with pytest.raises(RunError, match=r"no manifest\.json, so no run"):
        Run.load(tmp_path)


def test_a_format_from_the_future_is_refused(run_for, copy_of):
    folder = copy_of(run_for())
    facts = json.loads((folder / "run.json").read_text("utf-8"))
    write_json(folder / "run.json", {**facts, "format": 2})
    write_manifest(folder)
    with pytest.raises(RunError, match="format 2, this rankwise reads up to 1; upgrade rankwise"):
        Run.load(folder).facts  # noqa: B018


def test_a_base_that_changed_after_training_is_noticed(recipe_for, tmp_path):
    base = save_tiny("bert", tmp_path / "base")
    run = train(recipe_for("bert", f"base={base}", "train.max_steps=1"), tmp_path / "run")
    assert len(run.predict(["apple"])) == 1
    save_tiny("bert", base, initializer_range=0.1)
    with pytest.raises(RunError, match=r"has other weights .* than in training"):
        Run.load(run.folder).predict(["apple"])


def test_a_trained_weight_that_reloads_one_bit_off_is_a_defect(built_for, tmp_path, monkeypatch):
    built = built_for("bert")

    def off_by_one_bit(*given, **how):
        loaded = adapters.load(*given, **how)
        weight = next(weight for name, weight in loaded.model.named_parameters() if "lora_A" in name)
        weight.copy_(torch.nextafter(weight, weight + 1))
        return loaded

    monkeypatch.setattr("rankwise.run.saving.adapters", SimpleNamespace(load=off_by_one_bit))
    adapters.save(built.classifier, tmp_path, base=built.base)
    with pytest.raises(ReloadMismatch, match=r"lora_A.* is not what was trained when loaded again"):
        _check_reload(tmp_path, built)


def test_a_save_that_does_not_reload_to_the_same_logits_is_a_defect(built_for, run_for, tmp_path):
    built, run = built_for("bert"), run_for("bert")
    with torch.no_grad():  # a frozen weight, which the adapter does not hold
        built.classifier.model.get_parameter("base_model.model.bert.embeddings.LayerNorm.bias").add_(0.5)
    built.classifier.model.eval()
    with pytest.raises(ReloadMismatch, match="reloaded logits differ by up to"):
        save(tmp_path, built, run.facts, run.scores, Kept(run.scored_rows()))
    assert not (tmp_path / "manifest.json").exists(), "a folder without one is no run"


# ----------------------------------------------------------------------------------------------------- loading elsewhere


def test_a_run_predicts_the_same_after_it_is_loaded_again(run_for):
    run = run_for()
    one, other = run.predict(TEXTS), Run.load(run.folder).predict(TEXTS)
    assert one == other
    assert [prediction.label for prediction in one] == [max(p.probabilities, key=p.probabilities.get) for p in one]


@pytest.mark.filterwarnings(PEFT_ASKS_BY_AN_OLD_NAME)
def test_plain_peft_and_tokenizer_give_the_same_probabilities(family, run_for):
    run = run_for(family, "train.epochs=1")
    base = AutoModelForSequenceClassification.from_pretrained(run.base().location, num_labels=3, dtype=torch.float32)
    model = PeftModel.from_pretrained(base, str(run.folder)).eval()
    tokenizer = AutoTokenizer.from_pretrained(run.folder)
    texts = ["apple & pear", "iron zinc over the copper", "the rhine and the volga near danube"]
    inputs = tokenizer(texts, padding=True, truncation=True, max_length=24, return_tensors="pt")
    with torch.inference_mode():
        expected = model(**inputs).logits.softmax(-1)
    found = run.predictor.probabilities(texts)
    assert found == pytest.approx(expected.numpy(), abs=1e-5)


def test_transformers_pipeline_loads_a_full_run_folder_by_itself(run_for):
    check_pipeline(run_for("bert", "adapter.method=full"))


# -------------------------------------------------------------------------------------------------------------- engines


@pytest.fixture(scope="module")
def quick_run(run_for):
    return run_for("distilbert", "train.epochs=6")


def test_onnx_predicts_what_torch_predicts(quick_run):
    one, other = quick_run.predict(TEXTS), quick_run.predict(TEXTS, engine="onnx")
    assert [p.label for p in one] == [p.label for p in other]
    assert [p.score for p in one] == pytest.approx([p.score for p in other], abs=1e-5)


def test_a_run_is_exported_once_and_found_again_by_its_manifest(quick_run, copy_of, monkeypatch):
    before = quick_run.exported()
    monkeypatch.setattr("rankwise.run.export.onnx.export_run", lambda *_, **__: pytest.fail("exported again"))
    assert Run.load(quick_run.folder).exported().path == before.path
    assert before.path.parent == cache_folder() / "onnx"
    assert before.path.stem == sha256(quick_run.folder / "manifest.json")
    with pytest.raises(pytest.fail.Exception, match="exported again"):
        Run.load(copy_of(quick_run)).exported()  # a folder with another manifest


def test_a_run_is_exported_to_a_given_path(quick_run, tmp_path, monkeypatch):
    cached = quick_run.exported().path
    monkeypatch.setattr("rankwise.run.export.onnx.export_run", lambda _, path, **__: shutil.copy(cached, path))
    assert quick_run.exported(tmp_path / "mine.onnx", threads=2).path == tmp_path / "mine.onnx"
    assert (tmp_path / "mine.onnx").exists()


def test_another_runs_export_is_refused(quick_run, copy_of):
    other = Run.load(copy_of(quick_run))
    with pytest.raises(RunError, match=r"exported from another run than .*; delete it, or give another path"):
        other.exported(quick_run.exported().path)


def test_a_damaged_export_in_the_cache_is_made_again_and_one_beside_the_run_is_refused(quick_run, copy_of):
    whole = quick_run.exported()
    before, content = whole.about, bytearray(whole.path.read_bytes())
    content[len(content) // 2] ^= 1  # a weight, which ONNX Runtime would take
    whole.path.write_bytes(content)
    again = Run.load(quick_run.folder).exported()
    assert again.about == f"{before} (made again, for the one there was damaged)"
    assert Run.load(quick_run.folder).exported().about == before
    copied = Run.load(copy_of(quick_run))
    (copied.folder / "model.onnx").write_bytes(content)
    with pytest.raises(ModelError, match=r"model.onnx: not what rankwise exported .*, or delete it and it is made again"):
        copied.exported()


def test_each_engine_is_loaded_once(quick_run):
    assert quick_run.predictor_on("onnx") is quick_run.predictor_on("onnx")
    assert quick_run.predictor_on("torch") is quick_run.predictor


def test_an_unknown_engine_is_refused(quick_run):
    with pytest.raises(
        ModelError, match="engine 'onxx'; expected one of torch, fast, onnx, onnx-int8, openvino; did you mean 'onnx'"
    ):
        quick_run.predict(TEXTS, engine="onxx")


def test_mc_dropout_needs_torch(quick_run):
    with pytest.raises(ModelError, match=r"for mc_dropout, type --engine torch \(engine='torch'\)"):
        quick_run.predict(TEXTS, mc_dropout=2, engine="onnx")


def test_an_export_is_checked_in_many_shapes_up_to_the_longest(quick_run):
    batches = probe_batches(tokenizer_in(quick_run.folder), 24)
    shapes = [tuple(batch["input_ids"].shape) for batch in batches]
    assert shapes[0][0] == 2
    assert (1, 2) in shapes  # a text of nothing but its two special tokens
    assert max(width for _, width in shapes) == 24
    assert len(set(shapes)) >= 4
    assert any((batch["attention_mask"] == 0).any() for batch in batches[1:])


# ------------------------------------------------------------------------------------------------------------ model card


def test_the_model_cards_front_matter_is_what_the_hub_reads(run_for):
    run = run_for()
    card = ModelCard.load(run.folder / "README.md")
    assert card.data.library_name == "peft"
    assert card.data.pipeline_tag == "text-classification"
    assert card.data.model_name == "tiny"
    results = {result.metric_type: result for result in card.data.eval_results}
    assert results["accuracy"].metric_value == round(run.scores.test.accuracy.value, 4)
    assert results["f1"].metric_value == round(run.scores.test.macro_f1.value, 4)
    assert results["accuracy"].dataset_name == "words.csv"
    assert results["accuracy"].dataset_split == "test"


def test_a_model_card_tells_its_level_and_whether_test_texts_are_in_training(built_for, run_for):
    built, scores = built_for("bert"), run_for().scores
    plain = model_card(built.recipe, built.plan, built.base, scores)
    assert "| 95 % interval |" in plain
    assert "on rows that neither training nor the choice of a checkpoint saw." in plain
    clean = CleanScores(Interval(0.75, 0.7, 0.8), Interval(0.75, 0.7, 0.8))
    scores = replace(scores, test=replace(scores.test, confidence_level=0.9), test_not_in_training=clean)
    leaked = model_card(built.recipe, built.plan, built.base, scores)
    assert "| 90 % interval |" in leaked
    assert "some of their texts are in training too: without those, accuracy is 0.7500." in leaked
    assert "neither training" not in leaked


def test_a_model_card_lists_the_classes_in_order_and_says_what_the_scores_come_to(built_for, run_for):
    built, scores = built_for("bert"), run_for("bert").scores
    card = model_card(built.recipe, built.plan, built.base, scores)
    assert "3 classes, in the order of the logits: 0 fruit, 1 metal, 2 river." in card
    assert f"On these rows it is {verdict(scores)}." in card
    many = replace(scores, classes=tuple(f"c{number}" for number in range(100)))
    assert "59 c59 and 40 more in `preprocessing.json`." in model_card(built.recipe, built.plan, built.base, many)


def test_a_class_name_is_text_on_the_model_card_whatever_it_holds(built_for, run_for):
    built, scores = built_for("bert"), run_for("bert").scores
    hostile = replace(scores, classes=("\x1b[2J\u202e", "[a](http://b)", "two\nlines"))
    card = model_card(built.recipe, built.plan, built.base, hostile)
    assert not {"\x1b", "\u202e"} & set(card)
    assert r"1 \[a\](http://b), 2 two lines." in card


def test_a_model_card_names_its_base_by_hub_id_where_it_has_one(run_for, built_for):
    built = built_for("bert")
    hub = Base("minilm", "sentence-transformers/all-MiniLM-L6-v2", "anywhere", None, None)
    card = ModelCard(model_card(built.recipe, built.plan, hub, run_for().scores))
    assert card.data.base_model == hub.hub
    assert f'from_pretrained("{hub.hub}", **head)' in card.text
    pinned = model_card(built.recipe, built.plan, replace(hub, revision="v2"), run_for().scores)
    assert f'from_pretrained("{hub.hub}", revision="v2", **head)' in pinned
    counted = ModelCard(model_card(built.recipe, built.plan.without_encoder(9, None), hub, run_for().scores))
    assert (counted.data.base_model, counted.data.library_name) == (None, "sklearn"), "words were counted without it"


@pytest.mark.filterwarnings(PEFT_ASKS_BY_AN_OLD_NAME)
@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("head", ["stock", "pooled"])
def test_the_model_cards_code_runs(run_for, method, head, monkeypatch):
    run = run_for("bert", f"adapter.method={method}", f"head.kind={head}")
    monkeypatch.chdir(Path(run.base().location).parent)
    blocks = re.findall(r"```python\n(.*?)```", (run.folder / "README.md").read_text("utf-8"), flags=re.DOTALL)
    assert len(blocks) == 2 + (head == "pooled")
    for block in blocks:
        code = block.replace("path/to/this/folder", str(run.folder))
        exec(code, {})


def test_a_recipe_from_a_run_folder_is_a_recipe(run_for):
    folder = run_for().folder
    assert Recipe.load(folder / "recipe.yaml") == Run.load(folder).recipe


def test_a_moved_run_that_finds_its_base_loads(run_for, copy_of):
    run = run_for()
    moved = Run.load(copy_of(run))
    assert moved.predict(TEXTS) == run.predict(TEXTS)
    assert replace(moved, folder=run.folder).facts.best == run.facts.best


@pytest.mark.parametrize("engine", ["torch", "fast"])
def test_a_run_whose_base_has_moved_is_told_where_it_is_and_predicts_the_same(run_for, tmp_path, engine):
    run = run_for()
    moved, base = tmp_path / "a/b/run", tmp_path / "elsewhere"
    shutil.copytree(run.folder, moved)
    shutil.copytree(run.base().location, base)
    with pytest.raises(RunError, match=r"the run's base 'tiny-bert' is not at .*tiny-bert; type --base FOLDER"):
        Run.load(moved).predict(TEXTS, engine=engine)
    assert Run.load(moved, base=base).predict(TEXTS, engine=engine) == run.predict(TEXTS, engine=engine)
    typed = ["predict", str(moved), "--engine", engine, "--text", "apple"]
    refused = CliRunner().invoke(app, typed)
    assert refused.exit_code == 2
    assert "type --base FOLDER" in refused.stderr
    assert CliRunner().invoke(app, [*typed, "--base", str(base)]).exit_code == 0


@pytest.mark.parametrize("form", REWRITTEN)
def test_training_is_not_resumed_on_another_base(recipe_for, tmp_path, form):
    def stop(event):
        if event.kind in ("tick", "step") and event.step == 5:
            raise KeyboardInterrupt

    base = form(save_tiny("bert", tmp_path / "base"))
    recipe = recipe_for("bert", f"base={base}", "train.max_steps=8", "train.evaluate_every=2")
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "run", listeners=[stop])
    shutil.rmtree(base)
    form(save_tiny("bert", base, initializer_range=0.1))
    with pytest.raises(RunError, match="was made by another recipe or other data, or on another base"):
        train(recipe, tmp_path / "run", existing="resume")


def test_a_base_with_other_weights_is_refused_in_whatever_form(run_for, tmp_path):
    run = run_for()
    for number, write in enumerate((lambda folder: save_tiny("bert", folder, initializer_range=0.1), *REWRITTEN)):
        base = write(shutil.copytree(run.base().location, tmp_path / f"base-{number}"))
        with pytest.raises(RunError, match=r"base 'tiny-bert' at .* has other weights \(sha256 \w+…\) than in training"):
            Run.load(run.folder, base=base).predict(TEXTS)


HUB_RUN = """
import sys
from rankwise.errors import RankwiseError
from rankwise.run.folder import Run
from rankwise.workflows.train import train
try:
    if sys.argv[1] == "train":
        train(sys.argv[2], sys.argv[3], existing="resume", progress=False)
    print([p.label for p in Run.load(sys.argv[3]).predict(["apple", "zinc", "rhine"])])
except RankwiseError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_base_of_the_hub_has_a_digest_and_one_that_was_replaced_or_damaged_is_refused(recipe_for, tmp_path):
    """In a cache as the hub's own client lays one out; the client is told of it when its process starts."""
    model = tmp_path / "hub" / "models--someone--tiny-bert"
    (model / "refs").mkdir(parents=True)

    def publish(revision, **changes):
        save_tiny("bert", model / "snapshots" / revision, **changes)
        (model / "refs" / "main").write_text(revision, "utf-8")

    def typed(verb):
        environment = {**os.environ, "HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
        command = [sys.executable, "-W", "ignore", "-c", HUB_RUN, verb, tmp_path / "recipe.yaml", tmp_path / "run"]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        return done.stdout + done.stderr

    recipe = recipe_for("bert", "base=someone/tiny-bert", "train.max_steps=2", "evaluate.baselines=false")
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml(), "utf-8")
    publish("one")
    answers, weights = typed("train"), model / "snapshots" / "one" / "model.safetensors"
    assert answers.startswith("['"), answers
    facts = json.loads((tmp_path / "run" / "run.json").read_text("utf-8"))
    assert (facts["base"]["hub"], facts["base"]["sha256"]) == ("someone/tiny-bert", sha256(weights))
    assert typed("predict") == answers
    refused = "base 'someone/tiny-bert' at someone/tiny-bert has other weights (sha256 "
    publish("two", initializer_range=0.1)
    assert refused in typed("predict")
    (model / "refs" / "main").write_text("one", "utf-8")
    assert typed("predict") == answers
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert refused in typed("predict")


def test_a_base_folder_that_is_not_there_is_refused(run_for, tmp_path):
    with pytest.raises(RunError, match=r"--base .*nowhere: no such folder; expected that of the run's base 'tiny-bert'"):
        Run.load(run_for().folder, base=tmp_path / "nowhere").predict(TEXTS)


def test_a_whole_model_needs_no_base(run_for, tmp_path):
    run = run_for("bert", "adapter.method=full")
    with pytest.raises(RunError, match="holds the whole model, so it needs no base; leave --base out"):
        Run.load(run.folder, base=tmp_path).classifier()


@pytest.mark.parametrize("form", REWRITTEN)
def test_a_base_in_shards_or_pickled_is_known_by_its_digest_and_refused_when_replaced(recipe_for, tmp_path, form):
    base = form(save_tiny("bert", tmp_path / "base"))
    run = train(recipe_for("bert", f"base={base}", "train.max_steps=2"), tmp_path / "run")
    assert run.facts.base.sha256 == locate(str(base)).sha256 is not None
    assert run.predict(TEXTS) == Run.load(run.folder).predict(TEXTS)
    shutil.rmtree(base)
    form(save_tiny("bert", base, initializer_range=0.1))
    with pytest.raises(RunError, match="has other weights"):
        Run.load(run.folder).predict(TEXTS)


def test_the_fast_engine_says_nearly_the_same(quick_run, rows):
    exact, fast = (quick_run.predict(rows.texts[:8], engine=engine) for engine in ("torch", "fast"))
    assert [row.label for row in exact] == [row.label for row in fast]
    for one, other in zip(exact, fast, strict=True):
        assert other.score == pytest.approx(one.score, abs=0.03)
