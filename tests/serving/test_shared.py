"""Runs of one encoder are served from one in memory: each answers as it does alone, whatever is computed beside it."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from rankwise.model.shared import SharedEncoder
from rankwise.run.folder import Run
from rankwise.serving.catalogue import Shelf
from rankwise.serving.queue import Queue
from rankwise.serving.shared import Encoders, ResidentScorer, Together
from rankwise.serving.states import Question

TOLERANCE = 1e-4  # of a logit; probabilities differ by a quarter of that at most
ON_BERT = ("tickets", "shelves", "several", "columns")


@pytest.fixture(scope="module")
def shelf(served_folders):
    given = (*(f"{name}={folder}" for name, folder in served_folders.items()), f"again={served_folders['tickets']}")
    return Shelf(given, encoders=Encoders())


@pytest.fixture(scope="module")
def runs(shelf):
    return shelf.load().runs


def scorer_of(run):
    return run.predictor.scorer


def test_runs_of_one_base_are_on_one_encoder_and_share_a_tokenizer(shelf, runs):
    encoders = {id(scorer_of(runs[name]).encoder) for name in (*ON_BERT, "again")}
    assert len(encoders) == 1
    assert isinstance(scorer_of(runs["pairs"]).encoder, SharedEncoder)
    assert id(scorer_of(runs["pairs"]).encoder) not in encoders
    assert len(shelf.encoders.shared) == 2
    assert runs["tickets"].predictor.tokenizer is runs["again"].predictor.tokenizer


def test_a_run_alone_has_its_adapter_folded_into_the_weights(served_folders):
    (served,) = Shelf((f"tickets={served_folders['tickets']}",), encoders=Encoders()).load().runs.values()
    assert not isinstance(scorer_of(served), ResidentScorer)


def test_a_run_that_counts_words_is_served_by_its_own_predictor(runs):
    assert not isinstance(getattr(runs["words"].predictor, "scorer", None), ResidentScorer)


def test_answers_of_mixed_batches_are_those_of_each_run_alone(runs, served_folders):
    texts = ["an apple and a pear", "iron and copper", "the river Elbe", "an apple and a pear", "a b c d e f g h i j k"]
    rng = np.random.default_rng(0)
    names = [str(name) for name in rng.choice([*ON_BERT, "words", "again"], size=40)]
    asked = [(name, str(rng.choice(texts))) for name in names]
    queue = Queue(Together())

    async def ask():
        groups = [asked[start : start + 4] for start in range(0, len(asked), 4)]
        questions = ([Question(runs[name], text) for name, text in group] for group in groups)
        return [answer for told in await asyncio.gather(*map(queue.answers, questions)) for answer in told.answers]

    try:
        answers = asyncio.run(ask())
    finally:
        queue.close()
    alone = {name: Run.load(folder) for name, folder in served_folders.items()} | {
        "again": Run.load(served_folders["tickets"])
    }
    for (name, text), answer in zip(asked, answers, strict=True):
        (own,) = alone[name].predict([text])
        assert answer.prediction.label == own.label
        assert list(answer.probabilities) == pytest.approx(list(own.probabilities.values()), abs=TOLERANCE / 4)


def test_a_text_in_several_windows_has_the_mean_of_its_own(run_for):
    folder = run_for("bert", "train.epochs=1", "data.max_length=8", "data.windows=4").folder
    served = Shelf((f"long={folder}", f"again={folder}"), encoders=Encoders()).load().runs["long"]
    assert isinstance(scorer_of(served), ResidentScorer)
    long, short = "apple pear iron copper river lake " * 4, "an apple"
    queue = Queue(Together())

    async def ask():
        return await queue.answers([Question(served, long), Question(served, short)])

    try:
        told = asyncio.run(ask())
    finally:
        queue.close()
    for answer, own in zip(told.answers, Run.load(folder).predict([long, short]), strict=True):
        assert list(answer.probabilities) == pytest.approx(list(own.probabilities.values()), abs=TOLERANCE / 4)
