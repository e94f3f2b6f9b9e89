"""The command line: verbs answer in text and JSON, a user's mistake is one clear line and exit code 2."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import rankwise
from rankwise.cli import app as cli
from rankwise.data.files.table import read_table
from rankwise.errors import Defect
from rankwise.planning.plan import plan
from rankwise.recipe.recipe import Recipe, builtin_recipes
from rankwise.recipe.yaml import read_text
from rankwise.system import cores

NEWS = "text,label\n" + "".join(
    f"{what} number {row} in the {place},{label}\n"
    for row in range(20)
    for what, place, label in [("a goal", "stadium", "Sports"), ("a share", "market", "Business")]
)
ANSI = re.compile("\x1b\\[")


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def type_(capsys, monkeypatch, tmp_path):
    """Type `rankwise …` in an empty folder; what it answers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["rankwise", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        code = ended.value.code
        return Answer(code if isinstance(code, int) else int(code is not None), printed.out, printed.err)

    return run


@pytest.fixture
def news(tmp_path):
    (tmp_path / "news.csv").write_text(NEWS, "utf-8")
    return "news.csv"


def test_the_command_is_the_installed_script():
    (script,) = [point for point in entry_points(group="console_scripts") if point.name == "rankwise"]
    assert script.load() is cli.main


# ------------------------------------------------------------------------------------------------------------- help


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        (["train"], "RECIPE"),
        (["plan"], "[RECIPE]"),
        (["recipes", "show"], "RECIPE"),
        (["learn-curve"], "RECIPE"),
        (["data"], "DATA"),
        (["evaluate"], "RUN DATA"),
        (["predict"], "RUN [DATA]"),
        (["compare"], "RUN..."),
        (["gate"], "NEW"),
        (["report"], "RUN..."),
        (["reproduce"], "[REPORT]"),
        (["sweep"], "SPACE"),
    ],
)
def test_usage_names_arguments_in_one_way(type_, words, arguments):
    assert type_(*words, "--help").out.splitlines()[0].endswith(f"{' '.join(words)} [OPTIONS] {arguments}")


def test_help_lists_the_verbs(type_):
    answer = type_("--help")
    commands = answer.out.partition("Commands:")[2]
    assert re.findall(r"^  ([\w-]+) ", commands, re.MULTILINE) == [
        "train",
        "plan",
        "data",
        "evaluate",
        "decide",
        "predict",
        "serve",
        "export",
        "merge",
        "push",
        "pull",
        "adopt",
        "learn-curve",
        "compare",
        "gate",
        "reproduce",
        "report",
        "sweep",
        "recipes",
    ]
    assert (answer.code, answer.err) == (0, "")


@pytest.mark.parametrize("verb", ["train", "plan", "data", "evaluate", "predict", "learn-curve", "gate", "recipes"])
def test_every_verb_has_help_and_json(type_, verb):
    answer = type_(verb, "-h")
    assert answer.code == 0
    assert "--json" in answer.out


def test_the_help_of_plan_lists_the_bases_that_need_no_network(type_):
    text = "".join(type_("plan", "--help").out.split())
    assert "roberta-base" in text
    assert "albert-base-v2" in text.replace("albert--", "albert-")


def test_the_version_is_printed(type_):
    assert type_("--version").out == f"rankwise {rankwise.__version__}\n"


# ------------------------------------------------------------------------------------------------------------- plan


def test_plan_prints_the_ledger_and_the_picture(type_):
    answer = type_("plan", "uniform-qkv")
    assert (answer.code, answer.err) == (0, "")
    for part in ("uniform-qkv on roberta-base", "980,740", "593,668", "387,072", "125,035,780", "98.1%", "1,000,000"):
        assert part in answer.out
    rows = re.findall(r"^ +(\d+)  .*?32,256$", answer.out, re.MULTILINE)
    assert rows == [str(layer) for layer in reversed(range(12))]


def test_the_picture_shades_by_rank_with_the_last_layer_on_top(type_):
    layers = [line for line in type_("plan", "depth-scaled-query").out.splitlines() if re.match(r"^ +\d+  ", line)]
    assert [re.search(r"[░▒▓█]{2} *(\d+)", line)[0].split() for line in layers] == (
        [["██", "32"]] * 4 + [["▒▒", "16"]] * 4 + [["░░", "8"]] * 4
    )


