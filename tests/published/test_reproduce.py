"""A report's experiments run on a tiny encoder, stop and go on, and stand beside what the report printed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rankwise.errors import MissingExtra, OverBudget, RunError
from rankwise.published.reports import find_report
from rankwise.published.reproduce import Request, reproduce
from rankwise.run.folder import Run
from rankwise.run.format import ScoredRows
from rankwise.system.memory import forget_peak, peak_resident_bytes

pytestmark = pytest.mark.long


@pytest.fixture
def run_report(tiny, data_file, tmp_path):
    """Reproduce a report on a tiny encoder and the separable rows; what it returned and the trainings it began."""

    def run(number, *overrides, seeds=1, only=(), out="out", also=None, **how):
        began = []

        def listen(event):
            if event.kind in ("experiment", "start"):
                began.append(getattr(event, "name", "training"))

        quick = [
            f"base={tiny('bert')}",
            "data.max_length=24",
            "data.split.validation=12",
            "data.split.test=12",
            "data.length_percentiles=null",
            "train.epochs=1",
            "evaluate.resamples=20",
            "evaluate.baselines=false",
        ]
        sources = {"ag_news": str(data_file), "imdb": str(data_file)}
        found = reproduce(
            Request(find_report(number), (*quick, *overrides), sources, seeds, tuple(only)),
            tmp_path / out,
            listeners=[listen, *([also] if also else [])],
            **how,
        )
        return found, began

    return run


def test_every_experiment_is_run_with_every_seed_and_stands_beside_what_was_printed(run_report, tmp_path):
    found, began = run_report("000", seeds=2, only=["adamw", "rmsprop"])
    assert [name for name in began if name != "training"] == ["adamw", "adamw", "rmsprop", "rmsprop"]
    adamw, _ = found.outcomes
    assert adamw.experiment.scores["validation accuracy"] == "94.6 %"
    assert (adamw.experiment.trained_parameters, adamw.counted) == (691_722, 691_972)
    run = Run.load(tmp_path / "out" / "adamw-seed-1")
    assert adamw.counted_here == run.facts.trained_parameters.counted
    assert adamw.system.seeds == (0, 1)
    assert (adamw.training_rows, adamw.updates) == (36, 3)
    assert [{pair.a, pair.b} for pair in found.comparisons["ag_news"].pairs] == [{"adamw", "rmsprop"}]
    assert json.loads((tmp_path / "out" / "reproduction.json").read_text("utf-8")) == json.loads(json.dumps(found.as_dict()))


def test_what_was_stopped_goes_on_and_what_is_finished_is_not_trained_again(run_report):
    only = ["grid-best", "sgd"]

    def stop(event):
        if event.kind == "experiment" and event.name == "sgd":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_report("003", only=only, also=stop)
    after, began = run_report("003", only=only)
    assert began == ["grid-best", "sgd", "training"]
    unbroken, began = run_report("003", only=only, out="unbroken")
    assert began == ["grid-best", "training", "sgd", "training"]
    assert [one.system.accuracy for one in after.outcomes] == [one.system.accuracy for one in unbroken.outcomes]


def test_other_settings_in_the_same_folder_are_refused_and_overwrite_trains_again(run_report):
    run_report("003", only=["grid-best"])
    with pytest.raises(RunError, match=r"train\.epochs: 1 → 2"):
        run_report("003", "train.epochs=2", only=["grid-best"])
    _, began = run_report("003", "train.epochs=2", only=["grid-best"], overwrite=True)
    assert "training" in began


def test_the_rates_by_depth_of_report_000_make_no_difference_to_the_bit(run_report):
    found, _ = run_report("000", seeds=2, only=["rmsprop", "rmsprop-one-rate"])
    (pair,) = found.comparisons["ag_news"].pairs
    assert (pair.alike, pair.accuracy.interval.value, pair.accuracy.p_value) == (True, 0.0, 1.0)
    tiers, one = found.outcomes
    assert tiers.system.log_loss == one.system.log_loss


def test_dropout_at_prediction_asks_the_runs_again_and_keeps_the_answers(run_report, tmp_path):
    found, began = run_report("002", "train.learning_rate=1e-2", only=["mc-dropout"])
    assert began.count("training") == 1
    asked, asking = found.outcomes
    assert [one.system.name for one in (asked, asking)] == ["by-depth", "mc-dropout"]
    assert asked.system.log_loss != asking.system.log_loss
    (kept,) = (tmp_path / "out").glob("mc-dropout-seed-0-10-*/test.parquet")
    written, content = kept.stat().st_mtime_ns, bytearray(kept.read_bytes())
    again, _ = run_report("002", "train.learning_rate=1e-2", only=["mc-dropout"])
    assert kept.stat().st_mtime_ns == written
    content[200] ^= 1  # damaged since then
    kept.write_bytes(content)
    once_more, _ = run_report("002", "train.learning_rate=1e-2", only=["mc-dropout"])
    assert kept.read_bytes() != content
    assert once_more == again == found


def test_answers_that_were_being_written_when_it_was_stopped_are_asked_for_again(run_report, tmp_path, monkeypatch):
    plainly = ScoredRows.write

    def stop(self, path, classes):
        plainly(self, path, classes)
        if not path.is_relative_to(tmp_path / "out" / "by-depth-seed-0"):
            path.write_bytes(path.read_bytes()[:100])
            raise KeyboardInterrupt

    monkeypatch.setattr(ScoredRows, "write", stop)
    with pytest.raises(KeyboardInterrupt):
        run_report("002", only=["mc-dropout"])
    monkeypatch.setattr(ScoredRows, "write", plainly)
    found, _ = run_report("002", only=["mc-dropout"])
    assert found.outcomes[1].system is not None
    assert not list((tmp_path / "out").glob("*.draft"))


def test_each_data_set_of_report_004_is_compared_by_itself(run_report):
    found, _ = run_report("004", "data.classes=[]", only=["imdb-lora", "imdb-rank-4", "ag-news-lora"])
    names = {name: {one.name for one in comparison.systems} for name, comparison in found.comparisons.items()}
    assert names == {"imdb": {"imdb-lora", "imdb-rank-4"}, "ag_news": {"ag-news-lora"}}


def test_a_printed_count_that_is_not_what_the_layers_train_is_told_first(run_report):
    found, _ = run_report("000", only=["adamw"])
    assert found.doubts[0] == ("It prints 691,722 trained parameters; the layers that it describes train 691,972, 250 more.")
    assert found.doubts[1:] == find_report("000").doubts
    exact, _ = run_report("002", only=["by-depth"], out="exact")
    assert exact.doubts == find_report("002").doubts


def test_what_needs_an_extra_that_is_missing_is_left_out_and_says_so(run_report, monkeypatch):
    from rankwise.published import reproduce as reproduction

    plainly = reproduction.train_on

    def without_bitsandbytes(labelled, recipe, *arguments, **how):
        if recipe.adapter.quantize == "nf4":
            raise MissingExtra("'bitsandbytes' is not installed; type: pip install 'rankwise[qlora]'")
        return plainly(labelled, recipe, *arguments, **how)

    monkeypatch.setattr(reproduction, "train_on", without_bitsandbytes)
    found, _ = run_report("000", seeds=2, only=["adamw", "adamw-qlora"])
    assert found.outcomes[0].left_out is None
    assert found.outcomes[1].system is None
    assert "pip install 'rankwise[qlora]'" in found.outcomes[1].left_out


def test_what_learned_nothing_is_told_apart(run_report):
    short, _ = run_report("003", "evaluate.baselines=true", "train.epochs=0.1", only=["grid-best"])
    assert short.outcomes[0].majority == pytest.approx(1 / 3)
    assert not short.outcomes[0].learned
    more = (
        "evaluate.baselines=true",
        "train.epochs=8",
        "train.batch_size=4",
        "train.learning_rate=1e-2",
        "adapter.targets=all",
    )
    long, _ = run_report("003", *more, only=["grid-best"], out="long")
    assert long.outcomes[0].learned


def test_a_plan_over_budget_is_refused_before_anything_trains(run_report, tmp_path):
    with pytest.raises(OverBudget):
        run_report("003", "budget.parameters=100")
    assert not (tmp_path / "out").exists()


def test_ranks_by_importance_are_probed_first(run_report, tmp_path, monkeypatch):
    monkeypatch.setenv("RANKWISE_CACHE", str(tmp_path / "cache"))
    changes = ["adapter.targets=all", "adapter.rank=2", "adapter.allocate=by-importance", "adapter.bias=none"]
    found, _ = run_report("003", *changes, only=["grid-best"])
    run = Run.load(tmp_path / "out" / "grid-best-seed-0")
    assert run.recipe.adapter.allocate.scores
    assert found.outcomes[0].counted_here == run.facts.trained_parameters.counted


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux only")
def test_a_peak_of_memory_is_forgotten():
    held = bytearray(200_000_000)
    held[::4096] = b"x" * len(held[::4096])
    high = peak_resident_bytes()
    del held
    forget_peak()
    assert peak_resident_bytes() < high - 100_000_000


@pytest.mark.slow
@pytest.mark.parametrize("number", ["000", "001", "002", "003", "004"])
def test_a_report_runs_on_the_real_encoder(number, shared_data, tmp_path):
    report = find_report(number)
    small = ("base=minilm", "data.rows=100", "data.test_rows=100", "data.split.validation=50", "train.epochs=1")
    fast = ("train.precision=auto", "train.encoder_dropout=off")
    sources = {"ag_news": str(shared_data / "ag_news"), "imdb": str(shared_data / "imdb")}
    found = reproduce(Request(report, (*small, *fast), sources), tmp_path / "out")
    assert [one.left_out for one in found.outcomes] == [None] * len(report.experiments)
    assert set(found.comparisons) == {experiment.data for experiment in report.experiments}
