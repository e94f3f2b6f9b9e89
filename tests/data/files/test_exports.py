"""Exports of annotation tools give a label a row, or a list of several; rows that were not accepted are left out."""

import json
from pathlib import Path
from typing import Any

import pytest
from tables import failing, read, write

from rankwise.data.files.rows import PROBED_ROWS

NAMES = [{"id": 7, "text": "delivery", "suffix_key": "d"}, {"id": 9, "text": "praise", "suffix_key": "p"}]


def lines(path: Path, *rows: dict[str, Any]) -> Path:
    return write(path, "\n".join(map(json.dumps, rows)))


def choice(
    *accepted: str | int, answer: str = "accept", ids: tuple[str | int, ...] = ("DELIVERY", "PRAISE")
) -> dict[str, Any]:
    """A task of Prodigy with options, of which some were accepted."""
    options = [{"id": number, "text": name} for number, name in zip(ids, ("delivery", "praise"), strict=True)]
    return {"text": "x", "options": options, "accept": list(accepted), "answer": answer}


def annotated(*labels: int | str) -> dict[str, Any]:
    """A row of doccano's older JSONL, each label given by another annotator."""
    return {"text": "x", "annotations": [{"label": label, "user": user} for user, label in enumerate(labels)], "meta": {}}


def by_one(*labels: str) -> dict[str, Any]:
    """A row of doccano's older JSONL whose labels one annotator gave."""
    return {"text": "x", "annotations": [{"label": label, "user": 1} for label in labels], "meta": {}}


def test_what_was_accepted_in_prodigy_is_the_label(tmp_path: Path) -> None:
    table = read(lines(tmp_path / "t.jsonl", choice("PRAISE"), choice("DELIVERY")))
    assert table.labels == ("PRAISE", "DELIVERY")
    assert table.layout.describe() == "t.jsonl: JSONL, Prodigy; label = label, text = text"


def test_numbered_options_are_read_by_their_words(tmp_path: Path) -> None:
    rows = [choice(number % 2, ids=(0, 1)) for number in range(20)]
    table = read(lines(tmp_path / "t.jsonl", *rows))
    assert (table.labels or ())[:2] == ("delivery", "praise")
    assert table.layout.classes == ("delivery", "praise")


def test_rows_that_were_rejected_or_ignored_are_left_out_though_nothing_was_chosen(tmp_path: Path) -> None:
    table = read(lines(tmp_path / "t.jsonl", choice("PRAISE"), choice(answer="ignore"), choice("DELIVERY", answer="reject")))
    assert (table.labels, table.dropped) == (("PRAISE",), {"answer is reject or ignore": 2})


def test_doccanos_numbers_are_read_by_the_names_beside_them(tmp_path: Path) -> None:
    write(tmp_path / "label_config.json", json.dumps(NAMES))
    table = read(lines(tmp_path / "t.jsonl", annotated(9), annotated(7, 7)))
    assert table.labels == ("praise", "delivery")
    assert "doccano, label names of label_config.json;" in table.layout.describe()


def test_doccanos_numbers_without_names_stay_numbers_and_it_is_told(tmp_path: Path) -> None:
    write(tmp_path / "others.json", json.dumps([{"id": 1, "text": "of other data"}]))
    table = read(lines(tmp_path / "t.jsonl", annotated(9), annotated(7)))
    assert table.labels == ("9", "7")
    assert "labels are its numbers: put its label_config.json beside the file" in table.layout.describe()


