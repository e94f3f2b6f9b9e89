"""Files of a run that contradict each other are a line, whoever signed them: nothing is computed with half of the truth."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file, save_file

from rankwise.errors import ModelError, RankwiseError, RunError
from rankwise.run.folder import Run
from rankwise.run.manifest import write_manifest


@pytest.fixture
def changed(run_for, copy_of):
    """A copy of a run's folder in which one file says something else, under a manifest that fits."""
    folder = copy_of(run_for("bert"))

    def change(name, edit):
        path = folder / name
        if path.suffix == ".json":
            content = edit(json.loads(path.read_text("utf-8")))
            path.write_text(json.dumps(content), "utf-8")
        elif path.suffix == ".safetensors":
            save_file(edit(load_file(path)), path, metadata={"format": "pt"})
        else:
            before = path.read_text("utf-8")
            path.write_text(after := edit(before), "utf-8")
            assert after != before
        write_manifest(folder)
        return folder

    return change


def line_of(kind, work):
    """The one line that an error of this kind is."""
    with pytest.raises(kind) as told:
        work()
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 600
    return str(told.value)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("classes", [], "0 classes, 0 of them different; expected two or more"),
        ("classes", ["fruit"], "1 classes"),
        ("classes", ["fruit", "metal", "metal"], "3 classes, 2 of them different"),
        ("max_length", 0, "1 windows of 0 tokens; expected 1 to 1,000,000 of each"),
        ("max_length", -3, "1 windows of -3 tokens"),
        ("max_length", 10**9, "1 windows of 1,000,000,000 tokens"),
        ("windows", 0, "0 windows"),
        ("windows", -1, "-1 windows"),
        ("clean", ["htlm"], "no cleaning step is called 'htlm'; did you mean 'html'?"),
        ("numbering", ["a", "b", "c"], "its numbering does not number its classes"),
        ("classes", "fruit", "expected a valid array"),
        ("max_length", "long", "expected a valid integer"),
    ],
)
def test_preprocessing_that_makes_no_sense_is_refused_when_the_run_is_opened(changed, key, value, told):
    folder = changed("preprocessing.json", lambda content: {**content, key: value})
    assert told in line_of(RunError, lambda: Run.load(folder))


def replaced(*path, to):
    """An edit that puts a value where a path of keys leads."""

    def edit(content):
        inner = content
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = to
        return content

    return edit


