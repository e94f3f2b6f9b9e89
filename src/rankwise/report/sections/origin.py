"""Where a recipe's runs came from, and the commands that make them again."""

from __future__ import annotations

import shlex

from rankwise.recipe import DataSpec
from rankwise.report.blocks import Block, Code, Column, Facts, Section, Table, Value, in_words, listed, shown_number
from rankwise.report.groups import Group, run_name
from rankwise.run.manifest import RECIPE, VERSIONS
from rankwise.system.files import read_json


def origin_section(group: Group, prefix: str) -> Section:
    run, recipe = group.first, group.first.recipe
    facts, base = run.facts, run.facts.base
    threads = f"{facts.threads} {'thread' if facts.threads == 1 else 'threads'}"
    items = (
        ("recipe", recipe.name + (f": {recipe.summary}" if recipe.summary else "")),
        *([("report", recipe.published.report)] if recipe.published else []),
        ("base encoder", base.hub or base.name),
        *([("its weights, sha256", base.sha256)] if base.sha256 else []),
        ("data", _sources(recipe.data)),
        ("its texts and labels, sha256", facts.data_sha256),
        ("seed" if len(group.runs) == 1 else "seeds", listed([str(seed) for seed in group.seeds])),
        ("computed on", f"{facts.device}, {facts.precision}, {threads}"),
    )
    in_memory = not recipe.data.names_files
    recipes = [f"{run_name(run.folder)}/recipe.yaml" for run in group.runs]
    if in_memory:
        again = "\n".join(f"rankwise.train(rankwise.Recipe.load({path!r}), texts=texts, labels=labels)" for path in recipes)
    else:
        again = "\n".join("rankwise train " + shlex.quote(path) for path in recipes)
    how = (
        "To make it again, with the lists it was trained on" if in_memory else "To make it again, where the data's paths hold"
    )
    rows = tuple(read_json(run.folder / VERSIONS, dict[str, str]).items())
    table = Table(f"{prefix}versions", "Versions", (Column("what", "what"), Column("version", "version")), rows, folded=True)
    recipe_text = (run.folder / RECIPE).read_text("utf-8")
    blocks: list[Block] = [Code(again, how), Facts(items), Code(recipe_text, "recipe.yaml", folded=True), table]
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
