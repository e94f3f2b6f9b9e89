"""One peer of `auto`, as a person would write it: `python front_peers.py NAME TRAIN.csv TEST.csv ENCODER SEED` prints JSON.

What is imported is part of a peer's time, so each is a process of its own, and imports stand in the functions. The encoder
is a folder that sentence-transformers pools by the mean. The peers are packages that rankwise does not need: pip install
setfit==1.2.0 "model2vec[distill]==0.10.0" sentence-transformers, in an environment of their own, for transformers is older
there. `rank4` and `full` need what rankwise needs, and `datasets`.
"""

from __future__ import annotations

import csv
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Answers = tuple[NDArray[Any], int]
"""Predicted labels of the test texts, and how many numbers were fitted to the training texts."""


def main() -> None:
    name, train, test, encoder, seed = sys.argv[1:6]
    texts, labels = _read(Path(train))
    tested, truth = _read(Path(test))
    predicted, trained = PEERS[name](texts, labels, tested, encoder, int(seed))
    print(json.dumps({"right": (np.asarray(predicted) == np.asarray(truth)).astype(int).tolist(), "trained": trained}))


def tfidf(texts: list[str], labels: list[str], tested: list[str], encoder: str, seed: int) -> Answers:  # noqa: ARG001
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=10, max_iter=1000))
    model.fit(texts, labels)
    return model.predict(tested), model[-1].coef_.size


def script(texts: list[str], labels: list[str], tested: list[str], encoder: str, seed: int) -> Answers:  # noqa: ARG001
    from sentence_transformers import SentenceTransformer
    from sklearn.linear_model import LogisticRegression

    model = SentenceTransformer(encoder, device="cpu")
    head = LogisticRegression(max_iter=1000).fit(model.encode(texts), labels)
    return head.predict(model.encode(tested)), head.coef_.size + head.intercept_.size


def model2vec(texts: list[str], labels: list[str], tested: list[str], encoder: str, seed: int) -> Answers:  # noqa: ARG001
    from model2vec.distill import distill
    from sklearn.linear_model import LogisticRegression

    model = distill(encoder)
    head = LogisticRegression(max_iter=1000).fit(model.encode(texts), labels)
    return head.predict(model.encode(tested)), head.coef_.size + head.intercept_.size


def setfit(texts: list[str], labels: list[str], tested: list[str], encoder: str, seed: int) -> Answers:
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments

    names = sorted(set(labels))
    model = SetFitModel.from_pretrained(encoder, labels=names)
    rows = Dataset.from_dict({"text": texts, "label": [names.index(label) for label in labels]})
    with tempfile.TemporaryDirectory() as folder:
        # 20 pairs of each kind for a row, as in the paper: all pairs grow with the square of the rows
        arguments = TrainingArguments(folder, num_iterations=20, num_epochs=1, batch_size=16, seed=seed, report_to="none")
        Trainer(model=model, args=arguments, train_dataset=rows).train()
    predicted = model.predict(tested)
    return np.asarray(predicted), sum(weight.numel() for weight in model.model_body.parameters())


def rank4(texts: list[str], labels: list[str], tested: list[str], encoder: str, seed: int) -> Answers:
    from peft import LoraConfig, get_peft_model

    adapters = LoraConfig(task_type="SEQ_CLS", r=4, lora_alpha=8, target_modules=["query", "value"])
    return _by_trainer(texts, labels, tested, encoder, seed, rate=1e-3, wrap=lambda model: get_peft_model(model, adapters))


def full(texts: list[str], labels: list[str], tested: list[str], encoder: str, seed: int) -> Answers:
    return _by_trainer(texts, labels, tested, encoder, seed, rate=5e-5, wrap=lambda model: model)


def _by_trainer(
    texts: list[str],
    labels: list[str],
    tested: list[str],
    encoder: str,
    seed: int,
    *,
    rate: float,
    wrap: Callable[[Any], Any],
) -> Answers:
    """transformers' Trainer: three epochs in batches of 16, of which there are at least 100."""
    from datasets import Dataset
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments, set_seed

    set_seed(seed)
    names = sorted(set(labels))
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    model = wrap(AutoModelForSequenceClassification.from_pretrained(encoder, num_labels=len(names)))

    def rows(some: list[str]) -> dict[str, Any]:
        return dict(tokenizer(some, truncation=True, max_length=min(512, tokenizer.model_max_length)))

    train = Dataset.from_dict({**rows(texts), "labels": [names.index(label) for label in labels]})
    updates = max(100, 3 * -(-len(texts) // 16))
    with tempfile.TemporaryDirectory() as folder:
        how: dict[str, Any] = {
            "per_device_train_batch_size": 16,
            "per_device_eval_batch_size": 64,
            "learning_rate": rate,
            "seed": seed,
        }
        quiet: dict[str, Any] = {"report_to": "none", "save_strategy": "no", "use_cpu": True}
        arguments = TrainingArguments(folder, max_steps=updates, **how, **quiet)
        trainer = Trainer(model=model, args=arguments, train_dataset=train, processing_class=tokenizer)
        trainer.train()
        logits = np.asarray(trainer.predict(Dataset.from_dict(rows(tested))).predictions)
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    return np.asarray(names)[logits.argmax(-1)], trained


PEERS = {"tfidf": tfidf, "script": script, "model2vec": model2vec, "setfit": setfit, "rank4": rank4, "full": full}


def _read(path: Path) -> tuple[list[str], list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [row["label"] for row in rows]


if __name__ == "__main__":
    main()
