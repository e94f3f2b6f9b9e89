"""One call from a recipe to a run folder; what stands in the way is refused by name, and nobody's work is overwritten."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import CLASSES, Rows, separable
from rankwise.data.labelled import read_labelled
from rankwise.encoders.base import KNOWN, Known
from rankwise.errors import DataError, MissingExtra, OverBudget, OverTime, RunError, TrainingError
from rankwise.run.folder import Run
from rankwise.system.files import to_json
from rankwise.workflows.train import train, train_on

pytestmark = pytest.mark.long

QUICK = "train.max_steps=2"


@pytest.fixture
def quick(recipe_for):
    """A recipe of two updates."""
    return lambda *overrides: recipe_for("bert", QUICK, *overrides)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


# ------------------------------------------------------------------------------------------------------------- a whole run


def test_a_run_tells_its_story_in_order(quick, tmp_path):
    heard = []
    train(quick(), tmp_path / "run", listeners=[lambda event: heard.append(event.kind)])
    in_order = [kind for kind in dict.fromkeys(heard) if kind not in ("tick", "work")]
    assert in_order == ["plan", "machine", "data", "forecast", "start", "step", "evaluation", "end", "scores"]
    assert heard.count("scores") == 1, "the test split is scored once"


def test_scores_stand_beside_the_majority_and_a_linear_model(quick, tmp_path):
    recipe = quick()
    scores = train(recipe, tmp_path / "run").scores
    test = Counter(read_labelled(recipe.data).test.labels)
    assert scores.baselines["majority class"].accuracy.value == pytest.approx(max(test.values()) / 12)
    assert scores.baselines["TF-IDF + logistic"].accuracy.value >= 0.9
    for baseline in scores.baselines.values():
        difference = scores.test.accuracy.value - baseline.accuracy.value
        assert baseline.difference.value == pytest.approx(difference)


def test_the_same_recipe_gives_the_same_adapter_and_the_same_scores(quick, tmp_path):
    one, two = (train(quick(), tmp_path / name) for name in ("one", "two"))
    assert contents(one.folder)["adapter_model.safetensors"] == contents(two.folder)["adapter_model.safetensors"]
    assert one.scores.test == two.scores.test


def test_checkpoints_are_gone_from_a_finished_run_unless_more_than_one_is_kept(quick, tmp_path):
    assert not (train(quick(), tmp_path / "one").folder / "checkpoints").exists()
    kept = train(quick("train.keep=2", "train.evaluate_every=1"), tmp_path / "two").folder
    assert {path.name for path in (kept / "checkpoints").iterdir()} == {"step-1", "step-2"}


def test_a_run_without_a_folder_takes_the_next_free_one(quick, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [str(train(quick()).folder) for _ in range(2)] == ["runs/tiny", "runs/tiny-2"]


def test_a_recipe_file_and_overrides_do(quick, tmp_path):
    (tmp_path / "recipe.yaml").write_text(quick().to_yaml(), "utf-8")
    run = train(tmp_path / "recipe.yaml", tmp_path / "run", overrides=["train.max_steps=1"])
    assert run.facts.steps == 1


# ----------------------------------------------------------------------------------------------------- in the way


def test_a_folder_with_something_in_it_is_refused(quick, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work", "utf-8")
    with pytest.raises(RunError, match=r"is not empty; type --resume to go on with it, --overwrite"):
        train(quick(), tmp_path)
    assert contents(tmp_path) == {"thesis.txt": b"years of work"}


def test_a_file_in_place_of_a_folder_is_refused(quick, tmp_path):
    (tmp_path / "run").write_text("a file", "utf-8")
    with pytest.raises(RunError, match="is a file; give a folder"):
        train(quick(), tmp_path / "run")


@pytest.mark.parametrize("name", ["thesis.txt", "manifest.json", "started.json"])
def test_overwrite_does_not_empty_a_folder_that_holds_no_run(quick, tmp_path, name):
    before = {name: b'{"name": "a web page\'s manifest"}', "more.txt": b"years of work"}
    for file, content in before.items():
        (tmp_path / file).write_bytes(content)
    with pytest.raises(RunError, match="holds no run of rankwise, so --overwrite won't empty it"):
        train(quick(), tmp_path, existing="overwrite")
    assert contents(tmp_path) == before


def test_resume_does_not_train_into_a_folder_that_holds_no_run(quick, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work", "utf-8")
    with pytest.raises(RunError, match="holds no run to resume"):
        train(quick(), tmp_path, existing="resume")
    assert contents(tmp_path) == {"thesis.txt": b"years of work"}


def test_overwrite_replaces_a_run_finished_or_not(quick, tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(quick(), folder, listeners=[stop_at("start")])
    (folder / "left-over.txt").write_text("of the first", "utf-8")
    assert train(quick(), folder, existing="overwrite").facts.steps == 2
    assert train(quick("train.max_steps=1"), folder, existing="overwrite").facts.steps == 1
    assert not (folder / "left-over.txt").exists()


def stop_at(kind):
    def listener(event):
        if event.kind == kind:
            raise KeyboardInterrupt

    return listener


# ------------------------------------------------------------------------------------------------------------- resuming


def test_a_finished_run_resumed_returns_at_once(quick, tmp_path):
    first = train(quick(), tmp_path / "run")
    before, heard = contents(first.folder), []
    again = train(quick(), tmp_path / "run", existing="resume", listeners=[lambda event: heard.append(event.kind)])
    assert heard == ["complete"]
    assert contents(again.folder) == before
    assert again.scores == first.scores


def test_a_run_can_be_resumed_from_another_folder(quick, tmp_path, monkeypatch):
    heard = []
    train(quick(), tmp_path / "run")
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "elsewhere" / "deep")
    train(quick(), tmp_path / "run", existing="resume", listeners=[lambda event: heard.append(event.kind)])
    assert heard == ["complete"]


def test_a_stopped_run_resumed_ends_as_one_left_alone(quick, tmp_path):
    recipe = quick("train.max_steps=6", "train.evaluate_every=2")

    def stop(event):
        if event.kind in ("tick", "step") and event.step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "stopped", listeners=[stop])
    resumed, alone = train(recipe, tmp_path / "stopped", existing="resume"), train(recipe, tmp_path / "alone")
    assert contents(resumed.folder)["adapter_model.safetensors"] == contents(alone.folder)["adapter_model.safetensors"]
    assert resumed.scores.test == alone.scores.test
    assert not (resumed.folder / "started.json").exists()


def test_a_stopped_run_goes_on_wherever_its_data_lies_now(quick, data_file, tmp_path, monkeypatch):
    recipe = quick("train.max_steps=6", "train.evaluate_every=2")
    monkeypatch.chdir(tmp_path)
    shutil.copy(data_file, "own.csv")
    with pytest.raises(KeyboardInterrupt):
        train(recipe.with_overrides(["data.source=own.csv"]), "run", listeners=[stop_at("evaluation")])
    shutil.move("own.csv", "moved.csv")
    heard = []
    listener = [lambda event: heard.append((event.kind, getattr(event, "step", None)))]
    train(recipe.with_overrides(["data.source=./moved.csv"]), "run", existing="resume", listeners=listener)
    assert ("start", 2) in heard, "it went on from its checkpoint"


@pytest.mark.parametrize("where", ["_check_reload", "manifest.write_manifest"])
def test_a_run_that_is_stopped_while_it_is_saved_trains_nothing_again(quick, tmp_path, monkeypatch, where):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(f"rankwise.run.saving.{where}", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(quick(), tmp_path / "run")
    heard = []
    run = train(quick(), tmp_path / "run", existing="resume", listeners=[lambda event: heard.append(event.kind)])
    assert not {"tick", "step", "evaluation"} & set(heard)
    assert {path.name for path in run.folder.iterdir()}.isdisjoint({"checkpoints", "started.json"})
    assert Run.load(run.folder).facts.steps == 2


def test_a_start_that_was_stopped_before_it_was_written_is_no_run(quick, tmp_path):
    (tmp_path / "started.json.draft").write_text("{", "utf-8")
    assert train(quick(), tmp_path, existing="resume").facts.steps == 2


@pytest.mark.parametrize("finished", [False, True])
def test_resuming_with_another_recipe_lists_what_changed(quick, tmp_path, finished):
    if finished:
        train(quick(), tmp_path / "run")
    else:
        with pytest.raises(KeyboardInterrupt):
            train(quick(), tmp_path / "run", listeners=[stop_at("data")])
    with pytest.raises(RunError) as caught:
        train(quick("train.epochs=3", "adapter.rank=4", "train.optimizer=adam"), tmp_path / "run", existing="resume")
    lines = [line.strip() for line in str(caught.value).splitlines()]
    assert lines[1:-1] == ["adapter.rank: 2 → 4", "train.epochs: 2 → 3", "train.optimizer.name: adamw → adam"]


@pytest.mark.parametrize("finished", [False, True])
def test_resuming_with_other_data_says_so(quick, data_file, tmp_path, finished):
    own = tmp_path / "own.csv"
    shutil.copy(data_file, own)
    if finished:
        train(quick(f"data.source={own}"), tmp_path / "run")
    else:
        with pytest.raises(KeyboardInterrupt):
            train(quick(f"data.source={own}"), tmp_path / "run", listeners=[stop_at("data")])
    own.write_text(own.read_text("utf-8").replace("row00,", "row00 more,"), "utf-8")
    with pytest.raises(RunError, match="the texts or labels of the data"):
        train(quick(f"data.source={own}"), tmp_path / "run", existing="resume")


def test_another_name_or_summary_is_no_other_recipe(quick, tmp_path):
    first = train(quick(), tmp_path / "run")
    again = train(quick("summary=now with a summary"), tmp_path / "run", existing="resume")
    assert again.scores == first.scores


# ---------------------------------------------------------------------------------------------------------- Python lists


@pytest.mark.parametrize("kind", [list, tuple, np.array])
def test_training_on_python_sequences(quick, rows, tmp_path, kind):
    run = train(quick(), tmp_path / "run", texts=rows.texts, labels=kind(rows.labels))
    assert run.preprocessing.classes == CLASSES
    assert run.predict(["apple"])[0].label in CLASSES


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        ((1, 2, 3), ("1", "2", "3")),
        ((-1, 0, 10), ("-1", "0", "10")),
        ((False, True, True), ("false", "true")),
        ((0.0, 1.0, 2.0), ("0", "1", "2")),
    ],
)
@pytest.mark.parametrize("rungs", ["[]", "[tfidf]"])
def test_labels_come_back_in_the_type_they_were_given_in(quick, rows, tmp_path, names, classes, rungs):
    labels = [names[CLASSES.index(label)] for label in rows.labels]
    recipe = quick("head.kind=pooled", "head.start=fitted", f"rungs={rungs}")
    train(recipe, tmp_path / "run", texts=rows.texts, labels=labels)
    run = Run.load(tmp_path / "run")
    assert run.preprocessing.classes == classes
    (prediction,) = run.predict(["apple pear"])
    assert type(prediction.label) is type(names[0])
    assert prediction.label in names
    assert set(prediction.probabilities) == set(names)
    assert prediction.score == prediction.probabilities[prediction.label]


def test_labels_of_a_tensor_are_whole_numbers(quick, rows, tmp_path):
    numbers = torch.tensor([CLASSES.index(label) for label in rows.labels])
    run = train(quick(), tmp_path / "run", texts=np.array(rows.texts), labels=numbers)
    assert {type(label) for label in run.preprocessing.labels} == {int}


def test_a_frame_is_trained_on_and_predicted_by_the_columns_that_the_recipe_names(quick, rows, tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"id": range(len(rows.texts)), "wording": rows.texts, "more": "", "queue": rows.labels})
    recipe = quick("data.text=[wording, more]")
    run = train(recipe, tmp_path / "run", texts=frame, labels=frame["queue"])
    assert run.predict(frame) == run.predict(rows.texts) == list(run.predictor.stream(frame))
    assert len(run.predict(frame.iloc[:4])) == 4
    with pytest.raises(DataError, match=r"columns id, wording; expected the text columns wording \+ more"):
        run.predict(frame[["id", "wording"]])


def test_what_becomes_of_a_training_is_told_unless_it_is_not_wanted(quick, tmp_path, capsys):
    train(quick(), tmp_path / "told")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "rankwise: training: 2 updates on 36 rows\n" in printed.err
    assert "test accuracy" in printed.err
    train(quick(), tmp_path / "quiet", progress=False)
    assert capsys.readouterr() == ("", "")


def test_a_run_that_keeps_no_texts_has_none_in_any_of_its_files(quick, rows, tmp_path):
    loud, quiet = (train(quick(f"evaluate.keep_texts={keep}"), tmp_path / keep, progress=False) for keep in ("true", "false"))
    assert loud.scores.test.mistakes
    assert [mistake.text for mistake in quiet.scores.test.mistakes] == [None] * len(loud.scores.test.mistakes)
    assert [mistake.row for mistake in quiet.scores.test.mistakes] == [mistake.row for mistake in loud.scores.test.mistakes]
    kept = b"".join(path.read_bytes() for path in quiet.folder.rglob("*") if path.is_file())
    assert [text for text in rows.texts if text.encode() in kept] == []


def test_data_that_the_caller_has_read_is_not_read_again(quick, rows, tmp_path):
    path = rows.write(tmp_path / "words.csv")
    recipe = quick(f"data.source={path}")
    labelled = read_labelled(recipe.data)
    alone = train(recipe, tmp_path / "alone")
    path.unlink()
    assert train_on(labelled, recipe, tmp_path / "run").facts.data_sha256 == alone.facts.data_sha256


def test_texts_without_labels_are_refused(quick, rows, tmp_path):
    with pytest.raises(DataError, match="label"):
        train(quick(), tmp_path / "run", texts=rows.texts)
    assert not (tmp_path / "run").exists()


# --------------------------------------------------------------------------------------------- refused before anything


def test_a_plan_over_budget_is_refused_before_a_folder_is_made(quick, tmp_path):
    with pytest.raises(OverBudget):
        train(quick("budget.parameters=100"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_arithmetic_that_a_cpu_lacks_is_refused_before_a_folder_is_made(quick, tmp_path):
    with pytest.raises(TrainingError, match="fp16"):
        train(quick("train.precision=fp16"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("tracker", ["tensorboard", "mlflow", "trackio", "wandb"])
def test_a_tracker_that_is_not_installed_names_its_extra(quick, tmp_path, tracker):
    if find_spec(tracker) is not None:
        pytest.skip(f"{tracker} is installed here")
    with pytest.raises(MissingExtra, match=rf"pip install .*\[{tracker}\]'"):
        train(quick(f"train.trackers=[{tracker}]"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


# --------------------------------------------------------------------------------------------------------------- leakage


def leaky(folder, rows, share):
    """Train, validation and test files, of whose 40 test rows a share is also in training."""
    leaked = round(40 * share)
    fresh = separable(100, seed=9)
    Rows(rows.texts, rows.labels).write(folder / "train.csv")
    Rows(fresh.texts[:20], fresh.labels[:20]).write(folder / "validation.csv")
    texts = [*rows.texts[:leaked], *(f"{text} fresh" for text in fresh.texts[20 : 60 - leaked])]
    Rows(texts, [*rows.labels[:leaked], *fresh.labels[20 : 60 - leaked]]).write(folder / "test.csv")
    return f"data.source={folder}"


def test_many_leaked_test_rows_are_refused(quick, rows, tmp_path):
    with pytest.raises(DataError, match=r"3 of 40 test texts \(7\.5%\) are also in training.*data\.leakage=allow"):
        train(quick(leaky(tmp_path, rows, 0.075)), tmp_path / "run")


def test_leaked_rows_that_are_allowed_have_a_clean_score_beside_them(quick, rows, tmp_path):
    run = train(quick(leaky(tmp_path, rows, 0.5), "data.leakage=allow"), tmp_path / "run")
    clean = run.scores.test_not_in_training
    texts = read_labelled(run_data(run, tmp_path)).test
    right = [p.label == label for p, label in zip(run.predict(texts.texts[20:]), texts.labels[20:], strict=True)]
    assert clean.accuracy.value == pytest.approx(np.mean(right))
    assert any("20 of 40 test texts" in note for note in run.facts.notes)


def run_data(run, folder):
    return run.recipe.data.model_copy(update={"source": str(folder)})


def test_few_leaked_test_rows_are_told(quick, rows, tmp_path):
    run = train(quick(leaky(tmp_path, rows, 0.05)), tmp_path / "run")
    assert any("2 of 40 test texts (5.0%) are also in training" in note for note in run.facts.notes)
    assert run.scores.test_not_in_training is not None


def test_without_leaks_there_is_one_score(quick, tmp_path):
    assert train(quick(), tmp_path / "run").scores.test_not_in_training is None


def test_scores_on_disk_are_the_scores_returned(quick, tmp_path):
    run = train(quick(), tmp_path / "run")
    assert json.loads((run.folder / "scores.json").read_text("utf-8")) == to_json(run.scores)
    assert Run.load(run.folder).scores == run.scores


def test_tensorboard_gets_the_losses_and_the_scores(quick, tmp_path):
    pytest.importorskip("tensorboard", reason="the extra rankwise[tensorboard] is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = train(quick("train.trackers=[tensorboard]", "train.log_every=2"), tmp_path / "run")
    (written,) = {path.parent for path in run.folder.rglob("events.out.tfevents.*") if path.parent.name == "rankwise"}
    reader = EventAccumulator(str(written))
    reader.Reload()
    assert {"step/loss", "step/rate", "evaluation/accuracy"} <= set(reader.Tags()["scalars"])
    assert reader.Scalars("evaluation/accuracy")[-1].step == run.facts.steps
    assert reader.Scalars("evaluation/accuracy")[-1].value == pytest.approx(run.scores.history[-1].accuracy)


def test_minutes_of_which_a_slow_start_leaves_too_few_are_refused_before_anything_is_measured_or_trained(
    recipe_for, tmp_path
):
    recipe, heard = recipe_for("bert", "budget.minutes=1"), []
    labelled, slow = read_labelled(recipe.data), time.monotonic() - 75
    with pytest.raises(OverTime, match=r"budget\.minutes is 1, but starting, .* updates, .*; type --minutes 1\."):
        train_on(labelled, recipe, tmp_path / "run", listeners=[heard.append], started=slow)
    assert not {"data", "forecast", "start"} & {event.kind for event in heard}


def test_what_is_over_is_not_counted_twice(quick, tmp_path):
    recipe = quick("budget.minutes=1")
    run = train_on(read_labelled(recipe.data), recipe, tmp_path / "run", started=time.monotonic() - 45)
    assert run.facts.steps == 2


def test_a_slow_start_refuses_no_resume_and_no_ladder_whose_first_rung_makes_no_update(quick, tmp_path, monkeypatch):
    recipe = quick("budget.minutes=1")
    labelled = read_labelled(recipe.data)
    with monkeypatch.context() as patched:
        patched.setattr("rankwise.workflows.train.save", raise_interrupt)
        with pytest.raises(KeyboardInterrupt):
            train_on(labelled, recipe, tmp_path / "run")
    late = time.monotonic() - 75
    assert train_on(labelled, recipe, tmp_path / "run", existing="resume", started=late).facts.steps == 2
    climb = quick("budget.minutes=1", "rungs=[features,all]", "head.kind=pooled", "head.start=fitted")
    labelled = read_labelled(climb.data, by_folds=True)
    run = train_on(labelled, climb, tmp_path / "climb", started=time.monotonic() - 75)
    assert [rung.rung for rung in run.facts.ladder.rungs] == ["features"]


def raise_interrupt(*_, **__):
    raise KeyboardInterrupt


@pytest.mark.parametrize(("rungs", "warned"), [(["features"], False), (["features", "all"], True), ([], True)])
def test_rows_fewer_than_a_batch_are_told_where_updates_are_made_of_them(quick, tmp_path, rungs, warned):
    heard = []
    how = ("head.kind=pooled", "head.start=fitted", f"rungs=[{','.join(rungs)}]", "train.batch_size=200")
    train(quick(*how), tmp_path / "run", listeners=[heard.append], progress=False)
    (data,) = (event for event in heard if event.kind == "data")
    assert any("fewer than train.batch_size" in warning for warning in data.warnings) is warned


def test_a_script_that_the_base_was_not_published_for_is_told(quick, tmp_path, monkeypatch):
    known = separable(36, seed=1)
    Rows([f"{text} {'река ' * 200}" for text in known.texts], known.labels).write(tmp_path / "rivers.csv")
    recipe = quick(f"data.source={tmp_path / 'rivers.csv'}", "train.max_steps=1")
    config = json.loads((Path(recipe.base) / "config.json").read_text("utf-8"))
    monkeypatch.setitem(KNOWN, recipe.base, Known("somebody/english", config))
    heard = []
    train(recipe, tmp_path / "run", listeners=[heard.append], progress=False)
    (data,) = (event for event in heard if event.kind == "data")
    (warning,) = (line for line in data.warnings if "Cyrillic" in line)
    assert warning.startswith("12 of 12 training texts are mostly Cyrillic, in which none of the languages that ")
    assert warning.endswith("type: rankwise plan --suggest --data FILE")
