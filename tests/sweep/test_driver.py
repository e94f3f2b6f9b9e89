"""What a sweep does with a space, on an engine of threads and objectives that train nothing."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import replace
from pathlib import Path

import fakes
import optuna
import pytest
from fakes import EVALUATIONS, InlineEngine

from rankwise.errors import DataError, Defect, NonFiniteLoss, RecipeError, RunError
from rankwise.recipe import Recipe
from rankwise.sweep.driver import sweep
from rankwise.sweep.engines.local import Died
from rankwise.sweep.results import TrialWork
from rankwise.sweep.space import Space
from rankwise.sweep.storage import Board, Store, existing
from rankwise.sweep.study import Study
from rankwise.system.events import Events

pytestmark = pytest.mark.long

BASE = Recipe.load("rank4-adam")
NO_FINALS = ("finalists=0",)


@pytest.fixture
def run(space_file, tmp_path):
    """A sweep in `tmp_path/sweep`, with the events that it told and the engine that it ran on."""

    class Sweep:
        engine: InlineEngine
        heard: list

        def __call__(
            self,
            objective=fakes.scored,
            *search,
            text=None,
            slots=1,
            base=BASE,
            kind=InlineEngine,
            out="sweep",
            retrain=None,
            storage=None,
            **how,
        ):
            path = space_file(text=text) if text else space_file()
            self.heard = []

            def engine(work):
                self.engine = kind(work, slots)
                return self.engine

            return sweep(
                base,
                Space.load(path, search),
                TrialWork(objective, retrain),
                Store(tmp_path / out, storage, patience_seconds=2),
                engine=engine,
                listeners=[self.heard.append],
                **how,
            )

        def events(self, kind):
            return [event for event in self.heard if event.kind == kind]

    return Sweep()


def until_time_is_up(clock, whole):
    """An objective that trains so many trials; the next one takes longer than the minute that there is."""
    begun = itertools.count(1)

    def objective(recipe, report):
        if next(begun) > whole:
            clock.passes(60)
        return fakes.scored(recipe, report)

    return objective


def test_of_a_base_with_rungs_trials_finalists_and_the_best_recipe_are_all_of_the_dearest(run, tmp_path):
    """Climbed, each finalist might hand over another rung, and none of them what its trial was scored for."""
    study = run(base=Recipe.load("auto"), retrain=fakes.retrained, text=SMALL)
    assert study.count("finished") == 2
    assert len(study.finals) == 2
    assert {task.recipe.rungs for task in run.engine.tasks} == {()}
    assert {task.recipe.adapter.method for task in run.engine.tasks} == {"lora"}
    assert study.recipe(study.best).rungs == study.base.rungs == ()
    with pytest.raises(RecipeError, match="a sweep trains one rung, the same for all, so rungs can't vary; type --set"):
        run(base=Recipe.load("auto"), text=SMALL.replace("adapter.rank: [2, 4]", "rungs: [[features], [all]]"), out="other")


SMALL = """\
base: auto
search: {sampler: grid, finalists: 2, finalist_seeds: 1}
space:
  adapter.rank: [2, 4]