def test_plan_prints_its_notes(type_):
    assert "note: learning-rate tier 1 (layers 0-3, 1e-05) owns no trained parameter" in type_("plan", "tiered-adamw").out


def test_plan_ledger_prints_every_entry(type_):
    answer = type_("plan", "uniform-qkv", "--ledger")
    assert len(re.findall(r"^adapter +roberta\.encoder\.layer\.\d+\S+ +\d+ +7 +10,752$", answer.out, re.MULTILINE)) == 36
    assert re.search(r"^head +classifier\.out_proj +3,076$", answer.out, re.MULTILINE)


def test_plan_json_is_the_plan(type_):
    found = type_("plan", "uniform-qkv", "--json").json
    assert {"trainable_parameters", "total_parameters", "budget", "ledger"} <= found.keys()
    assert (found["trainable_parameters"], found["total_parameters"], found["budget"]) == (980_740, 125_035_780, 1_000_000)
    assert sum(entry["parameters"] for entry in found["ledger"]) == 980_740
    assert (found["recipe"], found["classes"]) == ("uniform-qkv", 4)


@pytest.mark.parametrize(("classes", "trained"), [("2", 739_586), ("4", 741_124)])
def test_plan_counts_for_the_classes_that_are_given(type_, classes, trained):
    assert type_("plan", "distilbert-lora", "--classes", classes, "--json").json["trainable_parameters"] == trained


def test_plan_counts_the_classes_of_local_data(type_, news):
    answer = type_("plan", "distilbert-lora", "--set", "data.classes=[]", "--set", f"data.source={news}", "--json").json
    assert (answer["classes"], answer["trainable_parameters"]) == (2, 739_586)


@pytest.mark.parametrize(
    ("given", "budget"),
    [
        ("50k", 50_000),
        ("1M", 1_000_000),
        ("1.5m", 1_500_000),
        ("400000", 400_000),
        ("400_000", 400_000),
        ("400,000", 400_000),
        ("none", None),
        ("NONE", None),
        ("null", None),
    ],
)
def test_budget_takes_numbers_as_people_write_them(type_, given, budget):
    assert type_("plan", "quickstart", "--set", "adapter.rank=1", "--budget", given, "--json").json["budget"] == budget


def test_plan_takes_data_as_train_does(type_, news):
    answer = type_("plan", "distilbert-lora", "--data", str(news), "--json").json
    assert (answer["classes"], answer["trainable_parameters"]) == (2, 739_586)


def test_plan_follows_overrides(type_):
    assert type_("plan", "auto", "--set", "head.kind=stock", "--set", "base=roberta-base", "--json").json["head"] == "stock"


def test_plan_of_one_rung_is_of_what_it_trains(type_, news):
    alone = type_("plan", "auto", "--data", news, "--rung", "features", "--json").json
    assert (alone["trainable_parameters"], list(alone["forecast"]["rungs"])) == (770, ["features"])
    assert alone["forecast"]["planned_steps"] == 0
    typed = type_("plan", "auto", "--data", news, "--set", "rungs=[features]", "--json").json
    assert typed["sections"] == alone["sections"] == {"head": 770}


def test_plan_takes_a_file(type_, tmp_path):
    (tmp_path / "mine.yaml").write_text("name: mine\nbase: roberta-base\nadapter: {rank: 4}\n", "utf-8")
    found = type_("plan", "mine.yaml", "--classes", "4", "--json").json
    assert (found["recipe"], found["trainable_parameters"]) == ("mine", 741_124)


def test_plan_predicts_what_a_run_costs_in_text_and_json(type_, news):
    local = ["plan", "quickstart", "--set", f"data.source={news}"]
    assert re.search(r"predicted: about \S+ (s|min) on \d cores?, \S+ GB of memory, \S+ [GT]flop", type_(*local).out)
    found = type_(*local, "--json").json["forecast"]
    assert found["work"]["train_rows"] == 32  # of 40, a tenth for the test and a tenth of the rest for validation
    assert found["work"]["source"] == "characters"
    assert found["steps"] == found["planned_steps"] == 6
    assert 1e8 < found["peak_bytes"] < 1e10
    assert found["seconds"] > 1


def test_plan_tells_in_how_many_epochs_few_rows_make_the_updates_of_auto(type_, news):
    local = ("plan", "auto", "--data", news)
    answer, found = type_(*local), type_(*local, "--json").json["forecast"]
    assert found["planned_steps"] == 100
    assert (found["recipe_epochs"], found["epochs"]) == (3, 50)  # 2 updates an epoch
    assert "50 epochs instead of 3, for 100 updates on 32 rows (train.min_updates)" in answer.out
    assert "instead of" not in type_(*local, "--set", "train.min_updates=null").out


