"""Plan → a live classifier: peft injects the adapters from one configuration, and the count must come out as planned.

The only file that imports peft. One configuration carries every rank and alpha (patterns over full module paths, never nested
wrappings), so what is saved loads with plain `PeftModel.from_pretrained`. Shapes: A (R, d_in), B (d_out, R).
"""

from __future__ import annotations

import copy
import json
import re
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn

from rankwise.encoders.base import Base
from rankwise.errors import BudgetMismatch, ModelError, PlanError
from rankwise.model.forward import ALL_ON, Entering, Forward
from rankwise.model.load import load_encoder, quiet
from rankwise.planning.operations import has_fast_path
from rankwise.planning.plan import Plan
from rankwise.recipe import SpeedSpec

ADAPTER_FILE = "adapter_model.safetensors"
MODEL_FILE = "model.safetensors"
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Classifier:
    """A live model that gives logits (B, C), and the plan it was made from."""

    model: Any
    """A PeftModel, or the plain transformers model for full, head and bias."""
    plan: Plan
    classes: tuple[str, ...]

    def to(self, device: torch.device) -> Classifier:
        """Itself, moved there."""
        self.model.to(device)
        return self

    def trainable(self) -> dict[str, nn.Parameter]:
        """Trained parameters by name, in the model's order."""
        return {name: weight for name, weight in self.model.named_parameters() if weight.requires_grad}

    def logits(
        self,
        inputs: Mapping[str, torch.Tensor],
        *,
        precision: str = "fp32",
        speed: SpeedSpec = ALL_ON,
        entering: Entering | None = None,
    ) -> torch.Tensor:
        """Logits (B, C) in fp32 of padded inputs (B, T), on the fast path where the family has one.

        `entering` are hidden states of layers that have run before. Products are made in `precision`: fp32, bf16 or fp16.
        """
        dtype = PRECISIONS[precision]
        if self.forward is not None:
            return self.forward.logits(inputs, dtype=dtype, speed=speed, entering=entering)
        if entering is not None:
            raise ValueError(f"{self.plan.encoder.family} has no forward pass in parts")
        with torch.autocast(self.device.type, dtype=dtype, enabled=dtype != torch.float32):
            found: torch.Tensor = self.model(**inputs).logits.float()
        return found

    def below(self, inputs: Mapping[str, torch.Tensor], layer: int, *, precision: str) -> torch.Tensor:
        """What enters `layer` (B, T, H); past the last layer (B, 1, H). Only where `forward` is not None."""
        assert self.forward is not None, "this family has no forward pass in parts"
        dtype = PRECISIONS[precision]
        return self.forward.run(self.forward.embed(inputs), inputs, dtype=dtype, stop=layer)

    @property
    def has_encoder_dropout(self) -> bool:
        """Whether the encoder drops anything while it trains."""
        root = f"{self.plan.encoder.root}."
        return any(
            isinstance(module, nn.Dropout) and module.p > 0
            for name, module in self.model.named_modules()
            if f"{_base_name(name)}.".startswith(root) and "lora_" not in name
        )

    @property
    def last_projection(self) -> Any:
        """The head's live projection to classes, an nn.Linear."""
        path = self.plan.encoder.head[-1].path
        if not self.plan.adapter.is_apart:
            return self.model.get_submodule(path)
        top, _, rest = path.partition(".")
        saved = self.model.get_base_model().get_submodule(top).modules_to_save["default"]
        return saved.get_submodule(rest) if rest else saved

    @cached_property
    def forward(self) -> Forward | None:
        """The forward pass in parts; None where the family's layers are built otherwise, or get keys from a prefix."""
        if not has_fast_path(self.plan):
            return None
        model = self.model.get_base_model() if self.plan.adapter.is_apart else self.model
        return Forward(model, self.plan.encoder)

    def live_ranks(self) -> dict[str, int]:
        """The rank of each low-rank adapter as it stands, by module path: as planned, less what adalora has pruned."""
        if self.plan.adapter.method != "adalora":
            return dict(self.plan.ranks)
        modules = {_base_name(name): module for name, module in self.model.named_modules()}
        return {name: int(modules[name].lora_E["default"].count_nonzero()) for name in self.plan.ranks}

    @property
    def device(self) -> torch.device:
        device: torch.device = next(iter(self.model.parameters())).device
        return device


