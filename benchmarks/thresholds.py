"""Ways to choose a threshold for each class from few rows; writes results/thresholds.csv.

    python benchmarks/several.py --data ../shared/data/go_emotions --rows 4000 --keep kept
    python benchmarks/thresholds.py kept/4000-3-0
    python benchmarks/thresholds.py --table

On the dev rows alone, whose probabilities `several.py --keep` wrote for each system: thresholds are chosen on some of one
half and scored on the other half, over 16 ways to halve, the same for all.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from results_file import write
from resumable import lines_of
from several_peers import read

from rankwise.stats.several import best_thresholds, paired_macro_f1

RESULTS = Path(__file__).parent / "results" / "thresholds.csv"
HALVINGS = 16
CHOSEN_ON = (2_713, 1_000, 400, 150)
NOW = "best F1 drawn to as many, 80"
COLUMNS = ("system", "rows", "halving", "way", "macro_f1", "micro_f1")
Floats = NDArray[np.float64]
Answers = NDArray[np.int64]
Way = Callable[[Floats, Answers], Floats]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="what several.py kept of some rows")
    parser.add_argument("--table", action="store_true", help="only print what has been measured")
    options = parser.parse_args()
    if not options.table:
        _, truth = read(options.folder, "dev")
        lines = []
        for path in sorted(options.folder.glob("*.npz")):
            lines += [{"system": path.stem, **line} for line in halved(np.load(path)["dev"].astype(np.float64), truth)]
            print(path.stem, flush=True)
        write(RESULTS, COLUMNS, lines)
    print("\n".join(table()))


def halved(told: Floats, truth: Answers) -> list[dict[str, Any]]:
    lines = []
    for halving in range(HALVINGS):
        order = np.random.default_rng(halving).permutation(len(told))
        others = order[len(order) // 2 :]
        for rows in CHOSEN_ON:
            some = order[: min(rows, len(order) // 2)]
            for name, way in WAYS.items():
                decided = (told[others] >= way(told[some], truth[some])).astype(np.int64)
                line = {"rows": rows, "halving": halving, "way": name}
                lines.append({**line, **scores(decided, truth[others])})
    return lines


def scores(decided: Answers, truth: Answers) -> dict[str, float]:
    macro = paired_macro_f1(decided, np.zeros_like(truth), truth, resamples=0).value or 0.0
    micro = 2 * (decided * truth).sum() / (decided.sum() + truth.sum())
    return {"macro_f1": round(macro, 4), "micro_f1": round(float(micro), 4)}


def drawn(sure_rows: float) -> Way:
    return lambda told, truth: best_thresholds(told, truth, sure_rows=sure_rows)


def own_from(fewest: float) -> Way:
    """The best F1 of a class that so many rows have, and for others the best of all classes together."""

    def way(told: Floats, truth: Answers) -> Floats:
        together = best_thresholds(told.reshape(-1, 1), truth.reshape(-1, 1), sure_rows=0)
        return np.where(truth.sum(axis=0) >= fewest, best_thresholds(told, truth, sure_rows=0), together)

    return way


WAYS: dict[str, Way] = {
    "a half": lambda told, _: np.full(told.shape[1], 0.5),
    "one for all classes": own_from(np.inf),
    **{f"best F1 from {fewest} rows, else one for all": own_from(fewest) for fewest in (40, 20, 10, 5)},
    "best F1": drawn(0),
    **{f"best F1 drawn to as many, {rows}": drawn(rows) for rows in (20, 80, 320)},
    "as many as have it": drawn(1e12),
}


def table() -> list[str]:
    """Means over systems and halvings, in Markdown; the rows that choose side by side."""
    found: dict[tuple[str, str], list[dict[str, str]]] = {}
    for line in lines_of(RESULTS):
        found.setdefault((line["way"], line["rows"]), []).append(line)
    heads = [f"{rows:,} rows" for rows in CHOSEN_ON]
    lines = [f"| macro-F1 (micro-F1) with thresholds from | {' | '.join(heads)} |", f"|---|{'---:|' * len(heads)}"]
    for way in dict.fromkeys(way for way, _ in found):
        cells = []
        for rows in map(str, CHOSEN_ON):
            macro, micro = (mean(100 * float(line[name]) for line in found[way, rows]) for name in ("macro_f1", "micro_f1"))
            cells.append(f"{macro:.1f} ({micro:.1f})")
        lines.append(f"| {way + (' (what is done)' if way == NOW else '')} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    main()
