"""How a recipe was made: what its budget went to, training, data, and how to make it again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from rankwise.planning.forecast import steps_per_epoch
from rankwise.recipe import SHORT_KINDS, DataSpec
from rankwise.report.blocks import (
    Block,
    Code,
    Column,
    Facts,
    Figure,
    Notes,
    Paragraph,
    Section,
    Table,
    Value,
    in_words,
    listed,
    percent,
    shown_number,
)
from rankwise.report.figures import charts, maps
from rankwise.report.sections.groups import Group, Line, run_name
from rankwise.report.sections.lines import lines_figure

PART_NAMES = {"train": "training", "validation": "validation", "test": "test"}
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
    if any("layer" in entry and "kind" in entry for entry in facts["ledger"]):
        blocks.append(_map(facts, group.first.facts.get("ranks", {}), prefix))
    blocks.append(_spending(facts, prefix))
    total = facts["total_parameters"]
    share = f"{percent(facts['trainable_parameters'] / total, 2)} of the model's {total:,}"
    lead = f"{facts['trainable_parameters']:,} parameters train, {share}: {_method(facts)}."
    if facts["notes"]:
        blocks.append(Notes(tuple(facts["notes"])))
    return Section(f"{prefix}budget-section", "Budget", tuple(blocks), lead=lead)


def _method(facts: Mapping[str, Any]) -> str:
    ranks = sorted(set(facts["ranks"].values()))
    head = f"{facts['head']} head"
    if not ranks:
        return f"{facts['method']}, {head}"
    spread = f"rank {ranks[0]}" if len(ranks) == 1 else f"ranks {ranks[0]} to {ranks[-1]}"
    return f"{facts['method']}, {spread} on {len(facts['ranks'])} maps, {head}"


def _map(facts: Mapping[str, Any], left: Mapping[str, int], prefix: str) -> Figure:
    """Layers down, the last on top, projections across; the shade is the rank, or the parameters where there are no ranks.

    `left` holds the ranks that pruning left, by module, where there was any.
    """
    placed = [entry for entry in facts["ledger"] if "layer" in entry and "kind" in entry]
    kinds, layers = facts["kinds"], facts["layers"]
    ranks: dict[tuple[int, str], int] = {}
    costs: dict[tuple[int, str], int] = {}
    for entry in placed:
        at = (entry["layer"], entry["kind"])
        costs[at] = costs.get(at, 0) + entry["parameters"]
        if "rank" in entry:
            ranks[at] = left.get(entry["item"], entry["rank"])
    ranked = any(ranks.values())
    shades = ranks if ranked else costs
    largest, alike = max(shades.values()), len(set(shades.values())) == 1
    down = list(reversed(range(layers)))

    def cell(layer: int, kind: str) -> maps.Cell:
        rank, cost = ranks.get((layer, kind)), costs.get((layer, kind), 0)
        text = str(rank) if rank is not None else f"{cost:,}" if cost else "·"
        told = f"rank {rank}, " if rank is not None else ""
        hint = f"layer {layer}, {SHORT_KINDS.get(kind, kind)}: {told}{cost:,} parameters"
        shade = maps.shade_of(shades.get((layer, kind), 0), largest)
        return maps.Cell(text, min(shade, 3) if alike else shade, hint)

    per_layer = [sum(costs.get((layer, kind), 0) for kind in kinds) for layer in down]
    drawing = maps.heat(
        [[cell(layer, kind) for kind in kinds] for layer in down],
        [str(layer) for layer in down],
        [SHORT_KINDS.get(kind, kind) for kind in kinds],
        row_title="layer",
        beside=[f"{cost:,}" for cost in per_layer],
        beside_title="parameters",
    )
    what = "rank" if ranked else "trained parameters"
    columns = (
        Column("layer", "layer", "count"),
        Column("map", "map"),
        Column("rank", "rank", "count"),
        Column("parameters", "parameters", "count"),
        Column("what", "what"),
    )
    rows = [
        (
            entry.get("layer"),
            SHORT_KINDS.get(entry.get("kind"), entry["item"]),
            entry.get("rank"),
            entry["parameters"],
            entry["section"],
        )
        for entry in facts["ledger"]
    ]
    highest = down[per_layer.index(max(per_layer))]
    return Figure(
        f"The budget by layer and map, shaded by {what}",
        f"{layers} layers by {len(kinds)} maps; {len(costs)} of {layers * len(kinds)} train. The largest {what} is "
        f"{largest:,}; layer {highest} takes most, {max(per_layer):,} parameters.",
        drawing,
        Table(f"{prefix}ledger", "Every entry of the ledger", columns, tuple(rows)),
        note="The last layer is on top. A dot: frozen."
        + (" Ranks are those that pruning left; parameters are those that the cap counts." if left else ""),
    )


def _spending(facts: Mapping[str, Any], prefix: str) -> Figure:
    parts = [(PARTS.get(section, section), size) for section, size in facts["sections"].items()]
    budget, trained = facts["budget"], facts["trainable_parameters"]
    whole = budget or facts["total_parameters"]
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


def training_section(group: Group, prefix: str) -> Section:
    """Loss and accuracy over updates and epochs."""
    recipe = group.first.recipe
    per_epoch = steps_per_epoch(group.first.facts["rows"]["train"], recipe.train)
    best = group.first.facts["best"]["step"] if len(group.runs) == 1 else None
    logged: list[Line] = [[(update.step, update.loss) for update in updates] for updates in group.steps]
    loss = {
        "training": logged if all(logged) else _histories(group, "train_loss"),
        "validation": _histories(group, "log_loss"),
    }
    accuracy = {
        "training": _histories(group, "train_accuracy"),
        "validation": _histories(group, "accuracy"),
        "worst shift": _histories(group, "worst_shift"),
    }
    how: dict[str, Any] = {"over": "update", "per_epoch": per_epoch, "ringed": {} if best is None else {"validation": best}}
    in_nats: dict[str, Any] = {"label": "loss, nats", "kind": "number", "styles": (1, 0)}
    in_percent: dict[str, Any] = {"label": "accuracy, %", "kind": "share", "styles": (1, 0, 2)}
    figures = (
        lines_figure("Loss", f"{prefix}loss", loss, **in_nats, **how),
        lines_figure("Accuracy", f"{prefix}accuracy-curve", accuracy, **in_percent, **how),
    )
    lead = _updates(group)
    if best is None:
        lead += f". Lines are means over {len(group.runs)} seeds, bands reach from the lowest to the highest."
    else:
        chosen = recipe.train.select_by.replace("log_loss", "log-loss").replace("_", " ")
        lead += f"; the weights kept are those of update {best:,} (ringed), the best by {chosen}."
    how_counted = "Training accuracy is counted while the weights change, with dropout where there is any."
    if recipe.train.average:
        how_counted += " Validation scores are those of a running mean of the weights, and the mean is what was kept."
    blocks = (*figures, Paragraph(how_counted, quiet=True), _costs(group, prefix))
    return Section(f"{prefix}training-section", "Training", blocks, lead=lead)


def _costs(group: Group, prefix: str) -> Table:
    """What each run took."""
    columns = (
        Column("run", "run"),
        Column("seed", "seed", "count"),
        Column("updates", "updates", "count"),
        Column("best_update", "best at update", "count"),
        Column("seconds", "training time", "seconds"),
        Column("seconds_in_all", "time in all", "seconds"),
        Column("peak_gb", "peak memory, GB", "number"),
        *(Column(f"{part}_rows", f"{name} rows", "count") for part, name in PART_NAMES.items()),
    )
    rows: list[tuple[Value, ...]] = []
    for run in group.runs:
        facts, peak = run.facts, run.facts["actual"]["peak_bytes"]
        seconds = facts["seconds"]
        rows.append(
            (
                run_name(run.folder),
                run.recipe.train.seed,
                facts["steps"],
                facts["best"]["step"],
                seconds["training"],
                seconds["all"],
                None if peak is None else peak / 1e9,
                *(facts["rows"][part] for part in PART_NAMES),
            )
        )
    if len(rows) > 1:
        means = (group.seconds().value, group.seconds("all").value, group.peak_gb().value)
        rows.append(("mean", None, None, None, *means, None, None, None))
    return Table(f"{prefix}costs", "What training took", columns, tuple(rows), folded=True)


def _updates(group: Group) -> str:
    """`300 to 343 updates of 32 rows, 2 of 3 stopped early`."""
    steps = sorted({run.facts["steps"] for run in group.runs})
    span = f"{steps[0]:,}" if len(steps) == 1 else f"{steps[0]:,} to {steps[-1]:,}"
    said = f"{span} updates of {group.first.recipe.train.batch_size} rows"
    early = sum(run.facts["stopped_early"] for run in group.runs)
    who = "" if len(group.runs) == 1 else f"{early} of {len(group.runs)} "
    return f"{said}, {who}stopped early" if early else said


def _histories(group: Group, key: str) -> list[Line]:
    return [[(entry["step"], entry[key]) for entry in history if entry.get(key) is not None] for history in group.histories]


def data_section(group: Group, prefix: str) -> Section:
    run = group.first
    said = listed([f"{count:,} {PART_NAMES[name]}" for name, count in run.facts["rows"].items()])
    blocks: list[Block] = [_lengths(run.facts["token_lengths"], run.preprocessing.max_length, prefix)]
    if run.facts["notes"]:
        blocks.append(Notes(tuple(run.facts["notes"])))
    classes = f"{len(run.scores['classes'])} classes"
    return Section(f"{prefix}data-section", "Data", tuple(blocks), lead=f"{said} rows; {classes}.")


def _lengths(lengths: Mapping[str, Any], longest: int, prefix: str) -> Figure:
    bars = [tuple(bar) for bar in lengths["histogram"]]
    quantiles, total = lengths["quantiles"], sum(count for *_, count in bars)
    rows = [(low, high - 1, count, count / total) for low, high, count in bars]
    columns = (
        Column("from", "tokens from", "count"),
        Column("to", "to", "count"),
        Column("texts", "training texts", "count"),
        Column("share", "% of them", "share"),
    )
    drawing = charts.histogram(
        bars,
        x_label="tokens, special ones included",
        y_label="training texts",
        mark=longest,
        mark_label=f"max length {longest}",
    )
    middle = f"Half of the training texts have {quantiles['50%']:,} tokens or fewer, 95 % have {quantiles['95%']:,} or fewer"
    summary = f"{middle}; the longest has {quantiles['max']:,}. Texts are cut to {longest} tokens."
    table = Table(f"{prefix}token-lengths", "Token lengths of the training texts", columns, tuple(rows))
    return Figure("How long the texts are", summary, drawing, table, note=summary)


def origin_section(group: Group, prefix: str) -> Section:
    run, recipe = group.first, group.first.recipe
    facts, base = run.facts, run.facts["base"]
    items = [("recipe", recipe.name + (f": {recipe.summary}" if recipe.summary else ""))]
    if recipe.published:
        items.append(("report", recipe.published.report))
    items.append(("base encoder", base["hub"] or base["name"]))
    if base["sha256"]:
        items.append(("its weights, sha256", base["sha256"]))
    items.append(("data", _sources(recipe.data)))
    items.append(("its texts and labels, sha256", facts["data_sha256"]))
    items.append(("seed" if len(group.runs) == 1 else "seeds", listed([str(seed) for seed in group.seeds])))
    threads = f"{facts['threads']} {'thread' if facts['threads'] == 1 else 'threads'}"
    items.append(("computed on", f"{facts['device']}, {facts['precision']}, {threads}"))
    in_memory = not recipe.data.names_files
    recipes = [f"{run_name(run.folder)}/recipe.yaml" for run in group.runs]
    if in_memory:
        again = "\n".join(f"rankwise.train(rankwise.Recipe.load({path!r}), texts=texts, labels=labels)" for path in recipes)
    else:
        again = "\n".join("rankwise train " + shlex.quote(path) for path in recipes)
    how = (
        "To make it again, with the lists it was trained on" if in_memory else "To make it again, where the data's paths hold"
    )
    versions = json.loads((run.folder / "versions.json").read_text("utf-8"))
    rows = tuple(versions.items())
    table = Table(f"{prefix}versions", "Versions", (Column("what", "what"), Column("version", "version")), rows, folded=True)
    recipe_text = (run.folder / "recipe.yaml").read_text("utf-8")
    blocks: list[Block] = [Code(again, how), Facts(tuple(items)), Code(recipe_text, "recipe.yaml", folded=True), table]
    if recipe.published:
        blocks.insert(2, _published(group, prefix))
    return Section(f"{prefix}origin-section", "Where it came from", tuple(blocks))


def _sources(data: DataSpec) -> str:
    named = [f"{name} {source.path}" for name in ("train", "validation", "test") if (source := getattr(data, name))]
    return ", ".join(filter(None, [data.source, *named])) or "lists given in Python"


def _published(group: Group, prefix: str) -> Table:
    published = group.first.recipe.published
    assert published is not None
    rows: list[tuple[Value, ...]] = [
        ("trained parameters", _count(published.trainable_parameters), f"{group.trained_parameters:,}")
    ]
    rows += [(name, score, "") for name, score in published.scores.items()]
    rows.append(("test accuracy here", "", in_words(group.score("accuracy"), "share")))
    columns = (Column("what", "what"), Column("printed", "the report prints"), Column("here", "here"))
    return Table(f"{prefix}published", "Beside the report", columns, tuple(rows), folded=True)


def _count(number: int | None) -> str:
    return "not given" if number is None else shown_number(number, "count")
