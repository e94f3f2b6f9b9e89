"""An adapter that somebody else made with peft → a run folder, held against the logits that peft itself gives.

What such a folder says is peft's configuration and tensors. Base and class names are looked for beside them, or given. Nobody
scored it here, so its scores are of no rows.
"""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rankwise.data.clean import Preprocessing
from rankwise.data.lengths import lengths_of
from rankwise.encoders.base import Base, locate, short_name
from rankwise.encoders.encoder import Encoder
from rankwise.encoders.finding import find
from rankwise.errors import ModelError, ReloadMismatch, RunError, as_typed
from rankwise.model import adapters
from rankwise.model.classifier import ADAPTER_FILE, Classifier, in_eval_mode, to_tensors
from rankwise.model.load import check_match, load_tokenizer, longest_text, tokenizer_in
from rankwise.model.methods import method_of_config
from rankwise.planning.plan import Plan, plan
from rankwise.recipe import Recipe
from rankwise.run import format as schema
from rankwise.run import manifest
from rankwise.run.export.onnx import probe_batches
from rankwise.run.folder import Run
from rankwise.run.opening import portable
from rankwise.run.saving import base_facts, save_tokenizer
from rankwise.stats.intervals import Interval
from rankwise.stats.scores import ClassScore, ScoresWithMistakes
from rankwise.system.files import read_json, write_json
from rankwise.system.storage import check_new_folder, told_refusals, whole_folder
from rankwise.training.events import HistoryEntry

CONFIG = "adapter_config.json"
LONGEST = 512  # tokens of a text, where nobody says and the encoder reads more
ROUNDING = 1e-5  # of a logit, absolute and relative, from peft's own
AS_BASE = "merged by peft (merge_and_unload) it can be a base: --set base=FOLDER"
CARD = """\
---
library_name: peft
pipeline_tag: text-classification
tags: [rankwise, text-classification]
---

# {name}

A text classifier on {base}, adopted from an adapter that was made with peft. Nothing is known here of its training rows, and
it was scored on none: `rankwise evaluate` does that with rows of yours.

{classes} classes, in the order of the logits: {names}.
"""


def adopt_adapter(
    adapter: Path,
    folder: Path,
    *,
    base: str | None = None,
    labels: Sequence[str] | None = None,
    max_length: int | None = None,
) -> Run:
    """Write an adapter of peft's as a run into a new folder, and open it.

    `base` is its encoder where the adapter does not say, or not where that is here; `labels` are its class names in the order
    of the logits. Raises ModelError for an adapter that is none of a classifier, or of a method or layers that no plan has;
    RunError where names are lacking or the folder has something in it; ReloadMismatch where logits are not peft's.
    """
    again = f"rankwise adopt {as_typed(adapter)} FOLDER"
    check_new_folder(folder, again)
    config = _config(adapter)
    found = _base(adapter, config, base)
    classes = _classes(adapter, found, labels)
    encoder = find(found.location if found.hub is None else found.name, classes=len(classes), revision=found.revision)
    theirs = adapters.load_foreign(adapter, found, encoder, classes)
    tokenizer = tokenizer_in(adapter) if (adapter / "tokenizer_config.json").is_file() else load_tokenizer(found)
    check_match(tokenizer, theirs, adapter.name)
    most = longest_text(tokenizer, encoder)
    if max_length is not None and max_length > most:
        raise ModelError(f"--max-length {max_length:,}: {found.name} reads at most {most:,} tokens")
    about = Preprocessing(classes, (), max_length or min(most, LONGEST), text=("text",))
    parts = adapters.low_rank_parts(theirs)
    recipe = _recipe(adapter, config, found, encoder, parts).with_overrides([f"data.max_length={about.max_length}"])
    planned = plan(recipe, classes=len(classes), encoder=encoder)
    classifier = adapters.adopt(theirs, found, planned, classes)
    _check_logits(adapter, theirs, classifier, tokenizer, about)
    with told_refusals(folder, "free room there, or give another folder"), whole_folder(folder, again) as draft:
        _write(draft, folder, classifier, found, recipe, planned, tokenizer, about)
    return Run.load(folder)


