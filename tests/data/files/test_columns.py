"""Columns are taken by name, or by a guess that says why; where two readings fit, the error has commands that work."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from random import Random

import pytest
from tables import failing, read, write

from rankwise.errors import DataError
from rankwise.recipe import Recipe

WORDS = ("parcel", "refund", "password", "invoice", "courier", "screen", "thanks", "delivery")


def sentence(number: int) -> str:
    """A text that no other number has."""
    return f"my {WORDS[number % 8]} and the {WORDS[number // 8 % 8]} again on visit {number}"


def rows(*columns, count: int = 60, header: str = "") -> str:
    """A CSV whose columns are functions of the row's number."""
    lines = [",".join(str(column(number)) for column in columns) for number in range(count)]
    return "\n".join([*filter(None, [header]), *lines, ""])


def label(number: int) -> str:
    return ("login", "billing", "praise")[number % 3]


def date(number: int) -> str:
    return f"Mon Apr {number % 28 + 1:02d} 22:{number % 60:02d}:45 PDT 2009"


def typed(path: Path, message: str) -> list[list[str]]:
    """Every command of a message that chooses columns or says whether there is a header, as its settings."""
    runs = re.findall(r"(?:--set (?:'[^']*'|\S+) ?)+", message.replace(";", " ;").replace(", type", " , type"))
    return [[word for word in shlex.split(run) if word != "--set"] for run in runs]


def read_as_typed(path: Path, settings: list[str]):
    data = Recipe().with_overrides([f"data.source={path}", *settings]).data
    return read(path, **{key: getattr(data, key) for key in ("text", "text_pair", "label", "header")})


@pytest.mark.parametrize(
    "as_date", [date, lambda n: f"2024-03-{n % 28 + 1:02d}", lambda n: f"{n % 28 + 1}.03.2024 12:0{n % 9}"]
)
@pytest.mark.parametrize("user", [lambda n: f"user_{n * 37 % 1000}", lambda n: f"https://x.org/{n}"])
def test_ids_dates_and_users_of_a_headerless_file_are_left_out_with_a_word(tmp_path: Path, as_date, user) -> None:
    content = rows(lambda n: n % 2 * 4, lambda n: 1467800000 + 37 * n, as_date, lambda _: "NO_QUERY", user, sentence)
    table = read(write(tmp_path / "t.csv", content))
    assert (table.layout.text, table.layout.label, set(table.labels or ())) == (("5",), "0", {"0", "4"})
    assert "guessed by what is in them; few values in column 0: '0', '4'" in table.layout.describe()
    assert "left out: columns 1 (unique numbers), 2 (dates), 3 (one value), 4 (unique codes)" in table.layout.describe()
    assert table.warnings == ()


def test_a_row_number_is_no_text(tmp_path: Path) -> None:
    table = read(write(tmp_path / "t.csv", rows(lambda n: n, sentence, label)))
    assert (table.layout.text, table.layout.label) == (("1",), "2")


def test_a_label_that_all_of_the_first_thousand_rows_share_is_found(tmp_path: Path) -> None:
    content = rows(lambda n: "neg" if n < 1_500 else "pos", sentence, count=3_000)
    table = read(write(tmp_path / "t.csv", content))
    assert (table.layout.label, set(table.labels or ())) == ("0", {"neg", "pos"})


