"""What planning asks of every PEFT method, and how large a trained vector is."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from rankwise.encoders.encoder import Encoder, Site
from rankwise.planning.ledger import Entry
from rankwise.recipe import AdapterSpec


class Method:
    """A method's planning half. This class is that of the head alone; most of what it answers holds for most methods."""

    usual_rate: float | None = None
    """The learning rate at which it learns the sample news in 120 updates, where LoRA's is too low: benchmarks/methods.py."""
    has_fast_path: ClassVar[bool] = True
    """Whether the fast forward pass can compute it, where the family has one."""
    stock_head: ClassVar[bool] = False
    """Whether it needs transformers' own classes, which have no pooled head."""
    trains_weights: ClassVar[bool] = False
    """Whether the linear layers' own weights train."""
    prunes_ranks: ClassVar[bool] = False
    by_layer: ClassVar[bool] = False
    """Whether the policy says in which layers it trains."""
    spans_layers: ClassVar[bool] = False
    """Whether all that it trains in the encoder is one tensor for all layers."""
    words: str = "the head alone"
    """What it trains, where that is the same for every recipe: its `summary`, or its `vector`s."""

    def entries(self, encoder: Encoder, adapter: AdapterSpec, ranks: Mapping[str, int]) -> list[Entry]:
        """Every tensor that it trains in the encoder; `ranks` by module path. Raises PlanError where it can't be placed."""
        return []

    def summary(self, adapter: AdapterSpec, ranks: Mapping[str, int], layers: int) -> str:
        """What it trains in the encoder, in a few words; `layers` is the number of linear layers that it adapts."""
        return self.words

    def frozen_parameters(self, encoder: Encoder, ranks: Mapping[str, int]) -> int:
        """Parameters that it adds to the model and does not train."""
        return 0

    def alpha(self, adapter: AdapterSpec, rank: int) -> float | None:
        """LoRA's alpha of an adapter of `rank`; None for a method that has none."""
        return None

    def trains_embeddings(self, adapter: AdapterSpec) -> bool:
        """Whether anything below the first layer trains, so that every layer needs gradients."""
        return self.trains_weights or adapter.bias == "all"

    def prefix_length(self, adapter: AdapterSpec) -> int:
        """Virtual tokens before each text, which take as many positions."""
        return 0

    def smaller(self, encoder: Encoder, adapter: AdapterSpec, left: int) -> Mapping[str, int]:
        """Its own options with which it trains at most `left` parameters in the encoder; empty where it has none."""
        return {}

    def notes(self, encoder: Encoder, adapter: AdapterSpec) -> Sequence[str]:
        """What a ledger can't say of it."""
        return ()


def nothing(*_: object) -> int:
    return 0


def outputs(site: Site, rank: int = 1) -> int:
    """`rank` numbers for each output of a linear layer."""
    return rank * site.d_out


def inputs(site: Site, rank: int = 1) -> int:
    """`rank` numbers for each input of a linear layer."""
    return rank * site.d_in