def test_plan_predicts_for_a_thousand_rows_where_no_data_is_here(type_):
    answer = " ".join(type_("plan", "uniform-qkv").out.split())
    assert "predicted for 1,000 rows of 256 tokens: about" in answer


def test_plan_suggests_a_base_with_what_to_type(type_, tmp_path):
    rows = [f"Вратарь номер {row} выбыл,{label}" for row, label in enumerate(["спорт", "рынок"] * 20)]
    (tmp_path / "news.csv").write_text("\n".join(["text,label", *rows]) + "\n", "utf-8")
    answer = type_("plan", "--suggest", "--data", "news.csv", "--budget", "500k")
    printed = " ".join(answer.out.split())
    assert "40 training texts by the script of most of their letters: Cyrillic 100.0%" in printed
    assert "not written in Cyrillic (100.0% of the texts): minilm," in printed
    assert "the tokenizer of minilm on these texts: " in printed
    assert "rankwise train auto --data news.csv --budget 500k --set base=multilingual-minilm" in printed
    assert "hf download sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2" in printed
    assert max(map(len, answer.out.splitlines())) <= 90
    found = type_("plan", "auto", "--suggest", "--data", "news.csv", "--json").json
    assert found["recommended"] == "multilingual-minilm"
    assert {fit["base"]: fit["unread"] for fit in found["bases"]}["minilm"] == {"Cyrillic": 40}


def test_plan_without_a_recipe_says_what_to_type(type_):
    answer = type_("plan")
    assert (answer.code, answer.out) == (2, "")
    assert "plan takes a RECIPE; type: rankwise plan auto" in answer.err


def test_plan_says_where_it_assumes_two_classes(type_, news):
    away = type_("plan", "auto", "--data", "hub:nobody/news", "--set", "base=minilm")
    assert (away.code, "2 classes assumed" in away.out + away.err) == (0, True)
    assert "assumed" not in type_("plan", "auto", "--data", "hub:nobody/news", "--classes", "4").out
    assert "assumed" not in type_("plan", "auto", "--data", news).out


def test_plan_says_what_minutes_and_memory_will_cut(type_):
    answer = type_("plan", "quickstart", "--minutes", "30", "--memory-gb", "1.05", "--set", "train.epochs=20000").out
    assert re.search(r"30 min are enough for about [\d,]+ of 800,000 updates", answer)
    assert re.search(r"to stay under 1.05 GB, \d+ rows? at a time in training", answer)
    assert "100 GB are enough as it is" in type_("plan", "quickstart", "--memory-gb", "100").out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--memory-gb", "0.2"], "error: budget.memory_gb is 0.2, but one row of"),
        (["--minutes", "0.01"], "error: budget.minutes is 0.01, but starting"),
        (["--minutes", "0"], "budget.minutes"),
        (["--memory-gb", "-1"], "budget.memory_gb"),
    ],
)
def test_a_budget_that_nothing_fits_is_refused_before_anything_loads(type_, words, said):
    answer = type_("plan", "quickstart", *words)
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err


# ---------------------------------------------------------------------------------------------------------- recipes


def test_recipes_lists_each_with_what_it_trains(type_):
    answer = type_("recipes")
    listed = dict(re.findall(r"^([\w-]+) +([\d,]+)  [\w./-]+$", answer.out, re.MULTILINE))
    assert list(listed) == builtin_recipes()
    assert (listed["uniform-qkv"], listed["kaggle-decoder"]) == ("980,740", "10,096,644")


def test_recipes_json_counts_what_the_planner_counts(type_):
    rows = {row["name"]: row for row in type_("recipes", "--json").json}
    assert list(rows) == builtin_recipes()
    for name, row in rows.items():
        assert row["trainable_parameters"] == plan(Recipe.load(name), classes=4).ledger.trainable_parameters
    assert rows["tiered-adamw"]["published"]["trainable_parameters"] == 691_722


@pytest.mark.parametrize("name", builtin_recipes())
def test_recipes_show_prints_the_recipe_as_written(type_, name):
    assert type_("recipes", "show", name).out == read_text(name, "recipe")[1]


