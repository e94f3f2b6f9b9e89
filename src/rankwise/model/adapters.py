"""Plan → a live classifier → files that the rest of the ecosystem loads → the classifier: peft places what the plan counts.

One configuration carries every rank and alpha (patterns over full module paths, never nested wrappings), so what is saved
loads with plain `PeftModel.from_pretrained`; where no adapter stands apart, it is a whole transformers model. Only this file
imports peft, and only where there is an adapter: it takes two seconds, as long as fitting a head.
"""

import copy
import json
import math
import re
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn

from rankwise.encoders.base import Base
from rankwise.encoders.encoder import Encoder
from rankwise.errors import BudgetMismatch, ModelError, PlanError
from rankwise.model.classifier import ADAPTER_FILE, MODEL_FILE, Classifier, base_name, check_finite, wrapper_of
from rankwise.model.load import ONE_LABEL, load_encoder, quiet
from rankwise.model.methods import LiveAdapter, live_method
from rankwise.model.pooled import PooledClassifier, load_head, read_head, save_head
from rankwise.planning.plan import Plan


def build(base: Base, plan: Plan, classes: Sequence[str], *, seed: int, problem_type: str = ONE_LABEL) -> Classifier:
    """Load `base` and adapt it as planned; `problem_type` is what transformers calls the task.

    Raises ModelError, PlanError, BudgetMismatch.
    """
    model, new = _under_its_head(base, plan, classes, seed=seed, problem_type=problem_type)
    return adapt(model, plan, classes, new=new, seed=seed)


def adapt(model: Any, plan: Plan, classes: Sequence[str], *, new: Sequence[str], seed: int) -> Classifier:
    """Inject the plan's adapters into `model`, freeze the rest, and hold the count against the plan.

    `new` names the tensors that the checkpoint did not have: each is part of the head, so that it is saved. Random starts are
    drawn from `seed`. Raises PlanError for a new tensor that the plan knows nothing of, BudgetMismatch when counts differ.
    """
    _check_planned(plan, new)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        if isinstance(model, PooledClassifier):
            model.start_head()
        _start_slim_head(model, plan, new)
        method = live_method(plan)
        if isinstance(method, LiveAdapter):
            model = _inject(model, plan, method, seed=seed)
        else:
            trained = tuple(f"{entry.item}." for entry in plan.ledger.entries)  # modules and tensors of the model's own
            for name, weight in model.named_parameters():
                weight.requires_grad_(f"{name}.".startswith(trained))
    classifier = Classifier(model, plan, tuple(classes))
    counted = sum(weight.numel() for weight in classifier.trainable().values())
    planned = plan.ledger.trainable_parameters
    if counted != planned:
        raise BudgetMismatch(f"planned {planned:,} trained parameters, the live model has {counted:,}")
    return classifier


def load(folder: Path, base: Base, plan: Plan, classes: Sequence[str], *, problem_type: str = ONE_LABEL) -> Classifier:
    """The classifier that `save` wrote, in eval mode: weights equal to the bit. Raises ModelError."""
    if not plan.adapter.is_apart:
        return Classifier(load_whole(folder, plan, classes, problem_type=problem_type), plan, tuple(classes))
    model, _ = _under_its_head(base, plan, classes, seed=0, problem_type=problem_type)
    if isinstance(model, PooledClassifier):
        _load_head(model, folder)
    with quiet():  # bitsandbytes reports its missing kernels when peft imports it
        from peft import PeftModel, get_peft_model_state_dict

        warnings.filterwarnings("ignore", message="Found missing adapter keys")  # which is refused below
        try:
            model = _in_wrapper(model, lambda part: PeftModel.from_pretrained(part, str(folder)))
        except KeyError as error:
            raise ModelError(
                f"{folder.name}: {ADAPTER_FILE} lacks {error.args[0]}; copy the folder again, or train again"
            ) from error
        except (RuntimeError, ValueError) as error:
            reason = str(error).strip().splitlines()[-1].strip()
            raise ModelError(f"{folder.name}: {ADAPTER_FILE} does not fit adapter_config.json: {reason}") from error
        _check_adapter(folder, get_peft_model_state_dict(wrapper_of(model), save_embedding_layers=False))
    return Classifier(model.requires_grad_(False).eval(), plan, tuple(classes))


