"""Every row comes once an epoch, in an order of the seed and the epoch, in batches that waste little on padding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import separable, tiny_tokenizer
from rankwise.data.batches import WINDOW, Padding, collate, paired_batches, scoring_batches, training_batches
from rankwise.data.tokens import tokenize

LENGTHS = st.lists(st.integers(2, 40), min_size=1, max_size=300).map(np.array)
SIZES = st.integers(1, 17)


@given(LENGTHS, SIZES, st.integers(0, 9), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_every_row_comes_once_an_epoch(lengths, size, seed, epoch):
    batches = training_batches(lengths, size, seed=seed, epoch=epoch)
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    assert all(1 <= len(batch) <= size for batch in batches)
    assert len(batches) == -(-len(lengths) // size), "only one batch is smaller"


@given(LENGTHS, SIZES)
@settings(max_examples=60, deadline=None)
def test_every_row_is_scored_once_longest_first(lengths, size):
    batches = scoring_batches(lengths, size)
    assert max(map(len, batches)) <= size
    order = np.concatenate(batches)
    assert sorted(order) == list(range(len(lengths)))
    assert (np.diff(lengths[order]) <= 0).all()


def test_texts_much_shorter_than_a_batch_s_longest_are_scored_apart_but_never_in_crumbs():
    lengths = np.array([100] * 9 + [60] * 9 + [10] * 3)
    assert [lengths[rows].tolist() for rows in scoring_batches(lengths, 16)] == [[100] * 9, [60] * 9, [10] * 3]
    steep = np.array([100, 50, 25, 12, 6, 3, 2, 1, 1, 1])
    assert [len(rows) for rows in scoring_batches(steep, 16)] == [8, 2], "eight texts at least, while there are eight"


def order_of(seed, epoch):
    lengths = np.random.default_rng(0).integers(3, 60, 400)
    return np.concatenate(training_batches(lengths, 8, seed=seed, epoch=epoch)).tolist()


def test_the_order_depends_on_the_seed_and_the_epoch_only():
    first = order_of(1, 0)
    np.random.default_rng(5).random()
    np.random.rand(3)  # the global generator
    assert order_of(1, 0) == first
    assert order_of(1, 1) != first
    assert order_of(2, 0) != first


def test_batches_do_not_come_in_the_order_of_their_lengths():
    lengths = np.random.default_rng(0).integers(3, 60, 400)
    means = [lengths[batch].mean() for batch in training_batches(lengths, 8, seed=0, epoch=0)]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.3


def waste(lengths, batches):
    """Padding's share of all tokens."""
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    return 1 - lengths.sum() / padded


def test_padding_is_far_below_that_of_random_batches():
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(3.5, 0.6, 16 * WINDOW * 2), 4, 256).astype(np.int64)
    order = rng.permutation(len(lengths))
    at_random = waste(lengths, np.split(order, len(lengths) // 16))
    ours = waste(lengths, training_batches(lengths, 16, seed=0, epoch=0))
    assert at_random > 0.4
    assert ours < at_random / 5


@pytest.mark.parametrize("side", ["right", "left"])
def test_collate_gives_what_the_tokenizers_own_padding_gives(family, side):
    tokenizer = tiny_tokenizer(family)
    tokenizer.padding_side = side
    texts = separable(9, seed=6).texts
    tokens = tokenize(tokenizer, texts, max_length=16)
    for rows in ([3], [0, 8, 4], list(range(9))):
        encoded = tokenizer([texts[row] for row in rows], truncation=True, max_length=16)
        expected = tokenizer.pad(encoded, return_tensors="np")
        found = collate(tokens, rows, Padding.of(tokenizer))
        segments = found.pop("token_type_ids", np.zeros_like(found["input_ids"]))
        assert np.array_equal(segments, expected.get("token_type_ids", segments))
        for name, values in found.items():
            assert values.dtype == np.int64
            assert np.array_equal(values, expected[name]), name


def test_xlnets_segment_ids_are_padded_with_the_tokenizers_own(monkeypatch):
    tokenizer = tiny_tokenizer("xlnet")
    monkeypatch.setattr(tokenizer, "_pad_token_type_id", 3)  # as published XLNet tokenizers have it
    tokens = tokenize(tokenizer, ["apple", "iron zinc tin"], max_length=None)
    found = collate(tokens, [0, 1], Padding.of(tokenizer))
    assert found["token_type_ids"].tolist() == [[3, 3, 0, 0, 2], [0, 0, 0, 0, 2]]
    assert found["attention_mask"].tolist() == [[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]]


def test_segment_ids_are_left_out_where_a_tokenizer_has_none():
    tokenizer = tiny_tokenizer("roberta")
    assert set(collate(tokenize(tokenizer, ["apple"], max_length=8), [0], Padding.of(tokenizer))) == {
        "input_ids",
        "attention_mask",
    }


def test_a_tokenizers_padding_is_read_from_it():
    assert Padding.of(tiny_tokenizer("roberta")) == Padding(1, 0, left=False)
    xlnet = tiny_tokenizer("xlnet")
    assert Padding.of(xlnet) == Padding(xlnet.pad_token_id, xlnet.pad_token_type_id, left=True)


@pytest.mark.parametrize(("classes", "size"), [(2, 16), (5, 16), (20, 16), (77, 16), (3, 4)])
def test_batches_of_pairs_hold_few_classes_in_equal_parts(classes, size):
    labels = np.repeat(np.arange(classes), 8)
    batches = paired_batches(labels, size, seed=0, epoch=1)
    assert len(batches) == -(-len(labels) // size)
    for batch in batches:
        assert len(set(batch.tolist())) == len(batch), "no row twice"
        counts = np.bincount(labels[batch])
        counts = counts[counts > 0]
        assert len(counts) == min(classes, size // 2)
        assert counts.max() - counts.min() <= 1
        assert counts.min() >= min(2, size // classes)
    again = paired_batches(labels, size, seed=0, epoch=1)
    other = paired_batches(labels, size, seed=0, epoch=2)
    assert all((one == two).all() for one, two in zip(batches, again, strict=True))
    assert any(one.tolist() != two.tolist() for one, two in zip(batches, other, strict=True))


def test_a_class_of_one_row_is_in_batches_of_pairs_too():
    labels = np.array([0, 0, 0, 0, 1])
    assert any(4 in batch for batch in paired_batches(labels, 4, seed=0, epoch=0))
