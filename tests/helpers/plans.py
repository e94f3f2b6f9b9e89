"""Plans of shipped encoders and of small ones of every family, and strategies for recipes that plan."""

from __future__ import annotations

import json
import shlex
from functools import cache

import pytest
from hypothesis import strategies as st

from conftest import FAMILIES
from rankwise.encoders.base import KNOWN
from rankwise.encoders.describe import describe
from rankwise.encoders.finding import find
from rankwise.errors import OverBudget
from rankwise.planning.plan import Plan, plan
from rankwise.recipe import Recipe
from rankwise.recipe.methods import METHODS

_SIZES = {
    **dict.fromkeys(("num_hidden_layers", "n_layers", "n_layer"), 3),
    **dict.fromkeys(("hidden_size", "dim", "d_model"), 16),
    **dict.fromkeys(("intermediate_size", "hidden_dim", "d_inner"), 24),
    "embedding_size": 8,
    "max_position_embeddings": 20,
}
SMALL = {
    name: {"vocab_size": 40, "pad_token_id": 0, **{key: _SIZES.get(key, value) for key, value in row.config.items()}}
    for name, row in FAMILIES.items()
}
SMALL["modernbert"] |= {"attention_bias": True}
SMALL["albert"] |= {"num_hidden_groups": 2}
SMALL["eurobert"] |= {"head_dim": 8}  # half as many keys as queries, each layer 16 wide or more


@cache
def encoder(name, classes=4):
    """A shipped encoder, or the small one of a family."""
    if name in KNOWN:
        return find(name, classes=classes)
    return describe({"model_type": name, **SMALL[name]}, name=f"small-{name}", classes=classes)


def planned(*overrides, recipe="uniform-qkv", classes=4, on=None) -> Plan:
    short = ["data.max_length=8"] if on in SMALL else []  # they have 20 positions
    loaded = Recipe.load(recipe, [*short, *overrides]).dearest
    return plan(loaded, classes=classes, encoder=encoder(on or loaded.base, classes))


def small_plan(family, *overrides):
    """A plan without a cap for every linear layer of a family's small encoder."""
    free = ("adapter.targets=all", "adapter.rank=2", "adapter.dropout=0", "budget.parameters=null")
    return planned(*free, *overrides, classes=4, on=family)


def by_layer(found: Plan, kind="query"):
    """The rank of a kind of linear layer, by depth, 0 where there is none."""
    ranks = {site.layer: rank for site in found.sites for rank in [found.ranks[site.name]] if site.kind == kind}
    return [ranks.get(layer, 0) for layer in range(found.encoder.layers)]


POLICIES = st.one_of(
    st.sampled_from(["uniform", "{policy: last-k, k: half}", "{policy: last-k, k: 1}", "{policy: first-and-last, k: 1}"]),
    st.integers(1, 5).map("{{policy: by-depth, groups: {}, growth: 2}}".format),
    st.integers(1, 5).map("{{policy: fibonacci, groups: {}}}".format),
)
NOT_BY_ONE = ("hra", "unilora")  # whose ranks come in pairs, or cost nothing
WITH_RANKS = [name for name, row in METHODS.items() if row.has_ranks and name not in NOT_BY_ONE]
EVEN_ONLY = [name for name, row in METHODS.items() if row.has_ranks and row.refused_policies]


def allowed(**choices):
    """The choices, or the nearest that the method does not refuse."""
    method, policy = choices["adapter.method"], choices["adapter.allocate"]
    evened = "uniform" if method in EVEN_ONLY and "last-k" not in policy else policy
    if METHODS[method].like_lora:
        return {**choices, "adapter.allocate": evened}
    return {**choices, "adapter.allocate": evened, "adapter.bias": "none", "adapter.dropout": 0}


CHOICES = st.fixed_dictionaries(
    {
        "adapter.allocate": POLICIES,
        "adapter.method": st.sampled_from(WITH_RANKS),
        "adapter.bias": st.sampled_from(["none", "lora_only", "all"]),
        "head.kind": st.sampled_from(["stock", "slim"]),
    }
).map(lambda choices: allowed(**choices))


def refusal(*overrides, recipe="uniform-qkv", on=None):
    with pytest.raises(OverBudget) as caught:
        planned(*overrides, recipe=recipe, on=on)
    return caught.value


def applied(typed):
    """`--set a=b --budget N --rung NAME`, as typed, → overrides."""
    words = shlex.split(typed)
    assert len(words) % 2 == 0
    pairs = list(zip(words[::2], words[1::2], strict=True))
    keys = {"--set": "{}", "--budget": "budget.parameters={}", "--rung": "rungs=[{}]"}
    return [keys[option].format(value) for option, value in pairs]


def explicit(ranks, *overrides, **options):
    return planned(f"adapter.allocate={{policy: explicit, ranks: {json.dumps(ranks)}}}", *overrides, **options)
