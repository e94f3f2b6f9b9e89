"""Runs go to the hub without any row and come back as they were; the hub is one on this machine, its client the real one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hubs import READS, live_hub
from huggingface_hub import constants

from rankwise.run.folder import Run
from rankwise.run.manifest import write_manifest
from rankwise.workflows.export import export

pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload:DeprecationWarning"),  # huggingface_hub 2.4 of httpx2
]
POOLED = ["head.kind=pooled", "head.start=fitted"]
TEXTS = ["apple iron apple", "a very old zinc", "near the danube"]


@pytest.fixture
def hub():
    with live_hub() as there:
        yield there


@pytest.fixture
def type_(hub, typed, monkeypatch, tmp_path):
    """Type a command that takes that for the hub: (exit code, what it printed, what it printed as an error)."""
    settings = {
        "ENDPOINT": hub.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": hub.url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_XET": True,
        "HF_HUB_CACHE": str(tmp_path / "cache"),
    }
    for name, value in settings.items():  # which huggingface_hub reads of the environment when it is imported
        monkeypatch.setattr(constants, name, value)
    for name, value in hub.environment.items():
        monkeypatch.setenv(name, value)
    return typed


@pytest.fixture
def process(hub, tmp_path):
    """The same in a process of its own, as a user types it."""

    def run(*words, **environment):
        command = [sys.executable, *map(str, words)]
        set_so = {**os.environ, **hub.environment, "HF_HOME": str(tmp_path / "cache"), "COLUMNS": "500", **environment}
        done = subprocess.run(command, env=set_so, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
        return done.returncode, done.stdout, done.stderr

    return run


def refused(answer):
    """The one line of a mistake."""
    code, out, err = answer
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    return line.removeprefix("error: ")


# ----------------------------------------------------------------------------------------------------- there and back


def test_a_run_that_was_pushed_is_pulled_and_gives_the_same_probabilities_to_the_bit(process, hub, run_for, tmp_path):
    run = run_for("bert")
    code, out, err = process("-m", "rankwise", "push", run.folder, "me/words")
    assert (code, err) == (0, "")
    assert f"→ {hub.url}/me/words; elsewhere: rankwise pull me/words" in out
    code, out, err = process("-m", "rankwise", "pull", "me/words", "here")
    assert (code, err) == (0, "")
    pulled = Run.load(tmp_path / "here", base=run.base().location)
    assert [said.probabilities for said in pulled.predict(TEXTS)] == [said.probabilities for said in run.predict(TEXTS)]


@pytest.mark.parametrize("changes", [[*POOLED, "rungs=[tfidf]"], POOLED, ["adapter.method=head"]], ids=str)
def test_every_kind_of_classifier_goes_there_and_back(type_, run_for, tmp_path, changes):
    run = run_for("bert", *changes)
    code, out, err = type_("push", run.folder, "me/words")
    assert (code, err) == (0, "")
    assert ("note: words.skops is its classifier and holds the words that it counts" in out) == run.counts_words
    assert type_("pull", "me/words")[::2] == (0, "")  # below runs, where no folder is given
    base = None if run.is_whole or run.counts_words else run.base().location
    pulled = Run.load(tmp_path / "runs" / "words", base=base)
    assert [said.probabilities for said in pulled.predict(TEXTS)] == [said.probabilities for said in run.predict(TEXTS)]


def test_a_decision_and_an_export_go_along_and_are_taken_for_the_pulled_runs_own(type_, run_for, copy_of, tmp_path):
    run = Run.load(copy_of(run_for("bert")))
    run.exported(run.folder / "model.onnx")
    export(run, "onnx")
    (export(run, "onnx-int8", max_loss=99).folder / "mine.txt").write_text("apple")
    assert type_("decide", run.folder, "--coverage", "90%")[::2] == (0, "")
    assert type_("push", run.folder, "me/words")[::2] == (0, "")
    assert type_("pull", "me/words", "here")[::2] == (0, "")
    run, pulled = Run.load(run.folder), Run.load(tmp_path / "here")
    assert not (pulled.folder / "onnx-int8" / "mine.txt").exists(), "which is of nobody knows what"
    assert pulled.decision.rule == run.decision.rule
    assert pulled.exported().path == tmp_path / "here" / "model.onnx"
    for engine in ("onnx", "onnx-int8"):
        by_onnx, said = (one.predict(TEXTS, engine=engine) for one in (pulled, run))
        assert [(one.probabilities, one.decision) for one in by_onnx] == [(one.probabilities, one.decision) for one in said]
    (pulled.folder / "model.onnx").unlink()
    assert pulled.exported().path == tmp_path / "here" / "onnx" / "onnx" / "model.onnx"


def test_what_the_card_in_the_repository_says_to_type_gives_the_runs_label(type_, process, hub, run_for):
    run = run_for("bert", "adapter.method=head")  # which loads without its base
    type_("push", run.folder, "me/words")
    _, ours, theirs = hub.models["me/words"].files["README.md"].decode().split("```python\n")
    for snippet in (ours, theirs):
        code, out, err = process("-c", snippet.partition("```")[0].replace("A text to classify.", "apple iron apple"))
        assert code == 0, err
        assert run.predict(["apple iron apple"])[0].label in out


# ------------------------------------------------------------------------------------------------ what is sent, and what not


def test_nothing_of_the_data_is_sent_and_what_stays_is_told(type_, hub, run_for, copy_of, rows):
    folder = copy_of(run_for("bert", "train.keep=2"))
    facts = json.loads((folder / "run.json").read_text("utf-8"))
    scores = json.loads((folder / "scores.json").read_text("utf-8"))
    scores["test"]["mistakes"] = [
        {"row": 1, "text": rows.texts[0], "truth": "fruit", "predicted": "metal", "confidence": 0.9}
    ]
    facts["notes"] = [f"row 3: '{rows.texts[3]}' is odd"]
    for name, content in (("run.json", facts), ("scores.json", scores), ("suspects.json", rows.texts)):
        (folder / name).write_text(json.dumps(content), "utf-8")
    (folder / "checkpoints" / "step-1").mkdir(parents=True)
    (folder / "checkpoints" / "step-1" / "state.json").write_text("{}")
    write_manifest(folder)  # as if all of them were a run's own
    (folder / "notes.txt").write_text(rows.texts[0])
    code, out, err = type_("push", folder, "me/words")
    assert (code, err) == (0, "")
    sent = hub.models["me/words"].files
    assert set(sent) == {
        *(".gitattributes", "README.md", "adapter_config.json", "adapter_model.safetensors", "manifest.json", "plan.json"),
        *("preprocessing.json", "recipe.yaml", "run.json", "scores.json", "tokenizer.json", "tokenizer_config.json"),
        "versions.json",
    }
    everything = b"\n".join(sent.values())
    assert not [text for text in rows.texts if text.encode() in everything]
    assert str(folder.parent).encode() not in everything
    assert b"../" not in everything
    stays = [line.removeprefix("stays here: ").partition(",")[0] for line in out.splitlines() if line.startswith("stays")]
    assert stays == [
        *("checkpoints", "events.jsonl", "held_out.parquet", "held_out_tokens.parquet"),
        "suspects.json",
        "test.parquet",
    ]


def test_a_dry_run_lists_each_file_with_its_bytes_and_asks_nobody(type_, hub, run_for):
    run = run_for("bert")
    code, out, err = type_("push", run.folder, "me/words", "--dry-run")
    assert (code, err) == (0, "")
    size = (run.folder / "adapter_model.safetensors").stat().st_size
    assert f"adapter_model.safetensors{size:,}" in out.replace(" ", "")
    assert f"nothing was sent; without --dry-run it goes to {hub.url}/me/words, private" in out
    assert hub.asked == []
    as_json = json.loads(type_("push", run.folder, "me/words", "--dry-run", "--json")[1])
    assert as_json["files"]["adapter_model.safetensors"] == size


@pytest.mark.parametrize(("words", "private"), [([], True), (["--public"], False)])
def test_a_repository_is_private_unless_it_is_to_be_public(type_, hub, run_for, words, private):
    assert type_("push", run_for("bert").folder, "me/words", *words)[0] == 0
    assert hub.models["me/words"].private is private


def test_a_run_takes_the_place_of_the_one_before_and_of_nothing_else(type_, hub, run_for):
    type_("push", run_for("bert").folder, "me/words")
    there = hub.models["me/words"]
    there.commit({**there.files, "picture.png": b"added by hand"})
    assert type_("push", run_for("bert", "adapter.method=head").folder, "me/words")[::2] == (0, "")
    assert {"model.safetensors", "picture.png", ".gitattributes"} <= set(there.files)
    assert "adapter_model.safetensors" not in there.files
    assert type_("pull", "me/words", "here")[0] == 0


def test_pulling_a_revision_gives_the_run_of_that_time(type_, hub, run_for, tmp_path):
    type_("push", run_for("bert").folder, "me/words")
    first = hub.models["me/words"].at("main")
    type_("push", run_for("bert", "adapter.method=head").folder, "me/words")
    assert type_("pull", "me/words", "here", "--revision", first)[::2] == (0, "")
    assert (tmp_path / "here" / "adapter_model.safetensors").is_file()


# ---------------------------------------------------------------------------------------------------------------- refusals


def test_another_models_repository_is_left_alone(type_, hub, run_for):
    hub.holds("me/words", private=True, files={"config.json": b"{}", "model.safetensors": b""})
    told = refused(type_("push", run_for("bert").folder, "me/words"))
    assert told.startswith("me/words holds no run of rankwise but config.json, model.safetensors; give another name")
    assert set(hub.models["me/words"].files) == {".gitattributes", "config.json", "model.safetensors"}


def test_a_repository_that_everybody_sees_takes_a_run_only_where_that_is_meant(type_, hub, run_for):
    hub.holds("me/words", private=False, files={})
    told = refused(type_("push", run_for("bert").folder, "me/words"))
    assert told == "me/words is public already; type --public to push there, or give another name"
    assert type_("push", run_for("bert").folder, "me/words", "--public")[0] == 0


def test_a_private_repository_stays_private(type_, hub, run_for):
    type_("push", run_for("bert").folder, "me/words")
    _, out, err = type_("push", run_for("bert").folder, "me/words", "--public")
    assert err == ""
    assert "note: me/words was private and stays so" in out
    assert hub.models["me/words"].private


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("HF_TOKEN", "", "no token for the hub; type: hf auth login, or set HF_TOKEN to one that may write"),
        ("HF_TOKEN", READS, "me/words: the hub answered 403 (this token may not write); type: hf auth login, with a token"),
        ("HF_TOKEN", "hf_wrong", "me/words: the hub answered 401 (Invalid username or password.); type: hf auth login"),
        ("HF_HUB_OFFLINE", "1", "HF_HUB_OFFLINE is set"),
    ],
)
def test_what_keeps_a_run_from_going_is_told_in_a_line(type_, hub, run_for, monkeypatch, name, value, said):
    monkeypatch.setenv(name, value)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", "none")
    assert said in refused(type_("push", run_for("bert").folder, "me/words"))
    assert hub.models == {}


def test_a_hub_that_nobody_answers_for_is_told_in_a_line(process, run_for):
    nobody = "http://127.0.0.1:9"
    told = refused(process("-m", "rankwise", "push", run_for("bert").folder, "me/words", HF_ENDPOINT=nobody))
    assert told.startswith(f"{nobody} can't be reached from here")


def test_large_files_that_are_not_taken_are_told_and_nothing_is_committed(type_, hub, run_for):
    hub.takes_large = False
    told = refused(type_("push", run_for("bert").folder, "me/words"))
    assert told.startswith("me/words: the hub answered 403 (no room here)")
    assert set(hub.models["me/words"].files) == {".gitattributes"}


@pytest.mark.parametrize("name", ["words", "me/you/words", "../words", "me/w ords", ""])
def test_what_names_no_repository_is_refused_before_anything_is_asked(type_, hub, run_for, name):
    for words in (("push", run_for("bert").folder, name), ("pull", name, "here")):
        assert "; expected OWNER/NAME, such as me/" in refused(type_(*words))
    assert hub.asked == []


def test_what_cannot_be_pulled_leaves_no_folder(type_, hub, run_for, tmp_path):
    assert "me/none: the hub has no such model, or it is private" in refused(type_("pull", "me/none"))
    hub.holds("me/other", private=False, files={"config.json": b"{}"})
    assert "me/other has no manifest.json, so it is no run that rankwise pushed" in refused(type_("pull", "me/other"))
    type_("push", run_for("bert").folder, "me/words")
    assert "me/words has no such revision" in refused(type_("pull", "me/words", "--revision", "v9"))
    there = hub.models["me/words"]
    there.commit({**there.files, "plan.json": b"{}"})
    assert "plan.json is not what was saved" in refused(type_("pull", "me/words"))
    listed = json.loads(there.files["manifest.json"])
    listed["sha256"]["../../words.txt"] = "0"
    there.commit({**there.files, "manifest.json": json.dumps(listed).encode()})
    assert "outside the folder" in refused(type_("pull", "me/words"))
    assert not list(Path(tmp_path, "runs").glob("*"))


def test_a_folder_with_something_in_it_is_left_as_it_is(type_, hub, tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "mine.txt").write_text("kept")
    assert "here is not empty" in refused(type_("pull", "me/words", "here"))
    assert hub.asked == []
