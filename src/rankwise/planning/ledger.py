"""Everything that trains, line by line, against the cap. Counts are exact; the head is counted once."""

from collections import Counter
from dataclasses import dataclass

WORDS = "words"  # the section of what has no encoder
ADAPTERS = ("adapter", "vector", "prefix")  # sections with one entry for each adapted linear layer
ADDED = (*ADAPTERS, "magnitude", "norm", "prompt")  # sections of what a method adds to the model


@dataclass(frozen=True)
class Entry:
    """One line of the ledger: `parameters` that train, where they sit and, for adapters, at which rank."""

    section: str
    """adapter, magnitude, vector, norm, prefix, prompt, bias, encoder or head; or words, of what has no encoder."""
    item: str
    parameters: int
    layer: int | None = None
    kind: str | None = None
    rank: int | None = None


@dataclass(frozen=True)
class Ledger:
    """Everything that trains at the start."""

    entries: tuple[Entry, ...]
    total_parameters: int
    """Of the whole model with its adapters, trained or not; the head counted once."""
    budget: int | None
    """Fewer than this many may train; None for no cap."""

    @property
    def trainable_parameters(self) -> int:
        return sum(entry.parameters for entry in self.entries)

    @property
    def fits(self) -> bool:
        return self.budget is None or self.trainable_parameters < self.budget

    @property
    def share(self) -> float | None:
        """Trained parameters over the cap."""
        return None if self.budget is None else self.trainable_parameters / self.budget

    @property
    def adapters(self) -> tuple[Entry, ...]:
        """What is added to linear layers, one entry for each that is adapted."""
        return tuple(entry for entry in self.entries if entry.section in ADAPTERS and entry.kind is not None)

    def sections(self) -> Counter[str]:
        """Trained parameters by section, in the order in which sections come."""
        sections: Counter[str] = Counter()
        for entry in self.entries:
            sections[entry.section] += entry.parameters
        return sections
