"""Methods that add a low-rank update to a linear layer's weight, which can be folded into it while they train."""

import re
from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from rankwise.encoders.encoder import Site
from rankwise.model.methods.base import LiveAdapter, saved_path, targets
from rankwise.model.methods.one_step import LowRankProduct
from rankwise.planning.plan import Plan

NO_DROPOUT = nn.Identity()
MIXED = ".parametrizations.weight.0.mix"  # the live name of the matrix that lora-xs trains, below that of A


@dataclass(frozen=True)
class LowRankUpdate:
    """W + scale · B·A, A (R, d_in) and B (d_out, R)."""

    a: Tensor
    b: Tensor
    scale: float


class LowRank(LiveAdapter):
    """A method that does nothing to a linear layer but W + scale · B·A, so that it can be folded into W while it trains."""

    @abstractmethod
    def live(self, module: Any) -> LowRankUpdate:
        """The update of a live linear layer, with gradients to what trains."""

    def dropout(self, module: Any) -> Any:
        return getattr(module, f"{self.marker}dropout")[module.active_adapters[0]]

    def drops(self, module: Any) -> bool:
        """Whether a layer's adapter reads what dropout leaves of its input now."""
        dropout = self.dropout(module)
        return bool(dropout.training and getattr(dropout, "p", 0.0) > 0)

    def apply(self, module: Any, x: Tensor) -> Tensor:
        base, update = module.base_layer, self.live(module)
        rows = x.reshape(-1, x.shape[-1])  # (B·T, d_in)
        dropped = self.dropout(module)(rows) if self.drops(module) else None
        weight, bias = base.weight.to(x.dtype), None if base.bias is None else base.bias.to(x.dtype)
        y = LowRankProduct.apply(rows, dropped, weight, bias, update.a, update.b, update.scale)  # type: ignore
        return torch.as_tensor(y).view(*x.shape[:-1], base.out_features)


class SavedLowRank(LowRank):
    """One whose update follows from the tensors in its file, so that peft need not load them."""

    merges_exactly: bool = True
    """Whether weights merged from the saved file give the live classifier's logits to the bit, where these are folded."""
    parts: ClassVar[tuple[str, ...]] = ("lora_A.weight", "lora_B.weight")
    """The names of a linear layer's tensors in the saved file, after the layer's."""
    shared: ClassVar[tuple[str, ...]] = ()
    """The names of tensors in the saved file that all of its layers share."""

    @abstractmethod
    def saved(self, tensors: Mapping[str, Tensor], plan: Plan, site: Site) -> LowRankUpdate:
        """The update of the linear layer `site`, of a saved file's tensors by name."""

    def saved_names(self, plan: Plan) -> set[str]:
        """The names of all tensors that it adds, as they are in the saved file."""
        return {saved_path(site, part) for site in plan.sites for part in self.parts} | set(self.shared)


class Lora(SavedLowRank):
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


class LoraFa(Lora):
    """LoRA-FA (arXiv 2308.03303): LoRA whose A stays as it was drawn."""

    def after_placing(self, model: Any) -> None:
        for name, weight in model.named_parameters():
            if ".lora_A." in name:
                weight.requires_grad_(False)


class LoraXs(Lora):
    """LoRA-XS (arXiv 2405.17604): W + alpha/R · B·(M·A), with B·A the nearest matrix of rank R to W; M (R, R) trains.

    The file has M·A and B, which is LoRA to whoever loads it.
    """

    def after_placing(self, model: Any) -> None:
        for name, weight in model.named_parameters():
            if self.marker in name:
                weight.requires_grad_(False)
        for module in list(model.modules()):
            if hasattr(module, "lora_A") and hasattr(module, "base_layer"):
                (name,) = module.active_adapters
                a, b = module.lora_A[name], module.lora_B[name]
                with torch.no_grad():
                    left, values, right = torch.linalg.svd(module.base_layer.weight.float(), full_matrices=False)
                    a.weight.copy_(right[: len(a.weight)])
                    b.weight.copy_(left[:, : len(a.weight)] * values[: len(a.weight)])
                parametrize.register_parametrization(a, "weight", _Mixed(a.weight))

    def saved_name(self, name: str) -> str:
        return super().saved_name(name.replace(MIXED, ".weight"))

    def as_loaded(self, model: Any, name: str, weight: Tensor) -> tuple[str, Tensor]:
        path = name.removesuffix(MIXED)
        return (f"{path}.weight", model.get_submodule(path).weight) if path != name else (name, weight)

    def saved_parameters(self, plan: Plan) -> int:
        more = sum(rank * (site.d_in - rank) for site in plan.sites for rank in [plan.ranks[site.name]])
        return super().saved_parameters(plan) + more

    def state_to_save(self, model: Any) -> Mapping[str, Tensor]:
        mixing = ((name, module) for name, module in model.named_modules() if parametrize.is_parametrized(module))
        mixed = {f"{name}.weight": module.weight.detach() for name, module in mixing}
        return {name: tensor for name, tensor in model.state_dict().items() if ".parametrizations." not in name} | mixed


