"""A label for each of several columns, on one adapter and in one pass: from a file to answers."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from tiny_families import FAMILIES

from conftest import CLASSES, WORDS
from rankwise.data.files.output import write_rows
from rankwise.data.files.table import table_of
from rankwise.data.tasks import LabelColumns
from rankwise.errors import DataError, TrainingError
from rankwise.recipe import DataSpec
from rankwise.report.blocks import Quotes
from rankwise.report.runs import report_of
from rankwise.run.folder import Run
from rankwise.training.events import UpdateLogged
from rankwise.workflows.train import train

pytestmark = pytest.mark.long

COLUMNS = ("topic", "size")


def tickets(rows, seed=0):
    """Texts whose words say a topic, and a size by how many there are; some labels are missing."""
    rng = np.random.default_rng(seed)
    found = []
    for row in range(rows):
        topic, large = CLASSES[row % 3], bool(rng.random() < 0.5)
        words = [str(rng.choice(WORDS[topic])) for _ in range(9 if large else 2)]
        size = "large" if large else "small"
        found.append(
            {
                "text": " ".join([*words, "plenty" if large else "little", f"row{row % 10}{row // 10}"]),
                "topic": "" if row % 17 == 5 else topic,
                "size": "" if row % 13 == 4 else size,
            }
        )
    return found


@pytest.fixture
def tickets_recipe(recipe_for, tmp_path):
    path = tmp_path / "tickets.csv"
    write_rows(path, ["text", *COLUMNS], tickets(120))
    columns = ["data.label=[topic, size]", "data.text=text", "head.kind=slim", "train.epochs=10", "adapter.rank=4"]
    return lambda family="bert", *more: recipe_for(family, f"data.source={path}", *columns, *more)


@pytest.mark.parametrize("family", FAMILIES)
def test_planned_is_live_is_saved_and_reloads_to_the_bit(tickets_recipe, tmp_path, family):
    run = train(tickets_recipe(family, "train.epochs=1", "evaluate.baselines=false"), tmp_path / "run")
    trained = run.facts.trained_parameters
    assert trained.planned == trained.counted == run.plan_facts.trainable_parameters
    assert run.preprocessing.columns == {"topic": 3, "size": 2}
    again = Run.load(run.folder).predict(["apple pear plenty"])[0]
    assert again == run.predict(["apple pear plenty"])[0]


def test_two_columns_train_at_half_as_much_again_where_the_recipe_says_so(tickets_recipe, tmp_path):
    rates = []
    for share in (0, 0.5):
        asked = tickets_recipe(
            "bert", "train.max_steps=1", "train.log_every=1", "train.warmup=0", f"train.rate_a_column={share}"
        )
        told = []
        train(asked, tmp_path / f"run{share}", listeners=[told.append], progress=False)
        rates.append(max(event.rate for event in told if isinstance(event, UpdateLogged)))
    assert rates[1] == pytest.approx(1.5 * rates[0])


def test_it_learns_each_column_and_answers_with_both(tickets_recipe, tmp_path, typed, copy_of):
    run = train(tickets_recipe("bert", "data.split.test=40"), tmp_path / "run")
    assert run.preprocessing.classes == ("topic=fruit", "topic=metal", "topic=river", "size=large", "size=small")
    assert set(run.scores.test.more) == {"topic accuracy", "size accuracy"}
    assert min(score.value for score in run.scores.test.more.values()) > 0.6
    assert run.scores.baselines["TF-IDF + logistic"].accuracy.value > 0.5
    found = run.predict(["apple pear apple little", "iron steel zinc tin lead nickel plenty"])
    assert [set(one.label) for one in found] == [set(COLUMNS)] * 2
    for one in found:
        assert sum(one.probabilities[name] for name in run.preprocessing.classes[:3]) == pytest.approx(1)
        assert sum(one.probabilities[name] for name in run.preprocessing.classes[3:]) == pytest.approx(1)
    rows = run.scored_rows()
    assert (rows.truth == -1).any(), "a label that is missing stays so"
    right = run.task.right(rows.probabilities.astype(np.float64), rows.truth)
    assert right.mean() == pytest.approx(run.scores.test.accuracy.value)
    code, printed, _ = typed("gate", run.folder, "--against", copy_of(run), "--score", "macro-f1", "--json")
    gated = json.loads(printed)
    assert (code, gated["score"], gated["difference"]["value"]) == (4, "macro_f1", 0.0)
    assert gated["new"]["score"] == pytest.approx(run.scores.test.macro_f1.value)
    code, _, told = typed("decide", run.folder)
    assert (
        code,
        "train a label column as a run of its own: --set data.label=topic --set data.task=single-label" in told,
    ) == (2, True)
    code, printed, _ = typed("predict", run.folder, "--text", "apple pear little")
    assert (code, "topic: " in printed, "size: " in printed) == (0, True, True)
    write_rows(tmp_path / "new.csv", ["text"], [{"text": "apple"}, {"text": "iron"}])
    code, _, _ = typed("predict", run.folder, tmp_path / "new.csv", "--out", tmp_path / "out.jsonl")
    assert code == 0
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    assert [set(line["label"]) for line in lines] == [set(COLUMNS)] * 2
    for line, one in zip(lines, run.predict(["apple", "iron"]), strict=True):
        assert line["scores"] == pytest.approx(one.scores, abs=1e-5)
        assert one.scores == {column: one.probabilities[f"{column}={name}"] for column, name in one.label.items()}
        assert one.score == min(one.scores.values())
    code, _, said = typed("predict", run.folder, tmp_path / "new.csv", "--numbers")
    assert (code, "--numbers counts the classes of one label column" in said) == (2, True)
    explained = report_of([run], explain=True).sections
    quotes = [block for section in explained for block in section.blocks if isinstance(block, Quotes)]
    assert any(part.score for row in quotes[0].parts for part in row)


@pytest.mark.parametrize("rungs", ["[tfidf]", "[features]", "[tfidf, features, all]"])
def test_every_rung_climbs(tickets_recipe, tmp_path, rungs):
    changes = ["head.start=fitted", "head.kind=pooled", f"rungs={rungs}", "train.epochs=2", "budget.parameters=100000"]
    run = train(tickets_recipe("bert", *changes), tmp_path / "run")
    assert run.facts.ladder.rungs[0].accuracy > 0.5
    assert Run.load(run.folder).predict(["apple pear"]) == run.predict(["apple pear"])


def test_what_columns_do_not_have_is_refused(tickets_recipe, recipe_for, tmp_path):
    with pytest.raises(TrainingError, match=r"train\.class_weights is for one label column or several labels"):
        train(tickets_recipe("bert", "train.class_weights=balanced"), tmp_path / "run")
    write_rows(tmp_path / "one.csv", ["text", *COLUMNS], [{**row, "size": "small"} for row in tickets(40)])
    columns = ["data.label=[topic, size]", f"data.source={tmp_path / 'one.csv'}"]
    with pytest.raises(DataError, match=r"column 'size': every row is 'small'; expected two classes or more in each"):
        train(recipe_for("bert", *columns), tmp_path / "other")


def test_a_label_that_no_class_has_is_wrong_and_not_missing():
    task = LabelColumns(("a=x", "a=y", "a=b=u", "a=b=v"), None, (("a", 2), ("a=b", 2)))
    cells = ['{"a": "x", "a=b": "new"}', '{"a": "x"}']
    table = replace(table_of(["one", "two"], cells), task="label-columns")
    truth = task.parse(table, (), DataSpec(unseen_labels="wrong"))
    assert truth.tolist() == [[1, 0, 0, 0], [1, 0, -1, -1]]
    probabilities = task.probabilities(np.array([[2.0, 0, 1, 0]] * 2, dtype=np.float32))
    assert task.right(probabilities, truth).tolist() == [False, True]


def test_a_label_that_training_never_saw_reads_back_from_the_run_as_wrong_and_a_missing_one_as_missing(
    tickets_recipe, tmp_path
):
    test = [
        *tickets(30, seed=5),
        {"text": "apple pear", "topic": "sky", "size": ""},
        {"text": "iron", "topic": "", "size": "huge"},
    ]
    write_rows(tmp_path / "test.csv", ["text", *COLUMNS], test)
    unseen = [f"data.test={tmp_path / 'test.csv'}", "data.unseen_labels=wrong", "train.epochs=1", "evaluate.baselines=false"]
    run = train(tickets_recipe("bert", *unseen), tmp_path / "run")
    kept = Run.load(run.folder).scored_rows()
    assert kept.truth[-2:].tolist() == [[0, 0, 0, -1, -1], [-1, -1, -1, 0, 0]]
    right = run.task.right(kept.probabilities.astype(np.float64), kept.truth)
    assert right[-2:].tolist() == [False, False]
    assert right.mean() == run.scores.test.accuracy.value
    held_out = run.held_out_rows()
    assert (held_out.truth == -1).any(), "a missing cell of the validation rows too"


def test_decisions_probabilities_and_credit_are_of_each_column():
    task = LabelColumns(("a=x", "a=y", "b=u", "b=v", "b=w"), None, (("a", 2), ("b", 3)))
    logits = np.array([[1.0, 3.0, 0.0, 0.0, 2.0], [5.0, 1.0, 3.0, 0.0, 0.0]], dtype=np.float32)
    probabilities = task.probabilities(logits)
    assert probabilities[:, :2].sum(axis=1).tolist() == pytest.approx([1, 1])
    assert probabilities[:, 2:].sum(axis=1).tolist() == pytest.approx([1, 1])
    assert task.probabilities(task.logits(probabilities)) == pytest.approx(probabilities, abs=1e-6)
    decided = task.decide(probabilities)
    assert decided.tolist() == [[0, 1, 0, 0, 1], [1, 0, 1, 0, 0]]
    assert task.answer(decided[0], task.classes) == {"a": "y", "b": "w"}
    truth = np.array([[0, 1, 1, 0, 0], [1, 0, -1, -1, -1]])
    assert task.credit(probabilities, truth).tolist() == [0.5, 1]
    assert task.right(probabilities, truth).tolist() == [False, True]
    alone = 1 / (1 + np.exp(-logits.astype(np.float64)))  # what a classifier for each class would say
    assert task.normal(alone) == pytest.approx(probabilities, abs=1e-6), "rows held out are told as the head tells them"
    (decided_right, other) = task.right(probabilities, np.array([[0, 1, 0, 0, 1], [1, 0, 0, 1, 0]])).tolist()
    assert (decided_right, other) == (True, False)
    other = (task, task.probabilities(-logits))
    assert task.difference(probabilities, other, np.array([[0, 1, 0, 0, 1], [1, 0, 0, 1, 0]]), 0.95).value == 0.5
