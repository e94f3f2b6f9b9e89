"""What a live model asks of a PEFT method: how peft configures and saves its tensors, and how they change a layer.

A method is an object that never changes, a row of METHODS; `planning/methods.py` has what it trains and costs. Nothing
here imports peft: what peft is to do is told as its configuration's values, and what it has done is read from live modules or
saved tensors. Shapes: A (R, d_in), B (d_out, R), a linear layer's weight W (d_out, d_in).
"""

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rankwise.encoders.describe import Site
from rankwise.planning.plan import Plan
from rankwise.recipe.methods import MethodName


@dataclass(frozen=True)
class LowRankUpdate:
    """W + scale · B·A, A (R, d_in) and B (d_out, R)."""

    a: Tensor
    b: Tensor
    scale: float


class LiveMethod:
    """A method's model half. This class is that of methods that train the model's own weights, those in the plan's ledger."""

    marker: ClassVar[str] = ""
    """What only the names of tensors and modules that it adds contain; empty where it adds none."""
    unmergeable: ClassVar[str] = ""
    """Why what it trains can't become part of the encoder's weights, a sentence; empty where it can."""
    renamed: ClassVar[tuple[str, str]] = ("", "")
    """A part of a live parameter's name that peft calls otherwise in the saved file, and how."""

    def saved_name(self, name: str) -> str:
        """A live parameter's name → its name in the saved file."""
        return name.replace(*self.renamed).replace(".modules_to_save.default", "").replace(".default", "")

    def before_saving(self, model: Any) -> None:
        """Make peft write every trained tensor as it was planned."""


class LiveAdapter(LiveMethod, ABC):
    """A method whose tensors peft adds to the encoder."""

    @abstractmethod
    def config(self, plan: Plan, *, seed: int) -> dict[str, Any]:
        """The plan as values of peft's configuration."""

    def apply(self, module: Any, x: Tensor) -> Tensor:
        """A plain linear layer's output in the dtype of x (B, T, d_in), with its adapter, where that is not folded in."""
        return own_forward(module, x)


class LowRank(LiveAdapter):
    """A method that does nothing to a linear layer but W + scale · B·A, so that it can be folded into W while it trains."""

    merges_exactly: bool = True
    """Whether weights merged from the saved file give the live classifier's logits to the bit, where these are folded."""
    parts: ClassVar[tuple[str, ...]] = ("lora_A.weight", "lora_B.weight")
    """The names of a linear layer's tensors in the saved file, after the layer's."""
    shared: ClassVar[tuple[str, ...]] = ()
    """The names of tensors in the saved file that all of its layers share."""

    @abstractmethod
    def live(self, module: Any) -> LowRankUpdate:
        """The update of a live linear layer, with gradients to what trains."""

    @abstractmethod
    def saved(self, tensors: Mapping[str, Tensor], plan: Plan, site: Site) -> LowRankUpdate:
        """The update of the linear layer `site`, of a saved file's tensors by name."""

    def saved_names(self, plan: Plan) -> set[str]:
        """The names of all tensors that it adds, as they are in the saved file."""
        return {saved_path(site, part) for site in plan.sites for part in self.parts} | set(self.shared)

    def dropout(self, module: Any) -> Any:
        return getattr(module, f"{self.marker}dropout")[module.active_adapters[0]]

    def apply(self, module: Any, x: Tensor) -> Tensor:
        update = self.live(module)
        y = linear(module.base_layer, x)
        down = F.linear(self.dropout(module)(x), update.a.to(x.dtype))  # (B, T, R)
        rows = torch.addmm(y.flatten(0, -2), down.flatten(0, -2), update.b.to(x.dtype).T, alpha=update.scale)
        return rows.view(y.shape)


class Lora(LowRank):
    """LoRA (arXiv 2106.09685), W + alpha/R · B·A, B at 0 when training starts, and what changes its scale or start alone.

    `options` are further values of peft's configuration; R counts to the power `power`.
    """

    marker = "lora_"

    def __init__(self, *, power: float = 1.0, merges_exactly: bool = True, **options: Any) -> None:
        self.power, self.merges_exactly, self.options = power, merges_exactly, options

    def config(self, plan: Plan, *, seed: int) -> dict[str, Any]:
        return {**lora_config(plan), **self.options}

    def live(self, module: Any) -> LowRankUpdate:
        (name,) = module.active_adapters
        return LowRankUpdate(module.lora_A[name].weight, module.lora_B[name].weight, float(module.scaling[name]))

    def saved(self, tensors: Mapping[str, Tensor], plan: Plan, site: Site) -> LowRankUpdate:
        a, b = (tensors[saved_path(site, part)] for part in self.parts)
        return LowRankUpdate(a, b, float(plan.alphas[site.name] / plan.ranks[site.name] ** self.power))


