"""How often `rankwise gate` calls a run worse or lets it pass, simulated beside what it states; results/gate.csv.

    python benchmarks/gate.py
    python benchmarks/gate.py --table

Pairs of models answer 7,600 rows in four classes, each row drawn anew: on a share of them one alone is right, and NEW is
right so many points less often than OLD. What is stated for accuracy is the sum of the probabilities of all counts, made
without drawing any; for macro-F1 it is the normal distribution with the deviation of each pair's bootstrap, the mean over
pairs. Seeds are fixed. What is in the CSV is not run again.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from results_file import append
from resumable import Job, lines_of, missing

from rankwise.stats.noninferiority import AccuracyTest, Chances, MacroF1Test, PairedTest, accuracy_chances, outcome_of

RESULTS = Path(__file__).parent / "results" / "gate.csv"
COLUMNS = (
    "score",
    "rows",
    "margin",
    "discordance",
    "difference",
    "pairs",
    "worse",
    "passed",
    "stated_worse",
    "stated_passed",
)
CLASSES = 4
ACCURACY = 0.9
Answers = NDArray[np.int64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=7600)
    parser.add_argument("--pairs", type=int, default=1000, help="for macro-F1, which is resampled, a fifth of them")
    parser.add_argument("--table", action="store_true", help="print the table of what was measured")
    options = parser.parse_args()
    if options.table:
        print("\n".join(table()))
        return
    for job in missing(RESULTS, jobs(options.rows, options.pairs)):
        line = measure(job)
        append(RESULTS, COLUMNS, {**job, **line})
        print(*job.values(), *line.values(), flush=True)


def jobs(rows: int, pairs: int) -> list[Job]:
    """Points of margin and difference, percent of discordance."""
    settings = [("accuracy", 0.5, share, by) for share in (2, 4, 8, 12, 16) for by in (0.0, -0.5, -1.0, -2.0)]
    settings += [("accuracy", 0.01, share, 0.0) for share in (2, 8)]  # hardly a margin: most alarms at no difference
    settings += [("macro_f1", 0.5, share, by) for share in (2, 8) for by in (0.0, -1.0)]
    return [
        {"score": score, "rows": rows, "margin": margin, "discordance": share, "difference": by}
        | {"pairs": pairs if score == "accuracy" else pairs // 5}
        for score, margin, share, by in settings
    ]


def measure(job: Job) -> dict[str, object]:
    """How many of the pairs are called worse, and pass, beside the shares that are stated."""
    margin, share, by = (float(str(job[name])) / 100 for name in ("margin", "discordance", "difference"))
    rows, pairs = int(str(job["rows"])), int(str(job["pairs"]))
    outcomes, stated = [], []
    for new, old, truth in drawn(rows, share, by, pairs):
        if job["score"] == "accuracy":
            only_new, only_old = int(((new == truth) & (old != truth)).sum()), int(((old == truth) & (new != truth)).sum())
            test: PairedTest = AccuracyTest(only_new, only_old, rows)
        else:
            test = MacroF1Test.of(new, old, truth, CLASSES, resamples=1000)
            stated.append(test.chances(by, margin))
        outcomes.append(outcome_of(test.bounds, margin))
    stated = stated or [accuracy_chances(rows, share, by, margin)]
    return {
        "worse": outcomes.count("worse"),
        "passed": outcomes.count("not worse"),
        "stated_worse": _mean(stated, "worse"),
        "stated_passed": _mean(stated, "not_worse"),
    }


def drawn(
    rows: int, discordance: float, difference: float, pairs: int, *, seed: int = 0
) -> Iterator[tuple[Answers, Answers, Answers]]:
    """What NEW and OLD answer, and the truth: (rows,) each, for every pair."""
    new, old = (discordance + difference) / 2, (discordance - difference) / 2
    both = ACCURACY - new
    rng = np.random.default_rng([seed, round(1e6 * discordance), round(-1e6 * difference)])
    for _ in range(pairs):
        truth = rng.integers(0, CLASSES, rows)
        case = rng.choice(4, size=rows, p=[both, new, old, 1 - both - new - old])  # right: both, NEW alone, OLD alone, none
        wrong = (truth + rng.integers(1, CLASSES, rows)) % CLASSES
        yield np.where(case <= 1, truth, wrong), np.where(case % 2 == 0, truth, wrong), truth


def table() -> Iterator[str]:
    """A line a setting, in shares of pairs."""
    yield "| score | margin | one alone is right on | NEW minus OLD | worse, of 100 | as stated | pass, of 100 | as stated |"
    yield "|---|---:|---:|---:|---:|---:|---:|---:|"
    for row in lines_of(RESULTS):
        cells = [row["score"].replace("_f", "-F"), f"{float(row['margin']):g}", f"{row['discordance']} %", row["difference"]]
        for name in ("worse", "passed"):
            seen, stated = int(row[name]) / int(row["pairs"]), float(row[f"stated_{name}"])
            cells += [f"{100 * share:.1f}" for share in (seen, stated)]
        yield f"| {' | '.join(cells)} |"


def _mean(stated: list[Chances], name: str) -> float:
    return round(float(np.mean([getattr(chances, name) for chances in stated])), 5)


if __name__ == "__main__":
    main()