@pytest.mark.parametrize(
    ("words", "overrides"), [(["--full"], []), (["--set", "train.epochs=9"], ["train.epochs=9"])], ids=["full", "changed"]
)
def test_recipes_show_prints_every_key_when_asked_or_changed(type_, tmp_path, words, overrides):
    (tmp_path / "shown.yaml").write_text(type_("recipes", "show", "auto", *words).out, "utf-8")
    assert Recipe.load("shown.yaml") == Recipe.load("auto", overrides)
    assert "clip_norm: 1.0" in (tmp_path / "shown.yaml").read_text("utf-8")


def test_recipes_show_json_is_every_value(type_):
    assert type_("recipes", "show", "auto", "--json").json == Recipe.load("auto").to_dict()


# ------------------------------------------------------------------------------------------------------------- data


def test_data_shows_rows_classes_and_lengths(type_):
    answer = type_("data", "sample", "--no-tokens")
    assert (answer.code, answer.err) == (0, "")
    for part in ("640 train, 96 validation, 160 test", "World", "Sci/Tech", "25.0%", "quantiles:"):
        assert part in answer.out


def test_data_json_counts_a_file(type_, news):
    found = type_("data", news, "--no-tokens", "--json").json
    assert found["rows"] == {"train": 40}
    assert found["classes"] == {"Sports": 20, "Business": 20}
    assert found["tokens"] is None
    assert found["layouts"][0].startswith("news.csv: CSV, comma, header")


def test_data_compares_with_a_test_file(type_, news, tmp_path):
    (tmp_path / "test.csv").write_text("text,label\na goal number 0 in the stadium,Sports\nnew,Business\n", "utf-8")
    (overlap,) = type_("data", news, "--test", "test.csv", "--no-tokens", "--json").json["overlaps"]
    assert (overlap["split"], overlap["other"], overlap["rows"], overlap["share"]) == ("test", "train", 1, 0.5)


def test_data_takes_columns_by_name(type_, tmp_path):
    (tmp_path / "odd.csv").write_text(NEWS.replace("text,label", "words,kind"), "utf-8")
    found = type_("data", "odd.csv", "--text-column", "words", "--label-column", "kind", "--no-tokens", "--json").json
    assert "label = kind, text = words" in found["layouts"][0]


def test_data_has_nothing_to_warn_of_only_where_that_is_so(type_, tmp_path, news):
    assert "nothing to warn of" in type_("data", news, "--no-tokens").out
    lines = [f'{{"text": "a goal number {row}", "label": "{row % 2}", "answer": "accept"}}' for row in range(40)]
    (tmp_path / "answers.jsonl").write_text("\n".join([*lines, lines[0].replace("accept", "reject")]), "utf-8")
    (tmp_path / "codes.csv").write_text(
        "text,label\n" + "".join(f"goal {n} in time,{'0' * (n % 2)}7\n" for n in range(40)), "utf-8"
    )
    for file, says in (("answers.jsonl", "1 row dropped (answer is reject"), ("codes.csv", "one number written in 2 ways")):
        answer = type_("data", file, "--no-tokens")
        assert answer.code == 0
        assert says in " ".join(answer.out.split())
        assert "nothing to warn of" not in answer.out


def test_data_asks_where_two_columns_may_be_the_label_and_each_answer_works(type_, tmp_path):
    rows = "".join(f"{('neg', 'pos')[n // 30]},{('web', 'app')[n % 2]},a goal number {n}\n" for n in range(60))
    (tmp_path / "two.csv").write_text(rows, "utf-8")
    answer = type_("data", "two.csv", "--no-tokens")
    assert (answer.code, answer.out, len(answer.err.splitlines())) == (2, "", 1)
    commands = answer.err.strip().rpartition("say which: ")[2].split(" or ")
    assert commands[0] == "--set data.text=2 --set data.label=0"
    assert commands[2] == "--set data.text=2 --set 'data.label=[0, 1]'"
    for command in commands:
        assert type_("data", "two.csv", "--no-tokens", *shlex.split(command)).code == 0


# --------------------------------------------------------------------------------------------------- predict, evaluate


@pytest.fixture(scope="module")
def run_folder(run_for):
    """A finished run; made before `type_` changes the folder, for other tests read its data by a relative path."""
    return str(run_for("distilbert", "train.epochs=6").folder)


