"""Finished runs → a Report: one recipe at length, or several beside each other and then each at length."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from rankwise.data.tasks import ONE_LABEL
from rankwise.errors import RunError
from rankwise.report.blocks import Block, Quotes, Report, Section, Stat, Table
from rankwise.report.columns import TEXT, column_of
from rankwise.report.groups import Group, group_by_recipe
from rankwise.report.sections.budget import budget_section
from rankwise.report.sections.compared import compared_sections
from rankwise.report.sections.decision import decision_section, ranges_section
from rankwise.report.sections.mistakes import mistakes_section
from rankwise.report.sections.numbers import numbers_section
from rankwise.report.sections.scores import baselines, scores_section, shift_section
from rankwise.report.sections.training import data_section, origin_section, training_section
from rankwise.report.words import listed, percent, shown, shown_bounds
from rankwise.run.folder import Run
from rankwise.workflows.compare import Comparison, compare

SECTIONS = (
    *(scores_section, budget_section, training_section, data_section, mistakes_section, decision_section, shift_section),
    origin_section,
)


def _sections_of(group: Group) -> list[Callable[[Group], Section]]:
    """The sections about a group; when to answer is decided where there is one label a text."""
    if not group.first.task.has_classes:
        of_numbers = {mistakes_section: numbers_section, decision_section: ranges_section}
        return [of_numbers.get(section, section) for section in SECTIONS]
    decides = group.first.task.name in ONE_LABEL
    return [section for section in SECTIONS if decides or section is not decision_section]


def report_of(runs: Sequence[Run], *, explain: bool = False) -> Report:
    """The report of these runs; those that differ in their seed alone are pooled. Raises RunError.

    With `explain` the runs say of their surest mistakes which words pulled toward the wrong class.
    """
    group, *others = groups = [replace(group, explain=explain) for group in group_by_recipe(runs)]
    if others:
        return _report_of_several(groups)
    base = group.first.facts.base
    on = "counted words" if group.first.counts_words else base.hub or base.name
    classes = group.first.scores.classes
    what = f"A text classifier for {len(classes)} classes on {on}."
    what = what if group.first.task.has_classes else f"Estimates a number, {classes[0]}, on {on}."
    seeds = f"Numbers are means over {len(group.runs)} seeds." if len(group.runs) > 1 else ""
    lead = " ".join(filter(None, (_summary(group), what, seeds)))
    return Report(group.name, lead, _stats_of_one(group), [section(group) for section in _sections_of(group)])


def without_texts(report: Report) -> Report:
    """The same report with none of the texts that runs kept: mistakes by their row, shifts without an example."""
    return replace(report, sections=[_without_texts(section) for section in report.sections])


def _without_texts(section: Section) -> Section:
    blocks = [_without_text(block) for block in section.blocks]
    return replace(section, blocks=blocks, sections=[_without_texts(inner) for inner in section.sections])


def _without_text(block: Block) -> Block:
    """The block with nothing in its columns of texts."""
    if isinstance(block, Quotes):
        return Quotes(block.table.without(TEXT))
    return block.without(TEXT) if isinstance(block, Table) else block


def _report_of_several(groups: Sequence[Group]) -> Report:
    comparison: Comparison | RunError  # of all runs on the same test rows, or why they can't be compared
    try:
        comparison = compare([run for group in groups for run in group.runs], confidence=groups[0].confidence)
    except RunError as problem:
        comparison = problem
    sections = compared_sections(groups, comparison)
    for number, group in enumerate(groups, start=1):
        at_length = [section(group).prefixed(f"{number}-") for section in _sections_of(group)]
        sections.append(Section(f"{number}-recipe", group.name, sections=at_length, lead=_summary(group)))
    lead = f"{listed([group.name for group in groups])}; {sum(len(group.runs) for group in groups)} runs."
    stats = _stats_of_several(groups, comparable=not isinstance(comparison, RunError))
    return Report(f"{len(groups)} recipes compared", lead, stats, sections)


def _summary(group: Group) -> str:
    summary = group.first.recipe.summary.rstrip(".")
    return f"{summary}." if summary else ""


def _stats_of_one(group: Group) -> list[Stat]:
    first, rows, points = column_of(group.first.task.headline[0]), group.first.scores.test.rows, group.first.task.points
    score = group.score(first.name)
    on_rows = f"{shown_bounds(score, first.kind)} on {rows:,} test rows"
    stats = [Stat(first.label.removesuffix(", %"), shown(score, first.kind) + "\u00a0%" * (first.kind == "share"), on_rows)]
    beaten = (
        group.first.task.floor if group.first.counts_words else "TF-IDF"
    )  # what counts words itself is no news beside TF-IDF
    for name in baselines(group):
        if name.startswith(beaten):
            ahead = group.pooled((run.scores.baselines[name] for run in group.runs), "difference")
            of = f"ahead of {'one answer' if group.first.counts_words else beaten}"
            stats.append(Stat(of, shown(ahead, "signed"), f"{points} {shown_bounds(ahead, 'signed')}"))
    budget = group.first.plan_facts.budget
    share = f"{percent(group.trained_parameters / budget)} of the cap" if budget else "no cap"
    stats.append(Stat("trained parameters", f"{group.trained_parameters:,}", share))
    training, in_all = (shown(group.seconds(what), "seconds") for what in ("training", "all"))
    stats.append(Stat("training time", training, f"{in_all} in all"))
    peak = group.peak_gb()
    return stats if peak.value is None else [*stats, Stat("peak memory", f"{shown(peak, 'number')} GB")]


def _stats_of_several(groups: Sequence[Group], *, comparable: bool) -> list[Stat]:
    """The highest accuracy only where the recipes were scored on the same rows: others are no race."""
    first = column_of(groups[0].first.task.compared_by[0])
    comparable = comparable and all(group.first.task.compared_by[0] == first.name for group in groups)
    best = max(groups, key=lambda group: group.score(first.name).value or 0) if comparable else groups[0]
    leanest = min(groups, key=lambda group: group.trained_parameters)
    fastest = min(groups, key=lambda group: group.seconds().value or 0)
    score = best.score(first.name)
    told = shown(score, first.kind) + "\u00a0%" * (first.kind == "share")
    highest = Stat(f"highest {first.label.removesuffix(', %')}", told, f"{best.name} {shown_bounds(score, first.kind)}")
    return [
        *([highest] if comparable else []),
        Stat("fewest trained parameters", f"{leanest.trained_parameters:,}", leanest.name),
        Stat("shortest training", shown(fastest.seconds(), "seconds"), fastest.name),
    ]
