"""Methods that train tokens before each text."""

from collections.abc import Mapping, Sequence

from rankwise.encoders.encoder import Encoder
from rankwise.encoders.families import FAMILIES
from rankwise.errors import PlanError
from rankwise.planning.ledger import Entry
from rankwise.planning.methods.base import Method
from rankwise.recipe import AdapterSpec

VIRTUAL_TOKENS = 20  # where the recipe does not say
SHORTEST_TEXT = 4  # tokens for which virtual ones have to leave positions


class VirtualTokens(Method):
    """Trained tokens before each text, which take positions."""

    usual_rate = 1e-2
    has_fast_path = False
    stock_head = True
    spans_layers = True

    def prefix_length(self, adapter: AdapterSpec) -> int:
        return adapter.virtual_tokens or VIRTUAL_TOKENS

    def check_room(self, encoder: Encoder, adapter: AdapterSpec) -> None:
        """Raises PlanError where they leave no room for a text."""
        length = self.prefix_length(adapter)
        if encoder.longest is not None and encoder.longest - length < SHORTEST_TEXT:
            raise PlanError(
                f"{encoder.name} has {encoder.longest} positions, and a {adapter.method} of {length} leaves no room for a "
                f"text; type --set adapter.virtual_tokens=N with N under {encoder.longest - SHORTEST_TEXT + 1}"
            )

    def smaller(self, encoder: Encoder, adapter: AdapterSpec, left: int) -> Mapping[str, int]:
        one = adapter.model_copy(update={"virtual_tokens": 1})
        length = left // sum(entry.parameters for entry in self.entries(encoder, one, {}))
        return {"virtual_tokens": length} if length >= 1 else {}

    def notes(self, encoder: Encoder, adapter: AdapterSpec) -> Sequence[str]:
        if encoder.longest is None:
            return ()
        length = self.prefix_length(adapter)
        taken = f"a {adapter.method} of {length} takes as many positions"
        return [f"{taken}, so a text has at most {encoder.longest - length} tokens"]


class Prefix(VirtualTokens):
    """Prefix tuning (arXiv 2101.00190): trained keys and values of virtual tokens before each text, of each layer its own."""

    def entries(self, encoder: Encoder, adapter: AdapterSpec, ranks: Mapping[str, int]) -> list[Entry]:
        length = self.prefix_length(adapter)
        if not encoder.traits.takes_prefix:
            able = ", ".join(sorted(name for name, family in FAMILIES.items() if family.takes_prefix))
            raise PlanError(
                f"{encoder.name} ({encoder.family}): transformers takes no keys and values from outside there, so prefix "
                f"tuning works for {able} only; type --set adapter.method=lora, or take another base"
            )
        self.check_room(encoder, adapter)
        own = [site for site in encoder.sites if site.kind in ("key", "value")]
        return [Entry("prefix", site.name, length * site.d_out, site.layer, site.kind) for site in own]

    def summary(self, adapter: AdapterSpec, ranks: Mapping[str, int], layers: int) -> str:
        return f"a prefix of {self.prefix_length(adapter)} in every layer"


class Prompt(VirtualTokens):
    """Prompt tuning (arXiv 2104.08691): trained embeddings of virtual tokens before each text."""

    def entries(self, encoder: Encoder, adapter: AdapterSpec, ranks: Mapping[str, int]) -> list[Entry]:
        self.check_room(encoder, adapter)
        return [Entry("prompt", "embeddings", self.prefix_length(adapter) * embedding_width(encoder))]

    def trains_embeddings(self, adapter: AdapterSpec) -> bool:
        return True

    def summary(self, adapter: AdapterSpec, ranks: Mapping[str, int], layers: int) -> str:
        return f"a prompt of {self.prefix_length(adapter)}"

    def notes(self, encoder: Encoder, adapter: AdapterSpec) -> Sequence[str]:
        reads = encoder.reads == "first"
        first = "the head reads the first token, which is the prompt's own, as peft puts it before the text"
        return [*super().notes(encoder, adapter), *([first] if reads else [])]


def embedding_width(encoder: Encoder) -> int:
    """The width of the word embeddings, the first table that an encoder has."""
    return next(shape[1] for part in encoder.body for _, shape in part.tensors if len(shape) == 2)