def test_predict_and_evaluate_on_onnx_answer_as_on_torch_and_tell_how_close(type_, run_folder, data_file):
    exporting = "exporting the run for --engine onnx, once\n"
    for words in (["predict", run_folder, str(data_file)], ["evaluate", run_folder, str(data_file), "--json"]):
        one, other = type_(*words), type_(*words, "--engine", "onnx")
        assert (one.code, one.err, other.code) == (0, "", 0)
        told = r"ONNX Runtime: logits within \de-\d\d of torch's \(tolerance 1e-04\); \S+\.onnx\n"
        assert re.fullmatch(exporting + told, other.err)
        exporting = ""
        labels = [[re.sub(r"\d\.\d+", "", line) for line in answer.out.splitlines()] for answer in (one, other)]
        assert labels[0] == labels[1]


def test_a_file_in_another_encoding_is_read_as_the_error_says(type_, run_folder, tmp_path):
    (tmp_path / "test.csv").write_bytes("text,label\ncafé,fruit\n".encode("latin-1"))
    for verb in ("predict", "evaluate"):
        answer = type_(verb, run_folder, "test.csv")
        assert (answer.code, answer.out) == (2, "")
        hint = answer.err.rpartition("type ")[2].split()
        assert hint[:2] == ["--set", "data.train.path=test.csv"]
        assert type_(verb, run_folder, "test.csv", *hint).code == 0
    refused = type_("evaluate", run_folder, "test.csv", "--set", "data.rows=3")
    assert refused.err.startswith("error: --set data.rows=3: files are looked at as they are;")


def test_how_a_file_is_read_may_be_said_of_the_data_that_is_given(type_, tmp_path):
    (tmp_path / "news.csv").write_bytes("text,label\ncaf\u00e9,fruit\ntea,drink\n".encode("latin-1"))
    assert type_("plan", "auto", "--data", "news.csv").code == 2
    answer = type_("plan", "auto", "--data", "news.csv", "--set", "data.train.encoding=latin-1")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("news.csv: CSV, comma, header; label = label, text = text\n")


def test_evaluate_on_the_training_file_says_so(type_, run_folder, data_file, monkeypatch, request):
    monkeypatch.chdir(request.config.rootpath)  # where the run was made, whose recipe names its data from there
    answer = type_("evaluate", run_folder, str(data_file))
    assert answer.code == 0
    assert "48 of 60 rows (80%) have texts that this run trained on" in " ".join(answer.out.split())
    assert type_("evaluate", run_folder, str(data_file), "--json").json["rows_seen_in_training"] == 48


def test_evaluate_tells_of_texts_in_a_script_that_training_lacked(type_, run_folder, tmp_path):
    (tmp_path / "new.csv").write_text("text,label\napple,fruit\nяблоко,fruit\ntin,metal\n", "utf-8")
    answer = type_("evaluate", run_folder, "new.csv")
    assert "1 of 3 texts is mostly Cyrillic, which no training text was" in " ".join(answer.out.split())
    assert type_("evaluate", run_folder, "new.csv", "--json").json["rows_in_unseen_scripts"] == 1


@pytest.mark.parametrize("name", ["news.csv", "NEWS.jsonl", "news.tsv.gz"])
def test_data_in_a_recipes_place_is_told_where_it_goes(type_, tmp_path, name):
    (tmp_path / name).write_text("text,label\nsecret,a\n", "utf-8")
    answer = type_("train", name)
    assert answer.err == f"error: {name} is data, which comes after a recipe; type: rankwise train auto --data {name}\n"


def test_a_space_in_a_recipes_place_is_told_its_verb(type_, tmp_path):
    (tmp_path / "space.yaml").write_text("base: auto\nspace: {adapter.rank: [2, 4]}\n", "utf-8")
    assert type_("train", "space.yaml").err == "error: space.yaml is a space; type: rankwise sweep space.yaml\n"


def test_what_is_read_is_not_written_over(type_, run_folder, news):
    before = Path(news).read_bytes()
    for words in (["predict", run_folder, news], ["data", news, "--suspects"]):
        answer = type_(*words, "--out", news)
        assert answer.code == 2
        assert "is the file that is read, and would be gone; give another" in answer.err
    assert Path(news).read_bytes() == before


def test_standard_input_that_is_no_utf_8_is_told_by_its_line(type_, run_folder, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"fine\ncaf\xe9\n")))
    answer = type_("predict", run_folder, "-")
    assert answer.code == 2
    assert "standard input, line 2: not utf-8 at byte 3" in answer.err


