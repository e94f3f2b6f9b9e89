"""What the budget of a recipe went to: its linear layers by depth and kind, and the cap cut into parts."""

from __future__ import annotations

from collections.abc import Mapping

from rankwise.planning.plan import PlanFacts
from rankwise.recipe import SHORT_KINDS
from rankwise.report.blocks import Block, Column, Figure, Notes, Section, Table, percent
from rankwise.report.figures import maps
from rankwise.report.groups import Group

PARTS = {
    "adapter": "adapters",
    "magnitude": "magnitudes (DoRA)",
    "vector": "vectors (IA3)",
    "prefix": "prefixes",
    "bias": "biases",
    "encoder": "the encoder",
    "head": "head",
}


def budget_section(group: Group, prefix: str) -> Section:
    facts = group.first.plan_facts
    blocks: list[Block] = []
    if any(entry.layer is not None and entry.kind is not None for entry in facts.ledger):
        blocks.append(_by_layer(facts, group.first.facts.ranks or {}, prefix))
    blocks.append(_spending(facts, prefix))
    total = facts.total_parameters
    share = f"{percent(facts.trainable_parameters / total, 2)} of the model's {total:,}"
    lead = f"{facts.trainable_parameters:,} parameters train, {share}: {_method(facts)}."
    if facts.notes:
        blocks.append(Notes(facts.notes))
    return Section(f"{prefix}budget-section", "Budget", tuple(blocks), lead=lead)


def _method(facts: PlanFacts) -> str:
    ranks = sorted(set(facts.ranks.values()))
    head = f"{facts.head} head"
    if not ranks:
        return f"{facts.method}, {head}"
    spread = f"rank {ranks[0]}" if len(ranks) == 1 else f"ranks {ranks[0]} to {ranks[-1]}"
    return f"{facts.method}, {spread} on {len(facts.ranks)} linear layers, {head}"


def _by_layer(facts: PlanFacts, left: Mapping[str, int], prefix: str) -> Figure:
    """Layers down, the last on top, modules across; the shade is the rank, or the parameters where there are no ranks.

    `left` holds the ranks that pruning left, by module, where there was any.
    """
    kinds, layers = facts.kinds, facts.layers
    ranks: dict[tuple[int, str], int] = {}
    costs: dict[tuple[int, str], int] = {}
    for entry in facts.ledger:
        if entry.layer is None or entry.kind is None:
            continue
        at = (entry.layer, entry.kind)
        costs[at] = costs.get(at, 0) + entry.parameters
        if entry.rank is not None:
            ranks[at] = left.get(entry.item, entry.rank)
    ranked = any(ranks.values())
    shades = ranks if ranked else costs
    largest, alike = max(shades.values()), len(set(shades.values())) == 1
    down = list(reversed(range(layers)))

    def cell(layer: int, kind: str) -> maps.Cell:
        rank, cost = ranks.get((layer, kind)), costs.get((layer, kind), 0)
        text = str(rank) if rank is not None else f"{cost:,}" if cost else "·"
        trained = f"rank {rank}, {cost:,}" if rank is not None else f"{cost:,}"
        hint = f"layer {layer}, {SHORT_KINDS.get(kind, kind)}: {trained} parameters"
        shade = maps.shade_of(shades.get((layer, kind), 0), largest)
        return maps.Cell(text, min(shade, 3) if alike else shade, hint)

    per_layer = [sum(costs.get((layer, kind), 0) for kind in kinds) for layer in down]
    picture = maps.heat(
        [[cell(layer, kind) for kind in kinds] for layer in down],
        rows=maps.Side("layer", [str(layer) for layer in down]),
        columns=maps.Side("", [SHORT_KINDS.get(kind, kind) for kind in kinds]),
        totals=maps.Side("parameters", [f"{cost:,}" for cost in per_layer]),
    )
    what = "rank" if ranked else "trained parameters"
    columns = (
        Column("layer", "layer", "count"),
        Column("module", "module"),
        Column("rank", "rank", "count"),
        Column("parameters", "parameters", "count"),
        Column("what", "what"),
    )
    rows = [
        (entry.layer, SHORT_KINDS.get(entry.kind or "", entry.item), entry.rank, entry.parameters, entry.section)
        for entry in facts.ledger
    ]
    highest = down[per_layer.index(max(per_layer))]
    return Figure(
        f"The budget by layer and module, shaded by {what}",
        f"{layers} layers by {len(kinds)} modules; {len(costs)} of {layers * len(kinds)} train. The largest {what} is "
        f"{largest:,}; layer {highest} takes most, {max(per_layer):,} parameters.",
        picture,
        Table(f"{prefix}ledger", "Every entry of the ledger", columns, tuple(rows)),
        note="The last layer is on top. A dot: frozen."
        + (" Ranks are those that pruning left; parameters are those that the cap counts." if left else ""),
    )


def _spending(facts: PlanFacts, prefix: str) -> Figure:
    parts = [(PARTS.get(section, section), size) for section, size in facts.sections.items()]
    budget, trained = facts.budget, facts.trainable_parameters
    whole = budget or facts.total_parameters
    rest = "left under the cap" if budget else "frozen"
    rows = [(name, size, size / whole) for name, size in [*parts, ("total trained", trained), (rest, whole - trained)]]
    of = "cap" if budget else "model"
    columns = (
        Column("part", "part"),
        Column("parameters", "parameters", "count"),
        Column("share", f"% of the {of}", "share"),
    )
    title = f"What the cap of {budget:,} went to" if budget else "What trains, of the whole model"
    summary = ", ".join(f"{name} {size:,}" for name, size in parts) + f"; {rest} {whole - trained:,} of {whole:,}."
    table = Table(f"{prefix}budget", "Trained parameters by part", columns, tuple(rows))
    return Figure(title, summary, maps.stacked(parts, whole, rest if whole > trained else ""), table)
