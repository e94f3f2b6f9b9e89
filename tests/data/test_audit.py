"""What an audit counts, what it warns about, and what it refuses."""

import json
import time
import tracemalloc
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankwise.data import audit as audits
from rankwise.data.audit import Audit, check, seen_in
from rankwise.data.files.table import Table, table_of
from rankwise.errors import DataError
from rankwise.system.files import to_json

WORDS = ["apple", "river", "stone", "cloud", "green", "seven", "paper", "light", "music", "house", "train", "north"]


def table(texts: Iterable[str], labels: Iterable[str | int]) -> Table:
    return table_of(list(texts), list(labels))


def distinct(count: int, start: int = 0) -> list[str]:
    """Texts that share no pair of neighbours."""
    numbers = range(start, start + count)
    return [" ".join(WORDS[(place // 12**digit) % 12] for digit in range(4)) + f" {place}" for place in numbers]


def audit(train: Table, lengths: np.ndarray | None = None, **others: Table) -> Audit:
    return audits.audit({"train": train, **others}, lengths=lengths)


def warned(report: Audit, *parts: str) -> bool:
    return any(all(part in warning for part in parts) for warning in report.warnings)


def test_a_clean_table_warns_of_nothing() -> None:
    report = audit(table(distinct(100), "ab" * 50), test=table(distinct(20, 100), "ab" * 10))
    assert report.warnings == ()
    assert report.rows == {"train": 100, "test": 20}
    assert report.classes == {"a": 50, "b": 50}
    assert report.majority == 0.5


def test_an_audit_is_plain_json() -> None:
    report = audit(table(["x y", "x y", "z"], "aba"), test=table(["x y"], "a"), lengths=np.array([3, 3, 2]))
    values = json.loads(json.dumps(to_json(report)))
    assert values["duplicates"] == 1
    assert values["tokens"]["recommended"] == 8
    assert values["overlaps"][0] == {"split": "test", "other": "train", "rows": 1, "share": 1.0, "near": 0, "one_side": 0}


def test_labels_that_are_no_classes_are_warned_about() -> None:
    assert warned(audit(table(distinct(100), "a" * 100)), "all rows are labelled 'a'", "two classes or more")
    names = [f"id{number}" for number in range(60)] * 1 + ["id0"] * 40
    assert warned(audit(table(distinct(100), names)), "60 labels in 100 rows look like names")


def test_imbalance_is_warned_about_with_the_majoritys_score() -> None:
    report = audit(table(distinct(100), "a" * 99 + "b"))
    assert report.imbalance == 99
    assert warned(report, "99 times", "99.0%", "select_by=macro_f1")


def test_repeats_are_counted_once_for_each_row_after_the_first() -> None:
    report = audit(table(["One text.", "One text.", "ONE  text", "one-text!", "other"], "aaaab"))
    assert (report.duplicates, report.near_duplicates) == (1, 2)
    assert warned(report, "1 training rows repeat an earlier text")


def test_texts_of_emoji_alone_are_not_near_repeats() -> None:
    assert audit(table(["😀", "😢", "!!", "??"], "abab")).near_duplicates == 0


def test_texts_of_a_split_in_a_script_that_training_lacks_are_told() -> None:
    train, test = table(distinct(10), "ab" * 5), table([*distinct(8, 20), "река", "дом"], "ab" * 5)
    report = audit(train, test=test)
    assert report.scripts == {"Latin": 10}
    assert warned(report, "test: 2 of 10 texts are mostly Cyrillic, which no training text was")
    assert not warned(audit(test, test=train), "mostly")


def test_overlap_between_splits_is_counted_with_its_share() -> None:
    train = table(distinct(50), "ab" * 25)
    test = table([*distinct(2), distinct(3)[2].upper(), *distinct(7, 100)], "ab" * 5)
    report = audit(train, validation=table(distinct(5, 200), "ababa"), test=test)
    leak = next(overlap for overlap in report.overlaps if (overlap.split, overlap.other) == ("test", "train"))
    assert (leak.rows, leak.share, leak.near) == (2, 0.2, 1)
    assert warned(report, "2 test rows (20.0%)", "a score says little", "remove them from train")
    assert seen_in(train, test).tolist() == [True, True, *[False] * 8]


def test_a_text_under_two_labels_is_listed_with_its_rows() -> None:
    report = audit(table(["x", "y", "x", "y", "z", "z"], "aabacc"))
    assert report.conflicts == 1
    assert report.conflict_examples[0].labels == ("a", "b")
    assert report.conflict_examples[0].rows == (1, 3)
    assert len(audit(table([f"t{place // 2}" for place in range(20)], "ab" * 10)).conflict_examples) == 5


def test_a_label_that_stands_in_its_texts_is_possible_leakage() -> None:
    texts = [f"{text} [{label}]" for text, label in zip(distinct(40), ["Sports", "World"] * 20, strict=True)]
    report = audit(table(texts, ["Sports", "World"] * 20))
    assert {word.label for word in report.label_words} == {"Sports", "World"}
    assert warned(report, "possible leakage", "'Sports'", "100%")


def test_a_label_inside_other_words_or_everywhere_is_no_leakage() -> None:
    texts = [f"{text} position and neg" for text in distinct(40)]
    assert audit(table(texts, ["pos", "neg"] * 20)).label_words == ()


def test_labels_that_look_alike_are_told_with_what_cannot_be_seen_written_out() -> None:
    report = audit(table(distinct(4), ["caf\u00e9", "cafe\u0301", "login", "login\u200b"]))
    assert warned(report, "case or space or in what can't be seen", "'caf\u00e9', 'cafe\\u0301'")
    assert warned(report, "'login', 'login\\u200b'")


def test_labels_alike_but_for_case_and_space_are_named() -> None:
    report = audit(table(distinct(6), ["Sports", " sports ", "World", "SPORTS", "World", "world news"]))
    assert report.alike_labels == (("Sports", " sports ", "SPORTS"),) or len(report.alike_labels[0]) == 3
    assert warned(report, "differ only in case or space", "' sports '")


def test_suspicious_texts_are_named_with_their_rows() -> None:
    texts = [*distinct(10), "x" * 20_001, "nan", "cafÃ© au lait", "lost \ufffd letter", "a &lt;b&gt; tag", "k"]
    report = audit(table(texts, "ab" * 8))
    assert sorted(report.suspicious.values()) == [(11,), (12,), (13,), (14,), (15,), (16,)]
    assert warned(report, "HTML", "data.clean=[html, whitespace]", "row 15")


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=300))
@settings(max_examples=50, deadline=None)
def test_the_recommended_length_is_the_smallest_multiple_of_8_that_covers(lengths: list[int]) -> None:
    report = audit(table(["x"] * len(lengths), ["a"] * len(lengths)), lengths=np.array(lengths)).tokens
    assert report is not None
    assert report.recommended is not None
    assert report.recommended % 8 == 0
    assert np.mean(np.array(lengths) <= report.recommended) >= 0.995
    assert np.mean(np.array(lengths) <= report.recommended - 8) < 0.995
    assert sum(rows for _, _, rows in report.histogram) == len(lengths)
    assert report.coverage["128"] == np.mean(np.array(lengths) <= 128)
    assert report.quantiles["max"] == max(lengths)


# ---------------------------------------------------------------------------------------------------------------- check


@pytest.mark.parametrize(
    ("texts", "labels", "says"),
    [
        (["x", "y"], None, "rows without labels"),
        (["x", "y"], ["a", "a"], "every row is 'a'"),
        (distinct(10), [f"id{place}" for place in range(10)], "10 different labels in 10 rows, such as 'id0'"),
    ],
)
def test_labels_that_cannot_be_learned_are_refused(texts: list[str], labels: list[str] | None, says: str) -> None:
    with pytest.raises(DataError, match=says):
        check(table_of(texts, labels))


def test_a_class_of_one_row_can_be_learned_but_is_warned_of() -> None:
    lonely = table(distinct(11), "ababababab" + "c")
    check(lonely)
    assert warned(audit(lonely), "one row only of 'c'")


def test_more_rows_take_hardly_more_memory() -> None:
    def most_bytes(rows: int) -> int:
        known = table((f"{place:0500}" for place in range(rows)), "ab" * (rows // 2))
        tracemalloc.start()
        try:
            audit(known, test=table(distinct(10), "ab" * 5))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    most_bytes(1_000)  # the first one also imports
    assert most_bytes(5_000) - most_bytes(1_000) < 5e5, "of 2 MB of text"


def test_a_hundred_thousand_rows_take_seconds() -> None:
    texts = [f"{text} {' '.join(WORDS * 3)}" for text in distinct(100_000)]
    start = time.process_time()
    audit(table(texts, ["World", "Sports", "Business", "Sci/Tech"] * 25_000))
    assert time.process_time() - start < 10
