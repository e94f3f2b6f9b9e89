"""`rankwise predict`: what it refuses before anything loads, and what it shows of texts that come from anywhere."""

from __future__ import annotations

import csv
import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rankwise.cli import console

WITHOUT_TORCH = "import sys; sys.modules['torch'] = None; from rankwise.cli.app import main; main()"
EXAMPLE = Path(__file__).parents[2] / "fixtures" / "run-0.1.0"
STEERING = "\x1b[31mred\x07 \u202egnol\x9b2J"


@pytest.fixture(scope="module")
def folder(run_for):
    return str(run_for("distilbert", "train.epochs=6").folder)


def typed(*words, program="from rankwise.cli.app import main; main()", stdin=None):
    command = [sys.executable, "-c", program, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, input=stdin)


def refused(*words):
    """What is said of words that are refused where torch can't even be imported."""
    done = typed(*words, program=WITHOUT_TORCH)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    return done.stderr


# ------------------------------------------------------------------------------------------------ refused without torch


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "new.csv"
    path.write_text('id,text\n1,apple\n2,"=HYPERLINK(1)"\n3,-5\n4,+49 30 12\n5,@name\n', "utf-8")
    return path


def test_a_file_type_that_is_not_written_is_refused_before_torch_loads(folder, texts, tmp_path):
    said = refused("predict", folder, texts, "--out", tmp_path / "out.xls")
    assert said.startswith("error: out.xls: can't write '.xls' files; expected one of .csv, .tsv")


def test_a_file_that_is_there_is_refused_before_torch_loads_and_replaced_when_asked(folder, texts, tmp_path):
    out = tmp_path / "out.csv"
    out.write_text("mine\n", "utf-8")
    assert "out.csv is there already; type --overwrite to replace it" in refused("predict", folder, texts, "--out", out)
    assert out.read_text("utf-8") == "mine\n"
    assert typed("predict", folder, texts, "--out", out, "--overwrite").returncode == 0
    assert out.read_text("utf-8").startswith("id,text,label,score\n")


def test_a_column_that_is_not_there_is_refused_before_torch_loads(folder, texts):
    assert "no column 'body' among id, text" in refused("predict", folder, texts, "--text-column", "body")


def test_a_label_that_no_class_has_is_refused_before_torch_loads(folder, tmp_path):
    (tmp_path / "test.csv").write_text("text,label\napple,fruit\nzinc,cloud\n", "utf-8")
    said = refused("evaluate", folder, tmp_path / "test.csv")
    assert "row 2: label 'cloud' is not among the classes (fruit, metal, river)" in said


def test_a_missing_extra_of_an_output_format_is_told_before_torch_loads(folder, texts, tmp_path):
    program = WITHOUT_TORCH.replace("import sys;", "import sys; sys.modules['pyarrow'] = None;")
    done = typed("predict", folder, texts, "--out", tmp_path / "out.parquet", program=program)
    assert done.returncode == 2
    assert done.stderr.startswith("error: 'pyarrow' is not installed, and this needs it; type: pip install ")


@pytest.mark.parametrize("out", ["run/test.parquet", "run/events.jsonl", "other/test.parquet", "link.parquet"])
def test_predictions_do_not_replace_a_file_of_a_run(tmp_path, out):
    for name in ("run", "other"):
        shutil.copytree(EXAMPLE, tmp_path / name)
    (tmp_path / "link.parquet").symlink_to(tmp_path / "run" / "test.parquet")
    (tmp_path / "news.csv").write_text("text\nshares fall\n", "utf-8")
    before = (tmp_path / out).read_bytes()
    command = [sys.executable, "-m", "rankwise", "predict", "run", "news.csv", "--out", out]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"--out {out} is one of the files of the run {tmp_path}" in done.stderr
    assert done.stderr.count("\n") == 1
    assert (tmp_path / out).read_bytes() == before


# --------------------------------------------------------------------------------------------------------- what is written


