"""Parts are nested and stratified, the law is found where it holds, test rows stay untouched, finished points are kept."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import CLASSES
from rankwise.data.files.table import Table
from rankwise.data.labelled import read_labelled
from rankwise.data.splitting import nested_order
from rankwise.errors import DataError, RunError
from rankwise.run.folder import Run
from rankwise.stats.power_law import PowerLaw
from rankwise.system.files import to_json
from rankwise.system.sealed import write_sealed
from rankwise.workflows import learning_curve as curves
from rankwise.workflows.ladder import Ladder
from rankwise.workflows.learning_curve import TIMES, Point, curve_of, learning_curve
from rankwise.workflows.train import train_on

pytestmark = pytest.mark.long

# ------------------------------------------------------------------------------------------------------------- parts


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=200), st.integers(0, 5))
def test_every_beginning_of_the_order_has_each_class_in_its_share(labels, seed):
    order = nested_order(labels, seed)
    assert sorted(order.tolist()) == list(range(len(labels)))
    ordered = np.array(labels)[order]
    for name in set(labels):
        shares = np.cumsum(ordered == name) - np.arange(1, len(labels) + 1) * labels.count(name) / len(labels)
        assert np.abs(shares).max() <= 2


def test_another_seed_takes_other_rows():
    labels = list(CLASSES) * 20
    one, other, again = (set(nested_order(labels, seed)[:15].tolist()) for seed in (0, 1, 0))
    assert one == again != other


# -------------------------------------------------------------------------------------------------------------- curve


def point(rows, seed, right):
    return Point.of(rows, seed, right, seconds=1.0, fingerprint="any")


def drawn_points(law, sizes, *, seeds=3, validation=2000, seed=0, spread=0.0):
    """Points whose rows are right with the law's chance, the hard rows hard for all."""
    rng = np.random.default_rng(seed)
    hardness = rng.random(validation)
    return [
        point(rows, number, hardness > law.error(rows) + spread * rng.normal()) for number in range(seeds) for rows in sizes
    ]


def test_the_curve_tells_each_size_and_what_more_rows_bring():
    law, sizes = PowerLaw(0.06, 3.0, 0.6), [100, 200, 400, 800, 1600]
    found = curve_of(drawn_points(law, sizes), "a recipe")
    assert [size.rows for size in found.sizes] == sizes
    for size in found.sizes:
        assert size.accuracy.value == pytest.approx(1 - law.error(size.rows), abs=0.02)
        assert size.accuracy.low < size.accuracy.value < size.accuracy.high
        assert size.fitted == pytest.approx(size.accuracy.value, abs=0.01)
    assert [(gain.times, gain.rows) for gain in found.gains] == [(times, times * 1600) for times in TIMES]
    twice = found.gains[0].accuracy
    assert twice.value == pytest.approx(law.error(1600) - law.error(3200), abs=0.006)
    assert twice.low <= twice.value <= twice.high
    assert (found.validation_rows, found.seeds, found.notes) == (2000, 3, ())


@pytest.mark.parametrize("spread", [0.0, 0.01, 0.02], ids=lambda spread: f"seeds move {spread:.0%}")
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_95_percent_intervals_hold_the_truth_nearly_as_often_with_few_seeds_as_they_say(seeds, spread):
    law, sizes, cases = PowerLaw(0.08, 2.0, 0.5), [100, 200, 400, 800], 100
    truth = {"gain": law.error(800) - law.error(1600), "accuracy": 1 - law.error(800)}
    held = dict.fromkeys(truth, 0)
    for seed in range(cases):
        points = drawn_points(law, sizes, seeds=seeds, validation=500, seed=seed, spread=spread)
        found = curve_of(points, "r", resamples=200)
        intervals = {"gain": found.gains[0].accuracy, "accuracy": found.sizes[-1].accuracy}
        for name, interval in intervals.items():
            held[name] += interval.low <= truth[name] <= interval.high
    assert min(held.values()) >= 0.9 * cases, held


@pytest.mark.parametrize("seeds", [1, 3])
def test_of_numbers_it_is_r2_whose_intervals_hold_as_often(seeds):
    law, sizes, cases, rows = PowerLaw(0.2, 6.0, 0.5), [100, 200, 400, 800], 60, 400
    held = {"gain": 0, "r2": 0}
    for case in range(cases):
        rng = np.random.default_rng(case)
        noise = rng.normal(size=rows)  # which every training meets: an error has a square of 1 on the average
        points = []
        for size, seed in product(sizes, range(seeds)):
            credit = 1 - law.error(size) * (0.8 * noise + 0.6 * rng.normal(size=rows)) ** 2
            points.append(Point.of(size, seed, credit, seconds=1.0, fingerprint="f"))
        found = curve_of(points, "r", resamples=200)
        held["gain"] += found.gains[0].accuracy.low <= law.error(800) - law.error(1600) <= found.gains[0].accuracy.high
        held["r2"] += found.sizes[-1].accuracy.low <= 1 - law.error(800) <= found.sizes[-1].accuracy.high
    assert (found.score, found.law.b > 0) == ("r2", True)
    assert min(held.values()) >= 0.85 * cases, held