def test_texts_on_the_command_line_get_class_numbers_when_asked(type_, run_folder):
    answer = type_("predict", run_folder, "--text", "a goal", "--numbers")
    head, row = answer.out.splitlines()
    assert (answer.code, head) == (0, "row,label,score")
    assert re.fullmatch(r"1,\d+,\S+", row)


# ------------------------------------------------------------------------------------------------------------ train


def test_train_reads_its_data_once(type_, recipe_for, monkeypatch, tmp_path):
    from rankwise.data import labelled

    read = []
    monkeypatch.setattr(labelled, "read_table", lambda *given: read.append(given) or read_table(*given))
    (tmp_path / "tiny.yaml").write_text(recipe_for("bert", "train.max_steps=1").to_yaml(), "utf-8")
    answer = type_("train", "tiny.yaml", "--out", "run")
    assert (answer.code, len(read)) == (0, 1)
    assert "spent" in answer.out


def test_train_tells_what_was_dropped_and_that_texts_are_cut_with_what_reads_them_whole(type_, recipe_for, rows, tmp_path):
    (tmp_path / "words.csv").write_text(rows.write(tmp_path / "all.csv").read_text("utf-8") + ",fruit\n", "utf-8")
    changes = (f"data.source={tmp_path / 'words.csv'}", "data.max_length=4", "train.max_steps=1")
    (tmp_path / "tiny.yaml").write_text(recipe_for("bert", *changes).to_yaml(), "utf-8")
    answer = type_("train", "tiny.yaml", "--out", "run")
    told = " ".join(answer.out.split())
    assert "note: train: 1 row dropped (empty text)" in told
    assert "100% of the training texts are cut after 4 tokens" in told
    hint = re.search(r"to read them whole, type --set (\S+)", told)
    assert hint
    assert "are cut after" not in type_("train", "tiny.yaml", "--out", "whole", "--set", hint[1]).out


# ---------------------------------------------------------------------------------------------------------- mistakes

MISTAKES = {
    "unknown recipe": (["plan", "autoo"], "no recipe is called 'autoo'; did you mean 'auto'?"),
    "unknown recipe to show": (["recipes", "show", "nope"], "no recipe is called 'nope'."),
    "unknown recipe to train": (["train", "nope"], "no recipe is called 'nope'."),
    "missing recipe file": (["plan", "nope.yaml"], "nope.yaml: no such file"),
    "override without value": (["plan", "auto", "--set", "train.epochs"], "--set train.epochs: expected key=value"),
    "override of an unknown key": (
        ["plan", "auto", "--set", "train.epoch=1"],
        "--set train.epoch=1: unknown key 'train.epoch'; did you mean 'train.epochs'?",
    ),
    "over budget": (
        ["plan", "uniform-qkv", "--set", "adapter.rank=8"],
        "the plan trains 1,036,036 of 1,000,000 parameters on roberta",
    ),
    "budget of letters": (["plan", "auto", "--budget", "abc"], "--budget abc: expected a number above 0, such as 1000000"),
    "budget that is no number": (["plan", "auto", "--budget", "nan"], "--budget nan: expected a number"),
    "empty budget": (["plan", "auto", "--budget", ""], "--budget : expected a number"),
    "budget of nothing": (["plan", "auto", "--budget", "0"], "--budget 0: expected a number above 0, such as 1000000, 50k"),
    "negative budget": (["plan", "auto", "--budget", "-5"], "--budget -5: expected a number above 0"),
    "a key that reading leaves alone": (
        ["data", "sample", "--no-tokens", "--set", "data.rows=50"],
        "--set data.rows=50: files are looked at as they are;",
    ),
    "a key of training": (
        ["data", "sample", "--set", "train.epochs=1"],
        "--set train.epochs=1: nothing trains here, so only keys of",
    ),
    "data for a recipe": (
        ["train", "nope/train.csv.gz"],
        "nope/train.csv.gz: no such file; expected a YAML file or a built-in recipe",
    ),
    "missing training data": (["train", "auto", "--data", "nope.csv"], "nope.csv: no such file or folder"),
    "missing run": (["evaluate", "nope", "sample"], "nope: no such folder; expected a run folder"),
    "nothing to predict": (["predict", "nope"], "give a file to predict, or --text TEXT"),
    "dropout on onnx": (
        ["predict", "nope", "x.csv", "--engine", "onnx", "--mc-dropout", "3"],
        "--mc-dropout needs dropout, which --engine",
    ),
}


