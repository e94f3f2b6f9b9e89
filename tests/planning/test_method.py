"""What each method beside LoRA trains, refuses and says in a plan."""

from __future__ import annotations

import pytest
from live import count_live
from plans import SMALL, applied, planned, refusal, small_plan

from conftest import FAMILIES
from rankwise.encoders.families import FAMILIES as families
from rankwise.errors import PlanError, RecipeError

IA3_FAMILIES = [name for name, row in FAMILIES.items() if row.own_keys]
PREFIX_FAMILIES = [name for name in FAMILIES if families[name].takes_prefix]
BESIDE_LORA = [
    *((family, "adapter.method=adalora") for family in SMALL),
    *((family, "adapter.method=vera") for family in SMALL),
    *((family, "adapter.method=ia3") for family in IA3_FAMILIES),
    *((family, "adapter.method=prefix", "adapter.virtual_tokens=5") for family in PREFIX_FAMILIES),
]


@pytest.mark.parametrize("choice", BESIDE_LORA, ids=" ".join)
@pytest.mark.parametrize("head", ["stock", "slim"])
def test_a_method_beside_lora_counts_what_the_live_model_has(choice, head):
    family, *overrides = choice
    found = small_plan(family, *overrides, f"head.kind={head}")
    assert count_live(found, 4) == (found.ledger.trainable_parameters, found.ledger.total_parameters)


def test_methods_beside_lora_on_minilm_by_hand():
    head, maps = 384 * 4 + 4, 4 * (384 + 384) + 2 * (384 + 1536)  # of one rank in one layer
    counts = {
        "adapter.method=adalora": head + 6 * 12 * (maps + 6),  # a singular value for each rank of each of 6 maps
        "adapter.method=vera": head + 6 * (4 * 384 + 1536 + 384 + 6 * 8),  # b of each output, d of each rank of 8
        "adapter.method=ia3": head + 6 * (384 + 384 + 1536),
        "adapter.method=prefix": head + 6 * 20 * 2 * 384,
    }
    for override, count in counts.items():
        assert planned(override, recipe="quickstart").ledger.trainable_parameters == count


def test_adalora_counts_the_rank_it_starts_at():
    found = planned("adapter.method=adalora", recipe="quickstart")
    assert (found.adapter.rank, set(found.ranks.values())) == (8, {12})
    assert {entry.rank for entry in found.ledger.entries if entry.section == "adapter"} == {12}
    assert set(found.alphas.values()) == {24}
    assert found.notes == (
        "adalora starts at rank 12, which the cap counts, and prunes to a mean of 8",
        "adalora learns slowly at a rate of 0.001; try --set train.learning_rate=0.005",
    )
    assert len(planned("adapter.method=adalora", "train.learning_rate=5e-3", recipe="quickstart").notes) == 1
    assert set(planned("adapter.method=adalora", "adapter.init_rank=9", recipe="quickstart").ranks.values()) == {9}


@pytest.mark.parametrize("cap", [100_000, 300_000, 1_000_000, 900_000_000])
def test_rank_max_under_adalora_is_the_largest_whose_start_fits(cap):
    adalora = ("adapter.method=adalora", f"budget.parameters={cap}")
    found = planned(*adalora, "adapter.rank=max", "head.kind=slim", recipe="quickstart")
    assert found.ledger.trainable_parameters < cap
    with pytest.raises(PlanError):  # OverBudget, or larger than a map
        planned(*adalora, f"adapter.rank={found.adapter.rank + 1}", "head.kind=slim", recipe="quickstart")


@pytest.mark.parametrize("choice", BESIDE_LORA, ids=" ".join)
def test_each_fix_of_a_method_beside_lora_fits_when_typed(choice):
    family, *overrides = choice
    for cap in (80, 100, 150):  # below what any of them trains
        capped = [*overrides, f"budget.parameters={cap}", "adapter.targets=all"]
        for typed, promised in refusal(*capped, on=family).fixes.items():
            fixed = planned(*capped, *applied(typed), on=family)
            assert fixed.ledger.trainable_parameters == promised < fixed.ledger.budget, (cap, typed)


