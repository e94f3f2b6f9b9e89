"""A trial trains what a whole run would train, is scored on validation rows, and leaves nothing behind."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import separable
from rankwise.errors import DataError, OverBudget
from rankwise.run.folder import Run
from rankwise.sweep.objective import TrialObjective, whole_run
from rankwise.sweep.results import OF_CLASSES, Stop
from rankwise.system.memory import KERNEL_CACHES
from rankwise.workflows.train import train


def unheard(entry):
    pass


@pytest.fixture
def objective():
    return TrialObjective()


@pytest.fixture
def quick(recipe_for):
    return lambda *overrides: recipe_for("bert", "train.epochs=2", "train.evaluate_every=3", *overrides)


LADDER = ("rungs=[tfidf,features,top,all]", "head.kind=pooled", "head.start=fitted")


@pytest.mark.parametrize("changes", [(), LADDER], ids=["a recipe", "a ladder's dearest rung"])
def test_it_scores_as_a_whole_run_with_the_same_seed(objective, quick, tmp_path, changes):
    recipe = quick("train.seed=3", *changes).without_climb
    found = objective(recipe, unheard)
    run = train(recipe, tmp_path / "run")
    assert {name: getattr(run.scores.validation, name) for name in OF_CLASSES} == found.scores
    assert [entry["step"] for entry in found.history] == [entry.step for entry in run.scores.history]
    assert found.trained_parameters == run.facts.trained_parameters.counted
    assert found.data_sha256 == run.facts.data_sha256
    assert found.validation_rows == run.facts.rows.validation == 12
    assert found.seconds > 0


class Assembled(Exception):
    pass


def test_a_trial_and_a_run_of_one_recipe_get_the_same_set_up(objective, quick, tmp_path, monkeypatch):
    jobs, kernels = [], []

    def fit(job, **_):
        jobs.append(job)
        raise Assembled

    monkeypatch.setattr("rankwise.sweep.objective.fit", fit)
    monkeypatch.setattr("rankwise.workflows.ladder.fit", fit)
    recipe = quick("budget.memory_gb=4", "train.select_by=worst_shift", "train.micro_batch_size=4", "train.seed=3")
    for start in (lambda: objective(recipe, unheard), lambda: train(recipe, tmp_path / "run")):
        for name in KERNEL_CACHES:
            monkeypatch.setenv(name, "")  # so that it is as before once the test is over
            monkeypatch.delenv(name)
        with pytest.raises(Assembled):
            start()
        kernels.append([os.environ.get(name) for name in KERNEL_CACHES])
    trial, run = jobs
    assert kernels == [["32", "32"], ["32", "32"]], "oneDNN's cache of kernels is bounded under a limit of memory"
    for part in ("recipe", "plan", "base", "device", "precision", "speed", "padding"):
        assert getattr(trial, part) == getattr(run, part), part
    for size in ("micro_batch_size", "evaluation_batch_size", "memory_gb"):
        assert getattr(trial.forecast, size) == getattr(run.forecast, size), size
    for split in ("train", "validation"):
        one, other = getattr(trial.data, split), getattr(run.data, split)
        assert list(one.texts) == list(other.texts)
        assert np.array_equal(one.tokens.ids[0 : one.tokens.offsets[-1]], other.tokens.ids[0 : other.tokens.offsets[-1]])
        assert np.array_equal(one.labels, other.labels)
    assert [kind.kind for kind in trial.shifted] == [kind.kind for kind in run.shifted] != []
    for one, other in zip(trial.classifier.model.parameters(), run.classifier.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_each_evaluation_is_reported_with_what_a_pruner_and_a_chart_need(objective, quick):
    heard = []
    found = objective(quick(), heard.append)
    assert [entry["step"] for entry in heard] == [entry["step"] for entry in found.history] == [3, 6, 9, 10]
    assert [entry["accuracy"] for entry in heard] == [entry["accuracy"] for entry in found.history]
    assert {entry["trained_parameters"] for entry in heard} == {found.trained_parameters}
    assert heard[0]["seconds"] < heard[-1]["seconds"]


def test_a_plan_over_the_cap_is_refused_before_any_token_is_made(objective, quick):
    with pytest.raises(OverBudget):
        objective(quick("budget.parameters=100"), unheard)
    assert objective.memo.prepared == {}


def test_the_test_rows_change_nothing(objective, quick, tmp_path):
    def with_test(seed):
        path = separable(12, seed=seed).write(tmp_path / f"test-{seed}.csv")
        return quick(f"data.test={path}", f"data.train={train_file}", "data.source=null")

    train_file = separable(60, seed=1).write(tmp_path / "train.csv")
    one, two = (objective(with_test(seed), unheard) for seed in (7, 8))
    assert one.data_sha256 != two.data_sha256
    assert (one.scores, one.history) == (two.scores, two.history)
    for _, prepared in objective.memo.prepared.values():
        assert list(prepared.test.texts) == list(prepared.validation.texts)[:1], "a validation row stands for them"


def test_a_trial_that_is_stopped_ends_at_once_and_leaves_no_file(objective, quick, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    heard = []

    def stop(entry):
        heard.append(entry)
        raise Stop

    with pytest.raises(Stop):
        objective(quick(), stop)
    assert len(heard) == 1
    assert list(tmp_path.iterdir()) == []
    assert objective(quick(), unheard).history, "the next trial is not the worse for it"


def test_tables_and_tokens_are_made_once_for_trials_that_share_them(objective, quick):
    objective(quick(), unheard)
    ((first,), (tables,)) = objective.memo.prepared.values(), objective._tables.values()
    objective(quick("adapter.rank=1", "train.learning_rate=1e-3"), unheard)
    assert list(objective.memo.prepared.values()) == [first]
    objective(quick("data.max_length=12"), unheard)
    assert len(objective.memo.prepared) == 2
    assert next(iter(objective._tables.values())) is tables


def test_data_that_is_not_there_is_the_users_mistake(objective, quick):
    with pytest.raises(DataError):
        objective(quick("data.source=nowhere.csv"), unheard)


def test_tokens_are_made_once_for_all_processes(quick, tmp_path, monkeypatch):
    monkeypatch.setenv("RANKWISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("rankwise.data.tokens.LEAST_SHARED", 1)
    first = TrialObjective()(quick("train.max_steps=1"), unheard)
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").glob("prefix/*/ids.bin")}
    assert len(made) == 3, "training rows, and validation rows with the one that stands for the test rows"
    assert TrialObjective()(quick("train.max_steps=1"), unheard).scores == first.scores  # as another process begins
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").glob("prefix/*/ids.bin")} == made


def test_the_frozen_layers_cache_is_shared_between_trials(objective, quick, tmp_path, monkeypatch):
    monkeypatch.setenv("RANKWISE_CACHE", str(tmp_path / "cache"))
    upper = ("adapter.allocate={policy: last-k, k: 1}", "train.encoder_dropout=off", "train.max_steps=2")
    objective(quick(*upper), unheard)
    entries = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "cache" / "prefix").glob("*/hidden.bin")}
    assert len(list((tmp_path / "cache" / "prefix").glob("*/hidden.bin"))) == 2, "training and validation rows"
    objective(quick(*upper, "adapter.rank=1"), unheard)
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "cache" / "prefix").glob("*/hidden.bin")} == entries


def test_a_finalist_that_the_worst_shift_chose_has_that_score_too(quick, tmp_path):
    found = whole_run(quick("train.max_steps=2", "train.select_by=worst_shift"), str(tmp_path / "run"))
    assert found.scores.keys() == {*OF_CLASSES, "worst_shift"}
    assert found.scores["worst_shift"] <= found.scores["accuracy"]


def test_a_finalist_is_a_whole_run_and_is_made_once(quick, tmp_path):
    recipe = quick("train.max_steps=2")
    folder = tmp_path / "run"
    first = whole_run(recipe, str(folder))
    run = Run.load(folder)
    assert first.test["accuracy"] == run.scores.test.accuracy.value
    assert first.scores == {name: getattr(run.scores.validation, name) for name in OF_CLASSES}
    written = {path: path.stat().st_mtime_ns for path in Path(folder).iterdir()}
    assert whole_run(recipe, str(folder)) == first
    assert {path: path.stat().st_mtime_ns for path in Path(folder).iterdir()} == written
