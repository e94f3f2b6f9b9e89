"""Splits are stratified and seeded, labels find their numbers, and a text is the same tokens in training and serving."""

from __future__ import annotations

import tracemalloc
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from conftest import CLASSES, FAMILIES, LONGEST, Rows, prepared, separable, tiny_tokenizer
from rankwise.data import tokens as tokens_module
from rankwise.data.files.table import table_of
from rankwise.data.labelled import split_tables
from rankwise.data.labels import numbers_of
from rankwise.data.prepare import choose_length, prepare
from rankwise.data.preprocessing import Preprocessing
from rankwise.data.splitting import split_off
from rankwise.data.tokens import tokenize, tokenize_to_disk
from rankwise.errors import DataError
from rankwise.inference.predict import Predictor
from rankwise.recipe import DataSpec

TOKENIZER = tiny_tokenizer("bert")


def table(labels):
    return table_of([f"text {place}" for place in range(len(labels))], labels)


def skewed(rows=100):
    return table(["a"] * (rows * 7 // 10) + ["b"] * (rows * 2 // 10) + ["c"] * (rows // 10))


def ready(rows, spec=None):
    """Prepared from Python lists."""
    spec = (spec or DataSpec()).model_copy(update={"max_length": LONGEST})
    labelled = split_tables(spec, table_of(rows.texts, rows.labels))
    return prepare(spec, TOKENIZER, longest=LONGEST, labelled=labelled)


# --------------------------------------------------------------------------------------------------------------- splits


@pytest.mark.parametrize("amount", [0.2, 20])
def test_a_split_keeps_the_classes_shares(amount):
    rest, taken = split_off(skewed(), amount, seed=0, what="test")
    assert Counter(taken.labels) == {"a": 14, "b": 4, "c": 2}
    assert Counter(rest.labels) == {"a": 56, "b": 16, "c": 8}


def test_a_split_loses_no_row_repeats_none_and_keeps_the_order():
    whole = skewed()
    rest, taken = split_off(whole, 30, seed=4, what="test")
    assert sorted([*rest.rows, *taken.rows]) == list(whole.rows)
    for part in (rest, taken):
        assert list(part.rows) == sorted(part.rows)
        assert all(whole.texts[row - 1] == text for row, text in zip(part.rows, part.texts, strict=True))


def test_a_seed_decides_the_split():
    def taken(seed):
        return split_off(skewed(), 0.2, seed=seed, what="test")[1].rows.tolist()

    assert taken(1) == taken(1) != taken(2)


@given(st.integers(20, 60), st.floats(0.2, 0.5), st.integers(0, 2**31))
@settings(deadline=None, max_examples=30)
def test_a_share_of_rows_is_that_share_rounded(rows, share, seed):
    rest, taken = split_off(table(["a", "b"] * rows), share, seed=seed, what="test")
    assert len(taken.texts) == round(2 * rows * share)
    assert len(rest.texts) + len(taken.texts) == 2 * rows


@pytest.mark.parametrize(("labels", "amount"), [(["a"] * 9 + ["b"], 3), (["a", "b"] * 5, 9)])
def test_a_split_that_cannot_hold_every_class_is_refused(labels, amount):
    with pytest.raises(DataError, match=r"can't set \d+ of 10 rows aside for test.*--set data\.test=FILE"):
        split_off(table(labels), amount, seed=0, what="test")


def test_a_split_of_fewer_rows_than_classes_says_how_many_it_takes():
    with pytest.raises(DataError, match=r"data\.split\.test is 1; expected 2 or more, .*: --set data\.split\.test=2$"):
        split_off(table(["a", "b"] * 5), 1, seed=0, what="test")


def test_fewer_training_rows_than_classes_are_refused_by_name():
    with pytest.raises(DataError, match=r"^data\.rows is 1; expected 2 or more, a row for each class$"):
        split_tables(DataSpec(rows=1), table(["a", "b"] * 20))


def test_what_is_not_given_is_split_off_the_training_rows():
    rows = separable(60, seed=2)
    spec = DataSpec.model_validate({"split": {"test": 12, "validation": "25%"}})
    found = split_tables(spec, table_of(rows.texts, rows.labels))
    assert [len(part.texts) for part in (found.train, found.validation, found.test)] == [36, 12, 12]
    texts = [text for part in (found.train, found.validation, found.test) for text in part.texts]
    assert sorted(texts) == sorted(rows.texts)


def test_the_test_rows_do_not_depend_on_how_many_rows_train():
    rows, split = separable(60, seed=2), {"test": 12, "validation": 12}
    parts = [
        split_tables(DataSpec.model_validate({"rows": count, "split": split}), table_of(rows.texts, rows.labels))
        for count in (None, 12)
    ]
    assert parts[0].test.texts == parts[1].test.texts
    assert parts[0].validation.texts == parts[1].validation.texts
    assert len(parts[1].train.texts) == 12
    assert set(parts[1].train.texts) <= set(parts[0].train.texts)


def test_nearly_all_rows_can_be_kept_and_so_can_some_of_a_class_with_one():
    rows = separable(60, seed=2)
    known = table_of([*rows.texts, "a lone cloud"], [*rows.labels, "cloud"])
    for count in (4, 30, 59, 60):
        found = split_tables(DataSpec(test_rows=count, leakage="allow"), table_of(rows.texts, rows.labels), test=known).test
        assert len(found.texts) == count
        counts = Counter(found.labels)
        assert max(counts[name] for name in set(rows.labels)) - min(counts[name] for name in set(rows.labels)) <= 1


def test_fewer_test_rows_are_a_stratified_part_of_them():
    rows = separable(60, seed=2)
    spec = DataSpec.model_validate({"test_rows": 6, "split": {"test": 30, "validation": 6}})
    found = split_tables(spec, table_of(rows.texts, rows.labels))
    assert Counter(found.test.labels) == dict.fromkeys(CLASSES, 2)


# --------------------------------------------------------------------------------------------------------------- labels


def numbers(labels, classes, numbering=(), **spec):
    return numbers_of(table(labels), classes, numbering, DataSpec(**spec)).tolist()


def test_names_are_numbered_in_the_order_of_the_classes():
    assert numbers(["b", "a", "c"], ("c", "a", "b")) == [2, 1, 0]


@pytest.mark.parametrize("labels", [["0", "1", "2"], ["1", "2", "3"]])
def test_whole_numbers_from_0_or_from_1_fall_on_given_class_names(labels):
    assert numbers(labels, ("x", "y", "z"), ("x", "y", "z")) == [0, 1, 2]


def test_whole_numbers_follow_the_given_order_not_the_classes_own():
    assert numbers(["1", "2", "3"], ("x", "y", "z"), ("z", "x", "y")) == [2, 0, 1]


@pytest.mark.parametrize("labels", [["0", "3"], ["4", "1"], ["-1", "0"]])
def test_whole_numbers_that_cannot_number_the_classes_are_refused(labels):
    with pytest.raises(DataError, match="can't number the classes x, y, z; expected 0 to 2 or 1 to 3"):
        numbers(labels, ("x", "y", "z"), ("x", "y", "z"))


def test_whole_numbers_that_may_count_from_either_are_refused():
    with pytest.raises(DataError, match="may count from 0 or from 1"):
        numbers(["1", "2"], ("x", "y", "z"), ("x", "y", "z"))


def test_whole_numbers_without_an_order_are_not_guessed():
    with pytest.raises(DataError, match="nothing says which is which"):
        numbers(["0", "1"], ("x", "y"))


def test_numbers_that_are_the_class_names_are_names():
    found = ready(Rows([f"apple {n}" for n in range(40)], ["10", "9"] * 20))
    assert found.classes == ("9", "10"), "in the order of their values"
    assert Counter(found.train.labels.tolist()).keys() == {0, 1}


def test_a_label_that_training_never_saw_is_an_error_with_the_nearest_name():
    with pytest.raises(DataError, match=r"row 2: label 'Sport' is not among .*did you mean 'Sports'\?.*unseen_labels=wrong"):
        numbers(["Sports", "Sport"], ("World", "Sports"))


def test_a_label_that_training_never_saw_may_count_as_wrong():
    assert numbers(["Sports", "Sport"], ("World", "Sports"), unseen_labels="wrong") == [1, -1]


def test_given_class_names_keep_their_order_and_refuse_others():
    rows = separable(60, seed=2)
    assert ready(rows, DataSpec(classes=("river", "fruit", "metal"))).classes == ("river", "fruit", "metal")
    with pytest.raises(DataError, match=r"'fruit' is not among data\.classes"):
        ready(rows, DataSpec(classes=("fruits", "metal", "river")))


# -------------------------------------------------------------------------------------------------------------- lengths


@pytest.mark.parametrize(("wanted", "expected"), [(0.5, 56), (0.9, 96), (1.0, 104), (0.01, 8)])
def test_max_length_by_coverage_is_rounded_up_to_a_multiple_of_8(wanted, expected):
    lengths = np.arange(1, 101)
    chosen, _ = choose_length(lengths, wanted, longest=512)
    assert chosen == expected
    assert (lengths <= chosen).mean() >= wanted


def test_coverage_stops_at_what_the_encoder_takes_and_tells_what_is_cut():
    chosen, note = choose_length(np.arange(1, 101), 1.0, longest=50)
    assert chosen == 50
    assert note == "max length 50 tokens cuts 50.0% of the training texts"


def test_a_max_length_beyond_the_encoder_is_refused():
    with pytest.raises(DataError, match="max_length is 65, but this encoder takes at most 64 tokens"):
        choose_length(np.arange(1, 101), 65, longest=64)


def test_a_max_length_that_cuts_many_texts_suggests_another():
    assert choose_length(np.arange(1, 101), 16, longest=512)[1].endswith("; 104 would cut 0.5 % or fewer")


def test_the_percentile_filter_leaves_out_training_rows_only():
    rows = separable(60, seed=2)
    split = {"test": 12, "validation": 12}
    whole = ready(rows, DataSpec.model_validate({"split": split}))
    cut = ready(rows, DataSpec.model_validate({"split": split, "length_percentiles": [20, 80]}))
    low, high = np.percentile(whole.train.tokens.lengths, [20, 80])
    inside = [low <= length <= high for length in whole.train.tokens.lengths]
    assert 0 < sum(inside) < 36
    assert cut.train.texts == [text for text, keep in zip(whole.train.texts, inside, strict=True) if keep]
    assert len(cut.validation) == len(cut.test) == 12
    assert any(f"{36 - sum(inside)} rows outside" in note for note in cut.notes)


def test_a_filtered_row_keeps_its_own_tokens_label_and_number():
    rows = separable(60, seed=2)
    cut = ready(rows, DataSpec.model_validate({"length_percentiles": [20, 80]}))
    again = tokenize(TOKENIZER, cut.train.texts, max_length=cut.preprocessing.max_length)
    assert np.array_equal(cut.train.tokens.ids[:], again.ids)
    assert np.array_equal(cut.train.tokens.offsets, again.offsets)
    for text, label, row in zip(cut.train.texts, cut.train.labels, cut.train.rows, strict=True):
        assert rows.texts[row - 1] == text
        assert rows.labels[row - 1] == cut.classes[label]


# --------------------------------------------------------------------------------------------------------------- tokens


def spans(tokens):
    return [tokens.ids[start:end].tolist() for start, end in zip(tokens.offsets, tokens.offsets[1:], strict=False)]


def test_the_same_raw_text_is_the_same_tokens_in_training_and_serving(family, built_for):
    built = built_for(family, "data.clean=[html, emails, whitespace]", "data.max_length=9")
    raw = ["apple &amp;  pear a@b.org", "iron zinc tin lead nickel cobalt silver chrome steel copper", "don"]
    rows = Rows([f"{text} number{n}" for n in range(10) for text in raw], list(CLASSES) * 10)
    labelled = split_tables(built.recipe.data, table_of(rows.texts, rows.labels))
    data = prepare(built.recipe.data, tiny_tokenizer(family), longest=LONGEST, labelled=labelled)
    predictor = Predictor(built.classifier, tiny_tokenizer(family), Preprocessing.from_dict(data.preprocessing.as_dict()))
    source = [rows.texts[row - 1] for row in data.train.rows]
    clean = [predictor.preprocessing.apply(text) for text in source]
    served = tokenize(predictor.tokenizer, clean, max_length=predictor.preprocessing.max_length)
    assert clean != source, "there was something to clean"
    assert served.lengths.max() == 9, "and something to cut"
    assert spans(served) == spans(data.train.tokens)


def test_cutting_keeps_the_closing_special_tokens(family):
    tokenizer = tiny_tokenizer(family)
    text = "iron zinc tin lead nickel cobalt silver chrome steel copper"
    whole, cut = (spans(tokenize(tokenizer, [text], max_length=length))[0] for length in (None, 6))
    closing = FAMILIES[family].closing
    assert len(whole) > 6 == len(cut)
    assert cut[-closing:] == whole[-closing:]
    assert cut[:-closing] == whole[: 6 - closing]


def test_a_cut_at_the_beginning_keeps_the_end_and_travels_with_the_tokenizer(family, tmp_path):
    text = "iron zinc tin lead nickel cobalt silver chrome steel copper"
    labelled = split_tables(DataSpec(), table_of([f"{number} {text}" for number in range(30)], list(CLASSES) * 10))
    tokenizer = tiny_tokenizer(family)
    (whole,) = spans(tokenize(tokenizer, [labelled.train.texts[0]], max_length=None))
    data = prepare(DataSpec(max_length=6, truncation_side="left"), tokenizer, longest=LONGEST, labelled=labelled)
    first = spans(data.train.tokens)[0]
    opening, closing = FAMILIES[family].opening, FAMILIES[family].closing
    assert first == [*whole[:opening], *whole[len(whole) - 6 + opening :]]
    assert first[-closing:] == whole[-closing:]
    tokenizer.save_pretrained(tmp_path)
    served = AutoTokenizer.from_pretrained(tmp_path)(labelled.train.texts[0], truncation=True, max_length=6)
    assert served["input_ids"] == first


def test_tokens_are_what_the_tokenizer_itself_gives(family):
    tokenizer = tiny_tokenizer(family)
    texts = ["apple", "", "iron zinc , the rhine", "zzz"]
    assert spans(tokenize(tokenizer, texts, max_length=None)) == tokenizer(texts)["input_ids"]


def test_segment_ids_are_kept_only_where_they_say_something(family):
    types = tokenize(tiny_tokenizer(family), ["apple", "iron zinc"], max_length=None).types
    if family == "xlnet":
        assert types.tolist() == [0, 0, 2, 0, 0, 0, 2]
    else:
        assert types is None


@pytest.mark.parametrize(("name", "limit"), [("CHUNK", 4), ("CHUNK_CHARACTERS", 1), ("CHUNK_CHARACTERS", 150)])
def test_texts_in_many_tokenizer_calls_are_the_same_tokens(monkeypatch, name, limit):
    texts = separable(11, seed=3).texts
    at_once = tokenize(TOKENIZER, texts, max_length=7)
    monkeypatch.setattr(tokens_module, name, limit)
    assert spans(tokenize(TOKENIZER, texts, max_length=7)) == spans(at_once)


@given(st.lists(st.integers(0, 40), max_size=30), st.integers(1, 9), st.integers(1, 60))
def test_a_tokenizer_call_has_no_more_texts_and_characters_than_allowed(lengths, texts, characters):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokens_module, "CHUNK", texts)
        patch.setattr(tokens_module, "CHUNK_CHARACTERS", characters)
        chunks = list(tokens_module._chunks("x" * length for length in lengths))
    assert [len(text) for chunk in chunks for text in chunk] == lengths
    assert all(0 < len(chunk) <= texts for chunk in chunks)
    assert all(len(chunk) == 1 or sum(map(len, chunk)) <= characters for chunk in chunks)


@pytest.mark.parametrize("tokens_of", [tokenize, tokenize_to_disk])
def test_no_texts_are_no_tokens(tokens_of):
    assert len(tokens_of(TOKENIZER, [], max_length=8)) == 0


def test_tokens_on_disk_are_those_in_memory(family):
    tokenizer, texts = tiny_tokenizer(family), separable(11, seed=3).texts
    stored, held = (tokens_of(tokenizer, texts, max_length=7) for tokens_of in (tokenize_to_disk, tokenize))
    assert spans(stored) == spans(held)
    assert (stored.types is None) == (held.types is None)
    assert held.types is None or stored.types[:].tolist() == held.types.tolist()


def test_token_ids_beyond_16_bits_are_kept(monkeypatch):
    monkeypatch.setattr(type(TOKENIZER), "__len__", lambda _: 2**16 + 1)
    assert tokenize_to_disk(TOKENIZER, ["apple"], max_length=None).ids.dtype == np.int32


@pytest.mark.parametrize("length_percentiles", [None, (10, 90)])
def test_texts_that_are_cut_are_tokenised_as_at_prediction(family, length_percentiles):
    rows, tokenizer = separable(60, seed=2), tiny_tokenizer(family)
    spec = DataSpec(max_length=12, length_percentiles=length_percentiles)
    train = prepare(spec, tokenizer, longest=LONGEST, labelled=split_tables(spec, table_of(rows.texts, rows.labels))).train
    served = tokenize(tokenizer, train.texts, max_length=12)
    assert spans(train.tokens) == spans(served)
    assert 0 < (served.lengths == 12).sum() < len(train), "some are cut, some are whole"
    assert (train.tokens.types is None) == (served.types is None)
    assert served.types is None or train.tokens.types[:].tolist() == served.types.tolist()


def test_preprocessing_survives_its_trip_through_json():
    import json

    before = Preprocessing(CLASSES, ("html",), 40, " | ", ("title", 2), ("river", "fruit", "metal"))
    assert Preprocessing.from_dict(json.loads(json.dumps(before.as_dict()))) == before


def test_max_length_by_coverage_counts_training_tokens(recipe_for):
    data = prepared(recipe_for("bert", "data.max_length=90%"))
    assert data.preprocessing.max_length % 8 == 0
    cut = [len(TOKENIZER(text)["input_ids"]) > data.preprocessing.max_length for text in data.train.texts]
    assert np.mean(cut) <= 0.1
    assert data.train.tokens.lengths.max() <= data.preprocessing.max_length


def test_more_rows_take_hardly_more_memory(tmp_path, monkeypatch):
    def most_bytes(rows):
        path = tmp_path / f"{rows}.csv"
        with path.open("w", encoding="utf-8") as file:
            file.write("text,label\n")
            file.writelines(f"{place:0600} iron,{CLASSES[place % 3]}\n" for place in range(rows))
        spec = DataSpec.model_validate(
            {"source": str(path), "clean": ["whitespace"], "max_length": 8, "split": {"test": 12, "validation": 12}}
        )
        tracemalloc.start()
        try:
            found = prepare(spec, TOKENIZER, longest=LONGEST)
            assert len(found.train) == rows - 24
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    monkeypatch.setattr(tokens_module, "CHUNK", 500)
    most_bytes(1_000)  # the first one also imports
    assert most_bytes(6_000) - most_bytes(1_000) < 1e6, "of 3 MB of text"


def test_real_news_keep_their_class_names_their_test_rows_and_their_coverage(shared_data):
    spec = DataSpec.model_validate(
        {
            "source": str(shared_data / "ag_news"),
            "rows": 400,
            "test_rows": 200,
            "max_length": "95%",
            "split": {"validation": 100},
            "clean": ["html", "whitespace"],
            "leakage": "allow",
        }
    )
    data = prepare(spec, TOKENIZER, longest=512)
    assert data.classes == ("World", "Sports", "Business", "Sci/Tech")
    assert [len(part) for part in (data.train, data.validation, data.test)] == [400, 100, 200]
    assert np.bincount(data.train.labels).tolist() == pytest.approx([100] * 4, abs=5)
    whole = tokenize(TOKENIZER, data.train.texts, max_length=None).lengths
    assert 0.95 <= (whole <= data.preprocessing.max_length).mean() < 1
