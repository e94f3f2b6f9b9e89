"""A file of texts through a finished run: scores, or one written row for each of its own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conftest import CLASSES, Rows, separable
from rankwise.data.files.table import Record, read_table
from rankwise.data.labelled import read_labelled
from rankwise.errors import DataError, Unlabelled
from rankwise.recipe import DataSpec, SourceSpec
from rankwise.workflows.score_files import (
    Form,
    evaluate_file,
    other_columns,
    parse_submission,
    predict_rows,
    seen_in_training,
    source_for,
    written_rows,
)
from rankwise.workflows.train import train


@pytest.fixture(scope="module")
def run(run_for):
    return run_for("distilbert", "train.epochs=6")


def predicted(run, path, form=None, **options):
    form = form or Form()
    _, rows = predict_rows(run, SourceSpec(path=str(path)), run.recipe.data, form, **options)
    return list(rows)


# ----------------------------------------------------------------------------------------------------------- prediction


def test_each_row_of_a_file_has_its_own_columns_and_a_prediction_behind_them(run, tmp_path):
    data = separable(10, seed=5)
    lines = [f"{place:03},{text},=1+1" for place, text in enumerate(data.texts)]
    (tmp_path / "new.csv").write_text("\n".join(["id,text,note", *lines]) + "\n", "utf-8")
    found = predicted(run, tmp_path / "new.csv")
    expected = run.predict(data.texts)
    assert [row["id"] for row in found] == [f"{place:03}" for place in range(10)]
    assert [row["text"] for row in found] == data.texts
    assert {row["note"] for row in found} == {"=1+1"}
    assert [row["label"] for row in found] == [prediction.label for prediction in expected]
    assert [row["score"] for row in found] == [round(prediction.score, 6) for prediction in expected]
    assert list(found[0]) == Form().columns(CLASSES, ("id", "text", "note")) == ["id", "text", "note", "label", "score"]


def test_columns_of_the_file_are_never_replaced(run, tmp_path):
    (tmp_path / "new.csv").write_text("text,label,score,predicted_score\napple,mine,5,6\n", "utf-8")
    (row,) = predicted(run, tmp_path / "new.csv")
    assert list(row) == ["text", "label", "score", "predicted_score", "predicted_label", "predicted_score_2"]
    assert (row["label"], row["score"], row["predicted_score"]) == ("mine", "5", "6")
    assert row["predicted_label"] == run.predict(["apple"])[0].label


def test_cells_keep_their_types_where_the_format_that_is_written_has_some(run, tmp_path):
    (tmp_path / "new.jsonl").write_text('{"id": 7, "text": "apple", "tags": ["a"], "ok": true, "gone": null}\n', "utf-8")
    (typed,) = predicted(run, tmp_path / "new.jsonl", Form(typed=True))
    assert {name: typed[name] for name in ("id", "tags", "ok", "gone")} == {"id": 7, "tags": ["a"], "ok": True, "gone": None}
    (plain,) = predicted(run, tmp_path / "new.jsonl")
    assert {name: plain[name] for name in ("id", "tags", "ok", "gone")} == {
        "id": "7",
        "tags": '["a"]',
        "ok": "true",
        "gone": "",
    }


def test_the_columns_of_training_are_read_again_whatever_they_are_called(recipe_for, tmp_path):
    data = separable(60, seed=3)
    lines = [f"{place},{text},{label}" for place, (text, label) in enumerate(zip(data.texts, data.labels, strict=True))]
    (tmp_path / "tickets.csv").write_text("\n".join(["nr,wording,queue", *lines]) + "\n", "utf-8")
    columns = ["data.train.text=wording", "data.train.label=queue", "data.source=null", "train.max_steps=1"]
    trained = train(recipe_for("bert", f"data.train={tmp_path / 'tickets.csv'}", *columns), tmp_path / "run")
    (tmp_path / "new.csv").write_text("nr,note,wording\n1,zinc,apple\n2,zinc,pear\n", "utf-8")
    found = predicted(trained, tmp_path / "new.csv")
    expected = trained.predict(["apple", "pear"])
    assert [row["score"] for row in found] == [round(prediction.score, 6) for prediction in expected]


@pytest.fixture(scope="module")
def titled(recipe_for, tmp_path_factory):
    """A run that was trained on two columns."""
    folder, data = tmp_path_factory.mktemp("titled"), separable(60, seed=3)
    lines = [f"{text[:9]},{text},{label}" for text, label in zip(data.texts, data.labels, strict=True)]
    (folder / "train.csv").write_text("\n".join(["title,description,label", *lines]) + "\n", "utf-8")
    return train(recipe_for("bert", f"data.source={folder / 'train.csv'}", "train.max_steps=1"), folder / "run")


@pytest.mark.parametrize(
    ("header", "says", "typed"),
    [
        ("id,title", r"no column 'description' among id, title, and training read title \+ description", "title"),
        ("id,text", r"training read title \+ description, and of id, text this would read text alone", "text"),
        ("id,wording", r"no text column found among id, wording", "wording"),
    ],
)
def test_a_file_that_lacks_a_column_of_training_is_refused_with_what_to_type(titled, tmp_path, header, says, typed):
    (tmp_path / "new.csv").write_text(f"{header}\n1,apple and pear\n2,zinc and iron\n", "utf-8")
    with pytest.raises(DataError, match=says) as refused:
        predicted(titled, tmp_path / "new.csv")
    assert str(refused.value).endswith((f"--set data.text={typed}", f"--text-column {typed}"))
    spec = titled.recipe.data.model_copy(update={"text": (typed,)})
    assert len(list(predict_rows(titled, SourceSpec(path=str(tmp_path / "new.csv")), spec, Form())[1])) == 2


def test_a_column_of_training_that_is_blank_is_told(titled, tmp_path):
    (tmp_path / "new.csv").write_text("id,title,description\n1,apple,\n2,zinc,\n", "utf-8")
    layout, _ = predict_rows(titled, SourceSpec(path=str(tmp_path / "new.csv")), titled.recipe.data, Form())
    assert layout.warnings == ("column 'description' is blank in the first rows, so the text lacks it",)


def test_a_text_under_another_name_is_told(run, tmp_path):
    (tmp_path / "new.csv").write_text("id,review\n1,apple\n", "utf-8")
    layout, _ = predict_rows(run, SourceSpec(path=str(tmp_path / "new.csv")), run.recipe.data, Form())
    assert other_columns(run, layout) == "training read text, here it is review"


def test_a_row_without_text_keeps_its_place(run, tmp_path):
    (tmp_path / "new.csv").write_text('text,note\napple,a\n"",b\n"  ",c\nzinc,d\n', "utf-8")
    found = predicted(run, tmp_path / "new.csv")
    assert [row["note"] for row in found] == ["a", "b", "c", "d"]
    assert found[3]["label"] == run.predict(["zinc"])[0].label


def test_all_probabilities_stand_under_their_classes(run, tmp_path):
    form = Form(probabilities=True)
    (tmp_path / "new.csv").write_text("text\n" + "\n".join(separable(4, seed=5).texts) + "\n", "utf-8")
    found = predicted(run, tmp_path / "new.csv", form)
    assert form.columns(CLASSES, ["text"]) == ["text", "label", "score", "p_fruit", "p_metal", "p_river"] == list(found[0])
    assert form.columns(CLASSES) == ["row", "label", "score", "p_fruit", "p_metal", "p_river"]
    for row in found:
        assert sum(row[f"p_{name}"] for name in CLASSES) == pytest.approx(1, abs=3e-6)
        assert row["score"] == row[f"p_{row['label']}"]


def test_class_numbers_count_from_0(run, tmp_path):
    path = separable(9, seed=5).write(tmp_path / "new.csv")
    numbers = [row["predicted_label"] for row in predicted(run, path, Form(numbers=True))]
    assert [CLASSES[number] for number in numbers] == [row["predicted_label"] for row in predicted(run, path)]


def test_a_submission_has_exactly_its_two_columns_with_the_files_own_ids(run, tmp_path):
    (tmp_path / "new.csv").write_text("id,text\na7,apple pear\n007,zinc iron\n", "utf-8")
    form = Form(submission=parse_submission("ID,Label"))
    found = predicted(run, tmp_path / "new.csv", form)
    labels = [prediction.label for prediction in run.predict(["apple pear", "zinc iron"])]
    assert found == [{"ID": "a7", "Label": labels[0]}, {"ID": "007", "Label": labels[1]}]
    assert form.columns(CLASSES) == ["ID", "Label"]


def test_a_submission_without_ids_counts_rows_from_0(run, tmp_path):
    (tmp_path / "new.csv").write_text("text,note\napple,x\nzinc,y\n", "utf-8")
    found = predicted(run, tmp_path / "new.csv", Form(submission=("ID", "Label"), numbers=True))
    assert [row["ID"] for row in found] == [0, 1]
    assert all(row["Label"] in (0, 1, 2) for row in found)


@pytest.mark.parametrize("given", ["ID", "ID,Label,Text", "ID,", ",", ""])
def test_a_submission_needs_two_names(given):
    with pytest.raises(DataError, match="expected two column names, such as ID,Label"):
        parse_submission(given)


def test_no_submission_is_none():
    assert parse_submission(None) is None


def test_records_from_anywhere_are_written_as_they_come(run):
    texts = ["apple", "zinc", "rhine"]
    records = (Record(number, text, None, {}) for number, text in enumerate(texts, start=1))
    found = list(written_rows(run, records, Form()))
    assert [row["label"] for row in found] == [prediction.label for prediction in run.predict(texts)]


def test_mc_dropout_reaches_the_written_rows(run, tmp_path):
    path = separable(6, seed=5).write(tmp_path / "new.csv")
    plain, dropped = (predicted(run, path, mc_dropout=count) for count in (0, 3))
    assert [row["score"] for row in plain] != [row["score"] for row in dropped]


def test_onnx_writes_the_rows_that_torch_writes(run, tmp_path):
    path = separable(20, seed=5).write(tmp_path / "new.csv")
    by_torch, by_onnx = predicted(run, path), predicted(run, path, engine="onnx")
    assert [(row["text"], row["predicted_label"]) for row in by_torch] == [
        (row["text"], row["predicted_label"]) for row in by_onnx
    ]
    assert [row["score"] for row in by_torch] == pytest.approx([row["score"] for row in by_onnx], abs=2e-6)


# ----------------------------------------------------------------------------------------------------------- evaluation


def test_onnx_scores_as_torch_does(run, tmp_path):
    path = separable(30, seed=5).write(tmp_path / "test.csv")
    one, other = (
        evaluate_file(run, SourceSpec(path=str(path)), run.recipe.data, engine=engine)[2] for engine in ("torch", "onnx")
    )
    assert one.scores.accuracy == other.scores.accuracy
    assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)
    assert [(mistake.row, mistake.predicted) for mistake in one.scores.mistakes] == [
        (mistake.row, mistake.predicted) for mistake in other.scores.mistakes
    ]


def test_the_test_rows_in_a_file_score_as_they_did_in_training(run, data_file, tmp_path):
    from rankwise.data.labelled import read_labelled

    test = read_labelled(run.recipe.data.model_copy(update={"source": str(data_file)})).test
    path = Rows(list(test.texts), list(test.labels)).write(tmp_path / "test.csv")
    table, _, found = evaluate_file(run, SourceSpec(path=str(path)), run.recipe.data)
    assert table.layout.label == "label"
    assert replace(found.scores, mistakes=()) == replace(run.scores.test, mistakes=())


@pytest.fixture(scope="module")
def numbered(run_for, tmp_path_factory):
    """A run whose classes are called 1, 2 and 3."""
    rows = separable(60, seed=2)
    names = {name: str(place) for place, name in enumerate(sorted(set(rows.labels)), start=1)}
    path = Rows(rows.texts, [names[label] for label in rows.labels]).write(tmp_path_factory.mktemp("n") / "numbers.csv")
    return run_for("bert", f"data.source={path}", "data.classes=[]")


@pytest.mark.parametrize("strange", ["0", "4"])
def test_a_number_that_no_class_has_is_a_label_like_any_other(numbered, tmp_path, strange):
    assert numbered.preprocessing.classes == ("1", "2", "3")
    path = Rows(["x y", "y x", "x x"], ["1", "2", strange]).write(tmp_path / "test.csv")
    with pytest.raises(DataError, match=f"row 3: label '{strange}' is not among the classes"):
        evaluate_file(numbered, SourceSpec(path=str(path)), numbered.recipe.data)
    spec = numbered.recipe.data.model_copy(update={"unseen_labels": "wrong"})
    *_, found = evaluate_file(numbered, SourceSpec(path=str(path)), spec)
    assert found.scores.accuracy.value <= 2 / 3


def test_a_text_with_half_a_character_is_refused(run):
    with pytest.raises(DataError, match="text 1 holds half of a character"):
        run.predict(["fine", "a\ud800"])


def test_a_label_that_the_run_never_saw_is_refused_or_counted_as_wrong(run, tmp_path):
    data = separable(6, seed=5)
    path = Rows(data.texts, [*data.labels[:5], "cloud"]).write(tmp_path / "test.csv")
    with pytest.raises(DataError, match="row 6: label 'cloud' is not among the classes"):
        evaluate_file(run, SourceSpec(path=str(path)), run.recipe.data)
    spec = run.recipe.data.model_copy(update={"unseen_labels": "wrong"})
    *_, found = evaluate_file(run, SourceSpec(path=str(path)), spec)
    right = [p.label == label for p, label in zip(run.predict(data.texts[:5]), data.labels[:5], strict=True)]
    assert found.scores.accuracy.value == pytest.approx(sum(right) / 6)


@pytest.mark.parametrize("first", [0, 1])
def test_numbered_labels_are_read_in_the_order_that_is_given(run, tmp_path, first):
    data = separable(9, seed=5)
    named = data.write(tmp_path / "named.csv")
    numbers = [str(CLASSES.index(label) + first) for label in data.labels]
    numbered = Rows(data.texts, numbers).write(tmp_path / "numbered.csv")
    *_, by_name = evaluate_file(run, SourceSpec(path=str(named)), run.recipe.data)
    *_, by_number = evaluate_file(run, SourceSpec(path=str(numbered)), run.recipe.data, numbering=CLASSES)
    assert by_number.scores == by_name.scores


def test_numbered_labels_without_an_order_are_not_guessed(run, tmp_path):
    data = separable(9, seed=5)
    path = Rows(data.texts, [str(CLASSES.index(label)) for label in data.labels]).write(tmp_path / "numbered.csv")
    with pytest.raises(DataError, match="nothing says which is which"):
        evaluate_file(run, SourceSpec(path=str(path)), run.recipe.data)


def test_no_score_is_given_for_rows_without_labels(run, tmp_path):
    path = Rows(separable(9, seed=5).texts, ["-1"] * 9).write(tmp_path / "test.csv")
    spec = run.recipe.data.model_copy(update={"unseen_labels": "wrong"})
    with pytest.raises(Unlabelled, match=r"every label of test\.csv is -1: unlabelled"):
        evaluate_file(run, SourceSpec(path=str(path)), spec)


def test_rows_that_a_run_was_trained_on_are_counted_under_any_name(run, data_file, tmp_path):
    copy = tmp_path / "renamed.csv"
    copy.write_text(data_file.read_text("utf-8"), "utf-8")
    split = read_labelled(run.recipe.data)
    trained = len(split.train.texts) + len(split.validation.texts)
    assert seen_in_training(run, read_table(SourceSpec(path=str(copy)), DataSpec())) == trained < 60
    assert seen_in_training(run, split.test) == 0
    assert seen_in_training(run, read_table(SourceSpec(path=str(separable(9, seed=8).write(copy))), DataSpec())) == 0


# -------------------------------------------------------------------------------------------------------------- sources


def test_a_folder_means_its_test_rows(tmp_path):
    for name in ("train", "validation", "test"):
        separable(6, seed=5).write(tmp_path / f"{name}.csv")
    (tmp_path / "classes.txt").write_text("river\nfruit\nmetal\n", "utf-8")
    source, numbering = source_for(DataSpec(source=str(tmp_path)), labelled=True)
    assert source.path == str(tmp_path / "test.csv")
    assert numbering == ("river", "fruit", "metal")


def test_a_folder_with_nothing_but_test_rows_means_those(tmp_path):
    separable(6, seed=5).write(tmp_path / "test.csv")
    assert source_for(DataSpec(source=str(tmp_path)), labelled=False)[0].path == str(tmp_path / "test.csv")


def test_a_file_means_itself(data_file):
    assert source_for(DataSpec(source=str(data_file)), labelled=True)[0].path == str(data_file)


@pytest.mark.parametrize(("labelled", "name"), [(True, "test.csv"), (False, "unlabelled.csv")])
def test_the_sample_means_its_test_or_its_unlabelled_rows(labelled, name):
    assert source_for(DataSpec(source="sample"), labelled=labelled)[0].path.endswith(f"sample/{name}")