def load_whole(folder: Path, plan: Plan, classes: Sequence[str], *, problem_type: str = ONE_LABEL) -> Any:
    """The model that `save_whole` wrote, in eval mode, under the plan's kind of head. Raises ModelError."""
    base = Base(folder.name, None, str(folder), None, None)
    model, new = _under_its_head(base, plan, classes, seed=0, problem_type=problem_type)
    if isinstance(model, PooledClassifier):
        _load_head(model, folder)
    if new:
        raise ModelError(f"{folder.name}: {MODEL_FILE} lacks {', '.join(new[:3])}")
    return model.requires_grad_(False).eval()


def load_foreign(folder: Path, base: Base, encoder: Encoder, classes: Sequence[str]) -> Any:
    """What peft makes of an adapter of a stock class that was not planned here, in eval mode, no tensor of it random.

    Raises ModelError for an adapter that does not fit the base, or whose head neither of the two has.
    """
    model, new = load_encoder(base, classes, seed=0, config=encoder.config)
    with safe_open(folder / ADAPTER_FILE, framework="pt") as file:
        stored = {base_name(name) for name in file.keys()}  # noqa: SIM118
    if lacking := sorted(set(new) - stored):
        raise ModelError(
            f"{folder}: neither {ADAPTER_FILE} nor its base '{base.name}' has {', '.join(lacking[:3])}, so its answers would "
            f"be random; save it with its head (modules_to_save={list(encoder.head_modules)}), or give the base that it was "
            "trained on: --base FOLDER"
        )
    with quiet():
        from peft import PeftModel, get_peft_model_state_dict

        warnings.filterwarnings("ignore", message="Found missing adapter keys")  # which is refused below
        try:
            wrapped = PeftModel.from_pretrained(model, str(folder))
        except (KeyError, RuntimeError, ValueError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[-1].strip()
            raise ModelError(f"{folder}: {ADAPTER_FILE} does not fit the base '{base.name}': {reason}") from error
        _check_adapter(folder, get_peft_model_state_dict(wrapped, save_embedding_layers=False))
    return wrapped.requires_grad_(False).eval()


def low_rank_parts(wrapped: Any) -> dict[str, tuple[int, float]]:
    """The rank and alpha of each linear layer that a live adapter of `load_foreign` adapts, by its path in the model."""
    parts = [(base_name(name), module) for name, module in wrapped.named_modules() if hasattr(module, "lora_A")]
    return {name: (int(module.r["default"]), float(module.lora_alpha["default"])) for name, module in parts if module.lora_A}


def adopt(wrapped: Any, base: Base, plan: Plan, classes: Sequence[str]) -> Classifier:
    """The classifier that is planned with the tensors of a live adapter, as it answers: in eval mode.

    A layer whose alpha is not the plan's has its B scaled instead. Raises ModelError where the adapter has what a plan can't.
    """
    classifier = build(base, plan, classes, seed=0)
    theirs, scaled = dict(wrapped.named_parameters()), low_rank_parts(wrapped)
    ours = classifier.trainable()
    own = {name for name in theirs if "lora_" in name or "modules_to_save" in name}
    if unplanned := sorted(own - ours.keys()):
        raise ModelError(
            f"the adapter trains {base_name(unplanned[0])}, which no plan for {plan.encoder.name} has a place for"
        )
    with torch.no_grad():
        for name, weight in ours.items():
            given = theirs.get(name)
            given = theirs[name.replace(".modules_to_save.default", "")] if given is None else given  # the base's own head
            factor, site = 1.0, base_name(name).partition(".lora_B")[0]
            if ".lora_B." in name:
                factor = scaled[site][1] / plan.alphas[site]
            weight.copy_(given if factor == 1.0 else given * factor)
    classifier.model.eval()
    return classifier


def save(classifier: Classifier, folder: Path, *, base: Base) -> None:
    """Write the adapter, or the whole model where none stands apart, and hold the file against the plan.

    The adapter's config names the base by its hub id, or by its folder's name: never by a path of this machine. Ranks that
    were pruned stay in the file as zeros. Raises BudgetMismatch when the file does not hold what was planned.
    """
    model, weights = classifier.model, MODEL_FILE
    if classifier.plan.adapter.is_apart:
        weights = ADAPTER_FILE
        _save_adapter(classifier, folder, base)
    else:
        save_whole(model, folder)
    saved = _count_saved(folder / weights, {classifier.saved_name(name) for name in classifier.trainable()})
    saved += sum(weight.numel() for weight in read_head(folder).values()) if isinstance(model, PooledClassifier) else 0
    planned = classifier.method.saved_parameters(classifier.plan)
    if saved != planned:
        raise BudgetMismatch(f"planned {planned:,} trained parameters, the saved file has {saved:,}")


def save_whole(model: Any, folder: Path) -> None:
    """Write a model without adapters as transformers loads it; a pooled one as a sentence-transformers folder.

    A pooled one's encoder has no classes, so that a pipeline of transformers, which would put a random head on it, fails.
    """
    pooled = isinstance(model, PooledClassifier)
    with quiet():
        (model.encoder if pooled else model).save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config.pop("_name_or_path", None)
    if pooled:
        save_head(model, folder)
        config |= {"id2label": {}, "label2id": {}}
    _write_config(folder / "config.json", config, weights=MODEL_FILE)


def merged(classifier: Classifier) -> Any:
    """A transformers model with the adapters in its weights, on the CPU; `classifier` stays as it is.

    Raises ModelError for a method that changes more than weights.
    """
    if classifier.method.unmergeable:
        raise ModelError(classifier.method.unmergeable)
    model = copy.deepcopy(classifier.model).cpu()
    if not classifier.plan.adapter.is_apart:
        return model
    wrapper_of(model).base_model.merge_adapter()
    whole = model if isinstance(model, PooledClassifier) else model.get_base_model()
    for name, module in list(whole.named_modules()):  # not merge_and_unload, which fails on IA3 under heads of two layers
        heads = getattr(module, "modules_to_save", None)
        inner = heads["default"] if heads is not None else getattr(module, "base_layer", None)
        if inner is not None:
            parent, _, child = name.rpartition(".")
            setattr(whole.get_submodule(parent), child, inner)
    return whole


def _save_adapter(classifier: Classifier, folder: Path, base: Base) -> None:
    """Write the adapter as peft does, and a pooled head beside it."""
    encoder, model, method = classifier.plan.encoder, classifier.model, classifier.method
    assert isinstance(method, LiveAdapter), "what stands apart is an adapter"
    method.before_saving(classifier.wrapper)
    tensors = method.state_to_save(classifier.wrapper)
    classifier.wrapper.save_pretrained(folder, save_embedding_layers=False, state_dict=tensors)
    (folder / "README.md").unlink(missing_ok=True)  # peft's template card; the run writes its own
    if isinstance(model, PooledClassifier):
        save_head(model, folder)
    config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    if encoder.pools:  # whole paths, which a class with a head of its own, random, lacks
        whole = method.config(classifier.plan, seed=0)["target_modules"]
        config["target_modules"] = "|".join(map(re.escape, _below(f"{encoder.root}.", whole)))
    _write_config(folder / "adapter_config.json", _portable(config, base), weights=ADAPTER_FILE)


def _write_config(path: Path, config: dict[str, Any], *, weights: str) -> None:
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")
    shutil.copymode(path, path.parent / weights)  # safetensors ignores the umask: 0600


def _load_head(model: PooledClassifier, folder: Path) -> None:
    load_head(model, folder)
    check_finite(model.head.named_parameters(), folder.name)


def _check_adapter(folder: Path, loaded: Mapping[str, torch.Tensor]) -> None:
    """Raises ModelError where an adapter's file lacks a tensor, which peft would leave random, or has one without a place."""
    with safe_open(folder / ADAPTER_FILE, framework="pt") as file:
        stored = set(file.keys())
    if lacking := loaded.keys() - stored:
        raise ModelError(f"{folder.name}: {ADAPTER_FILE} lacks {min(lacking)}; copy the folder again, or train again")
    if idle := stored - loaded.keys():
        raise ModelError(
            f"{folder.name}: {ADAPTER_FILE} has {min(idle)}, for which adapter_config.json has no place; "
            "copy the folder again, or train again"
        )
    check_finite(loaded.items(), folder.name)


def _inject(model: Any, plan: Plan, method: LiveAdapter, *, seed: int) -> Any:
    """The model in peft's wrapper, each linear layer with the rank that was planned, and nothing else taking gradients."""
    values = {"task_type": "SEQ_CLS", "modules_to_save": list(plan.encoder.head_modules), **method.config(plan, seed=seed)}
    if plan.encoder.pools:
        values = _below(f"{plan.encoder.root}.", values | {"task_type": "FEATURE_EXTRACTION", "modules_to_save": None})
    with quiet():
        from peft import get_peft_config, get_peft_model

        warnings.filterwarnings("ignore", message="fan_in_fan_out is set to")  # and peft sets it as the layer has it
        peft_model = _in_wrapper(model, lambda part: get_peft_model(part, get_peft_config(values)))
    adapted = [(base_name(name), module) for name, module in peft_model.named_modules() if hasattr(module, "base_layer")]
    live = {name: getattr(module, method.ranks)["default"] for name, module in adapted} if plan.ranks else {}
    if live != dict(plan.ranks):
        odd = sorted(set(live.items()) ^ set(plan.ranks.items()))[:3]
        raise BudgetMismatch(f"peft placed adapters otherwise than planned; first differences: {odd}")
    method.after_placing(peft_model)
    trained_heads = tuple(f"{module}." for module in plan.encoder.head_modules)
    for name, weight in peft_model.named_parameters():
        path = base_name(name).replace(".modules_to_save.default", "")
        in_head = "modules_to_save" in name and path.startswith(
            trained_heads
        )  # peft takes deeper ones that are called so, too
        if ("modules_to_save" in name and not in_head) or any(f".{frozen}." in f".{path}." for frozen in plan.frozen_head):
            weight.requires_grad_(False)
    return peft_model


def _under_its_head(
    base: Base, plan: Plan, classes: Sequence[str], *, seed: int, problem_type: str
) -> tuple[Any, tuple[str, ...]]:
    """The base in its stock class or under a pooled head, and the names of its tensors that are new."""
    encoder, skip = plan.encoder, plan.encoder.head_modules
    how: dict[str, Any] = {"quantize": plan.adapter.quantize, "skip_modules": skip, "problem_type": problem_type}
    model, new = load_encoder(base, classes, seed=seed, config=encoder.config, **how)
    if not encoder.pools:
        return model, new
    body = {name for part in encoder.body for name, _ in part.tensors}
    return PooledClassifier(model.get_submodule(encoder.root), encoder, classes), tuple(name for name in new if name in body)


def _in_wrapper(model: Any, wrap: Callable[[Any], Any]) -> Any:
    """The model in peft's wrapper; a pooled one itself, its encoder wrapped, which is where peft puts modules."""
    if not isinstance(model, PooledClassifier):
        return wrap(model)
    model.adapter = [wrap(model.encoder)]
    return model


def _below(prefix: str, value: Any) -> Any:
    """A configuration's values with module paths as they are below a module."""
    if isinstance(value, dict):
        return {_below(prefix, key): _below(prefix, entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_below(prefix, entry) for entry in value]
    return value.removeprefix(prefix).removeprefix(re.escape(prefix)) if isinstance(value, str) else value


def _count_saved(path: Path, names: set[str]) -> int:
    """Parameters of those tensors of a safetensors file that are named."""
    with safe_open(path, framework="pt") as file:
        return sum(math.prod(file.get_slice(name).get_shape()) for name in names.intersection(file.keys()))


def _check_planned(plan: Plan, new: Sequence[str]) -> None:
    """Raises PlanError where a tensor of the encoder starts anew that the plan took for the checkpoint's: a pooler."""
    if plan.method.trains_weights:
        return
    heads = tuple(f"{module}." for module in plan.encoder.head_modules)
    if unplanned := [name for name in new if not name.startswith(heads)]:
        raise PlanError(
            f"{plan.encoder.name}: its checkpoint lacks {', '.join(unplanned)}, which could not be known before it was here; "
            "type the same command again, and they are planned as a part of the head"
        )


def _start_slim_head(model: Any, plan: Plan, new: Sequence[str]) -> None:
    """Put the frozen head layers at the chosen start; layers that came with the checkpoint stay as they are."""
    for path in plan.frozen_head:
        module = model.get_submodule(path)
        if not isinstance(module, nn.Linear) or f"{path}.weight" not in new:
            continue
        if plan.head.start in ("identity", "fitted"):
            nn.init.eye_(module.weight)
        elif plan.head.start == "orthogonal":
            nn.init.orthogonal_(module.weight)
        else:
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _portable(config: dict[str, Any], base: Base) -> dict[str, Any]:
    """peft's configuration without a path; names that it keeps in sets are sorted, so that a run writes the same bytes."""
    config |= {"base_model_name_or_path": base.hub or Path(base.location).resolve().name, "revision": base.revision}
    for key, value in config.items():
        if isinstance(value, list) and all(isinstance(name, str) for name in value):
            config[key] = sorted(set(value))
    return config
