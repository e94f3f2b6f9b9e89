"""A pooled head is planned, trained and saved to the parameter, and its folder gives the same logits without rankwise."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModel, AutoTokenizer

from conftest import CLASSES
from rankwise.encoders.base import Base
from rankwise.encoders.finding import stated_pooling
from rankwise.errors import ModelError, PlanError, RecipeError
from rankwise.model.adapters import load, merged, save
from rankwise.model.pooled import HEAD_FILE, pooled
from rankwise.model.skeleton import read_folded
from rankwise.planning.plan import plan
from rankwise.training.job import Job

TEXTS = ["apple pear and the plum", "iron", "danube near the rhine , very quite some long loire tagus ebro oder don"]
METHODS = {
    "lora": [],
    "dora": ["adapter.method=dora"],
    "pissa": ["adapter.method=pissa"],
    "adalora": ["adapter.method=adalora"],
    "vera": ["adapter.method=vera"],
    "ia3": ["adapter.method=ia3"],
    "lora-fa": ["adapter.method=lora-fa"],
    "lora-xs": ["adapter.method=lora-xs"],
    "unilora": ["adapter.method=unilora"],
    "delora": ["adapter.method=delora"],
    "miss": ["adapter.method=miss"],
    "loha": ["adapter.method=loha"],
    "lokr": ["adapter.method=lokr", "adapter.rank=2"],
    "hra": ["adapter.method=hra"],
    "fourierft": ["adapter.method=fourierft"],
    "road": ["adapter.method=road"],
    "beft": ["adapter.method=beft"],
    "ln-tuning": ["adapter.method=ln-tuning"],
    "lora with biases, ranks by depth": ["adapter.bias=lora_only", "adapter.allocate=by-depth"],
    "full": ["adapter.method=full"],
    "head": ["adapter.method=head"],
    "bias": ["adapter.method=bias"],
}
FOLDED = {"lora", "full", "head", "bias", "adalora", "vera", "lora-fa", "lora-xs", "delora", "miss", "loha"}


def batch(built: Job) -> dict[str, torch.Tensor]:
    """TEXTS as a padded batch: (3, T) tensors."""
    return dict(AutoTokenizer.from_pretrained(built.base.location)(TEXTS, padding=True, return_tensors="pt"))


def logits(built: Job | Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    model = built.classifier.model if isinstance(built, Job) else built
    with torch.inference_mode():
        return model.eval()(**inputs).logits  # (3, C)


def take_step(built: Job) -> None:
    """Real updates, so that no trained tensor is at its start."""
    optimizer = torch.optim.AdamW(built.classifier.trainable().values(), lr=1e-2)
    for _ in range(2):
        loss = nn.functional.cross_entropy(built.classifier.model.train()(**batch(built)).logits, torch.tensor([0, 1, 2]))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    built.classifier.model.eval()


def without_rankwise(built: Job, folder: Path) -> torch.Tensor:
    """The logits of TEXTS as somebody with transformers and peft alone computes them from a folder."""
    if built.plan.adapter.is_apart:
        with warnings.catch_warnings():  # peft still asks transformers for an attribute by its old name
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
            warnings.filterwarnings("ignore", "Unsupported layer type", UserWarning)  # of norms under LN tuning
            base = AutoModel.from_pretrained(built.base.location, dtype=torch.float32)
            encoder: Any = PeftModel.from_pretrained(base, str(folder)).eval()
    else:
        encoder = AutoModel.from_pretrained(folder).eval()
    head, inputs = load_file(folder / "2_Dense/model.safetensors"), batch(built)
    mode = json.loads((folder / "1_Pooling/config.json").read_text("utf-8"))
    with torch.inference_mode():
        hidden = encoder(**inputs).last_hidden_state  # (3, T, H)
        if mode["pooling_mode_mean_tokens"]:
            mask = inputs["attention_mask"][:, :, None]
            read = (hidden * mask).sum(1) / mask.sum(1)
        else:
            last = inputs["attention_mask"].shape[1] - 1 - inputs["attention_mask"].flip(1).argmax(1)  # before any padding
            read = hidden[:, 0] if mode["pooling_mode_cls_token"] else hidden[torch.arange(len(hidden)), last]
        return nn.functional.linear(read, head["linear.weight"], head["linear.bias"])


@pytest.mark.parametrize("pooling", ["mean", "token"])
def test_what_is_planned_trains_and_its_folder_gives_the_same_logits_to_the_bit(family, built_for, tmp_path, pooling):
    built = built_for(family, "head.kind=pooled", f"head.pooling={pooling}")
    assert sum(weight.numel() for weight in built.classifier.trainable().values()) == built.plan.ledger.trainable_parameters
    total = sum(weight.numel() for weight in built.classifier.model.parameters())
    assert total == built.plan.ledger.total_parameters
    take_step(built)
    save(built.classifier, tmp_path, base=built.base)
    trained = logits(built, batch(built))
    assert torch.equal(without_rankwise(built, tmp_path), trained)
    assert torch.equal(logits(load(tmp_path, built.base, built.plan, CLASSES).model, batch(built)), trained)


@pytest.mark.parametrize(
    ("name", "method"),
    [*(("bert", method) for method in METHODS), *(("roberta", method) for method in ("lora", "ia3", "unilora"))],
)
def test_each_method_survives_a_reload_by_us_and_by_others(built_for, tmp_path, name, method):
    built = built_for(name, "head.kind=pooled", *METHODS[method])
    take_step(built)
    save(built.classifier, tmp_path, base=built.base)
    inputs = batch(built)
    trained = logits(built, inputs)
    assert torch.equal(without_rankwise(built, tmp_path), trained)
    loaded = load(tmp_path, built.base, built.plan, CLASSES)
    assert torch.equal(logits(loaded.model, inputs), trained)
    torch.testing.assert_close(built.classifier.logits(inputs), trained, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(logits(merged(built.classifier), inputs), trained, rtol=1e-4, atol=1e-5)
    assert torch.equal(logits(built, inputs), trained), "merging leaves the classifier as it was"
    held_by = built.base if built.plan.adapter.is_apart else Base("whole", None, str(tmp_path), None, None)
    folded = read_folded(tmp_path, held_by, built.plan, CLASSES)
    if folded is not None:
        with torch.inference_mode():
            assert torch.equal(folded.logits(inputs), loaded.logits(inputs))
    assert (folded is not None) == (method in FOLDED or "depth" in method)


def test_padding_is_not_in_the_mean():
    hidden = torch.tensor([[[1.0], [3.0], [100.0]], [[2.0], [4.0], [6.0]]])
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    assert pooled(hidden, mask, "mean").tolist() == [[2.0], [4.0]]
    assert pooled(hidden, mask, "first").tolist() == [[1.0], [2.0]]


def test_the_base_says_what_is_read(tiny, recipe_for, tmp_path):
    folder = tiny("bert")
    assert stated_pooling(str(folder), {}) is None
    assert stated_pooling("minilm", {}) == "mean"
    assert stated_pooling("roberta-base", {"classifier_pooling": "cls"}) == "token"
    (tmp_path / "1_Pooling").mkdir()
    stated = tmp_path / "1_Pooling/config.json"
    for settings, expected in (
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "token"),
        ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, "mean"),
        ({"embedding_dimension": 32, "pooling_mode": "mean"}, "mean"),
        ({"pooling_mode_max_tokens": True}, None),
    ):
        stated.write_text(json.dumps(settings), "utf-8")
        assert stated_pooling(str(tmp_path), {}) == expected
    stated.write_text("[", "utf-8")
    with pytest.raises(ModelError, match=r"1_Pooling/config.json is not JSON"):
        stated_pooling(str(tmp_path), {})


def test_the_mean_is_read_where_nothing_says_otherwise(recipe_for):
    planned = plan(recipe_for("roberta", "head.kind=pooled"), classes=3)
    assert planned.encoder.reads == "mean"
    assert planned.ledger.sections()["head"] == 3 * 32 + 3


def test_what_has_no_pooled_head_is_refused(recipe_for):
    with pytest.raises(PlanError, match=r"no pooled head; type --set head.kind=slim"):
        plan(recipe_for("bert", "head.kind=pooled", "adapter.method=prefix"), classes=3)
    with pytest.raises(RecipeError, match=r"pooling belongs to head.kind pooled"):
        recipe_for("bert", "head.pooling=mean")


def test_a_folder_that_lost_its_head_says_so(built_for, tmp_path):
    built = built_for("bert", "head.kind=pooled")
    save(built.classifier, tmp_path, base=built.base)
    (tmp_path / HEAD_FILE).unlink()
    with pytest.raises(ModelError, match=r"2_Dense/model.safetensors is missing, which holds the head"):
        load(tmp_path, built.base, built.plan, CLASSES)
