"""Where should a slim head's frozen layer stand? Identity, orthogonal and random starts beside the stock head.

    python benchmarks/head_start.py --data ../shared/data/ag_news --rows 1000 --seeds 3

A dense-then-projection head is RoBERTa's, and no pretrained RoBERTa ships with rankwise, so the embedded encoder's weights
are put into RoBERTa's modules (the same layers under other names, positions shifted by two). Appends to
benchmarks/results/head_start.csv. Scores are of validation rows: this is a choice, so no test row is looked at.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import torch
from results_file import append
from safetensors.torch import load_file, save_file
from transformers import RobertaConfig

from rankwise import Recipe, train
from rankwise.encoders.base import locate
from rankwise.model.load import load_tokenizer

RESULTS = Path(__file__).parent / "results" / "head_start.csv"
COLUMNS = ("data", "train_rows", "epochs", "head", "trained_parameters", "seeds", "validation_accuracy", "spread", "log_loss")
HEADS = {
    "stock": ["head.kind=stock", "train.rates.head=5e-4"],
    "slim identity": ["head.kind=slim", "head.start=identity", "train.rates.head=5e-4"],
    "slim orthogonal": ["head.kind=slim", "head.start=orthogonal", "train.rates.head=5e-4"],
    "slim random": ["head.kind=slim", "head.start=random", "train.rates.head=5e-4"],
    "slim identity, head rate x10": ["head.kind=slim", "head.start=identity", "train.rates.head=5e-3"],
    "stock, head rate x10": ["head.kind=stock", "train.rates.head=5e-3"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--epochs", type=float, default=1)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--heads", nargs="*", default=list(HEADS), choices=list(HEADS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        base = as_roberta(Path(folder) / "base")
        for head in options.heads:
            row = measure(head, HEADS[head], base, options)
            append(RESULTS, COLUMNS, row)
            print(*(f"{key}={value}" for key, value in row.items()), flush=True)


def measure(head: str, changes: list[str], base: Path, options: argparse.Namespace) -> dict[str, object]:
    runs = []
    for seed in range(options.seeds):
        recipe = Recipe.load(
            "auto",
            [
                f"base={base}",
                f"data.source={options.data}",
                f"data.rows={options.rows}",
                "data.test_rows=100",
                "adapter.rank=8",
                "adapter.targets=[query,value]",
                f"train.epochs={options.epochs}",
                "train.min_updates=null",
                f"train.seed={seed}",
                "evaluate.baselines=false",
                "train.average=null",
                "train.select_by=accuracy",
                "train.early_stop=null",
                *changes,
            ],
        )
        with tempfile.TemporaryDirectory() as folder:
            runs.append(train(recipe, Path(folder) / "run"))
    accuracies = [run.scores.validation.accuracy for run in runs]
    return {
        "data": Path(options.data).name,
        "train_rows": options.rows,
        "epochs": f"{options.epochs:g}",
        "head": head,
        "trained_parameters": runs[0].plan_facts.trainable_parameters,
        "seeds": options.seeds,
        "validation_accuracy": round(statistics.mean(accuracies), 4),
        "spread": round(max(accuracies) - min(accuracies), 4),
        "log_loss": round(statistics.mean(run.scores.validation.log_loss for run in runs), 4),
    }


def as_roberta(folder: Path) -> Path:
    """The embedded encoder's weights as a RoBERTa checkpoint without a head."""
    minilm = locate("minilm")
    weights = load_file(Path(minilm.location) / "model.safetensors")
    positions = weights.pop("embeddings.position_embeddings.weight")  # (512, H); RoBERTa counts from padding_idx + 1 = 2
    moved = {name: tensor for name, tensor in weights.items() if not name.startswith("pooler") and "position_ids" not in name}
    moved["embeddings.position_embeddings.weight"] = torch.cat([positions[:2], positions])
    config = RobertaConfig(
        vocab_size=30522,
        hidden_size=384,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=1536,
        max_position_embeddings=514,
        type_vocab_size=2,
        pad_token_id=1,
        layer_norm_eps=1e-12,
    )
    folder.mkdir(parents=True)
    config.save_pretrained(folder)
    save_file({f"roberta.{name}": tensor.contiguous() for name, tensor in moved.items()}, folder / "model.safetensors")
    tokenizer = load_tokenizer(minilm)
    # RoBERTa finds padding by its id: 1, a token that MiniLM's vocabulary never uses
    tokenizer.add_special_tokens({"pad_token": tokenizer.convert_ids_to_tokens(1)})
    tokenizer.save_pretrained(folder)
    return folder


if __name__ == "__main__":
    main()
