"""A recipe takes overrides, is named by what it computes, and comes back from YAML and JSON as it was."""

from __future__ import annotations

import ast
import inspect
import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from rankwise.errors import RecipeError
from rankwise.recipe import SourceSpec, adapter, data, train
from rankwise.recipe import recipe as recipe_module
from rankwise.recipe.adapter import Fibonacci, LastK
from rankwise.recipe.recipe import Recipe, builtin_recipes
from rankwise.recipe.values import Spec
from rankwise.recipe.yaml import read_text

BUILT_IN = [
    "quickstart",
    "auto",
    "kaggle-decoder",
    "tiered-rmsprop",
    "tiered-adamw",
    "uniform-qkv",
    "depth-scaled-query",
    "rank4-adam",
    "distilbert-full",
    "distilbert-lora",
    "distilbert-loraplus",
]
SPECS = {
    name: kind
    for module in (adapter, data, train, recipe_module)
    for name, kind in vars(module).items()
    if isinstance(kind, type) and issubclass(kind, Spec) and kind is not Spec
}


# ------------------------------------------------------------------------------------------------------------ overrides


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("train.epochs=2", ("train", "epochs"), 2.0),
        ("train.learning_rate=1e-4", ("train", "learning_rate"), 1e-4),
        ("train.warmup=10%", ("train", "warmup"), 0.1),
        ("name=no", ("name",), "no"),
        ("name=a=b", ("name",), "a=b"),
        ("summary=", ("summary",), ""),
        ("budget.parameters=null", ("budget", "parameters"), None),
        ("adapter.targets=[key,value]", ("adapter", "targets"), ["key", "value"]),
        ("data.split.seed=7", ("data", "split", "seed"), 7),
        ("train.class_weights.World=2", ("train", "class_weights"), {"World": 2.0}),
    ],
)
def test_an_override_sets_one_value(override, path, value):
    tree = Recipe.load("uniform-qkv", [override]).to_dict()
    for key in path:
        tree = tree[key]
    assert tree == value


def test_an_override_leaves_its_neighbours(read):
    loaded = read("train: {epochs: 5, optimizer: {name: sgd, momentum: 0.9}}", "train.optimizer.momentum=0.5")
    assert (loaded.train.epochs, loaded.train.optimizer.name, loaded.train.optimizer.momentum) == (5.0, "sgd", 0.5)


def test_the_last_override_of_a_key_wins():
    assert Recipe.load("auto", ["train.seed=1", "train.seed=2"]).train.seed == 2


@pytest.mark.parametrize(
    ("overrides", "policy"),
    [
        (["adapter.allocate=last-k"], LastK(policy="last-k")),
        (["adapter.allocate=last-k", "adapter.allocate.k=2"], LastK(policy="last-k", k=2)),
        (["adapter.allocate.policy=last-k", "adapter.allocate.k=half"], LastK(policy="last-k", k="half")),
        (["adapter.allocate={policy: fibonacci, groups: 4}"], Fibonacci(policy="fibonacci", groups=4)),
    ],
)
def test_a_policy_can_be_overridden_in_its_short_and_its_long_form(overrides, policy):
    assert Recipe.load("uniform-qkv", overrides).adapter.allocate == policy
    assert Recipe.load("uniform-qkv").with_overrides(overrides).adapter.allocate == policy


def test_a_short_policy_in_the_file_can_be_refined_by_an_override(read):
    assert read("adapter:\n  allocate: last-k\n", "adapter.allocate.k=2").adapter.allocate.k == 2


def test_a_short_optimizer_in_the_file_can_be_refined_by_an_override(read):
    optimizer = read("train:\n  optimizer: sgd\n", "train.optimizer.momentum=0.9").train.optimizer
    assert (optimizer.name, optimizer.momentum) == ("sgd", 0.9)


def test_a_short_source_in_the_file_can_be_refined_by_an_override(read):
    assert read("data: {test: a.csv}\n", "data.test.label=topic").data.test == SourceSpec(path="a.csv", label="topic")