@pytest.mark.parametrize(("words", "message"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_one_clear_line_and_exit_code_2(type_, words, message):
    answer = type_(*words)
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err.startswith(f"error: {message}")
    lines = answer.err.splitlines()
    assert all(line.startswith("  --") for line in lines[1:])  # only the ways to fit a budget follow, one a line


def test_an_endless_budget_is_a_mistake_too(type_):
    assert type_("plan", "auto", "--budget", "inf").code == 2


def test_a_plan_on_a_machine_with_a_gpu_is_for_the_gpu(type_, monkeypatch):
    here = type_("plan", "auto").out
    monkeypatch.setattr(cores, "has_nvidia", lambda: True)
    there = type_("plan", "auto").out
    assert " on the GPU" in there
    assert " on the GPU" not in here


def test_a_budget_in_two_units_is_a_mistake_too(type_):
    assert type_("plan", "auto", "--budget", "1km").code == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["pln"], "No such command 'pln'. Did you mean 'plan'?"),
        (["train"], "Missing argument"),
        (["plan", "auto", "--bugdet", "3"], "No such option: --bugdet (Possible options: --budget"),
        (["train", "auto", "--epochs", "3"], "No such option: --epochs; did you mean --set train.epochs=VALUE?"),
        (["train", "auto", "--lr", "3"], "No such option: --lr; did you mean --set train.learning_rate=VALUE?"),
        (["plan", "auto", "--text-column", "a"], "No such option: --text-column; did you mean --set data.text=VALUE?"),
        (["compare", "a", "b", "--metric", "f1"], "Invalid value for '--metric': 'f1' is not one of 'accuracy', 'macro-f1',"),
        (["plan", "auto", "--classes", "1"], "Invalid value for '--classes'"),
        (["plan", "auto", "--classes", "many"], "Invalid value for '--classes'"),
        (["predict", "run", "x.csv", "--engine", "tensorrt"], "Invalid value for '--engine'"),
    ],
)
def test_a_wrong_option_is_explained_with_exit_code_2(type_, words, message):
    answer = type_(*words)
    assert answer.code == 2
    assert answer.err.splitlines()[-1].startswith(f"Error: {message}")
    assert "Traceback" not in answer.err


def raising(problem):
    def verb(*given, **named):
        raise problem

    return verb


def test_our_own_mistake_exits_with_1(type_, monkeypatch):
    monkeypatch.setattr(Recipe, "load", raising(Defect("a promise did not hold")))
    assert type_("plan", "auto") == Answer(1, "", "error: a promise did not hold\n")


@pytest.mark.parametrize(
    ("verb", "how"),
    [
        ("train", "; a training goes on from its last checkpoint with --resume"),
        ("learn-curve", "; the same command goes on"),
        ("plan", ""),
    ],
)
def test_an_interrupted_command_says_how_to_go_on(type_, monkeypatch, verb, how):
    monkeypatch.setattr(Recipe, "load", raising(KeyboardInterrupt()))
    assert type_(verb, "auto") == Answer(130, "", f"error: stopped{how}\n")


# ------------------------------------------------------------------------------------------------------ as a process


def process(*words, **environment):
    command = [sys.executable, "-W", "error", "-c", "from rankwise.cli.app import main; main()", *words]
    plain = {name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "PY_COLORS", "CLICOLOR_FORCE")}
    return subprocess.run(command, env={**plain, **environment}, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    "words", [["plan", "tiered-adamw"], ["recipes"], ["data", "sample", "--no-tokens"], ["plan", "nope"], ["--help"]]
)
def test_a_stream_that_is_no_terminal_gets_no_ansi_codes(words):
    done = process(*words, TERM="xterm-256color")
    assert done.returncode == (2 if "nope" in words else 0)
    assert done.stdout + done.stderr
    assert not ANSI.search(done.stdout + done.stderr)


def test_a_mistake_of_the_user_has_no_traceback():
    done = process("plan", "uniform-qkv", "--set", "adapter.rank=8")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: the plan trains 1,036,036 of 1,000,000")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", ["plan uniform-qkv --json", "plan uniform-qkv --ledger"])
def test_a_pipe_whose_reader_leaves_ends_it_without_a_word(words):
    program = f'"{sys.executable}" -c "from rankwise.cli.app import main; main()" {words} | true'
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("", "")
