"""The most memory that a run takes at any time, as a sum of named parts, and the rows at a time that fit a budget.

The process and its libraries, the weights and their copies, gradients and the optimiser's averages, the texts, and the
larger of two: what training keeps of its longest micro-batch until backward, or what scoring holds of its longest batch.
Bytes are bytes, a GB is 10⁹ of them. `benchmarks/memory.py` prints predicted beside actual peaks, to re-fit the constants.
"""

import math
from functools import partial

from rankwise.errors import OverMemory
from rankwise.planning.operations import cache_bytes, ends_in_first_token, has_fast_path
from rankwise.planning.plan import Plan
from rankwise.planning.workload import Work
from rankwise.recipe import Recipe, TrainSpec

GB = 10**9

# Fitted to peaks of MiniLM and tiny encoders on a CPU with AMX, torch 2 and glibc, freed memory given back every 16 updates
# and between phases.
PROCESS_BYTES = 605_000_000  # Python with torch, transformers and peft imported and used once
WORDS_BYTES = 560_000_000  # ... where no encoder is loaded
GPU_BYTES = 100_000_000  # cuBLAS's working memory for two streams, and recorded passes (training/cuda_graphs.py), on an H100
SCORING_BYTES = 45_000_000  # what scikit-learn adds at the end
KERNEL_BYTES = 18_000_000  # oneDNN's kernels for a width of a batch, going forward and back, as large for a tiny encoder
KERNEL_FORWARD = 1 / 3  # of them where nothing is learned below the head
SPREAD = 1.5  # of the longest text over the mean one: the widths that batches may have
KERNEL_WIDTHS = 60  # whose kernels its cache holds,
KERNEL_WIDTHS_BOUND = 3  # and where bound_kernel_cache bounds it; fp32 products are MKL's, which makes none
# Floats that one token keeps in one layer until backward: H hidden, I inner, A heads · tokens of its text
KEPT_HIDDEN, KEPT_HIDDEN_DROPOUT = 9.0, 2.0  # query, key, value, their scaled copy, mix, norms' inputs; dropout's masks
KEPT_INNER, KEPT_INNER_UNADAPTED = 2.0, 1.0  # the activation's two sides; less where no adapter of ffn_out reads it again
KEPT_ATTENTION, KEPT_ATTENTION_DROPOUT = 1.0, 2.0  # shares, where attention is not fused; their mask, what it leaves of them
# ... and what one layer holds at a time
HELD_HIDDEN, HELD_INNER, HELD_ATTENTION = 8.0, 2.0, 3.0
PIECES_IN_TRAINING, PIECES_IN_SCORING = 1.15, 1.25  # times that: what batches of other widths leave behind
PADDED = 1.25  # times a split's tokens, at most, are in its batches, which texts of like lengths fill up
BF16_KEPT = 0.76  # of fp32's activations: sums and norms stay in fp32
PROBE_BATCH = 4  # texts whose logits are compared at a time after reloading, as run/saving.py has it
HEADROOM = 0.88  # of a budget that a predicted peak may take, for predictions have been 11 % too low
HELD_IN_MEMORY = GB  # of frozen layers' output, at most, where the cache has no room for it
ROW_BYTES = 100  # a text's label, its offsets on disk, its probabilities
# Of TF-IDF's word pairs, and of the logistic regression's vectors for each class: benchmarks/results/baseline.csv. The second
# line is of so few rows that pairs that come once are kept.
BASELINE_TOKEN_BYTES = (70, 2.1)
BASELINE_TOKEN_BYTES_FEW = (100, 12.0)
BASELINE_FEW, BASELINE_MOST = 2_000, 50_000  # rows; what inference/baselines.py goes by
OPTIMIZER_FLOATS = {"adamw": 2, "adam": 2, "rmsprop": 2, "sgd": 1, "muon": 2}  # for each trained weight

FUSED_IN_SCORING, FUSED_IN_TRAINING = 64, 192  # tokens from which attention is fused, in training without dropout, in fp32

_TOGETHER = ("query", "key", "value")  # one product, so one copy of their weights


