"""Which base fits: by script, by what a tokenizer makes of the words, by caps; and where its files are."""

from __future__ import annotations

import shutil
import sys

import pytest

from rankwise.encoders.base import KNOWN, folder_of
from rankwise.errors import DataError
from rankwise.workflows import suggest as module
from rankwise.workflows.suggest import suggest

ENGLISH = ["The government announced new measures yesterday.", "The goalkeeper is out for the rest of the season."]
SPANISH = ["El gobierno anunció ayer nuevas medidas económicas.", "El portero estará ausente el resto de la temporada."]
RUSSIAN = ["Правительство объявило вчера новые меры.", "Вратарь выбыл до конца сезона."]
CHINESE = ["政府昨天宣布新的经济措施。", "守门员将缺席本赛季剩余比赛。"]
FEW = ("minilm", "ettin-17m", "roberta-large", "multilingual-minilm", "beto-cased", "rubert-tiny2", "bert-base-chinese")


@pytest.fixture(autouse=True)
def few_bases(monkeypatch, tmp_path):
    """A handful of the known bases, none of them in a cache."""
    monkeypatch.setattr(module, "KNOWN", {name: KNOWN[name] for name in FEW})
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def suggested(texts, *overrides):
    return suggest("auto", texts=texts * 30, labels=["a", "b"] * 30, overrides=overrides)


def fit_of(found, name):
    return next(fit for fit in found.bases if fit.base == name)


def fitting(found):
    return {fit.base for fit in found.bases if found.fits(fit) and fit.over is None}


def test_english_stays_with_the_base_of_the_recipe_where_that_is_here():
    found = suggested(ENGLISH)
    assert (found.recommended, found.rows, found.scripts) == ("minilm", 60, {"Latin": 60})
    assert found.bases[0].base == "minilm"
    assert found.bases[0].here
    assert fitting(found) == {"minilm", "ettin-17m", "roberta-large", "multilingual-minilm"}
    assert fit_of(found, "minilm").pieces.per_word < 1.3
    assert fit_of(found, "ettin-17m").pieces is None


def test_words_that_english_tokenizers_split_rule_out_all_english_bases():
    found = suggested(SPANISH)
    assert fit_of(found, "minilm").pieces.per_word > 1.6
    assert found.seem_english is False
    assert fitting(found) == {"multilingual-minilm", "beto-cased"}
    assert found.recommended == "multilingual-minilm"  # for letters alone don't tell Spanish from French


@pytest.mark.parametrize(
    ("texts", "script", "own"), [(RUSSIAN, "Cyrillic", "rubert-tiny2"), (CHINESE, "Han", "bert-base-chinese")]
)
def test_a_script_that_none_of_its_languages_is_written_in_rules_a_base_out(texts, script, own):
    found = suggested(texts)
    assert fit_of(found, "minilm").unread == fit_of(found, "beto-cased").unread == {script: 60}
    assert fit_of(found, own).unread == {}
    assert fitting(found) == {"multilingual-minilm", own}


def test_caps_are_kept_and_the_limit_that_is_too_low_is_named():
    found = suggested(ENGLISH, "budget.parameters=45000", "budget.shrink=false", "budget.memory_gb=1.5")
    assert fit_of(found, "roberta-large").over == "parameters"
    assert fit_of(found, "multilingual-minilm").over == "parameters"
    assert fit_of(found, "minilm").over is None
    assert fit_of(suggested(ENGLISH, "budget.memory_gb=1.5"), "roberta-large").over == "memory"
    assert suggested(RUSSIAN, "budget.memory_gb=0.5").recommended is None


def test_costs_are_those_of_a_plan_on_that_base():
    found = suggested(ENGLISH)
    costs = {fit.base: (fit.seconds, fit.peak_bytes) for fit in found.bases}
    assert costs["ettin-17m"][0] < costs["multilingual-minilm"][0] < costs["roberta-large"][0]
    assert costs["ettin-17m"][1] < costs["multilingual-minilm"][1] < costs["roberta-large"][1]


def test_texts_longer_than_a_base_reads_at_once_are_counted():
    long = suggested([" ".join(["market"] * 600), "short"])
    assert {fit_of(long, name).longer for name in ("minilm", "roberta-large", "multilingual-minilm")} == {0.5}
    assert fit_of(long, "rubert-tiny2").longer == 0.0  # which reads 2,048 tokens


def test_a_base_in_a_folder_is_looked_at_beside_the_known_ones(tmp_path):
    shutil.copytree(folder_of("minilm"), tmp_path / "mine")
    found = suggested(ENGLISH, f"base={tmp_path / 'mine'}")
    mine = fit_of(found, str(tmp_path / "mine"))
    assert (mine.here, mine.hub, mine.languages) == (True, None, ())
    assert mine.pieces == fit_of(found, "minilm").pieces
    assert found.recommended == mine.base


def test_a_base_in_the_hubs_cache_is_here_with_its_tokenizer(tmp_path):
    cached = tmp_path / "hub" / "models--sentence-transformers--paraphrase-multilingual-MiniLM-L12-v2"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("0" * 40)
    shutil.copytree(folder_of("minilm"), cached / "snapshots" / ("0" * 40))
    found = suggested(RUSSIAN)
    fit = fit_of(found, "multilingual-minilm")
    assert fit.here
    assert fit.pieces.per_word > 1.6  # in this copy's tokenizer, which is an English one
    assert not found.fits(fit)


def test_without_the_tokenizers_library_nothing_is_measured(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    found = suggested(SPANISH)
    assert {fit.pieces for fit in found.bases} == {None}
    assert found.seem_english is None
    assert "beto-cased" in fitting(found)


def test_a_base_is_nowhere_where_its_package_is_not(monkeypatch):
    assert (folder_of("minilm") / "tokenizer.json").is_file()
    monkeypatch.setattr("rankwise.encoders.base.MINILM_PACKAGE", "no_such_package")
    assert folder_of("minilm") is None


def test_texts_without_two_classes_are_refused_as_in_a_plan():
    with pytest.raises(DataError, match="every row is 'a'"):
        suggest("auto", texts=ENGLISH, labels=["a", "a"])


def test_a_base_whose_weights_the_hub_does_not_hand_to_everybody_stands_behind_the_others(monkeypatch):
    monkeypatch.setattr(module, "KNOWN", {name: KNOWN[name] for name in ("embeddinggemma-300m", "bge-m3")})
    found = suggested(SPANISH, "base=bge-m3", "budget.parameters=2000000")
    gated = fit_of(found, "embeddinggemma-300m")
    assert gated.gated
    assert not fit_of(found, "bge-m3").gated
    assert gated.seconds < fit_of(found, "bge-m3").seconds
    assert found.recommended == "bge-m3"