def build(base: Base, plan: Plan, classes: Sequence[str], *, seed: int) -> Classifier:
    """Load `base` and adapt it as planned. Raises ModelError, PlanError, BudgetMismatch."""
    quantize = plan.adapter.quantize
    model, new = load_encoder(base, classes, seed=seed, quantize=quantize, skip_modules=plan.encoder.head_modules)
    return adapt(model, plan, classes, new=new, seed=seed)


def adapt(model: Any, plan: Plan, classes: Sequence[str], *, new: Sequence[str], seed: int) -> Classifier:
    """Inject the plan's adapters into `model`, freeze the rest, and hold the count against the plan.

    `new` names the tensors that the checkpoint did not have: each must be trained and saved, or training refuses. Random
    starts are drawn from `seed`. Raises PlanError for an uncovered new tensor, BudgetMismatch when counts differ.
    """
    _check_covered(plan, new)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        _start_slim_head(model, plan, new)
        model = _inject(model, plan) if plan.adapter.is_apart else _unfreeze(model, plan)
    _freeze_head_parts(model, plan)
    classifier = Classifier(model, plan, tuple(classes))
    _check_count(classifier)
    return classifier


def quiet_dropout(classifier: Classifier, *, below: int | None = None) -> int:
    """Turn the encoder's own dropout off (adapters and head keep theirs); returns how many modules changed.

    With `below`, only in the embeddings and in the layers below that one.
    """
    encoder = classifier.plan.encoder
    spared = () if below is None else tuple(f"{encoder.layer_path(layer)}." for layer in range(below, encoder.layers))
    changed = 0
    for name, module in classifier.model.named_modules():
        path = f"{_base_name(name)}."
        inside = path.startswith(f"{encoder.root}.") and "lora_" not in name and not path.startswith(spared)
        if inside and isinstance(module, nn.Dropout) and module.p > 0:
            module.p = 0.0
            changed += 1
        for attribute in ("attention_dropout", "dropout_prob"):
            if inside and isinstance(getattr(module, attribute, None), float):
                setattr(module, attribute, 0.0)
    return changed


def save(classifier: Classifier, folder: Path, *, base: Base) -> None:
    """Write the adapter (or, for full, head and bias, the whole model) and hold the file against the plan.

    The adapter's config names the base by its hub id, or by its folder's name: never by a path of this machine. What adalora
    has pruned stays in the file as zeros.
    """
    if classifier.plan.adapter.is_apart:
        if classifier.plan.adapter.method == "adalora":
            classifier.model.peft_config["default"].rank_pattern = None  # with one, peft would leave the pruned ranks out
        classifier.model.save_pretrained(folder, save_embedding_layers=False)
        _rewrite_config(folder / "adapter_config.json", base)
        shutil.copymode(folder / "adapter_config.json", folder / ADAPTER_FILE)  # safetensors ignores the umask: 0600
        (folder / "README.md").unlink(missing_ok=True)  # peft's template card; the run writes its own
    else:
        with quiet():
            classifier.model.save_pretrained(folder)
        _drop_path(folder / "config.json")
        shutil.copymode(folder / "config.json", folder / MODEL_FILE)
    saved = saved_parameters(folder, classifier)
    if saved != classifier.plan.ledger.trainable_parameters:
        raise BudgetMismatch(
            f"planned {classifier.plan.ledger.trainable_parameters:,} trained parameters, the saved file has {saved:,}"
        )


def load(folder: Path, base: Base, plan: Plan, classes: Sequence[str]) -> Classifier:
    """The classifier that `save` wrote, in eval mode: weights equal to the bit. Raises ModelError."""
    if not plan.adapter.is_apart:
        where = Base(base.name, None, str(folder), None, None)
        model, new = load_encoder(where, classes, seed=0)
        if new:
            raise ModelError(f"{folder.name}: {MODEL_FILE} lacks {', '.join(new[:3])}")
    else:
        skip = plan.encoder.head_modules
        model, _ = load_encoder(base, classes, seed=0, quantize=plan.adapter.quantize, skip_modules=skip)
        with quiet():
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, str(folder))
    for weight in model.parameters():
        weight.requires_grad_(False)
    return Classifier(model.eval(), plan, tuple(classes))