class _Mixed(nn.Module):
    """A matrix A (R, d_in), multiplied by one (R, R) that trains and starts at 0."""

    def __init__(self, a: Tensor) -> None:
        super().__init__()
        self.mix = nn.Parameter(a.new_zeros(len(a), len(a)))

    def forward(self, a: Tensor) -> Tensor:
        return self.mix @ a


class AdaLora(SavedLowRank):
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


class Vera(SavedLowRank):
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


class UniLora(LowRank):
    """Uni-LoRA (arXiv 2506.00799): A and B are made of one vector's numbers, each scaled by how often it is used.

    Which number stands where peft draws from the seed, and draws again when it loads the file, which has the vector alone.
    """

    marker = "unilora_"

    def config(self, plan: Plan, *, seed: int) -> dict[str, Any]:
        (vector,) = (entry for entry in plan.ledger.entries if entry.section == "vector")
        return {
            "peft_type": "UNILORA",
            "r": max(plan.ranks.values()),
            "theta_d_length": vector.parameters,
            "target_modules": targets(plan),
            "proj_seed": seed,
        }

    def saved_name(self, name: str) -> str:
        return "base_model.unilora_theta_d" if ".unilora_theta_d." in name else super().saved_name(name)

    def live(self, module: Any) -> LowRankUpdate:
        (name,) = module.active_adapters
        vector = module.unilora_theta_d[name]
        a, b = module.unilora_indices_A[name], module.unilora_indices_B[name]
        return LowRankUpdate(vector[a] * module.unilora_scales_A[name], vector[b] * module.unilora_scales_B[name], 1.0)


class Delora(SavedLowRank):
    """DeLoRA (arXiv 2503.18225): W + strength/R · Σ b·aᵀ/(‖a‖·‖b‖) · diag(norms of W's columns); the strength trains too."""

    marker = "delora_"
    parts = ("delora_A", "delora_B", "delora_lambda", "delora_w_norm")
    renamed = (".delora_w_norm.default", ".delora_w_norm")

    def config(self, plan: Plan, *, seed: int) -> dict[str, Any]:
        strength = 1  # where it starts; peft's 15 moves a small encoder's weights so far at once that it learns nothing
        return {"peft_type": "DELORA", "delora_lambda": strength, **ranks_config(plan)}

    def live(self, module: Any) -> LowRankUpdate:
        (name,) = module.active_adapters
        return self._update(*(getattr(module, part)[name] for part in self.parts))

    def saved(self, tensors: Mapping[str, Tensor], plan: Plan, site: Site) -> LowRankUpdate:
        return self._update(*(tensors[saved_path(site, part)] for part in self.parts))

    def _update(self, a: Tensor, b: Tensor, strength: Tensor, norms: Tensor) -> LowRankUpdate:
        lengths = torch.clamp(a.norm(dim=1), min=1e-4) * torch.clamp(b.norm(dim=0), min=1e-4)  # (R,)
        return LowRankUpdate(a * norms, b * (strength / len(a) / lengths), 1.0)


