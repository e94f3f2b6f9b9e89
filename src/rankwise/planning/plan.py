"""Recipe + encoder → Plan: the rank of every linear layer, and the ledger that proves it fits. Nothing here loads torch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rankwise.encoders.encoder import Encoder, Site
from rankwise.encoders.finding import find, stated_pooling
from rankwise.errors import PlanError
from rankwise.planning.ledger import WORDS, Entry, Ledger
from rankwise.planning.methods import Method, method_of
from rankwise.planning.policies import depth_group, targeted_sites
from rankwise.planning.ranks import Draft
from rankwise.planning.under_cap import under_cap
from rankwise.planning.ways_to_fit import over_budget
from rankwise.recipe import AdapterSpec, ByImportance, HeadSpec, Recipe, Rung, TrainSpec
from rankwise.recipe.adapter import LastK
from rankwise.recipe.methods import HEAD_ALONE
from rankwise.recipe.recipe import COUNTED_WORDS, FITTED_HEAD
from rankwise.system import html
from rankwise.system.files import Stored

FEW_PAIRS = 2_000
"""Up to so many pairs a sentence encoder that adapts reads each text alone: ahead of both together at 500 and 1,000 rows of
SICK, as good at 3,000; a frozen one does at any number (benchmarks/README.md). Of large data sets both together are known to
teach more (Sentence-BERT, arXiv 1908.10084).
"""
SLIM_HEAD_RATE = 10  # times the learning rate, at which a head with frozen layers learns: benchmarks/head_start.py


@dataclass(frozen=True, kw_only=True)
class PlanFacts(Stored):
    """What a plan says in plan.json and on `rankwise plan --json`: ranks, alphas and the ledger."""

    base: str
    family: str
    layers: int
    kinds: tuple[str, ...]
    method: str
    policy: str | None
    """How ranks were allotted; None for a method without ranks."""
    head: str
    trainable_parameters: int
    total_parameters: int
    budget: int | None
    share: float | None
    """Trained parameters over the budget."""
    sections: Mapping[str, int]
    ledger: tuple[Entry, ...]
    ranks: Mapping[str, int]
    alphas: Mapping[str, float]
    criterion: str | None = None
    scores: Mapping[str, tuple[float, ...]] | None = None
    """What a probing pass measured of each linear layer, for ranks by importance."""
    frozen_head: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, repr=False)
class Plan:
    """What will train. `ranks` and `alphas` hold one number per low-rank adapter, by its site's module path."""

    encoder: Encoder
    adapter: AdapterSpec
    head: HeadSpec
    ranks: Mapping[str, int]
    """What training starts at; where ranks are pruned, they fall from there."""
    alphas: Mapping[str, float]
    frozen_head: tuple[str, ...]
    """Head modules that are saved with the adapter but do not train (a slim head's layer before the last)."""
    ledger: Ledger
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """In one line: what is trained, on what, and against which cap."""
        what, on, trained = self.facts().method, self.encoder.name, self.ledger.trainable_parameters
        cap = f", cap {self.ledger.budget:,}" if self.ledger.budget else ""
        return f"<Plan: {what} on {on}, {trained:,} of {self.ledger.total_parameters:,} parameters train{cap}>"

    def _repr_html_(self) -> str:
        """What trains, part by part, and how much of the cap that is, in a notebook."""
        ledger, facts = self.ledger, self.facts()
        trained = ledger.trainable_parameters
        rows = [(name, f"{count:,}", html.Bar(count / max(trained, 1))) for name, count in ledger.sections().items()]
        cap = f" of {ledger.budget:,} that may" if ledger.budget else ", without a cap"
        below = "; ".join((f"{trained:,} parameters train{cap}; the whole has {ledger.total_parameters:,}", *self.notes))
        return html.card(f"{facts.method} on {self.encoder.name}", html.table(rows, ("part", "parameters")), below=below)

    @property
    def method(self) -> Method:
        return method_of(self.adapter)

    @property
    def sites(self) -> tuple[Site, ...]:
        """The adapted sites: linear layers with a low-rank adapter, a vector or a prefix."""
        adapted = {entry.item for entry in self.ledger.adapters}
        return tuple(site for site in self.encoder.sites if site.name in adapted)

    @property
    def lowest_layer(self) -> int:
        """The lowest layer that owns a trained parameter; below it nothing needs a gradient."""
        if self.trains_embeddings:
            return 0
        owned = (entry.layer for entry in self.ledger.entries if entry.layer is not None)
        return min(owned, default=self.encoder.layers)

    @property
    def trains_embeddings(self) -> bool:
        return self.method.trains_embeddings(self.adapter)

    @property
    def prefix_length(self) -> int:
        return self.method.prefix_length(self.adapter)

    @property
    def counts_words(self) -> bool:
        """Whether what trains has no encoder."""
        return WORDS in self.ledger.sections()

    def without_encoder(self, parameters: int, budget: int | None) -> "Plan":
        """The plan of what counts words in the encoder's place, with so many weights."""
        entry = Entry(WORDS, "weights of words and word pairs", parameters)
        return replace(self, ledger=Ledger((entry,), parameters, budget), notes=())

    def facts(self) -> PlanFacts:
        """The plan in plain values, the policy's scores among them where ranks went by importance."""
        policy, ledger = self.adapter.allocate if self.adapter.has_ranks else None, self.ledger
        method, head = ("tfidf", "linear") if self.counts_words else (self.adapter.method, self.head.kind)
        by_importance = policy if isinstance(policy, ByImportance) else None
        return PlanFacts(
            base=self.encoder.name,
            family=self.encoder.family,
            layers=self.encoder.layers,
            kinds=self.encoder.kinds,
            method=method,
            policy=policy.policy if policy else None,
            head=head,
            trainable_parameters=ledger.trainable_parameters,
            total_parameters=ledger.total_parameters,
            budget=ledger.budget,
            share=ledger.share,
            sections=ledger.sections(),
            ledger=ledger.entries,
            ranks=self.ranks,
            alphas=self.alphas,
            criterion=by_importance.criterion if by_importance else None,
            scores=by_importance.scores if by_importance else None,
            frozen_head=self.frozen_head,
            notes=self.notes,
        )


