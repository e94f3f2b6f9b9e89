"""Labels that are measured are estimated: found by looking, read as numbers, apportioned by tenths, held within bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankwise.data.audit import audit, check
from rankwise.data.files.output import write_rows
from rankwise.data.files.table import read_table, table_of
from rankwise.data.labelled import split_tables
from rankwise.data.labels import in_figures
from rankwise.data.tasks import REGRESSION, SINGLE_LABEL, Regression, class_names, numbers_of, read_as, recognised
from rankwise.errors import DataError, RecipeError, Unlabelled
from rankwise.recipe import DataSpec, Recipe, SourceSpec

TENTHS = [f"{1 + number / 10:.1f}" for number in range(41)]  # 1.0 to 5.0
CODES = [f"{major}.{minor}" for major in range(1, 5) for minor in range(1, 6)]  # 20 of them


def table(labels):
    labels = list(labels)
    return table_of([f"text {number}" for number in range(len(labels))], labels)


def task(**facts):
    return Regression(("score",), **facts)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (TENTHS * 3, REGRESSION),
        (["-1.5", "2e3", *TENTHS], REGRESSION),
        (["N/A", *TENTHS, "?"], REGRESSION),  # words for none stand aside
        (list(map(str, range(60))) * 3, SINGLE_LABEL),  # whole numbers stay classes, however many
        ([f"{number}.0" for number in range(40)] * 2, SINGLE_LABEL),
        (CODES * 4, SINGLE_LABEL),  # as many as may be classes
        ([*TENTHS, "much"] * 2, SINGLE_LABEL),
    ],
)
def test_numbers_are_estimated_where_many_are_different_and_some_have_a_fraction(labels, expected):
    found = recognised(table(labels))
    assert found.task == expected
    told = [line for line in found.warnings if "type --set data.task=single-label" in line]
    assert len(told) == (expected == REGRESSION)


def test_what_the_recipe_says_is_not_guessed():
    assert recognised(table(TENTHS * 3), SINGLE_LABEL).task == SINGLE_LABEL
    asked = recognised(table(["1", "2", "3"] * 9), REGRESSION)
    assert (asked.task, asked.warnings) == (REGRESSION, ())
    assert class_names(asked, ()) == ("label",)


def test_rows_without_a_number_are_dropped_and_counted():
    found = recognised(table(["1.5", "nan", "-1", "N/A", "2"]), REGRESSION)
    assert found.labels == ("1.5", "-1", "2")
    assert found.rows.tolist() == [1, 3, 5]
    assert found.dropped == {"missing label": 2}
    assert read_as(table(["none", "7"]), REGRESSION, ()).labels == ("7",)


def test_a_label_that_is_no_number_is_refused_by_its_row():
    with pytest.raises(DataError, match=r"row 2: label 'many' is no number, 1 rows like it; .*data.task=single-label"):
        check(recognised(table(["1.5", "many", "3"]), REGRESSION))
    with pytest.raises(DataError, match=r"row 2: label '1,5' is no number"):
        task().parse(table(["1.5", "1,5"]), (), DataSpec())
    unknown = task().parse(table(["1.5", "much"]), (), DataSpec(unseen_labels="wrong"))
    assert unknown[0] == 1.5
    assert np.isnan(unknown[1])
    with pytest.raises(Unlabelled, match=r"no label in column 'label' is a number, such as 'a'"):
        task().parse(table(["a", "b"]), (), DataSpec())


def test_many_different_whole_numbers_are_refused_with_what_to_type():
    with pytest.raises(DataError, match=r"to estimate a number, type --set data.task=regression"):
        check(table(map(str, range(100))))
    check(recognised(table(map(str, range(100))), REGRESSION))
    with pytest.raises(DataError, match=r"data.label=COLUMN$"):
        check(table(f"row{number}" for number in range(100)))
    report = audit({"train": table([*map(str, range(60)), *["7"] * 20])})
    assert any("To estimate a number, type --set data.task=regression" in line for line in report.warnings)


@pytest.mark.parametrize(
    ("number", "figures"), [(3.47159, "3.472"), (-0.00012, "-0.00012"), (34716.4, "34716"), (0, "0"), (2e20, "2e+20")]
)
def test_numbers_are_told_in_four_figures(number, figures):
    assert in_figures(number) == figures


@given(st.lists(st.floats(-1e6, 1e6), min_size=40, max_size=200, unique=True), st.integers(0, 99))
def test_splits_have_each_tenth_of_the_numbers_in_its_share(numbers, seed):
    spec = DataSpec.model_validate({"task": REGRESSION, "split": {"seed": seed, "test": 0.25}})
    held = numbers_of(split_tables(spec, table(map(repr, numbers))).test)
    strata = task().strata(np.array(numbers))
    for tenth in np.unique(strata):
        own = np.array(numbers)[strata == tenth]
        assert abs(np.isin(held, own).sum() - 0.25 * len(own)) <= 3


def test_an_audit_counts_numbers_and_tells_of_texts_with_far_ones():
    rng = np.random.default_rng(0)
    numbers = [f"{number:.2f}" for number in rng.normal(10, 2, 200)]
    texts = [f"text number {number}" for number in range(200)]
    texts[1], texts[3] = texts[0], texts[2]
    numbers[0], numbers[1], numbers[2], numbers[3] = "8.0", "13.0", "9.00", "9.50"  # far, and near
    train = recognised(table_of(texts, numbers), REGRESSION)
    test = recognised(table_of(["other"], ["99"]), REGRESSION)
    report = audit({"train": train, "test": test})
    assert report.numbers.lowest == min(map(float, numbers))
    assert report.numbers.mean == pytest.approx(np.mean(list(map(float, numbers))))
    assert sum(report.classes.values()) == 200
    assert report.conflicts == 1
    assert any("more than a standard deviation apart" in line for line in report.warnings)
    assert any("1 of 1 test rows have a number beyond those of training" in line for line in report.warnings)
    assert not any("class" in line for line in report.warnings)


def test_logits_are_numbers_in_the_unit_of_training_labels_and_back():
    labels = np.array([10.0, 30.0, 20.0])
    learnt = task().learnt(labels, DataSpec())
    assert learnt.standardised(labels).mean() == pytest.approx(0.0)
    assert learnt.standardised(labels).std() == pytest.approx(1.0)
    numbers = learnt.probabilities(learnt.standardised(labels)[:, None].astype(np.float32))
    np.testing.assert_allclose(numbers[:, 0], labels, rtol=1e-6)
    np.testing.assert_allclose(learnt.logits(numbers)[:, 0], learnt.standardised(labels), atol=1e-6)
    assert learnt.in_units.probabilities(np.array([[7.5]], dtype=np.float32)).tolist() == [[7.5]]
    assert task().learnt(np.array([4.0, 4.0]), DataSpec()).deviation == 1.0


def test_bounds_are_taken_where_they_lower_the_error_of_rows_held_out():
    learnt = task().learnt(np.array([1.0, 5.0]), DataSpec())
    told, truth = np.array([[6.0], [3.0], [0.5]]), np.array([5.0, 3.0, 1.0])
    assert learnt.bounds is None
    chosen = learnt.tuned(told, truth)
    assert chosen.bounds == (1.0, 5.0)
    assert chosen.decide(told).tolist() == [5.0, 3.0, 1.0]
    assert "lowers the squared error on rows held out" in chosen.about_choice
    assert learnt.tuned(told, told[:, 0]).bounds is None, "where numbers beyond them are right"
    asked = task().learnt(np.array([1.0, 5.0]), DataSpec(bounds=(0, 2)))
    assert asked.tuned(told, truth).bounds == (0, 2)
    assert task().learnt(np.array([1.0, 5.0]), DataSpec(bounds="none")).tuned(told, truth).bounds is None


def test_the_worst_mistakes_are_those_farthest_off():
    told, truth = np.array([[1.0], [2.0], [3.0], [9.0]]), np.array([1.5, 5.0, np.nan, 8.0])
    assert task().worst(told, truth).tolist() == [1, 3, 0]
    assert [task().shown(number) for number in (1.23456, np.nan)] == ["1.235", "(not known)"]


def test_what_is_of_classes_is_refused_and_what_is_of_numbers_is_for_them_alone():
    with pytest.raises(RecipeError, match=r"train.focal is for classes, and a number is estimated"):
        task().check(Recipe().with_overrides(["train.focal=2"]))
    with pytest.raises(RecipeError, match=r"data.classes is for classes"):
        task().check(Recipe().with_overrides(["data.classes=[a, b]"]))
    labelled = split_tables(DataSpec(), table(["a", "b"] * 30))
    with pytest.raises(RecipeError, match=r"type --set train.select_by=accuracy"):
        labelled.task.check(Recipe().with_overrides(["train.select_by=root_mean_squared_error"]))
    with pytest.raises(RecipeError, match=r"data.bounds is of an estimated number"):
        labelled.task.check(Recipe().with_overrides(["data.bounds=[1, 5]"]))
    with pytest.raises(RecipeError, match="not a lower and a higher number"):
        Recipe().with_overrides(["data.bounds=[5, 1]"])


def test_a_typed_column_of_numbers_is_read_as_it_is(tmp_path):
    rows = [{"text": f"text {number}", "label": number / 7} for number in range(60)]
    write_rows(tmp_path / "numbers.parquet", ["text", "label"], rows)
    found = recognised(read_table(SourceSpec(path=str(tmp_path / "numbers.parquet")), DataSpec()))
    assert found.task == REGRESSION
    np.testing.assert_allclose(numbers_of(found), [number / 7 for number in range(60)])
