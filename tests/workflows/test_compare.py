"""Runs become systems, systems are held against each other on the same rows, and what doesn't belong together is refused."""

from __future__ import annotations

import csv
import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conftest import as_if
from rankwise.data.clean import Preprocessing
from rankwise.errors import RunError
from rankwise.recipe import Recipe
from rankwise.run.folder import Run
from rankwise.run.format import Actual, BaseFacts, ScoredRows, Seconds
from rankwise.stats.intervals import Interval
from rankwise.stats.paired import mcnemar
from rankwise.stats.scores import log_loss
from rankwise.stats.seeds import holm
from rankwise.workflows.compare import Answers, Comparison, Difference, Pair, compare

CLASSES = ("fruit", "metal", "river")
ROWS = 200
TRUTH = np.arange(ROWS) % 3


KEPT = Run.load(Path(__file__).parents[1] / "fixtures" / "run-0.1.0")


def answers(*overrides, right=0.8, seed=0, name="one", classes=CLASSES, rows=None, truth=TRUTH, data="same"):
    """A run's answers, right on about that share of the rows, without any training behind them."""
    rng = np.random.default_rng([seed, *name.encode()])
    said = np.where(rng.random(len(truth)) < right, truth, (truth + 1) % 3)
    number = [classes.index(label) for label in CLASSES]
    probabilities = np.full((len(truth), 3), 0.1, np.float32)
    probabilities[np.arange(len(truth)), np.array(number)[said]] = 0.8
    recipe = Recipe(name=name).with_overrides([f"train.seed={seed}", f"train.power={sum(name.encode())}", *overrides])
    facts = replace(
        KEPT.facts,
        base=BaseFacts("minilm", None, None, "of its weights", None),
        data_sha256=data,
        seconds=Seconds(training=10.0 + seed, all=20.0),
        actual=Actual(peak_bytes=10**9 + seed),
    )
    run = as_if(
        KEPT,
        folder=Path(f"runs/{name}-{seed}"),
        recipe=recipe,
        preprocessing=Preprocessing(tuple(classes), (), 128),
        facts=facts,
    )
    numbered = np.where(truth >= 0, np.array(number)[truth], -1)
    return Answers(run, ScoredRows(np.arange(1, len(truth) + 1) if rows is None else rows, numbered, probabilities))


def system(name, right, seeds=3, *overrides):
    return [answers(*overrides, name=name, right=right, seed=seed) for seed in range(seeds)]


# ------------------------------------------------------------------------------------------------------------ systems


def test_runs_that_differ_in_their_seed_alone_are_one_system():
    found = compare([*system("good", 0.9, 3, "train.epochs=2"), *system("bad", 0.6, 2)])
    assert [(one.name, one.seeds) for one in found.systems] == [("good", (0, 1, 2)), ("bad", (0, 1))]
    assert found.test_rows == ROWS


def test_a_system_has_the_means_of_its_runs_and_the_largest_peak():
    runs = system("good", 0.9)
    (one,) = compare(runs).systems
    accuracies = [(run.scored.probabilities.argmax(1) == TRUTH).mean() for run in runs]
    assert one.accuracy_by_seed == pytest.approx(accuracies)
    assert one.accuracy.value == pytest.approx(np.mean(accuracies))
    assert one.log_loss == pytest.approx(np.mean([log_loss(run.scored.probabilities, TRUTH) for run in runs]))
    assert (one.trained_parameters, one.training_seconds, one.peak_bytes) == (333_316, 11.0, 10**9 + 2)


def test_a_very_sure_mistake_costs_what_the_run_says_it_costs():
    sure = answers()
    probabilities = np.tile(np.array([1e-9, 1 - 1e-9, 0.0], np.float32), (ROWS, 1))
    sure = Answers(sure.run, ScoredRows(sure.scored.rows, np.zeros(ROWS, np.int64), probabilities))
    assert compare([sure]).systems[0].log_loss == pytest.approx(-np.log(1e-9), rel=1e-6)


def test_the_same_data_in_another_place_is_the_same_system():
    here, there = answers("data.source=here.csv", seed=0), answers("data.source=there.csv", seed=1)
    assert len(compare([here, there]).systems) == 1


