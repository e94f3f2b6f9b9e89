"""Adapter + ranks + head → Ledger: everything that trains, tensor by tensor."""

from __future__ import annotations

from collections.abc import Mapping

from rankwise.encoders.describe import Encoder
from rankwise.planning.ledger import Entry, Ledger
from rankwise.planning.methods import method_of
from rankwise.recipe import AdapterSpec, HeadSpec


def ledger_of(encoder: Encoder, adapter: AdapterSpec, head: HeadSpec, ranks: Mapping[str, int], cap: int | None) -> Ledger:
    """All that trains, against `cap`; `ranks` are those of low-rank adapters, by module path.

    Raises PlanError where the method can't be placed on the encoder.
    """
    method = method_of(adapter)
    entries = method.entries(encoder, adapter, ranks)
    added = sum(entry.parameters for entry in entries if entry.is_added) + method.frozen_parameters(encoder, ranks)
    return Ledger((*entries, *head_entries(encoder, head)), total_parameters=encoder.total_parameters + added, budget=cap)


def head_entries(encoder: Encoder, head: HeadSpec) -> list[Entry]:
    """All of a stock head; a slim one's last projection alone."""
    parts = encoder.head[-1:] if head.kind == "slim" else encoder.head
    return [Entry("head", part.path, part.parameters) for part in parts]
