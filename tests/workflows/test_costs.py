"""A file of costs is read whole, and what is wrong in it is told with its line."""

from __future__ import annotations

import pytest

from rankwise.errors import RankwiseError
from rankwise.workflows.costs import read_costs

CLASSES = ("inbox", "spam", "bill")


def written(folder, text):
    path = folder / "costs.yaml"
    path.write_text(text, "utf-8")
    return path


def test_costs_of_pairs_go_before_those_of_any_wrong_answer(tmp_path):
    costs = read_costs(written(tmp_path, "unsure: 1\nwrong: 5\npairs:\n  inbox: {spam: 50}\n  bill: {bill: -1}\n"), CLASSES)
    assert costs.asking == 1.0
    assert costs.of_answers == ((0.0, 50.0, 5.0), (5.0, 0.0, 5.0), (5.0, 5.0, -1.0))


def test_a_wrong_answer_costs_one_where_nothing_is_said(tmp_path):
    assert read_costs(written(tmp_path, "unsure: 0.2\n"), CLASSES).of_answers[0] == (0.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("wrong: 5\n", "key 'unsure' is missing"),
        ("unsure: 1\nwrongs: 5\n", r"costs.yaml:2: unknown key 'wrongs'; did you mean 'wrong'\?"),
        ("unsure: much\n", "costs.yaml:1: unsure is 'much'; expected a number"),
        (
            "unsure: 1\npairs:\n  inbx: {spam: 1}\n",
            r"costs.yaml:3: no class 'inbx' among inbox, spam, bill; did you mean 'inbox'",
        ),
        ("unsure: 1\npairs:\n  inbox: {spm: 1}\n", "costs.yaml:3: no class 'spm'"),
        ("unsure: 1\npairs: [1]\n", r"costs.yaml:2: pairs is \[1\]; expected a mapping of classes"),
        ("- 1\n", "expected a mapping such as 'unsure: 1'"),
    ],
)
def test_what_makes_no_sense_is_told_with_its_line(tmp_path, text, told):
    with pytest.raises(RankwiseError, match=told):
        read_costs(written(tmp_path, text), CLASSES)


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(RankwiseError, match="can't be read"):
        read_costs(tmp_path / "none.yaml", CLASSES)
