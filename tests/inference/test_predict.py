"""Raw text in, one prediction each, in order, with the run's own cleaning; what is no text is refused."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from conftest import CLASSES
from rankwise.errors import DataError
from rankwise.inference import predict

TEXTS = ["apple and pear", "", "zinc " * 60, "rhine", "danube the volga , near iron", "🍎", "apple"]


@pytest.fixture(scope="module")
def run(run_for):
    return run_for("distilbert", "train.epochs=12", "adapter.rank=8", "train.warmup=10%")


def test_predictions_come_in_the_order_of_the_texts(run):
    together = run.predict(TEXTS)
    alone = [run.predict([text])[0] for text in TEXTS]
    assert [prediction.label for prediction in together] == [prediction.label for prediction in alone]
    assert [p.score for p in together] == pytest.approx([p.score for p in alone], abs=1e-5)


def test_probabilities_sum_to_one_and_the_score_is_the_labels(run):
    for prediction in run.predict(TEXTS):
        assert list(prediction.probabilities) == list(CLASSES)
        assert sum(prediction.probabilities.values()) == pytest.approx(1, abs=1e-12)
        assert prediction.score == prediction.probabilities[prediction.label] == max(prediction.probabilities.values())


def test_reading_logits_and_predictions_apart_give_what_predict_gives(run):
    predictor = run.predictor
    assert list(predictor.predictions(predictor.logits(predictor.read(TEXTS)))) == run.predict(TEXTS)


def test_sizes_are_the_tokens_that_are_read_and_unread_are_those_cut_off(run):
    predictor = run.predictor
    texts = ["apple and pear", "zinc " * 22, "zinc " * 23, "zinc " * 60, ""]
    read = predictor.read(texts)
    assert predictor.sizes(read) == [5, 24, 24, 24, 2]  # two special ones in each
    assert predictor.unread(texts, read) == [0, 0, 1, 38, 0]


def test_of_a_text_in_windows_only_what_no_window_reaches_is_unread(run_for):
    predictor = run_for("bert", "data.windows=2", "data.max_length=12", "train.epochs=1").predictor
    texts = ["zinc " * 10, "zinc " * 18, "zinc " * 40]
    whole = predictor.unread(texts, predictor.read(texts))
    assert whole[:2] == [0, 0]
    assert 40 - 2 * 10 <= whole[2] < 40 - 10


def test_a_trained_run_knows_its_words(run):
    texts = ["apple pear plum and cherry", "iron copper the zinc tin", "rhine volga nile loire"]
    assert [prediction.label for prediction in run.predict(texts)] == list(CLASSES)


def test_no_texts_give_no_predictions(run):
    assert run.predict([]) == []


def test_an_empty_text_has_a_prediction(run):
    assert run.predict([""])[0].label in CLASSES


def test_one_string_instead_of_a_list_is_refused(run):
    with pytest.raises(DataError, match=r"found one string; type predict\(\[text\]\)"):
        run.predict("apple")


@pytest.mark.parametrize("value", [None, 7, b"apple", ["apple"]])
def test_what_is_no_string_is_refused_by_its_place(run, value):
    with pytest.raises(DataError, match=rf"text 1 is a {type(value).__name__} \(.*\); expected a string"):
        run.predict(["apple", value])


def test_cleaning_is_the_runs_own(run):
    dirty, clean = run.predict(["apple   &amp; \n\n pear"]), run.predict(["apple & pear"])
    assert run.preprocessing.clean == ("html", "whitespace")
    assert dirty == clean


def test_a_text_beyond_the_max_length_is_cut(run):
    assert run.predict(["zinc " * 60]) == run.predict(["zinc " * 22])  # 24 tokens with the two special ones
    assert run.predict(["zinc " * 21 + "apple"]) != run.predict(["zinc " * 22])


# --------------------------------------------------------------------------------------------------------------- streams


@pytest.fixture
def small_windows(monkeypatch):
    monkeypatch.setattr(predict, "CHUNK", 3)


def labels(predictions):
    return [prediction.label for prediction in predictions]


def tokenising_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("rankwise-tokens")]


def failing(texts, problem):
    yield from texts
    raise problem


def test_a_stream_gives_what_a_list_gives(run, monkeypatch):
    whole = run.predict(TEXTS)
    monkeypatch.setattr(predict, "CHUNK", 3)
    found = list(run.predictor.stream(iter(TEXTS)))
    assert labels(found) == labels(whole)
    assert [p.score for p in found] == pytest.approx([p.score for p in whole], abs=1e-5)


def test_a_stream_takes_one_window_ahead_and_no_more(run, small_windows):
    taken = []
    stream = run.predictor.stream(taken.append(text) or text for text in TEXTS)
    next(stream)
    assert len(taken) == 6
    stream.close()
    assert len(taken) == 6


def test_windows_grow_from_a_small_first_one_to_the_chunk(run, monkeypatch):
    sizes = []
    tokens = predict.TokenPredictor.read
    monkeypatch.setattr(predict, "FIRST", 1)
    monkeypatch.setattr(predict, "CHUNK", 4)
    monkeypatch.setattr(
        predict.TokenPredictor, "read", lambda self, texts, first: sizes.append(len(texts)) or tokens(self, texts, first)
    )
    assert len(list(run.predictor.stream(TEXTS * 2))) == 14
    assert sizes == [1, 2, 4, 4, 3]


def test_the_next_window_is_tokenised_while_this_one_is_computed(run, small_windows, monkeypatch):
    tokenised, waiting = [], threading.Event()
    tokens, logits = predict.TokenPredictor.read, predict.logits

    def tokenise(self, texts, first):
        tokenised.append((first, threading.current_thread() is threading.main_thread()))
        if first == 3:
            waiting.set()
        return tokens(self, texts, first)

    def compute(*arguments, **options):
        assert waiting.wait(30), "the second window is not tokenised while the first is computed"
        return logits(*arguments, **options)

    monkeypatch.setattr(predict.TokenPredictor, "read", tokenise)
    monkeypatch.setattr(predict, "logits", compute)
    assert len(list(run.predictor.stream(TEXTS))) == len(TEXTS)
    assert tokenised == [(0, False), (3, False), (6, False)]


@pytest.mark.parametrize("how", ["finished", "closed", "failed"])
def test_a_stream_leaves_no_thread_behind(run, small_windows, how):
    stream = run.predictor.stream(failing(TEXTS, OSError("disk")) if how == "failed" else TEXTS)
    next(stream)
    assert len(tokenising_threads()) == 1
    if how == "closed":
        stream.close()
    elif how == "finished":
        list(stream)
    else:
        with pytest.raises(OSError, match="disk"):
            list(stream)
    assert tokenising_threads() == []


@pytest.mark.parametrize("before", [0, 1, 3, 4, 7])
def test_what_stops_the_source_comes_after_the_predictions_of_the_texts_before_it(run, small_windows, before):
    stream = run.predictor.stream(failing(TEXTS[:before], OSError("disk")))
    found = []
    with pytest.raises(OSError, match="disk"):
        found.extend(stream)
    assert labels(found) == labels(run.predict(TEXTS[:before]))


def test_a_text_that_is_none_is_named_by_its_place_in_the_stream_after_the_windows_before(run, small_windows):
    found = []
    with pytest.raises(DataError, match="text 4 is a NoneType"):
        found.extend(run.predictor.stream([*TEXTS[:4], None]))
    assert len(found) == 3


def test_the_source_is_read_by_the_callers_thread(run, small_windows):
    readers = set()
    list(run.predictor.stream(readers.add(threading.get_ident()) or text for text in TEXTS))
    assert readers == {threading.get_ident()}


def test_streams_of_one_predictor_may_be_read_in_turns(run, small_windows):
    expected = labels(run.predict(TEXTS * 3))
    pairs = list(zip(run.predictor.stream(TEXTS * 3), run.predictor.stream(TEXTS * 3), strict=True))
    assert labels(one for one, _ in pairs) == labels(other for _, other in pairs) == expected


# --------------------------------------------------------------------------------------------------------------- threads


def test_eight_threads_get_what_one_gets_with_dropout_and_without(run):
    """Plain calls beside passes with dropout are the same to the bit, and a seed decides its passes whoever else draws."""
    plain = [run.predictor.probabilities([text]) for text in TEXTS]
    drawn = [run.predictor.probabilities(TEXTS, mc_dropout=2, seed=seed) for seed in range(4)]
    with ThreadPoolExecutor(8) as pool:
        alone = [pool.submit(run.predictor.probabilities, [text]) for _ in range(6) for text in TEXTS]
        passes = [pool.submit(run.predictor.probabilities, TEXTS, mc_dropout=2, seed=seed) for seed in range(4)]
        again = [pool.submit(run.predictor.probabilities, [text]) for _ in range(6) for text in TEXTS]
    for calls in (alone, again):
        assert all(np.array_equal(call.result(), plain[number % len(TEXTS)]) for number, call in enumerate(calls))
    assert all(np.array_equal(call.result(), drawn[seed]) for seed, call in enumerate(passes))


# ----------------------------------------------------------------------------------------------------------- MC dropout


def passes(run, count, seed=0):
    return run.predictor.probabilities(TEXTS, mc_dropout=count, seed=seed)


def test_mc_dropout_differs_from_a_plain_pass_and_sums_to_one(run):
    plain = run.predictor.probabilities(TEXTS)
    assert not np.allclose(passes(run, 4), plain, atol=1e-4)
    assert passes(run, 4).sum(-1) == pytest.approx(np.ones(len(TEXTS)))


def test_mc_dropout_is_decided_by_its_seed(run):
    assert np.array_equal(passes(run, 3, seed=5), passes(run, 3, seed=5))
    assert not np.allclose(passes(run, 3, seed=5), passes(run, 3, seed=6), atol=1e-4)


def test_mc_dropout_is_the_mean_of_passes_that_differ(run):
    one, two = passes(run, 1), passes(run, 2)
    second = 2 * two - one
    assert not np.allclose(second, one, atol=1e-4), "the second pass has dropout of its own"
    assert second.sum(-1) == pytest.approx(np.ones(len(TEXTS)))
    assert second.min() >= -1e-12


def test_mc_dropout_leaves_torchs_generator_and_later_plain_passes_alone(run):
    before, state = run.predictor.probabilities(TEXTS), torch.get_rng_state()
    passes(run, 2)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(run.predictor.probabilities(TEXTS), before)
