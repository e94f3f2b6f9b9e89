"""An estimated number, through the whole path: every family, every rung, saved, reloaded, predicted, compared, shown."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.metrics import r2_score
from tiny_families import FAMILIES
from transformers import AutoModelForSequenceClassification

from conftest import CLASSES, WORDS
from rankwise.data.files.output import write_rows
from rankwise.errors import RecipeError
from rankwise.report.blocks import Figure, Table
from rankwise.report.runs import report_of
from rankwise.run.folder import Run
from rankwise.run.format import ShiftReport
from rankwise.system.sealed import read_sealed
from rankwise.workflows.compare import compare
from rankwise.workflows.export import export
from rankwise.workflows.gate import gate, kept_by_both
from rankwise.workflows.learning_curve import learning_curve
from rankwise.workflows.train import train

pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")]

TRAINED = ("train.epochs=12", "evaluate.baselines=true", "head.start=random", "head.kind=slim", "adapter.rank=4")
FITTED = ("head.start=fitted", "head.kind=pooled", "budget.parameters=100000")


def measured(rows, seed=0, *, scale=1.0, shift=0.0):
    """Texts with words of two classes, and a number that says how many of them are of the first; two decimals."""
    rng = np.random.default_rng(seed)
    texts, numbers = [], []
    for row in range(rows):
        share = rng.integers(0, 7)
        words = [*rng.choice(WORDS[CLASSES[0]], share), *rng.choice(WORDS[CLASSES[1]], 6 - share)]
        texts.append(" ".join([*rng.permutation(words).tolist(), "under", "some", f"row{row % 10}{row // 10}"]))
        numbers.append(scale * (share / 2 + round(rng.normal(0, 0.1), 2)) + shift)
    return texts, numbers


def written(path, texts, numbers, column="score"):
    write_rows(path, ["text", column], [{"text": t, column: f"{one:.6g}"} for t, one in zip(texts, numbers, strict=True)])
    return path


@pytest.fixture(scope="session")
def measured_file(tmp_path_factory):
    """A CSV whose labels are numbers with fractions."""
    return written(tmp_path_factory.mktemp("measured") / "measured.csv", *measured(160))


@pytest.fixture
def measured_recipe(recipe_for, measured_file):
    def recipe(family="bert", *more, file=measured_file):
        return recipe_for(family, f"data.source={file}", "data.label=score", *TRAINED, *more)

    return recipe


def values(run, texts):
    return [one.label for one in run.predict(texts)]


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "qwen3"])  # whose head has no bias
def test_planned_is_live_is_saved_and_reloads_to_the_bit(measured_recipe, tmp_path, family):
    run = train(measured_recipe(family, "train.epochs=1", "evaluate.baselines=false"), tmp_path / "run")
    trained = run.facts.trained_parameters
    assert trained.planned == trained.counted == run.plan_facts.trainable_parameters
    assert (run.preprocessing.task, run.preprocessing.classes) == ("regression", ("score",))
    texts = measured(8, seed=4)[0]
    assert values(run, texts) == values(Run.load(run.folder), texts)
    model = run.classifier().transformers_model
    assert (model.config.problem_type, model.config.num_labels) == ("regression", 1)


def test_it_learns_the_number_in_its_unit(measured_recipe, tmp_path):
    run = train(measured_recipe("bert"), tmp_path / "run")
    test = run.scores.test
    assert test.named("pearson").value > 0.8
    assert list(run.scores.baselines) == ["mean of the training labels", "TF-IDF + ridge"]
    floor = run.scores.baselines["mean of the training labels"]
    assert floor.named("pearson").value is None
    assert floor.difference.low > 0
    texts, numbers = measured(60, seed=9)
    told = values(run, texts)
    assert pearsonr(told, numbers).statistic > 0.8
    assert np.abs(np.array(told) - numbers).mean() < 0.5 * np.abs(np.array(numbers) - np.mean(numbers)).mean()
    rows = run.scored_rows()
    decided = run.task.decide(rows.probabilities.astype(np.float64))
    assert np.abs(decided - rows.truth).mean() == pytest.approx(test.named("mean_absolute_error").value)
    assert rows.truth.dtype == np.float64
    assert run.facts.best.root_mean_squared_error == min(one.root_mean_squared_error for one in run.scores.history)


def test_another_unit_of_the_labels_is_learnt_as_well(measured_recipe, tmp_path):
    plain = train(measured_recipe("bert", "data.bounds=none"), tmp_path / "plain")
    texts, numbers = measured(160, scale=1000.0, shift=-50_000.0)
    file = written(tmp_path / "large.csv", texts, numbers)
    large = train(measured_recipe("bert", "data.bounds=none", "data.task=regression", file=file), tmp_path / "large")
    asked = measured(20, seed=3)[0]
    assert values(large, asked) == pytest.approx(
        1000 * np.array(values(plain, asked)) - 50_000, abs=10.0
    )  # of 1,000 from text to text


@pytest.mark.parametrize("method", ["lora", "full", "head"])
def test_what_the_ecosystem_loads_gives_the_same_number(measured_recipe, tmp_path, method):
    changes = [f"adapter.method={method}", "train.epochs=1", "data.bounds=none", *(FITTED if method == "head" else ())]
    run = train(measured_recipe("bert", *changes), tmp_path / "run")
    text = "apple pear under some rhine"
    code = re.findall(r"```python\n(.*?)```", (run.folder / "README.md").read_text("utf-8"), re.DOTALL)[1]
    code = code.replace("A text to classify.", text).replace('"path/to/this/folder"', repr(str(run.folder)))
    code = code.replace(f'"{run.facts.base.name}"', repr(run.base().location))
    scope = {}
    exec(code, scope)
    (wanted,) = values(run, [text])
    if method == "full":
        assert scope["classify"](text)[0] == {"label": "score", "score": pytest.approx(wanted, abs=1e-5)}
        assert AutoModelForSequenceClassification.from_pretrained(run.folder).config.problem_type == "regression"
    else:
        assert scope["scores"].tolist() == pytest.approx([wanted], abs=1e-5)


@pytest.mark.parametrize("rungs", ["[tfidf]", "[features]", "[tfidf, features, all]"])
def test_every_rung_climbs_by_squared_error(measured_recipe, tmp_path, rungs):
    run = train(measured_recipe("bert", f"rungs={rungs}", "train.epochs=2", *FITTED), tmp_path / "run")
    first = run.facts.ladder.rungs[0]
    assert first.accuracy > 0.2
    assert first.log_loss is None
    assert Run.load(run.folder).predict(["apple pear"])[0].label == run.predict(["apple pear"])[0].label
    held = run.held_out_rows()
    handed = run.facts.ladder.handed_over
    told = run.task.decide(held.probabilities.astype(np.float64))
    r2 = 1 - ((told - held.truth) ** 2).mean() / held.truth.var()
    assert r2 == pytest.approx(handed.accuracy, abs=1e-4)


def test_bounds_are_those_asked_for_or_those_that_held_out_rows_want(measured_recipe, tmp_path):
    asked = train(measured_recipe("bert", "train.epochs=1", "data.bounds=[1, 2]"), tmp_path / "asked")
    texts = measured(40, seed=5)[0]
    assert all(1 <= one <= 2 for one in values(asked, texts))
    assert "numbers are told within 1 and 2, as data.bounds says" in asked.facts.notes
    plain = train(measured_recipe("bert", "train.epochs=1", "data.bounds=none"), tmp_path / "plain")
    assert plain.preprocessing.bounds is None
    found = train(measured_recipe("bert"), tmp_path / "found")
    rows = found.held_out_rows()
    reach = found.preprocessing.bounds
    told = rows.probabilities[:, 0].astype(np.float64)
    if reach is None:
        assert "numbers are told as they come, within no bounds (data.bounds)" in found.facts.notes
    else:
        assert ((np.clip(told, *reach) - rows.truth) ** 2).sum() < ((told - rows.truth) ** 2).sum()


def test_runs_are_compared_by_r2_on_the_same_rows(measured_recipe, tmp_path, typed):
    runs = [train(measured_recipe("bert", f"train.seed={seed}"), tmp_path / f"run-{seed}") for seed in (1, 2)]
    runs.append(train(measured_recipe("bert", "train.epochs=1", "name=short"), tmp_path / "short"))
    found = compare(runs)
    assert found.scores == ("r2", "pearson")
    long, short = found.systems
    assert long.more["r2"].value == pytest.approx(np.mean([run.scores.test.named("r2").value for run in runs[:2]]))
    assert short.more["pearson"].value == pytest.approx(runs[2].scores.test.named("pearson").value)
    (pair,) = found.pairs
    assert "points of R²" in found.verdict(pair) or "no difference shown" in found.verdict(pair)
    folders = [run.folder for run in runs]
    code, printed, _ = typed("compare", *folders, "--json")
    assert (code, set(json.loads(printed)["pairs"][0]["verdict"])) == (0, {"r2", "pearson"})
    code, _, told = typed("compare", *folders, "--metric", "accuracy")
    assert (code, "type one of them" in told) == (2, True)
    both = report_of(runs)
    assert "Leaderboard" in [section.title for section in both.sections]


def test_a_file_is_scored_predicted_and_reported_in_numbers(measured_recipe, measured_file, tmp_path, typed):
    run = train(measured_recipe("bert"), tmp_path / "run")
    code, printed, told = typed("evaluate", run.folder, measured_file, "--label-column", "score")
    assert code == 0, told
    assert all(name in printed for name in ("Pearson", "Spearman", "mean absolute error", "R²", "farthest off"))
    assert "accuracy" not in printed
    code, _, told = typed("predict", run.folder, measured_file, "--out", tmp_path / "out.jsonl")
    assert code == 0, told
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    assert [line["estimated"] for line in lines[:5]] == pytest.approx(
        values(run, [line["text"] for line in lines[:5]]), abs=1e-6
    )
    assert "label" not in lines[0]
    code, printed, _ = typed("predict", run.folder, "--text", "apple pear", "--explain")
    assert code == 0
    assert "  for  " in printed or "no word" in printed
    report = report_of([run])
    assert report.stats[0].label == "Pearson"
    (section,) = [section for section in report.sections if section.name == "mistakes-section"]
    picture, by_size, worst = section.blocks
    assert isinstance(picture, Figure)
    assert sum(sum(row[1:]) for row in picture.table.rows) == run.scores.test.rows
    assert sum(row[2] for row in by_size.rows) == run.scores.test.rows
    assert isinstance(worst, Table)
    off = [abs(float(row[1]) - float(row[2])) for row in worst.rows]
    assert off == sorted(off, reverse=True)


def test_what_is_for_classes_is_refused_in_one_line(measured_recipe, tmp_path, typed):
    for change in ("train.class_weights=balanced", "train.focal=2", "train.label_smoothing=0.1", "train.select_by=macro_f1"):
        with pytest.raises(RecipeError, match="a number is estimated"):
            train(measured_recipe("bert", change), tmp_path / "refused")
    assert not (tmp_path / "refused").exists()
    recipe = measured_recipe("bert", "train.epochs=1", "evaluate.baselines=false")
    run = train(recipe, tmp_path / "run").folder
    other = train(measured_recipe("bert", "train.epochs=1", "train.seed=5"), tmp_path / "other").folder
    for words, hint in (
        (("decide", run, "--max-error", "2%"), "--sets 90%"),
        (("gate", run, "--against", other, "--score", "accuracy"), "leave it out"),
        (("predict", run, "--text", "apple", "--numbers"), "leave it out"),
        (("data", recipe.data.source, "--label-column", "score", "--suspects"), "rankwise evaluate"),
    ):
        code, _, told = typed(*words)
        assert (code, told.count("\n"), hint in told) == (2, 1, True), told


def test_a_learning_curve_of_numbers_is_of_their_r2(measured_recipe, tmp_path, typed):
    recipe = measured_recipe("bert", "train.epochs=8", "evaluate.baselines=false")
    found = learning_curve(recipe, tmp_path / "curve", rows=[30, 60, 100])
    assert found.score == "r2"
    few, _, many = (size.accuracy.value for size in found.sizes)
    assert few < many < 1
    header, *lines = (tmp_path / "curve" / "curve.csv").read_text("utf-8").splitlines()
    assert header.split(",")[:3] == ["rows", "seeds", "r2"]
    assert float(lines[-1].split(",")[2]) == pytest.approx(many, abs=1e-6)
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml(), "utf-8")
    code, told, _ = typed("learn-curve", tmp_path / "recipe.yaml", "--rows", "30,60,100", "--out", tmp_path / "curve")
    assert code == 0
    assert "R² %" in told
    assert "1 - R² = " in told


def test_numbers_under_shift_are_scored_by_their_r2(measured_recipe, measured_file, tmp_path, typed):
    run = train(measured_recipe("bert", "evaluate.shifts=[typos, upper]", "evaluate.baselines=false"), tmp_path / "run")
    code, told, _ = typed("evaluate", run.folder, measured_file, "--label-column", "score", "--shift")
    assert code == 0
    assert "R² %" in told
    report = read_sealed(run.folder / "shift.json", ShiftReport)
    assert report.of_numbers
    original, typos, _ = report.kinds
    assert typos.kind == "typos"
    assert typos.drop.value == pytest.approx(original.r2.value - typos.r2.value, abs=1e-6)
    assert typos.pearson.value < original.pearson.value
    assert report.worst is typos
    section = next(one for one in report_of([Run.load(run.folder)]).sections if one.name == "shift-section")
    assert "points of R²" in section.lead
    assert [column.name for column in section.blocks[-1].columns][2:4] == ["r2", "pearson"]


def test_a_gate_holds_numbers_by_their_r2(measured_recipe, tmp_path, typed):
    good, poor = (
        train(measured_recipe("bert", f"train.epochs={epochs}", "evaluate.baselines=false"), tmp_path / f"epochs-{epochs}")
        for epochs in (12, 1)
    )
    found = gate(kept_by_both(good, poor), margin=5)
    kept = [run.scored_rows() for run in (good, poor)]
    truth = kept[0].truth
    r2 = [
        r2_score(truth, run.task.decide(one.probabilities.astype(float))) for run, one in zip((good, poor), kept, strict=True)
    ]
    assert [found.new.score, found.old.score] == pytest.approx(r2, abs=1e-6)
    assert found.difference.value == pytest.approx(r2[0] - r2[1], abs=1e-6)
    assert (found.score, found.outcome) == ("r2", "not worse")
    assert found.new.alone_right + found.old.alone_right == len(truth)
    assert gate(kept_by_both(poor, good), margin=5).exit_code == 3
    code, told, _ = typed("gate", good.folder, "--against", poor.folder, "--margin", 5)
    assert code == 0
    assert "nearer than the other" in told
    assert "points of R²" in told


def test_8_bits_of_a_number_are_held_by_its_r2(measured_recipe, tmp_path):
    run = train(measured_recipe("bert", "train.epochs=12", "evaluate.baselines=false"), tmp_path / "run")
    exported = export(run, "onnx-int8", max_loss=99)
    assert exported.about.held.score == "r2"
    texts = measured(8, seed=4)[0]
    numbers = [one.label for one in run.predict(texts, engine="onnx-int8")]
    assert numbers == pytest.approx(values(run, texts), abs=0.3)


def test_numbers_may_be_given_in_python(recipe_for, tmp_path):
    texts, numbers = measured(120)
    changes = (*TRAINED, "train.epochs=1", "evaluate.baselines=false")
    run = train(recipe_for("bert", *changes), tmp_path / "run", texts=texts, labels=numbers, progress=False)
    assert run.task.name == "regression"
    (one,) = run.predict(["apple pear"])
    assert isinstance(one.label, float)
    assert np.isnan(one.score)
    assert one.probabilities == {}
