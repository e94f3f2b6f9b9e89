"""What the README says of going on with plain peft is so, with the versions that it names."""

from __future__ import annotations

import re
from pathlib import Path

import peft
import pytest
import torch
import transformers
from peft import AutoPeftModelForSequenceClassification, PeftModel
from transformers import AutoModelForSequenceClassification

from conftest import CLASSES

pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")]

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
IDS = torch.tensor([[2, 9, 12, 31, 7, 3]])


def with_peft(run, **options):
    """A run in plain peft, as its card loads it."""
    base = AutoModelForSequenceClassification.from_pretrained(run.base().location, num_labels=len(CLASSES))
    return PeftModel.from_pretrained(base, str(run.folder), **options).eval()


@torch.no_grad()
def logits(model):
    return model.eval()(input_ids=IDS).logits


def trained(run_for, method, family="roberta"):
    return run_for(family, f"adapter.method={method}", "train.epochs=4", "evaluate.baselines=false")


def test_the_readme_names_the_versions_that_are_tested():
    assert f"plain peft ({peft.__version__}, transformers {transformers.__version__})" in re.sub(r"\s+", " ", README)


@pytest.mark.parametrize("method", ["lora", "dora", "pissa", "adalora"])
def test_lora_with_its_variants_merges_under_a_head_of_two_layers(run_for, method):
    run = trained(run_for, method)
    torch.testing.assert_close(logits(with_peft(run).merge_and_unload()), logits(with_peft(run)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", ["ia3", "vera"])
def test_other_methods_do_not_merge_there_and_rankwise_merges_them(run_for, method, tmp_path):
    run = trained(run_for, method)
    with pytest.raises(AttributeError, match="weight"):
        with_peft(run).merge_and_unload()
    merged = AutoModelForSequenceClassification.from_pretrained(run.merge(tmp_path / "merged"))
    torch.testing.assert_close(logits(merged), logits(with_peft(run)), rtol=1e-4, atol=1e-5)


def test_an_adapter_that_is_a_prefix_is_not_disabled(run_for):
    model = with_peft(trained(run_for, "prefix"))
    with pytest.raises(UnboundLocalError), model.disable_adapter():
        logits(model)


def test_a_pissa_adapter_is_not_loaded_onto_the_meta_device(run_for):
    with pytest.raises(RuntimeError, match="incompatible tensor type"):
        with_peft(trained(run_for, "pissa"), low_cpu_mem_usage=True)


@pytest.mark.parametrize(("method", "equal"), [("lora", True), ("dora", False)])
def test_transformers_by_itself_leaves_out_the_magnitudes_of_dora(run_for, tmp_path, monkeypatch, method, equal):
    run = trained(run_for, method)
    monkeypatch.chdir(Path(run.base().location).parent)  # where the adapter finds its base by its name
    model = AutoModelForSequenceClassification.from_pretrained(str(run.folder), num_labels=len(CLASSES))
    assert torch.allclose(logits(model), logits(with_peft(run)), rtol=1e-4, atol=1e-5) == equal


@pytest.mark.parametrize("method", ["vera", "prefix"])
def test_transformers_by_itself_refuses_vera_and_prefixes(run_for, monkeypatch, method):
    run = trained(run_for, method)
    monkeypatch.chdir(Path(run.base().location).parent)
    with pytest.raises(ValueError, match="does not support"):
        AutoModelForSequenceClassification.from_pretrained(str(run.folder), num_labels=len(CLASSES))


@pytest.mark.parametrize("loader", [AutoPeftModelForSequenceClassification, AutoModelForSequenceClassification])
def test_loaders_need_the_number_of_labels(run_for, monkeypatch, loader):
    run = trained(run_for, "lora")
    monkeypatch.chdir(Path(run.base().location).parent)
    with pytest.raises(RuntimeError, match=r"size mismatch|ignore_mismatched_sizes"):
        loader.from_pretrained(str(run.folder))
    torch.testing.assert_close(logits(loader.from_pretrained(str(run.folder), num_labels=3)), logits(with_peft(run)))