class Miss(SavedLowRank):
    """MiSS (arXiv 2409.15371): W + B·A where A adds up every R-th input, and B (d_out, R) trains."""

    marker = "miss_"
    ranks = "miss_r"
    parts = ("miss_block",)

    def config(self, plan: Plan, *, seed: int) -> dict[str, Any]:
        return {"peft_type": "MISS", "r": max(plan.ranks.values()), "target_modules": targets(plan)}

    def live(self, module: Any) -> LowRankUpdate:
        (name,) = module.active_adapters
        return self._update(module.miss_block[name], module.in_features)

    def saved(self, tensors: Mapping[str, Tensor], plan: Plan, site: Site) -> LowRankUpdate:
        return self._update(tensors[saved_path(site, self.parts[0])], site.d_in)

    def _update(self, block: Tensor, d_in: int) -> LowRankUpdate:
        """`block` is Bᵀ (R, d_out)."""
        rank = len(block)
        sums = torch.eye(rank, dtype=block.dtype, device=block.device).repeat(1, -(-d_in // rank))[:, :d_in]
        return LowRankUpdate(sums, block.T, 1.0)


class Loha(SavedLowRank):
    """LoHa (arXiv 2108.06098): W + alpha/R · (B₁·A₁) ∘ (B₂·A₂), entry by entry, which has a rank of R² at most."""

    marker = "hada_"
    parts = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")

    def config(self, plan: Plan, *, seed: int) -> dict[str, Any]:
        return {"peft_type": "LOHA", **ranks_config(plan, alpha="alpha")}

    def dropout(self, module: Any) -> Any:
        return NO_DROPOUT

    def live(self, module: Any) -> LowRankUpdate:
        (name,) = module.active_adapters
        return self._update(*(getattr(module, part)[name] for part in self.parts), scale=float(module.scaling[name]))

    def saved(self, tensors: Mapping[str, Tensor], plan: Plan, site: Site) -> LowRankUpdate:
        own = (tensors[saved_path(site, part)] for part in self.parts)
        return self._update(*own, scale=float(plan.alphas[site.name] / plan.ranks[site.name]))

    def _update(self, b1: Tensor, a1: Tensor, b2: Tensor, a2: Tensor, *, scale: float) -> LowRankUpdate:
        """What peft calls a are the factors B (d_out, R), what it calls b the factors A (R, d_in)."""
        a = (a1[:, None] * a2).flatten(0, 1)  # (R², d_in)
        return LowRankUpdate(a, (b1[:, :, None] * b2[:, None]).flatten(1), scale)


class Lokr(LowRank):
    """LoKr (arXiv 2309.14859): W + alpha/R · C⊗(B·A), or C⊗D where R is so large that B and A are no smaller than D."""

    marker = "lokr_"

    def config(self, plan: Plan, *, seed: int) -> dict[str, Any]:
        return {"peft_type": "LOKR", **ranks_config(plan, alpha="alpha")}

    def dropout(self, module: Any) -> Any:
        return NO_DROPOUT

    def live(self, module: Any) -> LowRankUpdate:
        (name,) = module.active_adapters
        factor, scale = module.lokr_w1[name], float(module.scaling[name])
        if name in module.lokr_w2:
            b, a = module.lokr_w2[name], torch.eye(module.lokr_w2[name].shape[1], device=factor.device)
        else:
            b, a = module.lokr_w2_a[name], module.lokr_w2_b[name]
        each = torch.eye(factor.shape[1], device=factor.device)  # C⊗(B·A) = (C⊗B)·(I⊗A)
        return LowRankUpdate(torch.kron(each, a), torch.kron(factor, b), scale)


def ranks_config(plan: Plan, *, alpha: str = "") -> dict[str, Any]:
    """Targets, ranks and, where peft calls them `alpha`, alphas as values of peft's configuration: one, and what differs."""
    rank = _usual(plan.ranks)
    values: dict[str, Any] = {"r": rank, "rank_pattern": _others(plan.ranks, rank), "target_modules": list(plan.ranks)}
    if alpha:
        usual = _usual(plan.alphas)
        values |= {alpha: _whole(usual), "alpha_pattern": _others(plan.alphas, usual)}
    return values


def lora_config(plan: Plan) -> dict[str, Any]:
    """The plan as values of peft's configuration of LoRA, with `lora_A` and `lora_B` at each linear layer."""
    own = {"peft_type": "LORA", "lora_dropout": plan.adapter.dropout, "bias": plan.adapter.bias}
    return {**own, **ranks_config(plan, alpha="lora_alpha")}


def _usual(numbers: Mapping[str, float]) -> float:
    return Counter(numbers.values()).most_common(1)[0][0]


def _others(numbers: Mapping[str, float], usual: float) -> dict[str, float]:
    """Those that are not the usual one, by a pattern of their linear layer's path."""
    return {re.escape(name): _whole(other) for name, other in numbers.items() if other != usual}


def _whole(number: float) -> float:
    """Alphas may be fractions, which peft takes though its types don't say so; whole ones are written as such."""
    return int(number) if number == int(number) else number