def plan(recipe: Recipe | str | Path, *, classes: int | None = None, encoder: Encoder | None = None) -> Plan:
    """The plan of a recipe, or of one by name or path, for `classes` classes; `encoder` when it is already known.

    Without a number of classes they are those that the recipe names, else two, which a note says.

    Of what counts words it says the most weights that the cap allows, or none without a cap, until they are counted.

    Raises PlanError where adapters can't be placed or texts are to be longer than the encoder reads, and OverBudget, which
    names the cheapest ways to fit.
    """
    recipe = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)
    assumed = classes is None and not recipe.data.classes
    classes = classes or len(recipe.data.classes) or 2
    encoder = encoder or find(recipe.base, classes=classes, revision=recipe.revision)
    asked = settled(recipe, encoder)
    if asked.head.kind == "pooled":
        encoder = _pooled(asked, encoder)
    recipe = under_cap(asked, encoder)
    budget, counts_words = recipe.budget.parameters, recipe.rungs == (COUNTED_WORDS,)
    draft = Draft(encoder, recipe.adapter, recipe.head, None if counts_words else budget)
    if not draft.ledger.fits:
        raise over_budget(draft, counts_words=COUNTED_WORDS in recipe.rungs, shrinks=recipe.budget.shrink)
    _check_length(recipe, encoder)
    adapter, method = draft.solved, method_of(draft.solved)
    planned = Plan(
        encoder=encoder,
        adapter=adapter,
        head=recipe.head,
        ranks=draft.ranks,
        alphas={name: alpha for name, rank in draft.ranks.items() if (alpha := method.alpha(adapter, rank)) is not None},
        frozen_head=tuple(part.path for part in encoder.head[:-1]) if recipe.head.kind == "slim" else (),
        ledger=draft.ledger,
        notes=(*_notes(recipe, draft), *_shrunk(asked, recipe), *(["2 classes assumed; give classes=N"] if assumed else [])),
    )
    if counts_words:
        cap = recipe.budget.weights_of_words
        return planned.without_encoder((cap or 1) - 1, cap)
    return planned