@pytest.mark.parametrize(
    ("mapping", "typed"),
    [
        ({"train.epochs": 1}, ["train.epochs=1"]),
        ({"train": {"epochs": 1, "rates": {"head": 0.01}}}, ["train.epochs=1", "train.rates.head=0.01"]),
        ({"data": {"text": ("subject", "body")}, "data.label": "queue"}, ["data.text=[subject, body]", "data.label=queue"]),
        ({"adapter.allocate": {"policy": "last-k", "k": 2}}, ["adapter.allocate={policy: last-k, k: 2}"]),
        ({"train.optimizer": "muon", "train.optimizer.eps": 1e-6}, ["train.optimizer=muon", "train.optimizer.eps=1.0e-6"]),
        ({"train.class_weights": {"a": 2.0}}, ["train.class_weights={a: 2.0}"]),
        ({"budget.parameters": None}, ["budget.parameters=null"]),
        ({"base": Path("some") / "folder"}, ["base=some/folder"]),
        ({"data.source": "a: b # c"}, ['data.source="a: b # c"']),
        ({}, []),
    ],
)
def test_overrides_may_be_a_mapping_of_keys_and_values(mapping, typed):
    assert Recipe.load("auto", mapping) == Recipe.load("auto", typed)
    assert Recipe.load("auto").with_overrides(mapping) == Recipe.load("auto").with_overrides(typed)


@pytest.mark.parametrize(
    ("mapping", "says"),
    [
        ({"train.epoch": 1}, "--set train.epoch=1: unknown key 'train.epoch'; did you mean 'train.epochs'?"),
        ({"train": {"epochs": -1}}, "--set train.epochs=-1: train.epochs: found -1, expected greater than 0"),
        ({"": 1}, "overrides have the key ''; expected one such as 'train.epochs'"),
    ],
)
def test_a_mapping_is_refused_as_what_is_typed_is(mapping, says):
    with pytest.raises(RecipeError) as caught:
        Recipe.load("auto", mapping)
    assert str(caught.value) == says


def test_what_is_kept_of_texts_does_not_change_what_is_computed():
    recipe = Recipe.load("auto")
    assert recipe.with_overrides(["evaluate.keep_texts=false"]).fingerprint == recipe.fingerprint


def test_with_overrides_leaves_the_recipe_it_starts_from():
    before = Recipe.load("auto")
    after = before.with_overrides(["train.epochs=9"])
    assert (before.train.epochs, after.train.epochs) == (3.0, 9.0)
    assert before == Recipe.load("auto")


@pytest.mark.parametrize("override", ["train.epochs", "=3", "train..epochs=2", "", ".=1", "train.=1"])
def test_an_override_without_key_and_value_is_refused_with_an_example(override):
    with pytest.raises(RecipeError) as caught:
        Recipe.load("auto", [override])
    assert str(caught.value) == f"--set {override}: expected key=value, such as train.epochs=2"


@pytest.mark.parametrize(
    "override", ["train.epochs=[1", "name='x", "name=a: b: c", "data.source=@x", "name=2020-13-45", "name=" + "[" * 500]
)
def test_an_override_whose_value_is_no_yaml_is_refused(override):
    with pytest.raises(RecipeError, match=r"^--set "):
        Recipe.load("auto", [override])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epoch=1", "--set train.epoch=1: unknown key 'train.epoch'; did you mean 'train.epochs'?"),
        (
            "train.epochs=x",
            "--set train.epochs=x: train.epochs: found 'x', expected a valid number, unable to parse string as a number",
        ),
        ("base.rank=3", "--set base.rank=3: base: found {'rank': 3}, expected a valid string"),
        ("adapter.rank.x=3", "--set adapter.rank.x=3: adapter.rank: found {'x': 3}, expected a valid integer, or 'max'"),
    ],
)
def test_a_mistake_in_an_override_is_traced_to_the_override(override, message):
    with pytest.raises(RecipeError) as caught:
        Recipe.load("auto", ["train.seed=1", override])
    assert str(caught.value) == message


# --------------------------------------------------------------------------------------------- fingerprint, round trips


def test_the_fingerprint_is_a_sha256_and_the_same_in_every_process():
    program = "from rankwise.recipe.recipe import Recipe; print(Recipe.load('rank4-adam').fingerprint)"
    fingerprints = {Recipe.load("rank4-adam").fingerprint}
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
        fingerprints.add(done.stdout.strip())
    assert len(fingerprints) == 1
    assert len(fingerprints.pop()) == 64


