"""A recipe is read exactly as written, refused with file, line and key, and named by what it computes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from rankwise import recipe as specs
from rankwise.errors import RecipeError
from rankwise.recipe import recipe as recipe_module
from rankwise.recipe.recipe import Recipe, builtin_recipes, source_text
from rankwise.recipe.yaml import MAX_BYTES

BUILT_IN = [
    "quickstart",
    "auto",
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
    for module in (specs, recipe_module)
    for name, kind in vars(module).items()
    if isinstance(kind, type) and issubclass(kind, specs.Spec) and kind is not specs.Spec
}


@pytest.fixture
def read(tmp_path, monkeypatch):
    """YAML text → the recipe, read from r.yaml in the current folder, so that messages start with `r.yaml:`."""
    monkeypatch.chdir(tmp_path)

    def load(text, *overrides):
        Path("r.yaml").write_text(text, "utf-8")
        return Recipe.load("r.yaml", overrides)

    return load


@pytest.fixture
def refused(read):
    """YAML text → the message of its refusal."""

    def message(text, *overrides):
        with pytest.raises(RecipeError) as caught:
            read(text, *overrides)
        return str(caught.value)

    return message


# ---------------------------------------------------------------------------------------------------------- plain values


def test_1e_4_is_a_number(read):
    assert read("train: {learning_rate: 1e-4}").train.learning_rate == 0.0001


@pytest.mark.parametrize("word", ["no", "yes", "on", "off", "NO", "y"])
def test_no_and_its_like_are_strings(read, word):
    assert read(f"summary: {word}\ndata: {{classes: [{word}, maybe]}}").data.classes == (word, "maybe")
    assert read(f"summary: {word}").summary == word


@pytest.mark.parametrize(
    ("written", "meant"), [("6%", 0.06), ("99.5%", 0.995), ("0", 0.0), ("0.25", 0.25), ("100", 100.0), (" 6 %", 0.06)]
)
def test_a_percentage_is_a_share_and_a_number_stays(read, written, meant):
    assert read(f"train: {{warmup: {written}}}").train.warmup == pytest.approx(meant)


@given(st.floats(0.01, 99.9))
def test_every_percentage_is_its_hundredth(percent):
    assert Recipe.from_dict({"data": {"max_length": f"{percent}%"}}).data.max_length == pytest.approx(percent / 100)


@pytest.mark.parametrize("written", ["x%", "%", "6%%"])
def test_what_only_looks_like_a_percentage_is_refused(refused, written):
    assert refused(f"train:\n  warmup: '{written}'\n") == (
        f"r.yaml:2: train.warmup: '{written}' is not a percentage; write it like 6%"
    )


def test_a_single_column_or_target_needs_no_list(read):
    loaded = read("data: {text: title, train: {path: a.csv, text: 1}}\nadapter: {targets: key}")
    assert (loaded.data.text, loaded.data.train.text, loaded.adapter.targets) == (("title",), (1,), ("key",))


def test_short_forms_stand_for_specs(read):
    loaded = read("data: {train: a.csv}\nadapter: {allocate: fibonacci}\ntrain: {optimizer: muon}")
    assert loaded.data.train == specs.SourceSpec(path="a.csv")
    assert loaded.adapter.allocate == specs.Fibonacci(policy="fibonacci")
    assert loaded.train.optimizer == specs.OptimizerSpec(name="muon")


def test_anchors_and_merge_keys_are_yaml_too(read):
    loaded = read("train: &x\n  epochs: 1\n  <<: {batch_size: 4, epochs: 9}\n")
    assert (loaded.train.epochs, loaded.train.batch_size) == (1.0, 4)


@pytest.mark.parametrize("overrides", ["train.epochs=1", {"train.epochs": 1}])
def test_overrides_are_a_list(overrides):
    with pytest.raises(RecipeError, match=r"expected a list of 'key=value', such as \['train\.epochs=2'\]"):
        Recipe.load("auto", overrides)


def test_a_long_value_is_quoted_in_part(read):
    with pytest.raises(RecipeError) as caught:
        Recipe.load("auto", [f"train.epochs={'x' * 500}"])
    assert len(str(caught.value).partition("found ")[2]) < 200


def test_a_recipe_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Recipe().base = "roberta-base"


# ---------------------------------------------------------------------------------------------------------- unknown keys


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("base: minilm\nbudgt: {parameters: 3}\n", "r.yaml:2: unknown key 'budgt'; did you mean 'budget'?"),
        (
            "train:\n  optimizer:\n    name: adam\n    momentun: 0.1\n",
            "r.yaml:4: unknown key 'train.optimizer.momentun'; did you mean 'train.optimizer.momentum'?",
        ),
        (
            "adapter:\n  allocate:\n    policy: by-depth\n    grups: 3\n",
            "r.yaml:4: unknown key 'adapter.allocate.grups'; did you mean 'adapter.allocate.groups'?",
        ),
        (
            "data:\n  train:\n    path: a.csv\n\n    txt: [a]\n",
            "r.yaml:5: unknown key 'data.train.txt'; did you mean 'data.train.text'?",
        ),
        (
            "data:\n  split: {validaton: 3}\n",
            "r.yaml:2: unknown key 'data.split.validaton'; did you mean 'data.split.validation'?",
        ),
        ("# a comment\n\nzzz: 1\n", "r.yaml:3: unknown key 'zzz'; rankwise recipes show auto --full lists all"),
        ("learning_rate: 1\n", "r.yaml:1: unknown key 'learning_rate'; did you mean 'train.learning_rate'?"),
        ("adapter:\n  r: 8\n", "r.yaml:2: unknown key 'adapter.r'; did you mean 'adapter.rank'?"),
        ("lora_alpha: 8\n", "r.yaml:1: unknown key 'lora_alpha'; did you mean 'adapter.alpha'?"),
        ("train: {max_lenght: 8}\n", "r.yaml:1: unknown key 'train.max_lenght'; did you mean 'data.max_length'?"),
    ],
    ids=[
        "top",
        "in an optimizer",
        "in a policy",
        "in a source",
        "in one line",
        "nothing near",
        "without its section",
        "of peft",
        "of other tools",
        "in another section",
    ],
)
def test_an_unknown_key_is_refused_with_its_line_and_the_nearest_known_key(refused, text, message):
    assert refused(text) == message


def test_a_key_of_another_policy_is_not_offered_as_its_own_correction(refused):
    message = refused("adapter:\n  allocate:\n    policy: last-k\n    growth: 3\n")
    assert message.startswith("r.yaml:4: unknown key 'adapter.allocate.growth'")
    assert "mean 'growth'" not in message


def test_every_unknown_key_is_named_at_once(refused):
    assert [line.split(":")[1] for line in refused("bace: a\ntrian: b\nhaed: c\n").splitlines()] == ["1", "2", "3"]


def test_a_duplicate_key_is_refused_with_its_line(refused):
    message = refused("base: minilm\ntrain:\n  epochs: 1\n  epochs: 2\n")
    assert message.startswith("r.yaml:4: found duplicate key")
    assert "epochs" in message


# ---------------------------------------------------------------------------------------------------- not plain values


@pytest.mark.parametrize(
    "text",
    [
        "base: !!python/object/apply:os.system [echo pwned > proof]\n",
        "base: !!python/name:os.system\n",
        "train: !!python/object:builtins.dict {epochs: 1}\n",
        "base: !anything x\n",
        "train: !anything {epochs: 1}\n",
        "data: {classes: [!anything x]}\n",
    ],
)
def test_a_tag_is_refused_and_nothing_runs(refused, text):
    message = refused(text)
    assert message.startswith("r.yaml: the tag ")
    assert message.endswith(" is not allowed; a recipe holds plain values")
    assert os.listdir() == ["r.yaml"]


def test_a_python_tag_in_an_override_is_refused():
    with pytest.raises(RecipeError, match="not allowed"):
        Recipe.load("auto", ["train.epochs=!!python/name:os.system"])


@pytest.mark.parametrize(
    "text",
    [
        "name: 2020-01-01\n",
        "base: !!binary aGVsbG8=\n",
        "data: !!set {a, b}\n",
        "- a\n",
        "",
        "base\n",
        "data: !!omap [a: b]\n",
    ],
)
def test_what_is_no_mapping_of_plain_values_is_refused(refused, text):
    assert refused(text).startswith("r.yaml:")


@pytest.mark.parametrize("text", ["train:\n\tepochs: 1\n", "train: {epochs: 1\n", "a: b\n---\na: c\n", "name: 2020-13-45\n"])
def test_broken_yaml_is_a_recipe_error(refused, text):
    assert refused(text).startswith("r.yaml:")


def test_broken_yaml_names_its_line(refused):
    assert refused("base: minilm\ntrain:\n\tepochs: 1\n").startswith("r.yaml:3: found character '\\t'")


def test_nesting_without_end_is_a_recipe_error(refused):
    assert refused("name: " + "[" * 500 + "]" * 500).startswith("r.yaml: ")


def test_a_file_too_large_to_be_a_recipe_is_not_parsed(refused):
    assert f"a recipe has fewer than {MAX_BYTES:,}" in refused("#" * (MAX_BYTES + 1))


def test_a_file_that_is_no_utf_8_is_refused_with_the_byte(tmp_path):
    path = tmp_path / "latin.yaml"
    path.write_bytes("name: café".encode("latin-1"))
    with pytest.raises(RecipeError, match="not UTF-8 at byte 9"):
        Recipe.load(path)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("autoo", "no recipe is called 'autoo'; did you mean 'auto'? Built in: quickstart, auto,"),
        ("zzzzz", "no recipe is called 'zzzzz'. Built in: quickstart, auto,"),
        ("missing.yaml", "missing.yaml: no such file"),
        ("some/where", "some/where: no such file"),
        (".", ". is a folder"),
    ],
)
def test_a_recipe_that_is_not_there_is_refused_by_name(name, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError) as caught:
        Recipe.load(name)
    assert str(caught.value).startswith(expected)


# ------------------------------------------------------------------------------------------------------- out of range

OUT_OF_RANGE = {
    "adapter.rank": ["0", "-1", "1.5", "huge"],
    "adapter.alpha": ["0", "-2", "x"],
    "adapter.dropout": ["1", "-0.1"],
    "adapter.targets": ["[qurey]", "everything"],
    "adapter.method": ["lorra"],
    "adapter.bias": ["some"],
    "adapter.quantize": ["int8"],
    "head.kind": ["fat"],
    "budget.parameters": ["0", "-5", "1.5", "lots"],
    "train.learning_rate": ["0", "-1", "nan", ".nan", ".inf", "1e3", "[1]"],
    "train.epochs": ["0", "-1", ".inf", "many"],
    "train.batch_size": ["0", "1.5"],
    "train.schedule": ["exponential"],
    "train.precision": ["int8"],
    "train.label_smoothing": ["1", "-0.1"],
    "train.warmup": ["-1", "-6%", "100%", "2.5"],
    "train.evaluate_every": ["0", "sometimes", "100%", "1.5"],
    "train.seed": ["-1", "1.5"],
    "train.class_weights": ["balance", "{a: -1}"],
    "data.max_length": ["0", "3", "-1", "4.5", "many"],
    "data.length_percentiles": ["[99, 1]", "[-1, 50]", "[0, 101]", "[5]"],
    "data.clean": ["[html, htlm]"],
    "evaluate.confidence": ["0", "1", "100%"],
    "published.report": ["7"],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in OUT_OF_RANGE.items() for value in values])
def test_a_value_out_of_range_is_refused_with_its_line_and_key(refused, key, value):
    section, field = key.split(".")
    for line in refused(f"name: x\n\n{section}:\n  # the next line is wrong\n  {field}: {value}\n").splitlines():
        assert line.startswith(f"r.yaml:5: {key}")


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("adapter:\n  allocate:\n    policy: last-k\n    k: fifth\n", 4, "adapter.allocate.k"),
        ("adapter:\n  allocate:\n    policy: last-k\n    k: 0\n", 4, "adapter.allocate.k"),
        ("adapter:\n  allocate:\n    policy: explicit\n    ranks: {'*.query': -4}\n", 4, "adapter.allocate.ranks"),
        ("adapter:\n  allocate:\n    policy: explicit\n", 2, "adapter.allocate.ranks"),
        ("train:\n  rates:\n    tiers: [1e-5, -1]\n", 3, "train.rates.tiers.1"),
        ("train:\n  early_stop:\n    min_delta: 1\n", 2, "train.early_stop.patience"),
        ("train:\n\n  optimizer: sdg\n", 3, "train.optimizer"),
        ("train:\n  optimizer:\n    name: adam\n    betas: [0.9, 1.5]\n", 4, "train.optimizer.betas.1"),
        ("train:\n  rates:\n    head: 1000\n", 3, "train.rates.head"),
        ("data:\n  split:\n    validation: 0\n", 3, "data.split.validation"),
        ("data:\n  split:\n    test: 150%\n", 3, "data.split.test"),
        ("data:\n  split:\n    seed: -5\n", 3, "data.split.seed"),
        ("train: 3\n", 1, "train"),
    ],
)
def test_a_wrong_value_deep_down_is_refused_with_its_line_and_key(refused, text, line, key):
    for message in refused(text).splitlines():
        assert message.startswith(f"r.yaml:{line}: {key}")


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "..", ".x", "''", "' '"])
def test_a_name_that_would_lead_elsewhere_is_refused(refused, name):
    assert refused(f"name: {name}\n").startswith("r.yaml:1: name: ")


def test_a_control_character_is_no_yaml(refused):
    assert refused("name: x\x01\n").startswith("r.yaml: ")


def test_an_unknown_policy_is_answered_with_the_policies(refused):
    message = refused("adapter:\n  allocate: by-deth\n")
    assert message.startswith("r.yaml:2: adapter.allocate: ")
    for policy in ("uniform", "by-depth", "last-k", "first-and-last", "fibonacci", "explicit"):
        assert f"'{policy}'" in message


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("adapter: {alpha: 3, alpha_per_rank: 3}", "give alpha or alpha_per_rank, not both"),
        ("adapter: {method: full, bias: all}", "bias and quantize belong to low-rank methods"),
        ("adapter: {method: head, quantize: nf4}", "bias and quantize belong to low-rank methods"),
        ("adapter: {method: pissa, quantize: nf4}", "can't be quantized"),
        (
            "adapter: {rank: max, allocate: {policy: explicit, ranks: {'*': 1}}}",
            "explicit ranks leave 'rank: max' nothing to solve",
        ),
    ],
)
def test_settings_of_the_adapter_that_contradict_each_other_are_refused(refused, text, reason):
    message = refused(text)
    assert message.startswith("r.yaml:1: adapter: ")
    assert reason in message


def test_a_micro_batch_larger_than_the_batch_is_refused(refused):
    assert "micro_batch_size 8 is larger than batch_size 4" in refused("train: {batch_size: 4, micro_batch_size: 8}")


# ---------------------------------------------------------------------------------------------------------- overrides


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
        (["adapter.allocate=last-k"], specs.LastK(policy="last-k")),
        (["adapter.allocate=last-k", "adapter.allocate.k=2"], specs.LastK(policy="last-k", k=2)),
        (["adapter.allocate.policy=last-k", "adapter.allocate.k=half"], specs.LastK(policy="last-k", k="half")),
        (["adapter.allocate={policy: fibonacci, groups: 4}"], specs.Fibonacci(policy="fibonacci", groups=4)),
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
    assert read("data: {test: a.csv}\n", "data.test.label=topic").data.test == specs.SourceSpec(path="a.csv", label="topic")


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
    ],
)
def test_a_mistake_in_an_override_is_traced_to_the_override(override, message):
    with pytest.raises(RecipeError) as caught:
        Recipe.load("auto", ["train.seed=1", override])
    assert str(caught.value) == message


# -------------------------------------------------------------------------------------------- fingerprint, round trips


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


def test_ten_recipes_are_built_in_in_the_order_of_their_reports():
    assert builtin_recipes() == BUILT_IN


def test_a_shipped_recipe_is_named_as_its_file_and_says_what_it_is_for():
    recipes = {name: Recipe.load(name) for name in BUILT_IN}
    assert [name for name, recipe in recipes.items() if recipe.name != name or len(recipe.summary) <= 20] == []
    reports = [recipes[name].published for name in BUILT_IN[2:]]
    assert [report.report for report in reports if not report.notes] == []
    assert {report.report[:3] for report in reports} == {"000", "001", "002", "003", "004"}


def test_the_source_text_of_a_recipe_is_its_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("# mine\nbase: minilm\n", "utf-8")
    assert source_text(path) == "# mine\nbase: minilm\n"
    assert source_text("auto").startswith("name: auto\n")


def models_in(annotation):
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in models_in(part)]


def test_every_field_is_documented_by_its_text_or_by_its_specs_own():
    silent = [
        f"{kind.__name__}.{name}"
        for kind in SPECS.values()
        for name, field in kind.model_fields.items()
        if not field.description
        and not [model for model in models_in(field.annotation) if vars(model).get("__doc__")]
        and name != "policy"  # a policy's name is told by the class that it chooses
    ]
    assert silent == []
    assert [kind for kind in SPECS.values() if not vars(kind)["__doc__"]] == []


def test_the_specs_under_test_are_all_of_them():
    assert {"Recipe", "DataSpec", "AdapterSpec", "LastK", "TrainSpec", "Published"} <= set(SPECS)
    assert len(SPECS) >= 19
