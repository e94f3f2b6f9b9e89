"""Where a recipe's runs came from, and the commands that make them again."""

from __future__ import annotations

import shlex

from rankwise.recipe import DataSpec, Published
from rankwise.report.blocks import Block, Code, Column, Facts, Section, Table
from rankwise.report.groups import Group
from rankwise.report.words import Value, in_words, listed, run_name
from rankwise.run.manifest import RECIPE, VERSIONS
from rankwise.system.files import read_json

WHAT = Column("what", "what")


def origin_section(group: Group) -> Section:
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
        ("seed" if len(group.runs) == 1 else "seeds", listed(group.seeds)),
        ("computed on", f"{facts.device}, {facts.precision}, {threads}"),
    )
    recipes = [f"{run_name(run.folder)}/recipe.yaml" for run in group.runs]
    if recipe.data.names_files:
        how, again = "where the data's paths hold", [f"rankwise train {shlex.quote(path)}" for path in recipes]
    else:
        how = "with the lists it was trained on"
        again = [f"rankwise.train(rankwise.Recipe.load({path!r}), texts=texts, labels=labels)" for path in recipes]
    blocks: list[Block] = [Code("\n".join(again), f"To make it again, {how}"), Facts(items)]
    if recipe.published:
        blocks.append(_beside_published(recipe.published, group))
    blocks.append(Code((run.folder / RECIPE).read_text("utf-8"), "recipe.yaml", folded=True))
    versions = list(read_json(run.folder / VERSIONS, dict[str, str]).items())
    blocks.append(Table("versions", "Versions", (WHAT, Column("version", "version")), versions, folded=True))
    return Section("origin-section", "Where it came from", blocks)


def _sources(data: DataSpec) -> str:
    named = [f"{name} {source.path}" for name in ("train", "validation", "test") if (source := getattr(data, name))]
    return ", ".join(filter(None, [data.source, *named])) or "lists given in Python"


def _beside_published(published: Published, group: Group) -> Table:
    printed = published.trainable_parameters
    rows: list[tuple[Value, ...]] = [
        ("trained parameters", "not given" if printed is None else f"{printed:,}", f"{group.trained_parameters:,}"),
        *((name, score, "") for name, score in published.scores.items()),
        ("test accuracy here", "", in_words(group.score("accuracy"), "share")),
    ]
    columns = (WHAT, Column("printed", "the report prints"), Column("here", "here"))
    return Table("published", "Beside the report", columns, rows, folded=True)
