"""What the budget of a recipe went to: its linear layers by depth and kind, and the cap cut into parts."""

from collections import Counter
from collections.abc import Mapping

from rankwise.planning.plan import PlanFacts
from rankwise.recipe.adapter import SHORT_KINDS
from rankwise.report.blocks import Block, Column, Figure, Notes, Section, Table
from rankwise.report.figures import maps
from rankwise.report.figures.style import SHADES
from rankwise.report.groups import Group
from rankwise.report.words import percent

PARTS = {
    "adapter": "adapters",
    "magnitude": "magnitudes",
    "vector": "vectors",
    "norm": "norms",
    "prefix": "prefixes",
    "prompt": "virtual tokens",
    "bias": "biases",
    "encoder": "the encoder",
    "words": "words and word pairs",
}
PARAMETERS = Column("parameters", "parameters", "count")


def budget_section(group: Group) -> Section:
    facts = group.first.plan_facts
    blocks: list[Block] = []
    if any(entry.layer is not None and entry.kind is not None for entry in facts.ledger):
        blocks.append(_by_layer(facts, group.first.facts.ranks or {}))
    blocks.append(_spending(facts))
    if facts.notes:
        blocks.append(Notes(facts.notes))
    share = f"{percent(facts.trainable_parameters / facts.total_parameters, 2)} of the model's {facts.total_parameters:,}"
    lead = f"{facts.trainable_parameters:,} parameters train, {share}: {facts.method}, "
    if ranks := sorted(set(facts.ranks.values())):
        spread = f"rank {ranks[0]}" if len(ranks) == 1 else f"ranks {ranks[0]} to {ranks[-1]}"
        lead += f"{spread} on {len(facts.ranks)} linear layers, "
    return Section("budget-section", "Budget", blocks, lead=f"{lead}{facts.head} head.")


def _by_layer(facts: PlanFacts, pruned_ranks: Mapping[str, int]) -> Figure:
    """Layers down, the last on top, modules across; the shade is the rank, or the parameters where there are no ranks."""
    names = {kind: SHORT_KINDS.get(kind, kind) for kind in facts.kinds}
    ranks: dict[tuple[int, str], int] = {}
    costs: Counter[tuple[int, str]] = Counter()
    for entry in facts.ledger:
        if entry.layer is not None and entry.kind is not None:
            costs[entry.layer, entry.kind] += entry.parameters
            if entry.rank is not None:
                ranks[entry.layer, entry.kind] = pruned_ranks.get(entry.item, entry.rank)
    what, shades = ("rank", ranks) if any(ranks.values()) else ("trained parameters", costs)
    largest, darkest = max(shades.values()), 3 if len(set(shades.values())) == 1 else SHADES

    def cell(layer: int, kind: str) -> maps.Cell:
        rank, cost = ranks.get((layer, kind)), costs[layer, kind]
        text = str(rank) if rank is not None else f"{cost:,}" if cost else "·"
        trained = f"rank {rank}, {cost:,}" if rank is not None else f"{cost:,}"
        shade = min(darkest, maps.shade_of(shades.get((layer, kind), 0), largest))
        return maps.Cell(text, shade, f"layer {layer}, {names[kind]}: {trained} parameters")

    down = list(reversed(range(facts.layers)))
    per_layer = [sum(costs[layer, kind] for kind in names) for layer in down]
    cells = [[cell(layer, kind) for kind in names] for layer in down]
    layers, modules = maps.Side("layer", [str(layer) for layer in down]), maps.Side("", list(names.values()))
    picture = maps.heat(cells, layers, modules, totals=maps.Side("parameters", [f"{cost:,}" for cost in per_layer]))
    rows = [
        (entry.layer, SHORT_KINDS.get(entry.kind or "", entry.item), entry.rank, entry.parameters, entry.section)
        for entry in facts.ledger
    ]
    layer, rank = Column("layer", "layer", "count"), Column("rank", "rank", "count")
    columns = (layer, Column("module", "module"), rank, PARAMETERS, Column("what", "what"))
    pruned = " Ranks are those that pruning left; parameters are those that the cap counts." if pruned_ranks else ""
    return Figure(
        f"The budget by layer and module, shaded by {what}",
        f"{facts.layers} layers by {len(names)} modules; {len(costs)} of {facts.layers * len(names)} train. The largest "
        f"{what} is {largest:,}; layer {down[per_layer.index(max(per_layer))]} takes most, {max(per_layer):,} parameters.",
        picture,
        Table("ledger", "Every entry of the ledger", columns, rows),
        note=f"The last layer is on top. A dot: frozen.{pruned}",
    )


def _spending(facts: PlanFacts) -> Figure:
    parts = [(PARTS.get(section, section), size) for section, size in facts.sections.items()]
    budget, trained = facts.budget, facts.trainable_parameters
    whole, rest, of = (budget, "left under the cap", "cap") if budget else (facts.total_parameters, "frozen", "model")
    rows = [(name, size, size / whole) for name, size in [*parts, ("total trained", trained), (rest, whole - trained)]]
    columns = (Column("part", "part"), PARAMETERS, Column("share", f"% of the {of}", "share"))
    title = f"What the cap of {budget:,} went to" if budget else "What trains, of the whole model"
    summary = ", ".join(f"{name} {size:,}" for name, size in parts) + f"; {rest} {whole - trained:,} of {whole:,}."
    picture = maps.stacked(parts, whole, rest if whole > trained else "")
    return Figure(title, summary, picture, Table("budget", "Trained parameters by part", columns, rows))
