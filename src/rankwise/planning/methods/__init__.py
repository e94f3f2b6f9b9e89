"""What planning asks of a PEFT method: what it trains and costs, what it refuses, and what else follows from it.

A method is an object that never changes, a row of METHODS; a recipe's options come in an AdapterSpec, once `rank: max` is a
number. `model/methods/` has how a method computes and is saved.
"""

from rankwise.encoders.encoder import Site
from rankwise.planning.methods.base import Method, inputs, nothing, outputs
from rankwise.planning.methods.low_rank import AdaLora, Lokr, LowRank, UniLora, Vera
from rankwise.planning.methods.own_weights import Bias, Full, LnTuning
from rankwise.planning.methods.vectors import Beft, FourierFt, Road, Vectors
from rankwise.planning.methods.virtual_tokens import Prefix, Prompt
from rankwise.recipe import AdapterSpec
from rankwise.recipe.methods import MethodName

__all__ = ["METHODS", "LowRank", "Method", "method_of"]


METHODS: dict[MethodName, Method] = {
    "lora": LowRank(),
    "rslora": LowRank(),  # arXiv 2312.03732: another scale
    "dora": LowRank(magnitudes=outputs),  # arXiv 2402.09353: LoRA for directions, and a magnitude for each output
    "pissa": LowRank(),  # arXiv 2404.02948: another start
    "lora-fa": LowRank(outputs, frozen=inputs),  # arXiv 2308.03303: A stays as it was drawn
    "lora-xs": LowRank(lambda _, rank: rank**2, frozen=Site.cost, usual_rate=1e-2),  # arXiv 2405.17604: B·R·A, R trains
    "adalora": AdaLora(lambda site, rank: site.cost(rank) + rank, usual_rate=5e-3),  # a singular value for each rank
    "vera": Vera(lambda site, rank: rank + site.d_out, has_alpha=False, usual_rate=1e-2),  # d (R,) and b (d_out,)
    "unilora": UniLora(nothing, has_alpha=False, usual_rate=1e-2),
    # arXiv 2503.18225: B·A scaled to a norm that trains, a number for each linear layer
    "delora": LowRank(magnitudes=lambda _: 1, frozen=lambda site, _: site.d_in, has_alpha=False),
    "miss": LowRank(outputs, has_alpha=False),  # arXiv 2409.15371: A is fixed, each row sums every R-th input
    "loha": LowRank(lambda site, rank: 2 * site.cost(rank)),  # arXiv 2108.06098: the product, entry by entry, of two B·A
    "lokr": Lokr(usual_rate=1e-2),
    # arXiv 2405.17484: R reflections of the inputs, which in pairs start as none
    "hra": LowRank(inputs, has_alpha=False, step=2),
    "fourierft": FourierFt(lambda site: site.d_in * site.d_out, "spectra", usual_rate=1e-2),
    "ia3": Vectors(  # arXiv 2205.05638
        lambda site: site.d_in if site.kind == "ffn_out" else site.d_out,
        "scales",
        kinds=("key", "value", "ffn_out"),
        needed="which ia3 scales",
        usual_rate=1e-2,
    ),
    "road": Road(outputs, "rotations", usual_rate=1e-2),
    "beft": Beft(outputs, "biases", kinds=("value",), needed="which beft adds to", usual_rate=5e-3),  # board.csv
    "ln-tuning": LnTuning(),
    "prefix": Prefix(),
    "prompt": Prompt(),
    "full": Full(),
    "head": Method(),
    "bias": Bias(),
}


def method_of(adapter: AdapterSpec) -> Method:
    """The planning half of the method that an adapter's recipe names."""
    return METHODS[adapter.method]
