"""AdaLoRA trains as peft's own loop does, ends at the rank that was asked for, and goes on from a checkpoint to the bit."""

from __future__ import annotations

import pytest
import torch
from peft import PeftModel
from torch.nn.functional import cross_entropy
from transformers import AutoModelForSequenceClassification

from conftest import CLASSES, prepared, save_tiny
from rankwise.data.batches import Padding, collate, training_batches
from rankwise.errors import TrainingError
from rankwise.model.classifier import to_tensors
from rankwise.model.load import load_tokenizer, quiet
from rankwise.run.folder import Run
from rankwise.system.events import Events
from rankwise.training.pace import Pace
from rankwise.training.parts.pruning import LEAST_UPDATES, Pruning, live_ranks

ADALORA = ("adapter.method=adalora", "adapter.rank=2", "adapter.init_rank=4")
MAPS = {"bert": 3 * 6, "roberta": 3 * 6, "distilbert": 2 * 6}


@pytest.fixture(scope="module")
def still(tmp_path_factory):
    """A BERT without any dropout, so that two passes over the same rows agree."""
    folder = tmp_path_factory.mktemp("still") / "tiny-still"
    return f"base={save_tiny('bert', folder, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)}"


def inputs_of(built, rows):
    data = prepared(built.recipe)
    padding = Padding.of(load_tokenizer(built.base))
    return to_tensors(collate(data.train.tokens, rows, padding)), torch.from_numpy(data.train.labels[rows])


# -------------------------------------------------------------------------------------------------------- as peft does it


def test_the_penalty_is_what_peft_adds_to_its_own_loss(built_for, still):
    built = built_for("bert", *ADALORA, still)
    pruning = Pruning(built.classifier, Pace(10), Events())
    inputs, labels = inputs_of(built, range(5))
    output = built.classifier.model(**inputs, labels=labels)
    assert pruning.penalty().item() == pytest.approx((output.loss - cross_entropy(output.logits, labels)).item(), rel=1e-5)
    assert pruning.penalty().item() > 0.5


def test_training_makes_the_weights_of_pefts_own_loop(fit_for, built_for, still):
    plain = ["train.optimizer=sgd", "train.schedule=constant", "train.clip_norm=null", "train.learning_rate=0.3"]
    settings = [*ADALORA, still, *plain, "train.evaluate_every=end", "train.epochs=3"]
    trained = fit_for(*settings)

    oracle = built_for("bert", *settings)
    spec, model = oracle.recipe.train, oracle.classifier.model.train()
    optimizer = torch.optim.SGD(oracle.classifier.trainable().values(), lr=spec.learning_rate)
    Pruning(oracle.classifier, Pace(15), Events())  # tells peft the schedule
    step = 0
    for epoch in range(3):
        lengths = prepared(oracle.recipe).train.tokens.lengths
        for rows in training_batches(lengths, spec.batch_size, seed=spec.seed, epoch=epoch):
            inputs, labels = inputs_of(oracle, rows)
            model(**inputs, labels=labels).loss.backward()
            optimizer.step()
            step += 1
            model.base_model.update_and_allocate(step)
            optimizer.zero_grad()
    assert step == trained.fitted.steps == 15
    assert live_ranks(trained.built.classifier) == live_ranks(oracle.classifier)
    for name, weight in oracle.classifier.trainable().items():
        torch.testing.assert_close(trained.weights()[name], weight.detach(), rtol=1e-3, atol=1e-5, msg=name)


def test_micro_batches_add_the_penalty_once(fit_for, still):
    settings = [*ADALORA, still, "train.optimizer=sgd", "train.learning_rate=0.1", "train.epochs=2"]
    whole = fit_for(*settings, folder="whole").weights()
    cut = fit_for(*settings, "train.micro_batch_size=3", folder="cut").weights()
    assert max(float((whole[name] - cut[name]).abs().max()) for name in whole) < 1e-4


# ------------------------------------------------------------------------------------------------------------------ ranks


@pytest.mark.parametrize("family", MAPS)
def test_ranks_fall_from_the_first_to_the_target(fit_for, family):
    trained = fit_for(*ADALORA, "train.epochs=4", "train.evaluate_every=2", family=family)
    heard = trained.heard("ranks")
    maps = MAPS[family]
    assert {event.start for event in heard} == {4 * maps}
    lives = [event.live for event in heard]
    assert lives == sorted(lives, reverse=True)
    assert lives[0] > lives[-1] == 2 * maps
    assert sum(live_ranks(trained.built.classifier).values()) == 2 * maps
    assert len(set(live_ranks(trained.built.classifier).values())) > 1, "some maps keep more than others"