def test_a_spreadsheet_runs_no_cell_when_asked(folder, texts, tmp_path):
    out = tmp_path / "out.csv"
    assert typed("predict", folder, texts, "--out", out, "--spreadsheet").returncode == 0
    with out.open(encoding="utf-8", newline="") as file:
        cells = [row["text"] for row in csv.DictReader(file)]
    assert cells == ["apple", "'=HYPERLINK(1)", "-5", "'+49 30 12", "'@name"]
    said = refused("predict", folder, texts, "--out", tmp_path / "out.jsonl", "--spreadsheet")
    assert "--spreadsheet is for .csv and .tsv" in said


def test_without_being_asked_cells_are_written_to_the_letter(folder, texts, tmp_path):
    out = tmp_path / "out.csv"
    typed("predict", folder, texts, "--out", out)
    assert "=HYPERLINK(1)" in out.read_text("utf-8")
    assert "'=" not in out.read_text("utf-8")


def test_standard_output_that_is_piped_has_the_files_columns(folder, texts):
    lines = typed("predict", folder, texts).stdout.splitlines()
    assert lines[0] == "id,text,label,score"
    assert lines[1].startswith("1,apple,")


def test_rows_without_a_text_are_labelled_and_told(folder, tmp_path):
    path = tmp_path / "new.csv"
    path.write_text("id,text\n1,apple\n2,\n3,  \n", "utf-8")
    done = typed("predict", folder, path)
    assert len(done.stdout.splitlines()) == 4
    assert "note: 2 rows without a text (2, 3) were labelled all the same" in done.stderr


def test_texts_in_a_script_that_training_lacked_are_told_once(folder, tmp_path):
    path = tmp_path / "new.csv"
    path.write_text("id,text\n1,apple\n2,яблоко\n3,груша\n", "utf-8")
    said = "note: 2 of 3 texts are mostly Cyrillic, which no training text was; look at their labels"
    assert typed("predict", folder, path).stderr.count(said) == 1
    assert "which no training text was" not in typed("predict", folder, "--text", "apple").stderr
    assert "1 of 1 texts is mostly Greek" in typed("predict", folder, "--text", "μήλο").stderr


@pytest.mark.parametrize(
    ("words", "stdin"),
    [
        (["--text", "apple", "--text", "", "--text", " "], None),
        (["--text", "apple", "--text", "", "--text", " ", "--json"], None),
        (["-"], "apple\n\n  \n"),
    ],
)
def test_texts_of_the_command_line_and_lines_that_are_blank_are_told_too(folder, words, stdin):
    done = typed("predict", folder, *words, stdin=stdin)
    assert done.returncode == 0, done.stderr
    assert "note: 2 rows without a text (2, 3) were labelled all the same" in done.stderr


def test_lines_of_standard_input_are_numbered(folder):
    assert typed("predict", folder, "-", stdin="apple\nzinc\n").stdout.startswith("row,label,score\n1,")


# ------------------------------------------------------------------------------------------------------------- what is seen