def test_a_flat_curve_gains_nothing():
    found = curve_of(drawn_points(PowerLaw(0.3, 0.0, 1.0), [100, 200, 400]), "r")
    assert found.gains[0].accuracy.value == pytest.approx(0, abs=0.01)


def test_two_sizes_have_no_law_and_one_seed_is_said():
    found = curve_of(drawn_points(PowerLaw(0.1, 2.0, 0.5), [100, 200], seeds=1), "r")
    assert (found.law, found.gains) == (None, ())
    assert [size.fitted for size in found.sizes] == [None, None]
    assert "type three or more: --rows" in found.notes[0]
    assert "--seeds 3" in found.notes[1]


def test_few_seeds_that_disagree_are_said():
    points = [
        point(rows, seed, np.arange(2000) < 2000 * accuracy)
        for rows, accuracies in [(50, (0.3, 0.5)), (100, (0.6, 0.7)), (200, (0.8, 0.8))]
        for seed, accuracy in enumerate(accuracies)
    ]
    assert any("2 seeds leave an accuracy uncertain by" in note for note in curve_of(points, "r").notes)
    agreed = [point(one.rows, one.seed, points[2 * (index // 2)].hits()) for index, one in enumerate(points)]
    assert not any("uncertain" in note for note in curve_of(agreed, "r").notes)


def test_points_far_from_every_law_are_said():
    points = [point(rows, 0, np.arange(2000) < 2000 * accuracy) for rows, accuracy in [(50, 0.9), (100, 0.3), (200, 0.9)]]
    assert any("standard errors from the law" in note for note in curve_of(points, "r").notes)


# ----------------------------------------------------------------------------------------------------------- trainings

QUICK = ["train.epochs=1", "data.split.validation=12"]


def test_points_are_trained_kept_and_taken_up_again(recipe_for, tmp_path):
    recipe = recipe_for("bert", *QUICK)
    heard = []

    def note(point, reused):
        heard.append((point.rows, point.seed, reused))

    first = learning_curve(recipe, tmp_path / "curve", rows=[9, 18], seeds=2, on_point=note)
    more = learning_curve(recipe, tmp_path / "curve", rows=[36, 9, 18], seeds=2, on_point=note)
    trained = [(9, 0, False), (9, 1, False), (18, 0, False), (18, 1, False)]
    again = [(9, 0, True), (9, 1, True), (18, 0, True), (18, 1, True)]
    assert heard == [*trained, *again, (36, 0, False), (36, 1, False)]
    assert [size.accuracy.value for size in more.sizes[:2]] == [size.accuracy.value for size in first.sizes]
    assert json.loads((tmp_path / "curve" / "curve.json").read_text("utf-8")) == to_json(more)
    assert sorted(path.name for path in (tmp_path / "curve").iterdir()) == ["curve.csv", "curve.json", "points"]
    assert more.validation_rows == 12


def test_a_point_that_was_damaged_is_trained_again_and_the_curve_says_so(recipe_for, tmp_path):
    recipe, heard = recipe_for("bert", *QUICK), []
    whole = learning_curve(recipe, tmp_path, rows=[9])
    path = tmp_path / "points" / "rows-9-seed-0.json"
    point = json.loads(path.read_text("utf-8"))
    point["right"] = point["right"].translate(str.maketrans("01", "10"))  # as one flipped bit in each digit would
    for content in (json.dumps(point), path.read_text("utf-8")[:-9]):
        path.write_text(content, "utf-8")
        again = learning_curve(recipe, tmp_path, rows=[9], on_point=lambda _, reused: heard.append(reused))
        assert again.sizes[0].accuracy == whole.sizes[0].accuracy
        assert "rows-9-seed-0.json is not" in again.notes[-1]
        assert again.notes[-1].endswith(", so that point was trained again")
    assert heard == [False, False]


def test_a_point_of_a_newer_rankwise_is_refused_and_left_as_it_is(recipe_for, tmp_path):
    recipe = recipe_for("bert", *QUICK)
    learning_curve(recipe, tmp_path, rows=[9])
    path = tmp_path / "points" / "rows-9-seed-0.json"
    point = {key: value for key, value in json.loads(path.read_text("utf-8")).items() if key != "sha256"}
    write_sealed(path, {**point, "macro_f1": 0.5})
    newer = path.read_bytes()
    with pytest.raises(RunError, match=r"rows-9-seed-0\.json: unknown key 'macro_f1', of a newer rankwise; upgrade rankwise"):
        learning_curve(recipe, tmp_path, rows=[9])
    assert path.read_bytes() == newer


def test_a_folder_called_training_is_left_alone_and_what_was_stopped_leaves_nothing(recipe_for, tmp_path, monkeypatch):
    kept = tmp_path / "training" / "notes.txt"
    kept.parent.mkdir()
    kept.write_text("mine", "utf-8")
    recipe = recipe_for("bert", *QUICK)
    with monkeypatch.context() as patched:
        patched.setattr(Run, "scored_rows", raise_interrupt)
        with pytest.raises(KeyboardInterrupt):
            learning_curve(recipe, tmp_path, rows=[9])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["points", "training"]
    assert [size.rows for size in learning_curve(recipe, tmp_path, rows=[9]).sizes] == [9]
    assert kept.read_text("utf-8") == "mine"


def raise_interrupt(run):
    raise KeyboardInterrupt


def test_another_recipe_or_other_data_need_another_folder(recipe_for, tmp_path, data_file):
    learning_curve(recipe_for("bert", *QUICK), tmp_path / "curve", rows=[9])
    with pytest.raises(RunError, match="points of another recipe or of other data; give another --out"):
        learning_curve(recipe_for("bert", *QUICK, "train.learning_rate=1e-3"), tmp_path / "curve", rows=[9])
    fewer = tmp_path / "fewer.csv"
    fewer.write_text("\n".join(data_file.read_text("utf-8").splitlines()[:55]) + "\n", "utf-8")
    with pytest.raises(RunError, match="other data"):
        learning_curve(recipe_for("bert", *QUICK, f"data.source={fewer}"), tmp_path / "curve", rows=[9])


def test_a_ladder_is_scored_on_rows_that_it_did_not_train_on(recipe_for, tmp_path, monkeypatch):
    rows = []

    def noted(*args, **how):
        run = train_on(*args, **how)
        rows.append((run.facts.rows.train, run.facts.rows.validation))
        return run

    monkeypatch.setattr(curves, "train_on", noted)
    ladder = ("rungs=[features,all]", "head.kind=pooled", "head.start=fitted", "train.max_steps=2")
    learning_curve(recipe_for("bert", *QUICK, *ladder), tmp_path / "curve", rows=[18, 36])
    assert rows == [(18, 12), (36, 12)]


def test_a_ladder_that_was_interrupted_ends_the_curve_and_is_no_point(recipe_for, tmp_path, monkeypatch):
    tried = Ladder._try

    def stopped(self, rung, best):
        if rung == "all":
            raise KeyboardInterrupt
        return tried(self, rung, best)

    monkeypatch.setattr(Ladder, "_try", stopped)
    ladder = ("rungs=[features,all]", "head.kind=pooled", "head.start=fitted", "train.max_steps=2")
    with pytest.raises(KeyboardInterrupt):
        learning_curve(recipe_for("bert", *QUICK, *ladder), tmp_path / "curve", rows=[18])
    assert list((tmp_path / "curve" / "points").iterdir()) == []


class Untouchable(tuple):
    def __iter__(self):
        raise AssertionError("a test row was read")

    __getitem__ = __iter__


def test_test_rows_are_never_looked_at_and_validation_rows_are_the_same_at_every_size(recipe_for, tmp_path):
    recipe = recipe_for("bert", *QUICK)
    labelled = read_labelled(recipe.data)
    test = Table(Untouchable(labelled.test.texts), labelled.test.labels, labelled.test.layout, {}, labelled.test.rows)
    sealed = type(labelled)(**{**vars(labelled), "test": test})
    found = learning_curve(recipe, tmp_path / "curve", rows=[9, 36], labelled=sealed)
    assert found.validation_rows == 12
    with pytest.raises(AssertionError):
        list(test.texts)


@pytest.mark.parametrize("wanted", [2, 37])
def test_sizes_that_the_data_has_not_are_refused(recipe_for, tmp_path, wanted):
    with pytest.raises(DataError, match=rf"--rows {wanted}: expected 3 \(a row for each class\) to 36"):
        learning_curve(recipe_for("bert", *QUICK), tmp_path / "curve", rows=[wanted])


def test_a_size_at_which_nothing_was_wrong_is_not_endless_standard_errors_from_the_law():
    right = {
        rows: np.arange(200) >= 200 * error for rows, error in ((50, 0.2), (100, 0.06), (200, 0.02), (400, 0.005), (800, 0))
    }
    found = curve_of([point(rows, seed, of) for rows, of in right.items() for seed in (0, 1)], "a recipe")
    assert not [note for note in found.notes if "standard errors" in note]
