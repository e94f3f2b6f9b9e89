"""Words and signs are found where they stand, and a clean text's are found again in the raw one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankwise.data.clean import STEPS, clean
from rankwise.data.spans import raw_spans, word_spans

TEXTS = st.text(st.sampled_from("ab ßİ9#'-.,!\n\t\u00a0é\u0301ไท日本\U0001f469\u200d\U0001f4bb"), max_size=30)


def words(text):
    return [text[start:end] for start, end in word_spans(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't go, it's 16-year-old!", ["Don't", "go", ",", "it's", "16-year-old", "!"]),
        ("@user so #ironic...", ["@user", "so", "#ironic", ".", ".", "."]),
        ("3 > 2\n\tnew_line", ["3", ">", "2", "new_line"]),
        ("cafe\u0301 हिन्दी", ["cafe\u0301", "हिन्दी"]),
        ("日本語 ok", ["日", "本", "語", "ok"]),
        ("", []),
        (" \n ", []),
    ],
)
def test_words_and_signs_are_told_apart(text, expected):
    assert words(text) == expected


@given(TEXTS)
def test_each_character_that_is_seen_stands_in_one_word(text):
    spans = word_spans(text)
    places = [place for start, end in spans for place in range(start, end)]
    assert places == sorted(set(places))
    seen = {place for place, character in enumerate(text) if not character.isspace()}
    alone = {place for place in seen if text[place] in "\u0301\u200d"}  # marks that may follow nothing
    assert seen - alone <= set(places) <= seen


@given(TEXTS)
def test_words_of_a_text_that_cleaning_only_spaced_are_found_to_the_character(text):
    tidy = clean(text, ["whitespace"])
    spans = word_spans(tidy)
    assert [text[a:b] for a, b in raw_spans(text, tidy, spans)] == [tidy[a:b] for a, b in spans]


@given(st.text(max_size=60))
def test_raw_spans_lie_in_the_raw_text_in_order(text):
    tidy = clean(text, list(STEPS))
    found = raw_spans(text, tidy, word_spans(tidy))
    assert all(0 <= start <= end <= len(text) for start, end in found)
    assert [start for start, _ in found] == sorted(start for start, _ in found)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("so   good\n at AT&amp;T", {"good": "good", "at": "at"}),
        ("it #39;s fine", {"it's": "it #39;s"}),
        ("<b>big</b> day", {"big": "big", "day": "day"}),
        ("see https://a.org now", {"see": "see", "now": "now"}),
        ("the cat and the dog, the end", {"end": "end"}),
    ],
)
def test_words_of_a_clean_text_are_found_in_what_it_was_made_of(raw, expected):
    tidy = clean(raw, ["escapes", "html", "urls", "whitespace"])
    spans = word_spans(tidy)
    found = {tidy[a:b]: raw[c:d] for (a, b), (c, d) in zip(spans, raw_spans(raw, tidy, spans), strict=True)}
    assert {word: found[word] for word in expected} == expected
