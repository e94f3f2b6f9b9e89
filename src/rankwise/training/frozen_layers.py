"""What frozen layers give once and for all: hidden states that are kept, on disk or in memory.

Layers below the lowest adapted one never change, so where they have no dropout their output is a constant of the text. Kept,
they are rounded to fp16 and come from batches of their own; computed again for every update, they differ from these in their
last digits. So that a seed gives the same bytes, a cache without room is replaced by memory, which holds the same; where that
has no room either, the run says which way it took, and goes on that way.
Shapes: N rows, B rows of a batch, T tokens, H hidden.
"""

import hashlib
import time
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from rankwise.data.batches import padded_batches, scoring_batches
from rankwise.data.tokens import Tokens
from rankwise.errors import StorageError
from rankwise.model.classifier import in_eval_mode, to_tensors
from rankwise.model.hidden_cache import BYTES, HiddenStates, HiddenStatesCache, digest_of, key_of
from rankwise.model.text_states import BYTES as TEXT_BYTES
from rankwise.model.text_states import Digest, TextStates
from rankwise.planning.memory import GB, HELD_IN_MEMORY
from rankwise.planning.operations import cached_layers
from rankwise.system.events import Events
from rankwise.system.memory import available_bytes
from rankwise.system.processes import of_main_process
from rankwise.training.events import HiddenStatesCached
from rankwise.training.job import Job

BATCH = 32  # texts per forward pass while a cache is filled
PIECE = 1 << 20  # token ids hashed at once
MEMORY_SHARE = 0.25  # of the memory that is left
ON_DISK, IN_MEMORY = "the cache", "memory"


@dataclass(frozen=True)
class FrozenLayers:
    """What enters the lowest adapted layer, of training and validation texts; None where it is computed for every update."""

    train: HiddenStates | None = None
    validation: HiddenStates | None = None
    recomputed: bool = False
    """Whether that is for lack of room alone."""


def frozen_layers(
    job: Job, cache: HiddenStatesCache | TextStates | None, events: Events, *, as_before: bool | None = None
) -> FrozenLayers:
    """The hidden states that pay to be kept, where there is a cache, and room in it or in memory.

    A training that goes on was `recomputed` `as_before`, or it was not; None for a new one, and where that is not known.
    Raises StorageError where what it kept has no room any more. Of several processes the main one's room counts.
    """
    if isinstance(cache, TextStates):
        if (shared := _shared(job, cache, events)) is not None:
            return shared
        cache = cache.beyond
    layer, forward = cached_layers(job.plan, job.recipe.train), job.classifier.forward
    if cache is None or layer == 0 or forward is None:
        return FrozenLayers()
    splits = {"train": job.data.train.tokens, "validation": job.data.validation.tokens}
    size = sum(int(_offsets(job, tokens, layer)[-1]) for tokens in splits.values()) * _width(job, layer) * BYTES
    where = of_main_process(_room(job, cache, size))
    if as_before is False and where is None:
        raise StorageError(
            f"this training began with hidden states of frozen layers kept, and the cache has no room for their "
            f"{size / GB:.2f} GB now; free room for {cache.folder} or raise its limit (RANKWISE_CACHE_GB), or type "
            "--overwrite to start again"
        )
    if as_before or where is None:
        events.emit(HiddenStatesCached(split="train", layer=layer, stored=False, as_before=bool(as_before)))
        return FrozenLayers(recomputed=True)
    states: dict[str, HiddenStates] = {}
    on_disk = where == ON_DISK
    weights = digest_of(forward.frozen_below(layer)) if on_disk else ""
    for name, tokens in splits.items():
        started = time.monotonic()
        states[name], reused = (
            _stored(job, tokens, layer, weights, cache, events) if on_disk else (_held(job, tokens, layer, events), False)
        )
        took, size = round(time.monotonic() - started, 3), states[name].hidden.nbytes
        events.emit(
            HiddenStatesCached(split=name, layer=layer, stored=True, reused=reused, bytes=size, took=took, where=where)
        )
    return FrozenLayers(states["train"], states["validation"])


def shared_key(job: Job) -> tuple[str, int] | None:
    """(a hash of all but the text that hidden states depend on, the layer that they enter); None where none are kept."""
    layer, forward, encoder = cached_layers(job.plan, job.recipe.train, shared=True), job.classifier.forward, job.plan.encoder
    if layer == 0 or forward is None:
        return None
    weights, device = digest_of(forward.frozen_below(layer)), job.classifier.device.type
    return f"{weights} layer {layer} of {encoder.layers} {encoder.reads} {device}", layer


def shared_states(states: TextStates, key: tuple[str, int], tokens: Tokens) -> HiddenStates | None:
    """The states of texts that are all there; None where one's are not."""
    return states.known(key[0], _digests(tokens), key[1])


