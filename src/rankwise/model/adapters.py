"""Plan → a live classifier, freshly adapted or from a saved folder: peft places what the plan counts.

One configuration carries every rank and alpha (patterns over full module paths, never nested wrappings), so what is saved
loads with plain `PeftModel.from_pretrained`. Only this file imports peft. Shapes: A (R, d_in), B (d_out, R).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rankwise.encoders.base import Base
from rankwise.errors import BudgetMismatch, ModelError, PlanError
from rankwise.model.classifier import MODEL_FILE, Classifier, base_name
from rankwise.model.load import load_encoder, quiet
from rankwise.model.methods import LiveAdapter, live_method
from rankwise.planning.plan import Plan

with quiet():  # bitsandbytes reports its missing kernels when peft imports it
    from peft import PeftModel, get_peft_config, get_peft_model


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
        method = live_method(plan)
        model = _inject(model, plan, method, seed=seed) if isinstance(method, LiveAdapter) else _unfreeze(model, plan)
    classifier = Classifier(model, plan, tuple(classes))
    _check_count(classifier)
    return classifier


def load(folder: Path, base: Base, plan: Plan, classes: Sequence[str]) -> Classifier:
    """The classifier that `save` wrote, in eval mode: weights equal to the bit. Raises ModelError."""
    if not plan.adapter.is_apart:
        model, new = load_encoder(Base(base.name, None, str(folder), None, None), classes, seed=0)
        if new:
            raise ModelError(f"{folder.name}: {MODEL_FILE} lacks {', '.join(new[:3])}")
    else:
        skip = plan.encoder.head_modules
        model, _ = load_encoder(base, classes, seed=0, quantize=plan.adapter.quantize, skip_modules=skip)
        with quiet():
            model = PeftModel.from_pretrained(model, str(folder))
    for weight in model.parameters():
        weight.requires_grad_(False)
    return Classifier(model.eval(), plan, tuple(classes))


def _inject(model: Any, plan: Plan, method: LiveAdapter, *, seed: int) -> Any:
    """The model in peft's wrapper, each linear layer with the rank that was planned, and nothing else taking gradients."""
    heads = list(plan.encoder.head_modules)
    values = {"task_type": "SEQ_CLS", "modules_to_save": heads, **method.config(plan, seed=seed)}
    with quiet():
        peft_model = get_peft_model(model, get_peft_config(values))
    adapted = [(base_name(name), module) for name, module in peft_model.named_modules() if hasattr(module, "base_layer")]
    live = {name: module.r["default"] for name, module in adapted if hasattr(module, "r")}
    if live != dict(plan.ranks):
        odd = sorted(set(live.items()) ^ set(plan.ranks.items()))[:3]
        raise BudgetMismatch(f"peft placed adapters otherwise than planned; first differences: {odd}")
    for name, weight in peft_model.named_parameters():
        if any(f".{path}." in f".{name.replace('.modules_to_save.default', '')}." for path in plan.frozen_head):
            weight.requires_grad_(False)
    return peft_model


def _unfreeze(model: Any, plan: Plan) -> Any:
    """The model with gradients for what the ledger lists, which are modules and tensors of its own."""
    trained = tuple(f"{entry.item}." for entry in plan.ledger.entries)
    for name, weight in model.named_parameters():
        weight.requires_grad_(f"{name}.".startswith(trained))
    return model


def _check_covered(plan: Plan, new: Sequence[str]) -> None:
    heads = tuple(f"{module}." for module in plan.encoder.head_modules)
    uncovered = [name for name in new if not name.startswith(heads)]
    if uncovered and not plan.method.trains_weights:
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


def _check_count(classifier: Classifier) -> None:
    counted = sum(weight.numel() for weight in classifier.trainable().values())
    planned = classifier.plan.ledger.trainable_parameters
    if counted != planned:
        raise BudgetMismatch(f"planned {planned:,} trained parameters, the live model has {counted:,}")
