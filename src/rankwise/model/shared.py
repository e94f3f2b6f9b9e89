"""One frozen encoder in memory, and any number of saved adapters on it: a batch may mix them.

A layer's product is computed once for all rows; what an adapter adds, s·B·A·x, is computed beside it for its own rows.
Rows with the same tokens are one row up to the lowest layer that an adapter of theirs changes. The logits are those of
the classifier alone but for rounding, for there adapters are folded into the weights, and here they lie in 16 bits. Shapes: B
rows, T tokens, H hidden, R rank, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rankwise.encoders.base import Base
from rankwise.encoders.encoder import POOLED_HEAD, Encoder
from rankwise.model.classifier import to_tensors
from rankwise.model.forward import READ_APART, Forward, additive_mask
from rankwise.model.methods import LowRankUpdate
from rankwise.model.pooled import pooled
from rankwise.model.skeleton import ACTIVATION, NORM_EPSILON, head_of, read_body, read_parts, tree_of
from rankwise.planning.plan import Plan

APART = "apart"  # what such a head reads: tokens see those of their own text alone
Batch = Mapping[str, NDArray[np.int64]]
"""Padded inputs (B, T) by name."""
MOST = 2**15 - 1  # of a whole number in 16 bits
ROUNDING = 5e-6  # of what an update adds to an output, at most, for inputs of size 1: some 5e-5 of a logit
Together = tuple[str, ...]
"""The names of linear layers that are computed as one product."""


@dataclass(frozen=True, eq=False)
class ResidentAdapter:
    """A saved classifier without its encoder: what it adds to linear layers, and its head."""

    encoder: Encoder
    updates: dict[Together, _Update]
    head: nn.Module
    """A tree that holds what the head calls, under transformers' paths."""
    lowest: int
    """The lowest layer that it changes; the number of layers where it changes none."""

    def logits(self, hidden: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits (B, C) of the last hidden states (B, T, H), or (B, 1, H) where the first is all that is read."""
        if self.encoder.pools:
            head: Any = self.head.get_submodule(POOLED_HEAD)
            return torch.as_tensor(head(pooled(hidden, attention_mask, self.encoder.reads)))
        assert self.encoder.traits.fast_path is not None
        return torch.as_tensor(self.encoder.traits.fast_path.head(self.head, hidden))


class Segment(NamedTuple):
    """Rows of a batch, one after the other, that one adapter answers."""

    rows: slice
    adapter: ResidentAdapter


class SharedEncoder:
    """A frozen encoder that computes batches whose rows belong to different adapters. For one thread at a time."""

    def __init__(self, source: Path, encoder: Encoder, weights: dict[str, Tensor], tree: nn.Module) -> None:
        """`tree` has these weights, which lie in the folder `source`."""
        self.source, self.encoder, self.weights = source, encoder, weights
        self.forward = Forward(tree, encoder)
        self.forward.freeze()
        self._active: list[Segment] = []
        self._together: dict[Together, Together] = {}
        names = {(site.layer, site.kind): site.name for site in encoder.sites}
        for index, layer in enumerate(self.forward.layers):
            for kinds, linear in layer.linear.items():
                if kinds in READ_APART and index < encoder.layers - 1:
                    continue
                together = tuple(names[index, kind] for kind in kinds)
                linear.beside = _Beside(self, together)
                self._together[together] = kinds

    @classmethod
    def of(cls, base: Base, plan: Plan, folder: Path) -> SharedEncoder | None:
        """The encoder of a run; None where its layers are not ours to compute, or its weights are not in one file."""
        body, tree = read_body(base, plan, folder), tree_of(plan.encoder)
        if body is None or tree is None:
            return None
        tree.load_state_dict(body, assign=True, strict=False)
        return cls(Path(base.location), plan.encoder, body, tree.requires_grad_(False).eval())

    def holds(self, base: Base, plan: Plan, folder: Path) -> bool:
        """Whether a run's encoder is this one: the same file, or another with the same numbers."""
        if _layers(self.encoder) != _layers(plan.encoder):
            return False
        if self.source == Path(base.location):
            return True
        body = read_body(base, plan, folder)
        if body is None:
            return False
        poolers = {part.path for part in (*self.encoder.pooler, *plan.encoder.pooler)}
        layers = {name for name in self.weights.keys() | body.keys() if name.rpartition(".")[0] not in poolers}
        return layers <= self.weights.keys() & body.keys() and all(
            torch.equal(body[name], self.weights[name]) for name in layers
        )

    def adapter(self, folder: Path, plan: Plan) -> ResidentAdapter | None:
        """A run's saved adapter and head, in memory; None where it changes more than linear layers, by low rank, or reads
        the texts of a pair apart.

        Raises ModelError for a tensor that is not finite.
        """
        if plan.encoder.reads == APART:
            return None
        parts, head = read_parts(folder, plan), head_of(plan.encoder)
        above = (*plan.encoder.pooler, *plan.encoder.head)
        paths = tuple(f"{part.path}." for part in above)
        if parts is None or head is None or any(not name.startswith(paths) for name in parts.others):
            return None
        weights, names = self.weights | parts.others, [name for part in above for name, _ in part.tensors]
        if not set(names) <= weights.keys():  # a pooler that the encoder of another run came without
            return None
        head.load_state_dict({name: weights[name] for name in names}, assign=True)
        sites = {site.name: site for site in plan.encoder.sites}
        updates = {
            together: _Update.of([(sites[name].d_out, parts.updates.get(name)) for name in together])
            for together, kinds in self._together.items()
            if any(name in parts.updates for name in together) and (plan.encoder.reads == "first" or kinds not in READ_APART)
        }
        lowest = min((sites[name].layer for name in parts.updates), default=plan.encoder.layers)
        return ResidentAdapter(plan.encoder, updates, head.requires_grad_(False).eval(), lowest)

    def logits(self, batch: Batch, adapters: Sequence[ResidentAdapter]) -> list[NDArray[np.float32]]:
        """The logits (C,) of each row of padded inputs (B, T), each by its own adapter."""
        order = sorted(range(len(adapters)), key=lambda row: (adapters[row].lowest, id(adapters[row])))
        inputs = {name: values[order] for name, values in batch.items()}
        segments, start = [], 0
        for _, group in groupby(order, key=lambda row: id(adapters[row])):
            rows = list(group)
            segments.append(Segment(slice(start, start + len(rows)), adapters[rows[0]]))
            start += len(rows)
        found: dict[int, NDArray[np.float32]] = {}
        with torch.inference_mode():
            for segment, values in zip(segments, self._compute(inputs, segments), strict=True):
                found |= zip(order[segment.rows], values.numpy(), strict=True)
        return [found[row] for row in range(len(order))]

    def _compute(self, batch: Batch, segments: Sequence[Segment]) -> list[Tensor]:
        """The logits of each segment (B, C), of rows that stand in its order: by the lowest layer that is changed.

        Into every layer go the rows that an adapter has changed up to there, and then the texts of the others, each once.
        """
        texts, lowest = _numbered(batch), [segment.adapter.lowest for segment in segments for _ in range(_count(segment))]
        attention_mask, layers = torch.from_numpy(batch["attention_mask"]), self.forward.layers
        read_first = all(segment.adapter.encoder.reads == "first" for segment in segments)
        changed, rows, places = -1, texts, texts  # of each place the row that it is of, of each row the place that it has
        hidden = mask = attention_mask
        for index, layer in enumerate(layers):
            if (now := sum(start <= index for start in lowest)) != changed:
                before, (rows, places) = places, _arranged(texts, now)
                if changed < 0:
                    hidden = self.forward.embed(to_tensors({name: values[rows] for name, values in batch.items()}))
                else:
                    hidden = _taken(hidden, before[rows])
                mask, changed = attention_mask[rows], now
                self._active = [segment for segment in segments if segment.adapter.lowest <= index]
            first_only = read_first and index == len(layers) - 1
            additive = additive_mask(mask, torch.float32)
            hidden = layer(hidden, additive, dtype=torch.float32, fold=True, first_only=first_only)
        hidden = _taken(hidden, places)
        return [segment.adapter.logits(hidden[segment.rows], attention_mask[segment.rows]) for segment in segments]


def _layers(encoder: Encoder) -> tuple[Any, ...]:
    """What an encoder's layers compute with beside their weights."""
    config, fast_path = encoder.config, encoder.traits.fast_path
    activation = config.get(fast_path.activation_key, ACTIVATION) if fast_path else None
    padding = config.get("pad_token_id") if encoder.traits.first_position else None  # positions count on from it
    return encoder.family, encoder.layers, encoder.heads, activation, padding, config.get("layer_norm_eps", NORM_EPSILON)


def _count(segment: Segment) -> int:
    return len(range(segment.rows.start, segment.rows.stop))


def _numbered(batch: Batch) -> NDArray[np.int64]:
    """The same number for rows with the same tokens (B,)."""
    return np.unique(np.concatenate(list(batch.values()), axis=1), axis=0, return_inverse=True)[1].reshape(-1)


def _arranged(texts: NDArray[np.int64], changed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The row that each place is computed for, and the place of each row: so many first, of the others each text once."""
    _, firsts, which = np.unique(texts[changed:], return_index=True, return_inverse=True)
    own = np.arange(changed)
    return np.concatenate([own, changed + firsts]), np.concatenate([own, changed + which.reshape(-1)])


def _taken(hidden: Tensor, places: NDArray[np.int64]) -> Tensor:
    """Hidden states (B, T, H) of these places, as they are where it is all of them in order."""
    return hidden if np.array_equal(places, np.arange(len(hidden))) else hidden[places]


@dataclass(frozen=True)
class _Update:
    """What an adapter adds to linear layers that read the same input: their A's end to end, and each one's B.

    Both are whole numbers in 16 bits, which is half of their size, times a scale for each rank.
    """

    a: Tensor
    """A of each layer that is changed (sum of R, d_in)."""
    scales: Tensor
    """Of each rank: of its row of A, its column of B, and of the update (sum of R,)."""
    bs: list[tuple[slice, slice, Tensor]]
    """Of each such layer: its ranks, its outputs, B (d_out, R)."""

    @classmethod
    def of(cls, layers: Sequence[tuple[int, LowRankUpdate | None]]) -> _Update:
        """Of each layer's outputs, and of what is added to it."""
        rows, scales, bs = list[Tensor](), list[Tensor](), list[tuple[slice, slice, Tensor]]()
        rank = output = 0
        for width, update in layers:
            if update is not None:
                a, b, of_ranks = _rounded(update)
                bs.append((slice(rank, rank + len(a)), slice(output, output + width), b))
                rows.append(a)
                scales.append(of_ranks)
                rank += len(a)
            output += width
        return cls(torch.cat(rows), torch.cat(scales), bs)


def _rounded(update: LowRankUpdate) -> tuple[Tensor, Tensor, Tensor]:
    """A and B in 16 bits, and a scale for each rank (R,); an update so large that rounding it would show stays as it is.

    Six times as close as half precision: the numbers of a rank differ in size far less than it allows for.
    """
    (a, of_rows), (b, of_columns) = _whole(update.a, dim=1), _whole(update.b, dim=0)
    off_a, off_b = a * of_rows - update.a, b * of_columns - update.b
    moved = (_squares(update.b, off_a) + _squares(off_b, update.a)) / len(b)
    if abs(update.scale) * math.sqrt(moved) > ROUNDING:
        return update.a, update.b, update.a.new_full((len(update.a),), update.scale)
    return a.to(torch.int16), b.to(torch.int16), update.scale * (of_rows.flatten() * of_columns.flatten())


def _squares(b: Tensor, a: Tensor) -> float:
    """The sum of the squares of B·A, without making it."""
    return float(((b.T @ b) * (a @ a.T)).sum())


def _whole(matrix: Tensor, *, dim: int) -> tuple[Tensor, Tensor]:
    """Whole numbers that 16 bits hold, and the scales of a matrix's ranks, each of which lies along `dim`."""
    largest = matrix.abs().amax(dim, keepdim=True)
    scales = torch.where(largest > 0, largest / MOST, 1.0)
    return torch.round(matrix / scales), scales


class _Beside:
    """What the adapters of a batch add to a product."""

    def __init__(self, owner: SharedEncoder, together: Together) -> None:
        self.owner, self.together = owner, together

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """y (B, T, d_out) with what each segment's adapter makes of x (B, T, d_in)."""
        for rows, adapter in self.owner._active:
            if update := adapter.updates.get(self.together):
                mine = y[rows].view(-1, y.shape[-1])
                down = (x[rows].reshape(-1, x.shape[-1]) @ update.a.to(x.dtype).T) * update.scales  # (B·T, sum of R)
                for ranks, outputs, b in update.bs:
                    mine[:, outputs].addmm_(down[:, ranks], b.to(x.dtype).T)
        return y
