"""A key that there is not is refused with its line and the key that may be meant."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("base: minilm\nbudgt: {parameters: 3}\n", "r.yaml:2: unknown key 'budgt'; did you mean 'budget'?"),
        (
            "train:\n  optimizer:\n    name: adam\n    momentun: 0.1\n",
            "r.yaml:4: unknown key 'train.optimizer.momentun'; did you mean 'train.optimizer.momentum'?",
        ),
        (
            "adapter:\n  allocate:\n    policy: by-depth\n    grups: 3\n",
            "r.yaml:4: unknown key 'adapter.allocate.grups'; did you mean 'adapter.allocate.groups'?",
        ),
        (
            "data:\n  train:\n    path: a.csv\n\n    txt: [a]\n",
            "r.yaml:5: unknown key 'data.train.txt'; did you mean 'data.train.text'?",
        ),
        (
            "data:\n  split: {validaton: 3}\n",
            "r.yaml:2: unknown key 'data.split.validaton'; did you mean 'data.split.validation'?",
        ),
        ("# a comment\n\nzzz: 1\n", "r.yaml:3: unknown key 'zzz'; rankwise recipes show auto --full lists all"),
        ("learning_rate: 1\n", "r.yaml:1: unknown key 'learning_rate'; did you mean 'train.learning_rate'?"),
        ("adapter:\n  r: 8\n", "r.yaml:2: unknown key 'adapter.r'; did you mean 'adapter.rank'?"),
        ("lora_alpha: 8\n", "r.yaml:1: unknown key 'lora_alpha'; did you mean 'adapter.alpha'?"),
        ("train: {max_lenght: 8}\n", "r.yaml:1: unknown key 'train.max_lenght'; did you mean 'data.max_length'?"),
    ],
    ids=[
        "top",
        "in an optimizer",
        "in a policy",
        "in a source",
        "in one line",
        "nothing near",
        "without its section",
        "of peft",
        "of other tools",
        "in another section",
    ],
)
def test_an_unknown_key_is_refused_with_its_line_and_the_nearest_known_key(refused, text, message):
    assert refused(text) == message


def test_a_key_of_another_policy_is_not_offered_as_its_own_correction(refused):
    message = refused("adapter:\n  allocate:\n    policy: last-k\n    growth: 3\n")
    assert message.startswith("r.yaml:4: unknown key 'adapter.allocate.growth'")
    assert "mean 'growth'" not in message


def test_every_unknown_key_is_named_at_once(refused):
    assert [line.split(":")[1] for line in refused("bace: a\ntrian: b\nhaed: c\n").splitlines()] == ["1", "2", "3"]


def test_a_duplicate_key_is_refused_with_its_line(refused):
    message = refused("base: minilm\ntrain:\n  epochs: 1\n  epochs: 2\n")
    assert message.startswith("r.yaml:4: found duplicate key")
    assert "epochs" in message
