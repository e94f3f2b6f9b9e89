"""What each method beside LoRA trains, refuses and says in a plan."""

from __future__ import annotations

import pytest
from live import count_live
from plans import SMALL, applied, encoder, planned, refusal, small_plan

from conftest import FAMILIES
from rankwise.encoders.encoder import Site
from rankwise.encoders.families import FAMILIES as families
from rankwise.errors import PlanError, RecipeError
from rankwise.planning.methods.vectors import road_group
from rankwise.recipe.methods import METHODS

IA3_FAMILIES = [name for name, row in FAMILIES.items() if row.own_keys]
PREFIX_FAMILIES = [name for name in FAMILIES if families[name].takes_prefix]
BESIDE_LORA = [
    *((family, "adapter.method=adalora") for family in SMALL),
    *((family, "adapter.method=vera") for family in SMALL),
    *((family, "adapter.method=ia3") for family in IA3_FAMILIES),
    *((family, "adapter.method=prefix", "adapter.virtual_tokens=5") for family in PREFIX_FAMILIES),
]
KNOWN = ("lora", "rslora", "dora", "pissa", "adalora", "vera", "ia3", "prefix", "full", "head", "bias")
OTHERS = {
    name: [f"adapter.method={name}", *(["adapter.virtual_tokens=5"] if "virtual_tokens" in row.options else [])]
    for name, row in METHODS.items()
    if name not in KNOWN
}
WITHOUT_VALUES = {
    "xlnet": "no linear layers of its own",
    "modernbert": "no linear layers of its own",
    "eurobert": "have no bias",
    "qwen3": "have no bias",
}
PLACES = [(family, name) for family in SMALL for name in OTHERS if name != "beft" or family not in WITHOUT_VALUES]


@pytest.mark.parametrize(("family", "name"), PLACES)
def test_every_other_method_counts_what_the_live_model_has_on_every_family(family, name):
    found = small_plan(family, *OTHERS[name])
    assert count_live(found, 4) == (found.ledger.trainable_parameters, found.ledger.total_parameters)


@pytest.mark.parametrize("name", OTHERS)
def test_each_fix_of_every_other_method_fits_when_typed(name):
    capped = [*OTHERS[name], "budget.parameters=150", "adapter.targets=all", "adapter.rank=2", "adapter.dropout=0"]
    for typed, promised in refusal(*capped, on="roberta").fixes.items():
        fixed = planned(*capped, *applied(typed), on="roberta")
        assert fixed.ledger.trainable_parameters == promised < fixed.ledger.budget, typed


def test_other_methods_on_minilm_by_hand():
    head, outputs = 384 * 4 + 4, 6 * (4 * 384 + 1536 + 384)  # of all linear layers of 6 layers
    inputs = 6 * (4 * 384 + 384 + 1536)
    kronecker = 6 * (4 * (16 * 16 + 2 * (24 + 24)) + 2 * (16 * 32 + 2 * (24 + 48)))
    counts = {
        "lora-fa": 8 * outputs,
        "lora-xs": 36 * 8 * 8,
        "unilora": 4096,
        "delora": 8 * (inputs + outputs) + 36,
        "miss": 8 * outputs,
        "loha": 2 * 8 * (inputs + outputs),
        "hra": 8 * inputs,
        "fourierft": 36 * 1000,
        "road": outputs,
        "beft": 6 * 384,
        "ln-tuning": 6 * 2 * 2 * 384,
    }
    for method, count in counts.items():
        assert planned(f"adapter.method={method}", recipe="quickstart").ledger.trainable_parameters == head + count, method
    assert (
        planned("adapter.method=lokr", "adapter.rank=2", recipe="quickstart").ledger.trainable_parameters == head + kronecker
    )


@pytest.mark.parametrize("family", WITHOUT_VALUES)
def test_beft_without_biases_of_values_is_refused(family):
    with pytest.raises(PlanError, match=WITHOUT_VALUES[family]):
        small_plan(family, "adapter.method=beft")


def test_hra_takes_ranks_in_pairs():
    with pytest.raises(PlanError, match=r"hra has ranks that are multiples of 2, found 3; type --set adapter\.rank=N"):
        small_plan("bert", "adapter.method=hra", "adapter.rank=3")
    found = planned("adapter.method=hra", "adapter.rank=max", "budget.parameters=100000", recipe="quickstart")
    assert found.adapter.rank == 4, "4 · 20,736 and the head are under the cap, 6 · 20,736 are not"


def test_road_pairs_as_many_outputs_as_every_layer_can():
    assert [road_group(encoder(family).sites) for family in ("minilm", "bert", "xlnet")] == [64, 8, 8]
    odd = [Site("odd", "value", 0, 8, 9)]
    assert road_group(odd) % 2 == 1


def test_a_spectrum_is_no_longer_than_the_smallest_layer_has_weights():
    with pytest.raises(PlanError, match=r"has 256 weights and as many frequencies; type --set adapter\.vector_length=256"):
        small_plan("bert", "adapter.method=fourierft", "adapter.vector_length=300")


def test_ln_tuning_stays_in_the_layers_that_the_policy_gives():
    found = planned("adapter.method=ln-tuning", "adapter.allocate={policy: last-k, k: 2}", recipe="quickstart")
    assert ({entry.layer for entry in found.ledger.entries} - {None}, found.lowest_layer) == ({4, 5}, 4)


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
        (["adapter.vector_length=9"], "vector_length belongs to unilora and fourierft; method is 'lora'"),
        (["adapter.method=loha", "adapter.dropout=0.1"], "dropout belongs to lora and what is like it; method is 'loha'"),
        (["adapter.method=lora-xs", "adapter.quantize=nf4"], "the lora-xs start takes the encoder's weights apart"),
        (["adapter.method=miss", "adapter.allocate=by-depth"], "miss has one rank for all linear layers, so it can't follow"),
        (["adapter.method=road", "adapter.allocate=fibonacci"], "road has no ranks, so it can't follow fibonacci"),
        (["adapter.init_rank=12"], "init_rank belongs to adalora; method is 'lora'"),
        (["adapter.virtual_tokens=5"], "virtual_tokens belongs to prefix and prompt; method is 'lora'"),
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
        (["adapter.method=ia3", "adapter.bias=all"], "bias and quantize belong to lora and what is like it; method is 'ia3'"),
        (
            ["adapter.method=prefix", "adapter.quantize=nf4"],
            "bias and quantize belong to lora and what is like it; method is 'prefix'",
        ),
    ],
)
def test_an_option_of_another_method_is_refused(overrides, message):
    with pytest.raises(RecipeError, match=message):
        planned(*overrides, recipe="quickstart")
