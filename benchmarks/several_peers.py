"""One system that gives a text several labels: `python several_peers.py NAME FOLDER ENCODER SEED EPOCHS FOUND.npz
[MINUTES]`.

The folder has train, dev and test as go_emotions is published: TSV of a text, class numbers and an id, and labels.txt. Each
system is a process of its own, and imports stand in the functions. FOUND.npz gets the probabilities of the dev and test rows;
what is printed is JSON: how many numbers were trained, CPU seconds of training, updates. `tfidf`, `frozen` and `script` are
as a person would write them.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Probabilities = NDArray[np.float64]
"""(N, C)"""
Found = tuple[Probabilities, Probabilities, dict[str, Any]]
"""Of the dev rows, of the test rows, and facts."""


def main() -> None:
    name, folder, encoder, seed, epochs, out = sys.argv[1:7]
    dev, test, facts = SYSTEMS[name](Path(folder), encoder, int(seed), float(epochs))
    np.savez_compressed(out, dev=dev.astype(np.float32), test=test.astype(np.float32))
    print(json.dumps(facts))


def read(folder: Path, split: str) -> tuple[list[str], NDArray[np.int64]]:
    """Texts, and which classes each has (N, C)."""
    classes = len((folder / "labels.txt").read_text("utf-8").split())
    rows = [line.split("\t") for line in (folder / f"{split}.tsv").read_text("utf-8").split("\n") if line]
    truth = np.zeros((len(rows), classes), dtype=np.int64)
    for number, row in enumerate(rows):
        truth[number, [int(label) for label in row[1].split(",")]] = 1
    return [row[0] for row in rows], truth


def tfidf(folder: Path, encoder: str, seed: int, epochs: float) -> Found:  # noqa: ARG001
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.pipeline import make_pipeline

    texts, truth = read(folder, "train")
    started = time.process_time()
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    model = make_pipeline(words, OneVsRestClassifier(LogisticRegression(C=10, max_iter=1000)))
    model.fit(texts, truth)
    took = time.process_time() - started
    dev, test = (np.asarray(model.predict_proba(read(folder, split)[0])) for split in ("dev", "test"))
    return dev, test, {"trained": truth.shape[1] * (len(words.vocabulary_) + 1), "training": took, "updates": 0}


def frozen(folder: Path, encoder: str, seed: int, epochs: float) -> Found:  # noqa: ARG001
    """Mean-pooled embeddings of length 1, as sentence-transformers gives for this encoder."""
    import torch
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(encoder), AutoModel.from_pretrained(encoder).eval()

    def embedded(texts: Sequence[str]) -> NDArray[np.float32]:
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
        vectors = np.zeros((len(texts), model.config.hidden_size), dtype=np.float32)
        for start in range(0, len(order), 32):
            rows = order[start : start + 32]
            batch = tokenizer(
                [texts[row] for row in rows], padding=True, truncation=True, max_length=128, return_tensors="pt"
            )
            with torch.inference_mode():
                states, mask = model(**batch).last_hidden_state, batch["attention_mask"][..., None]
            mean = (states * mask).sum(1) / mask.sum(1)
            vectors[rows] = torch.nn.functional.normalize(mean, dim=1).numpy()
        return vectors

    texts, truth = read(folder, "train")
    started = time.process_time()
    head = OneVsRestClassifier(LogisticRegression(C=10, max_iter=1000)).fit(embedded(texts), truth)
    took = time.process_time() - started
    dev, test = (np.asarray(head.predict_proba(embedded(read(folder, split)[0]))) for split in ("dev", "test"))
    return dev, test, {"trained": truth.shape[1] * (model.config.hidden_size + 1), "training": took, "updates": 0}


def script(folder: Path, encoder: str, seed: int, epochs: float) -> Found:
    """Trainer + peft: LoRA of rank 23 on every linear layer, as `auto` has it in its dearest rung, in batches of 16."""
    import tempfile

    from datasets import Dataset
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments, set_seed

    set_seed(seed)
    texts, truth = read(folder, "train")
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    several: dict[str, Any] = {"num_labels": truth.shape[1], "problem_type": "multi_label_classification"}
    linear = ["query", "key", "value", "intermediate.dense", "output.dense"]
    adapters = LoraConfig(task_type="SEQ_CLS", r=23, lora_alpha=46, target_modules=linear)
    model = get_peft_model(AutoModelForSequenceClassification.from_pretrained(encoder, **several), adapters)

    def rows(some: list[str], labels: NDArray[np.int64]) -> Dataset:
        tokens = tokenizer(some, truncation=True, max_length=128)
        return Dataset.from_dict({**tokens, "labels": labels.astype(np.float32).tolist()})

    with tempfile.TemporaryDirectory() as kept:
        arguments = TrainingArguments(
            kept,
            num_train_epochs=epochs,
            per_device_train_batch_size=16,
            per_device_eval_batch_size=64,
            learning_rate=SCRIPT_RATE,
            warmup_steps=0.06,
            weight_decay=0.01,
            seed=seed,
            report_to="none",
            save_strategy="no",
            use_cpu=True,
            disable_tqdm=True,
        )
        trainer = Trainer(model=model, args=arguments, train_dataset=rows(texts, truth), processing_class=tokenizer)
        started = time.process_time()
        trainer.train()
        took = time.process_time() - started
        logits = [np.asarray(trainer.predict(rows(*read(folder, split))).predictions) for split in ("dev", "test")]
    dev, test = (1 / (1 + np.exp(-of_split.astype(np.float64))) for of_split in logits)
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    return dev, test, {"trained": trained, "training": took, "updates": trainer.state.global_step}


def auto(folder: Path, encoder: str, seed: int, epochs: float) -> Found:  # noqa: ARG001
    """`rankwise train auto`; `rungs` has what each rung's training took, the scores of the validation rows among it."""
    import rankwise
    from rankwise.training.events import TrainingStarted
    from rankwise.workflows.events import RungReached, RungStarted

    rungs: list[dict[str, Any]] = []
    began = time.process_time()

    def hear(event: Any) -> None:
        nonlocal began
        now = time.process_time()
        if isinstance(event, RungStarted):
            began = now
            rungs.append({"rung": event.rung, "updates": 0})
        elif isinstance(event, TrainingStarted):
            rungs[-1]["updates"] = event.total
        elif isinstance(event, RungReached):
            rungs[-1] |= {"cpu": round(now - began, 1), "credit": round(event.accuracy, 4)}

    asked = [f"data.source={folder}", f"train.seed={seed}", f"train.epochs={epochs:g}"]
    asked += [f"budget.minutes={minutes}" for minutes in sys.argv[7:]]
    run = rankwise.train("auto", folder / "run", overrides=asked, listeners=[hear], existing="overwrite")
    scored = run.scored_rows()
    test = scored.probabilities[np.argsort(scored.rows)].astype(np.float64)
    dev = run.predictor.probabilities(read(folder, "dev")[0])
    order = [run.task.classes.index(name) for name in (folder / "labels.txt").read_text("utf-8").split()]
    assert run.facts.ladder is not None, "auto has rungs"
    handed = next(rung.rung for rung in run.facts.ladder.rungs if rung.handed_over)
    facts = {
        "trained": run.facts.trained_parameters.counted,
        "training": sum(rung["cpu"] for rung in rungs),
        "updates": next(rung["updates"] for rung in rungs if rung["rung"] == handed),
        "rung": handed,
        "rungs": " ".join(f"{rung['rung']}:{rung['updates']}:{rung['cpu']}:{rung['credit']}" for rung in rungs),
        "thresholds": np.array(run.preprocessing.thresholds)[order].tolist(),
    }
    return dev[:, order], test[:, order], facts


SCRIPT_RATE = 1e-3
SYSTEMS: dict[str, Callable[[Path, str, int, float], Found]] = {
    "auto": auto,
    "tfidf": tfidf,
    "frozen": frozen,
    "script": script,
}


if __name__ == "__main__":
    main()