def trained(recipe: Recipe, *, classes: int, pairs: int = 0) -> Recipe:
    """The recipe with what is left open: its head, as `settled` has it, and how it adapts under a cap that is small."""
    recipe = settled(recipe, pairs=pairs)
    if not recipe.budget.shrink:
        return recipe
    encoder = find(recipe.base, classes=classes, revision=recipe.revision)
    return under_cap(recipe, _pooled(recipe, encoder) if recipe.head.kind == "pooled" else encoder)


def rungs_of(recipe: Recipe, *, classes: int, few: bool, pairs: int = 0) -> tuple[Rung, ...]:
    """The rungs that are tried, of `few` rows or more, so many of them `pairs` of texts.

    Under a cap so small that it shrinks what adapts, that is in upper layers as it is, so both are not tried; nor where pairs
    are read in two ways, for adapters in a part of the layers then seem not to pay.
    """
    shrinks = recipe.budget.shrink and trained(recipe, classes=classes).adapter != recipe.adapter
    return recipe.climbed(few=few or shrinks or reads_in_two_ways(recipe, pairs))


def reads_in_two_ways(recipe: Recipe, pairs: int) -> bool:
    """Whether of so many pairs the frozen encoder reads each text alone, and what adapts both together."""
    both = (settled(one, pairs=pairs) for one in (recipe.rung(FITTED_HEAD), recipe)) if pairs and recipe.rungs else ()
    return len({one.head.pooling for one in both}) > 1


def settled(recipe: Recipe, encoder: Encoder | None = None, *, pairs: int = 0) -> Recipe:
    """The recipe with the head that `auto` comes to, where so many rows that train are `pairs` of texts.

    The encoder is its base's, where that is known already.
    """
    method, kind, pooling = method_of(recipe.adapter), recipe.head.kind, recipe.head.pooling
    if kind == "auto" and method.stock_head:
        kind = "slim"
    if pooling == "auto" and (kind == "auto" or (kind == "pooled" and pairs)):
        encoder = encoder or find(recipe.base, classes=2, revision=recipe.revision)
        stated = stated_pooling(recipe.base, encoder.config, revision=recipe.revision)
        if kind == "auto" and (not encoder.traits.pools or (method.trains_weights and stated is None)):
            kind = "slim"
        elif (
            stated == "mean"
            and pairs
            and (pairs <= FEW_PAIRS or recipe.adapter.method == HEAD_ALONE)
            and _can_read_apart(encoder)
        ):
            pooling = "apart"
    head = recipe.head.model_copy(update={"kind": "pooled" if kind == "auto" else kind, "pooling": pooling})
    return recipe.model_copy(update={"head": head})


def _can_read_apart(encoder: Encoder) -> bool:
    return encoder.traits.fast_path is not None and encoder.segments >= 2


def _pooled(recipe: Recipe, encoder: Encoder) -> Encoder:
    """The encoder under a pooled head, which reads what the recipe says, else what the base says, else the mean.

    Of a decoder it is the last token, which alone has read all others.
    """
    if method_of(recipe.adapter).stock_head:
        raise PlanError(
            f"{recipe.adapter.method} goes through transformers' own classes, which have no pooled head; "
            "type --set head.kind=slim"
        )
    if not encoder.traits.pools:
        raise PlanError(
            f"{encoder.name} ({encoder.family}): its last hidden states are not one for each token of the text, so no pooled "
            "head can stand on them; type --set head.kind=slim"
        )
    pooling: str = recipe.head.pooling
    if pooling == "apart":
        if not _can_read_apart(encoder):
            raise PlanError(
                f"head.pooling is apart, and {encoder.name} does not tell the two texts of a pair by segment ids, as BERT "
                "and ELECTRA do; leave head.pooling out, or take base: minilm"
            )
        return encoder.with_pooled_head("apart")
    if pooling == "auto":
        usual = "token" if encoder.traits.causal else "mean"
        pooling = stated_pooling(recipe.base, encoder.config, revision=recipe.revision) or usual
    return encoder.with_pooled_head("mean" if pooling == "mean" else encoder.reads if encoder.reads != "mean" else "first")


