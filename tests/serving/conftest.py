"""Runs of every task on tiny encoders, and a server that has them all.

What the extra `serve` brings is imported late, so that tests without it are skipped and say so.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

from conftest import CLASSES, WORDS, separable
from rankwise.data.files.output import write_rows
from rankwise.inference.decision import Rule
from rankwise.stats.scaling import Scaling

FITTED = ("head.kind=pooled", "head.start=fitted")


@pytest.fixture(scope="session")
def served_folders(run_for, tmp_path_factory):
    """Folders of runs by name: tickets, shelves (other labels), words, several labels, label columns, pairs."""
    folder = tmp_path_factory.mktemp("served")
    quick = ("train.epochs=2",)
    rng = np.random.default_rng(0)
    rows = separable(60, seed=4)

    def table(name, columns, cells):
        path = folder / f"{name}.csv"
        write_rows(path, columns, [dict(zip(columns, row, strict=True)) for row in cells])
        return path

    renamed = {"fruit": "eat", "metal": "melt", "river": "swim"}
    labelled = list(zip(rows.texts, rows.labels, strict=True))
    titled = [(text.split()[0], " ".join(text.split()[1:]), renamed[label]) for text, label in labelled]
    shelves = table("shelves", ["title", "body", "label"], titled)
    drawn = [[name for name in CLASSES if rng.random() < 0.5] for _ in range(60)]
    said = [" ".join([*(str(rng.choice(WORDS[name])) for name in own), f"row{row}"]) for row, own in enumerate(drawn)]
    several = table("several", ["text", "label"], list(zip(said, map(json.dumps, drawn), strict=True)))
    sizes = [(text, label, "large" if len(text.split()) > 8 else "small") for text, label in labelled]
    columns = table("columns", ["text", "topic", "size"], sizes)
    both = [(rows.texts[row - 1], text, ("true", "false")[row % 2]) for row, text in enumerate(rows.texts)]
    pairs = table("pairs", ["premise", "hypothesis", "label"], both)
    return {
        "tickets": run_for("bert", *quick).folder,
        "shelves": run_for("bert", *quick, f"data.source={shelves}", "data.text=[title,body]").folder,
        "words": run_for("bert", "rungs=[tfidf]", *FITTED).folder,
        "several": run_for("bert", *quick, f"data.source={several}").folder,
        "columns": run_for("bert", *quick, f"data.source={columns}", "data.text=text", "data.label=[topic,size]").folder,
        "pairs": run_for("distilbert", *quick, f"data.source={pairs}").folder,
    }


@pytest.fixture(scope="session")
def catalogue(served_folders):
    """All of them in memory; `sure` is tickets with a decision rule."""
    from rankwise.serving.catalogue import Shelf

    folders = served_folders | {"sure": served_folders["tickets"]}
    loaded = Shelf(tuple(f"{name}={folder}" for name, folder in folders.items())).load()
    loaded.runs["sure"].predictor.rule = Rule(scaling=Scaling(2.0), least_confidence=0.9)
    return loaded


@pytest.fixture(scope="session")
def server(catalogue):
    """A server of all of them, without a key."""
    from servers import live

    from rankwise.serving.service import Service

    with live(Service(catalogue=catalogue)) as running:
        yield running


@pytest.fixture(scope="session")
def tickets_only(catalogue):
    """A server of one run, which answers where none is named, with a key and the admin route."""
    from servers import live

    from rankwise.serving.catalogue import Catalogue
    from rankwise.serving.service import Service, Settings

    alone = Catalogue({"tickets": catalogue.runs["tickets"]})
    settings = Settings(api_key="secret", admin=True, hosts=frozenset({"127.0.0.1", "localhost"}), most_wait=60.0)
    with live(Service(catalogue=alone, settings=settings)) as running:
        yield running
