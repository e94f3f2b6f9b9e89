"""The page on a recipe's keys has every key, says what each means, and is what the specs say now."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rankwise.recipe.keys import page
from rankwise.recipe.problems import _all_keys
from rankwise.recipe.recipe import Recipe

PAGE = Path(__file__).parents[2] / "docs" / "keys.md"
ROW = re.compile(r"^\| `([\w.]+)` \| (.*?) \| (.*?) \| (.*) \|$", re.MULTILINE)


@pytest.fixture(scope="module")
def rows():
    return {key: (takes, default, meaning) for key, takes, default, meaning in ROW.findall(page())}


def test_the_page_in_docs_is_current():
    assert PAGE.read_text("utf-8") == page(), "type: rankwise recipes keys > docs/keys.md"


def test_every_key_is_on_the_page(rows):
    alike = ("data.validation.", "data.test.", "adapter.allocate.policy")  # told with data.train, and as a heading
    assert {key for key in _all_keys(Recipe) if not key.startswith(alike)} == set(rows)
    assert page().count("With the keys of `data.train`.") == 2


def test_every_key_has_a_meaning_and_says_what_it_takes(rows):
    assert [key for key, (takes, _, meaning) in rows.items() if not takes or len(meaning) < 8] == []


@pytest.mark.parametrize(
    ("key", "takes", "default"),
    [
        ("train.epochs", "a number (above 0)", "`3.0`"),
        ("train.batch_size", "a whole number (1 or more)", "`16`"),
        ("data.rows", "a whole number (1 or more) or `null`", ""),
        ("data.split.test", "a share, such as `10%`, or a whole number (above 0)", "`0.1`"),
        ("evaluate.keep_texts", "`true`, `false`", "`true`"),
        ("data.train.path", "text", "must be given"),
        ("train.rates.tiers", "a list: a number (above 0, below 10)", ""),
    ],
)
def test_a_key_says_what_it_takes_and_what_it_is_when_left_out(rows, key, takes, default):
    assert rows[key][:2] == (takes, default)
