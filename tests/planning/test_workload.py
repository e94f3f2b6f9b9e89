"""Rows and tokens: counted where lengths are known, estimated from characters, or assumed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankwise.planning.workload import CHARACTERS_PER_TOKEN, SPECIAL_TOKENS, Work, character_counts

LENGTHS = st.lists(st.integers(1, 5000), min_size=1, max_size=40)


@given(LENGTHS, LENGTHS, LENGTHS)
def test_counted_tokens_are_the_sums_of_the_lengths(train, validation, test):
    work = Work.of_tokens(train, validation, test)
    assert (work.train_rows, work.validation_rows, work.test_rows) == (len(train), len(validation), len(test))
    assert (work.train_tokens, work.validation_tokens, work.test_tokens) == (sum(train), sum(validation), sum(test))
    assert work.longest == max(*train, *validation, *test)
    assert work.source == "tokens"


@given(LENGTHS, st.integers(4, 600), st.integers(8, 512) | st.none())
def test_no_estimated_text_is_longer_than_the_recipe_or_the_encoder_lets_it_be(characters, max_length, encoder_longest):
    work = Work.of_characters(characters, (len(characters), 3, 2), max_length=max_length, encoder_longest=encoder_longest)
    assert SPECIAL_TOKENS < work.longest <= min(max_length, encoder_longest or max_length)
    assert work.train_tokens <= work.longest * work.train_rows
    assert work.validation_tokens == pytest.approx(3 * work.mean_tokens)


def test_tokens_are_estimated_from_characters():
    work = Work.of_characters([430, 43], (10, 0, 0), max_length=512)
    lengths = [430 / CHARACTERS_PER_TOKEN + SPECIAL_TOKENS, 43 / CHARACTERS_PER_TOKEN + SPECIAL_TOKENS]
    assert work.train_tokens == pytest.approx(10 * np.mean(lengths), abs=10)
    assert work.source == "characters"


def test_the_longest_text_may_be_dense_in_tokens_as_a_tweet_of_tags_is():
    assert Work.of_characters([140] * 5, (5, 0, 0), max_length=128).longest == 66


def test_a_share_of_texts_that_must_fit_sets_the_longest():
    work = Work.of_characters([*[86] * 99, 4300], (100, 0, 0), max_length=0.98)
    assert work.longest == 86 / CHARACTERS_PER_TOKEN + SPECIAL_TOKENS


def test_without_data_texts_of_full_length_are_assumed():
    assert Work.assumed(max_length=64) == Work(1000, 100, 100, 64_000, 6_400, 6_400, 64, "assumed")
    assert Work.assumed(max_length=512, encoder_longest=128).longest == 128
    assert Work.assumed(max_length=0.995).longest == 128


def test_no_texts_at_all_are_no_tokens():
    assert Work.of_tokens([], [], []).train_tokens == 0
    assert Work.of_characters([], (0, 0, 0), max_length=0.9).longest == SPECIAL_TOKENS


def test_characters_are_counted_text_by_text():
    assert character_counts(["", "abc", "é🙂"]).tolist() == [0, 3, 2]


def test_a_han_character_is_estimated_as_a_token():
    (characters,) = character_counts(["政府昨天宣布新的经济措施"])  # 12 of them
    assert characters / CHARACTERS_PER_TOKEN == pytest.approx(12, abs=0.2)


def test_folds_train_on_what_they_do_not_hold_and_no_row_is_lost():
    work = replace(Work.of_tokens([10] * 80, [10] * 10, [10] * 5), folds=3)
    whole = work.joined
    assert (whole.train_rows, whole.train_tokens, whole.validation_rows) == (90, 900, 0)
    assert (whole.fold.train_rows, whole.fold.validation_rows) == (60, 30)
    assert whole.fold.train_tokens + whole.fold.validation_tokens == pytest.approx(900)
    assert (whole.fold.test_rows, whole.fold.test_tokens) == (5, 50)


def test_windows_are_estimated_from_characters_too():
    characters = [43 * 10, 43 * 200]  # 102 and 2,002 tokens
    one, many = (Work.of_characters(characters, (2, 0, 0), max_length=128, windows=count) for count in (1, 32))
    assert (one.train_tokens, one.windows, one.longest) == (102 + 128, 1, 128)
    assert (many.train_tokens, many.windows, many.longest) == (102 + 18 * 128, 18, 128)
    assert Work.of_characters(characters, (2, 0, 0), max_length=128, windows=4).windows == 4
