"""A run's predictor on an engine: its scorer, the run's tokenizer and cleaning; no more is imported than the engine needs."""

from __future__ import annotations

from functools import partial

from rankwise.data.tokenizer import read_tokenizer
from rankwise.errors import require
from rankwise.inference.predict import Predictor
from rankwise.run.engines import engine_called
from rankwise.run.engines.saved import SavedRun


def predictor(run: SavedRun, name: str) -> Predictor:
    """The predictor on the engine called `name`. Raises ModelError for a name that is none, MissingExtra."""
    engine = engine_called(name)
    scorer = engine.load(engine.scorer, run)
    tokenizer = read_tokenizer(run.folder) or require("rankwise.model.load", extra="train").tokenizer_in(run.folder)
    with_dropout = partial(engine.load, engine.dropout, run) if engine.dropout else None
    return Predictor(scorer, tokenizer, run.preprocessing, with_dropout=with_dropout)
