"""Whether what `rankwise decide` promises is true as often as it says, and what calibration does.

Writes results/decide.csv and results/calibration.csv.

    rankwise train auto --rung top --data FOLDER/tweet_emotion --fast --out runs/emotion-auto
    python benchmarks/decide.py runs/emotion-auto runs/emotion-tiered …

A world is all rows that a run did not train on, validation and test, so its true error is known. 200 times as many rows as
the run held out are drawn from it to choose by, and as many to verify, with replacement, as if more came from it; a promise
is broken where the true error of the chosen rule is above it. `--bounds` names the runs for this, the first of each data set
if it is not given; alone, none. Calibration is fitted to the validation rows and measured on the test rows of every run.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
from results_file import write

from rankwise.inference.decision import in_sets
from rankwise.run.folder import Run
from rankwise.stats.calibration import calibrate
from rankwise.stats.conformal import set_threshold
from rankwise.stats.scaling import Scaling
from rankwise.stats.scores import score
from rankwise.stats.selective import threshold_for_coverage, threshold_for_error, upper_bound

RESULTS = Path(__file__).parent / "results"
BOUNDS = ("data", "rows", "wanted", "resplits", "promised", "answered", "broken", "bound_broken", "sets_missed", "set_size")
CALIBRATION = ("run", "rows", "temperature", "biases")
CALIBRATION += tuple(
    f"{score}_{when}{end}"
    for score in ("log_loss", "calibration_error")
    for when in ("before", "after")
    for end in ("", "_low", "_high")
)
WANTED = (0.01, 0.02, 0.05, 0.1)
RESPLITS = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="run folders, called DATA-RECIPE")
    parser.add_argument("--bounds", nargs="*", type=Path, default=None)
    parser.add_argument("--resplits", type=int, default=RESPLITS)
    options = parser.parse_args()
    lines = [calibrated(folder) for folder in options.runs]
    write(RESULTS / "calibration.csv", CALIBRATION, lines)
    firsts = {data_of(folder): folder for folder in reversed(options.runs)}
    bounds = []
    for folder in list(firsts.values())[::-1] if options.bounds is None else options.bounds:
        bounds += bounded(folder, options.resplits)
        for line in bounds[-len(WANTED) :]:
            print(*line.values(), flush=True)
        write(RESULTS / "decide.csv", BOUNDS, bounds)


def data_of(folder: Path) -> str:
    return folder.name.partition("-")[0]


def calibrated(folder: Path) -> dict[str, object]:
    """Log-loss and calibration error of the test rows, before and after."""
    run = Run.load(folder)
    held, test = run.held_out_rows(), run.scored_rows()
    assert held is not None, f"{folder} kept no validation rows"
    scaling = calibrate(held.logits, held.truth).scaling
    line: dict[str, object] = {"run": folder.name, "rows": len(held.truth), "temperature": round(scaling.temperature, 3)}
    line["biases"] = len(scaling.bias)
    for when, how in (("before", Scaling()), ("after", scaling)):
        found = score(how.probabilities(test.logits), test.truth, run.preprocessing.classes, resamples=1000, confidence=0.95)
        for name in ("log_loss", "calibration_error"):
            interval = getattr(found, name)
            ends = {"": interval.value, "_low": interval.low, "_high": interval.high}
            line |= {f"{name}_{when}{end}": round(value, 4) for end, value in ends.items()}
    return line


def bounded(folder: Path, resplits: int) -> list[dict[str, object]]:
    """A line for each wanted error: how often a promise is made, what it answers, and how often it is broken."""
    run = Run.load(folder)
    held, test = run.held_out_rows(), run.scored_rows()
    assert held is not None, f"{folder} kept no validation rows"
    logits, truth = np.concatenate([held.logits, test.logits]), np.concatenate([held.truth, test.truth])
    rows, counts = len(held.truth), {wanted: np.zeros(6) for wanted in WANTED}
    for seed in range(resplits):
        rng = np.random.default_rng(seed)
        chosen, verifying = rng.integers(len(truth), size=(2, rows))
        found = calibrate(logits[chosen], truth[chosen])
        world = found.scaling.probabilities(logits)
        own = found.probabilities[np.arange(rows), truth[chosen]]
        confidence, wrong = found.probabilities.max(axis=1), found.probabilities.argmax(axis=1) != truth[chosen]
        sure, mistaken = world.max(axis=1), world.argmax(axis=1) != truth
        for wanted in WANTED:
            sets = in_sets(world, set_threshold(own, 1 - wanted))
            threshold = threshold_for_error(confidence, wrong, wanted)
            answered = sure >= (threshold.confidence if threshold else 2.0)
            by_coverage = sure >= threshold_for_coverage(confidence, wrong, 1 - wanted).confidence
            again = by_coverage[verifying]
            bound = upper_bound(int((again & mistaken[verifying]).sum()), int(again.sum()))
            counts[wanted] += (
                threshold is not None,
                answered.mean(),
                answered.any() and mistaken[answered].mean() > wanted,
                mistaken[by_coverage].mean() > bound,
                sets[np.arange(len(truth)), truth].mean() < 1 - wanted,
                sets.sum(axis=1).mean(),
            )
    lines = []
    for wanted, (promised, answered, broken, bound, missed, size) in counts.items():
        shares = (promised / resplits, answered / max(promised, 1), broken / resplits, bound / resplits, missed / resplits)
        values = (data_of(folder), rows, wanted, resplits, *(round(value, 4) for value in (*shares, size / resplits)))
        lines.append(dict(zip(BOUNDS, values, strict=True)))
    return lines


def bounds_table() -> list[str]:
    """How often promises are broken, from decide.csv."""
    lines = [
        "| data | rows that choose | wanted error | promised | answered then | broken | bound at a coverage broken "
        "| sets miss | labels in a set |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows_of("decide.csv"):
        shares = (f"{100 * float(row[name]):.1f} %" for name in ("broken", "bound_broken", "sets_missed"))
        answered = f"{100 * float(row['answered']):.0f} %" if float(row["promised"]) else ""
        lines.append(
            f"| {row['data']} | {row['rows']} | {100 * float(row['wanted']):g} % | {100 * float(row['promised']):.0f} % "
            f"| {answered} | {' | '.join(shares)} | {float(row['set_size']):.2f} |"
        )
    return lines


def calibration_table() -> list[str]:
    """Log-loss and calibration error before and after, from calibration.csv, and the mean of their ratios."""
    lines = [
        "| run | rows | temperature | log-loss | calibrated | calibration error | calibrated |",
        "|---|---:|---:|---|---|---|---|",
    ]
    rows = rows_of("calibration.csv")
    for row in rows:
        cells = [
            f"{float(row[key]):.3f} [{float(row[f'{key}_low']):.3f}, {float(row[f'{key}_high']):.3f}]"
            for key in (f"{name}_{when}" for name in ("log_loss", "calibration_error") for when in ("before", "after"))
        ]
        bias = " and biases" if int(row["biases"]) else ""
        lines.append(f"| `{row['run']}` | {row['rows']} | {float(row['temperature']):.2f}{bias} | {' | '.join(cells)} |")
    if rows:
        ratios = (
            np.mean([float(row[f"{name}_after"]) / float(row[f"{name}_before"]) for row in rows])
            for name in ("log_loss", "calibration_error")
        )
        first, second = (f"{ratio:.2f} times" for ratio in ratios)
        lines.append(f"| mean | | | | {first} | | {second} |")
    return lines


def rows_of(name: str) -> list[dict[str, str]]:
    path = RESULTS / name
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    main()
