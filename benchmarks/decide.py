"""Whether what `rankwise decide` promises is true as often as it says, and what calibration does.

Writes results/decide.csv, results/calibration.csv and, with `--priors`, results/priors.csv.

    rankwise train auto --rung top --data FOLDER/tweet_emotion --fast --out runs/emotion-auto
    python benchmarks/decide.py runs/emotion-auto runs/emotion-tiered …

A world is all rows that a run did not train on, validation and test, so its true error is known. 200 times as many rows as
the run held out are drawn from it to choose by, and as many to verify, with replacement, as if more came from it; a promise
is broken where the true error of the chosen rule is above it. `--bounds` names the runs for this, the first of each data set
if it is not given; alone, none. Calibration is fitted to the validation rows and measured on the test rows of every run,
beside the lowest log-loss that any temperature, and any with biases, has on these rows: no honest choice can do better.
`--priors` cuts so many validation rows out of a run's rows, and measures on the others what each prior makes of them.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import numpy as np
from results_file import write

from rankwise.inference.decision import in_sets
from rankwise.run.folder import Run
from rankwise.stats import calibration
from rankwise.stats.calibration import Floats, Labels, calibrate, fit_scaling, log_losses
from rankwise.stats.conformal import set_threshold
from rankwise.stats.scaling import Scaling
from rankwise.stats.scores import score
from rankwise.stats.selective import threshold_for_coverage, threshold_for_error, upper_bound

RESULTS = Path(__file__).parent / "results"
BOUNDS = ("data", "rows", "wanted", "resplits", "promised", "answered", "broken", "bound_broken", "sets_missed", "set_size")
PRIORS = ("prior", "rows", "runs", "resplits", "log_loss_ratio", "worst_ratio")
TRIED = (1.0, 0.5, 0.3, 0.2, 0.15, 0.1)  # standard deviations of log T and of biases
CUT = (30, 100, 300, 1_000)  # validation rows
CALIBRATION = ("run", "kept", "rows", "temperature", "biases", "lowest_by_temperature", "lowest_by_biases")
CALIBRATION += tuple(
    f"{score}_{when}{end}"
    for score in ("log_loss", "calibration_error")
    for when in ("before", "after")
    for end in ("", "_low", "_high")
)
KEPT = {"last": "last of five epochs", "log_loss": "by log-loss", "accuracy": "by accuracy"}
WANTED = (0.01, 0.02, 0.05, 0.1)
RESPLITS = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="run folders, called DATA-RECIPE")
    parser.add_argument("--bounds", nargs="*", type=Path, default=None)
    parser.add_argument("--resplits", type=int, default=RESPLITS)
    parser.add_argument("--priors", type=int, metavar="RESPLITS", help="compare priors instead, over so many resplits")
    options = parser.parse_args()
    if options.priors:
        write(RESULTS / "priors.csv", PRIORS, priors(options.runs, options.priors))
        return
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
    spec = run.recipe.train
    line: dict[str, object] = {
        "run": folder.name,
        "kept": "last" if spec.evaluate_every == "end" else spec.select_by,
        "rows": len(held.truth),
        "temperature": round(scaling.temperature, 3),
        "biases": len(scaling.bias),
        "lowest_by_temperature": round(lowest_log_loss(test.logits, test.truth, bias=False), 4),
        "lowest_by_biases": round(lowest_log_loss(test.logits, test.truth, bias=True), 4),
    }
    for when, how in (("before", Scaling()), ("after", scaling)):
        found = score(how.probabilities(test.logits), test.truth, run.preprocessing.classes, resamples=1000, confidence=0.95)
        for name in ("log_loss", "calibration_error"):
            interval = getattr(found, name)
            ends = {"": interval.value, "_low": interval.low, "_high": interval.high}
            line |= {f"{name}_{when}{end}": round(value, 4) for end, value in ends.items()}
    return line


def lowest_log_loss(logits: Floats, truth: Labels, *, bias: bool) -> float:
    """The lowest that a scaling fitted to these very rows has, hardly held by a prior."""
    with weaker_prior(100.0):
        return float(log_losses(fit_scaling(logits, truth, bias=bias).probabilities(logits), truth).mean())


@contextmanager
def weaker_prior(deviation: float) -> Iterator[None]:
    """Another prior of `rankwise.stats.calibration` than its own."""
    own, calibration.PRIOR = calibration.PRIOR, deviation
    try:
        yield
    finally:
        calibration.PRIOR = own


def priors(folders: Sequence[Path], resplits: int) -> list[dict[str, object]]:
    """A line for each number of validation rows and prior: the log-loss of the other rows, times what it is uncalibrated."""
    worlds, lines = [], []
    for folder in folders:
        run = Run.load(folder)
        held, test = run.held_out_rows(), run.scored_rows()
        assert held is not None, f"{folder} kept no validation rows"
        worlds.append((np.concatenate([held.logits, test.logits]), np.concatenate([held.truth, test.truth])))
    for rows in CUT:
        large = [world for world in worlds if len(world[1]) >= 1.5 * rows]
        for prior in TRIED:
            ratios = np.zeros((len(large), resplits))
            for (number, (logits, truth)), seed in product(enumerate(large), range(resplits)):
                order = np.random.default_rng([seed, rows]).permutation(len(truth))
                chosen, others = order[:rows], order[rows:]
                with weaker_prior(prior):
                    scaling = calibrate(logits[chosen], truth[chosen]).scaling
                after, before = (
                    log_losses(how.probabilities(logits[others]), truth[others]).mean() for how in (scaling, Scaling())
                )
                ratios[number, seed] = after / before
            values = (prior, rows, len(large), resplits, round(ratios.mean(), 4), round(ratios.max(), 4))
            lines.append(dict(zip(PRIORS, values, strict=True)))
            print(*values, flush=True)
    return lines


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


def priors_table() -> list[str]:
    """What each prior makes of few validation rows, from priors.csv: the mean ratio of log-losses, and the worst."""
    lines = [f"| deviation of log T | {' | '.join(f'{rows:,} rows' for rows in CUT)} |", f"|---:|{'---|' * len(CUT)}"]
    by_prior: dict[str, list[str]] = {}
    for row in rows_of("priors.csv"):
        cell = f"{float(row['log_loss_ratio']):.3f}, worst {float(row['worst_ratio']):.2f}"
        by_prior.setdefault(row["prior"], []).append(cell)
    return [*lines, *(f"| {prior} | {' | '.join(cells)} |" for prior, cells in by_prior.items())]


def calibration_table() -> list[str]:
    """Log-loss and calibration error before and after, from calibration.csv, and the mean of their ratios."""
    lines = [
        "| run | weights kept | rows | temperature | log-loss | calibrated | lowest by T, with biases | calibration error "
        "| calibrated |",
        "|---|---|---:|---:|---|---|---|---|---|",
    ]
    rows = rows_of("calibration.csv")
    for row in rows:
        cells = [
            f"{float(row[key]):.3f} [{float(row[f'{key}_low']):.3f}, {float(row[f'{key}_high']):.3f}]"
            for key in (f"{name}_{when}" for name in ("log_loss", "calibration_error") for when in ("before", "after"))
        ]
        bias = " and biases" if int(row["biases"]) else ""
        lowest = f"{float(row['lowest_by_temperature']):.3f}, {float(row['lowest_by_biases']):.3f}"
        lines.append(
            f"| `{row['run']}` | {KEPT[row['kept']]} | {row['rows']} | {float(row['temperature']):.2f}{bias} "
            f"| {' | '.join([*cells[:2], lowest, *cells[2:]])} |"
        )
    last = [row for row in rows if row["kept"] == "last"]
    for name, of in (("chosen", [row for row in rows if row not in last]), ("last", last)):
        if of:
            columns = ("log_loss_after", "lowest_by_temperature", "lowest_by_biases", "calibration_error_after")
            after, lowest, with_biases, error = (
                np.mean([float(row[column]) / float(row[before_of(column)]) for row in of]) for column in columns
            )
            cells = ["", f"{after:.2f} times", f"{lowest:.2f}, {with_biases:.2f} times", "", f"{error:.2f} times"]
            lines.append(f"| mean of {len(of)} | {name} | | | {' | '.join(cells)} |")
    return lines


def before_of(column: str) -> str:
    """The column that a ratio of this one is of."""
    return "calibration_error_before" if column.startswith("calibration") else "log_loss_before"


def rows_of(name: str) -> list[dict[str, str]]:
    path = RESULTS / name
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    main()
