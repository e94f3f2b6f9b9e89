"""A run scores and predicts files in any format as it does the CSV file with the same rows."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from conftest import CLASSES, separable
from rankwise.cli.options import spec_for
from rankwise.recipe import DataSpec, SourceSpec
from rankwise.workflows.score_files import Form, evaluate_file, predict_rows, source_for


@pytest.fixture(scope="module")
def run(run_for):
    return run_for("distilbert", "train.epochs=6")


def truth(run, path):
    """The classes that the rows of a file are scored against."""
    evaluation = evaluate_file(run, SourceSpec(path=str(path)), spec_for(run.recipe, str(path), None))[2]
    return [run.preprocessing.classes[number] for number in evaluation.truth]


@pytest.mark.parametrize("write", [pq.write_table, pyarrow.feather.write_feather])
def test_class_numbers_of_a_hub_file_are_scored_by_its_own_names_whatever_their_order(run, tmp_path, write):
    data = separable(30, seed=7)
    names = sorted(CLASSES, reverse=True)
    features = {"label": {"names": names, "_type": "ClassLabel"}}
    schema = pa.schema(
        {"text": pa.string(), "label": pa.int64()}, metadata={"huggingface": json.dumps({"info": {"features": features}})}
    )
    write(pa.table({"text": data.texts, "label": [names.index(label) for label in data.labels]}, schema), str(tmp_path / "t"))
    assert truth(run, tmp_path / "t") == truth(run, data.write(tmp_path / "t.csv")) == list(data.labels)


def test_of_a_workbook_of_splits_the_test_rows_are_scored(tmp_path):
    xlsxwriter = pytest.importorskip("xlsxwriter", reason="the extra excel is not installed")
    pytest.importorskip("python_calamine", reason="the extra excel is not installed")
    path = str(tmp_path / "t.xlsx")
    with xlsxwriter.Workbook(path) as book:
        for name in ("train", "test"):
            book.add_worksheet(name).write_row(0, 0, ["text", "label"])
    assert source_for(DataSpec(source=path), labelled=True)[0] == SourceSpec(path=path, sheet="test")
    assert source_for(DataSpec(source=path, sheet="train"), labelled=True)[0] == SourceSpec(path=path)


def test_a_text_on_each_line_has_a_prediction_for_each_line(run, tmp_path):
    data = separable(10, seed=5)
    (tmp_path / "new.txt").write_text("\n".join(data.texts) + "\n", "utf-8")
    _, rows = predict_rows(run, SourceSpec(path=str(tmp_path / "new.txt")), spec_for(run.recipe, "new.txt", None), Form())
    assert [row["label"] for row in rows] == [prediction.label for prediction in run.predict(data.texts)]


def test_a_later_file_has_a_dialect_of_its_own(run):
    recipe = run.recipe.with_overrides(["data.quoting=none", "data.delimiter=tab"])
    spec = spec_for(recipe, "new.csv", None)
    assert (spec.quoting, spec.delimiter) == ("auto", None)
    assert spec_for(recipe, "new.csv", ["data.quoting=none"]).quoting == "none"
