"""Operations of a run: a product of T tokens with a linear layer of P weights takes 2·P·T of them.

Forward reads every linear layer once; backward makes the gradient of each one's input, only in layers above the lowest
adapted one; full fine-tuning also makes the weights' gradients, as large again. Frozen layers below are computed once per
text where their output is cached. A multiplication and an addition are two operations.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields

from rankwise.encoders.encoder import Encoder
from rankwise.planning.plan import Plan
from rankwise.planning.workload import Work
from rankwise.recipe import Recipe, TrainSpec

SHIFT_SHARE = 0.5  # of the tokens of a split that a kind of shift changes, on average: letter case none where it is not known

_STAGES = {"attention": 1, "attention_output": 2, "ffn_in": 3, "ffn_gate": 3, "ffn_out": 4}  # query, key and value first
_READ_BY_ALL = ("key", "value")  # in the last layer, what the first token attends to


@dataclass(frozen=True)
class PerText:
    """Operations of one pass over one token or one row, which depend on the plan and the mean length alone."""

    cached_token: float
    """Forward through the layers whose output is cached; 0 where none is."""
    forward_token: float
    """Forward through the other layers."""
    forward_row: float
    """Forward of what is computed for the first token of a text only."""
    backward_token: float
    backward_row: float


@dataclass(frozen=True)
class Operations:
    """Operations of the parts of a run, on real tokens."""

    caching: float
    """Filling the cache of hidden states."""
    reading: float
    """One pass over the training texts, through the layers that are not cached."""
    update: float
    """Forward and backward of one update, on average."""
    evaluation: float
    """One pass over the validation texts, and over what `select_by` adds to them."""
    test: float
    """One pass over the test texts, and over the validation texts as they are kept in the run."""


def operations(plan: Plan, recipe: Recipe, work: Work) -> Operations:
    """What each part of the recipe's run computes."""
    spec = recipe.train
    per = per_text(plan, spec, mean_tokens=work.mean_tokens)
    forward = per.forward_token * work.train_tokens + per.forward_row * work.train_rows
    backward = per.backward_token * work.train_tokens + per.backward_row * work.train_rows
    evaluation = per.forward_token * work.validation_tokens + per.forward_row * work.validation_rows
    if spec.select_by == "worst_shift":  # shifted texts run through every layer, for none of theirs is cached
        shifts = SHIFT_SHARE * len(recipe.evaluate.shifts)
        evaluation += shifts * (per.cached_token * work.validation_tokens + evaluation)
    last_tokens, last_rows = work.test_tokens, work.test_rows
    if not work.folds:  # else every fold's rows are known before all rows train
        last_tokens, last_rows = last_tokens + work.validation_tokens, last_rows + work.validation_rows
    share = 1 / max(1, spec.steps_per_epoch(work.train_rows))  # of an epoch in one update
    return Operations(
        caching=per.cached_token * (work.train_tokens + work.validation_tokens),
        reading=forward,
        update=(forward + backward) * share,
        evaluation=evaluation,
        test=(per.cached_token + per.forward_token) * last_tokens + per.forward_row * last_rows,
    )


def per_text(plan: Plan, spec: TrainSpec, *, mean_tokens: float) -> PerText:
    """Operations for one token and for one row. Attention's products, 4·H·T for a token of a text of T, are counted."""
    encoder, cached = plan.encoder, cached_layers(plan, spec)
    first_only = ends_in_first_token(plan, spec)
    stages = [(site.layer, _STAGES.get(site.kind, 0)) for site in plan.sites]
    lowest = (-1, 0) if plan.trains_embeddings else min(stages, default=(encoder.layers, 0))  # from where on training runs
    runs = encoder.layer_runs
    seen = mean_tokens + plan.prefix_length
    attention = 2 * encoder.hidden * seen  # two products for each token, of H weights for each token that it sees
    sums = dict.fromkeys((field.name for field in fields(PerText)), 0.0)
    for layer in range(encoder.layers):
        for kind, weights in (*_matrices(encoder, layer), ("attention", attention)):
            forward = 2.0 * weights * runs
            on_row = first_only and layer == encoder.layers - 1 and kind not in _READ_BY_ALL
            if layer < cached:
                sums["cached_token"] += forward / mean_tokens if on_row else forward
                continue
            needs_inputs = (layer, _STAGES.get(kind, 0)) > lowest or (runs > 1 and layer >= lowest[0])
            products = needs_inputs * (2 if kind == "attention" else 1)  # both factors of attention's products vary
            products += plan.method.trains_weights and kind != "attention"
            sums["forward_row" if on_row else "forward_token"] += forward
            sums["backward_row" if on_row else "backward_token"] += forward * products
    # adapters' factors, trained or not: folded into the weights going forward; four products going back
    factors = sum(site.cost(plan.ranks[site.name]) for site in plan.sites if site.name in plan.ranks)
    sums["backward_token"] += 4.0 * factors * runs
    return PerText(**sums)


def forward_operations(encoder: Encoder, tokens: int) -> float:
    """Operations of one forward pass over one text of so many tokens, through every layer."""
    weights = sum(size for layer in range(encoder.layers) for _, size in _matrices(encoder, layer))
    attention = 2 * encoder.hidden * tokens * encoder.layers
    return 2.0 * tokens * (weights + attention) * encoder.layer_runs


def has_fast_path(plan: Plan) -> bool:
    """Whether model/forward.py computes the forward pass: the family has a fast path, and the method runs on it."""
    return plan.encoder.traits.fast_path is not None and plan.method.has_fast_path


def ends_in_first_token(plan: Plan, spec: TrainSpec) -> bool:
    """Whether the last layer is computed for the first token only, which is all that the head reads."""
    return has_fast_path(plan) and spec.speed.first_token and plan.encoder.reads == "first"


def cached_layers(plan: Plan, spec: TrainSpec, *, shared: bool = False) -> int:
    """How many layers from the input have their output cached: those below the lowest adapted one, where it pays.

    Where other trainings read the same, `shared`, it always does.
    """
    constant = spec.encoder_dropout != "keep" or not plan.encoder.has_dropout
    pays = spec.prefix_cache == "auto" and (shared or spec.epochs > 1.5)  # writing and reading back costs about half a pass
    return plan.lowest_layer if has_fast_path(plan) and constant and pays else 0


def cache_bytes(plan: Plan, spec: TrainSpec, work: Work) -> int:
    """fp16 numbers of every training and validation token, or of every text where no layer is left to run."""
    cached = cached_layers(plan, spec)
    if cached == 0:
        return 0
    whole = cached == plan.encoder.layers
    held = work.train_rows + work.validation_rows if whole else work.train_tokens + work.validation_tokens
    return round(held * plan.encoder.hidden * 2)


def _matrices(encoder: Encoder, layer: int) -> Iterator[tuple[str, int]]:
    """(kind, weights) of each matrix of a layer; matrices that take no adapter, such as XLNet's attention, have no kind."""
    for part in encoder.body:
        if part.layer == layer:
            for _, shape in part.tensors:
                if len(shape) >= 2:
                    yield (part.site.kind if part.site else ""), math.prod(shape)
