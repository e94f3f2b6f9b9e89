"""What a user of transformers and peft would write for the same recipe: Trainer + peft, and `pipeline()` for inference.

Both ways of padding are here: dynamic (to each batch's longest text) and to max length, as the reports do. The recipe is
`rank4-adam` on the embedded encoder, or any plan of one LoRA rank; rows, seeds, batch size, steps and threads are the
caller's, the same as ours.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from datasets import Dataset, disable_progress_bars
from peft import LoraConfig, TaskType, get_peft_model
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    pipeline,
)
from transformers.utils import logging as transformers_logging

from rankwise import Recipe, plan
from rankwise.encoders.base import locate

MAX_LENGTH = 128


@dataclass(frozen=True)
class Trained:
    """A model that Trainer trained, and what it took."""

    model: Any
    tokenizer: Any
    seconds: float
    cpu_seconds: float
    test_accuracy: float | None
    losses: tuple[float, ...]
    """Of each update, where they were asked for."""


class _Stop(TrainerCallback):
    """Stops after some updates, with the schedule of the whole."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:  # noqa: ARG002 - Trainer's call
        control.should_training_stop = state.global_step >= self.steps


def trainer_peft(
    recipe: Recipe,
    classes: Sequence[str],
    train: tuple[Sequence[str], Sequence[int]],
    *,
    pad_to_max: bool,
    seed: int,
    validation: tuple[Sequence[str], Sequence[int]] | None = None,
    test: tuple[Sequence[str], Sequence[int]] | None = None,
    stop_after: int | None = None,
    bf16: bool = False,
    start: Mapping[str, torch.Tensor] | None = None,
    in_order: bool = False,
    every_loss: bool = False,
) -> Trained:
    """Train the recipe's plan with Trainer + peft; `validation` is scored each epoch, `test` once at the end.

    `start` are trained parameters to begin from, by name; rows come at random, or `in_order`.
    """
    quiet()
    torch.manual_seed(seed)
    location = locate(recipe.base).location
    tokenizer = AutoTokenizer.from_pretrained(location)
    padding = {"padding": "max_length"} if pad_to_max else {}

    def dataset(texts: Sequence[str], labels: Sequence[int]) -> Dataset:
        rows = Dataset.from_dict({"text": list(texts), "label": [int(label) for label in labels]})
        return rows.map(
            lambda batch: tokenizer(batch["text"], truncation=True, max_length=MAX_LENGTH, **padding),
            batched=True,
            remove_columns=["text"],
        )

    model = AutoModelForSequenceClassification.from_pretrained(location, num_labels=len(classes))
    model = get_peft_model(model, lora_config(recipe, len(classes)))
    with torch.no_grad():
        for name, tensor in (start or {}).items():
            model.get_parameter(name).copy_(tensor)
    spec, losses = recipe.train, list[float]()
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=spec.batch_size,
            per_device_eval_batch_size=64,
            learning_rate=spec.learning_rate,
            num_train_epochs=spec.epochs,
            lr_scheduler_type="linear",
            weight_decay=spec.optimizer.weight_decay,  # adam and adamw are the same at 0
            warmup_steps=spec.warmup,
            max_grad_norm=spec.clip_norm or 0.0,
            eval_strategy="epoch" if validation else "no",
            save_strategy="no",
            logging_steps=1 if every_loss else 10,
            train_sampling_strategy="sequential" if in_order else "random",
            disable_tqdm=True,
            report_to="none",
            seed=seed,
            bf16=bf16,
        )
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=dataset(*train),
            eval_dataset=dataset(*validation) if validation else None,
            data_collator=DataCollatorWithPadding(tokenizer),
            compute_metrics=lambda found: {"accuracy": float((found.predictions.argmax(-1) == found.label_ids).mean())},
            callbacks=[_Stop(stop_after)] if stop_after else [],
        )
        trainer.log = lambda logs, *_, **__: losses.extend(logs[key] for key in ("loss",) if key in logs)
        wall, cpu = time.monotonic(), time.process_time()
        trainer.train()
        wall, cpu = time.monotonic() - wall, time.process_time() - cpu
        accuracy = None
        if test:
            found = trainer.predict(dataset(*test))
            accuracy = float((np.asarray(found.predictions).argmax(-1) == np.asarray(test[1])).mean())
    return Trained(model, tokenizer, wall, cpu, accuracy, tuple(losses))


def pipeline_predict(trained: Trained, texts: Sequence[str], *, batch_size: int) -> tuple[list[str], float, float]:
    """Labels of the texts from transformers' `pipeline()` with the adapters merged; wall and CPU seconds."""
    quiet()
    merged = trained.model.merge_and_unload().eval() if hasattr(trained.model, "merge_and_unload") else trained.model
    classify = pipeline("text-classification", model=merged, tokenizer=trained.tokenizer, device="cpu")
    classify(list(texts[:4]))
    wall, cpu = time.monotonic(), time.process_time()
    found = classify(list(texts), batch_size=batch_size, truncation=True, max_length=MAX_LENGTH)
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    return [row["label"] for row in found], wall, cpu


def lora_config(recipe: Recipe, classes: int) -> LoraConfig:
    """The recipe's plan as a user would give it to peft."""
    planned = plan(recipe, classes=classes)
    (rank,) = set(planned.ranks.values())
    (alpha,) = set(planned.alphas.values())
    return LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=rank,
        lora_alpha=int(alpha),
        lora_dropout=recipe.adapter.dropout,
        target_modules=[site.name for site in planned.sites],
        modules_to_save=list(planned.encoder.head_modules),
        bias=recipe.adapter.bias,
    )


def quiet() -> None:
    """No progress bars and no notes about a new head among the numbers."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    disable_progress_bars()
    warnings.filterwarnings("ignore")
