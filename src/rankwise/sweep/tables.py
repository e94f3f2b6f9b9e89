"""What a sweep leaves in its folder for people and spreadsheets: leaderboard.csv, trials.csv, best.yaml.

The leaderboard has the finished trials, the best first; trials.csv has every trial in the order of its start. Both have a
column for each objective and score (mean over seeds, and its standard deviation where there are several) and for each recipe
key that the space varies.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rankwise.sweep.results import COSTS, Trial
from rankwise.sweep.study import Study

LEADERBOARD, TRIALS, BEST = "leaderboard.csv", "trials.csv", "best.yaml"
SCORES = ("accuracy", "macro_f1", "mcc", "log_loss", "worst_shift")


def write_tables(study: Study, folder: str | Path) -> list[Path]:
    """Write what there is to write, and return the files' paths; without a finished trial there is no best recipe."""
    folder = Path(folder)
    written = [folder / LEADERBOARD, folder / TRIALS]
    scores = [name for name in SCORES if any(name in trial.scores for trial in study.trials)]
    rows = {trial.number: _row(trial, scores, study.varied) for trial in study.trials}
    _write(written[0], [{"place": rank, **rows[trial.number]} for rank, trial in enumerate(study.finished, start=1)])
    _write(written[1], list(rows.values()))
    if best := study.best:
        recipe = study.recipe(best).model_copy(update={"name": f"{study.name.lstrip('.')}-best", "published": None})
        written.append(folder / BEST)
        written[-1].write_text(recipe.to_yaml(), "utf-8")
    return written


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else ["trial"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _row(trial: Trial, scores: Sequence[str], varied: Sequence[str]) -> dict[str, Any]:
    row: dict[str, Any] = {"trial": trial.number, "state": trial.state}
    for name in scores:
        row[name] = _number(trial.mean(name)) if name in trial.scores else ""
        row[f"{name}_sd"] = _number(trial.spread(name))
    for name in COSTS:
        row[name] = _number(getattr(trial, name))
    row["seeds"] = len(trial.seeds) or ""
    row["seed_numbers"] = " ".join(map(str, trial.seeds))
    row["validation_rows"] = _number(trial.validation_rows)
    for key in varied:
        value = trial.params.get(key, "")
        row[key] = value if isinstance(value, str) else json.dumps(value)
    row["reason"] = trial.reason
    return row


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
