"""Every exception says what it is for and whose mistake it is, and messages help."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankwise import errors
from rankwise.errors import Defect, MissingExtra, OverBudget, RankwiseError, check_installed, install, nearest, require

CLASSES = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, RankwiseError)}


@pytest.mark.parametrize("kind", CLASSES.values(), ids=CLASSES.keys())
def test_every_class_says_in_a_sentence_of_its_own_what_went_wrong(kind):
    assert re.fullmatch(r"[A-Z`].{15,}\.", vars(kind)["__doc__"])


@pytest.mark.parametrize("kind", CLASSES.values(), ids=CLASSES.keys())
def test_a_promise_of_ours_that_broke_exits_with_1_and_the_users_mistake_with_2(kind):
    assert kind.exit_code == (1 if issubclass(kind, Defect) else 2)


def test_over_budget_carries_the_numbers_and_the_fixes():
    problem = OverBudget("too much", trained=12, cap=10, fixes={"--set adapter.rank=1": 9})
    assert (str(problem), problem.trained, problem.cap, problem.fixes) == ("too much", 12, 10, {"--set adapter.rank=1": 9})


def test_nearest_names_the_closest_known_word():
    assert nearest("epoch", ["seed", "epochs", "power"]) == "; did you mean 'epochs'?"


def test_nearest_says_nothing_when_no_word_is_close():
    assert nearest("zzz", ["seed", "epochs"]) == ""


@given(st.lists(st.text("abcdefgh_", min_size=1, max_size=12), min_size=1, unique=True), st.data())
def test_a_known_word_is_nearest_to_itself(known, data):
    word = data.draw(st.sampled_from(known))
    assert nearest(word, known) == f"; did you mean '{word}'?"


def test_require_gives_the_module_when_it_is_there():
    assert require("json", extra="none") is sys.modules["json"]


@pytest.mark.parametrize("module", ["no_such_package", "no_such_package.part"])
def test_require_names_the_extra_that_installs_a_missing_module(module):
    with pytest.raises(MissingExtra) as caught:
        require(module, extra="qlora")
    assert str(caught.value) == f"'no_such_package' is not installed, and this needs it; type: {install('qlora')}"
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_require_lets_a_module_that_is_there_but_broken_say_what_it_misses(tmp_path, monkeypatch):
    (tmp_path / "half_there_for_rankwise.py").write_text("import not_there_at_all\n", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="not_there_at_all"):
        require("half_there_for_rankwise", extra="qlora")


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Have rankwise installed from somewhere, as pip writes it down; None for a clone that is not installed."""

    def install_from(record):
        monkeypatch.setattr(sys, "path", [str(tmp_path)])
        sys.path_importer_cache.clear()
        if record is not None:
            (tmp_path / "rankwise-1.0.dist-info").mkdir()
            (tmp_path / "rankwise-1.0.dist-info" / "METADATA").write_text("Name: rankwise\nVersion: 1.0\n", "utf-8")
        if record:
            (tmp_path / "rankwise-1.0.dist-info" / "direct_url.json").write_text(json.dumps(record), "utf-8")

    return install_from


@pytest.mark.parametrize(
    ("record", "advice"),
    [
        ({}, "pip install 'rankwise[mlflow]'"),
        ({"url": "file:///a%20b/clone", "dir_info": {}}, "pip install '/a b/clone[mlflow]'"),
        ({"url": "file:///clone", "dir_info": {"editable": True}}, "pip install -e '/clone[mlflow]'"),
        (
            {"url": "https://host/x.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            "pip install 'rankwise[mlflow] @ git+https://host/x.git@abc'",
        ),
    ],
)
def test_advice_to_install_an_extra_fits_how_rankwise_was_installed(installed, record, advice):
    installed(record)
    assert install("mlflow") == advice


def test_advice_from_a_clone_that_is_not_installed_names_the_clone(installed, monkeypatch, tmp_path):
    clone = Path(errors.__file__).parents[2]
    installed(None)
    monkeypatch.chdir(tmp_path)
    assert install("mlflow") == f"pip install '{clone}[mlflow]'"
    monkeypatch.chdir(clone)
    assert install("mlflow") == "pip install '.[mlflow]'"


def test_what_is_not_installed_is_told():
    check_installed("json", extra="none")
    with pytest.raises(MissingExtra, match="'no_such_package' is not installed"):
        check_installed("no_such_package.part", extra="mlflow")