def test_an_encoder_is_known_by_its_weights_and_not_by_where_its_folder_lies():
    here, there, other = (answers(f"base=./{place}", seed=seed) for seed, place in enumerate(("a", "b/a", "c")))
    facts = other.run.facts
    other = replace(other, run=as_if(other.run, facts=replace(facts, base=replace(facts.base, sha256="of other weights"))))
    assert [one.seeds for one in compare([here, there]).systems] == [(0, 1)]
    assert len(compare([here, there, other]).systems) == 2


def test_recipes_of_one_name_are_told_apart_by_what_differs_in_them():
    found = compare([*system("one", 0.9, 1, "adapter.rank=4"), *system("one", 0.6, 2, "adapter.rank=8", "head.kind=slim")])
    assert {one.name for one in found.systems} == {"one rank=4 kind=stock", "one rank=8 kind=slim"}


def test_neither_what_probing_found_nor_where_data_lies_is_in_a_name():
    probed = 'adapter.allocate={policy: by-importance, rows: 36, scores: {"0.query": [0.5, 0.2]}}'
    found = compare([answers("data.source=here.csv", probed), answers("data.source=there.csv", right=0.6)])
    policies = ("policy=by-importance criterion=energy rows=36", "policy=uniform")
    assert {one.name for one in found.systems} == {f"one {policy}" for policy in policies}


def test_a_validation_file_and_a_number_of_test_rows_are_settings():
    found = compare([answers("data.test_rows=200"), answers(right=0.6)])
    assert {one.name for one in found.systems} == {"one test_rows=200", "one test_rows=null"}
    other = answers("data.validation=b.csv", data="other")
    assert any("path=b.csv" in one.name for one in compare([answers("data.validation=a.csv"), other]).systems)
    assert len(compare([answers("data.validation=a.csv"), answers("data.validation=b.csv", seed=1)]).systems) == 1


def test_a_run_that_is_asked_in_another_way_is_a_system_of_that_name():
    asked = [replace(one, name="asked twice") for one in system("one", 0.7)]
    assert {one.name for one in compare([*system("one", 0.7), *asked]).systems} == {"one", "asked twice"}


def test_classes_in_another_order_are_the_same_classes():
    turned = answers(name="turned", classes=("river", "fruit", "metal"))
    plain = answers(name="plain")
    found = compare([plain, turned])
    expected = (turned.scored.probabilities.argmax(1) == turned.scored.truth).mean()
    assert next(one for one in found.systems if one.name == "turned").accuracy.value == pytest.approx(expected)
    assert expected > 0.5


# -------------------------------------------------------------------------------------------------------------- pairs


def test_the_order_of_runs_changes_nothing():
    runs = [*system("a", 0.8), *system("b", 0.75), *system("c", 0.7, 2)]
    found = compare(runs)
    for seed in range(3):
        shuffled = random.Random(seed).sample(runs, len(runs))
        assert compare(shuffled) == found


def test_two_single_runs_are_tested_by_mcnemar():
    a, b = answers(name="a", right=0.85), answers(name="b", right=0.75)
    (pair,) = compare([a, b]).pairs
    right = [one.scored.probabilities.argmax(1) == TRUTH for one in (a, b)]
    expected = mcnemar(*(right if pair.a == "a" else right[::-1]))
    assert pair.accuracy.p_value == pair.accuracy.p_holm == expected.p_value
    assert [(one.only_a, one.only_b) for one in pair.mcnemar] == [(expected.only_a, expected.only_b)]


def test_several_seeds_are_tested_together_and_each_seed_stands_beside():
    a, b = system("a", 0.85), system("b", 0.8, 2)
    (pair,) = compare([*a, *b]).pairs
    right = [[one.scored.probabilities.argmax(1) == TRUTH for one in both] for both in zip(a, b, strict=False)]
    by_seed = [mcnemar(*both) for both in right]
    assert [one.p_value for one in pair.mcnemar] == [one.p_value for one in by_seed]
    assert [one.seed for one in pair.mcnemar] == [0, 1]
    assert pair.accuracy.p_value not in [one.p_value for one in by_seed]


def test_p_values_of_all_pairs_are_corrected_together():
    found = compare([*system("a", 0.85), *system("b", 0.8), *system("c", 0.7), *system("d", 0.5)])
    assert len(found.pairs) == 6
    for score in ("accuracy", "macro_f1"):
        differences = [getattr(pair, score) for pair in found.pairs]
        assert [one.p_holm for one in differences] == holm([one.p_value for one in differences])


