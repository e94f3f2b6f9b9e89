"""What frozen layers give once and for all: hidden states that are kept on disk.

Layers below the lowest adapted one never change, so where they have no dropout their output is a constant of the text.
Shapes: N rows, B rows of a batch, T tokens, H hidden.
"""

import time

import numpy as np

from rankwise.data.batches import padded_batches, scoring_batches
from rankwise.data.tokens import Tokens
from rankwise.model.classifier import in_eval_mode, to_tensors
from rankwise.model.hidden_cache import BYTES, HiddenStates, HiddenStatesCache, digest_of, key_of
from rankwise.planning.operations import cached_layers
from rankwise.system.events import Events
from rankwise.training.events import HiddenStatesCached
from rankwise.training.job import Job

BATCH = 32  # texts per forward pass while a cache is filled
PIECE = 1 << 20  # token ids hashed at once


def cached_hidden_states(job: Job, cache: HiddenStatesCache | None, events: Events) -> dict[str, HiddenStates]:
    """What enters the lowest adapted layer, of training and validation texts, where there is a cache and it pays."""
    layer, forward = cached_layers(job.plan, job.recipe.train), job.classifier.forward
    if cache is None or layer == 0 or forward is None:
        return {}
    states: dict[str, HiddenStates] = {}
    weights = digest_of(forward.frozen_below(layer))
    for name, split in (("train", job.data.train), ("validation", job.data.validation)):
        started = time.monotonic()
        stored = _stored(job, split.tokens, layer, weights, cache, events)
        if stored is None:
            events.emit(HiddenStatesCached(split=name, layer=layer, stored=False))
            return {}
        states[name], reused = stored
        took, size = round(time.monotonic() - started, 3), states[name].hidden.nbytes
        events.emit(HiddenStatesCached(split=name, layer=layer, stored=True, reused=reused, bytes=size, took=took))
    return states


def _stored(
    job: Job, tokens: Tokens, layer: int, weights: str, cache: HiddenStatesCache, events: Events
) -> tuple[HiddenStates, bool] | None:
    """The hidden states that enter `layer`, and whether they were on disk already; None where they don't fit there."""
    classifier, forward, width = job.classifier, job.classifier.forward, job.plan.encoder.hidden
    assert forward is not None, "only a forward pass in parts has layers that are cached"
    past_the_last = layer == job.plan.encoder.layers  # where one vector is read, the first token's or a mean
    offsets = np.arange(len(tokens) + 1, dtype=np.int64) if past_the_last else tokens.offsets
    if not cache.has_room(int(offsets[-1]) * width * BYTES):
        return None

    def fill(entry: HiddenStates) -> None:
        batches = scoring_batches(tokens.lengths, BATCH)
        with in_eval_mode(classifier.model):
            told = events.counting("frozen layers, batches of texts", batches)
            for rows, batch in zip(told, padded_batches(tokens, batches, job.padding), strict=True):
                inputs = to_tensors(batch, classifier.device)
                entry.put(rows, forward.run(forward.embed(inputs), inputs, precision=job.precision, stop=layer))

    mean = past_the_last and job.plan.encoder.reads == "mean"
    arithmetic = f"{classifier.device.type} {job.precision}{' mean' * mean}"
    parts = [flat for flat in (tokens.ids, tokens.types) if flat is not None]
    pieces = (flat[start : start + PIECE] for flat in parts for start in range(0, int(tokens.offsets[-1]), PIECE))
    key = key_of(weights, pieces, tokens.offsets, layer=layer, arithmetic=arithmetic)
    return cache.get(key, offsets, width, layer, fill)
