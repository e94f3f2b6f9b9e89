"""What is planned is what trains and what is saved; what is saved gives the same logits to the bit, with or without us."""

from __future__ import annotations

import inspect
import json
import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from live import count_live
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline
from weight_forms import without_pooler

from conftest import CLASSES, FAMILIES, save_tiny
from rankwise.errors import BudgetMismatch, ModelError, PlanError
from rankwise.model import adapters
from rankwise.model.adapters import load, merged, save
from rankwise.model.classifier import ADAPTER_FILE, MODEL_FILE, quiet_dropout
from rankwise.model.methods import METHODS
from rankwise.model.skeleton import read_folded
from rankwise.training.job import Job

TEXTS = ["apple pear and the plum", "iron", "danube near the rhine , very quite some long loire tagus ebro oder don"]
LOW_RANK = {
    "lora": [],
    "rslora": ["adapter.method=rslora"],
    "dora": ["adapter.method=dora"],
    "pissa": ["adapter.method=pissa"],
    "lora with dropout": ["adapter.dropout=0.2"],
    "lora and its maps' biases": ["adapter.bias=lora_only"],
    "lora and all biases": ["adapter.bias=all"],
    "ranks by depth": ["adapter.allocate=by-depth", "adapter.alpha_per_rank=1.5"],
    "one alpha for all ranks": ["adapter.allocate=by-depth", "adapter.alpha=3"],
    "slim head": ["head.kind=slim"],
}
BESIDE_LORA = {
    "adalora": ["adapter.method=adalora"],
    "adalora with biases": ["adapter.method=adalora", "adapter.bias=lora_only", "adapter.init_rank=5", "adapter.dropout=0.1"],
    "vera": ["adapter.method=vera"],
    "vera with biases": ["adapter.method=vera", "adapter.bias=lora_only", "adapter.dropout=0.1"],
    "vera above, slim head": ["adapter.method=vera", "adapter.allocate={policy: last-k, k: 1}", "head.kind=slim"],
    "adalora above": ["adapter.method=adalora", "adapter.allocate={policy: last-k, k: 1}"],
    "ia3": ["adapter.method=ia3"],
    "ia3 above, slim head": ["adapter.method=ia3", "adapter.allocate={policy: last-k, k: 1}", "head.kind=slim"],
    "prefix": ["adapter.method=prefix", "adapter.virtual_tokens=3"],
    "prefix, slim head": ["adapter.method=prefix", "head.kind=slim"],
}
OTHERS = {
    "lora-fa, ranks by depth": ["adapter.method=lora-fa", "adapter.allocate=by-depth", "adapter.bias=lora_only"],
    "lora-xs, ranks by depth": ["adapter.method=lora-xs", "adapter.allocate=by-depth", "adapter.dropout=0.1"],
    "unilora": ["adapter.method=unilora", "adapter.vector_length=300"],
    "delora, ranks by depth": ["adapter.method=delora", "adapter.allocate=by-depth"],
    "miss, a rank that leaves a rest": ["adapter.method=miss", "adapter.rank=5"],
    "loha, ranks by depth": ["adapter.method=loha", "adapter.allocate=by-depth", "adapter.alpha=3"],
    "lokr, higher ends": ["adapter.method=lokr", "adapter.rank=1", "adapter.allocate=first-and-last"],
    "hra": ["adapter.method=hra"],
    "fourierft": ["adapter.method=fourierft", "adapter.vector_length=40"],
    "road": ["adapter.method=road"],
    "beft": ["adapter.method=beft"],
    "ln-tuning above": ["adapter.method=ln-tuning", "adapter.allocate={policy: last-k, k: 1}"],
    "prompt": ["adapter.method=prompt", "adapter.virtual_tokens=3"],
}
NAMES = ["bert", "roberta", "distilbert", "electra"]
PLACES = [(name, variant) for name in NAMES for variant in BESIDE_LORA if name != "distilbert" or "prefix" not in variant]
PLACES += [(name, "vera") for name in FAMILIES if name not in NAMES]
WITHOUT = {"beft": ("xlnet", "modernbert", "eurobert", "qwen3")}
EVERYWHERE = [(name, variant) for variant in OTHERS for name in FAMILIES if name not in WITHOUT.get(variant, ())]
QUICK = [*(("bert", variant) for variant in OTHERS), *zip([*FAMILIES][3:] * 2, OTHERS, strict=False)]
"""Every method on BERT, and each on one more family; on the others when there is time."""
PLACES += [
    pytest.param(*place, marks=[] if place in QUICK else pytest.mark.slow)
    for place in EVERYWHERE  # type: ignore[misc]
]
WHOLE_MODEL = {"full": [], "head": [], "bias": [], "head with a slim head": ["head.kind=slim"]}