def peak_bytes(
    plan: Plan, recipe: Recipe, work: Work, *, rows: int, scored: int, bf16: bool = False, gpu: bool = False
) -> int:
    """The most memory at any time, with `rows` texts a forward pass in training and `scored` in scoring."""
    weights = 4 * plan.ledger.total_parameters
    trained = 4 * plan.ledger.trainable_parameters
    averaged = recipe.train.average is not None
    optimizer = trained * (1 + OPTIMIZER_FLOATS[recipe.train.optimizer.name] + averaged)  # with the gradients
    held_always = weights + _folded_bytes(plan, bf16) + optimizer
    shrink = BF16_KEPT if bf16 else 1.0
    together = max(rows, work.windows)  # a text's windows are computed together, for its loss is that of their mean
    training = shrink * PIECES_IN_TRAINING * _kept(plan, recipe.train, work, together, bf16)
    scoring = shrink * _held(plan, _at_a_time(work, scored), _unfused(plan, work, FUSED_IN_SCORING))
    if gpu:  # texts, baselines and the check stay in the computer's own memory
        return round(GPU_BYTES + held_always + max(training, scoring))
    classes = plan.encoder.classes
    baselines = of_baselines(work, classes, few=BASELINE_TOKEN_BYTES_FEW, many=BASELINE_TOKEN_BYTES)
    data = ROW_BYTES * (work.train_rows + work.validation_rows + work.test_rows)
    if plan.counts_words:  # which is what the baselines do
        return round(WORDS_BYTES + baselines + data)
    baselines *= recipe.evaluate.baselines
    probed = _at_a_time(work, min(scored, PROBE_BATCH))  # the saved folder is loaded again to compare
    checking = weights + shrink * _held(plan, probed, _unfused(plan, work, FUSED_IN_SCORING))
    busiest = max(training, SCORING_BYTES + max(PIECES_IN_SCORING * scoring, baselines, checking))  # these follow each other
    kernels = bf16 * _kernel_bytes(plan, recipe, work)
    kept = min(HELD_IN_MEMORY, cache_bytes(plan, recipe.train, work))  # more than that is given back when it is short
    return round(PROCESS_BYTES + kernels + held_always + kept + busiest + data)


def _kernel_bytes(plan: Plan, recipe: Recipe, work: Work) -> float:
    """Of oneDNN's kernels: for every width that the batches of a training come to."""
    updates, most = recipe.train.planned_steps(work.train_rows), KERNEL_WIDTHS
    if recipe.budget.memory_gb:
        most = KERNEL_WIDTHS_BOUND
    spread = work.longest if work.windows > 1 else max(1.0, SPREAD * (work.longest - work.mean_tokens))
    widths = min(most, spread * (1 - math.exp(-updates / spread)))  # drawn from as many, some more than once
    trains = plan.lowest_layer < plan.encoder.layers
    return KERNEL_BYTES * widths * (1.0 if trains else KERNEL_FORWARD)


def of_baselines(work: Work, classes: int, *, few: tuple[float, float], many: tuple[float, float]) -> float:
    """What TF-IDF with logistic regression takes on the training texts: for a token, and more of it for each class.

    `few` holds both where rows are few, else `many`.
    """
    token, more = few if work.train_rows <= BASELINE_FEW else many
    return (token + more * classes) * work.mean_tokens * min(work.train_rows, BASELINE_MOST)


def fit_batches(plan: Plan, recipe: Recipe, work: Work, *, bf16: bool = False, gpu: bool = False) -> tuple[int, int]:
    """The most rows a forward pass, in training and in scoring, with a predicted peak under `budget.memory_gb`.

    Those of training split `batch_size` evenly, so the same rows make an update; those of scoring are halved until they fit.
    Raises OverMemory where one row is too much.
    """
    spec, limit, scored = recipe.train, recipe.budget.memory_gb, recipe.evaluate.batch_size
    largest = min(spec.micro_batch_size or spec.batch_size, spec.batch_size)
    if limit is None:
        return largest, scored
    peak, most = partial(peak_bytes, plan, recipe, work, bf16=bf16, gpu=gpu), HEADROOM * limit * GB
    sizes = (size for size in splits(spec.batch_size) if size <= largest)
    rows = next((size for size in sizes if peak(rows=size, scored=min(size, scored)) <= most), None)
    if rows is None:
        needed = peak(rows=1, scored=1) / GB / HEADROOM
        raise OverMemory(
            f"budget.memory_gb is {limit:g}, but one row of {work.longest} tokens on {plan.encoder.name} is predicted to "
            f"need {needed:.2f} GB; type --memory-gb {math.ceil(needed * 20) / 20:g}{_ways_to_shrink(plan, recipe, work)}"
        )
    while scored > 1 and peak(rows=rows, scored=scored) > most:
        scored = math.ceil(scored / 2)
    return rows, scored


