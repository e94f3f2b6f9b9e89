"""The output of frozen layers, computed once: which layers that is, whether keeping it pays, and filling the cache with it.

Layers below the lowest adapted one never change, so where they have no dropout their output is a constant of the text.
Shapes: B rows, T tokens, H hidden.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rankwise.data.batches import Padding, padded_batches, scoring_batches
from rankwise.data.tokens import Tokens
from rankwise.model.classifier import Classifier
from rankwise.model.hidden_cache import HiddenStates, HiddenStatesCache, digest_of, key_of
from rankwise.model.passes import in_eval_mode, to_tensors
from rankwise.recipe import TrainSpec

BATCH = 32  # texts per forward pass while a cache is filled
PIECE = 1 << 20  # token ids hashed at once


def cached_layer(classifier: Classifier, spec: TrainSpec) -> int | None:
    """The layer that cached hidden states would enter; None where nothing below it is constant, or its recomputation free."""
    layer = classifier.plan.lowest_layer
    if classifier.forward is None or layer == 0 or spec.prefix_cache == "off":
        return None
    if spec.encoder_dropout == "keep" and classifier.plan.encoder.has_dropout:
        return None
    return layer


def pays(spec: TrainSpec) -> bool:
    """Whether texts pass often enough through the frozen layers: writing and reading them back costs about half a pass."""
    return spec.epochs > 1.5


def frozen_digest(classifier: Classifier, layer: int) -> str:
    """A hash of every weight that the hidden states entering `layer` depend on."""
    assert classifier.forward is not None, "cached_layer asks for a forward pass in parts"
    return digest_of(classifier.forward.frozen_below(layer))


def cached_hidden_states(
    classifier: Classifier,
    tokens: Tokens,
    *,
    layer: int,
    weights: str,
    padding: Padding,
    precision: str,
    cache: HiddenStatesCache,
) -> tuple[HiddenStates, bool] | None:
    """The hidden states that enter `layer`, and whether they were on disk already; None where they don't fit there.

    `weights` is `frozen_digest` of that layer.
    """
    forward = classifier.forward
    assert forward is not None, "cached_layer asks for a forward pass in parts"
    encoder = classifier.plan.encoder
    past_the_last = layer == encoder.layers  # where only the first token is read
    offsets = np.arange(len(tokens) + 1, dtype=np.int64) if past_the_last else tokens.offsets
    if not cache.fits(int(offsets[-1]), encoder.hidden):
        return None

    def fill(entry: HiddenStates) -> None:
        rows = scoring_batches(tokens.lengths, BATCH)
        with in_eval_mode(classifier.model):
            for batch, inputs in zip(rows, padded_batches(tokens, rows, padding), strict=True):
                tensors = to_tensors(inputs, classifier.device)
                entry.put(batch, forward.run(forward.embed(tensors), tensors, precision=precision, stop=layer))

    arithmetic = f"{classifier.device.type} {precision}"
    key = key_of(weights, _pieces(tokens), tokens.offsets, layer=layer, arithmetic=arithmetic)
    return cache.get(key, offsets, encoder.hidden, layer, fill)


def _pieces(tokens: Tokens) -> Iterator[NDArray[np.integer]]:
    """All token ids, and segment ids where there are any, a million at a time."""
    for flat in (tokens.ids, tokens.types):
        if flat is not None:
            for start in range(0, int(tokens.offsets[-1]), PIECE):
                yield flat[start : start + PIECE]