def batch(folder: Path | str) -> dict[str, torch.Tensor]:
    """TEXTS as a padded batch: (3, T) tensors."""
    return dict(AutoTokenizer.from_pretrained(folder)(TEXTS, padding=True, return_tensors="pt"))


def logits(model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    with torch.inference_mode():
        return model.eval()(**inputs).logits  # (3, C)


def take_step(built: Job) -> None:
    """One real update, so that no trained tensor is at its start (LoRA's B starts at 0)."""
    model = built.classifier.model.train()
    optimizer = torch.optim.AdamW(built.classifier.trainable().values(), lr=1e-2)
    for _ in range(2):  # A gets a gradient only once B has left 0
        loss = nn.functional.cross_entropy(model(**batch(built.base.location)).logits, torch.tensor([0, 1, 2]))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()


def saved_tensors(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / ADAPTER_FILE)


def plain_name(name: str) -> str:
    """A live parameter's name as transformers alone has it."""
    return name.removeprefix("base_model.model.").removeprefix("base_model.").replace(".modules_to_save.default", "")


def plain_model(built: Job, folder: Path) -> Any:
    """What somebody without rankwise loads."""
    base = AutoModelForSequenceClassification.from_pretrained(
        built.base.location, num_labels=len(CLASSES), dtype=torch.float32
    )
    with warnings.catch_warnings():  # peft still asks transformers for an attribute by its old name
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        warnings.filterwarnings("ignore", "Unsupported layer type", UserWarning)  # of norms under LN tuning
        return PeftModel.from_pretrained(base, str(folder))


# ------------------------------------------------------------------------------------------------------------ counting


def test_planned_counted_and_saved_parameters_agree(family, built_for, tmp_path):
    built = built_for(family)
    save(built.classifier, tmp_path, base=built.base)
    planned = built.plan.ledger.trainable_parameters
    assert sum(weight.numel() for weight in built.classifier.trainable().values()) == planned
    assert sum(tensor.numel() for tensor in saved_tensors(tmp_path).values()) == planned, "the file holds nothing else"


@pytest.mark.parametrize("method", ["lora", "dora", "full", "head", "bias"])
def test_the_ledger_counts_what_a_live_model_without_weights_has(family, built_for, recipe_for, method):
    built = built_for(family, f"adapter.method={method}")
    ledger = built.plan.ledger
    assert count_live(built.plan, len(CLASSES)) == (ledger.trainable_parameters, ledger.total_parameters)


def test_a_plan_that_promises_another_count_is_a_defect(built_for):
    built = built_for("bert")
    ledger = replace(built.plan.ledger, entries=built.plan.ledger.entries[1:])
    with pytest.raises(BudgetMismatch, match="the live model has"):
        adapters.build(built.base, replace(built.plan, ledger=ledger), CLASSES, seed=0)


def test_a_saved_file_that_lacks_a_trained_tensor_is_a_defect(built_for, tmp_path):
    built = built_for("bert")
    trained_by_mistake = built.classifier.model.get_parameter("base_model.model.bert.embeddings.LayerNorm.weight")
    trained_by_mistake.requires_grad_(True)
    ledger = built.plan.ledger
    more = replace(ledger.entries[0], parameters=ledger.entries[0].parameters + trained_by_mistake.numel())
    plan = replace(built.plan, ledger=replace(ledger, entries=(more, *ledger.entries[1:])))
    with pytest.raises(BudgetMismatch, match="the saved file has"):
        save(replace(built.classifier, plan=plan), tmp_path, base=built.base)


# ----------------------------------------------------------------------------------------------------- save and reload


def test_a_reloaded_classifier_gives_the_same_logits_to_the_bit(family, built_for, tmp_path):
    built = built_for(family)
    take_step(built)
    save(built.classifier, tmp_path, base=built.base)
    inputs = batch(built.base.location)
    loaded = load(tmp_path, built.base, built.plan, CLASSES)
    assert torch.equal(logits(loaded.model, inputs), logits(built.classifier.model, inputs))


def test_plain_peft_gives_the_same_logits_to_the_bit(family, built_for, tmp_path):
    built = built_for(family)
    take_step(built)
    save(built.classifier, tmp_path, base=built.base)
    inputs = batch(built.base.location)
    assert torch.equal(logits(plain_model(built, tmp_path), inputs), logits(built.classifier.model, inputs))


@pytest.mark.parametrize("variant", LOW_RANK)
@pytest.mark.parametrize("name", ["bert", "deberta-v2"])
def test_each_low_rank_method_survives_a_reload_by_us_and_by_plain_peft(built_for, tmp_path, name, variant):
    built = built_for(name, *LOW_RANK[variant])
    take_step(built)
    save(built.classifier, tmp_path, base=built.base)
    inputs = batch(built.base.location)
    trained = logits(built.classifier.model, inputs)
    assert torch.equal(logits(load(tmp_path, built.base, built.plan, CLASSES).model, inputs), trained)
    assert torch.equal(logits(plain_model(built, tmp_path), inputs), trained)


@pytest.mark.parametrize("variant", WHOLE_MODEL)
def test_methods_without_ranks_load_by_transformers_alone(family, built_for, tmp_path, variant):
    built = built_for(family, f"adapter.method={variant.split()[0]}", *WHOLE_MODEL[variant])
    take_step(built)
    save(built.classifier, tmp_path, base=built.base)
    built.tokenizer.save_pretrained(tmp_path)  # as a run has it: a decoder's padding token is its tokenizer's
    inputs = batch(built.base.location)
    trained = logits(built.classifier.model, inputs)
    assert torch.equal(logits(load(tmp_path, built.base, built.plan, CLASSES).model, inputs), trained)
    assert torch.equal(logits(AutoModelForSequenceClassification.from_pretrained(tmp_path), inputs), trained)


def test_a_full_model_runs_in_transformers_pipeline_with_its_class_names(built_for, tmp_path):
    built = built_for("bert", "adapter.method=full")
    take_step(built)
    save(built.classifier, tmp_path, base=built.base)
    AutoTokenizer.from_pretrained(built.base.location).save_pretrained(tmp_path)
    found = pipeline("text-classification", str(tmp_path), top_k=None, device="cpu")([TEXTS[1]])[0]
    expected = logits(built.classifier.model, batch(built.base.location)).softmax(-1)[1]
    scores = {entry["label"]: entry["score"] for entry in found}
    assert set(scores) == set(CLASSES)
    assert [scores[name] for name in CLASSES] == pytest.approx(expected.tolist(), abs=1e-6)


def test_by_depth_ranks_and_alphas_reach_every_layer_after_a_reload(built_for, tmp_path):
    built = built_for("roberta", "adapter.allocate=by-depth", "adapter.alpha_per_rank=1.5", "adapter.targets=[query]")
    save(built.classifier, tmp_path, base=built.base)
    modules = dict(plain_model(built, tmp_path).named_modules())
    found = [modules[f"base_model.model.roberta.encoder.layer.{layer}.attention.self.query"] for layer in range(3)]
    assert [module.r["default"] for module in found] == [2, 4, 8]
    assert [module.scaling["default"] for module in found] == [1.5, 1.5, 1.5]


def test_rslora_scales_by_the_square_root_of_the_rank(built_for):
    built = built_for("bert", "adapter.method=rslora", "adapter.rank=4", "adapter.alpha=6")
    scalings = {module.scaling["default"] for module in built.classifier.model.modules() if hasattr(module, "lora_A")}
    assert scalings == {6 / 4**0.5}


def test_an_adapter_starts_as_the_base_itself(family, built_for):
    built = built_for(family)
    with built.classifier.model.disable_adapter():
        # disabling puts the untrained head back, so compare what comes before it
        bare = body_output(built)
    assert torch.equal(body_output(built), bare)


def test_a_pissa_start_moves_the_base_by_rounding_only(built_for):
    built, bare = built_for("bert", "adapter.method=pissa"), built_for("bert", "adapter.method=head")
    assert torch.allclose(body_output(built), body_output(bare), atol=1e-5)
    largest = max(weight.abs().max() for name, weight in built.classifier.trainable().items() if "lora_B" in name)
    assert largest > 0, "PiSSA starts B at the principal components, not at 0"


def body_output(built: Job) -> torch.Tensor:
    model = built.classifier.model
    body = getattr(model.get_base_model() if hasattr(model, "get_base_model") else model, built.plan.encoder.root)
    with torch.inference_mode():
        return body.eval()(**batch(built.base.location))[0]


def test_adapter_config_names_no_path_of_this_machine_and_wraps_nothing_twice(family, built_for, tmp_path):
    built = built_for(family)
    save(built.classifier, tmp_path, base=built.base)
    text = (tmp_path / "adapter_config.json").read_text("utf-8")
    assert json.loads(text)["base_model_name_or_path"] == f"tiny-{family}"
    assert str(Path(built.base.location).parent) not in text
    for name in saved_tensors(tmp_path):
        assert name.count("lora_") <= 1
        assert "base_layer" not in name
        assert not ("lora_" in name and any(f".{head}." in name for head in built.plan.encoder.head_modules))


def test_the_same_adapter_is_written_as_the_same_bytes(built_for, tmp_path):
    for name in ("one", "two"):
        built = built_for("bert", "adapter.allocate=by-depth")
        save(built.classifier, tmp_path / name, base=built.base)
    for file in ("adapter_config.json", ADAPTER_FILE):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


# ------------------------------------------------------------------------------------------------- methods beside LoRA


@pytest.mark.parametrize(("name", "variant"), PLACES)
def test_a_method_beside_lora_is_counted_saved_and_loaded_by_us_and_by_plain_peft(built_for, tmp_path, name, variant):
    built = built_for(name, *(BESIDE_LORA | OTHERS)[variant])
    ledger = built.plan.ledger
    assert count_live(built.plan, len(CLASSES)) == (ledger.trainable_parameters, ledger.total_parameters)
    take_step(built)
    save(built.classifier, tmp_path, base=built.base)
    held = sum(tensor.numel() for tensor in saved_tensors(tmp_path).values())
    frozen = sum(part.parameters for part in built.plan.encoder.head if part.path in built.plan.frozen_head)
    frozen += built.plan.method.frozen_parameters(built.plan.encoder, built.plan.ranks)
    multiplied_in = sum(rank**2 for rank in built.plan.ranks.values()) if "lora-xs" in variant else 0
    assert held == ledger.trainable_parameters + frozen - multiplied_in, "the file holds nothing else"
    inputs = batch(built.base.location)
    trained = logits(built.classifier.model, inputs)
    assert torch.equal(logits(load(tmp_path, built.base, built.plan, CLASSES).model, inputs), trained)
    assert torch.equal(logits(plain_model(built, tmp_path), inputs), trained)
    torch.testing.assert_close(built.classifier.logits(inputs), trained, rtol=1e-4, atol=1e-5)


STARTING_OTHERWISE = {"pissa", "unilora"}  # which take from the weights what they add; whose one vector can't be 0


@pytest.mark.parametrize(
    ("name", "method"),
    [
        *((name, method) for name in ("roberta", "distilbert") for method in ("adalora", "vera", "ia3")),
        *(
            ("bert", name)
            for name, half in METHODS.items()
            if half.marker and not half.unmergeable
            if name not in STARTING_OTHERWISE
        ),
    ],
)
def test_a_method_beside_lora_starts_as_the_base_itself(built_for, name, method):
    built, bare = built_for(name, f"adapter.method={method}"), built_for(name, "adapter.method=head")
    torch.testing.assert_close(body_output(built), body_output(bare), rtol=0, atol=1e-5)


def test_ia3_scales_keys_values_and_inner_activations(built_for):
    built = built_for("bert", "adapter.method=ia3")
    sizes = {plain_name(name): weight.numel() for name, weight in built.classifier.trainable().items() if "ia3_l" in name}
    layer = {"attention.self.key": 32, "attention.self.value": 32, "output.dense": 64}
    assert sizes == {f"bert.encoder.layer.{n}.{path}.ia3_l.default": size for n in range(3) for path, size in layer.items()}


def test_every_family_that_can_take_a_prefix_is_known(family, built_for):
    encoder = built_for(family, "adapter.method=head").plan.encoder
    body = built_for(family, "adapter.method=head").classifier.model.get_submodule(encoder.root)
    takes = "past_key_values" in inspect.signature(body.forward).parameters
    assert encoder.traits.takes_prefix == (takes and not encoder.traits.causal)  # a decoder keeps its own there


@pytest.mark.parametrize("name", ["bert", "roberta", "electra"])
def test_a_prefix_is_read_by_each_text_of_a_padded_batch(built_for, name):
    built = built_for(name, "adapter.method=prefix")
    take_step(built)
    assert built.classifier.forward is None
    together = logits(built.classifier.model, batch(built.base.location))
    tokenizer = AutoTokenizer.from_pretrained(built.base.location)
    alone = [logits(built.classifier.model, dict(tokenizer([text], return_tensors="pt"))) for text in TEXTS]
    torch.testing.assert_close(torch.cat(alone), together, rtol=1e-4, atol=1e-5)
    name = "prompt_encoder.default.embedding.weight"
    built.classifier.trainable()[name].data.zero_()
    assert not torch.allclose(logits(built.classifier.model, batch(built.base.location)), together, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "method"),
    [
        *(
            (name, method)
            for name in ("roberta", "distilbert")
            for method in ("lora", "dora", "adalora", "vera", "ia3", "head")
        ),
        *(("bert", name) for name, half in METHODS.items() if not half.unmergeable),
    ],
)
def test_a_merged_model_is_transformers_own_with_the_same_logits(built_for, name, method):
    built = built_for(name, f"adapter.method={method}")
    take_step(built)
    inputs = batch(built.base.location)
    expected = logits(built.classifier.model, inputs)
    whole = merged(built.classifier)
    plain = AutoModelForSequenceClassification.from_pretrained(built.base.location, num_labels=len(CLASSES))
    assert whole.state_dict().keys() == plain.state_dict().keys()
    torch.testing.assert_close(logits(whole, inputs), expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(logits(built.classifier.model, inputs), expected), "the classifier stays as it was"


@pytest.mark.parametrize("method", ["prefix", "prompt"])
def test_virtual_tokens_cannot_be_merged(built_for, method):
    with pytest.raises(ModelError, match=f"trained a {method}, whose .* can't be merged into weights"):
        merged(built_for("bert", f"adapter.method={method}").classifier)


# --------------------------------------------------------------------------------------------------------------- heads


def test_every_new_tensor_is_trained_and_saved(family, built_for, tmp_path):
    built = built_for(family)
    _, info = AutoModelForSequenceClassification.from_pretrained(
        built.base.location, num_labels=len(CLASSES), output_loading_info=True
    )
    save(built.classifier, tmp_path, base=built.base)
    saved = {name.removeprefix("base_model.model.") for name in saved_tensors(tmp_path)}
    trained = {plain_name(name) for name in built.classifier.trainable()}
    assert info["missing_keys"], "the tiny encoders have no head"
    assert set(info["missing_keys"]) <= saved
    assert set(info["missing_keys"]) <= trained


def test_debertas_pooler_is_trained_and_saved(built_for, tmp_path):
    built = built_for("deberta-v2")
    name = "base_model.model.pooler.modules_to_save.default.dense.weight"
    before = built.classifier.trainable()[name].detach().clone()
    take_step(built)
    save(built.classifier, tmp_path, base=built.base)
    after = saved_tensors(tmp_path)["base_model.model.pooler.dense.weight"]
    assert torch.equal(after, built.classifier.trainable()[name])
    assert not torch.equal(after, before)


def test_a_pooler_that_could_not_be_known_to_be_missing_is_refused_by_name(built_for, tmp_path):
    built = built_for("bert")
    base = replace(built.base, location=str(without_pooler(save_tiny("bert", tmp_path / "base"))))
    with pytest.raises(PlanError, match=r"lacks bert\.pooler\.dense\.bias, .* type the same command again"):
        adapters.build(base, built.plan, CLASSES, seed=0)


@pytest.mark.parametrize("family", ["bert", "albert"])
@pytest.mark.parametrize("method", ["lora", "dora", "vera", "adalora", "ia3", "prefix", "full", "head", "bias"])
@pytest.mark.parametrize("kind", ["stock", "slim"])
def test_a_pooler_that_the_checkpoint_lacks_trains_or_stays_and_is_saved(built_for, tmp_path, family, method, kind):
    if (family, method) == ("albert", "prefix"):
        pytest.skip("transformers takes no prefix there")
    folder = without_pooler(save_tiny(family, tmp_path / "base"))
    built = built_for(family, f"base={folder}", f"adapter.method={method}", f"head.kind={kind}")
    path = f"{built.plan.encoder.head[0].path}.weight"
    trained = path in {plain_name(name) for name in built.classifier.trainable()}
    assert trained == (kind == "stock")
    before = weight_at(built, path.removesuffix(".weight")).detach().clone()
    assert torch.equal(before, torch.eye(32)) == (kind == "slim")
    take_step(built)
    after = weight_at(built, path.removesuffix(".weight"))
    assert torch.equal(before, after) == (kind == "slim")
    save(built.classifier, tmp_path, base=built.base)
    inputs = batch(built.base.location)
    assert torch.equal(
        logits(load(tmp_path, built.base, built.plan, CLASSES).model, inputs), logits(built.classifier.model, inputs)
    )
    if method not in ("full", "head", "bias"):
        assert torch.equal(logits(plain_model(built, tmp_path), inputs), logits(built.classifier.model, inputs))


@pytest.mark.parametrize("method", ["lora", "dora", "vera", "adalora", "ia3", "prefix"])
@pytest.mark.parametrize("head", ["stock", "pooled"])
def test_an_adapter_file_that_lacks_a_tensor_or_has_another_is_refused_by_name(built_for, tmp_path, method, head):
    if (method, head) == ("prefix", "pooled"):
        pytest.skip("a prefix has no pooled head")
    built = built_for("bert", f"adapter.method={method}", f"head.kind={head}")
    save(built.classifier, tmp_path, base=built.base)
    whole = saved_tensors(tmp_path)
    for name in list(whole)[:3]:  # they say as much as all
        save_file({other: whole[other] for other in whole if other != name}, tmp_path / ADAPTER_FILE)
        assert read_folded(tmp_path, built.base, built.plan, CLASSES) is None
        with pytest.raises(ModelError, match=f"{ADAPTER_FILE} lacks {re.escape(name)}"):
            load(tmp_path, built.base, built.plan, CLASSES)
    save_file(whole | {"base_model.model.other.weight": torch.zeros(2)}, tmp_path / ADAPTER_FILE)
    assert read_folded(tmp_path, built.base, built.plan, CLASSES) is None
    with pytest.raises(ModelError, match=r"has base_model\.model\.other\.weight, for which .* has no place"):
        load(tmp_path, built.base, built.plan, CLASSES)


@pytest.mark.parametrize("method", ["lora", "dora", "full"])
@pytest.mark.parametrize("head", ["stock", "pooled"])
def test_a_saved_tensor_that_is_not_finite_is_refused_by_name(built_for, tmp_path, method, head):
    built = built_for("bert", f"adapter.method={method}", f"head.kind={head}")
    save(built.classifier, tmp_path, base=built.base)
    files = [tmp_path / (MODEL_FILE if method == "full" else ADAPTER_FILE)]
    files += [tmp_path / "2_Dense/model.safetensors"] if head == "pooled" else []
    own = replace(built.base, location=str(tmp_path)) if method == "full" else built.base
    for file in files:
        whole = load_file(file)
        name = next(iter(whole))
        whole[name] = whole[name].clone().fill_(float("nan"))
        before = file.read_bytes()
        save_file(whole, file, metadata={"format": "pt"})
        for reader in (load, read_folded) if method != "dora" else (load,):
            with pytest.raises(ModelError, match="holds numbers that are not finite"):
                reader(tmp_path, own, built.plan, CLASSES)
        file.write_bytes(before)


@pytest.mark.parametrize("start", ["identity", "orthogonal", "random", "fitted"])
@pytest.mark.parametrize("name", [name for name, row in FAMILIES.items() if row.slim])
def test_a_slim_head_trains_only_its_last_projection_and_saves_the_frozen_layer(built_for, tmp_path, name, start):
    built = built_for(name, "head.kind=slim", f"head.start={start}")
    plan = built.plan
    *before_last, last = (part.path for part in plan.encoder.head)
    head = {plain_name(name) for name in built.classifier.trainable() if "lora" not in name}
    assert head == {f"{last}.weight", f"{last}.bias"}
    frozen = {path: weight_at(built, path).detach().clone() for path in before_last}
    take_step(built)
    save(built.classifier, tmp_path, base=built.base)
    for path, weight in frozen.items():
        assert torch.equal(saved_tensors(tmp_path)[f"base_model.model.{path}.weight"], weight)
    first = frozen[before_last[0]]  # (H, H)
    gram = first @ first.T
    identity = start in ("identity", "fitted")
    assert torch.equal(first, torch.eye(32)) == identity
    assert torch.allclose(gram, torch.eye(32), atol=1e-5) == (identity or start == "orthogonal")
    assert first.std().item() == pytest.approx(32**-0.5, rel=0.1) or identity


def weight_at(built: Job, path: str) -> torch.Tensor:
    found = [
        weight
        for name, weight in built.classifier.model.named_parameters()
        if plain_name(name) == f"{path}.weight" and "original_module" not in name
    ]
    assert len(found) == 1
    return found[0]


def test_a_slim_head_keeps_a_frozen_layer_that_came_with_the_checkpoint(built_for, tmp_path):
    built = built_for("roberta", "adapter.method=full")
    save(built.classifier, tmp_path, base=built.base)
    came = load_file(tmp_path / MODEL_FILE)["classifier.dense.weight"]
    slim = built_for("roberta", "head.kind=slim")
    classifier = adapters.build(replace(slim.base, location=str(tmp_path)), slim.plan, CLASSES, seed=3)
    found = classifier.model.get_parameter("base_model.model.classifier.modules_to_save.default.dense.weight")
    assert torch.equal(found, came)


# ----------------------------------------------------------------------------------------------------------- quantized


@pytest.mark.parametrize("method", ["lora", "rslora", "dora"])
def test_qlora_trains_on_a_cpu_and_reloads_to_the_bit(built_for, tmp_path, method):
    bitsandbytes = pytest.importorskip("bitsandbytes")
    built = built_for("bert", "adapter.quantize=nf4", f"adapter.method={method}")
    kinds = [type(module) for module in built.classifier.model.modules()]
    assert kinds.count(bitsandbytes.nn.Linear4bit) == 3 * 6 + 1, "six maps a layer and the pooler; not the head"
    before = {name: weight.detach().clone() for name, weight in built.classifier.trainable().items()}
    take_step(built)
    assert all(not torch.equal(weight, before[name]) for name, weight in built.classifier.trainable().items())
    save(built.classifier, tmp_path, base=built.base)
    inputs = batch(built.base.location)
    loaded = load(tmp_path, built.base, built.plan, CLASSES)
    assert torch.equal(logits(loaded.model, inputs), logits(built.classifier.model, inputs))


def test_an_evaluation_amid_qlora_training_changes_no_gradient(built_for, tmp_path):
    pytest.importorskip("bitsandbytes")  # which would repack the weights then, on CPUs with AVX512-BF16
    folder = save_tiny("bert", tmp_path / "wide", hidden_size=64, intermediate_size=128)
    built = built_for("bert", f"base={folder}", "adapter.quantize=nf4", "train.encoder_dropout=off")
    take_step(built)

    def gradients() -> list[torch.Tensor]:
        built.classifier.model.train()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            built.classifier.model(**batch(folder)).logits.square().sum().backward()
        found = [weight.grad.clone() for weight in built.classifier.trainable().values()]
        built.classifier.model.zero_grad()
        return found

    before = gradients()
    logits(built.classifier.model, batch(folder))
    assert all(map(torch.equal, before, gradients()))


def test_a_qlora_adapter_loads_by_plain_peft_on_a_whole_base(built_for, tmp_path):
    pytest.importorskip("bitsandbytes")
    built = built_for("bert", "adapter.quantize=nf4")
    take_step(built)
    save(built.classifier, tmp_path, base=built.base)
    plain = plain_model(built, tmp_path)
    tensors = saved_tensors(tmp_path)
    name = "base_model.model.bert.encoder.layer.0.attention.self.query.lora_B.weight"
    assert torch.equal(plain.get_parameter(name.replace("lora_B", "lora_B.default")), tensors[name])


# ---------------------------------------------------------------------------------------------------------- randomness


def test_building_leaves_torchs_generator_as_it_was(built_for):
    before = torch.get_rng_state()
    built_for("roberta", "head.kind=slim", "head.start=random")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_seed_decides_every_random_start(built_for):
    def starts(seed: int) -> list[torch.Tensor]:
        return [w.detach() for w in built_for("deberta-v2", f"train.seed={seed}").classifier.trainable().values()]

    one, again, other = starts(1), starts(1), starts(2)
    assert all(map(torch.equal, one, again))
    drawn = [place for place, weight in enumerate(one) if weight.ndim == 2 and weight.any()]
    assert drawn
    assert not any(torch.equal(one[place], other[place]) for place in drawn)


# ------------------------------------------------------------------------------------------------------------- dropout


@pytest.mark.parametrize("method", ["lora", "full"])
def test_encoder_dropout_off_makes_the_encoder_deterministic_in_training(family, built_for, method):
    built = built_for(family, f"adapter.method={method}")
    quiet_dropout(built.classifier)
    built.classifier.model.train()
    body = {n: m for n, m in built.classifier.model.named_modules() if n.endswith(f"{built.plan.encoder.root}")}
    encoder = body[max(body, key=len)]
    inputs = batch(built.base.location)
    assert torch.equal(encoder(**inputs)[0], encoder(**inputs)[0])


def test_encoder_dropout_kept_makes_two_training_passes_differ(family, built_for, tmp_path):
    built = built_for(family)
    built.classifier.model.train()
    inputs = batch(built.base.location)
    differs = not torch.equal(built.classifier.model(**inputs).logits, built.classifier.model(**inputs).logits)
    assert differs == FAMILIES[family].drops


def test_encoder_dropout_off_leaves_the_heads_and_the_adapters_alone(family, built_for, tmp_path):
    row = FAMILIES[family]
    folder = save_tiny(family, tmp_path / family, **row.dropping)
    built = built_for(family, f"base={folder}", "adapter.dropout=0.2")

    def outside() -> dict[str, float]:
        inside = f"base_model.model.{built.plan.encoder.root}."
        return {
            name: module.p
            for name, module in built.classifier.model.named_modules()
            if isinstance(module, nn.Dropout) and ("lora_" in name or not name.startswith(inside))
        }

    before = outside()
    assert any("lora_" in name for name in before)
    assert any("lora_" not in name and p > 0 for name, p in before.items()) == row.head_drops
    quiet_dropout(built.classifier)
    assert outside() == before