def test_a_clear_difference_is_shown_and_a_small_one_is_not():
    found = compare([*system("good", 0.95), *system("better", 0.96), *system("bad", 0.5)])
    words = {(pair.a, pair.b): found.verdict(pair) for pair in found.pairs}
    (close,) = [text for (_, b), text in words.items() if b != "bad"]
    assert "no difference shown (-" in close
    for name in ("good", "better"):
        assert words[name, "bad"].startswith(f"{name} is better than bad by 4")
        assert words[name, "bad"].endswith("p < 0.001 after Holm")


def pair(value, low, high, p_holm):
    found = Difference(Interval(value, low, high), p_holm, p_holm)
    return Pair("a", "b", found, found, ())


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (pair(0.012, 0.004, 0.02, 0.003), "a is better than b by 1.2 points (0.4 to 2.0), p = 0.003"),
        (pair(-0.012, -0.02, -0.004, 0.003), "b is better than a by 1.2 points (0.4 to 2.0), p = 0.003"),
        (pair(0.003, -0.003, 0.009, 0.31), "a and b: no difference shown (-0.3 to 0.9), p = 0.31"),
        (pair(0.01, 0.001, 0.02, 0.08), "a and b: no difference shown, for p = 0.08, though the interval is 0.1 to 2.0"),
        (pair(0.01, -0.001, 0.02, 0.04), "a and b: no difference shown (-0.1 to 2.0), p = 0.04"),
        (pair(0.0, 0.0, 0.0, 1.0), "a and b: no difference shown (0.0 to 0.0), p = 1.00"),
        (pair(None, None, None, None), "a and b: not defined on these rows"),
    ],
)
def test_a_verdict_needs_both_the_corrected_p_value_and_the_interval(one, words):
    assert Comparison(ROWS, 0.95, (), (one,)).verdict(one) == words


def test_bounds_that_leave_out_0_beside_a_corrected_p_value_that_shows_nothing_are_explained():
    one = pair(0.03, 0.006, 0.05, 0.12)
    told = Comparison(ROWS, 0.95, (), (one, pair(0.003, -0.003, 0.009, 0.31), pair(0.0, 0.0, 0.0, 1.0)))
    assert (
        told.verdict(one)
        == "a and b: no difference shown, for p = 0.12 after Holm, though the interval is 0.6 to 5.0 were it the only pair"
    )
    assert told.verdict(told.pairs[1]) == "a and b: no difference shown (-0.3 to 0.9), p = 0.31 after Holm"


def test_systems_that_answer_alike_with_every_seed_are_told_so():
    one = system("one", 0.7)
    twin = [replace(answer, name="twin") for answer in one]
    found = compare([*one, *twin])
    assert found.verdict(found.pairs[0]) == "one and twin gave the same answer to every row, with every seed"
    (pair,) = compare([*one, *twin[:2]]).pairs
    assert not pair.alike


def test_runs_of_one_seed_come_with_a_word_about_seeds():
    (note,) = compare([answers(name="a"), answers(name="b")]).notes
    assert note.startswith("only one seed of every system")
    (note,) = compare([answers(name="a"), *system("b", 0.8)]).notes
    assert note.startswith("only one seed of a:")
    assert compare([*system("a", 0.9), *system("b", 0.8)]).notes == ()


def test_intervals_that_few_seeds_make_wide_come_with_a_word_about_seeds():
    apart = [*system("a", 0.9, 1), answers(name="a", right=0.4, seed=1), *system("b", 0.8, 2)]
    found = compare(apart)
    assert found.pairs[0].accuracy.few_seeds
    assert "few seeds leave a difference in accuracy and macro-F1 uncertain by more than 20 points" in found.notes[0]
    few_rows = compare([answers(name=name, truth=TRUTH[:20], right=0.7, seed=seed) for name in "ab" for seed in range(2)])
    interval = few_rows.pairs[0].accuracy.interval
    assert interval.high - interval.low > 0.2
    assert few_rows.notes == (), "more seeds would hardly narrow it"


# ----------------------------------------------------------------------------------------- what doesn't belong together


def refused(*runs):
    with pytest.raises(RunError) as problem:
        compare(runs)
    return str(problem.value)


def test_nothing_to_compare_is_refused():
    assert refused().startswith("found no run to compare")


