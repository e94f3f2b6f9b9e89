"""A group of runs → the sections of a report, and what to see first."""

from __future__ import annotations

from rankwise.report.blocks import Section, Stat, percent, shown, shown_bounds
from rankwise.report.sections.groups import Group
from rankwise.report.sections.making import budget_section, data_section, origin_section, training_section
from rankwise.report.sections.mistakes import mistakes_section
from rankwise.report.sections.scores import gains, scores_section, shift_section

SECTIONS = (scores_section, budget_section, training_section, data_section, mistakes_section, shift_section, origin_section)


def sections(group: Group, prefix: str = "") -> tuple[Section, ...]:
    """Every section of one group; `prefix` keeps the addresses and files of several groups apart."""
    return tuple(section(group, prefix) for section in SECTIONS)


def stats(group: Group) -> tuple[Stat, ...]:
    """What to see first."""
    accuracy = group.score("accuracy")
    rows = group.first.scores["test"]["rows"]
    found = [
        Stat("accuracy", f"{shown(accuracy, 'share')}\u00a0%", f"{shown_bounds(accuracy, 'share')} on {rows:,} test rows")
    ]
    for name, gain in gains(group).items():
        if name.startswith("TF-IDF"):
            found.append(Stat("ahead of TF-IDF", shown(gain, "signed"), f"points {shown_bounds(gain, 'signed')}"))
    budget = group.first.plan_facts["budget"]
    share = f"{percent(group.trained_parameters / budget)} of the cap" if budget else "no cap"
    found.append(Stat("trained parameters", f"{group.trained_parameters:,}", share))
    whole = shown(group.seconds("all"), "seconds")
    found.append(Stat("training time", shown(group.seconds(), "seconds"), f"{whole} in all"))
    peak = group.peak_gb()
    if peak.value is not None:
        found.append(Stat("peak memory", f"{shown(peak, 'number')} GB"))
    return tuple(found)
