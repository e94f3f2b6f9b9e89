"""A run is handed to other runtimes: as it is in fp32, in 8 bits only where a paired test on rows of its own allows it."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from tokenizers import Tokenizer

from conftest import separable
from rankwise.data.tokens import Tokens
from rankwise.errors import ModelError, RecipeError, RunError
from rankwise.recipe import DataSpec
from rankwise.run.export import quantized
from rankwise.run.folder import Run
from rankwise.workflows.export import export, rows_in, rows_kept
from rankwise.workflows.score_files import source_for

pytestmark = pytest.mark.long

TEXTS = ["apple pear", "zinc tin iron", *separable(6, seed=9).texts]
LARGE = 99.0  # points that may be lost, where the margin is not what is tried


@pytest.fixture
def run(run_for, copy_of):
    return Run.load(copy_of(run_for("bert")))


@pytest.fixture
def labelled(run, tmp_path):
    """Rows of a file, more than a run of a few rows sets aside."""
    rows = separable(300, seed=4)
    path = tmp_path / "more.csv"
    path.write_text(
        "text,label\n" + "".join(f"{text},{label}\n" for text, label in zip(rows.texts, rows.labels, strict=True))
    )
    spec = DataSpec(source=str(path))
    source, numbering = source_for(spec, labelled=True)
    return rows_in(run, source, spec, numbering)


def test_a_run_keeps_the_tokens_of_the_rows_that_its_decisions_are_made_by(run):
    kept, scored = rows_kept(run), run.held_out_rows()
    assert len(kept.tokens.window_counts) == len(scored.rows) > 0
    assert np.array_equal(kept.labels, scored.truth)
    tokenizer = Tokenizer.from_file(str(run.folder / "tokenizer.json"))
    assert tokenizer.decode(kept.tokens.ids.tolist()), "they are what its tokenizer reads"


def test_tokens_are_the_same_when_they_are_read_again(tmp_path):
    ids, offsets = np.arange(9, dtype=np.uint16), np.array([0, 2, 5, 9])
    whole = Tokens(ids, offsets, np.ones(9, dtype=np.int8), np.array([0, 1, 3]))
    whole.save(tmp_path / "tokens.parquet")
    read = Tokens.load(tmp_path / "tokens.parquet")
    assert all(whole.same_text(read, text) for text in range(2))
    assert read.window_counts.tolist() == [1, 2]
    assert read.types.tolist() == [1] * 9
    (tmp_path / "none.parquet").write_bytes(b"PK nothing")
    with pytest.raises(RunError, match="no tokens that can be read"):
        Tokens.load(tmp_path / "none.parquet")


def test_where_texts_are_not_kept_nor_are_their_tokens_and_8_bits_ask_for_rows(run_for):
    silent = run_for("bert", "evaluate.keep_texts=false")
    assert silent.held_out_tokens() is None
    with pytest.raises(RunError, match=r"keeps no validation rows.*--data FILE"):
        export(silent, "onnx-int8")
    assert not (silent.folder / "onnx-int8").exists()


def test_8_bits_answer_through_their_engine_as_by_hand_in_onnx_runtime(run, labelled):
    exported = export(run, "onnx-int8", max_loss=LARGE, rows=labelled)
    folder = exported.folder
    assert folder == run.folder / "onnx-int8"
    assert exported.about.bytes < 0.7 * exported.about.bytes_fp32, "of a tiny encoder, whose graph weighs something"
    session = onnxruntime.InferenceSession(str(folder / "onnx" / "model_int8.onnx"), providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    names = json.loads((folder / "config.json").read_text())["id2label"]
    for text, found in zip(TEXTS, run.predict(TEXTS, engine="onnx-int8"), strict=True):
        encoded = tokenizer.encode(text)
        inputs = {"input_ids": encoded.ids, "attention_mask": encoded.attention_mask, "token_type_ids": encoded.type_ids}
        wanted = {one.name for one in session.get_inputs()}
        fed = {name: np.array([values], dtype=np.int64) for name, values in inputs.items() if name in wanted}
        (logits,) = session.run(["logits"], fed)
        assert names[str(int(logits[0].argmax()))] == found.label
        shares = np.exp(logits[0]) / np.exp(logits[0]).sum()
        assert list(found.probabilities.values()) == pytest.approx(shares.tolist(), abs=1e-6)
        assert run.predict([text], engine="onnx-int8") == [found], "whatever is asked beside it"


def test_8_bits_leave_one_bit_to_processors_that_add_in_16(run, labelled):
    export(run, "onnx-int8", max_loss=LARGE, rows=labelled)
    model = onnx.load(run.folder / "onnx-int8" / "onnx" / "model_int8.onnx")
    weights = [onnx.numpy_helper.to_array(one) for one in model.graph.initializer if one.data_type == onnx.TensorProto.INT8]
    assert len(weights) > 4
    products = {one.input[1] for one in model.graph.node if one.op_type == "MatMulInteger"}
    of_products = [onnx.numpy_helper.to_array(one) for one in model.graph.initializer if one.name in products]
    assert of_products
    assert max(int(np.abs(one.astype(int)).max()) for one in of_products) <= 64


def test_rows_that_are_too_few_to_tell_refuse_and_say_how_many_would_do(run, typed):
    code, said, _ = typed("export", run.folder, "--format", "onnx-int8")
    assert code == 4
    assert "refused: not enough rows" in said
    assert "rows would be enough" in said
    assert not (run.folder / "onnx-int8").exists()
    with pytest.raises(RunError, match="was not exported as onnx-int8; type rankwise export"):
        run.predict(TEXTS, engine="onnx-int8")


def test_8_bits_that_lose_more_than_the_margin_are_refused(run, labelled, monkeypatch):
    whole = quantized.quantize

    def damaged(exported, path):
        """A file whose last weights are lost, as a bad quantisation would have it."""
        whole(exported, path)
        model = onnx.load(path)
        for one in model.graph.initializer:
            if one.data_type == onnx.TensorProto.INT8:
                one.CopyFrom(onnx.numpy_helper.from_array(np.zeros(tuple(one.dims), dtype=np.int8), one.name))
        onnx.save(model, path)

    monkeypatch.setattr(quantized, "quantize", damaged)
    told = np.array([run.preprocessing.classes.index(one.label) for one in run.predict(separable(300, seed=4).texts)])
    refused = export(run, "onnx-int8", max_loss=1.0, rows=replace(labelled, labels=told))  # rows that the run has all right
    assert refused.exit_code == 3
    assert refused.folder is None
    assert refused.about.held.difference.high < -0.01
    assert not (run.folder / "onnx-int8").exists()


def test_fp32_is_written_for_other_machines_and_again_in_its_own_place(run, tmp_path):
    out = tmp_path / "elsewhere"
    for _ in range(2):
        exported = export(run, "onnx", out)
    assert exported.gate is None
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()) == [
        "config.json",
        "export.json",
        "onnx/model.onnx",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert json.loads((out / "tokenizer_config.json").read_text())["model_max_length"] == run.preprocessing.max_length
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    with pytest.raises(RunError, match="is not empty"):
        export(run, "onnx", tmp_path / "mine")


def test_an_export_of_another_run_is_not_used(run, run_for, labelled, tmp_path):
    export(run, "onnx-int8", max_loss=LARGE, rows=labelled)
    other = shutil.copytree(run_for("bert", "train.seed=7").folder, tmp_path / "other")
    shutil.copytree(run.folder / "onnx-int8", other / "onnx-int8")
    with pytest.raises(RunError, match="exported from another run"):
        Run.load(other).predict(TEXTS, engine="onnx-int8")


@pytest.mark.parametrize(("form", "problem"), [("tflite", "expected one of onnx")])
def test_what_is_no_format_is_refused(run, form, problem):
    with pytest.raises(ModelError, match=problem):
        export(run, form)


def test_a_margin_that_is_none_is_refused(run):
    with pytest.raises(RecipeError, match="expected points"):
        export(run, "onnx-int8", max_loss=0)


@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed: the extra openvino")
def test_openvino_gives_the_same_logits(run):
    export(run, "openvino")
    for ours, theirs in zip(run.predict(TEXTS, engine="onnx"), run.predict(TEXTS, engine="openvino"), strict=True):
        assert theirs.label == ours.label
        assert list(theirs.probabilities.values()) == pytest.approx(list(ours.probabilities.values()), abs=1e-4)


JAVASCRIPT = """
import { pipeline, env } from '@huggingface/transformers';
env.allowRemoteModels = false;
env.localModelPath = process.argv[2];
const classify = await pipeline('text-classification', process.argv[3], { dtype: 'int8' });
for (const text of JSON.parse(process.argv[4])) console.log(JSON.stringify(await classify(text, { top_k: null })));
"""
MODULES = os.environ.get("RANKWISE_TEST_NODE_MODULES", "")


@pytest.mark.skipif(
    not (shutil.which("node") and (Path(MODULES) / "@huggingface" / "transformers").is_dir()),
    reason="needs Node, and RANKWISE_TEST_NODE_MODULES=FOLDER/node_modules with @huggingface/transformers",
)
def test_transformers_js_reads_the_folder_as_it_is(run, labelled, tmp_path):
    export(run, "onnx-int8", tmp_path / "models" / "tickets", max_loss=LARGE, rows=labelled)
    (tmp_path / "node_modules").symlink_to(Path(MODULES).absolute())
    (tmp_path / "classify.mjs").write_text(JAVASCRIPT)
    export(run, "onnx-int8", max_loss=LARGE, rows=labelled)
    typed = ["node", "classify.mjs", str(tmp_path / "models"), "tickets", json.dumps(TEXTS)]
    told = subprocess.run(typed, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert told.returncode == 0, told.stderr
    for line, ours in zip(told.stdout.splitlines(), run.predict(TEXTS, engine="onnx-int8"), strict=True):
        theirs = json.loads(line)
        assert theirs[0]["label"] == ours.label
        assert theirs[0]["score"] == pytest.approx(ours.score, abs=0.02)
