"""An update is what torch's own mean loss would make it, however it is cut up; the best weights stay; a cut run goes on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import cross_entropy
from transformers import AutoTokenizer

from conftest import Rows, prepared, save_tiny, separable
from rankwise.data.batches import Padding, collate, training_batches
from rankwise.errors import NonFiniteLoss, TrainingError
from rankwise.model.classifier import to_tensors
from rankwise.model.load import load_tokenizer
from rankwise.planning.forecast import evaluations
from rankwise.recipe import TrainSpec
from rankwise.system.device import Device
from rankwise.training import optimizers
from rankwise.training.optimizers import Optimizers, build_optimizers

PLAIN = ["train.optimizer=sgd", "train.schedule=constant", "train.clip_norm=null", "train.learning_rate=0.5"]
WEIGHTED = ["train.class_weights={fruit: 3, metal: 1, river: 0.25}"]
LOSSES = {
    "plain": [],
    "smoothed": ["train.label_smoothing=0.2"],
    "weighted": WEIGHTED,
    "weighted and smoothed": ["train.label_smoothing=0.2", *WEIGHTED],
    "focal": ["train.focal=2"],
    "weighted and focal": ["train.focal=2", *WEIGHTED],
}


@pytest.fixture(scope="module")
def still(tmp_path_factory):
    """A BERT without any dropout, so that two passes over the same rows agree."""
    folder = tmp_path_factory.mktemp("still") / "tiny-still"
    return f"base={save_tiny('bert', folder, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)}"


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def distance(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    return max(float((one[name] - other[name]).abs().max()) for name in one)


# -------------------------------------------------------------------------------------------------------------- updates


@pytest.mark.parametrize("loss", LOSSES)
def test_one_update_follows_the_gradient_of_torchs_own_mean_loss(fit_for, built_for, still, loss):
    settings = [still, *PLAIN, *LOSSES[loss], "train.max_steps=1"]
    trained = fit_for(*settings)

    oracle = built_for("bert", *settings)
    spec = oracle.recipe.train
    data = prepared(oracle.recipe)
    rows = training_batches(data.train.tokens.lengths, spec.batch_size, seed=spec.seed, epoch=0)[0]
    inputs = to_tensors(collate(data.train.tokens, rows, Padding.of(load_tokenizer(oracle.base))))
    weight = torch.tensor([3, 1, 0.25]) if "weighted" in loss else None
    logits = oracle.classifier.model.train()(**inputs).logits
    labels = torch.from_numpy(data.train.labels[rows])
    if spec.focal:
        doubt = (1 - logits.softmax(-1).gather(1, labels[:, None]).squeeze(1)) ** spec.focal
        share = torch.ones(len(rows)) if weight is None else weight[labels]
        (share * doubt * cross_entropy(logits, labels, reduction="none")).sum().div(share.sum()).backward()
    else:
        cross_entropy(logits, labels, weight=weight, label_smoothing=spec.label_smoothing).backward()
    expected = {
        name: (weight - spec.learning_rate * weight.grad).detach() for name, weight in oracle.classifier.trainable().items()
    }
    assert distance(trained.weights(), expected) < 1e-6


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("micro", [1, 3])
def test_micro_batches_give_the_weights_of_whole_batches(fit_for, still, loss, micro):
    settings = [still, *PLAIN, *LOSSES[loss], "train.epochs=1", "train.learning_rate=0.1"]  # 36 rows: 8 + 8 + 8 + 8 + 4
    whole = fit_for(*settings, folder="whole")
    cut = fit_for(*settings, f"train.micro_batch_size={micro}", folder="cut")
    start = fit_for(*settings, "train.learning_rate=1e-30", folder="start")
    assert distance(whole.weights(), start.weights()) > 0.02, "the weights moved"
    assert distance(whole.weights(), cut.weights()) < 1e-5
    assert [event.loss for event in whole.heard("step")] == pytest.approx(
        [event.loss for event in cut.heard("step")], abs=1e-5
    )


def test_clipping_caps_the_length_of_an_update(fit_for, still):
    settings = [still, *PLAIN, "train.max_steps=1", "train.log_every=1"]
    start = fit_for(*settings, "train.learning_rate=1e-30", folder="start").weights()
    clipped = fit_for(*settings, "train.clip_norm=0.01", folder="clipped")
    moved = sum(float((weight - start[name]).square().sum()) for name, weight in clipped.weights().items()) ** 0.5
    assert clipped.heard("step")[0].norm > 0.1, "the gradient itself is longer"
    assert moved == pytest.approx(0.5 * 0.01, rel=1e-3)


def test_training_learns_separable_classes(fit_for):
    trained = fit_for("train.epochs=12", "adapter.rank=8", "train.warmup=10%", family="distilbert")
    assert trained.fitted.best.accuracy >= 0.9
    assert trained.fitted.history[0].train_loss > 2 * trained.fitted.history[-1].train_loss


def test_frozen_weights_stay_to_the_bit(fit_for, built_for):
    def frozen(classifier):
        return {name: weight.clone() for name, weight in classifier.model.named_parameters() if not weight.requires_grad}

    before = frozen(built_for("bert").classifier)
    assert same(frozen(fit_for("train.epochs=1").built.classifier), before)


# ----------------------------------------------------------------------------------------------------- when it goes wrong


def poisoned(tmp_path) -> list[str]:
    """A base whose embedding of 'chrome' is so large that its norm overflows, and rows of which one says 'chrome'."""
    folder = save_tiny("bert", tmp_path / "poisoned")
    tensors = load_file(folder / "model.safetensors")
    chrome = AutoTokenizer.from_pretrained(folder).convert_tokens_to_ids("chrome")
    tensors["embeddings.word_embeddings.weight"][chrome] = torch.finfo(torch.float32).max
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    clean = separable(60, seed=3)
    texts = [text.replace("chrome", "iron") for text in clean.texts]
    texts[7] += " chrome"
    Rows(texts, clean.labels).write(tmp_path / "train.csv")
    for word, split in (("apple", "validation"), ("pear", "test")):
        Rows([f"{word} {place}" for place in range(12)], clean.labels[:12]).write(tmp_path / f"{split}.csv")
    return [f"base={folder}", f"data.source={tmp_path}"]


def test_a_loss_that_is_not_finite_stops_before_the_update_and_names_step_and_rows(fit_for, tmp_path):
    snapshots: list[dict[str, torch.Tensor]] = []
    built = []

    def listener(event):
        if event.kind in ("tick", "step"):
            snapshots.append({name: weight.detach().clone() for name, weight in built[0].classifier.trainable().items()})

    with pytest.raises(NonFiniteLoss) as caught:
        fit_for(*poisoned(tmp_path), "train.epochs=1", "train.seed=1", listener=listener, on_built=built.append)
    spec = built[0].recipe.train
    data = prepared(built[0].recipe)
    batches = training_batches(data.train.tokens.lengths, spec.batch_size, seed=spec.seed, epoch=0)
    bad = next(place for place, rows in enumerate(batches) if 7 in rows)
    assert bad > 0, "some updates were made before"
    assert f"at update {bad + 1}," in str(caught.value)
    assert f"training rows {[int(row) + 1 for row in np.sort(batches[bad])]}" in str(caught.value)
    assert len(snapshots) == bad
    assert same(snapshots[-1], {name: weight.detach() for name, weight in built[0].classifier.trainable().items()})


def test_weights_that_are_spoilt_just_before_an_evaluation_are_told_as_divergence(fit_for):
    built = []

    def spoil(event):
        if event.kind == "step" and event.step == 5:
            for weight in built[0].classifier.trainable().values():
                weight.data.fill_(float("nan"))

    with pytest.raises(NonFiniteLoss, match="no longer finite; lower"):
        fit_for("train.log_every=1", "train.evaluate_every=5", listener=spoil, on_built=built.append)


def test_fp16_is_refused_on_a_cpu(fit_for):
    with pytest.raises(TrainingError, match="fp16, which needs a GPU; on a CPU use fp32 or bf16"):
        fit_for("train.precision=fp16")


def test_fp32_is_allowed_everywhere():
    assert Device.cpu().resolve_precision("fp32") == "fp32"


def test_bf16_trains_weights_that_stay_in_fp32(fit_for):
    try:
        Device.cpu().resolve_precision("bf16")
    except TrainingError as refusal:
        pytest.skip(str(refusal))
    weights = fit_for("train.precision=bf16", "train.epochs=1").weights().values()
    assert all(weight.dtype == torch.float32 and bool(weight.isfinite().all()) for weight in weights)


# ------------------------------------------------------------------------------------------------- evaluating and choosing


def test_the_best_checkpoints_weights_are_restored(fit_for):
    trained = fit_for("train.evaluate_every=2", "train.keep=50", "train.epochs=3", "train.learning_rate=0.05")
    best, last = trained.fitted.best.step, trained.fitted.steps
    assert best < last, "the last checkpoint is not the best, so that restoring matters"
    kept = {step: load_file(trained.checkpoints.folder / f"step-{step}" / "weights.safetensors") for step in (best, last)}
    assert same(trained.weights(), kept[best])
    assert not same(trained.weights(), kept[last])
    assert trained.fitted.best.accuracy == max(entry.accuracy for entry in trained.fitted.history)


def test_choosing_by_log_loss_takes_the_smallest(fit_for):
    trained = fit_for("train.select_by=log_loss", "train.evaluate_every=2", "train.learning_rate=0.05", "train.epochs=3")
    found = {entry.step: entry.log_loss for entry in trained.fitted.history}
    assert found[trained.fitted.best.step] == min(found.values())
    assert trained.fitted.best.step not in (min(found), max(found)), "neither the first nor the last would do"


def test_early_stopping_waits_for_its_patience(fit_for):
    trained = fit_for(
        "train.learning_rate=1e-9", "train.early_stop={patience: 3}", "train.evaluate_every=1", "train.epochs=4"
    )
    assert trained.fitted.stopped_early
    assert [entry.step for entry in trained.fitted.history] == [1, 2, 3, 4], "the first is the best, three are not better"


def test_a_plateau_halves_the_rate(fit_for):
    trained = fit_for(
        "train.learning_rate=1e-9",
        "train.schedule=reduce-on-plateau",
        "train.evaluate_every=2",
        "train.log_every=1",
        "train.max_steps=8",
        "train.rates.head=1e-9",
    )
    rates = [event.rate / 1e-9 for event in trained.heard("step")]
    assert rates == pytest.approx([1, 1, 1, 1, 0.5, 0.5, 0.25, 0.25])


@pytest.mark.parametrize(
    ("every", "expected"), [("3", [3, 6, 9, 10]), ("epoch", [5, 10]), ("end", [10]), ("25%", [2, 4, 6, 8, 10]), ("400", [10])]
)
def test_evaluations_come_when_asked_and_always_at_the_end(fit_for, every, expected):
    trained = fit_for(f"train.evaluate_every={every}")
    assert [entry.step for entry in trained.fitted.history] == expected
    assert [event.step for event in trained.heard("evaluation")] == expected


@pytest.mark.parametrize(
    ("epochs", "max_steps", "expected"), [(2, None, 14), (0.5, None, 4), (2, 9, 9), (1, 99, 7), (0.01, None, 1)]
)
def test_updates_are_counted_from_epochs_and_capped_by_max_steps(epochs, max_steps, expected):
    spec = TrainSpec(epochs=epochs, max_steps=max_steps, batch_size=8)
    assert spec.steps_per_epoch(50) == 7
    assert spec.planned_steps(50) == expected
    assert evaluations(expected, spec.evaluation_interval(50)) >= 1


def test_few_rows_get_the_least_updates_a_whole_schedule_and_an_evaluation_for_each_of_the_recipes_epochs(fit_for):
    trained = fit_for("train.epochs=2", "train.min_updates=12", "train.log_every=1")  # 36 rows: 5 updates an epoch
    assert trained.heard("start")[0].epochs == 2.4
    assert trained.fitted.steps == 12
    assert [entry.step for entry in trained.fitted.history] == [6, 12]
    rates = [event.rate for event in trained.heard("step")]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(rates[0] / 12)  # linear to 0, in as many updates as are made


def test_a_longer_epoch_count_than_one_sees_every_row_again(fit_for):
    trained = fit_for("train.epochs=1.5", "train.evaluate_every=end")
    assert trained.fitted.steps == 8  # 5 updates an epoch, rounded up
    assert trained.fitted.history[-1].epoch == 1.6


# ------------------------------------------------------------------------------------------------------------ sameness


def test_fit_leaves_torchs_generator_as_it_was(fit_for):
    before = torch.get_rng_state()
    fit_for("train.epochs=1")
    assert torch.equal(torch.get_rng_state(), before)


def test_the_same_seed_writes_the_same_bytes_and_another_seed_does_not(fit_for):
    files = []
    for folder, seed in (("one", 1), ("two", 1), ("three", 2)):
        torch.manual_seed(len(files))  # what the caller did before makes no difference
        trained = fit_for(f"train.seed={seed}", "train.epochs=1", folder=folder)
        files.append((trained.checkpoints.folder / "step-5" / "weights.safetensors").read_bytes())
    assert files[0] == files[1] != files[2]


@pytest.mark.parametrize("optimizer", ["adamw", "adam"])
def test_fused_optimizers_as_on_a_gpu_train_the_same(fit_for, monkeypatch, still, optimizer):
    """They leave tensors' versions as they were, by which folded adapters tell that they are out of date."""

    def fused(classifier, spec):
        made = build_optimizers(classifier, spec)
        for group in (group for each in made for group in each.param_groups):
            group["fused"] = True
        return made

    settings = [still, f"train.optimizer={optimizer}"]
    usual = fit_for(*settings, folder="usual")
    monkeypatch.setattr(optimizers, "build_optimizers", fused)
    alike = fit_for(*settings, folder="fused")
    for one, other in zip(usual.fitted.history, alike.fitted.history, strict=True):
        assert other.train_loss == pytest.approx(one.train_loss, abs=1e-4)
        assert other.log_loss == pytest.approx(one.log_loss, abs=1e-4)


