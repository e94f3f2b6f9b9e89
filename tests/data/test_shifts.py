"""A kind of shift changes what it names, nothing else, always in the same way, and never leaves nothing."""

from __future__ import annotations

import time
from collections import Counter
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import WORDS, tiny_tokenizer
from rankwise.data.clean import Preprocessing
from rankwise.data.shifts import DROPPED_SHARE, KINDS, TYPO_SHARE, shift, shifted_tokens
from rankwise.data.tokens import tokenize
from rankwise.recipe.data import ShiftKind

NEWS = "Oil hits $50 a barrel (Reuters) . Reuters - Crude rose 3.5% on Monday. Traders blamed the weather! Stocks fell"
EXACT = {
    "lower": "oil hits $50 a barrel (reuters) . reuters - crude rose 3.5% on monday. traders blamed the weather! stocks fell",
    "upper": "OIL HITS $50 A BARREL (REUTERS) . REUTERS - CRUDE ROSE 3.5% ON MONDAY. TRADERS BLAMED THE WEATHER! STOCKS FELL",
    "title": "Oil hits $50 a barrel (Reuters)",
    "no_agencies": "Oil hits $50 a barrel . Crude rose 3.5% on Monday. Traders blamed the weather! Stocks fell",
    "masked_numbers": NEWS.replace("50", "##").replace("3.5", "#.#"),
}
LONG = " ".join(f"{first}{second}" for first in WORDS["fruit"] for second in WORDS["metal"]) * 20


def test_recipes_know_exactly_these_kinds_and_each_says_what_it_does():
    assert get_args(ShiftKind) == tuple(KINDS)
    assert all(kind.__doc__ for kind in KINDS.values())


@pytest.mark.parametrize("kind", EXACT)
def test_a_kind_without_chance_does_what_it_names(kind):
    assert shift(NEWS, kind) == EXACT[kind]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ky. Company wins a grant. More below.", "Ky. Company wins a grant."),
        ("U.S. stocks fell sharply! Then rose.", "U.S. stocks fell sharply!"),
        ('He said "it is over." Nobody answered.', 'He said "it is over."'),
        ("one sentence without an end", "one sentence without an end"),
        ("   . nothing before the join", "   . nothing before the join"),
        (" . Nothing before the join. More below.", " . Nothing before the join."),
    ],
)
def test_a_text_without_a_join_is_its_first_sentence(text, expected):
    assert shift(text, "title") == expected


def test_a_join_of_spaces_makes_no_title_of_the_first_word():
    assert shift("Stocks fall on Wall Street. Oil is up today.", "title", join=" ") == "Stocks fall on Wall Street."


def test_the_join_is_the_recipes():
    assert shift("A title | and. Some text.", "title", join=" | ") == "A title"


@given(st.text(), st.sampled_from(list(KINDS)), st.integers(0, 3))
def test_a_shift_depends_on_text_and_seed_alone_and_leaves_something(text, kind, seed):
    shifted = shift(text, kind, seed=seed)
    assert shifted == shift(text, kind, seed=seed)
    assert bool(shifted.strip()) == bool(text.strip())


@pytest.mark.parametrize("kind", ["typos", "dropped_words", "shuffled_sentences"])
def test_another_seed_draws_otherwise(kind):
    text = NEWS + " Gold is up. Tin is down. Zinc stays."
    assert len({shift(text, kind, seed=seed) for seed in range(5)}) > 1


def test_typos_touch_their_share_of_longer_words_inside_and_once():
    words, shifted = LONG.split(), shift(LONG, "typos").split()
    changed = [(old, new) for old, new in zip(words, shifted, strict=True) if old != new]
    assert len(changed) / len(words) == pytest.approx(TYPO_SHARE, abs=0.03)
    for old, new in changed:
        assert (old[0], old[-1]) == (new[0], new[-1])
        assert abs(len(old) - len(new)) <= 1
        assert sum((Counter(old) - Counter(new)).values()) <= 1, "one letter lost at most"
    lengths = Counter(len(new) - len(old) for old, new in changed)
    assert set(lengths) == {-1, 0, 1}, "letters are left out, swapped or mistaken, doubled"


def test_short_words_and_numbers_have_no_typos():
    assert shift("the cat sat on 12345678 mats at ten " * 50, "typos").split()[:5] == ["the", "cat", "sat", "on", "12345678"]
    assert "12345678" in shift("12345678 " * 200, "typos")
    assert set(shift("12345678 " * 200, "typos").split()) == {"12345678"}


def test_letters_of_other_alphabets_are_misspelt_too():
    text = "нефть дорожает сегодня " * 30
    assert shift(text, "typos") != text


def test_dropped_words_are_the_share_and_keep_their_order():
    words = [f"w{number}" for number in range(2000)]
    kept = shift(" ".join(words), "dropped_words").split()
    assert 1 - len(kept) / len(words) == pytest.approx(DROPPED_SHARE, abs=0.03)
    assert kept == sorted(kept, key=words.index)
    assert {shift("alone", "dropped_words", seed=seed) for seed in range(30)} == {"alone"}


def test_shuffled_sentences_are_the_same_sentences_in_another_order():
    for seed in range(20):
        shifted = shift("One is here. Two is there! Three?", "shuffled_sentences", seed=seed)
        assert shifted != "One is here. Two is there! Three?"
        assert sorted(shifted.split()) == sorted(["One", "is", "here.", "Two", "is", "there!", "Three?"])
    assert shift("Only one sentence.", "shuffled_sentences") == "Only one sentence."


@pytest.mark.parametrize("kind", KINDS)
def test_no_text_makes_a_kind_crawl(kind):
    for text in ("!" * 100_000, "." + ")" * 100_000, ". " * 50_000, " " * 100_000 + "x", "a " * 50_000):
        started = time.process_time()
        shift(text, kind)
        assert time.process_time() - started < 2, text[:2]


# ------------------------------------------------------------------------------------------------------------- tokens


def test_only_texts_whose_tokens_change_are_kept():
    tokenizer = tiny_tokenizer("bert")  # knows no case
    texts = ["apple pear. zinc iron", "apple pear", "Iron. Tin (AP)"]
    known = Preprocessing(("a", "b"), (), 16)
    tokens = tokenize(tokenizer, texts, max_length=16)
    shifted = {each.kind: each for each in shifted_tokens(texts, tokens, KINDS, tokenizer, known)}
    assert list(shifted) == list(KINDS)
    assert {kind: each.indices.tolist() for kind, each in shifted.items()} | {"typos": [], "dropped_words": []} == {
        "typos": [],
        "lower": [],
        "upper": [],
        "title": [],
        "no_agencies": [2],
        "masked_numbers": [],
        "dropped_words": [],
        "shuffled_sentences": [0, 2],
    }
    expected = tokenize(tokenizer, [shift(texts[place], "shuffled_sentences") for place in (0, 2)], max_length=16)
    assert np.array_equal(shifted["shuffled_sentences"].tokens.ids[:], expected.ids)
    assert len(shifted["upper"].tokens) == 0


def test_texts_are_cleaned_after_they_are_shifted():
    tokenizer = tiny_tokenizer("bert")
    texts = ["Apple (Reuters) pear"]
    known = Preprocessing(("a", "b"), ("agencies",), 16)
    tokens = tokenize(tokenizer, [known.apply(text) for text in texts], max_length=16)
    (same,) = shifted_tokens(texts, tokens, ["no_agencies"], tokenizer, known)
    assert len(same.indices) == 0, "a run that removes agencies loses nothing"
