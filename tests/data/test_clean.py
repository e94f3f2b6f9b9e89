"""Each step removes what it names, keeps what only looks like it, and never crawls."""

import os
import time
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankwise.data.clean import STEPS, clean
from rankwise.data.files.table import read_table
from rankwise.errors import DataError
from rankwise.recipe import DataSpec, SourceSpec
from rankwise.recipe.data import CleanStep

REAL = Path(os.environ.get("RANKWISE_TEST_DATA", Path(__file__).parents[3] / "shared" / "data")) / "ag_news"

CASES = [
    ("escapes", r"one\ntwo\tthree", "one two three"),
    ("escapes", r"One\nTwo\r\n\r\nThree", "One Two    Three"),
    ("escapes", r"A second\team said on\Monday that\nobody", "A second team said on Monday that nobody"),
    ("escapes", r"above \$50\nNext", "above  $50 Next"),
    ("escapes", "real\nline\tends\x07 and \x85 controls", "real line ends  and   controls"),
    ("html", "it #39;s  quot;fine quot;, AT amp;T #151; #36;10", 'it\'s "fine", AT&T—$10'),
    ("html", "&lt;b&gt;bold&lt;/b&gt; &amp;lt;br/&amp;gt; &eacute;", " bold    é"),
    ("html", '&lt;A HREF="http://x.y?z=1"&gt;X.O&lt;/A&gt; up', " X.O  up"),
    ("html", "<STX.N> rose, a < b and c > d, 2 <3", "<STX.N> rose, a < b and c > d, 2 <3"),
    ("html", "a pound; Up; Rise; #1; done", "a pound; Up; Rise; #1; done"),
    ("html", "caf&eacute;&nbsp;au&#160;lait", "café au lait"),
    ("emails", "write to first.last+tag@mail.example.co.uk, now", "write to  , now"),
    ("emails", "a@b.c+d@e.f", " "),
    ("emails", "3 @ 4, @handle and user@localhost", "3 @ 4, @handle and user@localhost"),
    ("urls", "see http://x.y/z?a=1&b=(2)c, or WWW.X.COM.", "see  , or  ."),
    ("urls", 'href="https://x.y">', 'href=" ">'),
    ("urls", "SPACE.com and awww.really", "SPACE.com and awww.really"),
    ("numbers", "rose 5% to $1,234.56 from -3 in 2004; 2-1", "rose   to   from   in  ;  "),
    ("numbers", "3G MP3 F-16 16-year-old 1st 10.5m v2.5 1990's", "3G MP3 F-16 16-year-old 1st 10.5m v2.5 1990's"),
    ("agencies", "Deal done (AP) . AP - A company", "Deal done   . A company"),
    ("agencies", "Set (SPACE.com) . SPACE.com - TORONTO, Canada -- A", "Set   . TORONTO, Canada -- A"),
    ("agencies", "LONDON (Reuters) - Oil rose", "Oil rose"),
    ("agencies", "Fall .  NEW YORK (Reuters) - Stocks", "Fall . Stocks"),
    ("agencies", "Canadian Press - OTTAWA (CP) - The", "The"),
    ("agencies", "NAJAF, Iraq (AP) -- Men", "Men"),
    ("agencies", "Jakarta, Sept 12. (Antara): The", "The"),
    ("agencies", "Toys (Ziff Davis) and (Dow Jones/AP)", "Toys   and  "),
    ("agencies", "(a bank) (2004) (NYSE: IBM) (CBS) (AL)", "(a bank) (2004) (NYSE: IBM) (CBS) (AL)"),
    ("agencies", "He told AP - then left. See (www.x.com)", "He told AP - then left. See (www.x.com)"),
    ("agencies", "NEW YORK - Reuters reports", "NEW YORK - Reuters reports"),
    ("whitespace", "  one \n\t two\u00a0three\u2003 ", "one two three"),
    ("whitespace", "👩\u200d👧 stays", "👩\u200d👧 stays"),
]


@pytest.mark.parametrize(("step", "before", "after"), CASES)
def test_a_step_removes_what_it_names_and_keeps_the_rest(step: str, before: str, after: str) -> None:
    assert STEPS[step](before) == after


def test_the_steps_are_those_of_the_recipe_each_with_one_line() -> None:
    assert tuple(STEPS) == get_args(CleanStep)
    assert all((step.__doc__ or "").partition("\n")[0].endswith(".") for step in STEPS.values())


def test_steps_run_in_the_order_given() -> None:
    assert clean("one  \\n two", ["whitespace", "escapes"]) == "one   two"
    assert clean("one  \\n two", ["escapes", "whitespace"]) == "one two"
    assert clean(" as it is ", []) == " as it is "


def test_an_unknown_step_suggests_the_nearest() -> None:
    with pytest.raises(DataError, match="'htlm'; did you mean 'html'"):
        clean("x", ["htlm"])


PIECES = st.sampled_from(
    [
        "(AP)",
        "AP - ",
        "LONDON ",
        "(Reuters) - ",
        " . ",
        "\\",
        "\\n",
        "n",
        "News",
        " #39;",
        " quot;",
        "&amp;",
        "&lt;",
        "&gt;",
        "<b>",
        "</b>",
        "a@b.co",
        "+",
        "x",
        "http://x.y",
        "www.",
        ".",
        ",",
        "12",
        "-",
        "$",
        "%",
        "3G",
        " ",
        "  ",
        "\n",
        "é",
        "👍",
    ]
)


@pytest.mark.parametrize("step", sorted(STEPS))
@given(text=st.one_of(st.text(), st.lists(PIECES, max_size=12).map("".join)))
@settings(max_examples=150, deadline=None)
def test_a_second_pass_changes_nothing(step: str, text: str) -> None:
    once = STEPS[step](text)
    assert STEPS[step](once) == once


@given(st.text(st.characters(categories=["Ll", "Lo", "So", "Mn"])))
@settings(deadline=None)
def test_words_emoji_and_marks_pass_every_step(text: str) -> None:
    assert clean(text, list(STEPS)) == text


# Pieces that ate time in patterns tried before: each repeated to a megabyte.
ADVERSARIES = [
    "(",
    "AP - ",
    "A ",
    "A. ",
    ". ",
    "(AP ",
    "(AP and ",
    "(Aa.com",
    "a.",
    "1,",
    "1-",
    "@a",
    "a@",
    "a@a.",
    "a@a.b",
    "&amp;",
    "&#38;",
    "&amplt;",
    "<",
    "<a ",
    "<!--",
    "\\",
    "\\n",
    " #39",
    "http://",
    "www.",
    "www.)",
    " ",
    "a",
    "NEW YORK (",
    "))))",
]


@pytest.mark.parametrize("step", sorted(STEPS))
@pytest.mark.long
def test_a_megabyte_of_trouble_takes_less_than_a_second(step: str) -> None:
    for piece in ADVERSARIES:
        text = piece * (1_000_000 // len(piece))
        start = time.process_time()
        STEPS[step](text)
        assert time.process_time() - start < 1, piece


def test_ag_news_comes_out_without_agencies_and_escapes() -> None:
    if not REAL.exists():
        pytest.skip(f"{REAL} is not here; set RANKWISE_TEST_DATA to a folder that holds ag_news")
    table = read_table(SourceSpec(path=str(REAL / "test.csv")), DataSpec())
    texts = [clean(text, list(STEPS)) for text in table.texts]
    left = {mark: sum(mark in text for text in texts) for mark in ("(Reuters)", "(AP)", ". AP - ", "\\", " #39;", "&lt;")}
    assert left == dict.fromkeys(left, 0)
    assert all(texts)
