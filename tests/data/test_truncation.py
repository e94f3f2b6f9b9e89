"""Which end of long texts is kept: the one that tells classes apart, and the usual one where nothing can be said."""

from __future__ import annotations

import random

import numpy as np
import pytest

from conftest import CLASSES, LONGEST, tiny_tokenizer
from rankwise.data.files.table import table_of
from rankwise.data.labelled import split_tables
from rankwise.data.prepare import better_side, prepare
from rankwise.data.tokens import tokenize
from rankwise.recipe import DataSpec

TOKENIZER = tiny_tokenizer("bert")
FILLER = ["stone", "river", "cloud", "road", "house"]
SAYS = dict(zip(CLASSES, ["apple", "iron", "dog"], strict=False))


def told(where, *, rows=300, words=20, seed=0):
    """Texts of filler whose class stands at one end, and their labels."""
    draw = random.Random(seed)
    labels = [list(SAYS)[row % len(SAYS)] for row in range(rows)]
    texts = []
    for row, label in enumerate(labels):
        filler = [draw.choice(FILLER) for _ in range(words)]
        texts.append(" ".join([SAYS[label], *filler, str(row)] if where == "beginning" else [str(row), *filler, SAYS[label]]))
    return texts, labels


def numbers(labels):
    return np.array([list(SAYS).index(label) for label in labels])


@pytest.mark.parametrize(("where", "side"), [("beginning", "right"), ("end", "left")])
def test_the_end_that_tells_classes_apart_is_kept(where, side):
    texts, labels = told(where)
    chosen, note = better_side(tokenize(TOKENIZER, texts, max_length=None), numbers(labels), 8)
    assert chosen == side
    assert f"keep their {where}" in note
    assert "100.0%" in note


@pytest.mark.parametrize(("rows", "long", "reason"), [(99, 99, "few longer texts"), (20_000, 150, "few longer texts")])
def test_few_long_texts_lose_their_end_as_usual(rows, long, reason):
    texts, labels = told("end", rows=long)
    texts, labels = texts + ["apple"] * (rows - long), labels + [CLASSES[0]] * (rows - long)
    chosen, note = better_side(tokenize(TOKENIZER, texts, max_length=None), numbers(labels), 8)
    assert chosen == "right"
    assert reason in note


def test_where_no_text_is_longer_there_is_nothing_to_say():
    assert better_side(tokenize(TOKENIZER, ["apple"] * 400, max_length=None), numbers([CLASSES[0]] * 400), 8) == ("right", "")


def test_one_class_among_the_long_texts_says_nothing():
    texts, _ = told("end")
    chosen, note = better_side(tokenize(TOKENIZER, texts, max_length=None), np.zeros(len(texts), dtype=np.int64), 8)
    assert chosen == "right"
    assert "too few of them" in note


def test_a_class_with_hardly_any_long_text_is_left_out_of_the_comparison():
    texts, labels = told("end")
    classes = numbers(labels)
    classes[0] = len(SAYS)  # one row of a class of its own
    assert better_side(tokenize(TOKENIZER, texts, max_length=None), classes, 8)[0] == "left"


def test_auto_sets_the_tokenizer_and_says_so():
    texts, labels = told("end")
    labelled = split_tables(DataSpec(), table_of(texts, labels))
    tokenizer = tiny_tokenizer("bert")
    data = prepare(DataSpec(max_length=8, truncation_side="auto"), tokenizer, longest=LONGEST, labelled=labelled)
    assert tokenizer.truncation_side == "left"
    assert any("keep their end" in note for note in data.notes)
    last = tokenizer(data.train.texts[0])["input_ids"][-6:]
    assert data.train.tokens.ids[data.train.tokens.offsets[0] :][:8].tolist()[2:] == last
