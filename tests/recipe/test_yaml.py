"""YAML is read exactly as written; what holds no plain values, or is no YAML, is refused with file and line."""

from __future__ import annotations

import json
import os
import time

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rankwise.errors import RecipeError
from rankwise.recipe import OptimizerSpec, Recipe, SourceSpec
from rankwise.recipe.adapter import Fibonacci
from rankwise.recipe.yaml import MAX_BYTES, dump, parse, parse_value


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
    assert loaded.data.train == SourceSpec(path="a.csv")
    assert loaded.adapter.allocate == Fibonacci(policy="fibonacci")
    assert loaded.train.optimizer == OptimizerSpec(name="muon")


def test_anchors_and_merge_keys_are_yaml_too(read):
    loaded = read("train: &x\n  epochs: 1\n  <<: {batch_size: 4, epochs: 9}\n")
    assert (loaded.train.epochs, loaded.train.batch_size) == (1.0, 4)


def test_one_override_is_not_taken_for_a_list():
    with pytest.raises(RecipeError, match=r"expected a list of 'key=value', such as \['train\.epochs=2'\], or a mapping"):
        Recipe.load("auto", "train.epochs=1")


def test_a_long_value_is_quoted_in_part(read):
    with pytest.raises(RecipeError) as caught:
        Recipe.load("auto", [f"train.epochs={'x' * 500}"])
    assert len(str(caught.value).partition("found ")[2]) < 200


def test_a_recipe_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Recipe().base = "roberta-base"


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
    assert refused("base: minilm\ntrain:\n\tepochs: 1\n").startswith("r.yaml:3: found character")


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


# --------------------------------------------------------------------------------------------------------------- bounds

DOUBLED = "a: &a0 [x, x]\n" + "".join(f"b{n}: &a{n + 1} [*a{n}, *a{n}]\n" for n in range(40))
MERGED = "a: &a0 {x: 1}\n" + "".join(f"b{n}: &a{n + 1} {{<<: [*a{n}, *a{n}], y{n}: 1}}\n" for n in range(18))
LONG_NAMES = f"a: &a [{'x' * 10_000}]\n" + "b: [" + "*a , " * 9_000 + "]\n"


@pytest.mark.parametrize("text", [DOUBLED, LONG_NAMES], ids=["doubled", "long"])
def test_anchors_that_expand_without_bound_are_refused_at_once(refused, text):
    started = time.process_time()
    assert refused(text) == "r.yaml: its anchors expand to more than a recipe holds; write the values out"
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * 2_000,
        "a: " + "[" * 100 + "]" * 100,
        "a: " + "{a: " * 100 + "1" + "}" * 100,
        "- " * 300 + "x",
        "".join(f"{' ' * depth}a:\n" for depth in range(300)),
    ],
    ids=["open", "lists", "maps", "dashes", "indents"],
)
def test_values_that_are_nested_without_end_are_refused_at_once(refused, text):
    started = time.process_time()
    assert refused(text) == "r.yaml: values are nested more than 50 deep, which no recipe's are"
    assert time.process_time() - started < 1


@pytest.mark.parametrize("text", ["a: &a [*a]", "a: &a {b: *a}"], ids=["list", "map"])
def test_anchors_that_name_themselves_are_refused(refused, text):
    assert refused(text) == "r.yaml: its anchors expand to more than a recipe holds; write the values out"


def test_anchors_that_merge_each_other_are_read_in_no_time(refused):
    started = time.process_time()
    assert refused(MERGED).startswith("r.yaml:1: unknown key 'a'")
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train:\n  <<: [1]\n", "r.yaml:2: expected a mapping to merge after '<<', or a list of them"),
        ("? [a, b]\n: 1\n", "r.yaml:1: a key is a sequence; expected a word"),
        ("name: 2020-01-01\n", "r.yaml: 2020-01-01 (a date) is not a value that a recipe holds; quote it"),
    ],
)
def test_what_is_neither_a_key_nor_a_value_is_refused_in_words(refused, text, expected):
    assert refused(text) == expected


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("0x1F", 31),
        ("0o17", 15),
        ("007", 7),
        ("1_000", 1000),
        ("-3", -3),
        ("1e5", 1e5),
        ("1.", 1.0),
        (".5", 0.5),
        ("-.inf", float("-inf")),
        ("~", None),
        ("Null", None),
        ("TRUE", True),
        ("nULL", "nULL"),
        ("0b2", "0b2"),
        ("1:30", "1:30"),
        ("=", "="),
        ("1e", "1e"),
        ("'1'", "1"),
        ("!!str 5", "5"),
        ("!!float 5", 5.0),
    ],
)
def test_words_are_what_yaml_1_2_says(written, meant):
    assert parse_value("x", written) == meant
    assert type(parse_value("x", written)) is type(meant)


WORDS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()


@given(st.recursive(WORDS, lambda inner: st.lists(inner, max_size=3)))
def test_what_is_written_reads_back_and_no_other_reader_takes_a_string_for_anything_else(value):
    assert parse("x", dump({"a": value, "b": {"c": value}}))[0] == {"a": value, "b": {"c": value}}
    assert not isinstance(value, str) or yaml.safe_load(dump({"a": value})) == {"a": value}


@pytest.mark.parametrize("name", ["😀.csv", "𒀀𒀀", "\\ud83d", "a\\\\ud83d\\ude00"])
def test_what_json_says_of_a_name_is_read_as_that_name(read, name):
    assert Recipe.load("quickstart", [f"data.source={json.dumps(name)}"]).data.source == name
    assert read(f"base: {json.dumps(name)}\n").base == name


def test_an_override_is_bounded_too():
    with pytest.raises(RecipeError, match="values are nested more than 50 deep"):
        Recipe.load("auto", ["data.classes=" + "[" * 5_000])