@pytest.mark.parametrize("override", ["name=x", "summary=y", "published=null", "train.trackers=[wandb]", "data.source=a.csv"])
def test_the_fingerprint_ignores_what_changes_no_result(override):
    recipe = Recipe.load("tiered-adamw")
    changed = recipe.with_overrides([override])
    assert changed != recipe
    assert changed.fingerprint == recipe.fingerprint


@pytest.mark.parametrize(
    "override",
    [
        "base=roberta-large",
        "revision=abc",
        "data.clean=[html]",
        "data.max_length=64",
        "data.split.seed=1",
        "data.rows=10",
        "adapter.method=dora",
        "adapter.rank=3",
        "adapter.alpha=1",
        "adapter.allocate.k=half",
        "head.kind=slim",
        "budget.parameters=999999",
        "train.seed=1",
        "train.epochs=1",
        "train.rates.head=1e-4",
        "train.optimizer.weight_decay=0.5",
        "train.precision=bf16",
        "evaluate.resamples=7",
    ],
)
def test_the_fingerprint_follows_every_setting_that_is_computed_with(override):
    recipe = Recipe.load("tiered-adamw")
    assert recipe.with_overrides([override]).fingerprint != recipe.fingerprint


def test_writing_a_default_out_changes_no_fingerprint(read):
    assert read("train: {epochs: 3}\nbase: minilm").fingerprint == Recipe().fingerprint


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_recipe_written_as_yaml_reads_back_equal(name, tmp_path):
    recipe = Recipe.load(name)
    path = tmp_path / "again.yaml"
    path.write_text(recipe.to_yaml(), "utf-8")
    assert Recipe.load(path) == recipe
    assert Recipe.load(path).fingerprint == recipe.fingerprint


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_recipe_as_plain_values_is_json_and_reads_back_equal(name):
    recipe = Recipe.load(name)
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


PLAIN_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t"), max_size=40)
TREES = st.fixed_dictionaries(
    {
        "name": PLAIN_TEXT.filter(lambda name: name.strip() and name[0] != "." and not set(name) & set("/\\\0")),
        "data": st.fixed_dictionaries(
            {
                "classes": st.lists(PLAIN_TEXT, max_size=4),
                "join": PLAIN_TEXT,
                "max_length": st.sampled_from([64, "99.5%", 0.5]),
                "train": st.one_of(
                    st.none(), st.fixed_dictionaries({"path": PLAIN_TEXT, "text": st.lists(st.integers(0, 9))})
                ),
            }
        ),
        "adapter": st.fixed_dictionaries(
            {
                "rank": st.integers(1, 99),
                "alpha": st.one_of(st.none(), st.floats(1e-9, 1e9)),
                "allocate": st.sampled_from(
                    ["uniform", {"policy": "last-k", "k": "half"}, {"policy": "explicit", "ranks": {"*.query": 4, "11.*": 0}}]
                ),
            }
        ),
        "train": st.fixed_dictionaries(
            {
                "learning_rate": st.floats(1e-12, 9.9),
                "warmup": st.sampled_from([0, "6%", 500]),
                "class_weights": st.one_of(st.just("balanced"), st.dictionaries(PLAIN_TEXT, st.floats(0.1, 9), max_size=3)),
            }
        ),
    }
)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TREES)
def test_any_recipe_survives_yaml(tmp_path, tree):
    recipe = Recipe.from_dict(tree)
    path = tmp_path / "again.yaml"
    path.write_text(recipe.to_yaml(), "utf-8")
    assert Recipe.load(path) == recipe


@pytest.mark.parametrize(
    "name", ["?", "?!", ":)", ":a", "no", "1", "1e-4", "~", "- a", "a: b", "#", "x\x85y", " a ", "%", "{", ""]
)
def test_a_class_name_that_looks_like_yaml_survives_it(name, tmp_path):
    recipe = Recipe.from_dict({"data": {"classes": [name, "b"]}, "train": {"class_weights": {name: 2}}})
    path = tmp_path / "again.yaml"
    path.write_text(recipe.to_yaml(), "utf-8")
    assert Recipe.load(path) == recipe


