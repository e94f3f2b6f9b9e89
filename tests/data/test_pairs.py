"""A pair of texts goes through the data as one text with two sides: columns, cleaning, tokens, splits, repeats, shifts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import failing, read, real, write
from transformers import AutoTokenizer

from conftest import FAMILIES, tiny_tokenizer
from rankwise.data.audit import audit
from rankwise.data.clean import clean
from rankwise.data.files.table import table_of
from rankwise.data.labelled import read_labelled, split_tables
from rankwise.data.pairs import apart, is_blank, is_pair, pair_of, shown, sides
from rankwise.data.prepare import prepare
from rankwise.data.shifts import KINDS, shift
from rankwise.data.tokenizer import read_tokenizer
from rankwise.data.tokens import tokenize
from rankwise.errors import DataError
from rankwise.recipe import DataSpec

ROWS = [("the apple of iron", "a pear", "yes"), ("zinc and tin", "some copper", "no"), ("a fig", "the don", "yes")]
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
LONG = [
    ("apple and pear under the very long rhine near iron", "zinc"),
    ("tin", "the volga and the nile and some copper with lead"),
    ("plum and fig and lemon with iron", "steel under the very quite danube"),
    ("", "near"),
]


def file_of(path: Path, rows=ROWS, columns=("premise", "hypothesis", "label")):
    return write(path, "\n".join(map(",".join, [columns, *rows])) + "\n")


@given(TEXTS, TEXTS)
def test_a_pair_is_its_two_sides_again(first, second):
    pair = pair_of(first, second)
    assert is_pair(pair)
    assert (sides(pair), apart(pair)) == ([first, second], (first, second))
    assert is_blank(pair) == (not first.strip() or not second.strip())
    assert not is_pair(shown(pair))


@pytest.mark.parametrize(
    "columns",
    [
        ("sentence1", "sentence2", "label"),
        ("label", "sentence2", "sentence1"),
        ("pair_ID", "sentence_A", "sentence_B", "relatedness_score", "entailment_judgment"),
        ("Premise", "Hypothesis", "gold_label"),
        ("question1", "question2", "is_duplicate"),
        ("id", "text_a", "text_b", "class"),
        ("text", "text_pair", "label"),
    ],
)
def test_columns_whose_names_say_so_are_a_pair(tmp_path, columns):
    cells = [[f"{name} of row {row}, {'yes' if row % 2 else 'no'}" for name in columns] for row in range(12)]
    label = next(index for index, name in enumerate(columns) if "label" in name or name in (*columns[-1:], "class"))
    for row, line in enumerate(cells):
        line[label] = "yes" if row % 2 else "no"
    table = read(write(tmp_path / "t.tsv", "\n".join("\t".join(line) for line in [columns, *cells]) + "\n"))
    first, second = table.layout.text[0].lower(), table.layout.text_pair[0].lower()
    assert (first, second) in {
        ("premise", "hypothesis"),
        ("text", "text_pair"),
        (first, first[:-1] + chr(ord(first[-1]) + 1)),
    }
    assert table.layout.label == columns[label]
    assert sides(table.texts[0]) == [f"{name} of row 0, no" for name in table.layout.read]


def test_the_layout_says_which_column_is_which_and_how_to_join_them(tmp_path):
    path = file_of(tmp_path / "t.csv", [*ROWS, *((f"{first} {row}", *rest) for row in range(20) for first, *rest in ROWS)])
    labelled = read_labelled(DataSpec(source=str(path), split={"test": 4, "validation": 4}))
    assert labelled.train.layout.describe().endswith("label = label, text = premise, text_pair = hypothesis")
    assert any("to read them joined, type --set 'data.text=[premise, hypothesis]'" in note for note in labelled.notes)
    joined = read(path, text=["premise", "hypothesis"])
    assert (joined.layout.text_pair, joined.texts[0]) == ((), "the apple of iron . a pear")


def test_columns_may_be_named_by_name_and_by_position(tmp_path):
    named = read(file_of(tmp_path / "t.csv", columns=("one", "two", "label")), text="two", text_pair="one")
    bare = write(tmp_path / "u.csv", "\n".join(map(",".join, ROWS * 5)) + "\n")
    placed = read(bare, text=0, text_pair=1, label=2, header=False)
    assert apart(named.texts[0]) == ("a pear", "the apple of iron")
    assert apart(placed.texts[0]) == ("the apple of iron", "a pear")


def test_a_second_text_alone_is_refused_with_what_to_type(tmp_path):
    message = failing(file_of(tmp_path / "t.csv"), text_pair="hypothesis")
    assert "--set data.text_pair=hypothesis names a pair's second text alone" in message
    assert message.endswith("--set data.text=COLUMN")


def test_a_row_without_one_of_its_texts_is_dropped_as_one_without_a_text(tmp_path):
    table = read(file_of(tmp_path / "t.csv", [*ROWS, ("an apple", " ", "no"), ("", "a pear", "no")]))
    assert (len(table.texts), dict(table.dropped)) == (3, {"empty text": 2})


def test_a_test_file_without_the_second_column_is_refused(tmp_path):
    file_of(tmp_path / "train.csv", ROWS * 5)
    file_of(tmp_path / "test.csv", [(first, label) for first, _, label in ROWS], columns=("premise", "label"))
    with pytest.raises(
        DataError, match="no column 'hypothesis' among premise, label, and training read premise, hypothesis as a"
    ):
        read_labelled(DataSpec(source=str(tmp_path)))


def test_sick_is_read_as_published():
    table = read(real("sick/SICK_train.txt"))
    assert (table.layout.text, table.layout.text_pair, len(table.texts)) == (("sentence_A",), ("sentence_B",), 4500)
    assert set(table.labels or ()) == {"NEUTRAL", "ENTAILMENT", "CONTRADICTION"}


def test_python_gives_pairs_as_tuples_lists_arrays_and_frames():
    pairs, labels = [row[:2] for row in ROWS], [row[2] for row in ROWS]
    frame = pandas.DataFrame(ROWS, columns=["one", "two", "label"])
    of_frame = DataSpec(text=("one",), text_pair=("two",))
    given_as = [(pairs, None), (list(map(list, pairs)), None), (np.array(pairs), None), (frame, of_frame)]
    for texts, spec in given_as:
        table = table_of(texts, labels, spec)
        assert list(map(apart, table.texts)) == pairs
        assert table.layout.text_pair


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        ([("a", "b"), "c"], r"texts\[1\] is a str \('c'\); expected a pair of texts: \(first, second\)"),
        ([("a", "b"), ("a", "b", "c")], r"texts\[1\] is a tuple"),
        ([("a", "b"), ("a", None)], r"texts\[1\] is a tuple"),
        (["a", ("a", "b")], r"texts\[1\] is a tuple .*; expected a string"),
        (["a", "b\0c"], r"texts\[1\] holds a NUL character"),
        ([("a", "b"), ("a", "b\0c")], r"texts\[1\] holds a NUL character"),
    ],
)
def test_what_is_no_pair_among_pairs_is_refused_by_its_position(texts, says):
    with pytest.raises(DataError, match=says):
        table_of(texts, ["x", "y"])


def test_each_side_is_cleaned_on_its_own():
    assert clean(pair_of(" a <b>pear</b> ", "tin \n "), ["escapes", "html", "whitespace"]) == pair_of("a pear", "tin")


@pytest.mark.parametrize("kind", KINDS)
def test_each_side_is_shifted_on_its_own(kind):
    first, second = "Copper prices fell. The cobalt (AP) 12 did not.", "Silver lemons grow. Nobody eats 3 of them."
    assert shift(pair_of(first, second), kind) == pair_of(shift(first, kind), shift(second, kind))


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("max_length", [None, 64, 12, 9])
@pytest.mark.parametrize("family", FAMILIES)
def test_tokens_are_those_of_the_tokenizers_own_template_for_pairs(family, max_length, side, tmp_path):
    tokenizer = tiny_tokenizer(family)
    tokenizer.truncation_side = side
    expected = tokenizer(*map(list, zip(*LONG, strict=True)), truncation=max_length is not None, max_length=max_length)
    found = tokenize(tokenizer, [pair_of(*pair) for pair in LONG], max_length=max_length)
    assert [ids.tolist() for ids, _ in found] == expected["input_ids"]
    types = expected.get("token_type_ids")
    assert (found.types is not None) == (FAMILIES[family].token_types or family == "xlnet")
    if types is not None:
        assert [segments.tolist() for _, segments in found] == types
        assert {segment for row in types for segment in row} >= {0, 1}
    tokenizer.save_pretrained(tmp_path)
    if (alone := read_tokenizer(tmp_path)) is not None:
        alone.truncation_side = side
        again = tokenize(alone, [pair_of(*pair) for pair in LONG], max_length=max_length)
        assert np.array_equal(again.ids, found.ids)
        assert (again.types is None) == (found.types is None)
        assert found.types is None or np.array_equal(again.types, found.types)


def test_robertas_published_tokenizer_puts_two_separators_and_no_segments_between_them():
    folder = real("roberta-base-tokenizer")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    expected = tokenizer(*map(list, zip(*LONG, strict=True)), truncation=True, max_length=16)["input_ids"]
    for reader in (tokenizer, read_tokenizer(folder)):
        if reader is not None:
            found = tokenize(reader, [pair_of(*pair) for pair in LONG], max_length=16)
            assert found.types is None
            assert [ids.tolist() for ids, _ in found] == expected
    assert all(f"{tokenizer.sep_token_id}, {tokenizer.sep_token_id}" in str(ids) for ids in expected)


def test_pairs_are_cut_off_the_longer_text_and_never_read_in_windows(tmp_path):
    rows = [(f"{first} row{row}", second, "yes" if row % 2 else "no") for row in range(30) for first, second in LONG[:3]]
    spec = DataSpec(source=str(file_of(tmp_path / "t.csv", rows)), max_length=10, windows=4, truncation_side="auto")
    data = prepare(spec, tiny_tokenizer("bert"), longest=64)
    assert (data.preprocessing.windows, data.train.tokens.firsts, data.train.tokens.lengths.max()) == (None, None, 10)
    assert data.preprocessing.text_pair == ("hypothesis",)
    assert any("both texts of a pair share the max length" in note for note in data.notes)
    assert any("a pair is read in no windows; to cut fewer, type --set data.max_length=24" in line for line in data.warnings)
    longest = prepare(spec.model_copy(update={"max_length": 8}), tiny_tokenizer("bert"), longest=8)
    assert any("of the training pairs are cut after 8 tokens" in line for line in longest.warnings)
    assert any(line.endswith("this encoder takes 8") for line in longest.warnings)
    whole = prepare(spec.model_copy(update={"max_length": 64}), tiny_tokenizer("bert"), longest=64)
    assert not any("windows" in line for line in whole.warnings)


def test_equal_pairs_stay_on_one_side_of_a_split_and_pairs_that_share_a_text_need_not():
    rows = [(f"premise {row % 10}", f"hypothesis {row // 2 % 20}", "yes" if row % 4 < 2 else "no") for row in range(80)]
    table = table_of([row[:2] for row in rows], [row[2] for row in rows])
    labelled = split_tables(DataSpec(split={"test": 0.3, "validation": 0.2}, leakage="allow"), table)
    parts = [set(each.texts) for each in labelled.tables.values()]
    assert not parts[0] & parts[1]
    assert not parts[0] & parts[2]
    assert not labelled.leaked.any()
    assert any("have at least one of their texts in a training pair" in note for note in labelled.notes)


def test_an_audit_tells_pairs_that_repeat_from_pairs_that_share_one_text():
    train = table_of([("a b", "c d"), ("a b", "c d"), ("A b!", "c d"), ("e f", "x")], ["1", "0", "1", "0"])
    test = table_of(
        [("a b", "c d"), ("a-b", "C D"), ("e f", "new"), ("x", "e f"), ("new", "newer")], ["1", "0", "1", "0", "1"]
    )
    report = audit({"train": train, "test": test})
    assert (report.duplicates, report.near_duplicates, report.conflicts) == (1, 1, 1)
    assert report.conflict_examples[0].text == "a b ⇄ c d"
    assert report.suspicious["fewer than 3 characters"] == (4,)
    (overlap,) = report.overlaps
    assert (overlap.rows, overlap.near, overlap.one_side) == (1, 1, 2)
    assert any("2 test pairs have one of their texts in a pair of train too" in line for line in report.warnings)


def test_a_near_repeat_moves_no_letter_from_one_side_to_the_other():
    report = audit({"train": table_of([("ab", "c"), ("a", "bc")], ["1", "0"])})
    assert (report.duplicates, report.near_duplicates) == (0, 0)