def _shared(job: Job, states: TextStates, events: Events) -> FrozenLayers | None:
    """The hidden states of every text, by text, those that are new computed; None where that does not pay or has no room."""
    if (found_key := shared_key(job)) is None:
        return None
    key, layer = found_key
    splits, width = {"train": job.data.train.tokens, "validation": job.data.validation.tokens}, _width(job, layer)
    sizes = {name: int(_offsets(job, tokens, layer)[-1]) for name, tokens in splits.items()}
    if not states.has_room(sum(sizes.values()) * width * TEXT_BYTES):
        return None
    found: dict[str, HiddenStates] = {}
    for name, tokens in splits.items():
        started, digests = time.monotonic(), _digests(tokens)
        with in_eval_mode(job.classifier.model):
            found[name], new = states.get(key, digests, (sizes[name], width), layer, partial(_states_of, job, tokens, layer))
        took, size = round(time.monotonic() - started, 3), sizes[name] * width * TEXT_BYTES
        reused = new == 0
        events.emit(
            HiddenStatesCached(split=name, layer=layer, stored=True, reused=reused, bytes=size, took=took, where=ON_DISK)
        )
    return FrozenLayers(found["train"], found["validation"])


def _states_of(job: Job, tokens: Tokens, layer: int, number: int) -> NDArray[np.float32]:
    """What one text's layers below `layer` give (tokens, H), in fp32."""
    forward, (batch,) = job.classifier.forward, padded_batches(tokens, [np.array([number])], job.padding)
    assert forward is not None, "only a forward pass in parts has layers that are cached"
    inputs = to_tensors(batch, job.classifier.device)
    hidden = forward.run(forward.embed(inputs), inputs, precision="fp32", stop=layer)[0]
    states: NDArray[np.float32] = hidden.float().cpu().numpy()
    return states if _is_past_the_last(job, layer) else states[: int(tokens.lengths[number])]


def _digests(tokens: Tokens) -> list[Digest]:
    """A hash of the token and segment ids of each window."""
    flat = (b"".join([len(ids).to_bytes(4), ids.astype(np.int32).tobytes(), types.tobytes()]) for ids, types in tokens)
    return [hashlib.blake2b(window, digest_size=16).digest() for window in flat]


def _room(job: Job, cache: HiddenStatesCache, size: int) -> str | None:
    """Where so many bytes have room; in memory each process of a launch holds them."""
    if cache.has_room(size):
        return ON_DISK
    share = MEMORY_SHARE * available_bytes() / job.device.processes
    return IN_MEMORY if size <= min(HELD_IN_MEMORY, share) else None


def _is_past_the_last(job: Job, layer: int) -> bool:
    """Whether one vector of each text is read, the first token's or a mean."""
    return layer == job.plan.encoder.layers


def _offsets(job: Job, tokens: Tokens, layer: int) -> NDArray[np.int64]:
    """Where each text's hidden states begin and end."""
    return np.arange(len(tokens) + 1, dtype=np.int64) if _is_past_the_last(job, layer) else tokens.offsets


def _width(job: Job, layer: int) -> int:
    """Numbers of a hidden state, or past the last layer of what the head reads."""
    return job.plan.encoder.head_width if _is_past_the_last(job, layer) else job.plan.encoder.hidden


def _held(job: Job, tokens: Tokens, layer: int, events: Events) -> HiddenStates:
    """The hidden states that enter `layer`, in memory."""
    offsets = _offsets(job, tokens, layer)
    held = HiddenStates(np.zeros((int(offsets[-1]), _width(job, layer)), dtype=np.float16), offsets, layer)
    _fill(held, job, tokens, events)
    return held


def _fill(entry: HiddenStates, job: Job, tokens: Tokens, events: Events) -> None:
    """Compute the hidden states of every text, in batches that depend on the texts alone."""
    classifier, forward = job.classifier, job.classifier.forward
    assert forward is not None, "only a forward pass in parts has layers that are cached"
    batches = scoring_batches(tokens.lengths, BATCH)
    with in_eval_mode(classifier.model):
        told = events.counting("frozen layers, batches of texts", batches)
        for rows, batch in zip(told, padded_batches(tokens, batches, job.padding), strict=True):
            inputs = to_tensors(batch, classifier.device)
            entry.put(rows, forward.run(forward.embed(inputs), inputs, precision=job.precision, stop=entry.layer))


def _stored(
    job: Job, tokens: Tokens, layer: int, weights: str, cache: HiddenStatesCache, events: Events
) -> tuple[HiddenStates, bool]:
    """The hidden states that enter `layer`, on disk, and whether they were there already."""
    classifier, offsets = job.classifier, _offsets(job, tokens, layer)
    reads = job.plan.encoder.reads
    told = reads == "apart" or (_is_past_the_last(job, layer) and reads == "mean")
    arithmetic = f"{classifier.device.type} {job.precision}{f' {reads}' * told}"
    parts = [flat for flat in (tokens.ids, tokens.types) if flat is not None]
    pieces = (flat[start : start + PIECE] for flat in parts for start in range(0, int(tokens.offsets[-1]), PIECE))
    key = key_of(weights, pieces, tokens.offsets, layer=layer, arithmetic=arithmetic)
    return cache.get(key, offsets, _width(job, layer), layer, lambda entry: _fill(entry, job, tokens, events))