class Dora(LiveAdapter):
    """DoRA (arXiv 2402.09353): m · (W + scale·B·A) / ‖W + scale·B·A‖, a norm for each output.

    The norm depends on A and B, so its gradients need peft's own forward, and nothing is folded.
    """

    marker = "lora_"
    renamed = (".lora_magnitude_vector.default.weight", ".lora_magnitude_vector")

    def config(self, plan: Plan, *, seed: int) -> dict[str, Any]:
        return {**lora_config(plan), "use_dora": True}


class AdaLora(LowRank):
    """AdaLoRA (arXiv 2303.10512): W + alpha/R · B·diag(E)·A; what is pruned has a 0 in E, in the file too.

    R is the rank that training starts at, which pruning leaves as it is.
    """

    marker = "lora_"
    parts = ("lora_A", "lora_B", "lora_E")

    def config(self, plan: Plan, *, seed: int) -> dict[str, Any]:
        values = lora_config(plan)
        own = {"peft_type": "ADALORA", "init_r": values.pop("r"), "target_r": int(plan.adapter.rank)}
        own["total_step"] = 1  # the schedule is set where the number of updates is known
        own["rank_pattern"] = None  # one rank for all, and peft keeps notes of its pruning here
        return {**values, **own}

    def before_saving(self, model: Any) -> None:
        model.peft_config["default"].rank_pattern = None  # with one, peft would leave the pruned ranks out

    def live(self, module: Any) -> LowRankUpdate:
        (name,) = module.active_adapters
        return self._update(module.lora_A[name], module.lora_B[name], module.lora_E[name], float(module.scaling[name]))

    def saved(self, tensors: Mapping[str, Tensor], plan: Plan, site: Site) -> LowRankUpdate:
        a, b, values = (tensors[saved_path(site, part)] for part in self.parts)
        return self._update(a, b, values, plan.alphas[site.name])

    def _update(self, a: Tensor, b: Tensor, values: Tensor, alpha: float) -> LowRankUpdate:
        """`values` are the diagonal of E (R, 1)."""
        return LowRankUpdate(a * values / (a.new_full((1,), float(len(a))) + 1e-5), b, alpha)


class Vera(LowRank):
    """VeRA (arXiv 2310.11454): W + diag(b)·B·diag(d)·A, with A and B cut from one shared, frozen random pair.

    A (R, widest d_in) and B (widest d_out, R) are drawn from the seed, and saved once, beside the layers' b (d_out,), d (R,).
    """

    marker = "vera_"
    parts = ("vera_lambda_b", "vera_lambda_d")
    shared = ("base_model.vera_A", "base_model.vera_B")

    def config(self, plan: Plan, *, seed: int) -> dict[str, Any]:
        return {
            "peft_type": "VERA",
            "r": max(plan.ranks.values()),
            "target_modules": list(plan.ranks),
            "vera_dropout": plan.adapter.dropout,
            "bias": plan.adapter.bias.replace("lora", "vera"),
            "projection_prng_key": seed,
        }

    def live(self, module: Any) -> LowRankUpdate:
        (name,) = module.active_adapters
        parts = (module.vera_A, module.vera_B, module.vera_lambda_b, module.vera_lambda_d)
        return self._update(*(part[name] for part in parts), d_in=module.in_features, d_out=module.out_features)

    def saved(self, tensors: Mapping[str, Tensor], plan: Plan, site: Site) -> LowRankUpdate:
        own = (tensors[saved_path(site, part)] for part in self.parts)
        shared = (tensors[name] for name in self.shared)
        return self._update(*shared, *own, d_in=site.d_in, d_out=site.d_out)

    def _update(self, a: Tensor, b: Tensor, scale_b: Tensor, scale_d: Tensor, *, d_in: int, d_out: int) -> LowRankUpdate:
        return LowRankUpdate(scale_d[:, None] * a[:, :d_in], scale_b[:, None] * b[:d_out], 1.0)


