"""What answering costs once a run is handed over: megabytes of its files, and milliseconds of its longest text.

A run with `budget.artifact_mb` or `budget.latency_ms` is written for ONNX Runtime once it is trained, in 8 bits where fp32
does not fit, and its texts are cut to what can be read in time. The constants were measured on two cores of a shared AMD EPYC
with AVX-512 and VNNI, MiniLM, texts of 8 to 512 tokens; the files themselves are measured when they are written.
"""

import math
from dataclasses import dataclass
from functools import cache

from rankwise.errors import OverDeployment, as_set
from rankwise.planning.operations import forward_operations
from rankwise.planning.plan import Plan
from rankwise.planning.workload import Work
from rankwise.recipe import BudgetSpec, Recipe
from rankwise.recipe.adapter import WORD_BYTES
from rankwise.recipe.recipe import COUNTED_WORDS
from rankwise.system.cores import default_threads, usable_cores
from rankwise.system.speed import fastest_threads

MB = 1e6
UTILISATION = 0.75  # of the measured fp32 matrix-product speed, on one text
GAIN_OF_8_BITS = 1.8  # over fp32, in products of one text
BYTES_PER_SECOND = 14e9  # of memory, from which weights come for each text
CALL_SECONDS = 5e-4
GRAPH_BYTES = 4e5  # of an ONNX file beside its weights
TOKENIZER_BYTES = 40  # of tokenizer.json, for each entry of the vocabulary
HEADROOM = 0.8  # of the milliseconds, to which a prediction may come
CUT_TO = 0.5  # of the tokens, below which 8 bits are taken where they read more
LENGTHS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048, 4096, 8192)
"""Tokens that texts are cut to: so few lengths that a measurement which is a little off gives the same."""
FORMS = {32: "onnx", 8: "onnx-int8"}
"""What a classifier is handed over as, by the bits of a weight: the one that changes no answer comes first."""
ALONE_RIGHT = 0.012  # of the rows one of the two forms alone is right on: MiniLM on AG News
MARGINS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.5, 10.0, 15.0, 20.0)  # points that are suggested
SMALL = "minilm"  # of the known bases the one that answers soonest


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """What is handed over, and what it is predicted to cost."""

    bits: int
    """Of a weight: 32, or 8."""
    megabytes: float
    """Of all files."""
    milliseconds: float
    """Of the longest text that is read, alone."""
    window: int
    """The most tokens of a window,"""
    windows: int
    """and the most windows of a text."""
    cuts: bool = False
    """Whether texts are cut to that to keep a budget."""

    @property
    def tokens(self) -> int:
        """That are read of a text, at most."""
        return self.window * self.windows

    @property
    def form(self) -> str:
        """The format that `rankwise export` writes."""
        return FORMS[self.bits]

    def line(self) -> str:
        """What a person reads."""
        read = f"{self.windows} windows of {self.window} tokens" if self.windows > 1 else f"{self.window} tokens"
        bits = " in 8 bits" if self.bits == 8 else ""
        cut = ", to which texts are cut" if self.cuts else ""
        spent = f"{self.milliseconds:.1f}" if self.milliseconds < 10 else f"{self.milliseconds:,.0f}"
        return f"deployed{bits}: {self.megabytes:,.1f} MB, {spent} ms a text of {read}{cut}"


def rows_line(rows: int, max_loss: float) -> str:
    """What to type where so many validation rows will hardly show that 8 bits lose at most `max_loss` points; else empty."""
    from rankwise.stats.noninferiority import accuracy_rows_needed  # brings scipy, which nothing else here needs

    needed = accuracy_rows_needed(ALONE_RIGHT, 0.0, max_loss / 100)
    if needed is None or rows >= needed:
        return ""
    ways = [as_set("data.split.validation", 100 * math.ceil(needed / 100))]
    told = (one for one in MARGINS if one > max_loss and (accuracy_rows_needed(ALONE_RIGHT, 0.0, one / 100) or rows) < rows)
    ways += [as_set("budget.max_loss", margin) for margin in list(told)[:1]]
    few = f"{rows:,} validation rows will hardly show" if rows else "no validation rows are set aside to show"
    return f"{few} that 8 bits lose no more than {max_loss:g} points: {' or '.join(ways)}"


@cache
def answering_gflops() -> float:
    """GFLOP/s of products on the threads that answer; measured once a process, so that all its trainings are cut alike."""
    threads, measured = fastest_threads(min(usable_cores(), default_threads()))
    return measured[threads]