def test_from_dict_refuses_like_a_file_does():
    with pytest.raises(RecipeError, match=r"^recipe: unknown key 'train\.epoch'; did you mean 'train.epochs'\?$"):
        Recipe.from_dict({"train": {"epoch": 1}})


# ------------------------------------------------------------------------------------------------- what ships, and docs


def test_eleven_recipes_are_built_in_in_the_order_of_their_reports():
    assert builtin_recipes() == BUILT_IN


def test_a_shipped_recipe_is_named_as_its_file_and_says_what_it_is_for():
    recipes = {name: Recipe.load(name) for name in BUILT_IN}
    assert [name for name, recipe in recipes.items() if recipe.name != name or len(recipe.summary) <= 20] == []
    reports = [recipes[name].published for name in BUILT_IN[3:]]
    assert [report.report for report in reports if not report.notes] == []
    assert {report.report[:3] for report in reports} == {"000", "001", "002", "003", "004"}


def test_the_source_text_of_a_recipe_is_its_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("# mine\nbase: minilm\n", "utf-8")
    assert read_text(path, "recipe")[1] == "# mine\nbase: minilm\n"
    assert read_text("auto", "recipe")[1].startswith("name: auto\n")


def fields_with_a_text(spec):
    """The fields of a spec that a string stands under, as its source has them."""
    body = ast.parse(inspect.getsource(spec)).body[0].body
    return {field.target.id for field, text in pairwise(body) if isinstance(field, ast.AnnAssign) and is_string(text)}


def is_string(node):
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def models_in(annotation):
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in models_in(part)]


def test_every_field_is_documented_by_its_text_or_by_its_specs_own():
    silent = [
        f"{kind.__name__}.{name}"
        for kind in SPECS.values()
        for name, field in kind.model_fields.items()
        if name not in fields_with_a_text(kind)
        and not [model for model in models_in(field.annotation) if vars(model).get("__doc__")]
        and name != "policy"  # a policy's name is told by the class that it chooses
    ]
    assert silent == []
    assert [kind for kind in SPECS.values() if not vars(kind)["__doc__"]] == []


def test_the_specs_under_test_are_all_of_them():
    assert {"Recipe", "DataSpec", "AdapterSpec", "LastK", "TrainSpec", "Published"} <= set(SPECS)
    assert len(SPECS) >= 19


@pytest.mark.parametrize("named", ["base=roberta-base", "adapter.method=full", "adapter.rank=4", "head.kind=slim"])
def test_who_names_an_encoder_an_adapter_or_a_head_gets_one(named):
    assert Recipe.load("auto", [named]).rungs == ("features", "top", "all")
    assert Recipe.load("auto").with_overrides([named]).rungs == ("features", "top", "all")
    assert Recipe.load("auto", [named, "rungs=[tfidf,all]"]).rungs == ("tfidf", "all")


def test_what_else_is_changed_leaves_the_rungs_as_they_are():
    auto = Recipe.load("auto")
    assert Recipe.load("auto", ["base=minilm", "train.epochs=2", "budget.parameters=500"]).rungs == auto.rungs
    assert auto.rung("tfidf").rungs == ("tfidf",)
    assert auto.rung("tfidf").with_overrides(["adapter.method=head"]).rungs == ("tfidf",)


def test_a_ladder_without_its_climb_is_its_dearest_rung():
    auto = Recipe.load("auto")
    assert auto.without_climb == auto.with_overrides(["rungs=[]"])
    assert auto.without_climb.without_climb == auto.without_climb
    alone = auto.with_overrides(["rungs=[tfidf,features]"]).without_climb
    assert (alone.rungs, alone.adapter.method, alone.train.max_steps) == ((), "head", 0)
    assert Recipe.load("rank4-adam").without_climb == Recipe.load("rank4-adam")
    with pytest.raises(RecipeError, match="rungs is tfidf alone, which trains no encoder; name another: --set rungs=all"):
        auto.rung("tfidf").without_climb  # noqa: B018


def test_rungs_that_are_named_stay_though_they_are_those_of_auto():
    whole = list(Recipe.load("auto").rungs)
    assert Recipe.load("auto", ["base=roberta-base", "rungs=[tfidf,features,top,all]"]).rungs == tuple(whole)
    assert Recipe.load("auto", {"base": "roberta-base", "rungs": whole}).rungs == tuple(whole)
