"""A ledger adds up what trains, and fewer than the cap may train: never as many."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rankwise.encoders.encoder import Site
from rankwise.planning.ledger import Entry, Ledger

SIZES = st.integers(1, 5000)
SECTIONS = st.sampled_from(["adapter", "magnitude", "bias", "encoder", "head"])
ENTRIES = st.lists(st.builds(Entry, SECTIONS, st.text(max_size=5), st.integers(1, 10**9))).map(tuple)


def site(d_in, d_out, layer=0, kind="query"):
    return Site("some.path", kind, layer, d_in, d_out)


@given(st.integers(0, 64), st.integers(1, 64), st.integers(1, 64))
def test_a_site_costs_what_its_two_matrices_hold(rank, d_in, d_out):
    a, b = torch.empty(rank, d_in, device="meta"), torch.empty(d_out, rank, device="meta")
    assert site(d_in, d_out).cost(rank) == a.numel() + b.numel()


@given(st.integers(0, 500), st.integers(0, 500), SIZES, SIZES)
def test_cost_is_linear_in_rank(first, second, d_in, d_out):
    where = site(d_in, d_out)
    assert where.cost(first) + where.cost(second) == where.cost(first + second)


def test_a_map_of_roberta_base_costs_1_536_a_rank():
    assert [site(768, 768).cost(rank) for rank in (1, 8, 11)] == [1536, 12_288, 16_896]


@given(SIZES, SIZES)
def test_the_largest_rank_is_the_smaller_side(d_in, d_out):
    assert site(d_in, d_out).largest_rank == min(d_in, d_out) == site(d_out, d_in).largest_rank


def test_an_address_is_layer_dot_kind():
    assert site(4, 4, layer=11, kind="ffn_in").address == "11.ffn_in"


@given(ENTRIES)
def test_the_sections_add_up_to_what_trains(entries):
    ledger = Ledger(entries, total_parameters=10**12, budget=None)
    assert sum(ledger.sections().values()) == ledger.trainable_parameters == sum(entry.parameters for entry in entries)


def test_sections_keep_the_order_in_which_they_come():
    entries = [Entry(section, "x", 1) for section in ("head", "adapter", "bias", "adapter")]
    assert list(Ledger(tuple(entries), 10, None).sections().items()) == [("head", 1), ("adapter", 2), ("bias", 1)]


def test_a_section_that_is_not_there_has_no_parameters():
    assert Ledger((), 10, 5).sections()["bias"] == 0


@given(st.integers(1, 10**9), st.integers(-3, 3))
def test_the_cap_is_strict(trained, slack):
    ledger = Ledger((Entry("head", "x", trained),), trained, budget=trained + slack)
    assert ledger.fits is (slack > 0)


@given(ENTRIES)
def test_everything_fits_without_a_cap(entries):
    ledger = Ledger(entries, 10**12, budget=None)
    assert ledger.fits
    assert ledger.share is None


@given(st.integers(0, 10**9), st.integers(1, 10**9))
def test_the_share_is_of_the_cap(trained, cap):
    ledger = Ledger((Entry("head", "x", trained),), 10**12, budget=cap)
    assert ledger.share == pytest.approx(trained / cap)
    assert ledger.fits is (ledger.share < 1)
