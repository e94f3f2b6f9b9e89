"""Names of files, columns, classes and runs that would steer a terminal are written out by every verb, and in pages."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from rankwise.errors import as_set

STEERS = "\x1b]0;gone\x07", "\x1b[31m", "\u202e"
FILE, RUN, PAGE = f"da{STEERS[1]}ta{STEERS[2]}.csv", f"ru{STEERS[1]}n{STEERS[2]}", f"pa{STEERS[1]}ge.html"
SUMMARY = f"gate{STEERS[1]}.md"
TEXT, LABEL, OWN = f"said{STEERS[1]}", f"topic{STEERS[2]}[red]", f"from{STEERS[0]}"
READ = ["--set", f"data.text={json.dumps(TEXT)}", "--set", f"data.label={json.dumps(LABEL)}"]


@pytest.fixture
def shown(typed):
    """Type a command: what it printed, on both streams."""
    return lambda *words: "".join(typed(*words)[1:])


@pytest.mark.long
def test_no_verb_obeys_a_name(shown, tiny):
    classes = (f"fruit{STEERS[0]}", f"metal{STEERS[2]}")
    rows = [f"{('melon', 'iron')[n % 2]} {n}{STEERS[1]},{classes[n % 2]},x{n}\n" for n in range(24)]
    Path(FILE).write_text(f"{TEXT},{LABEL},{OWN}\n{''.join(rows)}", "utf-8")
    tuned = ["--set", f"base={tiny('bert')}", "--set", "data.max_length=24", "--set", "train.max_steps=1"]
    tuned += ["--set", "evaluate.resamples=20", "--set", "budget.parameters=null"]
    said = {
        "asked": shown("data", FILE, "--no-tokens"),
        "data": shown("data", FILE, "--no-tokens", *READ),
        "suspects": shown("data", FILE, "--suspects", *READ),
        "plan": shown("plan", "quickstart", "--data", FILE, *READ, *tuned),
        "train": shown("train", "quickstart", "--data", FILE, "--out", RUN, *READ, *tuned),
        "in the way": shown("train", "quickstart", "--data", FILE, "--out", RUN, *READ, *tuned),
        "predict": shown("predict", RUN, FILE, "--out", "out.jsonl"),
        "predict as JSON": shown("predict", RUN, FILE, "--json"),
        "evaluate": shown("evaluate", RUN, FILE, *READ),
        "evaluate as JSON": shown("evaluate", RUN, FILE, *READ, "--json"),
        "compare": shown("compare", RUN, RUN),
        "gate": shown("gate", shutil.copytree(RUN, f"new-{RUN}"), "--against", RUN, "--data", FILE, "--summary", SUMMARY),
        "summary": Path(SUMMARY).read_text("utf-8"),
        "report": shown("report", RUN, "--out", PAGE),
        "page": Path(PAGE).read_text("utf-8"),
        "card": (Path(RUN) / "README.md").read_text("utf-8"),
    }
    assert {name for name, shown in said.items() if any(steer in shown for steer in ("\x1b", "\x07", "\u202e"))} == set()
    assert "topic\\u202e[red]" in said["data"]
    assert "24 predictions" in said["predict"]
    assert "fruit\\x1b]0;gone\\x07" in said["evaluate"]
    assert "24 rows: da\\x1b[31mta\\u202e.csv" in said["gate"]
    predicted = json.loads(Path("out.jsonl").read_text("utf-8").splitlines()[0])
    assert (predicted[OWN], predicted[LABEL]) == ("x0", classes[0])  # a file keeps them to the letter


def test_a_column_that_a_message_names_is_typed_as_it_was(shown):
    Path(FILE).write_text(
        f"text,{LABEL},other\n" + "".join(f"order {n} went,{'ab'[n % 2]},{'xy'[n // 2 % 2]}\n" for n in range(24)), "utf-8"
    )
    assert as_set("data.label", LABEL).replace("\u202e", "\\u202e") in shown("data", FILE, "--no-tokens")


def test_a_file_whose_name_is_no_utf_8_is_refused_by_name(typed, tmp_path):
    path = tmp_path / "x\udcff.csv"
    try:
        path.write_text("text,label\na,b\n", "utf-8")
    except (OSError, UnicodeError):
        pytest.skip("this file system takes names that are UTF-8 alone")
    for words in (("data", path), ("train", "quickstart", "--data", path), ("plan", "quickstart", "--data", path)):
        code, _, told = typed(*words)
        assert (code, r"x\udcff.csv': its name is no UTF-8" in told) == (2, True), told