def on_a_terminal(*words):
    """What a terminal gets."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", "from rankwise.cli.app import main; main()", *map(str, words)]
    environment = {**os.environ, "TERM": "dumb", "NO_COLOR": "1"}
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL, env=environment) as process:
        os.close(theirs)
        seen = b""
        while True:
            try:
                part = os.read(ours, 65_536)
            except OSError:  # the terminal's other end is closed
                break
            if not part:
                break
            seen += part
        assert process.wait(timeout=120) == 0
    os.close(ours)
    return seen.decode("utf-8")


def test_texts_and_classes_do_not_steer_a_terminal(folder, tmp_path):
    path = tmp_path / "new.csv"
    path.write_text(f"text\n{STEERING}\n", "utf-8")
    for seen in (on_a_terminal("predict", folder, path), typed("predict", folder, "--text", STEERING).stdout):
        assert "\\x1b[31mred\\x07 \\u202egnol\\x9b2J" in seen
        assert not {"\x07", "\x1b", "\u202e", "\x9b"} & set(seen)


def test_json_reads_back_what_it_does_not_show(folder, tmp_path):
    path = tmp_path / "new.csv"
    path.write_text(f"text\n{STEERING}\n", "utf-8")
    out = typed("predict", folder, path, "--json").stdout
    assert json.loads(out)["text"] == STEERING
    assert out.strip("\n").isprintable()


def test_piped_csv_is_to_the_letter(folder, tmp_path):
    path = tmp_path / "new.csv"
    path.write_text(f"text\n{STEERING}\n", "utf-8")
    assert STEERING in typed("predict", folder, path).stdout


# --------------------------------------------------------------------------------------------- readers who have seen enough


@pytest.mark.parametrize(
    "words", ["predict {} --text apple", "predict {} --text apple --json", "--help", "recipes", "recipes keys"]
)
def test_a_reader_who_has_seen_enough_is_no_mistake(folder, words):
    program = "from rankwise.cli.app import main; main()"
    command = f'"{sys.executable}" -c "{program}" {words.format(folder)} | true; echo ${{PIPESTATUS[0]}}'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, timeout=120)
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_a_reader_who_leaves_ends_no_work(capfd):
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", encoding="utf-8") as stream:
        plain = console.PlainConsole(file=stream)
        plain.print("nobody reads this")
        plain.print("nor this")
    assert capfd.readouterr() == ("", "")


# ------------------------------------------------------------------------------------------------------------ explained


def test_words_are_told_for_a_label_and_against_it_readably_without_color(folder):
    done = typed("predict", folder, "--explain", "--text", "apple iron near", "--text", " ")
    assert done.returncode == 0, done.stderr
    label, speaking, against, blank, nothing = done.stdout.splitlines()
    assert label.endswith("%  apple iron near")
    told = {}
    for line, what, sign in ((speaking, "for", "+"), (against, "against", "-")):
        assert line.split()[0] == what
        scores = line.split()[1:]
        if scores != ["no", "word"]:
            told |= dict(zip(scores[::2], scores[1::2], strict=True))
            assert all(score.startswith(sign) for score in scores[1::2])
    assert set(told) <= {"apple", "iron", "near"}
    assert blank.split()[1].endswith("%")
    assert nothing == "  no word speaks for it or against it"


def test_words_are_written_with_where_they_stand_and_what_they_add(folder, tmp_path):
    source = tmp_path / "new.csv"
    source.write_text('words,text\nmine,"apple &amp; iron"\n', "utf-8")
    done = typed("predict", folder, source, "--explain", "--json")
    (row,) = map(json.loads, done.stdout.splitlines())
    assert row["words"] == "mine"
    assert [(word, start, end) for word, start, end, _ in row["predicted_words"]] == [
        ("apple", 0, 5),
        ("&", 6, 7),
        ("iron", 12, 16),
    ]
    assert typed("predict", folder, source, "--explain", "--out", tmp_path / "out.csv").returncode == 0
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        (written,) = csv.DictReader(file)
    assert json.loads(written["predicted_words"]) == row["predicted_words"]
    assert all(isinstance(score, float) for *_, score in row["predicted_words"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--engine", "onnx"], "--explain needs torch, for gradients, which --engine onnx has none of; type --engine torch"),
        (["--mc-dropout", "2"], "--explain is for one pass without dropout; leave --mc-dropout out"),
        (["--submission", "id,label"], "--submission writes an id and a label alone; leave it or --explain out"),
    ],
)
def test_what_is_not_explained_is_refused_before_torch_loads(folder, words, said):
    assert refused("predict", folder, "--text", "apple", "--explain", *words) == f"error: {said}\n"


def test_explaining_without_torch_says_what_to_install(folder):
    said = refused("predict", folder, "--text", "apple", "--explain")
    assert said.startswith("error: 'torch' is not installed, and this needs it; type: pip install ")