def splits(batch_size: int) -> list[int]:
    """Micro-batch sizes that cut a batch into even parts, the largest first: 16 → 16, 8, 6, 4, 3, 2, 1."""
    return sorted({math.ceil(batch_size / parts) for parts in range(1, batch_size + 1)}, reverse=True)


def halved(micro_batch: int) -> int:
    """The next micro-batch size to try when memory ran out. Raises OverMemory after one row."""
    if micro_batch > 1:
        return math.ceil(micro_batch / 2)
    raise OverMemory(
        "memory ran out with one row at a time; type --set data.max_length=64, a smaller --set base=NAME, or more "
        "--memory-gb where the machine has it"
    )


def _kept(plan: Plan, spec: TrainSpec, work: Work, rows: int, bf16: bool) -> float:
    """Bytes of activations that backward waits for, of the longest micro-batch, and of the layer that it is at."""
    encoder, tokens = plan.encoder, rows * work.longest
    dropout = spec.encoder_dropout != "off" and encoder.has_dropout
    fused = FUSED_IN_TRAINING if not (dropout or bf16) else math.inf
    hidden, attention = encoder.hidden, encoder.heads * _unfused(plan, work, fused)
    reads_inner = plan.method.trains_weights or any(site.kind == "ffn_out" for site in plan.sites)
    per_layer = (KEPT_HIDDEN + dropout * KEPT_HIDDEN_DROPOUT) * hidden
    per_layer += (KEPT_INNER if reads_inner else KEPT_INNER_UNADAPTED) * encoder.inner
    per_layer += (KEPT_ATTENTION + dropout * KEPT_ATTENTION_DROPOUT) * attention
    layers = max(0, encoder.layers - plan.lowest_layer) * encoder.layer_runs
    first_only = bool(layers) and ends_in_first_token(plan, spec)
    floats = per_layer * (layers - first_only) + first_only * 3 * hidden  # of the last layer keys and values, of every token
    return 4 * tokens * floats + _held(plan, tokens, _unfused(plan, work, fused))


def _held(plan: Plan, tokens: float, seen: float) -> float:
    """Bytes that one layer works in, of a batch of so many tokens, each of which has scores for those that it has `seen`."""
    encoder = plan.encoder
    floats = HELD_HIDDEN * encoder.hidden + HELD_INNER * encoder.inner + HELD_ATTENTION * encoder.heads * seen
    return 4 * tokens * floats


def _at_a_time(work: Work, rows: int) -> float:
    """Tokens of the longest batch that is scored, which has no more than its split has."""
    return min(float(rows * work.longest), PADDED * max(work.validation_tokens, work.test_tokens, work.longest))


def _unfused(plan: Plan, work: Work, fused_from: float) -> float:
    """Tokens that each token has scores for at a time: those of its text, unless attention is fused, which keeps none."""
    seen = work.longest + plan.prefix_length
    return min(seen, fused_from - 1) if has_fast_path(plan) else seen


def _folded_bytes(plan: Plan, bf16: bool) -> int:
    """Copies of weights that the fast path keeps: query, key and value end to end, adapted layers, bf16 copies."""
    if not has_fast_path(plan):
        return 0
    adapted = plan.sites
    copied = sum(site.d_in * site.d_out for site in plan.encoder.sites if bf16 or site in adapted or site.kind in _TOGETHER)
    return copied * (2 if bf16 else 4)


def _ways_to_shrink(plan: Plan, recipe: Recipe, work: Work) -> str:
    ways = {
        "data.max_length=64": work.longest > 64,
        "data.windows=1": work.windows > 1,
        "adapter.method=lora": plan.method.trains_weights,
        "base=minilm": recipe.base != "minilm",
    }
    return "".join(f", or --set {way}" for way, shrinks in ways.items() if shrinks)
