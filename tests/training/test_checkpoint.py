"""A checkpoint that has its name is whole, and puts training back where it was, even after a kill."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rankwise.errors import RunError, StorageError
from rankwise.recipe import Recipe
from rankwise.run.folder import Run
from rankwise.system.events import Events, read_events
from rankwise.system.files import to_json
from rankwise.training import checkpoint
from rankwise.training.checkpoint import Checkpoints
from rankwise.training.events import TrainingStarted
from rankwise.training.optimizers import Optimizers
from rankwise.training.parts import Parts
from rankwise.training.progress import Progress
from rankwise.workflows import train as pipeline

RANKWISE = [sys.executable, "-c", "from rankwise.cli.app import main; main()"]


@pytest.fixture
def trained(fit_for):
    return fit_for("train.evaluate_every=2", "train.keep=2", "train.epochs=1.6", "train.learning_rate=1e-9")


def test_the_newest_and_the_best_are_kept(trained):
    assert trained.fitted.best.step == 2
    assert trained.checkpoints.steps() == [2, 6, 8]


def test_with_one_checkpoint_kept_there_is_still_one_to_fall_back_to_whichever_is_the_best(fit_for):
    """Here each is better than the one before, so the best one alone would be no other than the newest."""
    how = ("train.evaluate_every=2", "train.keep=1", "train.select_by=log_loss", "train.max_steps=8")
    alone = fit_for(*how)
    history = [entry.log_loss for entry in alone.fitted.history]
    assert history == sorted(history, reverse=True), "each is the best so far"
    assert alone.checkpoints.steps() == [6, 8]
    for name in FILES:
        path = alone.checkpoints.folder / "step-8" / name
        path.write_bytes(path.read_bytes()[:-9])
        again = fit_for(*how, resume=True)
        assert [event.goes_on_from for event in again.heard("damage")] == [6]
        for key, weight in again.weights().items():
            assert torch.equal(weight, alone.weights()[key]), key


def test_where_the_newest_is_the_best_the_best_before_it_stays_for_the_one_before_it(trained):
    checkpoints, built = trained.checkpoints, trained.built
    progress = Progress(step=10, best=replace(trained.fitted.history[-1], step=10))
    checkpoints.save(built.classifier, Optimizers(built.classifier, built.recipe.train), Parts(), progress)
    assert checkpoints.steps() == [2, 8, 10]
    (checkpoints.folder / "step-10" / "state.json").unlink()
    resumption, (told,) = resumed(checkpoints, built)
    assert (resumption.step, told.goes_on_from) == (8, 8)


def test_what_the_disk_wrote_otherwise_is_told_before_an_older_one_goes(trained, monkeypatch):
    """A disk that keeps half of what it says it has, in one write."""
    checkpoints, built = trained.checkpoints, trained.built

    def cut(path, content):
        with open(path, "wb") as file:
            return file.write(content[: len(content) // 2])

    monkeypatch.setattr(Path, "write_bytes", cut)
    optimizers, before = Optimizers(built.classifier, built.recipe.train), checkpoints.steps()
    with pytest.raises(StorageError, match=r"step-10: just written, and sha256.json is damaged or missing; check the disk"):
        checkpoints.save(built.classifier, optimizers, Parts(), Progress(step=10))
    assert checkpoints.steps() == before


def test_a_checkpoint_holds_nothing_but_tensors_and_json(trained):
    names = {path.name for path in trained.checkpoints.folder.rglob("*") if path.is_file()}
    assert names == {"weights.safetensors", "optimizer.safetensors", "state.json", "sha256.json"}


def test_resuming_puts_weights_optimizer_generator_and_position_back(fit_for, built_for):
    trained = fit_for("train.optimizer=muon", "train.evaluate_every=4", "train.max_steps=4")
    state = torch.get_rng_state()
    fresh = built_for("bert", "train.optimizer=muon")
    optimizers = Optimizers(fresh.classifier, fresh.recipe.train)
    try:
        torch.manual_seed(123)
        progress = trained.checkpoints.resume(fresh.classifier, optimizers, Parts(), trained.checkpoints.newest())
        generator = torch.get_rng_state()
        again = Checkpoints(trained.checkpoints.folder.with_name("again"), keep=1, fingerprint="any")
        again.save(fresh.classifier, optimizers, Parts(), progress)
    finally:
        torch.set_rng_state(state)
    assert (progress.step, progress.epoch, progress.batch) == (4, 0, 4)
    assert not torch.equal(generator, state)
    for name in ("weights.safetensors", "optimizer.safetensors"):
        assert (again.folder / "step-4" / name).read_bytes() == (trained.checkpoints.folder / "step-4" / name).read_bytes()


def test_a_half_written_checkpoint_is_not_seen(trained, built_for):
    draft = trained.checkpoints.folder / ".step-99.draft"
    draft.mkdir()
    (draft / "weights.safetensors").write_bytes(b"half")
    fresh = built_for("bert")
    progress, _ = resumed(trained.checkpoints, fresh)
    assert progress.step == 8


def test_a_draft_left_by_a_kill_does_not_get_in_the_way_of_the_same_step(trained):
    draft = trained.checkpoints.folder / ".step-8.draft"
    draft.mkdir()
    (draft / "stray").write_bytes(b"half")
    classifier, spec = trained.built.classifier, trained.built.recipe.train
    progress = Progress(step=8, best=trained.fitted.history[-1])
    trained.checkpoints.save(classifier, Optimizers(classifier, spec), Parts(), progress)
    assert not draft.exists()
    assert not (trained.checkpoints.folder / "step-8" / "stray").exists()


def resumed(checkpoints, built):
    """(the progress that training goes on from, what was told of damage)."""
    heard = []
    optimizers = Optimizers(built.classifier, built.recipe.train)
    with torch.random.fork_rng():
        progress = checkpoints.resume(
            built.classifier, optimizers, Parts(), checkpoints.newest(), events=Events(heard.append)
        )
    return progress, heard


@pytest.fixture
def copied(trained, tmp_path):
    """A fresh copy of the checkpoints 2, which is the best, 6 and 8, each time it is called."""

    def copy():
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        shutil.copytree(trained.checkpoints.folder, tmp_path / "copy")
        return Checkpoints(tmp_path / "copy", keep=2, fingerprint=trained.checkpoints.fingerprint)

    return copy


FILES = ["weights.safetensors", "optimizer.safetensors", "state.json", "sha256.json"]


@pytest.mark.parametrize("name", FILES)
def test_any_flipped_bit_and_any_cut_of_a_checkpoint_makes_training_go_on_from_the_one_before(trained, copied, name):
    whole, rng = (trained.checkpoints.folder / "step-8" / name).read_bytes(), random.Random(0)
    places = [0, 1, len(whole) - 1, *rng.sample(range(len(whole)), 12)]
    for place in places:
        flipped = bytearray(whole)
        flipped[place] ^= 1 << rng.randrange(8)
        for damaged in (bytes(flipped), whole[:place]):
            if name == "sha256.json" and damaged.split() == whole.split():  # white space between the digests
                continue
            checkpoints = copied()
            (checkpoints.folder / "step-8" / name).write_bytes(damaged)
            progress, (told,) = resumed(checkpoints, trained.built)
            assert progress.step == 6, (place, len(damaged))
            assert str(told).startswith("the checkpoint step-8 is damaged (")
            assert str(told).endswith("), so training goes on from step 6")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("step", [2, 8])
def test_a_missing_file_is_damage_too_and_without_the_best_one_training_starts_again(trained, copied, name, step):
    checkpoints = copied()
    (checkpoints.folder / f"step-{step}" / name).unlink()
    progress, told = resumed(checkpoints, trained.built)
    if step == 8:
        assert progress.step == 6
        assert [event.goes_on_from for event in told] == [6]
    else:
        assert progress is None
        assert [event.checkpoint for event in told] == ["step-8", "step-6", "step-2"]
        assert str(told[0]).startswith("the checkpoint step-8 is damaged (the best one before it is step 2, whose ")
        assert str(told[0]).endswith("), so training starts again")


def test_what_comes_after_a_checkpoint_that_training_went_on_from_goes_with_the_next(trained, copied):
    checkpoints, built = copied(), trained.built
    (checkpoints.folder / "step-8" / "state.json").unlink()
    progress, _ = resumed(checkpoints, built)
    progress.step = 7
    checkpoints.save(built.classifier, Optimizers(built.classifier, built.recipe.train), Parts(), progress)
    assert checkpoints.steps() == [2, 6, 7]


def test_training_that_goes_on_after_damage_ends_in_the_same_weights(fit_for):
    how = ("train.evaluate_every=2", "train.keep=2", "train.epochs=1.6")
    alone = fit_for(*how)
    for name in FILES:
        path = alone.checkpoints.folder / "step-8" / name
        path.write_bytes(path.read_bytes()[:-9])
        again = fit_for(*how, resume=True)
        assert [event.goes_on_from for event in again.heard("damage")] == [6]
        assert again.fitted.best.step == alone.fitted.best.step
        for key, weight in again.weights().items():
            assert torch.equal(weight, alone.weights()[key]), key


def test_a_folder_that_only_looks_like_a_checkpoint_is_none(trained, copied):
    checkpoints = copied()
    (checkpoints.folder / "step-x").mkdir()
    (checkpoints.folder / "step-9").write_bytes(b"")
    assert checkpoints.steps() == [2, 6, 8]


def test_a_checkpoint_of_another_recipe_is_refused(trained):
    other = Checkpoints(trained.checkpoints.folder, keep=1, fingerprint="another")
    with pytest.raises(RunError, match="step-8 was made by another recipe or other data"):
        resumed(other, trained.built)


def test_a_checkpoint_of_other_tensors_is_refused(trained, built_for):
    with pytest.raises(RunError, match="its tensors are not the ones that train now"):
        trained.checkpoints.load_weights(built_for("bert", "adapter.bias=all").classifier, 8)


def test_an_empty_folder_has_nothing_to_resume(built_for, tmp_path):
    assert resumed(Checkpoints(tmp_path / "none", keep=1, fingerprint="any"), built_for("bert")) == (None, [])


def test_what_training_goes_on_from_is_read_once_before_it_does(fit_for, monkeypatch):
    how = ("train.evaluate_every=2", "train.max_steps=4")
    fit_for(*how)
    looked, damage = [], checkpoint.damage
    monkeypatch.setattr(checkpoint, "damage", lambda folder: looked.append(folder.name) or damage(folder))
    best = fit_for(*how, resume=True).fitted.best.step
    assert Counter(looked) == Counter(["step-4", *[f"step-{best}"] * (best != 4), f"step-{best}"]), "and the best as it ends"


# ---------------------------------------------------------------------------------------------------------------- kills


@pytest.mark.slow
def test_a_training_killed_and_resumed_writes_the_same_adapter_as_one_left_alone(recipe_for, tmp_path):
    recipe = recipe_for(
        "bert",
        "train.epochs=20",
        "train.evaluate_every=5",
        "train.log_every=1",
        "train.threads=1",
        "evaluate.baselines=false",
    )
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml(), "utf-8")
    command = [*RANKWISE, "train", "recipe.yaml", "--out", "killed", "--json"]
    killed = tmp_path / "killed"
    child = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        wait_for_step(killed / "checkpoints", 20, child)
        child.send_signal(signal.SIGKILL)
        assert child.wait(30) == -signal.SIGKILL, "it was still training"
    finally:
        child.kill()
        child.communicate()

    *_, last, _ = (killed / "events.jsonl").read_text("utf-8").split("\n")  # what follows the last line's end may be cut
    assert json.loads(last)["event"] in ("step", "evaluation")
    assert not (killed / "manifest.json").exists()
    with pytest.raises(RunError, match="its training did not finish: type the same train command with --resume"):
        Run.load(killed)

    done = subprocess.run([*command, "--resume"], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    first, second = read_events(killed / "events.jsonl", TrainingStarted)
    assert first.step == 0
    assert 20 <= second.step < second.total == 100
    alone = pipeline.train(Recipe.load(tmp_path / "recipe.yaml"), tmp_path / "alone")
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert (killed / name).read_bytes() == (alone.folder / name).read_bytes(), name
    assert without_seconds(json.loads(done.stdout)["scores"]) == without_seconds(to_json(alone.scores))


def wait_for_step(folder: Path, step: int, child: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert child.poll() is None, child.stderr.read() if child.stderr else ""
        if any(int(path.name.removeprefix("step-")) >= step for path in folder.glob("step-*")):
            return
        time.sleep(0.01)
    pytest.fail(f"no checkpoint of step {step} within two minutes")


def without_seconds(tree):
    if isinstance(tree, dict):
        return {key: without_seconds(value) for key, value in tree.items() if "seconds" not in key}
    return [without_seconds(value) for value in tree] if isinstance(tree, list) else tree