def test_the_best_is_one_of_those_with_the_final_ranks(fit_for):
    trained = fit_for(*ADALORA, "train.epochs=4", "train.evaluate_every=1", "train.learning_rate=1e-6")
    assert trained.fitted.steps == 20
    best = [event.step for event in trained.heard("evaluation") if event.best]
    assert best[0] == 10, "ranks are final after half of the updates"
    assert trained.fitted.best.step in best


def test_early_stopping_waits_for_the_final_ranks(fit_for):
    settings = ["train.learning_rate=1e-9", "train.early_stop={patience: 1}", "train.evaluate_every=1", "train.epochs=4"]
    trained = fit_for(*ADALORA, *settings)
    assert trained.fitted.steps == 11, "the first with final ranks is the best, the second is no better"
    assert trained.fitted.stopped_early


@pytest.mark.parametrize("updates", [LEAST_UPDATES, 5, 7])
def test_a_short_run_still_ends_at_the_target(fit_for, updates):
    trained = fit_for(*ADALORA, f"train.max_steps={updates}")
    assert sum(live_ranks(trained.built.classifier).values()) == 2 * MAPS["bert"]


def test_too_few_updates_are_refused(fit_for):
    with pytest.raises(TrainingError, match=r"this run makes 3; give more train\.epochs, so that it makes 4"):
        fit_for(*ADALORA, "train.max_steps=3")


def test_updates_that_time_cuts_still_end_at_the_target(built_for):
    built = built_for("bert", *ADALORA)
    pruning = Pruning(built.classifier, Pace(100), Events())
    model, optimizer = built.classifier.model.train(), torch.optim.AdamW(built.classifier.trainable().values(), lr=1e-2)
    inputs, labels = inputs_of(built, range(8))
    for position in (1, 2, 9.7, 30.2, 41.9, 62.5, 80.1, 100.0):  # never at 50, where peft makes ranks final
        (cross_entropy(model(**inputs).logits, labels) + pruning.penalty()).backward()
        optimizer.step()
        pruning.prune(position)
        optimizer.zero_grad()
        assert pruning.settled == (position > 50)
    assert sum(live_ranks(built.classifier).values()) == 2 * MAPS["bert"]


# ------------------------------------------------------------------------------------------------------------ checkpoints


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("stop", [5, 8, 15], ids=["before the first rank goes", "while ranks go", "after the last"])
def test_an_interrupted_run_ends_in_the_same_weights_to_the_bit(fit_for, stop):
    settings = [*ADALORA, "train.evaluate_every=2", "train.keep=99", "train.epochs=4"]

    def interrupt(event):
        if event.kind in ("tick", "step") and event.step == stop:
            raise Interrupted

    whole = fit_for(*settings, folder="whole")
    with pytest.raises(Interrupted):
        fit_for(*settings, folder="cut", listener=interrupt)
    resumed = fit_for(*settings, folder="cut", resume=True)
    assert resumed.heard("start")[0].step == 2 * ((stop - 1) // 2), "it went on from the last checkpoint"
    assert whole.weights().keys() == resumed.weights().keys()
    assert all(torch.equal(weight, resumed.weights()[name]) for name, weight in whole.weights().items())
    last = [trained.checkpoints.folder / "step-20" / "optimizer.safetensors" for trained in (whole, resumed)]
    assert last[0].read_bytes() == last[1].read_bytes()


# ---------------------------------------------------------------------------------------------------------------- a run


def test_a_run_records_the_ranks_that_were_left_and_loads_by_us_and_by_plain_peft(run_for):
    run = run_for("bert", *ADALORA)
    assert sum(run.facts.ranks.values()) == 2 * MAPS["bert"]
    assert set(run.plan_facts.ranks.values()) == {4}
    assert run.plan_facts.notes == ("adalora starts at rank 4, which the cap counts, and prunes to a mean of 2",)
    classifier = Run.load(run.folder).classifier()
    assert live_ranks(classifier) == run.facts.ranks

    base = AutoModelForSequenceClassification.from_pretrained(run.base().location, num_labels=len(CLASSES))
    with quiet():
        plain = PeftModel.from_pretrained(base, str(run.folder)).eval()
    tokens = load_tokenizer(run.base())(["apple pear", "iron and the tin near a melon"], padding=True, return_tensors="pt")
    with torch.inference_mode():
        assert torch.equal(plain(**tokens).logits, classifier.model(**tokens).logits)
