"""Runs that share an encoder: it is in memory once, with what each run adds to it, and works of many runs are one batch.

Imported where torch is the engine. Shapes: B rows, T tokens, N texts, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rankwise.data.batches import Batch, Padding, collate, scoring_batches
from rankwise.data.tokenizer import FileTokenizer, read_tokenizer
from rankwise.data.tokens import Tokens, joined, text_means
from rankwise.encoders.base import Base
from rankwise.inference.predict import Predictor, TokenPredictor
from rankwise.model.shared import ResidentAdapter, SharedEncoder
from rankwise.run.consistency import checked
from rankwise.run.folder import Run
from rankwise.run.manifest import read_manifest
from rankwise.serving.engine import EachAlone, Work
from rankwise.system.device import Device

ROWS = 32  # of a batch
TOKENIZER = {"tokenizer.json", "tokenizer_config.json"}


@dataclass(frozen=True)
class ResidentScorer:
    """A run's adapter on an encoder that others use too. For one thread at a time."""

    encoder: SharedEncoder
    adapter: ResidentAdapter
    classes: tuple[str, ...]

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        """Logits (B, C) in fp32 of padded inputs (B, T)."""
        return np.stack(self.encoder.logits(batch, [self.adapter] * len(batch["input_ids"])))


@dataclass(frozen=True)
class Encoders:
    """The encoders in memory, and what else runs have in common. It grows while runs are loaded."""

    shared: list[SharedEncoder] = field(default_factory=list)
    bases: dict[object, Base] = field(default_factory=dict)
    """By what runs say of them: to check a base is to read all of its weights."""
    tokenizers: dict[str, FileTokenizer] = field(default_factory=dict)
    """By the digest of their files."""

    def predictor(self, run: Run) -> Predictor | None:
        """A run on an encoder that it shares; None where it has none of its own to share. Raises RankwiseError.

        It is for one thread at a time.
        """
        tokenizer = None if run.counts_words else self._tokenizer(run)
        if tokenizer is None:
            return None
        with checked(run) as plan:
            base = self._base(run)
            encoder = next((known for known in self.shared if known.holds(base, plan, run.folder)), None)
            found = encoder or SharedEncoder.of(base, plan, run.folder)
            adapter = None if found is None else found.adapter(run.folder, plan)
        if found is None or adapter is None:
            return None
        if encoder is None:
            self.shared.append(found)
        scorer = ResidentScorer(found, adapter, run.preprocessing.classes)
        predictor = TokenPredictor(scorer, tokenizer, run.preprocessing)
        predictor.rule = None if run.decision is None else run.decision.rule
        return predictor

    def _base(self, run: Run) -> Base:
        key = (run.folder if run.is_whole else "", run.base_folder, run.facts.base)
        if key not in self.bases:
            self.bases[key] = run.base()
        return self.bases[key]

    def _tokenizer(self, run: Run) -> FileTokenizer | None:
        """The run's, the same object for runs whose files are the same: one is as large as an adapter."""
        written = read_manifest(run.folder).sha256
        if not written.keys() >= TOKENIZER:
            return None
        key = " ".join(written[name] for name in sorted(TOKENIZER))
        if key not in self.tokenizers:
            found = read_tokenizer(run.folder)
            if found is None:
                return None
            self.tokenizers[key] = found
        return self.tokenizers[key]


def sharing() -> tuple[Encoders, Together] | tuple[None, None]:
    """Encoders to load runs on, and the engine that computes them; neither on a GPU, where each run is computed alone."""
    return (Encoders(), Together()) if Device.for_predictions().is_cpu else (None, None)


class Together:
    """Works on one encoder are computed in batches that mix them; others by their runs' own predictors."""

    def __init__(self) -> None:
        self._alone = EachAlone()

    def logits(self, work: Sequence[Work]) -> list[NDArray[np.float32]]:
        """Logits (N, C) of each work, within 1e-4 of what they are in any other company."""
        found: dict[int, NDArray[np.float32]] = {}
        mixed: dict[tuple[int, Padding], list[tuple[int, ResidentScorer]]] = {}
        for place, one in enumerate(work):
            predictor = one.run.predictor
            if isinstance(predictor, TokenPredictor) and isinstance(predictor.scorer, ResidentScorer):
                mixed.setdefault((id(predictor.scorer.encoder), predictor.padding), []).append((place, predictor.scorer))
            else:
                (found[place],) = self._alone.logits([one])
        for (_, padding), several in mixed.items():
            places, scorers = zip(*several, strict=True)
            found |= zip(places, _mixed([work[place].read for place in places], scorers, padding), strict=True)
        return [found[place] for place in range(len(work))]


def _mixed(reads: Sequence[Tokens], scorers: Sequence[ResidentScorer], padding: Padding) -> list[NDArray[np.float32]]:
    """Logits (N, C) of works by what was read of each; their runs share an encoder."""
    tokens = joined(reads)
    owners = [scorer for scorer, read in zip(scorers, reads, strict=True) for _ in range(len(read))]
    rows: dict[int, NDArray[np.float32]] = {}
    for batch in scoring_batches(tokens.lengths, ROWS):
        adapters = [owners[row].adapter for row in batch]
        rows |= zip(batch.tolist(), scorers[0].encoder.logits(collate(tokens, batch, padding), adapters), strict=True)
    found, first = [], 0
    for read in reads:
        values = np.stack([rows[row] for row in range(first, first + len(read))])
        found.append(text_means(values, read.window_counts))
        first += len(read)
    return found
