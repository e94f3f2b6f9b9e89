"""A ladder climbs while that pays, hands over the best rung, and can be left or killed at any moment after the first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skops.io
import torch
from accelerate import Accelerator
from safetensors.torch import load_file

from conftest import Rows
from rankwise.data.labelled import read_labelled
from rankwise.data.splitting import FOLDS, folds
from rankwise.data.tasks import SingleLabel
from rankwise.errors import ModelError, RecipeError
from rankwise.planning.plan import plan
from rankwise.recipe import DataSpec, SourceSpec
from rankwise.report import runs as report_runs
from rankwise.run.folder import Run
from rankwise.run.format import LadderFacts, RungFacts
from rankwise.run.opening import portable
from rankwise.training import loop, throughput
from rankwise.workflows import assemble, ladder
from rankwise.workflows.ladder import gained
from rankwise.workflows.score_files import evaluate_file
from rankwise.workflows.train import train
from rankwise.workflows.under_shift import shift_report

pytestmark = pytest.mark.long

RUNGS = ("rungs=[features,top,all]", "head.kind=pooled", "head.start=fitted", "train.max_steps=4")


@pytest.fixture
def climbing(recipe_for):
    """A recipe with every rung, of a few updates."""
    return lambda *overrides: recipe_for("bert", *RUNGS, *overrides)


@pytest.fixture
def climbs_on(monkeypatch):
    """Climb to the top, whatever the rungs gain, and hand over the last."""
    monkeypatch.setattr(ladder, "_is_worth_more", lambda _: True)
    monkeypatch.setattr(ladder, "GAINS", {"features": (1.0, 1e-6), "top": (1.0, 1e-6)})


def adapters(run):
    return load_file(run.folder / "adapter_model.safetensors")


def test_few_rows_choose_by_folds_and_all_of_them_train(climbing, climbs_on, tmp_path):
    heard = []
    recipe = climbing()
    run = train(recipe, tmp_path / "run", listeners=[heard.append])
    facts = run.facts
    assert (facts.ladder.folds, facts.ladder.rows, facts.rows.validation) == (FOLDS, 48, 0)
    assert facts.rows.train == 48
    assert [(rung.rung, rung.handed_over) for rung in facts.ladder.rungs] == [("features", False), ("all", True)]
    started = [event.rows for event in heard if event.kind == "start"]
    assert started == [48, *[32] * FOLDS, 48], "folds first, then every row"
    assert run.scores.validation.accuracy == facts.ladder.rungs[-1].accuracy, "what stands for validation was held out"
    assert [note for note in facts.notes if note.startswith("validation: ")] == [
        f"validation: no rows set aside; {FOLDS} folds of all 48 choose"
    ]
    assert run.recipe.rungs == ("all",)
    assert run.asked == portable(recipe)
    assert not Path(run.asked.data.source).is_absolute(), "a run names no folder of the machine it was made on"
    assert len(run.predict(["good fine"])[0].label) > 0


def test_two_rows_a_class_train(climbing, tmp_path):
    two = Rows(["good apple", "fine pear", "cold iron", "old zinc"], ["fruit", "fruit", "metal", "metal"])
    shares = ("data.split.test=10%", "data.split.validation=10%")
    recipe = climbing(f"data.source={two.write(tmp_path / 'two.csv')}", *shares)
    run = train(recipe.rung("features"), tmp_path / "run")
    assert (run.facts.rows.train, run.facts.rows.validation, run.facts.rows.test) == (2, 0, 2)
    assert run.predict(["apple"])[0].label in ("fruit", "metal")


def test_a_validation_file_chooses_where_there_is_one(climbing, climbs_on, rows, tmp_path):
    (tmp_path / "data").mkdir()
    for name in ("train", "validation", "test"):
        rows.write(tmp_path / "data" / f"{name}.csv")
    run = train(climbing(f"data.source={tmp_path / 'data'}", "data.leakage=allow"), tmp_path / "run")
    assert (run.facts.ladder.folds, run.facts.ladder.rows) == (0, run.facts.rows.validation)
    assert [rung.rung for rung in run.facts.ladder.rungs] == ["features", "top", "all"]
    assert run.scores.validation.accuracy == run.facts.ladder.rungs[-1].accuracy


@pytest.mark.parametrize("rung", ["features", "top", "all"])
def test_one_rung_alone(climbing, tmp_path, rung):
    heard = []
    run = train(climbing(f"rungs=[{rung}]"), tmp_path / "run", listeners=[heard.append])
    assert [facts.rung for facts in run.facts.ladder.rungs] == [rung]
    (planned,) = (event for event in heard if event.kind == "plan")
    assert planned.trainable_parameters == run.facts.ladder.rungs[0].trained_parameters, "the plan is of what is trained"
    assert run.facts.steps == (0 if rung == "features" else 4)
    assert run.plan_facts.method == ("head" if rung == "features" else "lora")
    assert run.facts.ladder.verdict == ""


@pytest.mark.parametrize(
    ("accuracies", "handed", "verdict"),
    [
        ((0.6,), 0, ""),
        ((0.6, 0.7), 1, "going beyond tfidf was worth it here: 60.0 to 70.0 % for 4 s"),
        ((0.8, 0.7, 0.75), 0, "going beyond tfidf was not worth it here: 80.0 to 75.0 % for 8 s"),
        ((0.6, 0.8, 0.9), 2, "going beyond features was worth it here: 80.0 to 90.0 % for 4 s"),
        ((0.6, 0.8, 0.7), 1, "going beyond features was not worth it here: 80.0 to 70.0 % for 4 s"),
    ],
)
def test_of_two_rungs_that_adapt_nothing_the_verdict_starts_from_the_encoders(accuracies, handed, verdict):
    reached = [
        RungFacts(rung=rung, trained_parameters=9, accuracy=accuracy, log_loss=1.0, took=4.0, handed_over=number == handed)
        for number, (rung, accuracy) in enumerate(zip(("tfidf", "features", "all"), accuracies, strict=False))
    ]
    assert LadderFacts(asked={}, folds=3, rows=30, rungs=tuple(reached)).verdict == verdict


def test_where_climbing_does_not_pay_the_head_alone_is_handed_over(climbing, monkeypatch, tmp_path):
    monkeypatch.setattr(ladder, "GAINS", {"features": (-1.0, 1e-6)})
    run = train(climbing(), tmp_path / "run")
    first, adapted = run.facts.ladder.rungs
    assert (first.handed_over, adapted.handed_over) == (True, False)
    assert run.facts.trained_parameters.counted == run.plan_facts.sections["head"]
    assert run.facts.ladder.verdict.startswith("going beyond features was not worth it here: ")
    assert run.facts.ladder.verdict in run.facts.notes
    assert "Going beyond features was not worth it here" in (run.folder / "README.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("before", "after", "handed", "verdict"),
    [
        (0.8, 0.9, 1, "going beyond features was worth it here: 80.0 to 90.0 % for 4 s"),
        (0.8, 0.7, 0, "going beyond features was not worth it here: 80.0 to 70.0 % for 4 s"),
        (*(0.8, 0.8, 1), "going beyond features gained nothing on these rows: 80.0 to 80.0 % for 4 s; but it usually does"),
    ],
)
def test_the_verdict_says_worth_it_only_of_a_gain(before, after, handed, verdict):
    reached = [
        RungFacts(rung=rung, trained_parameters=9, accuracy=accuracy, log_loss=1.0, took=4.0, handed_over=number == handed)
        for number, (rung, accuracy) in enumerate((("features", before), ("all", after)))
    ]
    assert LadderFacts(asked={}, folds=3, rows=30, rungs=tuple(reached)).verdict == verdict


def test_ctrl_c_after_the_first_rung_hands_over_the_best(climbing, climbs_on, rows, tmp_path):
    def interrupts_at(rung):
        def listener(event):
            if event.kind == "step" and seen[-1:] == [rung]:
                raise KeyboardInterrupt
            if event.kind == "rung_start":
                seen.append(event.rung)

        seen = []
        return listener

    log = "train.log_every=1"
    (tmp_path / "data").mkdir()
    for name in ("train", "validation", "test"):
        rows.write(tmp_path / "data" / f"{name}.csv")
    files = (f"data.source={tmp_path / 'data'}", "data.leakage=allow")
    for rung, handed, changes in (("all", "features", ()), ("top", "features", files), ("all", "top", files)):
        run = train(climbing(log, *changes), tmp_path / f"{rung} after {handed}", listeners=[interrupts_at(rung)])
        assert [facts.rung for facts in run.facts.ladder.rungs if facts.handed_over] == [handed]
        assert run.facts.ladder.verdict.endswith(f"the rung {rung} was interrupted")
        assert f"he rung {rung} was interrupted." in (run.folder / "README.md").read_text("utf-8")
        assert Run.load(run.folder).predict(["good fine"])

    def at_once(event):
        if event.kind == "head":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(climbing(), tmp_path / "none", listeners=[at_once])


@pytest.mark.parametrize("chosen_by", ["folds", "validation rows"])
def test_counted_words_are_a_run_of_their_own(climbing, rows, tmp_path, chosen_by):
    files = []
    if chosen_by == "validation rows":
        (tmp_path / "data").mkdir()
        for name in ("train", "validation", "test"):
            rows.write(tmp_path / "data" / f"{name}.csv")
        files = [f"data.source={tmp_path / 'data'}", "data.leakage=allow"]
    run = train(climbing("rungs=[tfidf]", "budget.parameters=400", *files), tmp_path / "run")
    ladder_facts, trained = run.facts.ladder, run.facts.trained_parameters
    assert ladder_facts.folds == (FOLDS if chosen_by == "folds" else 0)
    assert ladder_facts.handed_over.rung == "tfidf"
    assert (
        ladder_facts.handed_over.trained_parameters
        == trained.planned
        == trained.counted
        == run.plan_facts.trainable_parameters
    )
    assert 0 < trained.counted < 400
    assert (run.facts.steps, run.plan_facts.method, run.plan_facts.notes) == (0, "tfidf", ())
    assert not list(run.folder.glob("*.safetensors"))

    loaded = Run.load(run.folder)
    kept = loaded.scored_rows()
    assert kept.probabilities.argmax(-1).tolist() == [
        run.preprocessing.classes.index(found.label) for found in loaded.predict([rows.texts[row - 1] for row in kept.rows])
    ]
    told = skops.io.load(run.folder / "words.skops").predict(["apple and pear"])
    assert told.tolist() == [loaded.predict(["apple and pear"])[0].label]
    table, split, evaluation = evaluate_file(loaded, SourceSpec(path=str(rows.write(tmp_path / "scored.csv"))), DataSpec())
    assert evaluation.scores.rows == len(table.texts)
    assert evaluation.scores.accuracy.value > 0.5
    report = shift_report(loaded, table, split, evaluation)
    assert report.kinds[0].accuracy.value == evaluation.scores.accuracy.value
    assert any(kind.changed for kind in report.kinds[1:])
    with pytest.raises(ModelError, match="counts words and has no encoder"):
        loaded.exported()
    with pytest.raises(ModelError, match="no dropout"):
        loaded.predict(["apple"], mc_dropout=2)
    card = (run.folder / "README.md").read_text("utf-8")
    assert "skops.io.load" in card
    assert "library_name: sklearn" in card
    page = report_runs.report_of([loaded])
    (training,) = (section for section in page.sections if section.name == "training-section")
    assert training.lead == "No update was made: words and word pairs were counted."


def test_a_cap_below_any_head_is_no_obstacle_to_counted_words(climbing, tmp_path):
    run = train(climbing("rungs=[tfidf]", "budget.parameters=12"), tmp_path / "run")
    assert 0 < run.facts.trained_parameters.counted < 12
    assert run.plan().ledger == plan(run.recipe, classes=3).without_encoder(run.facts.trained_parameters.counted, 12).ledger
    assert run.base().location == climbing().base


def test_counted_words_weigh_classes_as_the_recipe_says(climbing, tmp_path):
    told = [
        train(climbing("rungs=[tfidf]", *changes), tmp_path / str(len(changes))).scored_rows().probabilities
        for changes in ([], ["train.class_weights={fruit: 9}"])
    ]
    fruit = Run.load(tmp_path / "0").preprocessing.classes.index("fruit")
    assert (told[1][:, fruit] > told[0][:, fruit]).all()


def test_where_every_row_trains_the_audit_is_of_all(climbing, rows, tmp_path):
    few = Rows(rows.texts[:9], rows.labels[:9])  # three rows of a class: one tests, one would be set aside
    file = few.write(tmp_path / "few.csv")
    changes = (f"data.source={file}", "data.split.test=3", "data.split.validation=3")
    assert not [
        note for note in train(climbing("rungs=[tfidf]", *changes), tmp_path / "run").facts.notes if "one row only" in note
    ]


def test_every_row_is_held_out_once_of_counted_words():
    texts = [f"{word} {row}" for row in range(8) for word in ("one", "two")] + ["three"]
    labels = np.array([0, 1] * 8 + [2])
    told = ladder.held_out_words(texts, labels, ("a", "b", "c"), seed=0, cap=None)
    assert (told[:16].argmax(-1) == labels[:16]).all()
    assert told[16, 2] == 0, "the only row of its class is told by words that never met it"
    np.testing.assert_allclose(told.sum(1), 1)


def test_what_counts_words_is_left_for_an_encoder_where_that_is_better(climbing, tmp_path):
    run = train(climbing("rungs=[tfidf,features]"), tmp_path / "run")
    words, features = run.facts.ladder.rungs
    assert features.gain == pytest.approx(100 * (features.accuracy - words.accuracy), abs=0.01)
    assert features.handed_over == (features.expected_gain > 0)
    assert run.facts.ladder.verdict.startswith("going beyond tfidf was ")


@pytest.mark.parametrize("keep", [1, 2])
def test_an_interrupted_climb_goes_on_when_it_is_resumed(climbing, climbs_on, tmp_path, keep):
    def leaves(event):
        seen.append(event)
        if event.kind == "step" and [heard.kind for heard in seen].count("rung_start") == 2:
            raise KeyboardInterrupt

    recipe = climbing("train.log_every=1", f"train.keep={keep}")
    seen, heard, folder = [], [], tmp_path / "left"
    left = train(recipe, folder, listeners=[leaves])
    assert left.facts.ladder.handed_over.rung == "features"
    assert (folder / "model.safetensors").exists(), "a head alone is saved with its encoder"
    (folder / "shift.json").write_text("{}")

    def at_once(event):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe, folder, listeners=[at_once], existing="resume")
    assert Run.load(folder).predict(["good fine"]), "the run is whole until another takes its place"
    resumed = train(recipe, folder, listeners=[heard.append], existing="resume")
    whole = train(recipe, tmp_path / "whole")
    assert [facts.rung for facts in resumed.facts.ladder.rungs] == ["features", "all"]
    assert not resumed.facts.ladder.ended
    for name, weight in adapters(whole).items():
        assert torch.equal(weight, adapters(resumed)[name]), name
    names = {path.name for path in folder.rglob("*")}
    assert names == {path.name for path in whole.folder.rglob("*")}, (
        "nothing is left of the run before, nor of training alone"
    )
    assert resumed.facts.ladder.rungs[0].took >= left.facts.ladder.rungs[0].took
    assert train(recipe, folder, existing="resume").facts == resumed.facts


def test_the_head_alone_is_the_one_whose_strength_was_chosen(climbing, tmp_path, monkeypatch):
    """Where rows are few, heads of trained encoders are fitted anew; one of a frozen encoder stays as it was scored."""
    fitted = []
    fit_head = loop.fit_head

    def noted(*args, strength=None, **kwargs):
        fitted.append(strength)
        return fit_head(*args, strength=strength, **kwargs)

    monkeypatch.setattr(loop, "fit_head", noted)
    train(climbing("rungs=[features]"), tmp_path / "run")
    assert fitted == [None], "fitted once, its strength chosen by folds"


def test_a_climb_that_was_killed_goes_on_where_it_stopped(climbing, climbs_on, tmp_path):
    class Killed(BaseException):
        pass

    whole = train(climbing(), tmp_path / "whole")
    fits_left = {("rung", 1): 4, ("end", 3): 2}  # of four: three folds, and all rows
    for number, ((kind, count), fits) in enumerate(fits_left.items()):
        left = [count]

        def dies(event, kind=kind, left=left):
            if event.kind == kind:
                left[0] -= 1
                if left[0] == 0:
                    raise Killed

        folder, heard = tmp_path / f"killed-{number}", []
        with pytest.raises(Killed):
            train(climbing(), folder, listeners=[dies])
        resumed = train(climbing(), folder, listeners=[heard.append], existing="resume")
        assert [facts.rung for facts in resumed.facts.ladder.rungs] == ["features", "all"]
        for name, weight in adapters(whole).items():
            assert torch.equal(weight, adapters(resumed)[name]), name
        made = sum(event.kind in ("step", "tick") for event in heard)
        assert made == 4 * fits, "what was finished is not trained again"
    assert train(climbing(), tmp_path / "whole", existing="resume").facts == whole.facts


def test_the_saved_recipe_makes_the_rung_again(climbing, climbs_on, tmp_path):
    run = train(climbing("rungs=[features,top]"), tmp_path / "one")
    again = train(run.folder / "recipe.yaml", tmp_path / "two")
    assert again.facts.trained_parameters == run.facts.trained_parameters
    for name, weight in adapters(run).items():
        assert torch.equal(weight, adapters(again)[name]), name


def test_a_report_shows_what_each_rung_reached(climbing, climbs_on, tmp_path):
    run = train(climbing(), tmp_path / "run")
    report = report_runs.report_of([run])
    (training,) = (section for section in report.sections if section.name == "training-section")
    (rungs,) = (block for block in training.blocks if getattr(block, "name", "") == "rungs")
    assert [row[1] for row in rungs.rows] == ["features", "all"]
    assert [row[-1] for row in rungs.rows] == ["no", "yes"]
    assert training.lead == (
        "4 updates of 8 rows; no checkpoint was chosen, the last weights are kept. Validation scores are of the folds' "
        "classifiers."
    )


def test_a_report_of_a_head_alone_draws_no_curve_of_training(climbing, tmp_path):
    report = report_runs.report_of([train(climbing("rungs=[features]"), tmp_path / "run")])
    (training,) = (section for section in report.sections if section.name == "training-section")
    assert training.lead == "No update was made: the head was fitted to what the frozen encoder gives."
    assert not training.note
    assert [type(block).__name__ for block in training.blocks] == ["Table", "Table"]


@pytest.mark.parametrize("windows", [1, 3])
def test_a_report_says_how_longer_texts_are_read(climbing, tmp_path, windows):
    run = train(climbing("rungs=[features]", "data.max_length=8", f"data.windows={windows}"), tmp_path / "run")
    (data,) = (section for section in report_runs.report_of([run]).sections if section.name == "data-section")
    how = "cut to 8 tokens" if windows == 1 else "read in up to 3 windows of 8 tokens"
    assert data.blocks[0].summary.endswith(f"Longer texts are {how}.")


def test_minutes_are_kept_and_end_a_climb(climbing, climbs_on, tmp_path, monkeypatch):
    run = train(climbing("train.max_steps=null", "train.epochs=3000", "budget.minutes=0.5"), tmp_path / "run")
    assert run.facts.seconds.all < 45
    assert run.facts.ladder.rungs[0].rung == "features"


def test_a_measured_run_keeps_its_minutes(climbing, climbs_on, tmp_path, monkeypatch):
    """A head alone makes no update, so none has a length to count evaluations by."""
    monkeypatch.setattr(throughput, "WORTH_MEASURING", 0.0)
    monkeypatch.setattr(throughput, "SECONDS", 0.05)
    run = train(climbing("budget.minutes=10"), tmp_path / "run")
    assert [facts.rung for facts in run.facts.ladder.rungs] == ["features", "all"]
    assert run.facts.steps == 4


def test_few_rows_are_promised_by_updates_in_pairs(climbing, climbs_on, tmp_path, monkeypatch):
    monkeypatch.setattr(throughput, "WORTH_MEASURING", 0.0)
    monkeypatch.setattr(throughput, "SECONDS", 0.05)
    measured, measure = [], throughput.measure
    monkeypatch.setattr("rankwise.workflows.train.measure", lambda job, _: measured.append(job) or measure(job, _))
    train(climbing(), tmp_path / "run")
    (job,) = measured
    assert job.recipe.train.contrast == 1
    first = next(throughput._updates(job, Accelerator(cpu=True)))
    np.testing.assert_array_equal(first, loop.paired_batches(job.data.train.labels, 8, seed=0, epoch=0)[0])


def test_a_climb_that_has_no_time_for_a_rung_says_so(climbing, climbs_on, tmp_path, monkeypatch):
    monkeypatch.setattr(ladder, "LEAST_SHARE", 1e9)
    run = train(climbing("budget.minutes=10"), tmp_path / "run")
    assert run.facts.ladder.verdict == "there was no time for the rung all"
    assert run.facts.ladder.verdict in run.facts.notes


# -------------------------------------------------------------------------------------------------------- choosing


def told(right):
    """Probabilities of two classes, the first of which is true, right where asked."""
    right = np.asarray(right, dtype=float)
    return np.stack([right, 1 - right], axis=1)


TASK = SingleLabel(("a", "b"))


def test_what_is_expected_is_what_is_usual_where_rows_are_few_and_what_is_measured_where_many():
    few = gained("features", TASK, told([1, 1, 0, 0]), told([1, 1, 1, 0]), np.zeros(4, dtype=int))
    assert few["gain"] == -25
    assert few["deviation"] == pytest.approx(100 * 2**0.5 / 4, abs=0.01)
    assert few["expected_gain"] > 0
    worse, better = np.ones(10_000), np.ones(10_000)
    worse[:600], better[:300] = 0, 0
    many = gained("features", TASK, told(worse), told(better), np.zeros(10_000, dtype=int))
    assert many["gain"] == -3
    assert many["expected_gain"] == pytest.approx(-3, abs=0.1)


@pytest.mark.parametrize("labels", [["a"] * 8 + ["b"] * 8, ["a"] * 50 + ["b"] * 3, [str(n // 2) for n in range(40)]])
def test_folds_hold_every_row_once_and_classes_in_their_shares(labels):
    parts = folds(labels, 0)
    assert sorted(np.concatenate([held for _, held in parts])) == list(range(len(labels)))
    for kept, held in parts:
        assert sorted([*kept, *held]) == list(range(len(labels)))
        assert {labels[row] for row in kept} == set(labels), "a class with two rows is in every training part"
        for name in set(labels):
            share = labels.count(name) / FOLDS
            assert abs(sum(labels[row] == name for row in held) - share) < 1


def test_the_whole_of_the_rows_is_training_and_validation_in_their_order(recipe_for):
    labelled = read_labelled(recipe_for("bert").data)
    whole = labelled.whole()
    assert list(whole.train.rows) == sorted([*labelled.train.rows, *labelled.validation.rows])
    both = dict(zip(labelled.train.rows, labelled.train.texts, strict=True))
    both |= dict(zip(labelled.validation.rows, labelled.validation.texts, strict=True))
    assert list(whole.train.texts) == [both[row] for row in whole.train.rows]
    assert len(whole.validation.texts) == 0
    assert whole.test is labelled.test


@pytest.mark.parametrize(
    ("changes", "climbed"),
    [
        ([], ("features", "top", "all")),
        (["adapter.method=full"], ("features", "all")),
        (["adapter.method=head"], ("features",)),
        (["adapter.method=adalora"], ("features", "top", "all")),
        (["adapter.allocate.policy=by-depth"], ("features", "all")),
    ],
)
def test_rungs_that_would_be_the_same_are_tried_once(climbing, changes, climbed):
    assert climbing(*changes).climbed() == climbed
    for rung in climbed:
        climbing(*changes).rung(rung)
    assert climbing(*changes).climbed(few=True) == tuple(rung for rung in climbed if rung != "top")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["rungs=[all,top]"], "in the order tfidf, features, top, all"),
        (["head.start=identity"], "rungs start from a fitted head"),
        (["adapter.method=head", "rungs=[all]"], "are the same as features; type --rung features"),
        (["adapter.method=ia3", "rungs=[top]"], "are the same as all; type --rung all"),
    ],
)
def test_rungs_that_can_not_be_climbed_are_refused(climbing, changes, message):
    with pytest.raises(RecipeError, match=message) as refused:
        climbing(*changes)
    assert str(refused.value).startswith("tiny: rungs "), "a rule of the whole recipe names no key"


@pytest.mark.parametrize(
    "changes",
    [["train.select_by=worst_shift"], ["data.length_percentiles=[10,90]"], ["adapter.method=adalora", "train.max_steps=6"]],
    ids=["worst shift", "some lengths", "adalora"],
)
def test_few_rows_climb_whatever_else_the_recipe_asks_for(climbing, climbs_on, tmp_path, changes):
    run = train(climbing(*changes), tmp_path / "run")
    assert [rung.handed_over for rung in run.facts.ladder.rungs] == [False, True]
    assert run.facts.rows.train == run.facts.ladder.rows <= 48
    assert run.scores.validation.accuracy == run.facts.ladder.rungs[-1].accuracy


def test_every_rung_has_the_threads_of_the_first(climbing, climbs_on, tmp_path, monkeypatch):
    """A speed is measured once: a neighbour's busy moment would give a rung fewer threads, and other sums."""
    measured = []
    measure_speed = assemble.measure_speed
    monkeypatch.setattr(assemble, "measure_speed", lambda *args: measured.append(args) or measure_speed(*args))
    train(climbing(), tmp_path / "run")
    assert len(measured) == 1


@pytest.mark.parametrize("name", ["held_out/value.json", "held_out/sha256.json", "spent/value.json"])
def test_what_a_rung_left_and_is_damaged_since_is_found_out_again(climbing, climbs_on, tmp_path, name):
    def stop(event):
        if event.kind == "rung":
            raise BaseExceptionGroup("killed", [KeyboardInterrupt()])

    with pytest.raises(BaseExceptionGroup):
        train(climbing(), tmp_path / "run", listeners=[stop])
    path = tmp_path / "run" / "checkpoints" / "features" / name
    path.write_bytes(path.read_bytes()[:-2])
    heard = []
    resumed = train(climbing(), tmp_path / "run", listeners=[heard.append], existing="resume")
    (damage,) = (event for event in heard if event.kind == "rung_damage")
    assert str(damage).startswith("what was known of the rung features is damaged (")
    whole = train(climbing(), tmp_path / "whole")
    assert [facts.accuracy for facts in resumed.facts.ladder.rungs] == [facts.accuracy for facts in whole.facts.ladder.rungs]
    for key, weight in adapters(whole).items():
        assert torch.equal(weight, adapters(resumed)[key]), key