@pytest.mark.parametrize(
    "content",
    [
        rows(lambda n: "neg" if n < 1_500 else "pos", lambda n: ("web", "app")[n // 3 % 2], sentence, count=3_000),
        rows(label, lambda n: n % 5 + 1, sentence),
        rows(label, lambda n: ("west", "east")[n // 7 % 2], sentence, header="sentiment,class,text"),
        rows(sentence, sentence, label, header="comment,answer,mood"),
        rows(sentence, lambda n: n % 2, lambda n: n // 2 % 2, header="comment_text,toxic,rude"),
        rows(sentence, label, header="comment,mood"),
        rows(lambda n: n, sentence, label, header="nr,comment,my mood"),
        rows(sentence, lambda n: ("web", "app")[n // 4 % 2], label, header="comment,channel,mood"),
    ],
    ids=["sorted", "rating", "two names", "two texts", "flags", "a likely header", "an unknown header", "two unknown names"],
)
def test_where_two_readings_fit_the_commands_are_given_and_work(tmp_path: Path, content: str) -> None:
    path = write(tmp_path / "t.csv", content)
    commands = typed(path, failing(path))
    assert len(commands) > 1 or "nr," in content
    layouts = [read_as_typed(path, each).layout for each in commands]
    read_differently = {(layout.text, layout.text_pair, layout.label) for layout in layouts}
    assert len(read_differently) == len(commands)


@pytest.mark.parametrize("header", ["", "id,text"])
def test_a_file_without_anything_like_a_label_gets_no_advice_that_would_fail(tmp_path: Path, header: str) -> None:
    message = failing(write(tmp_path / "t.csv", rows(lambda n: n, sentence, header=header)))
    assert "; none holds values that repeat, as labels do; add a column of labels" in message
    assert "--set" not in message


def test_objects_in_the_cells_of_a_column_are_no_text(tmp_path: Path) -> None:
    for made in (lambda n: f'"{{""id"": {n}, ""source"": ""web""}}"', lambda n: f"\"{{'id': {n}, 'source': 'app'}}\""):
        table = read(write(tmp_path / "t.csv", rows(made, sentence, label)))
        assert (table.layout.text, table.layout.label) == (("1",), "2")
        assert "left out: column 0 (objects)" in table.layout.describe()


@pytest.mark.parametrize(
    "entry",
    [
        lambda n: {"fields": {"text": sentence(n)}, "responses": [{"value": label(n)}], "suggestions": []},
        lambda n: {"text": sentence(n), "scores": {"login": 1.0, "billing": 0.0}},
        lambda n: {"content": sentence(n), "classifications": [{"classname": label(n)}], "annotations": []},
    ],
)
def test_columns_of_objects_are_never_suggested_for_they_would_be_refused(tmp_path: Path, entry) -> None:
    message = failing(write(tmp_path / "t.jsonl", "\n".join(json.dumps(entry(number)) for number in range(60))))
    assert "objects; write what is in them into columns of their own" in message
    assert typed(tmp_path, message) == []


def test_constant_columns_of_zeros_and_ones_are_no_flags(tmp_path: Path) -> None:
    content = rows(lambda _: 1, lambda _: 0, label, sentence, header="seen,spam,stars,text")
    assert "several labels" not in failing(write(tmp_path / "t.csv", content))


def test_flags_are_named_as_several_labels(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", rows(sentence, lambda n: n % 2, lambda n: n // 2 % 2, header="comment_text,toxic,rude"))
    message = failing(path)
    assert "columns toxic, rude hold only 0 and 1" in message
    assert "--set data.text=comment_text --set data.label=toxic or" in message


def test_a_column_called_label_goes_before_other_names_which_are_told(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.csv", rows(label, lambda n: ("west", "east")[n // 7 % 2], sentence, header="label,category,text")
    )
    table = read(path)
    assert table.layout.label == "label"
    assert "column 'category' ('west', 'east') may be the label too" in table.warnings[0]
    assert [read_as_typed(path, each).layout.label for each in typed(path, table.warnings[0])] == ["category"]


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ("label,title,content", ("title", "content")),
        ("class,headline,body", ("headline", "body")),
        ("target,Title,Abstract", ("Title", "Abstract")),
        ("category,subject,message", ("subject", "message")),
        ("label,summary,text", ("text",)),
    ],
)
def test_a_title_goes_with_its_body_whatever_they_are_called(tmp_path: Path, header: str, text: tuple[str, ...]) -> None:
    table = read(write(tmp_path / "t.csv", rows(label, sentence, sentence, header=header)))
    assert table.layout.text == text
    assert len(table.warnings) == (len(text) == 1), "what is left out is told"


def test_a_subject_that_is_a_few_words_is_no_title(tmp_path: Path) -> None:
    table = read(
        write(tmp_path / "t.csv", rows(label, lambda n: ("news", "politics")[n % 2], sentence, header="label,subject,text"))
    )
    assert table.layout.text == ("text",)


@pytest.mark.parametrize(
    ("column", "says"),
    [
        (lambda n: 1467800000 + n, "numbers, nearly all different"),
        (lambda n: f"row{n}", "codes, nearly all different, as ids are"),
        (date, "dates, such as"),
        (lambda _: "NO_QUERY", "'NO_QUERY' in every row"),
        (lambda _: "", "blank in every row"),
        (lambda n: ("web", "app")[n % 2], "tells the label by itself"),
    ],
    ids=["id", "code", "date", "constant", "blank", "telling"],
)
def test_a_joined_column_that_is_no_text_is_warned_of(tmp_path: Path, column, says: str) -> None:
    path = write(tmp_path / "t.csv", rows(lambda n: ("neg", "pos")[n % 2], column, sentence))
    warnings = read(path, text=[1, 2], label=0).warnings
    assert any(says in warning for warning in warnings), warnings
    assert read(path, text=2, label=0).warnings == ()


def test_a_column_that_says_which_split_a_row_is_of_is_told(tmp_path: Path) -> None:
    for values in (("train", "test"), ("test", "train"), ("Train", "Dev", "Test"), ("training", "validation")):
        split = lambda n, values=values: values[n * len(values) // 1500]  # noqa: E731
        content = rows(sentence, label, split, header="text,label,part", count=1500)
        (warning,) = read(write(tmp_path / "t.csv", content)).warnings
        assert "column 'part'" in warning
        assert "says which split a row is of, and all rows are read as one" in warning
    for values in (("test", "build"), ("dev", "test"), ("eval", "test")):
        stage = lambda n, values=values: values[n % 2]  # noqa: E731
        assert read(write(tmp_path / "t.csv", rows(sentence, label, stage, header="text,label,stage"))).warnings == ()


def test_a_text_column_of_objects_is_warned_of(tmp_path: Path) -> None:
    made = lambda n: f'"{{""title"": ""{sentence(n)}""}}"'  # noqa: E731
    (warning,) = read(write(tmp_path / "t.csv", rows(made, label, header="text,label"))).warnings
    assert "it holds objects with values of their own" in warning


def test_ids_that_run_with_the_label_are_said_to_tell_it(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", rows(lambda n: ("neg", "pos")[n // 30], lambda n: n + 1000, sentence))
    assert any("tells the label by itself" in warning for warning in read(path, text=[1, 2], label=0).warnings)


def test_names_of_people_joined_by_a_guess_are_warned_of(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", rows(label, lambda n: f"Ann{n} Lee", sentence))
    (warning,) = read(path).warnings
    assert "column 1 has 2.0 words a row, such as 'Ann0 Lee'" in warning
    assert [read_as_typed(path, each).layout.text for each in typed(path, warning)] == [("2",)]


BESIDE = {  # what may stand beside text and label in people's files
    "id": lambda n: 1467800000 + 37 * n,
    "code": lambda n: f"A-{n * 7919 % 9973:04d}",
    "row": lambda n: n,
    "user": lambda n: f"user{n * 37 % 1000}",
    "day": lambda n: f"2024-{n % 12 + 1:02d}-{n % 28 + 1:02d}",
    "hour": lambda n: f"{n % 24}:{n % 60:02d}",
    "year": lambda n: 1990 + n % 30,
    "month": lambda n: ("March 2020", "April 2021", "May 2022")[n % 3],
    "rating": lambda n: n // 2 % 5 + 1,
    "price": lambda n: f"{n * 13 % 977 / 10:.2f}",
    "flag": lambda n: n // 5 % 2,
    "channel": lambda n: ("web", "app", "phone")[n // 4 % 3],
    "empty": lambda _: "",
    "same": lambda _: "NO_QUERY",
    "mail": lambda n: f"ann{n}@example.org",
    "link": lambda n: f"https://example.org/{n}",
    "uuid": lambda n: f"{n * 7919 % 65521:08x}-e3ab-4765-{n:04d}-8589d9146c66",
    "euros": lambda n: f"\u20ac {n * 7 % 400}.{n % 90 + 10}",
    "phone": lambda n: f"+49 {n * 37 % 900 + 100} {n * 7919 % 9000 + 1000}",
    "place": lambda n: f'"{n * 17 % 180 - 90}.5, {n * 13 % 360 - 180}.25"',
    "stamp": lambda n: f"2024-03-{n % 28 + 1:02d}T10:{n % 60:02d}:07.25Z",
    "meta": lambda n: f'"{{""id"": {n}, ""source"": ""the app""}}"',
    "language": lambda n: ("en", "de", "fr")[n // 3 % 3],
}


@pytest.mark.parametrize("seed", range(60))
def test_of_columns_in_any_order_text_and_label_are_found_or_asked_for(tmp_path: Path, seed: int) -> None:
    draw = Random(seed)
    beside = draw.sample(sorted(BESIDE), draw.randrange(5))
    names = draw.sample(["text", "label", *beside], len(beside) + 2)
    labels = draw.choice([lambda n: ("neg", "pos")[n >= 45], label, lambda n: n % 4, lambda n: ("no", "yes")[n % 2]])
    makes = {"text": sentence, "label": labels, **BESIDE}
    content = rows(*(makes[name] for name in names), count=90)
    path = write(tmp_path / "t.csv", content)
    text, truth = [sentence(n) for n in range(90)], [str(labels(n)) for n in range(90)]
    asked = ""
    try:
        table = read(path)
    except DataError as error:
        asked = str(error)
        table = read(path, text=names.index("text"), label=names.index("label"))
    assert not asked or f"--set data.text={names.index('text')} --set data.label={names.index('label')}" in asked
    assert (list(table.texts), list(table.labels or ())) == (text, truth)


# ------------------------------------------------------------------------------------------------------- class names


@pytest.mark.parametrize("name", ["label_text", "label_name", "label-name", "topic"])
def test_a_column_of_names_beside_numeric_labels_names_the_classes_in_their_order(tmp_path: Path, name: str) -> None:
    names = ("praise", "login", "billing")
    content = rows(sentence, lambda n: n % 3, lambda n: names[n % 3], header=f"text,label,{name}")
    table = read(write(tmp_path / "t.csv", content))
    assert (table.layout.label, table.layout.classes) == (name, names)
    assert set(table.labels or ()) == set(names)
    assert read(tmp_path / "t.csv", label="label").layout.classes == ()


def test_names_of_a_file_sorted_by_label_are_found_too(tmp_path: Path) -> None:
    content = rows(
        sentence, lambda n: n // 1_500, lambda n: ("no", "si")[n // 1_500], header="text,label,label_text", count=3_000
    )
    assert read(write(tmp_path / "t.csv", content)).layout.classes == ("no", "si")


def test_a_column_that_does_not_go_with_the_numbers_gives_no_names(tmp_path: Path) -> None:
    content = rows(sentence, lambda n: n % 3, lambda n: ("web", "app")[n // 4 % 2], header="text,label,source")
    assert read(write(tmp_path / "t.csv", content)).layout.label == "label"


def test_a_number_with_two_names_further_down_is_refused_with_both_columns(tmp_path: Path) -> None:
    content = rows(
        sentence,
        lambda n: n % 2,
        lambda n: "odd" if n % 2 or n == 1_998 else "even",
        header="text,label,label_text",
        count=2_000,
    )
    path = write(tmp_path / "t.csv", content)
    commands = typed(path, failing(path))
    assert [read_as_typed(path, each).layout.label for each in commands] == ["label_text", "label"]


# ------------------------------------------------------------------------------------------------------------ headers


def test_a_header_that_stands_again_is_dropped_with_a_word(tmp_path: Path) -> None:
    part = rows(sentence, label, header="text,label", count=6)
    table = read(write(tmp_path / "t.csv", part + part))
    assert table.dropped == {"the header again": 1}
    assert set(table.labels or ()) == {"login", "billing", "praise"}


def test_a_class_with_the_name_of_a_column_makes_no_header(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", rows(lambda n: ("text", "code")[n % 2], sentence))
    assert "--set data.header=true or --set data.header=false" in failing(path)
    assert read(path, header=False).labels == ("text", "code") * 30


def test_a_header_over_labels_that_were_named_by_position_is_asked_about(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", rows(label, sentence, header="mood,comment"))
    message = failing(path, text=1, label=0)
    assert "--set data.header=false" in message
    assert len(read(path, text=1, label=0, header=True).texts) == 60


def test_two_columns_of_one_name_can_be_read_without_the_header(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "text,label,text\nx y z,a,\nx z z,a,\n")
    assert "--set data.header=false" in failing(path)
    assert len(read(path, header=False, text=0, label=1).texts) == 3


def test_a_label_that_is_not_there_is_not_mistaken_for_the_text(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", rows(lambda n: n, sentence, header="id,text"))
    with pytest.raises(DataError, match=r"no column 'target' among id, text$"):
        read(path, label="target")
