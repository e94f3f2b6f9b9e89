"""An adapter that peft made without rankwise becomes a run with peft's own logits, or is refused by name."""

from __future__ import annotations

import json
import shutil

import peft
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from rankwise.errors import ModelError, RunError
from rankwise.model.load import quiet
from rankwise.run.adopting import adopt_adapter
from rankwise.run.folder import Run

pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore::UserWarning:peft"),
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),  # peft 0.21.2
]
TEXTS = ["apple pear with a plum", "iron and zinc", "the rhine near the danube , very very old", ""]
NAMES = ["fruit", "metal", "river"]
HEADS = {  # the modules of a family's head, as somebody who knows it has peft save them
    "bert": ["classifier"],
    "roberta": ["classifier"],
    "distilbert": ["pre_classifier", "classifier"],
    "electra": ["classifier"],
    "mpnet": ["classifier"],
    "modernbert": ["head", "classifier"],
}
TARGETS = {"distilbert": ["q_lin", "v_lin", "lin1"], "modernbert": ["Wqkv", "Wo"], "mpnet": ["q", "v"]}


@pytest.fixture
def made(tiny, tmp_path):
    """Save an adapter as peft's users do, every tensor of it random: (its folder, the live model in eval mode)."""

    def make(family="bert", base=None, labels=3, name="theirs", **options):
        base = base or tiny(family)
        with quiet(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(11)
            model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=labels)
            settings = {
                "task_type": "SEQ_CLS",
                "r": 4,
                "lora_alpha": 12,
                "target_modules": TARGETS.get(family, ["query", "value"]),
                "modules_to_save": HEADS[family],
                **options,
            }
            model = get_peft_model(model, LoraConfig(**settings))
            for weight in model.parameters():
                if weight.requires_grad:
                    torch.nn.init.normal_(weight, std=0.1)
            model.save_pretrained(tmp_path / name)
        return tmp_path / name, model.eval()

    return make


@torch.no_grad()
def logits(model, tokenizer):
    inputs = tokenizer(TEXTS, return_tensors="pt", padding=True, truncation=True, max_length=64)
    return model(**inputs).logits


def log_odds(run):
    """The logits of the run's own predictions, but for a constant in each row."""
    return torch.tensor([list(said.probabilities.values()) for said in run.predict(TEXTS)], dtype=torch.float64).log()