CONTRADICTIONS = {
    "classes in another order": ("preprocessing.json", replaced("classes", to=["river", "metal", "fruit"]), "scores.json"),
    "another class": ("preprocessing.json", replaced("classes", to=["fruit", "metal", "rivers"]), "scores.json"),
    "one more class": ("preprocessing.json", replaced("classes", to=["fruit", "metal", "river", "x"]), "plan.json"),
    "texts longer than the encoder": ("preprocessing.json", replaced("max_length", to=5_000), "texts of 5,000 tokens"),
    "another rank in the recipe": ("recipe.yaml", lambda text: text.replace("rank: 2", "rank: 4"), "plan.json"),
    "another alpha in the recipe": ("recipe.yaml", lambda text: text.replace("  alpha: null\n", "  alpha: 9\n"), "plan.json"),
    "another method in the plan": ("plan.json", replaced("method", to="ia3"), "method is not what recipe.yaml gives"),
    "another sum in the plan": ("plan.json", replaced("trainable_parameters", to=7), "trainable_parameters is not what"),
    "no ranks in the plan": ("plan.json", replaced("ranks", to={}), "ranks is not what recipe.yaml gives"),
    "another rank for peft": ("adapter_config.json", replaced("r", to=7), "adapter_config.json: r is 7"),
    "another alpha for peft": ("adapter_config.json", replaced("lora_alpha", to=999), "adapter_config.json: lora_alpha is"),
    "a pattern for peft": ("adapter_config.json", replaced("rank_pattern", to={"query": 1}), "rank_pattern is"),
    "a scale for peft": ("adapter_config.json", replaced("use_rslora", to=True), "use_rslora is True"),
    "norms for peft": ("adapter_config.json", replaced("use_dora", to=True), "use_dora is True"),
    "a start for peft": ("adapter_config.json", replaced("init_lora_weights", to="pissa"), "init_lora_weights is 'pissa'"),
    "another method for peft": ("adapter_config.json", replaced("peft_type", to="IA3"), "peft_type is 'IA3'"),
    "no method for peft": ("adapter_config.json", replaced("peft_type", to=None), "peft_type is None"),
    "no object for peft": ("adapter_config.json", lambda _: [1], "adapter_config.json: it is [1], expected an object"),
    "no object for the tokenizer": ("tokenizer_config.json", lambda _: [1], "tokenizer_config.json: it is [1]"),
    "no such padding": ("tokenizer_config.json", replaced("pad_token", to="[NONE]"), "pad_token is none of its tokens"),
    "a padding that is a number": ("tokenizer_config.json", replaced("pad_token", to=7), "pad_token is none of its tokens"),
    "a side that is none": ("tokenizer_config.json", replaced("padding_side", to="up"), "padding_side is neither left nor"),
    "no tokenizer": ("tokenizer.json", lambda _: {}, "can't read it"),
    "a recipe that is a list": ("recipe.yaml", lambda _: "- 1\n", "expected a mapping"),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
@pytest.mark.parametrize("passes", [0, 2])
def test_what_contradicts_another_file_is_named_before_anything_is_predicted(changed, name, passes):
    file, edit, told = CONTRADICTIONS[name]
    run = Run.load(changed(file, edit))
    assert told in line_of(RankwiseError, lambda: run.predict(["apple"], mc_dropout=passes))


def first(part, make):
    """An edit that changes the first tensor whose name has a part."""

    def edit(tensors):
        name = next(name for name in sorted(tensors) if part in name)
        return {**tensors, name: make(tensors[name])}

    return edit


@pytest.mark.parametrize("part", ["lora_A", "lora_B", "classifier"])
@pytest.mark.parametrize("make", [lambda t: t[:1], lambda t: np.concatenate([t, t]), lambda t: t[None], lambda t: t[:0]])
def test_a_tensor_of_another_shape_is_a_line(changed, part, make):
    folder = changed("adapter_model.safetensors", first(part, make))
    line_of((ModelError, RunError), lambda: Run.load(folder).predict(["apple"]))


@pytest.mark.parametrize(
    ("file", "edit"),
    [
        ("adapter_model.safetensors", first("lora_A", lambda t: t[:1])),
        ("adapter_config.json", replaced("r", to=7)),
        ("plan.json", replaced("ranks", to={})),
    ],
)
def test_a_run_that_other_versions_wrote_and_these_read_otherwise_is_not_called_damaged_alone(changed, file, edit):
    folder = changed(file, edit)
    assert "pip install" not in line_of((ModelError, RunError), lambda: Run.load(folder).predict(["apple"]))
    written = json.loads((folder / "versions.json").read_text("utf-8"))
    here = written["peft"], written["torch"]
    other = {**written, "peft": "9.8.7", "torch": f"{here[1].partition('+')[0]}+cu999"}  # the same torch, built for a GPU
    (folder / "versions.json").write_text(json.dumps(other), "utf-8")
    write_manifest(folder)
    said = line_of((ModelError, RunError), lambda: Run.load(folder).predict(["apple"]))
    assert f"; the run was written with peft 9.8.7 (here {here[0]}): pip install peft==9.8.7" in said


def test_other_versions_alone_are_no_reason_to_refuse_a_run(changed):
    folder = changed("versions.json", replaced("peft", to="9.8.7"))
    assert len(Run.load(folder).predict(["apple"])) == 1


NO_TENSORS = [b"", b"\x00" * 8, b"\xff" * 64, (2**40).to_bytes(8, "little") + b"{}", b"\x02" + b"\x00" * 7 + b"{}"]


@pytest.mark.parametrize("content", NO_TENSORS, ids=["nothing", "zeros", "ones", "too long", "empty"])
def test_tensors_that_are_none_are_a_line(run_for, copy_of, content):
    folder = copy_of(run_for("bert"))
    (folder / "adapter_model.safetensors").write_bytes(content)
    write_manifest(folder)
    line_of((ModelError, RunError), lambda: Run.load(folder).predict(["apple"]))


def test_scores_of_other_classes_are_refused(changed):
    folder = changed("scores.json", replaced("test", "confusion", to=[[1]]))
    assert "scores.json is of other classes than preprocessing.json" in line_of(RunError, lambda: Run.load(folder).scores)


@pytest.mark.parametrize(
    "columns",
    [
        {"row": pa.array([1], pa.int64())},
        {"row": ["a"], "label": ["fruit"], "probabilities": [1.0]},
        {
            "row": pa.array([1], pa.int64()),
            "label": ["fruit"],
            "probabilities": pa.array([[0.5, 0.5]], pa.list_(pa.float32(), 2)),
        },
    ],
)
def test_scored_rows_of_other_columns_are_refused(run_for, copy_of, columns):
    folder = copy_of(run_for("bert"))
    pq.write_table(pa.table(columns), folder / "test.parquet")
    write_manifest(folder)
    assert "its columns are not those of 3 classes" in line_of(RunError, lambda: Run.load(folder).scored_rows())


def test_scored_rows_that_are_no_parquet_are_refused(run_for, copy_of):
    folder = copy_of(run_for("bert"))
    (folder / "test.parquet").write_bytes(b"PAR1")
    write_manifest(folder)
    assert "no Parquet file that can be read" in line_of(RunError, lambda: Run.load(folder).scored_rows())


def test_a_run_that_agrees_with_itself_predicts(changed):
    assert len(Run.load(changed("plan.json", dict)).predict(["apple", "zinc"], mc_dropout=2)) == 2
