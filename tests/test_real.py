"""The real encoder on real and on sample news, end to end. Minutes, so `-m slow`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from rankwise import Recipe, Run, train
from rankwise.encoders.base import locate

pytestmark = pytest.mark.slow
SMALL = ["base=minilm", "data.source=sample", "data.classes=[]", "train.max_steps=20", "evaluate.baselines=false"]


def test_rank4_adam_on_two_thousand_rows_of_ag_news_beats_tfidf_and_its_file_predicts(
    shared_data: Path, tmp_path: Path
) -> None:
    changes = ["base=minilm", f"data.source={shared_data / 'ag_news'}", "data.classes=[]", "data.rows=2000"]
    recipe = Recipe.load("rank4-adam", [*changes, "data.test_rows=1000", "data.split.validation=200"])
    run = train(recipe, tmp_path / "run")
    assert run.plan_facts.trainable_parameters == 43_012
    assert run.scores.test.accuracy.value > 0.83  # 86.5 % on 2,000 test rows when this was written
    assert run.predict(["Wide receiver ran for a touchdown in the last minute"])[0].label == "Sports"
    words = [word for name in ("recipe.yaml", "run.json", "README.md") for word in (run.folder / name).read_text().split()]
    assert not any(word.strip("\"',`").startswith(str(shared_data)) for word in words), "paths are relative"


@pytest.mark.parametrize("changes", [["adapter.quantize=nf4"], ["adapter.method=pissa"], ["train.optimizer=muon"]])
def test_a_method_trains_on_the_real_encoder_and_reloads(changes: list[str], tmp_path: Path) -> None:
    run = train(Recipe.load("quickstart", [*SMALL, *changes]), tmp_path / "run")
    assert run.scores.test.accuracy.value > 0.3  # chance is 0.25; 20 updates
    again = Run.load(tmp_path / "run").predict(["The striker scored twice"])[0]
    assert again.probabilities == pytest.approx(run.predict(["The striker scored twice"])[0].probabilities, abs=1e-6)


# plain peft uses an attribute that transformers has renamed; rankwise keeps that from its users, this test is not rankwise
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_plain_peft_gives_the_probabilities_of_the_run(tmp_path: Path) -> None:
    run = train(Recipe.load("quickstart", [*SMALL, "data.clean=[]"]), tmp_path / "run")
    texts = ["Rates rise again in Ankara", "A probe reaches the comet"]
    base = AutoModelForSequenceClassification.from_pretrained(locate("minilm").location, num_labels=4)
    model = PeftModel.from_pretrained(base, str(run.folder)).eval()
    tokens = AutoTokenizer.from_pretrained(run.folder)(texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        plain = model(**tokens).logits.softmax(-1).numpy()
    ours = np.array([list(prediction.probabilities.values()) for prediction in run.predict(texts)])
    np.testing.assert_allclose(plain, ours, atol=1e-6)


def test_the_command_line_trains_quickstart_quietly_and_prints_json(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("rankwise")), "train", "quickstart", "--json", "--set", "train.max_steps=4"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True, timeout=300)
    assert done.stderr == ""
    assert json.loads(done.stdout)["scores"]["test"]["rows"] == 160