def _check_length(recipe: Recipe, encoder: Encoder) -> None:
    wanted, prefix = recipe.data.max_length, method_of(recipe.adapter).prefix_length(recipe.adapter)
    if encoder.longest is not None and wanted > encoder.longest - prefix:
        left = f", {prefix} of them the {recipe.adapter.method}'s" if prefix else ""
        raise PlanError(
            f"data.max_length is {wanted:g}, but {encoder.name} has {encoder.longest} positions{left}; type --set "
            f"data.max_length={encoder.longest - prefix}"
        )


def _notes(recipe: Recipe, draft: Draft) -> Iterator[str]:
    encoder, adapter, train, policy = draft.encoder, draft.solved, recipe.train, recipe.adapter.allocate
    method, rate = method_of(adapter), train.learning_rate
    yield from encoder.notes
    if encoder.has_new_pooler:
        how = "frozen at the identity" if recipe.head.kind == "slim" else "trained"
        yield f"the checkpoint of {encoder.name} has no pooler, so a new one is {how} and saved as a part of the head"
    if encoder.reads == "apart":
        yield "each text of a pair is read on its own; to read both together, type --set head.pooling=mean"
    yield from method.notes(encoder, adapter)
    if method.usual_rate is not None and rate < 0.5 * method.usual_rate:
        yield f"{adapter.method} learns slowly at a rate of {rate:g}; try --set train.learning_rate={method.usual_rate:g}"
    yield from _idle_tiers(train.rates.tiers, draft)
    if adapter.has_ranks and isinstance(policy, ByImportance):
        without = len(targeted_sites(encoder, adapter)) - len(draft.ranks)
        probed = f"probed on at most {policy.rows:,} texts"
        yield f"ranks by gradient {policy.criterion}, {probed}; {without} linear layers get none"
    if recipe.head.kind == "slim" and len(encoder.head) > 1 and train.rates.head is None:
        yield f"a slim head learns best at about ten times the rate; try --set train.rates.head={SLIM_HEAD_RATE * rate:g}"
    if train.rate_is_idle and rate != TrainSpec.model_fields["learning_rate"].default:
        yield train.IDLE_RATE
    printed = recipe.published.trainable_parameters if recipe.published else None
    more = (printed or 0) - draft.ledger.trainable_parameters
    if printed and recipe.base == encoder.name and 0 < abs(more) < 1000:
        yield f"the report prints {printed:,}, {abs(more):,} {'more' if more > 0 else 'fewer'} than these layers have"


def _shrunk(asked: Recipe, recipe: Recipe) -> Iterator[str]:
    if recipe.adapter != asked.adapter:
        what = method_of(recipe.adapter).words if recipe.adapter.method == HEAD_ALONE else recipe.adapter.method
        allocate = recipe.adapter.allocate
        if isinstance(allocate, LastK) and allocate != asked.adapter.allocate:
            what = f"{what} in the last layer" if allocate.k == 1 else f"{what} in the last {allocate.k} layers"
        too_large = f"{asked.adapter.method} on every layer does not fit the cap of {recipe.budget.parameters:,}"
        yield f"{too_large}, so the best known way that does: {what}"


def _idle_tiers(tiers: Sequence[float], draft: Draft) -> Iterator[str]:
    """One note for each learning-rate tier that owns no trained parameter."""
    adapter, layers = draft.adapter, draft.encoder.layers
    method = method_of(adapter)
    if not tiers or method.trains_embeddings(adapter):
        return
    if method.spans_layers:
        yield f"a {adapter.method} is one tensor for all layers, so it learns at the last tier's rate, {tiers[-1]:g}"
        return
    trained = {entry.layer for entry in draft.ledger.entries}
    for group, rate in enumerate(tiers):
        own = [layer for layer in range(layers) if depth_group(layer, layers, len(tiers)) == group]
        if trained.isdisjoint(own):  # or there are more tiers than layers
            span = f"layers {own[0]}-{own[-1]}" if len(own) > 1 else f"layer {own[0]}" if own else "no layer"
            yield f"learning-rate tier {group + 1} ({span}, {rate:g}) owns no trained parameter"