class Ia3(LiveAdapter):
    """IA3 (arXiv 2205.05638): keys and values scaled after their linear layer, inner activations before theirs."""

    marker = "ia3_"

    def config(self, plan: Plan, *, seed: int) -> dict[str, Any]:
        inner = [site.name for site in plan.sites if site.kind == "ffn_out"]
        return {"peft_type": "IA3", "target_modules": [site.name for site in plan.sites], "feedforward_modules": inner}

    def apply(self, module: Any, x: Tensor) -> Tensor:
        (name,) = module.active_adapters
        scale = module.ia3_l[name].flatten()  # in fp32, for bf16 has no number between 1 and 1.008
        base = module.base_layer
        return linear(base, (x * scale).to(x.dtype)) if module.is_feedforward else (linear(base, x) * scale).to(x.dtype)


class Prefix(LiveAdapter):
    """Prefix tuning (arXiv 2101.00190): one tensor of every layer's keys and values, through the model's cache."""

    marker = "prompt_encoder"
    renamed = ("prompt_encoder.default.embedding.weight", "prompt_embeddings")
    unmergeable = "this run trained a prefix, whose keys and values can't be merged into weights"

    def config(self, plan: Plan, *, seed: int) -> dict[str, Any]:
        return {"peft_type": "PREFIX_TUNING", "num_virtual_tokens": plan.prefix_length}


METHODS: dict[MethodName, LiveMethod] = {
    "lora": Lora(),
    "rslora": Lora(power=0.5, use_rslora=True),  # rank-stabilised, arXiv 2312.03732
    "dora": Dora(),
    # PiSSA, arXiv 2404.02948: A and B start as W's principal components, and W as what is left; peft saves A and B, and takes
    # the components out of W again when it loads them, by its own decomposition, which rounds otherwise
    "pissa": Lora(merges_exactly=False, init_lora_weights="pissa"),
    "adalora": AdaLora(),
    "vera": Vera(),
    "ia3": Ia3(),
    "prefix": Prefix(),
    "full": LiveMethod(),
    "head": LiveMethod(),
    "bias": LiveMethod(),
}


def live_method(plan: Plan) -> LiveMethod:
    """The model half of a plan's method."""
    return METHODS[plan.adapter.method]


HARMLESS_STARTS = (None, True, False, "gaussian", "orthogonal", "eva")
"""peft's starts of LoRA that leave the encoder's weights as they are."""


def method_of_config(config: Mapping[str, Any]) -> MethodName | None:
    """Which method made an adapter that was not planned here, by peft's configuration; None for one that is not taken over.

    Those are low-rank updates of weights that are still the base's.
    """
    if config.get("peft_type") != "LORA" or config.get("init_lora_weights") not in HARMLESS_STARTS:
        return None
    with_magnitudes, stabilised = bool(config.get("use_dora")), bool(config.get("use_rslora"))
    if with_magnitudes and stabilised:
        return None
    return "dora" if with_magnitudes else "rslora" if stabilised else "lora"


def lora_config(plan: Plan) -> dict[str, Any]:
    """The plan as values of peft's configuration of LoRA, with `lora_A` and `lora_B` at each linear layer."""
    rank, alpha = (Counter(values.values()).most_common(1)[0][0] for values in (plan.ranks, plan.alphas))
    return {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": _whole(alpha),
        "rank_pattern": {re.escape(name): other for name, other in plan.ranks.items() if other != rank},
        "alpha_pattern": {re.escape(name): _whole(other) for name, other in plan.alphas.items() if other != alpha},
        "target_modules": list(plan.ranks),
        "lora_dropout": plan.adapter.dropout,
        "bias": plan.adapter.bias,
    }


def factor_of(name: str) -> Literal["A", "B"] | None:
    """Which factor of a low-rank update a live parameter is."""
    return "A" if "lora_A" in name else "B" if "lora_B" in name else None


def saved_path(site: Site, part: str) -> str:
    """The name in the saved file of a part of a linear layer's adapter."""
    return f"base_model.model.{site.name}.{part}"


def base_of(module: Any) -> Any:
    """The linear layer itself, under an adapter if there is one."""
    return getattr(module, "base_layer", module)


def is_plain(module: Any) -> bool:
    """Whether a live layer is one of torch's own, neither quantized nor of another shape."""
    return type(base_of(module)) is nn.Linear


def linear(base: Any, x: Tensor) -> Tensor:
    """A plain linear layer in the dtype of x."""
    return F.linear(x, base.weight.to(x.dtype), None if base.bias is None else base.bias.to(x.dtype))


def own_forward(module: Any, x: Tensor) -> Tensor:
    """A live layer's own forward, in its own dtype; the result in that of x."""
    return torch.as_tensor(module(x.to(torch.float32)).to(x.dtype))


def _whole(number: float) -> int | float:
    """Alphas may be fractions, which peft takes though its types don't say so; whole ones are written as such."""
    return int(number) if number == int(number) else number
