"""Methods that are no low-rank update of a weight: peft's own layers compute them, or a line here does."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from rankwise.model.methods.base import LiveAdapter, linear, targets
from rankwise.model.methods.low_rank import lora_config
from rankwise.planning.methods.vectors import road_group
from rankwise.planning.methods.virtual_tokens import embedding_width
from rankwise.planning.plan import Plan

Config = Callable[[Plan], dict[str, Any]]


class Placed(LiveAdapter):
    """A method whose layers peft computes, told by values of its configuration; `ranks` is where a layer has its rank."""

    def __init__(self, marker: str, values: Config, *, seed: str = "", ranks: str = "r") -> None:
        """`seed` is what peft calls the seed that it draws frozen numbers from."""
        self.marker, self.values, self.seed, self.ranks = marker, values, seed, ranks

    def config(self, plan: Plan, *, seed: int) -> dict[str, Any]:
        drawn = {self.seed: seed} if self.seed else {}
        return {"target_modules": targets(plan), **self.values(plan), **drawn}


class Dora(LiveAdapter):
    """DoRA (arXiv 2402.09353): m · (W + scale·B·A) / ‖W + scale·B·A‖, a norm for each output.

    The norm depends on A and B, so its gradients need peft's own forward, and nothing is folded.
    """

    marker = "lora_"
    renamed = (".lora_magnitude_vector.default.weight", ".lora_magnitude_vector")

    def config(self, plan: Plan, *, seed: int) -> dict[str, Any]:
        return {**lora_config(plan), "use_dora": True}


class Ia3(LiveAdapter):
    """IA3 (arXiv 2205.05638): keys and values scaled after their linear layer, inner activations before theirs."""

    marker = "ia3_"
    column_vectors = True

    def config(self, plan: Plan, *, seed: int) -> dict[str, Any]:
        inner = [site.name for site in plan.sites if site.kind == "ffn_out"]
        return {"peft_type": "IA3", "target_modules": targets(plan), "feedforward_modules": inner}

    def apply(self, module: Any, x: Tensor) -> Tensor:
        (name,) = module.active_adapters
        scale = module.ia3_l[name].flatten()  # in fp32, for bf16 has no number between 1 and 1.008
        base = module.base_layer
        return linear(base, (x * scale).to(x.dtype)) if module.is_feedforward else (linear(base, x) * scale).to(x.dtype)


class Beft(LiveAdapter):
    """BEFT (arXiv 2509.15974): what is added to the bias of each value."""

    marker = "beft_"
    column_vectors = True

    def config(self, plan: Plan, *, seed: int) -> dict[str, Any]:
        return {"peft_type": "BEFT", "target_modules": targets(plan)}

    def apply(self, module: Any, x: Tensor) -> Tensor:
        (name,) = module.active_adapters
        return torch.as_tensor((linear(module.base_layer, x) + module.beft_bias[name].flatten()).to(x.dtype))


class Road(LiveAdapter):
    """RoAd (arXiv 2409.00119): in groups of a linear layer's outputs, one of the first half and one of the second are a pair.

    A pair is rotated by an angle and scaled, both of which train.
    """

    marker = "road_"

    def config(self, plan: Plan, *, seed: int) -> dict[str, Any]:
        group = road_group(plan.sites)
        return {"peft_type": "ROAD", "variant": "road_1", "group_size": group, "target_modules": targets(plan)}

    def apply(self, module: Any, x: Tensor) -> Tensor:
        (name,) = module.active_adapters
        group = module.group_size[name]
        angle, scale = (part[name].view(-1, group // 2) for part in (module.road_theta, module.road_alpha))
        y = linear(module.base_layer, x)
        first, second = y.float().view(*y.shape[:-1], -1, 2, group // 2).unbind(-2)  # (B, T, groups, group / 2)
        cosine, sine = scale * angle.cos(), scale * angle.sin()
        turned = torch.stack((first * cosine - second * sine, second * cosine + first * sine), dim=-2)
        return turned.flatten(-3).to(x.dtype)


class LnTuning(LiveAdapter):
    """LN tuning (arXiv 2312.11420): copies of the layers' norms in their place, whose scales and shifts train."""

    marker = "ln_tuning_"

    def config(self, plan: Plan, *, seed: int) -> dict[str, Any]:
        norms = [entry.item for entry in plan.ledger.entries if entry.section == "norm"]
        return {"peft_type": "LN_TUNING", "target_modules": norms}


class VirtualTokens(LiveAdapter):
    """Trained tokens before each text, in transformers' own forward."""

    marker = "prompt_encoder"
    renamed = ("prompt_encoder.default.embedding.weight", "prompt_embeddings")

    def __init__(self, peft_type: str, what: str) -> None:
        self.peft_type, self.unmergeable = peft_type, f"this run trained {what} can't be merged into weights"

    def config(self, plan: Plan, *, seed: int) -> dict[str, Any]:
        return {"peft_type": self.peft_type, "num_virtual_tokens": plan.prefix_length}


class Prompt(VirtualTokens):
    """Prompt tuning (arXiv 2104.08691): embeddings, of which peft has to be told how wide they are."""

    def config(self, plan: Plan, *, seed: int) -> dict[str, Any]:
        encoder = plan.encoder
        shape = {"num_layers": encoder.layers, "num_attention_heads": encoder.heads, "num_transformer_submodules": 1}
        return {**super().config(plan, seed=seed), **shape, "token_dim": embedding_width(encoder)}


def norm_of(module: Any) -> Any:
    """The norm that computes: a copy that trains, where one stands in the place of the model's own."""
    if isinstance(module, nn.LayerNorm):
        return module
    if module.disable_adapters or module.merged:
        return module.base_layer
    (name,) = module.active_adapters
    return module.ln_tuning_layers[name]