def merged(classifier: Classifier) -> Any:
    """A transformers model with the adapters in its weights, on the CPU; `classifier` stays as it is.

    Raises ModelError for a prefix, whose keys and values are no change of weights.
    """
    adapter = classifier.plan.adapter
    if adapter.method == "prefix":
        raise ModelError(
            "this run trained a prefix, whose keys and values can't be merged into weights, so it runs in torch only; "
            "type --engine torch (engine='torch')"
        )
    model = copy.deepcopy(classifier.model).cpu()
    if not adapter.is_apart:
        return model
    model.base_model.merge_adapter()
    whole = model.get_base_model()
    for name, module in list(whole.named_modules()):  # not merge_and_unload, which fails on IA3 under heads of two layers
        heads = getattr(module, "modules_to_save", None)
        inner = heads["default"] if heads is not None else getattr(module, "base_layer", None)
        if inner is not None:
            parent, _, child = name.rpartition(".")
            setattr(whole.get_submodule(parent), child, inner)
    return whole


def saved_parameters(folder: Path, classifier: Classifier) -> int:
    """Trained parameters in the saved file, counted from its header."""
    name = ADAPTER_FILE if classifier.plan.adapter.is_apart else MODEL_FILE
    trained = {_saved_name(parameter) for parameter in classifier.trainable()}
    counted = 0
    with safe_open(folder / name, framework="pt") as file:
        for key in file.keys():  # noqa: SIM118 - safe_open is no mapping
            if key in trained:
                counted += torch.Size(file.get_slice(key).get_shape()).numel()
    return counted


def count_live(plan: Plan, classes: int) -> tuple[int, int]:
    """(trained, total) of the plan on a live model without weights: what the planner's arithmetic is held against."""
    from rankwise.model.load import empty_encoder

    model = empty_encoder(plan.encoder, classes)
    if plan.adapter.is_apart:
        model = _inject(model, plan, empty=True)
    else:
        model = _unfreeze(model, plan)
    _freeze_head_parts(model, plan)
    apart = ("original_module", "ranknum")  # the head's first copy; adalora's notes of its starting rank
    counted = [weight for name, weight in model.named_parameters() if not any(part in name for part in apart)]
    return sum(weight.numel() for weight in counted if weight.requires_grad), sum(weight.numel() for weight in counted)


def _check_covered(plan: Plan, new: Sequence[str]) -> None:
    heads = tuple(f"{module}." for module in plan.encoder.head_modules)
    uncovered = [name for name in new if not name.startswith(heads)]
    if uncovered and plan.adapter.method != "full":
        raise PlanError(
            f"{plan.encoder.name}: its checkpoint lacks {', '.join(uncovered[:4])}, so these start random, and this plan "
            "neither trains nor saves them; take a checkpoint that has them, or --set adapter.method=full"
        )


