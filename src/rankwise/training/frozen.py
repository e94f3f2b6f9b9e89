"""What the frozen layers give once and for all: hidden states for the prefix cache, features for a fitted head.

Layers below the lowest adapted one never change, so where they have no dropout their output is a constant of the text.
Shapes: B rows, T tokens, H hidden, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from rankwise.data.batches import Padding, collate, scoring_batches
from rankwise.data.prepare import Split
from rankwise.data.tokens import Tokens
from rankwise.model.adapters import Classifier
from rankwise.model.hidden_cache import Prefix, PrefixCache, Writer, digest_of, key_of
from rankwise.recipe import TrainSpec

BATCH = 32  # texts per forward pass while a cache is filled
PIECE = 1 << 20  # token ids hashed at once
HEAD_ROWS = 2_000  # texts whose features a head is fitted on, where no cache makes them cheap


def prefix_layer(classifier: Classifier, spec: TrainSpec) -> int | None:
    """The layer that cached hidden states would enter; None where nothing below it is constant, or its recomputation free."""
    layer = classifier.plan.lowest_layer
    if classifier.forward is None or layer == 0 or spec.prefix_cache == "off":
        return None
    if spec.encoder_dropout == "keep" and classifier.has_encoder_dropout:
        return None
    return layer


def pays(spec: TrainSpec) -> bool:
    """Whether texts pass often enough through the frozen layers: writing and reading them back costs about half a pass."""
    return spec.epochs > 1.5


def frozen_digest(classifier: Classifier, layer: int) -> str:
    """A hash of every weight that the hidden states entering `layer` depend on."""
    assert classifier.forward is not None, "prefix_layer asks for a forward pass in parts"
    return digest_of(classifier.forward.frozen_below(layer))


def cached_prefix(
    classifier: Classifier, tokens: Tokens, *, layer: int, weights: str, padding: Padding, precision: str, cache: PrefixCache
) -> tuple[Prefix, bool] | None:
    """The hidden states that enter `layer`, and whether they were on disk already; None where they don't fit there.

    `weights` is `frozen_digest` of that layer.
    """
    forward = classifier.forward
    assert forward is not None, "prefix_layer asks for a forward pass in parts"
    encoder = classifier.plan.encoder
    width = forward.width
    whole = layer == encoder.layers  # past the last layer only the first token is read
    offsets = np.arange(len(tokens) + 1, dtype=np.int64) if whole else tokens.offsets
    if not cache.fits(int(offsets[-1]), width):
        return None
    model = classifier.model
    was_training = model.training
    model.eval()

    def fill(writer: Writer) -> None:
        with torch.inference_mode():
            for rows in scoring_batches(tokens.lengths, BATCH):
                inputs = {name: tensor.to(classifier.device) for name, tensor in collate(tokens, rows, padding).items()}
                writer.put(rows, classifier.below(inputs, layer, precision=precision))

    arithmetic = f"{classifier.device.type} {precision}"
    key = key_of(weights, _pieces(tokens), tokens.offsets, layer=layer, arithmetic=arithmetic)
    try:
        return cache.get(key, offsets, width, layer, fill)
    finally:
        model.train(was_training)


def fit_head(
    classifier: Classifier, split: Split, *, padding: Padding, precision: str, seed: int, prefix: Prefix | None = None
) -> int:
    """Start the head's last projection as a logistic regression on the frozen encoder's features; returns rows used.

    Linear probing before fine-tuning (Kumar et al., arXiv 2202.10054). Features are those of the model as it starts, in eval
    mode; classes that the rows lack keep their start.
    """
    from sklearn.linear_model import LogisticRegression

    rows = np.random.default_rng(seed).permutation(len(split))[: len(split) if prefix is not None else HEAD_ROWS]
    features = _features(classifier, split.tokens, rows, padding=padding, precision=precision, prefix=prefix)  # (n, H)
    labels = split.labels[rows]
    present = np.unique(labels)
    if len(present) < 2:
        return 0
    fitted = LogisticRegression(max_iter=200).fit(features, labels)
    weight, bias = fitted.coef_, fitted.intercept_  # (C, H), (C,); one row for two classes
    if len(present) == 2:
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    last = classifier.last_projection
    with torch.no_grad():
        last.weight[present] = torch.as_tensor(weight, dtype=last.weight.dtype, device=last.weight.device)
        if last.bias is not None:
            last.bias[present] = torch.as_tensor(bias, dtype=last.bias.dtype, device=last.bias.device)
    return len(rows)


def _features(
    classifier: Classifier,
    tokens: Tokens,
    chosen: NDArray[np.int64],
    *,
    padding: Padding,
    precision: str,
    prefix: Prefix | None,
) -> NDArray[np.float32]:
    """What enters the head's last projection, of the chosen texts in their order (n, H)."""
    caught: list[torch.Tensor] = []
    hook = classifier.last_projection.register_forward_hook(lambda _, inputs, __: caught.append(inputs[0].detach()))
    model = classifier.model
    was_training = model.training
    model.eval()
    found: list[tuple[NDArray[np.int64], NDArray[np.float32]]] = []
    try:
        with torch.inference_mode():
            for places in scoring_batches(tokens.lengths[chosen], BATCH):
                rows = chosen[places]
                inputs = {name: tensor.to(classifier.device) for name, tensor in collate(tokens, rows, padding).items()}
                entering = None if prefix is None else prefix.take(rows, classifier.device)
                classifier.logits(inputs, precision=precision, entering=entering)
                found.append((places, caught.pop().float().cpu().numpy()))
    finally:
        hook.remove()
        model.train(was_training)
    features = np.empty((len(chosen), found[0][1].shape[-1]), dtype=np.float32)
    for places, values in found:
        features[places] = values
    return features


def _pieces(tokens: Tokens) -> Iterator[NDArray[np.integer]]:
    """All token ids, and segment ids where there are any, a million at a time."""
    for flat in (tokens.ids, tokens.types):
        for start in range(0, int(tokens.offsets[-1]) if flat is not None else 0, PIECE):
            yield flat[start : start + PIECE]  # type: ignore[index]