def _config(adapter: Path) -> dict[str, Any]:
    """peft's configuration of a low-rank adapter of a classifier. Raises RunError or ModelError for another."""
    for name in (CONFIG, ADAPTER_FILE):
        if not (adapter / name).is_file():
            raise RunError(
                f"{adapter}: no {name}; expected the folder that peft's save_pretrained wrote, with {CONFIG} in it"
            )
    config = read_json(adapter / CONFIG, dict[str, Any])
    if (task := config.get("task_type")) != "SEQ_CLS":
        raise ModelError(f"{adapter}: {CONFIG}: task_type is {task!r}; expected 'SEQ_CLS', an adapter that classifies texts")
    if method_of_config(config) is None:
        start = config.get("init_lora_weights")
        raise ModelError(
            f"{adapter}: {CONFIG}: peft_type {config.get('peft_type')!r} with init_lora_weights {start!r} can't be adopted; "
            "expected LORA (with rslora or dora, not both) that starts from the base's own weights; "
            f"{AS_BASE}"
        )
    return config


def _base(adapter: Path, config: dict[str, Any], given: str | None) -> Base:
    name = given or config.get("base_model_name_or_path")
    if not name:
        raise RunError(f"{adapter}: {CONFIG} names no base; type --base with its folder or its name on the hub")
    name = short_name(name) or name
    if given is None and os.path.isabs(name) and not os.path.isdir(name):
        raise RunError(f"{adapter}: its base is not at {name}, which {CONFIG} names; type --base FOLDER with where it is now")
    is_here = name == "minilm" or Path(name).expanduser().is_dir()
    return locate(name, revision=None if is_here or given else config.get("revision"))


def _classes(adapter: Path, base: Base, given: Sequence[str] | None) -> tuple[str, ...]:
    """The class names: those given, else those of a config.json beside the adapter, else the base's own."""
    count = _logits_of(adapter)
    if given is not None:
        if count is not None and len(given) != count:
            raise RunError(
                f"{adapter}: {len(given)} labels, but its head has {count} logits; give one name for each: --labels"
            )
        names = tuple(given)
    else:
        folders = [adapter, *([base.folder] if base.folder else [])]
        told = (_names_in(folder / "config.json") for folder in folders)
        names = next((names for names in told if names and count in (None, len(names))), ())
    if len(names) < 2 or len(set(names)) < len(names):
        typed = ",".join(f"name{number}" for number in range(count or 2))
        raise RunError(
            f"{adapter}: no class names are with it or its base; type them in the order of the {count or ''} logits: "
            f"--labels {typed}"
        )
    return names


def _names_in(path: Path) -> tuple[str, ...]:
    """The class names that a config.json has, in order; none where they are transformers' LABEL_0 and so on."""
    if not path.is_file():
        return ()
    named = read_json(path, dict[str, Any]).get("id2label") or {}
    names = tuple(str(named[key]) for key in sorted(named, key=int))
    return () if all(name.startswith("LABEL_") for name in names) else names


def _logits_of(adapter: Path) -> int | None:
    """How many logits the saved head has: the rows of its last matrix; None where no head is saved."""
    from safetensors import safe_open

    with safe_open(adapter / ADAPTER_FILE, framework="pt") as file:
        heads = [name for name in file.keys() if "lora_" not in name and name.endswith(".weight")]  # noqa: SIM118
        last = [file.get_slice(name).get_shape() for name in heads if name.split(".")[-2] in LAST]
    return int(last[-1][0]) if last and len(last[-1]) == 2 else None


LAST = ("classifier", "out_proj", "score", "logits_proj")
"""What transformers' classes call the projection to logits."""


