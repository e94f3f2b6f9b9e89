"""Classes in an order, through the whole path: decided by the median, scored by distance, saved as a stock classifier."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from pipelines import check_pipeline
from tiny_families import FAMILIES
from torch.nn.functional import cross_entropy

from rankwise.data.files.output import write_rows
from rankwise.data.files.table import table_of
from rankwise.data.labelled import read_labelled, split_tables
from rankwise.data.tasks import Ordered
from rankwise.errors import DataError
from rankwise.recipe import DataSpec
from rankwise.report.blocks import Table
from rankwise.report.groups import group_by_recipe
from rankwise.report.runs import report_of
from rankwise.run.folder import Run
from rankwise.stats.intervals import Interval
from rankwise.training.loss import loss_of
from rankwise.workflows.assemble import assemble, training_device
from rankwise.workflows.train import train

GOOD = ("awful", "poor", "fair", "good", "great")


@pytest.fixture
def stars_recipe(recipe_for, tmp_path):
    """A recipe for texts with one to five stars, by how good their words are."""
    rng = np.random.default_rng(0)
    rows = []
    for row in range(150):
        stars = row % 5
        words = [GOOD[int(np.clip(stars + rng.integers(-1, 2), 0, 4))] for _ in range(7)]
        rows.append({"text": " ".join([*words, f"row{row}"]), "label": str(stars + 1)})
    write_rows(tmp_path / "stars.csv", ["text", "label"], rows)
    settings = [f"data.source={tmp_path / 'stars.csv'}", "data.task=ordered", "head.kind=slim", "train.epochs=6"]
    return lambda family="bert", *more: recipe_for(family, *settings, *more)


@pytest.mark.long
@pytest.mark.parametrize("family", FAMILIES)
def test_planned_is_live_is_saved_and_reloads_to_the_bit(stars_recipe, tmp_path, family):
    run = train(stars_recipe(family, "train.epochs=1", "evaluate.baselines=false"), tmp_path / "run")
    trained = run.facts.trained_parameters
    assert trained.planned == trained.counted == run.plan_facts.trainable_parameters
    assert (run.preprocessing.task, run.preprocessing.classes) == ("ordered", ("1", "2", "3", "4", "5"))
    assert Run.load(run.folder).predict(["good great"]) == run.predict(["good great"])


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("method", ["lora", "full"])
def test_it_is_scored_by_distance_and_loads_as_a_stock_classifier(stars_recipe, tmp_path, typed, method):
    run = train(stars_recipe("bert", f"adapter.method={method}"), tmp_path / "run")
    scores = run.scores.test
    assert set(scores.more) == {"quadratic_kappa", "mean_absolute_error"}
    assert sum(sum(row) for row in scores.confusion) == 12
    assert scores.accuracy.value == pytest.approx(np.trace(scores.confusion) / 12)
    rows = run.scored_rows()
    decided = run.task.decide(rows.probabilities.astype(np.float64))
    assert scores.named("mean_absolute_error").value == pytest.approx(np.abs(decided - rows.truth).mean())
    if method == "full":
        check_pipeline(run)
    else:
        code = re.findall(r"```python\n(.*?)```", (run.folder / "README.md").read_text("utf-8"), re.DOTALL)[1]
        assert "cumsum" in code
        code = code.replace("A text to classify.", "great great good").replace('"path/to/this/folder"', repr(str(run.folder)))
        scope = {}
        exec(code.replace(f'"{run.facts.base.name}"', repr(run.base().location)), scope)
        found = run.predict(["great great good"])[0]
        assert scope["scores"][0].tolist() == pytest.approx(list(found.probabilities.values()), abs=1e-5)
        assert run.preprocessing.classes[int(scope["medians"][0])] == found.label
    code, printed, _ = typed("evaluate", run.folder, tmp_path / "stars.csv")
    assert code == 0
    assert "quadratic kappa  " in printed
    assert "mean absolute error  " in printed
    (table,) = [block for block in report_of([run]).sections[0].blocks if isinstance(block, Table) and block.name == "scores"]
    labels = {column.name: (column.label, column.kind) for column in table.columns}
    assert labels["quadratic_kappa"] == ("quadratic kappa", "number")
    assert labels["mean_absolute_error"] == ("mean absolute error", "number")
    wide = replace(scores, more={"mean_absolute_error": Interval(1.5, 1.2, 1.8)})  # errors may be more than a class
    assert group_by_recipe([run])[0].pooled([wide, wide], "mean_absolute_error").value == 1.5


@pytest.mark.long
def test_a_decision_is_about_the_median_on_the_rows_that_chose_and_where_it_predicts(stars_recipe, tmp_path, typed):
    run = train(stars_recipe("bert", "data.split.test=40", "data.split.validation=40"), tmp_path / "run")
    plain = run.predict([text := "fair good fair good great", "awful poor awful"])
    code, _, told = typed("decide", run.folder, "--coverage", "70%", "--json")
    assert code == 0, told
    decision = Run.load(run.folder).decision
    rows = run.scored_rows()
    probabilities = decision.rule.scaling.probabilities(rows.logits)
    answers = run.task.decide(probabilities)
    decided = decision.rule.decide(probabilities, rows.energy, answers=answers)
    assert decision.verified.wrong == int(((answers != rows.truth) & decided.answered).sum())
    again = Run.load(run.folder).predict([text, "awful poor awful"])
    for one, before in zip(again, plain, strict=True):
        scaled = np.array([list(one.probabilities.values())])
        assert one.label == run.preprocessing.classes[int(run.task.decide(scaled)[0])]
        assert one.score == pytest.approx(float(run.task.confidence(scaled)[0]))
        assert before.unsure is False
    assert any(section.name == "decision-section" for section in report_of([Run.load(run.folder)]).sections)


def test_the_median_errs_by_the_fewest_classes():
    task, rng = Ordered(tuple("12345")), np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(5), size=200)
    decided, numbers = task.decide(probabilities), np.arange(5)
    expected = np.abs(numbers[:, None] - numbers) @ probabilities.T  # (5, N) of each decision
    assert expected[decided, np.arange(200)] == pytest.approx(expected.min(axis=0))
    assert task.confidence(probabilities).tolist() == probabilities[np.arange(200), decided].tolist()


def test_an_order_that_nobody_said_is_asked_for():
    texts, labels = [f"text {row}" for row in range(60)], ["low", "medium", "high"] * 20
    with pytest.raises(DataError, match=r"nothing says their order; give it, from low to high: --set 'data\.classes="):
        split_tables(DataSpec(task="ordered"), table_of(texts, labels))
    named = split_tables(DataSpec(task="ordered", classes=("low", "medium", "high")), table_of(texts, labels))
    assert named.classes == ("low", "medium", "high")
    assert named.task == Ordered(("low", "medium", "high"))


def test_the_loss_adds_the_squared_distance_of_cumulated_probabilities(stars_recipe):
    recipe = stars_recipe()
    job = assemble(recipe, read_labelled(recipe.data), training_device())
    logits, labels = torch.tensor([[2.0, 0, 1, 0, 0], [0, 0, 3, 1, 0]]), torch.tensor([0, 4])
    wanted = torch.tensor([[1.0, 1, 1, 1, 1], [0, 0, 0, 0, 1]])
    expected = cross_entropy(logits, labels, reduction="sum") + ((logits.softmax(1).cumsum(1) - wanted) ** 2).sum()
    loss = loss_of(recipe.train, job.data, torch.device("cpu"))
    assert loss(logits, labels).item() == pytest.approx(expected.item())
    assert loss.right(logits, labels).item() == 1