OPTIMIZERS = {
    "adamw": ["train.optimizer={name: adamw, weight_decay: 0.1}"],
    "adam": ["train.optimizer=adam"],
    "rmsprop": ["train.optimizer={name: rmsprop, momentum: 0.9}"],
    "sgd": ["train.optimizer={name: sgd, momentum: 0.9}"],
    "muon": ["train.optimizer=muon"],
    "a plateau and micro-batches": ["train.schedule=reduce-on-plateau", "train.micro_batch_size=3", "train.warmup=20%"],
    "a full fine-tune": ["adapter.method=full"],
    "a running mean": ["train.average=20%"],
    "more epochs for the least updates": ["train.epochs=0.5", "train.min_updates=10"],
}


class Interrupted(Exception):
    pass


def interrupt_at(step: int):
    def listener(event):
        if event.kind in ("tick", "step") and event.step == step:
            raise Interrupted

    return listener


@pytest.mark.parametrize("variant", OPTIMIZERS)
@pytest.mark.parametrize("stop", [5, 9], ids=["in the epoch's middle", "in the second epoch"])
def test_an_interrupted_run_ends_in_the_same_weights_to_the_bit(fit_for, variant, stop):
    settings = [*OPTIMIZERS[variant], "train.evaluate_every=2", "train.keep=9"]
    whole = fit_for(*settings, folder="whole")
    with pytest.raises(Interrupted):
        fit_for(*settings, folder="cut", listener=interrupt_at(stop))
    resumed = fit_for(*settings, folder="cut", resume=True)
    assert resumed.heard("start")[0].step == stop - 1, "it went on from the last checkpoint"
    assert 0 < resumed.fitted.earlier_seconds < resumed.fitted.seconds
    assert resumed.fitted.history == whole.fitted.history
    assert same(resumed.weights(), whole.weights())
    last = [trained.checkpoints.folder / "step-10" / "optimizer.safetensors" for trained in (whole, resumed)]
    assert last[0].read_bytes() == last[1].read_bytes()


