"""A merged run is one transformers model with the run's logits, and the base of another run."""

from __future__ import annotations

import json
import warnings

import pytest
import torch
from transformers import AutoTokenizer, pipeline
from typer.testing import CliRunner

from conftest import CLASSES
from rankwise.cli.app import app
from rankwise.errors import ModelError, ReloadMismatch, RunError
from rankwise.run.export import merged
from rankwise.workflows.train import train

pytestmark = pytest.mark.long

TEXTS = ["apple pear near the plum", "iron and zinc", "the rhine"]
MERGED = ["lora", "rslora", "dora", "pissa", "adalora", "vera", "ia3", "full", "head"]


def files_in(folder):
    return [path.name for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("family", ["bert", "roberta"])
@pytest.mark.parametrize("method", MERGED)
def test_a_merged_run_answers_in_a_pipeline_as_the_run_does(run_for, tmp_path, family, method):
    run = run_for(family, f"adapter.method={method}", "train.max_steps=4")
    folder = run.merge(tmp_path / "merged")
    assert not list(folder.glob("adapter*"))
    classify = pipeline("text-classification", str(folder), top_k=None, device="cpu")
    for text, prediction in zip(TEXTS, run.predict(TEXTS), strict=True):
        found = {entry["label"]: entry["score"] for entry in classify([text])[0]}
        assert found == pytest.approx(prediction.probabilities, abs=1e-4)


def test_a_merged_pooled_run_is_what_sentence_transformers_loads(run_for, tmp_path):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    run = run_for("bert", "head.kind=pooled")
    folder = run.merge(tmp_path / "merged")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logits = torch.tensor(sentence_transformers.SentenceTransformer(str(folder), device="cpu").encode(TEXTS))
    expected = [list(prediction.probabilities.values()) for prediction in run.predict(TEXTS)]
    assert logits.softmax(-1).numpy() == pytest.approx(torch.tensor(expected).numpy(), abs=1e-4)


@pytest.mark.parametrize("head", ["stock", "pooled"])
def test_training_goes_on_from_a_merged_run(run_for, recipe_for, tmp_path, head):
    run = run_for("bert", f"head.kind={head}")
    refusal = CliRunner().invoke(app, ["plan", "quickstart", "--set", f"base={run.folder}"])
    assert refusal.exit_code == 2
    typed = ["merge", str(run.folder), "--out", str(tmp_path / "merged")]
    assert f"rankwise {typed[0]} {typed[1]} --out" in refusal.stderr
    answer = CliRunner().invoke(app, typed)
    assert answer.exit_code == 0, answer.output
    changes = [f"base={tmp_path / 'merged'}", f"head.kind={head}", "train.max_steps=1", "train.learning_rate=1e-9"]
    again = train(recipe_for("bert", *changes), tmp_path / "again")
    assert again.predict(["apple"])[0].label in CLASSES
    if head == "stock":  # the head is the merged one, so almost nothing has changed
        assert again.predict(TEXTS)[0].probabilities == pytest.approx(run.predict(TEXTS)[0].probabilities, abs=1e-2)


def test_the_tokenizer_is_the_runs(run_for, tmp_path):
    run = run_for("bert")
    folder = run.merge(tmp_path / "merged")
    one, other = (AutoTokenizer.from_pretrained(path)(TEXTS)["input_ids"] for path in (run.folder, folder))
    assert one == other


def test_a_prefix_cannot_be_merged(run_for, tmp_path):
    with pytest.raises(ModelError, match="trained a prefix, whose keys and values can't be merged into weights"):
        run_for("bert", "adapter.method=prefix").merge(tmp_path / "merged")
    assert files_in(tmp_path) == []


def test_a_folder_with_something_in_it_is_refused(run_for, tmp_path):
    (tmp_path / "merged").mkdir()
    (tmp_path / "merged/mine.txt").write_text("mine", "utf-8")
    with pytest.raises(RunError, match="is not empty; give a folder that is new: --out FOLDER"):
        run_for("bert").merge(tmp_path / "merged")
    assert files_in(tmp_path) == ["mine.txt"]


def test_a_merge_that_changes_logits_is_not_kept(run_for, tmp_path, monkeypatch):
    before = merged.merged

    def shifted(classifier):
        model = before(classifier)
        with torch.no_grad():
            model.classifier.bias[0].add_(1)
        return model

    monkeypatch.setattr(merged, "merged", shifted)
    with pytest.raises(ReloadMismatch, match=r"its logits differ by up to 1\.0.*; nothing was written"):
        run_for("bert").merge(tmp_path / "merged")
    assert files_in(tmp_path) == []


def test_what_is_merged_says_which_classes_it_tells_apart(run_for, tmp_path):
    config = json.loads((run_for("bert").merge(tmp_path / "merged") / "config.json").read_text("utf-8"))
    assert list(config["id2label"].values()) == list(CLASSES)
    assert config["problem_type"] == "single_label_classification"
