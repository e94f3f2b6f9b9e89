"""Finished runs → a Report: one recipe at length, or several beside each other and then each at length."""

from __future__ import annotations

from collections.abc import Sequence

from rankwise.errors import RunError
from rankwise.report.blocks import Report, Section, Stat, listed, percent, shown, shown_bounds
from rankwise.report.groups import Group, group_by_recipe
from rankwise.report.sections.budget import budget_section
from rankwise.report.sections.compared import (
    compare_on_test_rows,
    costs_section,
    curves_section,
    leaderboard_section,
    settings_section,
    trade_offs_section,
    verdicts_section,
)
from rankwise.report.sections.data import data_section
from rankwise.report.sections.mistakes import mistakes_section
from rankwise.report.sections.origin import origin_section
from rankwise.report.sections.scores import gains, scores_section
from rankwise.report.sections.shift import shift_section
from rankwise.report.sections.training import training_section
from rankwise.run.folder import Run
from rankwise.run.format import versions

SECTIONS = (scores_section, budget_section, training_section, data_section, mistakes_section, shift_section, origin_section)


def report_of(runs: Sequence[Run]) -> Report:
    """The report of these runs; those that differ in their seed alone are pooled. Raises RunError."""
    groups = group_by_recipe(runs)
    return _report_of_one(groups[0]) if len(groups) == 1 else _report_of_several(groups)


def footer() -> str:
    """The line at the end of every page: what made it."""
    return f"Made by rankwise {versions()['rankwise']}. Every table and figure can be downloaded as CSV."


def _report_of_one(group: Group) -> Report:
    recipe = group.first.recipe
    seeds = f" Numbers are means over {len(group.runs)} seeds." if len(group.runs) > 1 else ""
    base = group.first.facts.base
    summary = f"{recipe.summary.rstrip('.')}. " if recipe.summary else ""
    what = f"A text classifier for {len(group.first.scores.classes)} classes on {base.hub or base.name}."
    return Report(group.name, f"{summary}{what}{seeds}", _stats_of_one(group), _sections(group), footer())


def _report_of_several(groups: Sequence[Group]) -> Report:
    """The recipes beside each other first, then each one at length."""
    comparison = compare_on_test_rows(groups)
    comparable = not isinstance(comparison, RunError)
    beside = (
        leaderboard_section(groups),
        verdicts_section(groups, comparison),
        costs_section(groups),
        *([trade_offs_section(groups)] if comparable else []),
        curves_section(groups),
        settings_section(groups),
    )
    at_length = tuple(_recipe_section(group, f"{number}-") for number, group in enumerate(groups, start=1))
    lead = f"{listed([group.name for group in groups])}; {sum(len(group.runs) for group in groups)} runs."
    stats = _stats_of_several(groups, comparable=comparable)
    return Report(f"{len(groups)} recipes compared", lead, stats, (*beside, *at_length), footer())


def _recipe_section(group: Group, prefix: str) -> Section:
    summary = group.first.recipe.summary.rstrip(".")
    return Section(f"{prefix}recipe", group.name, sections=_sections(group, prefix), lead=f"{summary}." if summary else "")


def _sections(group: Group, prefix: str = "") -> tuple[Section, ...]:
    """Every section about one recipe; `prefix` keeps the addresses and file names of several recipes apart."""
    return tuple(section(group, prefix) for section in SECTIONS)


def _stats_of_one(group: Group) -> tuple[Stat, ...]:
    accuracy, rows = group.score("accuracy"), group.first.scores.test.rows
    stats = [
        Stat("accuracy", f"{shown(accuracy, 'share')}\u00a0%", f"{shown_bounds(accuracy, 'share')} on {rows:,} test rows")
    ]
    for name, gain in gains(group).items():
        if name.startswith("TF-IDF"):
            stats.append(Stat("ahead of TF-IDF", shown(gain, "signed"), f"points {shown_bounds(gain, 'signed')}"))
    budget = group.first.plan_facts.budget
    share = f"{percent(group.trained_parameters / budget)} of the cap" if budget else "no cap"
    stats.append(Stat("trained parameters", f"{group.trained_parameters:,}", share))
    in_all = shown(group.seconds("all"), "seconds")
    stats.append(Stat("training time", shown(group.seconds(), "seconds"), f"{in_all} in all"))
    peak = group.peak_gb()
    if peak.value is not None:
        stats.append(Stat("peak memory", f"{shown(peak, 'number')} GB"))
    return tuple(stats)


def _stats_of_several(groups: Sequence[Group], *, comparable: bool) -> tuple[Stat, ...]:
    """The highest accuracy only where the recipes were scored on the same rows: others are no race."""
    best = max(groups, key=lambda group: group.score("accuracy").value or 0)
    leanest = min(groups, key=lambda group: group.trained_parameters)
    fastest = min(groups, key=lambda group: group.seconds().value or 0)
    accuracy = best.score("accuracy")
    highest = Stat("highest accuracy", f"{shown(accuracy, 'share')}\u00a0%", f"{best.name} {shown_bounds(accuracy, 'share')}")
    return (
        *([highest] if comparable else []),
        Stat("fewest trained parameters", f"{leanest.trained_parameters:,}", leanest.name),
        Stat("shortest training", shown(fastest.seconds(), "seconds"), fastest.name),
    )