def test_the_loss_scale_of_fp16_goes_on_where_it_was(built_for):
    before, after = (torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=3) for scale in (2.0**20, 2.0**10))
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight])
    for gradient in (float("inf"), 1.0, 1.0):  # halves the scale, then two updates of the three that double it
        weight.grad = before.scale(torch.tensor([gradient]))
        before.step(optimizer)
        before.update()
    built = built_for("bert")
    ours, resumed = (Optimizers(built.classifier, built.recipe.train) for _ in range(2))
    ours.scaler, resumed.scaler = before, after
    resumed.load(*ours.state())
    assert after.get_scale() == before.get_scale() == 2.0**19
    assert after.state_dict() == before.state_dict()
    assert after.state_dict()["_growth_tracker"] == 2


def test_a_run_resumed_after_its_early_stop_stays_stopped(fit_for):
    settings = ["train.learning_rate=1e-9", "train.early_stop={patience: 1}", "train.evaluate_every=1"]
    first = fit_for(*settings)
    again = fit_for(*settings, resume=True)
    assert (first.fitted.steps, again.fitted.steps) == (2, 2)
    assert again.fitted.stopped_early
    assert same(first.weights(), again.weights())


def test_resuming_where_nothing_was_saved_starts_from_the_beginning(fit_for):
    whole, resumed = fit_for("train.epochs=1"), fit_for("train.epochs=1", folder="empty", resume=True)
    assert same(whole.weights(), resumed.weights())