@pytest.mark.parametrize("family", HEADS)
def test_its_logits_are_pefts_in_every_way_that_a_run_computes_them(made, tiny, tmp_path, family):
    folder, model = made(family)
    run = adopt_adapter(folder, tmp_path / "run", labels=NAMES)
    expected = logits(model, AutoTokenizer.from_pretrained(tiny(family))).double()
    torch.testing.assert_close(log_odds(run), expected.log_softmax(-1), rtol=1e-5, atol=1e-5)
    base = AutoModelForSequenceClassification.from_pretrained(tiny(family), num_labels=3)
    again = PeftModel.from_pretrained(base, run.folder).eval()
    torch.testing.assert_close(
        logits(again, AutoTokenizer.from_pretrained(run.folder)).double(), expected, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(
    "options",
    [
        {"use_rslora": True},
        {"use_dora": True},
        {"bias": "all"},
        {"rank_pattern": {"layer.1.attention.self.query": 2}},
        {"alpha_pattern": {"layer.2.attention.self.value": 3}},
        {"layers_to_transform": [1, 2]},
    ],
    ids=str,
)
def test_ranks_scales_and_layers_are_those_that_peft_reads(made, tiny, tmp_path, options):
    folder, model = made("bert", **options)
    run = adopt_adapter(folder, tmp_path / "run", labels=NAMES)
    expected = logits(model, AutoTokenizer.from_pretrained(tiny("bert"))).double()
    torch.testing.assert_close(log_odds(run), expected.log_softmax(-1), rtol=1e-5, atol=1e-5)


def test_every_verb_takes_the_run(made, tiny, tmp_path, typed, data_file):
    folder, _ = made("roberta")
    code, out, err = typed("adopt", folder, "run", "--labels", "fruit, metal, river")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == f"{folder} → run: fruit, metal, river; logits are peft's"
    assert typed("predict", "run", "--text", "apple")[::2] == (0, "")
    assert typed("predict", "run", "--text", "apple", "--engine", "onnx")[0] == 0
    assert typed("evaluate", "run", data_file)[::2] == (0, "")
    assert typed("merge", "run", "--out", "merged")[::2] == (0, "")
    assert typed("adopt", folder, "other", "--labels", "fruit,metal,river")[0] == 0
    code, out, err = typed("gate", "run", "--against", "other", "--data", data_file)
    assert (code, err) == (4, "") or code == 0
    code, _, err = typed("compare", "run", "other")
    assert (code, err.count("\n")) == (2, 1)
    assert "both on labelled rows: rankwise gate NEW --against OLD --data FILE" in err


# ---------------------------------------------------------------------------------------- base and class names


def test_class_names_are_those_of_a_config_beside_it_or_of_the_base(made, tiny, tmp_path):
    with quiet():
        model = AutoModelForSequenceClassification.from_pretrained(
            tiny("bert"), num_labels=3, id2label=dict(enumerate(NAMES))
        )
        model.save_pretrained(tmp_path / "classifier")
        AutoTokenizer.from_pretrained(tiny("bert")).save_pretrained(tmp_path / "classifier")
    folder, _ = made("bert", base=tmp_path / "classifier")
    assert adopt_adapter(folder, tmp_path / "run").preprocessing.classes == tuple(NAMES)
    folder, _ = made("bert", name="alone")
    (folder / "config.json").write_text(json.dumps({"id2label": {"2": "c", "0": "a", "1": "b"}}))
    assert adopt_adapter(folder, tmp_path / "again").preprocessing.classes == ("a", "b", "c")


def test_names_that_nobody_tells_are_asked_for(made, tmp_path):
    folder, _ = made("bert")
    with pytest.raises(RunError, match="type them in the order of the 3 logits: --labels name0,name1,name2"):
        adopt_adapter(folder, tmp_path / "run")
    with pytest.raises(RunError, match="2 labels, but its head has 3 logits"):
        adopt_adapter(folder, tmp_path / "run", labels=["a", "b"])


def test_a_base_that_has_moved_is_asked_for_and_given(made, tiny, tmp_path):
    shutil.copytree(tiny("bert"), tmp_path / "base")
    folder, _ = made("bert", base=tmp_path / "base")
    (tmp_path / "base").rename(tmp_path / "moved")
    with pytest.raises(RunError, match=f"its base is not at {tmp_path / 'base'}.*; type --base FOLDER"):
        adopt_adapter(folder, tmp_path / "run", labels=NAMES)
    assert Run.load(adopt_adapter(folder, tmp_path / "run", labels=NAMES, base=str(tmp_path / "moved")).folder)


# ------------------------------------------------------------------------------------------------------------ refusals


def test_an_adapter_without_its_head_is_refused(made, tmp_path):
    folder, _ = made("bert")
    from safetensors.torch import load_file, save_file

    path = folder / "adapter_model.safetensors"
    save_file({name: tensor for name, tensor in load_file(path).items() if "lora" in name}, path)
    with pytest.raises(
        ModelError, match=r"neither adapter_model.safetensors nor its base .* has classifier.bias, classifier.weight"
    ):
        adopt_adapter(folder, tmp_path / "run", labels=NAMES)
    folder, _ = made("modernbert", name="half", modules_to_save=["classifier"])  # of a head of two layers the last
    with pytest.raises(ModelError, match=r"has head.dense.weight, head.norm.weight, so its answers would be random"):
        adopt_adapter(folder, tmp_path / "run", labels=NAMES)


def test_what_generates_text_is_refused(tiny, tmp_path):
    with quiet():
        model = AutoModelForCausalLM.from_pretrained(tiny("bert"), is_decoder=True)
        config = LoraConfig(task_type="CAUSAL_LM", target_modules=["query"])
        get_peft_model(model, config).save_pretrained(tmp_path / "theirs")
    with pytest.raises(ModelError, match="task_type is 'CAUSAL_LM'; expected 'SEQ_CLS'"):
        adopt_adapter(tmp_path / "theirs", tmp_path / "run")


def test_methods_that_no_plan_takes_over_are_refused_by_name(tiny, made, tmp_path):
    with quiet():
        model = AutoModelForSequenceClassification.from_pretrained(tiny("bert"), num_labels=3)
        get_peft_model(model, peft.LoHaConfig(task_type="SEQ_CLS", target_modules=["query"])).save_pretrained(
            tmp_path / "loha"
        )
    with pytest.raises(ModelError, match=r"peft_type 'LOHA' .* can't be adopted; expected LORA"):
        adopt_adapter(tmp_path / "loha", tmp_path / "run", labels=NAMES)
    folder, _ = made("bert", init_lora_weights="pissa")
    with pytest.raises(ModelError, match="init_lora_weights 'pissa' can't be adopted"):
        adopt_adapter(folder, tmp_path / "run", labels=NAMES)
    folder, _ = made("bert", name="words", target_modules=["word_embeddings"])
    with pytest.raises(ModelError, match="it adapts no linear layer"):
        adopt_adapter(folder, tmp_path / "run", labels=NAMES)
    folder, _ = made("bert", name="pooler", target_modules="all-linear")
    with pytest.raises(ModelError, match=r"it adapts bert.pooler.dense, which is none of .* layers .* merged by peft"):
        adopt_adapter(folder, tmp_path / "run", labels=NAMES)
    assert not (tmp_path / "run").exists()


def test_a_folder_that_holds_no_adapter_is_told(tmp_path):
    with pytest.raises(RunError, match=r"no adapter_config.json; expected the folder that peft's save_pretrained wrote"):
        adopt_adapter(tmp_path, tmp_path / "run")