@pytest.mark.parametrize(
    "rows",
    [
        [{"id": 7, "text": "my parcel is late"}, {"id": 9, "text": "how kind"}],
        [{"id": 7, "text": "late", "annotations": [], "meta": {}}, {"id": 9, "text": "kind", "annotations": [], "meta": {}}],
        [{**name, "annotations": []} for name in NAMES],
    ],
)
def test_rows_in_another_file_name_no_labels(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    write(tmp_path / "test.json", json.dumps(rows))
    assert read(lines(tmp_path / "train.jsonl", annotated(9), annotated(7))).labels == ("9", "7")


@pytest.mark.parametrize("key", ["prefix_key", "suffixKey", "background_color", "textColor"])
def test_labels_of_each_of_doccanos_versions_are_known(tmp_path: Path, key: str) -> None:
    write(
        tmp_path / "labels.json",
        json.dumps([{"id": 1, "text": "delivery", key: None}, {"id": 2, "text": "praise", key: "p"}]),
    )
    assert read(lines(tmp_path / "t.jsonl", annotated(2), annotated(1))).labels == ("praise", "delivery")


def test_a_number_without_a_name_among_named_ones_is_refused_wherever_it_stands(tmp_path: Path) -> None:
    write(tmp_path / "label_config.json", json.dumps(NAMES))
    path = lines(tmp_path / "t.jsonl", *[annotated(number) for number in [7, 9] * (PROBED_ROWS // 2)], annotated(12))
    assert "label 12 has no name in label_config.json beside it, as others have; add it there" in failing(path)
    write(tmp_path / "label_config.json", json.dumps([*NAMES, {"id": 12, "text": "returns", "suffix_key": "r"}]))
    assert (read(path).labels or ())[-1] == "returns"


def test_two_files_that_name_the_numbers_unlike_are_asked_about(tmp_path: Path) -> None:
    write(tmp_path / "a.json", json.dumps(NAMES))
    write(tmp_path / "b.json", json.dumps({"7": "x", "9": "y"}))
    assert "a.json and b.json beside it name its labels unlike" in failing(lines(tmp_path / "t.jsonl", annotated(9)))


def test_names_in_doccanos_annotations_are_the_labels(tmp_path: Path) -> None:
    table = read(lines(tmp_path / "t.jsonl", annotated("praise"), annotated("delivery")))
    assert table.labels == ("praise", "delivery")
    assert table.layout.format == "JSONL, doccano"


def test_the_category_that_a_text_has_in_spacys_format_is_the_label(tmp_path: Path) -> None:
    cats = [{"text": "x", "cats": {"praise": 1.0, "delivery": 0.0}}, {"text": "y", "cats": {"praise": 0, "delivery": 1}}]
    table = read(lines(tmp_path / "t.jsonl", *cats))
    assert table.labels == ("praise", "delivery")


@pytest.mark.parametrize(
    ("row", "other", "labels"),
    [
        (choice("PRAISE", "DELIVERY"), choice("DELIVERY"), ('["PRAISE", "DELIVERY"]', '["DELIVERY"]')),
        (choice(1, 0, ids=(0, 1)), choice(0, ids=(0, 1)), ('["praise", "delivery"]', '["delivery"]')),
        (choice("PRAISE", "DELIVERY"), choice(), ('["PRAISE", "DELIVERY"]', "[]")),
        (by_one("a", "b"), annotated("a"), ('["a", "b"]', '["a"]')),
        (by_one("a", "b"), annotated("b", "a"), ('["a", "b"]', '["b", "a"]')),
        ({"text": "x", "cats": {"a": 1, "b": 1}}, {"text": "y", "cats": {"a": 0, "b": 0}}, ('["a", "b"]', "[]")),
        ({"text": "x", "labels": ["a", "b"]}, {"text": "y", "labels": []}, ('["a", "b"]', "[]")),
    ],
)
def test_several_labels_are_a_list_and_none_of_them_an_empty_one(
    tmp_path: Path, row: dict[str, Any], other: dict[str, Any], labels: tuple[str, ...]
) -> None:
    assert read(lines(tmp_path / "t.jsonl", row, other)).labels == labels


def test_doccanos_annotators_who_say_unlike_things_are_refused(tmp_path: Path) -> None:
    message = failing(lines(tmp_path / "t.jsonl", annotated("a"), annotated("a", "b")))
    assert "annotators gave one text the labels a and b" in message


def test_a_task_of_prodigy_that_takes_several_choices_says_none_where_none_was_made(tmp_path: Path) -> None:
    several = {"config": {"choice_style": "multiple"}}
    rows = [choice("PRAISE") | several, choice() | several, choice(answer="ignore") | several, choice("DELIVERY") | several]
    table = read(lines(tmp_path / "t.jsonl", *rows, choice("PRAISE", "DELIVERY") | several))
    assert table.labels == ('["PRAISE"]', "[]", '["DELIVERY"]', '["PRAISE", "DELIVERY"]')
    assert table.dropped == {"answer is reject or ignore": 1}


def record(*answers: Any, suggested: Any = None, question: str = "topic", **more: Any) -> dict[str, Any]:
    """A record of Argilla as records.to_json writes it, with the answers of one annotator each."""
    suggestions = {} if suggested is None else {question: {"value": suggested, "score": 0.9, "agent": "model"}}
    responses = {question: [{"value": value, "user_id": f"u{user}"} for user, value in enumerate(answers)]} if answers else {}
    return {
        "id": "1",
        "fields": {"text": "x"},
        "metadata": {"source": "web"},
        "suggestions": suggestions,
        "responses": responses,
        "vectors": {},
        "_server_id": "5f",
    } | more


def flattened(*answers: Any, status: str = "submitted", suggested: str = "praise") -> dict[str, Any]:
    """The same as records.to_list(flatten=True) gives it."""
    about = {"topic.suggestion": suggested, "topic.suggestion.score": 0.9, "topic.suggestion.agent": "model"}
    users = {"topic.responses.users": ["u"] * len(answers), "topic.responses.status": [status] * len(answers)}
    return {"id": "1", "_server_id": "5f", "text": "x", "source": "web", "topic.responses": list(answers), **users, **about}


@pytest.mark.parametrize("made", [record, flattened])
def test_what_annotators_answered_in_argilla_is_the_label_and_what_was_suggested_is_not(tmp_path: Path, made: Any) -> None:
    rows = [made("praise", suggested="delivery"), made("delivery", "delivery", suggested="praise")]
    table = read(write(tmp_path / "t.json", json.dumps(rows)))
    assert (tuple(table.texts), table.labels) == (("x", "x"), ("praise", "delivery"))
    assert table.layout.describe() == "t.json: JSON array, Argilla; label = label, text = text"
    assert read(tmp_path / "t.json", label="topic.suggestion").labels == ("delivery", "praise")


@pytest.mark.parametrize("made", [record, flattened])
def test_several_answers_to_argillas_question_are_a_list(tmp_path: Path, made: Any) -> None:
    rows = [made(["a", "b"], ["b", "c"]), made(["a"]), made([])]
    assert read(write(tmp_path / "t.json", json.dumps(rows))).labels == ('["a", "b", "c"]', '["a"]', "[]")


@pytest.mark.parametrize("none", [record(suggested="praise"), record(), flattened(), flattened("praise", status="discarded")])
def test_a_record_of_argilla_without_an_answer_has_no_label(tmp_path: Path, none: dict[str, Any]) -> None:
    made = flattened if "text" in none else record
    table = read(write(tmp_path / "t.json", json.dumps([*[made("praise")] * 40, none])))
    assert table.dropped == {"missing label": 1}


def test_each_of_argillas_questions_is_a_column_and_spans_are_no_label(tmp_path: Path) -> None:
    spans = {"where": [{"value": [{"start": 0, "end": 1, "label": "x"}], "user_id": "u"}]}
    row = record("praise")
    row["responses"] |= {"stars": [{"value": 4, "user_id": "u"}], **spans}
    path = write(tmp_path / "t.json", json.dumps([row]))
    assert read(path, label="stars").labels == ("4",)
    assert read(path, label="topic").labels == ("praise",)
    assert "where" not in read(path, label="topic").layout.columns


@pytest.mark.parametrize(
    "row", [choice("PRAISE"), annotated("PRAISE"), {"text": "x", "label": "PRAISE", "Comments": [{"text": "y"}]}]
)
def test_a_file_of_one_row_is_that_row(tmp_path: Path, row: dict[str, Any]) -> None:
    table = read(lines(tmp_path / "t.jsonl", row))
    assert (tuple(table.texts), table.labels) == (("x",), ("PRAISE",))