"""


def settings(study, *states):
    return sorted((t.params["adapter.rank"], t.params["train.learning_rate"]) for t in study.trials if t.state in states)


ALL = sorted((rank, rate) for rank in (2, 4, 8, 16) for rate in (1e-3, 1e-2))


# --------------------------------------------------------------------------------------------------------- what is tried


def test_a_grid_is_exhausted_exactly_once(run):
    study = run()
    assert settings(study, "finished") == ALL
    assert len(study.trials) == len(run.engine.tasks) == 8
    best = study.best
    assert best.params == {"adapter.rank": 8, "train.learning_rate": 1e-3}
    assert best.values == {"accuracy": pytest.approx(0.9)}
    assert [entry["step"] for entry in best.history[0]] == [1, 2, 3, 4]
    assert (best.trained_parameters, best.seeds, best.validation_rows) == (8000, [0], 100)


def test_the_same_call_again_trains_nothing_more(run):
    first, second = run(), run()
    assert run.engine.tasks == []
    assert first.trials == second.trials


def test_fewer_trials_are_part_of_the_grid_and_more_go_on_with_it(run):
    few = run(fakes.scored, "trials=3", "finalists=0")
    assert len(few.trials) == 3
    more = run(fakes.scored, "trials=8", "finalists=0")
    assert more.trials[:3] == few.trials
    assert settings(more, "finished") == ALL


@pytest.mark.parametrize("sampler", ["grid", "random"])
def test_a_stepped_range_of_whole_numbers_for_a_key_that_takes_fractions_comes_to_its_end(run, sampler):
    study = run(
        fakes.scored,
        f"sampler={sampler}",
        "finalists=0",
        text="name: tiny\nbase: rank4-adam\nspace: {adapter.alpha: {low: 8, high: 32, step: 8}}\n",
    )
    assert sorted(trial.params["adapter.alpha"] for trial in study.finished) == [8, 16, 24, 32]
    assert len(study.trials) == 4


def test_settings_of_data_may_be_varied(run):
    def on_those_rows(recipe, report):
        return replace(fakes.scored(recipe, report), data_sha256=f"the first {recipe.data.rows}")

    text = "name: tiny\nbase: rank4-adam\nsearch: {sampler: grid, finalists: 0}\nspace: {data.rows: [50, 100]}\n"
    assert run(on_those_rows, text=text).count("finished") == 2


def test_a_configuration_that_was_given_up_for_having_enough_is_tried_when_more_are_wanted(run, tmp_path):
    run(fakes.scored, "trials=2", "finalists=0")
    with existing(tmp_path / "sweep") as (study, _):
        board = Board(study, Events(), "another")
        trial = board.ask()  # as where this driver took what the other had put there
        params = {
            "adapter.rank": trial.suggest_categorical("adapter.rank", [2, 4, 8, 16]),
            "train.learning_rate": trial.suggest_categorical("train.learning_rate", [1e-3, 1e-2]),
        }
        assert not board.claim(trial, "any", params, most=2)
    assert settings(run(), "finished") == ALL


def test_where_fewer_are_wanted_than_have_ended_what_waits_is_not_missing(run, clock):
    run(fakes.scored, "trials=2", "finalists=0")
    study = run(until_time_is_up(clock, whole=0), "trials=4", "finalists=0", minutes=1)
    assert (study.count("finished"), study.count("waiting")) == (2, 1)
    study = run(fakes.scored, "trials=2", "finalists=0")
    assert study.count("finished") == 2
    assert not run.events("stopped")


def test_a_random_search_of_few_configurations_repeats_none(run):
    study = run(fakes.scored, "sampler=random", "trials=8", "finalists=0")
    assert settings(study, "finished") == ALL


def test_tpe_repeats_none_and_ends_when_all_are_tried(run):
    study = run(fakes.scored, "sampler=tpe", "trials=30", "finalists=0")
    assert settings(study, "finished") == ALL
    assert len(run.engine.tasks) == 8


def test_tpe_finds_a_good_rate_in_a_range(run):
    text = (
        "name: tiny\nbase: rank4-adam\nsearch: {sampler: tpe, trials: 25, finalists: 0}\n"
        "space: {train.learning_rate: {low: 1e-5, high: 1.0, log: true}}\n"
    )
    study = run(text=text)
    assert len(study.finished) == 25
    assert study.best.params["train.learning_rate"] < 0.05


def test_settings_that_make_the_same_recipe_are_trained_once(run):
    text = (
        "name: tiny\nbase: rank4-adam\nsearch: {sampler: grid, finalists: 0}\n"
        "space: {train.warmup: [0.06, 6%], adapter.rank: [2, 4]}\n"
    )
    study = run(text=text)
    assert len(study.trials) == len(run.engine.tasks) == 2


def test_the_first_draws_are_the_same_with_the_same_seed(run, tmp_path):
    one = run(fakes.scored, "sampler=random", "trials=3", "finalists=0")
    (tmp_path / "sweep").rename(tmp_path / "other")
    two = run(fakes.scored, "sampler=random", "trials=3", "finalists=0")
    assert [trial.params for trial in one.trials] == [trial.params for trial in two.trials]


# --------------------------------------------------------------------------------- rejected, failed, pruned, several seeds


def test_what_is_over_the_cap_is_rejected_and_the_others_are_trained(run):
    study = run(fakes.capped)
    assert settings(study, "rejected") == [(16, 1e-3), (16, 1e-2)]
    assert study.count("finished") == 6
    rejected = next(trial for trial in study.trials if trial.state == "rejected")
    assert rejected.reason == "it would train 16,000 parameters, and fewer than 8,001 may train"
    assert rejected.values == {}


def test_rejected_configurations_do_not_count_as_trials(run):
    study = run(fakes.capped, "trials=6", "finalists=0")
    assert study.count("finished") == 6


def test_settings_that_contradict_each_other_are_rejected_with_the_reason(run):
    text = (
        "name: tiny\nbase: rank4-adam\nsearch: {sampler: grid, finalists: 0}\n"
        "space: {train.batch_size: [8, 16], train.micro_batch_size: [8, 16]}\n"
    )
    study = run(text=text)
    rejected = [trial for trial in study.trials if trial.state == "rejected"]
    assert [trial.params for trial in rejected] == [{"train.batch_size": 8, "train.micro_batch_size": 16}]
    assert "micro_batch_size 16 is larger than batch_size 8" in rejected[0].reason
    assert study.count("finished") == 3


def test_training_that_diverges_is_a_failed_trial_and_the_sweep_goes_on(run):
    study = run(fakes.diverging)
    assert settings(study, "failed") == [(8, 1e-3), (8, 1e-2)]
    assert study.count("finished") == 6
    assert run(fakes.diverging).trials == study.trials
    assert run.engine.tasks == [], "it is not tried again"


def test_a_configuration_that_can_not_be_trained_here_fails_alone(run):
    text = "name: p\nbase: rank4-adam\nsearch: {sampler: grid, finalists: 0}\nspace: {train.precision: [fp32, fp16, bf16]}\n"
    study = run(fakes.fussy, text=text)
    assert (study.count("finished"), study.count("failed")) == (2, 1)
    assert run.events("stopped") == []


def test_settings_of_data_that_do_not_suit_the_data_fail_alone_once_others_have_finished(run):
    text = (
        "name: d\nbase: rank4-adam\nsearch: {finalists: 0, sampler: grid, seed: 4}\nspace: {data.rows: [8, 6, 999, 7, 5]}\n"
    )
    study = run(fakes.fussy, text=text)
    assert (study.count("finished"), study.count("failed")) == (4, 1)
    (failed,) = (trial for trial in study.trials if trial.state == "failed")
    assert (failed.params, failed.reason) == ({"data.rows": 999}, "data.rows is 999, and there are 8")
    with pytest.raises(DataError, match=r"data\.rows is 999"):  # nothing says that the data is what the others can use
        run(fakes.fussy, text=text.replace("8, 6, 999, 7, 5", "999"), out="alone")


def test_scores_are_means_over_seeds_with_their_spread(run):
    study = run(fakes.scored, "seeds=3", "finalists=0")
    best = study.best
    assert best.seeds == [0, 1, 2]
    assert best.scores["accuracy"] == pytest.approx([0.9, 0.901, 0.902])
    assert best.values["accuracy"] == pytest.approx(0.901)
    assert best.spread("accuracy") == pytest.approx(0.001)
    assert len(best.history) == 3


def test_an_objective_that_is_a_cost_is_a_mean_over_seeds_too(run):
    def timed(recipe, report):
        return replace(fakes.scored(recipe, report), seconds=2.0 + 2.0 * recipe.train.seed)

    text = (
        "name: t\nbase: rank4-adam\nobjectives: [accuracy, seconds, trained_parameters]\nsearch: {seeds: 2, finalists: 0}\n"
        "space: {adapter.rank: [8]}\n"
    )
    (trial,) = run(timed, text=text).trials
    assert trial.values == {"accuracy": pytest.approx(0.9005), "seconds": 3.0, "trained_parameters": 8000}
    assert trial.seconds == 3.0


def test_halving_stops_what_is_behind_and_keeps_what_it_was(run):
    study = run(fakes.scored, "pruner={name: halving, keep: 2}", "finalists=0", base=BASE.with_overrides(["train.epochs=4"]))
    pruned = [trial for trial in study.trials if trial.state == "pruned"]
    assert pruned
    assert study.count("finished") + len(pruned) == 8
    for trial in pruned:
        assert 1 <= len(trial.history[0]) < EVALUATIONS
        assert trial.reason.startswith(f"behind at evaluation {len(trial.history[0])}: accuracy 0.")
        assert trial.trained_parameters == 1000 * trial.params["adapter.rank"]
        assert trial.values == {}
    assert (
        run(fakes.scored, "pruner={name: halving, keep: 2}", base=BASE.with_overrides(["train.epochs=4"])).trials
        == study.trials
    )
    assert settings(study, "finished", "pruned") == ALL


@pytest.mark.parametrize(("seeds", "pruned"), [(1, False), (2, True)])
def test_nothing_is_pruned_at_its_end_unless_that_spares_it_another_seed(run, seeds, pruned):
    epochs = BASE.with_overrides(["train.epochs=4"])
    study = run(fakes.scored, "pruner={name: halving, least: 4}", "finalists=0", f"seeds={seeds}", base=epochs)
    assert bool(study.count("pruned")) is pruned
    assert all(len(trial.history[0]) == EVALUATIONS for trial in study.trials)
    assert settings(study, "finished", "pruned") == ALL


def test_hyperband_prunes_too(run):
    epochs = BASE.with_overrides(["train.epochs=4"])
    study = run(fakes.scored, "pruner={name: hyperband, keep: 2}", "finalists=0", base=epochs)
    assert settings(study, "finished", "pruned") == ALL


def test_several_objectives_give_a_front(run):
    text = (
        "name: tiny\nbase: rank4-adam\nobjectives: [accuracy, trained_parameters]\nsearch: {sampler: tpe, finalists: 0}\n"
        "space: {adapter.rank: [2, 4, 8, 16], train.learning_rate: [1e-3, 1e-2]}\n"
    )
    study = run(text=text)
    assert study.count("finished") == 8
    assert sorted(trial.params["adapter.rank"] for trial in study.front()) == [2, 4, 8]
    assert all(trial.params["train.learning_rate"] == 1e-3 for trial in study.front())


# ---------------------------------------------------------------------------------------------------------------- finalists


def test_the_best_are_trained_again_on_seeds_that_the_search_did_not_use(run):
    study = run(fakes.scored, "seeds=2", "finalists=2", "finalist_seeds=3", retrain=fakes.retrained)
    assert [(final.trial, final.seed) for final in study.finals] == [
        (trial.number, seed) for trial in study.finished[:2] for seed in (2, 3, 4)
    ]
    assert study.finals[0].test["accuracy"] == pytest.approx(study.finals[0].validation["accuracy"] - 0.03)
    assert study.best == study.finished[0]
    assert len(run.events("final")) == 6


def test_a_finalist_that_diverges_is_kept_with_its_reason(run):
    def retrain(recipe, folder):
        if recipe.train.seed == 1:
            raise NonFiniteLoss("the loss became nan at update 3")
        return fakes.retrained(recipe, folder)

    how = {"text": None, "retrain": retrain}
    study = run(fakes.scored, "finalists=1", "finalist_seeds=2", **how)
    assert [(final.seed, final.reason) for final in study.finals] == [(1, "the loss became nan at update 3"), (2, "")]
    assert [event.reason for event in run.events("final")] == ["the loss became nan at update 3", ""]
    assert run(fakes.scored, "finalists=1", "finalist_seeds=2", **how).finals == study.finals
    assert run.engine.tasks == []


def test_finalists_on_other_data_are_refused(run):
    def retrain(recipe, folder):
        return replace(fakes.retrained(recipe, folder), data_sha256="other")

    with pytest.raises(RunError, match="the texts or labels are not those that the sweep began with"):
        run(fakes.scored, "finalists=1", retrain=retrain)


def test_finalists_that_are_done_are_not_trained_again(run):
    how = {"retrain": fakes.retrained}
    first = run(fakes.scored, "finalists=2", "finalist_seeds=2", **how)
    again = run(fakes.scored, "finalists=2", "finalist_seeds=2", **how)
    assert run.engine.tasks == []
    assert again.finals == first.finals
    more = run(fakes.scored, "finalists=3", "finalist_seeds=2", **how)
    assert len(run.engine.tasks) == 2
    assert len(more.finals) == 6


def test_a_finalist_that_is_wanted_no_more_is_left_alone_and_the_sweep_is_done(run):
    def broken(recipe, folder):
        raise DataError("the disk is full")

    with pytest.raises(DataError, match="the disk is full"):
        run(fakes.scored, "seed=1", "trials=1", "finalists=1", "finalist_seeds=1", retrain=broken)
    study = run(fakes.scored, "seed=1", "finalists=1", "finalist_seeds=1", retrain=fakes.retrained)
    assert study.best.number != 0, "what was the best of one trial is no finalist now"
    assert [final.trial for final in study.finals] == [study.best.number]
    assert run.events("stopped") == []


def test_a_finalist_that_waits_is_trained_in_the_folder_of_who_takes_it(run, tmp_path):
    def broken(recipe, folder):
        raise DataError("the disk is full")

    how = ("trials=2", "finalists=1", "finalist_seeds=1")
    with pytest.raises(DataError, match="the disk is full"):
        run(fakes.scored, *how, retrain=broken)
    (tmp_path / "moved").mkdir()
    (tmp_path / "sweep").rename(tmp_path / "moved" / "sweep")
    (final,) = run(fakes.scored, *how, retrain=fakes.retrained, out="moved/sweep").finals
    assert Path(final.folder).is_dir()
    assert final.folder.startswith(str(tmp_path / "moved"))
    assert not (tmp_path / "sweep").exists()


# ------------------------------------------------------------------------------------------------------------- interruptions


def test_minutes_bound_the_whole_and_the_same_call_goes_on(run, clock):
    first = run(until_time_is_up(clock, whole=3), minutes=1)
    assert (first.count("finished"), first.count("waiting")) == (3, 1)
    assert run.events("stopped")
    second = run()
    assert settings(second, "finished") == ALL
    kept = [
        trial for trial in second.trials if trial.number in {one.number for one in first.trials if one.state == "finished"}
    ]
    assert kept == [trial for trial in first.trials if trial.state == "finished"]


def test_a_search_that_time_cuts_short_gives_its_own_trials_back(run, clock):
    begun = threading.Barrier(2)

    def endless(recipe, report):
        begun.wait(timeout=60)
        clock.passes(60)
        report({"step": 1, "accuracy": 0.5, "log_loss": 1.0})
        time.sleep(60)

    study = run(endless, minutes=1, slots=2, retrain=fakes.retrained)
    assert (study.count("running"), study.count("waiting")) == (0, 2)
    assert run.events("stopped")


@pytest.mark.parametrize(
    ("objective", "kind", "message"),
    [(fakes.without_data, DataError, "news.csv: no such file"), (fakes.broken, Defect, "ZeroDivisionError")],
)
def test_a_mistake_stops_the_sweep_and_leaves_it_fit_to_go_on(run, objective, kind, message):
    with pytest.raises(kind, match=message):
        run(objective)
    assert settings(run(), "finished") == ALL


def test_a_place_of_the_data_that_was_wrong_leaves_nothing_behind(run):
    with pytest.raises(DataError):
        run(fakes.without_data, base=BASE.with_overrides(["data.source=typo.csv"]))
    for _ in range(2):
        study = run(base=BASE.with_overrides(["data.source=right.csv"]))
        assert settings(study, "finished") == ALL
        assert len(study.trials) == len(ALL)
    assert study.base.data.source == "right.csv"


def test_the_same_configuration_found_at_another_place_is_not_trained_again(run):
    run(fakes.scored, "trials=2", "finalists=0", base=BASE.with_overrides(["data.source=here.csv"]))
    study = run(base=BASE.with_overrides(["data.source=there.csv"]))
    assert settings(study, "finished") == ALL
    assert len(study.trials) == len(ALL)


def test_a_sweep_that_trained_nothing_makes_room_for_another(run):
    with pytest.raises(DataError):
        run(fakes.without_data)
    assert settings(run(base=BASE.with_overrides(["train.epochs=3"])), "finished") == ALL


def test_another_space_or_base_in_the_same_folder_is_refused(run):
    run(fakes.scored, "trials=1", "finalists=0")
    with pytest.raises(RunError, match="holds a sweep that differs in the base recipe"):
        run(base=BASE.with_overrides(["train.epochs=3"]))
    text = "name: tiny\nbase: rank4-adam\nsearch: {sampler: grid, seeds: 2}\nspace: {adapter.rank: [2, 4]}\n"
    with pytest.raises(RunError, match=r"differs in the space and search\.seeds"):
        run(text=text)


def test_other_data_is_refused(run, tmp_path):
    run(fakes.scored, "trials=1", "finalists=0")

    def on_other_data(recipe, report):
        return replace(fakes.scored(recipe, report), data_sha256="other")

    with pytest.raises(RunError, match="the texts or labels are not those that the sweep began with"):
        run(on_other_data)
    left = Study.load(tmp_path / "sweep")
    assert (left.count("running"), left.count("waiting")) == (0, 1), "the next call need not take the trial for lost first"


def test_a_trial_that_was_taken_for_lost_may_still_die(run, tmp_path):
    class Sleeping(InlineEngine):
        """A machine that sleeps through its first trial: another driver has it by the time that its process is gone."""

        def start(self, number, task):
            if number > 0:
                super().start(number, task)
                return
            with existing(tmp_path / "sweep") as (study, _):
                Board(study, Events(), "other").drop(number)
            self.told.put(Died(number))

    study = run(fakes.scored, "trials=2", "finalists=0", kind=Sleeping)
    assert study.count("finished") == 2


def test_a_trial_whose_outcome_is_written_is_told_as_it_is_given_back(run, tmp_path, monkeypatch):
    tell = optuna.Study.tell

    def interrupted(*_, **__):
        monkeypatch.setattr(optuna.Study, "tell", tell)
        raise KeyboardInterrupt

    monkeypatch.setattr(optuna.Study, "tell", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(fakes.scored, "trials=1", "finalists=0")
    assert Study.load(tmp_path / "sweep").count("finished") == 1


def test_a_pruner_without_evaluations_to_compare_is_refused_before_anything_is_made(run, tmp_path):
    with pytest.raises(RecipeError, match="evaluated only at its end"):
        run(fakes.scored, "pruner=halving")
    assert not (tmp_path / "sweep").exists()


def test_a_pruner_may_compare_what_the_space_makes_longer_than_the_base(run):
    text = (
        "name: e\nbase: rank4-adam\nsearch: {sampler: grid, pruner: halving, finalists: 0}\nspace: {train.epochs: [2, 4]}\n"
    )
    assert run(text=text).count("finished", "pruned") == 2


def test_a_rate_that_moves_nothing_is_not_searched(run):
    text = "name: r\nbase: tiered-adamw\nspace: {train.learning_rate: [1e-3, 1e-2]}\n"
    with pytest.raises(RecipeError, match=r"train\.learning_rate moves nothing"):
        run(text=text, base=Recipe.load("tiered-adamw"))


def test_a_score_that_only_some_configurations_have_is_no_objective(run):
    text = "name: w\nbase: rank4-adam\nset: [train.select_by=worst_shift]\nobjectives: worst_shift\n"
    with pytest.raises(RecipeError, match=r"the objective worst_shift needs --set train\.select_by=worst_shift"):
        run(text=text + "space: {train.select_by: [worst_shift, accuracy]}\n")


# ------------------------------------------------------------------------------------------------------------------ progress


def test_each_trial_is_told_with_the_best_so_far_and_the_time_left(run):
    study = run()
    standings = [event.standing for event in run.events("trial")]
    assert [standing.done for standing in standings] == list(range(1, 9))
    assert standings[-1].best == study.best
    assert all(standing.eta_seconds >= 0 for standing in standings)
    assert standings[-1].eta_seconds == 0


def test_no_time_is_kept_for_finalists_where_nothing_trains_them(run):
    run(fakes.scored, "finalists=3", "finalist_seeds=3")
    assert run.events("trial")[-1].standing.eta_seconds == 0


def test_a_study_is_read_from_its_folder_while_it_runs(run, tmp_path):
    seen = []

    def watched(recipe, report):
        seen.append(Study.load(tmp_path / "sweep"))
        return fakes.scored(recipe, report)

    run(watched, "trials=2", "finalists=0")
    assert [study.count("running") for study in seen] == [1, 1]
    assert [study.count("finished") for study in seen] == [0, 1]
    assert seen[1].varied == ("adapter.rank", "train.learning_rate")
