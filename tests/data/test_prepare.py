"""Texts are cut where the recipe says, and a text is the same tokens in training and serving."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from conftest import CLASSES, FAMILIES, LONGEST, Rows, prepared, separable, tiny_tokenizer
from rankwise.data import tokens as tokens_module
from rankwise.data.clean import Preprocessing
from rankwise.data.files.table import table_of
from rankwise.data.labelled import split_tables
from rankwise.data.prepare import choose_length, prepare
from rankwise.data.tokens import tokenize, tokenize_to_disk
from rankwise.errors import DataError
from rankwise.inference.predict import TokenPredictor
from rankwise.recipe import DataSpec
from rankwise.system.files import read_json, write_json

TOKENIZER = tiny_tokenizer("bert")


def ready(rows, spec=None):
    """Prepared from Python lists."""
    spec = (spec or DataSpec()).model_copy(update={"max_length": LONGEST})
    labelled = split_tables(spec, table_of(rows.texts, rows.labels))
    return prepare(spec, TOKENIZER, longest=LONGEST, labelled=labelled)


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
    predictor = TokenPredictor(built.classifier, tiny_tokenizer(family), data.preprocessing)
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


def test_preprocessing_survives_its_trip_through_json(tmp_path):
    before = Preprocessing(CLASSES, ("html",), 40, " | ", ("title", 2), ("river", "fruit", "metal"))
    write_json(tmp_path / "preprocessing.json", before)
    assert read_json(tmp_path / "preprocessing.json", Preprocessing) == before


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
            data = prepare(spec, TOKENIZER, longest=LONGEST)
            assert len(data.train) == rows - 24
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
