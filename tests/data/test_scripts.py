"""The script of a text, by hand and by what Unicode says of whole alphabets."""

from __future__ import annotations

import pytest

from rankwise.data.scripts import script_counts, script_of, unseen_scripts


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("hello", "Latin"),
        ("déjà vu, 2 fois", "Latin"),
        ("Ｈｅｌｌｏ", "Latin"),
        ("Привет, world и мир", "Cyrillic"),
        ("北京大学的学生", "Han"),
        ("東京都へ行く", "Japanese"),
        ("ﾊﾛｰ", "Japanese"),
        ("안녕하세요", "Hangul"),
        ("नमस्ते दुनिया", "Devanagari"),
        ("مرحبا بالعالم", "Arabic"),
        ("שלום", "Hebrew"),
        ("สวัสดี", "Thai"),
        ("first\0второй текст", "Cyrillic"),
        ("12:30 😀 ±µ", None),
        ("", None),
    ],
)
def test_a_text_is_in_the_script_of_most_of_its_letters(text, script):
    assert script_of(text) == script


def test_counts_leave_out_texts_without_letters():
    assert script_counts(["a", "б", "в", "1"]) == {"Cyrillic": 2, "Latin": 1}


def test_scripts_that_training_lacked_are_told_with_counts():
    said = unseen_scripts({"Latin": 280, "Cyrillic": 12, "Han": 1}, {"Latin": 9}, 300)
    assert said == "12 of 300 texts are mostly Cyrillic, 1 mostly Han, which no training text was"
    assert unseen_scripts({"Latin": 3}, {"Latin": 9, "Greek": 1}, 3) == ""