def deployment(plan: Plan, budget: BudgetSpec, *, window: int, windows: int = 1, gflops: float) -> Deployment:
    """What a plan's classifier costs to answer with, where texts are read in so many windows of so many tokens.

    A budget of milliseconds lowers both, first the windows. Weights are in 8 bits where the files are too large otherwise,
    or where fp32 would read less than half. Raises OverDeployment where that is not enough either.
    """
    if plan.counts_words:
        weights = plan.ledger.trainable_parameters
        return Deployment(bits=32, megabytes=weights * WORD_BYTES / MB, milliseconds=1.0, window=window, windows=windows)
    forms = {bits: _Form(plan, bits, gflops) for bits in FORMS}
    in_time = {bits: forms[bits].within(budget.latency_ms, window, windows) for bits in _small_enough(plan, budget)}
    fitting = {bits: read for bits, read in in_time.items() if read is not None}
    if not fitting:
        raise OverDeployment(_refusal(plan, budget, forms[8]))
    bits = max(fitting)
    if 8 in fitting and math.prod(fitting[bits]) < min(CUT_TO * window * windows, math.prod(fitting[8])):
        bits = 8
    read = fitting[bits]
    return Deployment(
        bits=bits,
        megabytes=forms[bits].megabytes,
        milliseconds=1000 * forms[bits].seconds(*read),
        window=read[0],
        windows=read[1],
        cuts=read != (window, windows),
    )


def deployable(recipe: Recipe, plan: Plan, work: Work) -> Recipe:
    """The recipe, or where its encoder keeps no budget its rung that counts words.

    `work` is what is known of its texts before they are tokens. Raises OverDeployment where it has no such rung.
    """
    if not recipe.budget.deploys:
        return recipe
    try:
        deployment(plan, recipe.budget, window=work.longest, windows=work.windows, gflops=answering_gflops())
    except OverDeployment:
        if COUNTED_WORDS not in recipe.rungs:
            raise
        return recipe.rung(COUNTED_WORDS)
    return recipe


def forms_within(plan: Plan, budget: BudgetSpec) -> list[str]:
    """The formats that are predicted to be small enough, the one that changes no answer first."""
    return [FORMS[bits] for bits in _small_enough(plan, budget)]


@dataclass(frozen=True)
class _Form:
    """A plan's classifier in ONNX Runtime, in so many bits a weight."""

    plan: Plan
    bits: int
    gflops: float

    @property
    def megabytes(self) -> float:
        encoder = self.plan.encoder
        outside = (shape for part in encoder.body if part.layer is None for _, shape in part.tensors)
        vocabulary = max(shape[0] for shape in outside if len(shape) == 2)
        return (self.bits / 8 * encoder.total_parameters + GRAPH_BYTES + TOKENIZER_BYTES * vocabulary) / MB

    def seconds(self, window: int, windows: int) -> float:
        """Of a text alone."""
        encoder = self.plan.encoder
        gain = GAIN_OF_8_BITS if self.bits == 8 else 1.0
        computing = windows * forward_operations(encoder, window) / (gain * UTILISATION * max(self.gflops, 1e-3) * 1e9)
        weights = sum(part.parameters for part in encoder.body if part.layer is not None)
        return CALL_SECONDS + computing + self.bits / 8 * weights / BYTES_PER_SECOND

    def within(self, milliseconds: float | None, window: int, windows: int) -> tuple[int, int] | None:
        """The tokens of a window and the windows that can be read in time; None where that is hardly anything."""
        if milliseconds is None:
            return window, windows
        most = HEADROOM * milliseconds / 1000
        for fewer in range(windows, 0, -1):
            if self.seconds(window, fewer) <= most:
                return window, fewer
        lengths = [length for length in LENGTHS if length < window and self.seconds(length, 1) <= most]
        return (lengths[-1], 1) if lengths else None


def _small_enough(plan: Plan, budget: BudgetSpec) -> list[int]:
    most = math.inf if budget.artifact_mb is None else budget.artifact_mb
    return [bits for bits in FORMS if _Form(plan, bits, 1.0).megabytes <= most]


def _refusal(plan: Plan, budget: BudgetSpec, smallest: _Form) -> str:
    """Why no form fits, and what would."""
    encoder = plan.encoder
    found, ways = [], []
    if budget.artifact_mb is not None and smallest.megabytes > budget.artifact_mb:
        size = f"{smallest.megabytes:.0f} MB in 8 bits"
        found.append(f"budget.artifact_mb is {budget.artifact_mb:g}, but {encoder.name} has {size}")
        ways.append(as_set("budget.artifact_mb", math.ceil(1.02 * smallest.megabytes)))
    needed = 1000 * smallest.seconds(LENGTHS[0], 1) / HEADROOM
    if budget.latency_ms is not None and needed > budget.latency_ms:
        found.append(
            f"budget.latency_ms is {budget.latency_ms:g}, but {LENGTHS[0]} tokens on {encoder.name} are predicted to take "
            f"{needed:.1f} on this machine in 8 bits"
        )
        ways.append(as_set("budget.latency_ms", math.ceil(needed)))
    if encoder.name != SMALL:
        ways.append(as_set("base", SMALL))
    return f"{', and '.join(found)}; type {', or '.join(ways)}, or count words: rankwise train auto --rung {COUNTED_WORDS}"
