"""What a study says of its trials: the best, the front, what mattered."""

from __future__ import annotations

from dataclasses import replace

import optuna
import pytest

from rankwise.recipe import Recipe
from rankwise.sweep.results import Final, Trial
from rankwise.sweep.study import Study

BASE = Recipe.load("rank4-adam")


def trial(number, accuracy, *, parameters=100, log_loss=0.5, state="finished"):
    values = {"accuracy": accuracy, "trained_parameters": float(parameters)} if state == "finished" else {}
    return Trial(
        number,
        state,
        {"adapter.rank": number + 1},
        values,
        {"accuracy": (accuracy,), "log_loss": (log_loss,)},
        trained_parameters=parameters,
    )


def study(*trials, finals=(), objectives=("accuracy",)):
    return Study("s", objectives, BASE, trials, finals, ("adapter.rank",))


def final(number, seed, accuracy):
    return Final(number, seed, f"finals/{number}-{seed}", {"accuracy": accuracy}, {"accuracy": 0.1}, 1.0)


def test_finished_trials_come_best_first_and_the_lower_loss_decides_between_equals():
    found = study(trial(0, 0.8), trial(1, 0.9, log_loss=0.4), trial(2, 0.9, log_loss=0.3), trial(3, 1.0, state="pruned"))
    assert [one.number for one in found.finished] == [2, 1, 0]
    assert found.best.number == 2
    assert found.count("finished", "pruned") == 4


def test_a_cost_is_better_when_it_is_lower():
    found = study(trial(0, 0.8, parameters=10), trial(1, 0.9, parameters=20), objectives=("trained_parameters", "accuracy"))
    assert found.best.number == 0


def test_the_finalist_with_the_best_validation_on_fresh_seeds_wins_whatever_its_test_scores():
    finals = (final(0, 1, 0.85), final(0, 2, 0.87), final(1, 1, 0.84), final(1, 2, 0.85))
    found = study(trial(0, 0.9), trial(1, 0.91), trial(2, 0.95), finals=finals)
    assert found.best.number == 0, "trial 2 was no finalist, and trial 1 did worse on fresh seeds"


def test_a_finalist_that_diverged_gives_way_to_one_that_did_not():
    lost = Final(0, 2, "finals/0-2", reason="the loss became nan at update 3")
    found = study(trial(0, 0.9), trial(1, 0.91), finals=(final(0, 1, 0.95), lost, final(1, 1, 0.84), final(1, 2, 0.85)))
    assert found.best.number == 1
    assert replace(found, finals=(lost,)).best.number == 1, "as if there were none: the best finished trial"


def test_a_finalist_with_fewer_runs_so_far_waits_for_them():
    found = study(trial(0, 0.9), trial(1, 0.91), finals=(final(0, 1, 0.95), final(1, 1, 0.84), final(1, 2, 0.85)))
    assert found.best.number == 1


def test_finalists_are_compared_by_the_searchs_own_score():
    runs = [
        replace(final(number, 1, 0.9), validation={"accuracy": 0.9, "log_loss": loss})
        for number, loss in ((0, 0.4), (1, 0.3))
    ]
    trials = [replace(trial(number, 0.9), values={"log_loss": 0.5}) for number in range(3)]
    assert study(*trials, finals=tuple(runs), objectives=("log_loss",)).best.number == 1


def test_nothing_is_best_where_nothing_has_finished():
    found = study(trial(0, 0.5, state="running"))
    assert found.best is None
    assert found.front() == ()
    assert found.importances() == {}


def test_the_front_is_what_no_other_trial_beats():
    trials = [
        trial(0, 0.9, parameters=300),
        trial(1, 0.8, parameters=100),
        trial(2, 0.8, parameters=200),
        trial(3, 0.7, parameters=100),
        trial(4, 0.85, parameters=150),
        trial(5, 0.85, parameters=150),
    ]
    front = study(*trials, objectives=("accuracy", "trained_parameters")).front()
    assert [one.number for one in front] == [0, 4, 5, 1], "equals stay both"


def test_a_trials_recipe_is_the_base_with_its_settings():
    found = study(trial(6, 0.9))
    assert found.recipe(found.best).adapter.rank == 7
    assert found.recipe(found.best).train == BASE.train


def importances(sampled):
    objective = "accuracy" if sampled.direction.name == "MAXIMIZE" else "log_loss"
    return replace(study(objectives=(objective,)), complete=tuple(sampled.trials)).importances()


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
@pytest.mark.parametrize("count", [8, 60])
def test_the_setting_that_decides_is_the_important_one(direction, count):
    sampled = optuna.create_study(direction=direction, sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(count):
        one = sampled.ask()
        rate = one.suggest_float("rate", 1e-4, 1.0, log=True)
        one.suggest_categorical("idle", ["a", "b"])
        sampled.tell(one, rate if direction == "maximize" else -rate)
    found = importances(sampled)
    assert next(iter(found)) == "rate"
    assert sum(found.values()) == pytest.approx(1)
    assert found["rate"] > 0.6


def test_importances_are_left_out_where_trials_are_few_or_alike():
    sampled = optuna.create_study()
    for _ in range(3):
        one = sampled.ask()
        sampled.tell(one, one.suggest_float("rate", 0, 1))
    assert importances(sampled) == {}
    alike = optuna.create_study()
    for _ in range(5):
        one = alike.ask()
        one.suggest_float("rate", 0, 1)
        alike.tell(one, 1.0)
    assert importances(alike) == {}
