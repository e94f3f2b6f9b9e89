"""What a recipe was trained on: rows, notes about them, token lengths."""

from __future__ import annotations

from rankwise.data.lengths import Lengths
from rankwise.report.blocks import Block, Column, Figure, Notes, Section, Table, listed
from rankwise.report.figures import charts
from rankwise.report.groups import SPLITS, Group


def data_section(group: Group, prefix: str) -> Section:
    run = group.first
    rows = listed([f"{getattr(run.facts.rows, part):,} {name}" for part, name in SPLITS.items()])
    blocks: list[Block] = [_lengths(run.facts.token_lengths, run.preprocessing.max_length, prefix)]
    if run.facts.notes:
        blocks.append(Notes(run.facts.notes))
    classes = f"{len(run.scores.classes)} classes"
    return Section(f"{prefix}data-section", "Data", tuple(blocks), lead=f"{rows} rows; {classes}.")


def _lengths(lengths: Lengths, longest: int, prefix: str) -> Figure:
    bars = lengths.histogram
    quantiles, total = lengths.quantiles, sum(count for *_, count in bars)
    rows = [(low, high - 1, count, count / total) for low, high, count in bars]
    columns = (
        Column("from", "tokens from", "count"),
        Column("to", "to", "count"),
        Column("texts", "training texts", "count"),
        Column("share", "% of them", "share"),
    )
    picture = charts.histogram(
        bars,
        Column("tokens", "tokens, special ones included", "count"),
        columns[2],
        charts.Limit(longest, f"max length {longest}"),
    )
    middle = f"Half of the training texts have {quantiles['50%']:,} tokens or fewer, 95 % have {quantiles['95%']:,} or fewer"
    summary = f"{middle}; the longest has {quantiles['max']:,}. Texts are cut to {longest} tokens."
    table = Table(f"{prefix}token-lengths", "Token lengths of the training texts", columns, tuple(rows))
    return Figure("How long the texts are", summary, picture, table, note=summary)
