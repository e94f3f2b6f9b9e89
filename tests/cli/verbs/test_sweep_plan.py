"""What a space holds is told, with how much of it fits, before anything trains."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from rankwise.cli.app import app
from rankwise.planning.plan import plan
from rankwise.recipe import Recipe


def typed(*words: str):
    return CliRunner().invoke(app, list(words), env={"COLUMNS": "80"})


def test_a_grid_is_counted_and_planned_to_the_parameter():
    answer = typed("sweep", "rank4-grid", "--plan", "--set", "base=minilm", "--budget", "40k", "--json")
    assert answer.exit_code == 0, answer.output
    found = json.loads(answer.stdout)
    assert found["size"] == found["planned"] == 4 * 3 * 2 * 2 * 2 * 7
    assert found["fit"] + sum(found["rejected"].values()) == found["size"]
    least = Recipe.load("rank4-adam", ["base=minilm", "adapter.rank=2", "adapter.bias=none"])
    assert found["least"] == plan(least, classes=4).ledger.trainable_parameters
    assert found["most"] < 40_000
    assert list(found["rejected"]) == ["over the cap of 40,000"]


def test_what_needs_the_datas_scores_is_not_called_rejected(tmp_path):
    file = tmp_path / "shared.yaml"
    file.write_text("base: auto\nspace:\n  adapter.allocate: [uniform, by-importance]\n  train.epochs: [1, 2]\n", "utf-8")
    found = json.loads(typed("sweep", str(file), "--plan", "--json").stdout)
    assert (found["planned"], found["fit"], found["probed"], found["rejected"]) == (4, 2, 2, {})
    answer = typed("sweep", str(file), "--plan").stdout
    assert "2 share ranks by importance, and are planned once the data is probed" in " ".join(answer.split())
    assert "rejected" not in answer
    told = "note: auto climbs rungs, which a sweep does not: all it trains is of the rung all"
    assert " ".join(answer.split()).startswith(told)


def test_people_read_keys_values_and_what_fits(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(
        "base: rank4-adam\nset: [base=minilm]\nsearch: {sampler: random, trials: 5, seeds: 2}\nspace:\n"
        "  adapter.targets: [[query], [query, value]]\n  train.learning_rate: {low: 1e-4, high: 1e-2, log: true}\n"
        "  which:\n    - {train.optimizer.name: adam, train.batch_size: [8, 16]}\n    - {train.optimizer.name: sgd}\n",
        "utf-8",
    )
    answer = typed("sweep", str(file), "--plan")
    assert answer.exit_code == 0, answer.output
    for line in (
        "mine around rank4-adam on minilm: more configurations than can be listed",
        "  adapter.targets  query, query+value",
        "  train.learning_rate  0.0001 to 0.01, by logarithm",
        "  which adam  train.batch_size 8, 16",
        "200 of 200 drawn at random fit, and train ",
        "the search: random, 5 trials, 2 seeds each",
    ):
        assert line in answer.stdout, answer.stdout
    assert max(map(len, answer.stdout.splitlines())) <= 80
    assert list(tmp_path.iterdir()) == [file], "nothing is made"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("plan", "rank4-grid"), "'rank4-grid' is a space; type: rankwise sweep rank4-grid"),
        (("sweep", "auto"), "'auto' is a recipe; type: rankwise train auto"),
    ],
)
def test_a_space_for_a_recipe_and_a_recipe_for_a_space_are_told_apart(words, told):
    answer = typed(*words)
    assert answer.exit_code == 2
    assert told in answer.stderr