def _start_slim_head(model: Any, plan: Plan, new: Sequence[str]) -> None:
    """Put the frozen head layers at the chosen start; layers that came with the checkpoint stay as they are."""
    for path in plan.frozen_head:
        module = model.get_submodule(path)
        if not isinstance(module, nn.Linear) or f"{path}.weight" not in new:
            continue
        with torch.no_grad():
            if plan.head.start in ("identity", "fitted"):
                nn.init.eye_(module.weight)
            elif plan.head.start == "orthogonal":
                nn.init.orthogonal_(module.weight)
            else:
                nn.init.normal_(module.weight, std=module.in_features**-0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _inject(model: Any, plan: Plan, *, empty: bool = False) -> Any:
    with quiet():
        from peft import get_peft_model

        peft_model = get_peft_model(model, _peft_config(plan, empty=empty), low_cpu_mem_usage=empty)
    modules = [(_base_name(name), module) for name, module in peft_model.named_modules()]
    live = {name: module.r["default"] for name, module in modules if hasattr(module, "lora_A")}
    if live != dict(plan.ranks):
        odd = sorted(set(live.items()) ^ set(plan.ranks.items()))[:3]
        raise BudgetMismatch(f"peft placed adapters otherwise than planned; first differences: {odd}")
    return peft_model


def _peft_config(plan: Plan, *, empty: bool) -> Any:
    """The plan in peft's words; alphas may be fractions, which peft takes though its types don't say so."""
    from peft import AdaLoraConfig, IA3Config, LoraConfig, PrefixTuningConfig, TaskType

    adapter = plan.adapter
    common: dict[str, Any] = {"task_type": TaskType.SEQ_CLS, "modules_to_save": list(plan.encoder.head_modules)}
    if adapter.method == "prefix":
        return PrefixTuningConfig(num_virtual_tokens=plan.prefix_length, **common)
    if adapter.method == "ia3":
        inner = [site.name for site in plan.sites if site.kind == "ffn_out"]
        return IA3Config(target_modules=[site.name for site in plan.sites], feedforward_modules=inner, **common)
    rank = Counter(plan.ranks.values()).most_common(1)[0][0]
    alpha = Counter(plan.alphas.values()).most_common(1)[0][0]
    common |= {"lora_alpha": _whole(alpha), "target_modules": list(plan.ranks)}
    common |= {"lora_dropout": adapter.dropout, "bias": adapter.bias}
    if adapter.method == "adalora":  # its schedule is set where the number of updates is known
        return AdaLoraConfig(init_r=rank, target_r=int(adapter.rank), total_step=1, **common)
    return LoraConfig(
        r=rank,
        rank_pattern={re.escape(name): r for name, r in plan.ranks.items() if r != rank},
        alpha_pattern={re.escape(name): _whole(a) for name, a in plan.alphas.items() if a != alpha},
        use_rslora=adapter.method == "rslora",
        use_dora=adapter.method == "dora",
        init_lora_weights="pissa" if adapter.method == "pissa" and not empty else True,
        **common,
    )


def _unfreeze(model: Any, plan: Plan) -> Any:
    """full: everything; bias: what has `bias` in its name; head: only the head."""
    heads = tuple(f"{module}." for module in plan.encoder.head_modules)
    method = plan.adapter.method
    for name, weight in model.named_parameters():
        trains = name.startswith(heads) or method == "full" or (method == "bias" and "bias" in name)
        weight.requires_grad_(trains)
    return model


def _freeze_head_parts(model: Any, plan: Plan) -> None:
    for name, weight in model.named_parameters():
        if any(f".{path}." in f".{_saved_name(name)}" for path in plan.frozen_head):
            weight.requires_grad_(False)


def _check_count(classifier: Classifier) -> None:
    counted = sum(weight.numel() for weight in classifier.trainable().values())
    planned = classifier.plan.ledger.trainable_parameters
    if counted != planned:
        raise BudgetMismatch(f"planned {planned:,} trained parameters, the live model has {counted:,}")


def _base_name(name: str) -> str:
    """A live module's or parameter's name → its name in the transformers model, which a prefix wraps once, others twice."""
    return name.removeprefix("base_model.model.").removeprefix("base_model.")


def _saved_name(name: str) -> str:
    """A live parameter's name → its name in the saved file."""
    name = name.replace("prompt_encoder.default.embedding.weight", "prompt_embeddings")
    name = name.replace(".lora_magnitude_vector.default.weight", ".lora_magnitude_vector")  # as peft writes DoRA's
    return name.replace(".modules_to_save.default", "").replace(".default", "")


def _whole(number: float) -> int | float:
    return int(number) if number == int(number) else number


def _rewrite_config(path: Path, base: Base) -> None:
    config = json.loads(path.read_text("utf-8"))
    config["base_model_name_or_path"] = base.hub or Path(base.location).name
    config["revision"] = base.revision
    path.write_text(json.dumps(_sorted_lists(config), indent=2, sort_keys=True) + "\n", "utf-8")


def _drop_path(path: Path) -> None:
    config = json.loads(path.read_text("utf-8"))
    config.pop("_name_or_path", None)
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")


def _sorted_lists(config: Mapping[str, Any]) -> dict[str, Any]:
    """peft keeps module names in sets; sorted, the same run writes the same bytes."""
    return {
        key: sorted(set(value)) if isinstance(value, (list, set)) and all(isinstance(v, str) for v in value) else value
        for key, value in config.items()
    }
