"""Adapter + ranks + head → Ledger: what each method trains, tensor by tensor."""

from __future__ import annotations

from collections.abc import Mapping

from rankwise.encoders.describe import Encoder
from rankwise.encoders.families import FAMILIES
from rankwise.errors import PlanError
from rankwise.planning.ledger import Entry, Ledger
from rankwise.planning.policies import layer_weight
from rankwise.recipe import AdapterSpec, HeadSpec


def ledger_of(encoder: Encoder, adapter: AdapterSpec, head: HeadSpec, ranks: Mapping[str, int], cap: int | None) -> Ledger:
    """All that trains, against `cap`; `ranks` are those of low-rank adapters, by module path.

    Raises PlanError where the encoder has no place for the method.
    """
    entries = [*_encoder_entries(encoder, adapter, ranks), *head_entries(encoder, head)]
    added = sum(entry.parameters for entry in entries if entry.section in ("adapter", "magnitude", "vector", "prefix"))
    return Ledger(tuple(entries), total_parameters=encoder.total_parameters + added, budget=cap)


def _encoder_entries(encoder: Encoder, adapter: AdapterSpec, ranks: Mapping[str, int]) -> list[Entry]:
    if adapter.method == "full":
        return [Entry("encoder", part.path, part.parameters) for part in encoder.body]
    if adapter.method == "head":
        return []
    if adapter.method == "ia3":
        return _vector_entries(encoder, adapter)
    if adapter.method == "prefix":
        return prefix_entries(encoder, adapter)
    if adapter.method == "bias":
        biases = [Entry("bias", name, parameters) for name, parameters in encoder.biases]
    elif adapter.bias == "all":  # peft's rule: tensors that are called bias, not those whose name only has it
        biases = [Entry("bias", name, parameters) for name, parameters in encoder.biases if name.endswith(".bias")]
    elif adapter.bias == "lora_only":
        adapted = [site for site in encoder.sites if site.name in ranks and site.bias]
        biases = [Entry("bias", f"{site.name}.bias", site.d_out, site.layer, site.kind) for site in adapted]
    else:
        biases = []
    return [*_rank_entries(encoder, adapter, ranks), *biases]


def _rank_entries(encoder: Encoder, adapter: AdapterSpec, ranks: Mapping[str, int]) -> list[Entry]:
    entries = []
    for site in encoder.sites:
        if rank := ranks.get(site.name):
            cost = site.cost(rank) + (rank if adapter.method == "adalora" else 0)  # a singular value for each rank
            entries.append(Entry("adapter", site.name, cost, site.layer, site.kind, rank))
            if adapter.method == "dora":
                entries.append(Entry("magnitude", site.name, site.d_out, site.layer, site.kind))
    return entries


def _vector_entries(encoder: Encoder, adapter: AdapterSpec) -> list[Entry]:
    """IA3 (arXiv 2205.05638): a scale for each key, each value and each inner activation, in layers that the policy gives."""
    if not {"key", "value"} <= set(encoder.kinds):
        raise PlanError(
            f"{encoder.name} ({encoder.family}) has no maps of its own for keys and values, which ia3 scales; "
            "type --set adapter.method=lora or --set adapter.method=bias"
        )
    return [
        Entry("vector", site.name, site.d_in if site.kind == "ffn_out" else site.d_out, site.layer, site.kind)
        for site in encoder.sites
        if site.kind in ("key", "value", "ffn_out") and layer_weight(adapter, site.layer, encoder.layers)
    ]


def prefix_entries(encoder: Encoder, adapter: AdapterSpec) -> list[Entry]:
    """Prefix tuning (arXiv 2101.00190): keys and values of virtual tokens, of each layer its own."""
    if not encoder.traits.takes_prefix:
        able = ", ".join(name for name, family in FAMILIES.items() if family.takes_prefix)
        raise PlanError(
            f"{encoder.name} ({encoder.family}): transformers takes no keys and values from outside there, so prefix tuning "
            f"works for {able} only; type --set adapter.method=lora, or take another base"
        )
    length = adapter.prefix_length
    if encoder.longest is not None and encoder.longest - length < 4:
        raise PlanError(
            f"{encoder.name} has {encoder.longest} positions, and a prefix of {length} leaves no room for a text; "
            f"type --set adapter.virtual_tokens=N with N under {encoder.longest - 3}"
        )
    return [
        Entry("prefix", site.name, length * site.d_out, site.layer, site.kind)
        for site in encoder.sites
        if site.kind in ("key", "value")
    ]


def head_entries(encoder: Encoder, head: HeadSpec) -> list[Entry]:
    """All of a stock head; a slim one's last projection alone."""
    parts = encoder.head[-1:] if head.kind == "slim" else encoder.head
    return [Entry("head", part.path, part.parameters) for part in parts]
