"""Methods that train weights which the encoder has: all of them, its biases or its norms."""

from collections.abc import Mapping

from rankwise.encoders.encoder import Encoder, Part
from rankwise.planning.ledger import Entry
from rankwise.planning.methods.base import Method
from rankwise.planning.policies import layer_weight
from rankwise.recipe import AdapterSpec


class LnTuning(Method):
    """LN tuning (arXiv 2312.11420): the scales and shifts of the layers' norms train, copies beside the model's own."""

    usual_rate = 1e-2
    by_layer = True

    def entries(self, encoder: Encoder, adapter: AdapterSpec, ranks: Mapping[str, int]) -> list[Entry]:
        return [
            Entry("norm", part.path, part.parameters, part.layer)
            for part in encoder.body
            if part.layer is not None and is_norm(part) and layer_weight(adapter, part.layer, encoder.layers)
        ]

    def summary(self, adapter: AdapterSpec, ranks: Mapping[str, int], layers: int) -> str:
        return f"the norms of layers ({adapter.allocate.policy})"


class Full(Method):
    """A full fine-tune: every parameter trains."""

    trains_weights = True
    words = "every parameter"

    def entries(self, encoder: Encoder, adapter: AdapterSpec, ranks: Mapping[str, int]) -> list[Entry]:
        return [Entry("encoder", part.path, part.parameters) for part in encoder.body]


class Bias(Method):
    """BitFit (arXiv 2106.10199): the encoder's biases train, and the head."""

    words = "biases and the head"

    def entries(self, encoder: Encoder, adapter: AdapterSpec, ranks: Mapping[str, int]) -> list[Entry]:
        return [Entry("bias", name, parameters) for name, parameters in encoder.biases]

    def trains_embeddings(self, adapter: AdapterSpec) -> bool:
        return True


def is_norm(part: Part) -> bool:
    """Whether a part is a norm, whose tensors are vectors."""
    return part.tensors[0][0] == f"{part.path}.weight" and all(len(shape) == 1 for _, shape in part.tensors)