def _recipe(
    adapter: Path, config: dict[str, Any], base: Base, encoder: Encoder, parts: dict[str, tuple[int, float]]
) -> Recipe:
    """The recipe whose plan is the adapter: a rank for each linear layer that it adapts. Raises ModelError for others."""
    sites = {site.name: site.address for site in encoder.sites}
    if others := sorted(set(parts) - sites.keys()):
        raise ModelError(
            f"{adapter}: it adapts {others[0]}, which is none of the linear layers that a plan for {encoder.name} knows, "
            f"{', '.join(encoder.kinds)} of each layer; {AS_BASE}"
        )
    if not parts:
        raise ModelError(f"{adapter}: it adapts no linear layer of {encoder.name}, and a plan adapts nothing else")
    alphas = [alpha for _, alpha in parts.values()]
    spec = {
        "method": method_of_config(config),
        "alpha": Counter(alphas).most_common(1)[0][0],
        "dropout": config.get("lora_dropout") or 0.0,
        "bias": config.get("bias") or "none",
        "allocate": {"policy": "explicit", "ranks": {sites[name]: rank for name, (rank, _) in parts.items()}},
    }
    name = base.name if base.hub is not None else base.location
    return Recipe.from_dict(
        {
            "name": adapter.resolve().name,
            "base": name,
            "revision": base.revision,
            "adapter": spec,
            "head": {"kind": "stock"},
            "budget": {"parameters": None},
            "data": {"clean": []},
        }
    )


def _check_logits(adapter: Path, theirs: Any, classifier: Classifier, tokenizer: Any, about: Preprocessing) -> None:
    for batch in probe_batches(tokenizer, about.max_length):
        logits = []
        for model in (theirs, classifier.model):
            with in_eval_mode(model):
                logits.append(model(**to_tensors(batch)).logits.float())
        if not torch.allclose(logits[0], logits[1], rtol=ROUNDING, atol=ROUNDING):
            worst = (logits[0] - logits[1]).abs().max().item()
            raise ReloadMismatch(f"{adapter}: planned, its logits are {worst:.2e} off peft's; nothing was written")


def _write(
    draft: Path,
    folder: Path,
    classifier: Classifier,
    base: Base,
    recipe: Recipe,
    planned: Plan,
    tokenizer: Any,
    about: Preprocessing,
) -> None:
    """Write the files of a run, of which nothing is known but its classifier."""
    adapters.save(classifier, draft, base=base)
    save_tokenizer(draft, tokenizer)
    trained, classes = planned.ledger.trainable_parameters, about.classes
    unknown, nothing = Interval(None, None, None), HistoryEntry(step=0, epoch=0.0, train_loss=0.0, train_accuracy=0.0)
    scores = ScoresWithMistakes(
        rows=0,
        accuracy=unknown,
        macro_f1=unknown,
        mcc=unknown,
        log_loss=unknown,
        calibration_error=unknown,
        per_class=tuple(ClassScore(name, 0, unknown, unknown, unknown) for name in classes),
        confusion=tuple((0,) * len(classes) for _ in classes),
        reliability=(),
        confidence_level=0.95,
        mistakes=(),
    )
    facts = schema.RunFacts(
        format=manifest.FORMAT,
        base=base_facts(base, folder),
        data_sha256="",
        trained_parameters=schema.TrainedParameters(trained, trained),
        best=nothing,
        steps=0,
        stopped_early=False,
        seconds=schema.Seconds(0.0, 0.0),
        promised=schema.Promised(0.0, 0, 0),
        actual=schema.Actual(None),
        rows=schema.RowCounts(0, 0, 0),
        token_lengths=lengths_of(np.zeros(0, np.int64), "tokens"),
        threads=1,
        precision="fp32",
        processes=1,
        device="cpu",
        notes=("adopted from an adapter that was made with peft; scored on no rows",),
    )
    write_json(draft / manifest.PLAN, planned.facts())
    write_json(draft / manifest.PREPROCESSING, about)
    write_json(
        draft / manifest.SCORES,
        schema.RunScores(classes=classes, test=scores, validation=nothing, baselines={}, history=(nothing,)),
    )
    write_json(draft / manifest.VERSIONS, schema.versions())
    write_json(draft / manifest.RUN, facts)
    (draft / manifest.RECIPE).write_text(portable(recipe).to_yaml(), "utf-8")
    names = ", ".join(f"{number} {name}" for number, name in enumerate(classes))
    card = CARD.format(name=recipe.name, base=base.hub or base.name, classes=len(classes), names=names)
    (draft / manifest.CARD).write_text(card, "utf-8")
    manifest.write_manifest(draft)