def test_the_fixes_name_what_the_method_has():
    problem = refusal("adapter.method=prefix", "adapter.virtual_tokens=60", "budget.parameters=200000", recipe="quickstart")
    assert problem.fixes == {
        "--set adapter.virtual_tokens=43": 199_684,
        "--set adapter.method=bias --set adapter.virtual_tokens=null": 27_652,
        "--set adapter.method=head --set adapter.virtual_tokens=null": 1_540,
        "--budget 278021": 278_020,
    }
    problem = refusal("adapter.method=adalora", "adapter.init_rank=40", recipe="quickstart")
    assert problem.fixes["--set adapter.init_rank=null"] == 499_636
    problem = refusal("adapter.method=adalora", "adapter.init_rank=40", "budget.parameters=300000", recipe="quickstart")
    assert problem.fixes["--set adapter.rank=4 --set adapter.init_rank=null"] == 250_588
    problem = refusal("adapter.method=ia3", "budget.parameters=10000", recipe="quickstart")
    assert problem.fixes["--set adapter.allocate.policy=last-k --set adapter.allocate.k=half"] == 8_452


def test_ia3_stays_in_the_layers_that_the_policy_gives():
    found = planned("adapter.method=ia3", "adapter.allocate={policy: last-k, k: 2}", recipe="quickstart")
    assert {site.layer for site in found.sites} == {4, 5}
    assert found.lowest_layer == 4
    assert planned("adapter.method=prefix", recipe="quickstart").lowest_layer == 0


@pytest.mark.parametrize("family", [name for name, row in FAMILIES.items() if not row.own_keys])
def test_ia3_without_maps_for_keys_and_values_is_refused(family):
    with pytest.raises(PlanError, match="no linear layers of its own for keys and values, which ia3 scales; type --set"):
        small_plan(family, "adapter.method=ia3")


@pytest.mark.parametrize("family", [family for family in SMALL if family not in PREFIX_FAMILIES])
def test_a_prefix_where_transformers_takes_none_is_refused_with_the_families_that_do(family):
    with pytest.raises(PlanError, match="works for bert, camembert, electra, roberta, xlm-roberta only; type --set"):
        small_plan(family, "adapter.method=prefix", "adapter.virtual_tokens=5")


def test_a_prefix_leaves_room_for_a_text():
    assert "a text has at most 492 tokens" in planned("adapter.method=prefix", recipe="quickstart").notes[0]
    with pytest.raises(PlanError, match="has 20 positions, and a prefix of 17 leaves no room for a text"):
        small_plan("bert", "adapter.method=prefix", "adapter.virtual_tokens=17")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["adapter.init_rank=12"], "init_rank belongs to the method adalora; method is 'lora'"),
        (["adapter.virtual_tokens=5"], "virtual_tokens belongs to the method prefix; method is 'lora'"),
        (["adapter.method=adalora", "adapter.init_rank=8"], "init_rank 8 is not above rank 8"),
        (["adapter.method=adalora", "adapter.init_rank=8", "adapter.rank=max"], "leave init_rank out"),
        (
            ["adapter.method=adalora", "adapter.allocate=by-depth"],
            "adalora shares ranks among linear layers itself, so it can't follow by-depth",
        ),
        (
            ["adapter.method=ia3", 'adapter.allocate={policy: explicit, ranks: {"*.key": 4}}'],
            "ia3 has no ranks, so it can't follow explicit",
        ),
        (["adapter.method=ia3", "adapter.bias=all"], "bias and quantize belong to low-rank methods; method is 'ia3'"),
        (
            ["adapter.method=prefix", "adapter.quantize=nf4"],
            "bias and quantize belong to low-rank methods; method is 'prefix'",
        ),
    ],
)
def test_an_option_of_another_method_is_refused(overrides, message):
    with pytest.raises(RecipeError, match=message):
        planned(*overrides, recipe="quickstart")
