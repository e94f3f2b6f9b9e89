"""How many wrong labels are found where a text may have several, and which order brings them first.

    python benchmarks/suspects_several.py --data ../shared/data/go_emotions/dev.tsv

A tenth of the rows have one of their labels replaced: by one drawn as often as it occurs, or by any alike (seed 0). Then
`rankwise data --suspects --truth` looks for them. `first_100` of its list are wrong, `first_100_by_margin` would be if the
list were ordered as that of one label a text. Writes benchmarks/results/suspects_several.csv.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from results_file import write

RESULTS = Path(__file__).parent / "results" / "suspects_several.csv"
COLUMNS = ("replaced_by", "features", "answers", "wrong", "rows", "right", "precision", "precision_low", "precision_high")
COLUMNS += ("recall", "recall_low", "recall_high", "first_100", "first_100_by_margin")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="text, ids of labels with commas between them")
    options = parser.parse_args()
    rows = [line.split("\t")[:2] for line in Path(options.data).read_text("utf-8").splitlines()]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for replaced_by in ("as often as it occurs", "any alike"):
            path = planted(rows, Path(folder), in_shares=replaced_by.startswith("as often"))
            for features in ("tfidf", "encoder"):
                found.append({"replaced_by": replaced_by, "features": features, **measured(path, features)})
                print(found[-1], flush=True)
    write(RESULTS, COLUMNS, found)


def planted(rows: list[list[str]], folder: Path, *, in_shares: bool) -> Path:
    """A file of the rows with given labels beside the true ones."""
    truth = [[int(label) for label in several.split(",")] for _, several in rows]
    counts = np.bincount(np.concatenate(truth)).astype(float) if in_shares else np.ones(1 + max(map(max, truth)))
    rng, lines = np.random.default_rng(0), []
    for (text, _), own in zip(rows, truth, strict=True):
        given = list(own)
        if rng.random() < 0.1:
            others = np.where(np.isin(np.arange(len(counts)), own), 0.0, counts)
            given[rng.integers(len(own))] = int(rng.choice(len(counts), p=others / others.sum()))
        lines.append({"text": text, "label": [f"e{one}" for one in given], "truth": json.dumps([f"e{one}" for one in own])})
    path = folder / "planted.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)), "utf-8")
    return path


def measured(path: Path, features: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "rankwise", "data", str(path), "--suspects", "--truth", "truth", "--json"]
    told = json.loads(subprocess.run([*command, "--features", features], capture_output=True, check=True, text=True).stdout)
    named, suspects = told["against_truth"]["probably wrong"], told["suspects"]
    by_margin = sorted(suspects, key=lambda row: row["p_label"] - row["p_likely"])
    shares = {
        f"{name}{bound and '_'}{bound}": named[name][bound or "value"]
        for name in ("precision", "recall")
        for bound in ("", "low", "high")
    }
    return {
        "answers": told["judged"],
        "wrong": named["wrong"],
        "rows": named["listed"],
        "right": named["right"],
        **{name: round(value, 4) for name, value in shares.items()},
        "first_100": sum(map(is_wrong, suspects[:100])),
        "first_100_by_margin": sum(map(is_wrong, by_margin[:100])),
    }


def is_wrong(row: dict[str, Any]) -> bool:
    """Whether the label that is suspected is one of those that were replaced."""
    return row["label"].removeprefix("not ") in set(json.loads(row["labels"])) ^ set(json.loads(row["truth"]))


if __name__ == "__main__":
    main()