def test_a_recipe_and_seed_given_twice_is_refused():
    assert "are the same recipe with the same seed" in refused(answers(), answers())


def test_other_test_rows_are_refused_with_their_number():
    message = refused(answers(name="a"), answers(name="b", truth=TRUTH[:150]))
    assert "were not scored on the same test rows (" in message
    assert "50 rows are in one of them only, such as row 151" in message
    assert "in another order" in refused(answers(name="a"), answers(name="b", rows=np.arange(ROWS, 0, -1)))


def test_other_labels_are_refused_with_the_first_row():
    other = TRUTH.copy()
    other[7] = (other[7] + 1) % 3
    message = refused(answers(name="a"), answers(name="b", truth=other))
    one, two = (CLASSES[labels[7]] for labels in (TRUTH, other))
    assert f"1 rows differ, such as row 8, '{one}' in one and '{two}' in the other" in message


def test_other_classes_are_refused_by_name():
    other = replace(answers(name="b"), run=as_if(answers(name="b").run, preprocessing=Preprocessing(("fruit", "x"), (), 9)))
    assert "other classes: metal, river, x are in one of them only" in refused(answers(name="a"), other)


def test_data_that_changed_between_runs_is_refused():
    message = refused(answers(name="a"), answers(name="b", data="other"))
    assert "texts or labels of the data changed between them" in message


def test_other_data_is_refused_by_setting():
    message = refused(answers("data.source=a.csv", name="a"), answers("data.source=b.csv", name="b", data="other"))
    assert "data.source" in message
    assert "train them on the same" in message


def test_fewer_training_rows_may_be_compared_and_are_told():
    found = compare([answers("data.rows=50", name="a"), answers("data.rows=90", name="b", data="other")])
    assert any("not all were trained on the same rows (data.rows: " in note for note in found.notes)


@pytest.mark.parametrize("rows", [(50, 90, 90), (90, 50, 50)])
def test_data_that_changed_between_two_runs_is_refused_whichever_run_comes_first(rows):
    runs = [answers(f"data.rows={count}", data=data) for count, data in zip(rows, "abc", strict=True)]
    assert "texts or labels of the data changed between them" in refused(*runs)


def test_a_run_that_kept_no_answers_is_refused(run_for, copy_of):
    folder = copy_of(run_for())
    (folder / "test.parquet").unlink()
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    del manifest["sha256"]["test.parquet"]
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    with pytest.raises(RunError, match=r"test\.parquet is missing"):
        compare([Run.load(folder)])


# ------------------------------------------------------------------------------------------------------------- output


def test_runs_from_disk_compare_as_their_scores_say(run_for):
    runs = [run_for("bert", *changes) for changes in ((), ("train.seed=1",), ("train.epochs=1",))]
    found = compare(runs)
    by_name = {one.name: one for one in found.systems}
    assert set(by_name) == {"tiny epochs=2", "tiny epochs=1"}
    means = [
        np.mean([getattr(run.scores.test, key).value for run in runs[:2]]) for key in ("accuracy", "macro_f1", "log_loss")
    ]
    one = by_name["tiny epochs=2"]
    assert (one.accuracy.value, one.macro_f1.value, one.log_loss) == pytest.approx(tuple(means), abs=1e-6)
    assert one.trained_parameters == runs[0].facts.trained_parameters.counted


def test_a_comparison_is_plain_json_with_its_verdicts():
    found = compare([*system("a", 0.9), *system("b", 0.6)])
    plain = json.loads(json.dumps(found.as_dict()))
    assert plain["pairs"][0]["verdict"]["accuracy"] == found.verdict(found.pairs[0])
    assert plain["systems"][0]["seeds"] == [0, 1, 2]


def test_the_table_is_a_csv_with_a_line_a_system(tmp_path):
    found = compare([*system("a", 0.9), *system("b", 0.6)])
    found.write_csv(tmp_path / "table.csv")
    with (tmp_path / "table.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [line["system"] for line in lines] == ["a", "b"]
    assert (lines[0]["seeds"], lines[0]["seed_numbers"]) == ("3", "0 1 2")
    assert float(lines[0]["accuracy_low"]) < float(lines[0]["accuracy"]) < float(lines[0]["accuracy_high"])
    with pytest.raises(RunError, match="give a file in a folder that is there"):
        found.write_csv(tmp_path / "no" / "table.csv")
