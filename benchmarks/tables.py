"""Fill the tables of both READMEs from the planner and from results/; `--check` only says whether they are current.

python benchmarks/tables.py
"""

from __future__ import annotations

import csv
import re
import sys
from pathlib import Path

import accuracy
import allocation
import board
import decide
import few_rows
import front
import gate
import grid
import methods
import minutes
import pairs
import promises
import rare_classes
import rungs
import several
import thresholds
import tuning
import unlike
import windows

import serving
from rankwise import Recipe, builtin_recipes, plan
from rankwise.errors import OverBudget

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"(<!-- begin: (\w+) [^>]*-->\n).*?(<!-- end: \2 -->)", flags=re.DOTALL)
RESULTS = ROOT / "benchmarks" / "results" / "recipes.csv"


def main() -> None:
    tables = {
        "recipes": recipes_table(),
        "results": results_table(),
        "heads": heads_table(),
        "speed": speed_table(),
        "levers": levers_table(),
        "generic_speed": generic_speed_table(),
        "parity": parity_table(),
        "scale": scale_table(),
        "warm": warm_table(),
        "memory": memory_table(),
        "minutes": "\n".join(minutes.table()) + "\n",
        "allocation": "\n".join(allocation.table()) + "\n",
        "board": "\n".join(board.table()) + "\n",
        "accuracy": "\n".join(accuracy.table()) + "\n",
        "suspects": suspects_table(),
        "suspects_several": suspects_several_table(),
        "methods": methods.table(),
        "sweep": sweep_table(),
        "shift": shift_table(),
        "refusal": refusal(),
        "gpu": gpu_table(),
        "tuning": "\n".join(tuning.table()) + "\n",
        "few_rows_gains": "\n".join(few_rows.gains()) + "\n",
        "few_rows": "\n".join(few_rows.table()) + "\n",
        "rungs": "\n".join(rungs.table()) + "\n",
        "front": "\n".join(front.table()) + "\n",
        "windows": "\n".join(windows.table()) + "\n",
        "promises": "\n".join(promises.table()) + "\n",
        "gate": "\n".join(gate.table()) + "\n",
        "pairs": "\n".join(pairs.table()) + "\n",
        "several": "\n".join(several.table()) + "\n",
        "thresholds": "\n".join(thresholds.table()) + "\n",
        "grid": "\n".join(grid.table()) + "\n",
        "serving": "\n".join(serving.table()) + "\n",
        "rare_classes": "\n".join(rare_classes.table()) + "\n",
        "bounds": "\n".join(decide.bounds_table()) + "\n",
        "priors": "\n".join(decide.priors_table()) + "\n",
        "calibration": "\n".join(decide.calibration_table()) + "\n",
        "unlike": "\n".join(unlike.table()) + "\n",
    }
    stale = []
    for path in (ROOT / "README.md", ROOT / "benchmarks" / "README.md"):
        before = path.read_text("utf-8")
        after = BLOCK.sub(lambda found: f"{found[1]}{tables[found[2]]}{found[3]}", before)
        if before != after:
            stale.append(str(path.relative_to(ROOT)))
            if "--check" not in sys.argv:
                path.write_text(after, "utf-8")
    if "--check" in sys.argv and stale:
        sys.exit(f"{' and '.join(stale)}: not current; type: make tables")


def gpu_table() -> str:
    """Sides of one training on a GPU."""
    lines = ["| on an NVIDIA GPU | texts a second | times Trainer + peft |", "|---|---:|---:|"]
    for row in rows_of("gpu.csv"):
        lines.append(f"| {row['side']} | {float(row['rows_per_second']):,.0f} | {float(row['ratio']):.1f} |")
    return "\n".join(lines) + "\n"


def refusal() -> str:
    """What a plan over its cap says."""
    command = "uniform-qkv --budget 500k"
    try:
        plan(Recipe.load("uniform-qkv", ["budget.parameters=500000"]), classes=4)
    except OverBudget as problem:
        return f"```text\n$ rankwise plan {command}\nerror: {problem}\n```\n"
    raise AssertionError(f"{command} fits, so it shows nothing")


def recipes_table() -> str:
    """Planned and published parameters of every built-in recipe."""
    lines = ["| recipe | on | trains | the report prints | what it is |", "|---|---|---:|---:|---|"]
    for name in builtin_recipes():
        recipe = Recipe.load(name)
        trained = f"{plan(recipe, classes=4).ledger.trainable_parameters:,}"
        published = recipe.published
        counted = published.trainable_parameters if published else None
        printed = f"{counted:,}" if counted else ("not given" if published else "")
        report = f" (report {published.report[:3]})" if published else ""
        lines.append(f"| `{name}` | {recipe.base} | {trained} | {printed} | {recipe.summary}{report} |")
    return "\n".join(lines) + "\n"


def results_table() -> str:
    """Measured scores, as benchmarks/recipes.py wrote them."""
    lines = [
        "| data | training rows | recipe | trained parameters | epochs | accuracy | TF-IDF + logistic | training seconds |",
        "|---|---:|---|---:|---:|---|---:|---:|",
    ]
    with RESULTS.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            recipe = f"`{row['recipe']}`" + (f" {row['changes']}" if row["changes"] else "")
            accuracy = f"{percent(row['accuracy'])} [{percent(row['low'])}, {percent(row['high'])}]"
            lines.append(
                f"| {row['data']} | {row['train_rows']} | {recipe} | {int(row['trained_parameters']):,} | {row['epochs']} "
                f"| {accuracy} | {percent(row['tfidf_accuracy'])} | {row['training_seconds']} |"
            )
    return "\n".join(lines) + "\n"


def heads_table() -> str:
    """Head starts, as benchmarks/head_start.py wrote them."""
    lines = [
        "| head | trained parameters | rows | seeds | validation accuracy | log-loss |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    with (RESULTS.parent / "head_start.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            lines.append(
                f"| {row['head']} | {int(row['trained_parameters']):,} | {row['train_rows']} | {row['seeds']} "
                f"| {percent(row['validation_accuracy'])} | {float(row['log_loss']):.2f} |"
            )
    return "\n".join(lines) + "\n"


def speed_table() -> str:
    """Ours beside Trainer + peft and pipeline(), as benchmarks/speed.py wrote them."""
    lines = [
        "| work | side | threads | rows a second | times as fast | utilisation | peak memory |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows_of("speed.csv"):
        peak = f"{row['peak_gb']} GB" if row["peak_gb"] else ""
        lines.append(
            f"| {row['work']} | {row['side']} | {row['threads']} | {row['rows_per_second']} | {row['ratio']} "
            f"| {row['utilisation']} | {peak} |"
        )
    return "\n".join(lines) + "\n"


def levers_table() -> str:
    """Each lever off in turn, as benchmarks/speed.py wrote them."""
    lines = ["| `--fast`, but | seconds, times those of all on |", "|---|---:|"]
    lines += [f"| {row['lever']} | {row['gain']} |" for row in rows_of("levers.csv")]
    return "\n".join(lines) + "\n"


def generic_speed_table() -> str:
    """Encoders without a fast path beside Trainer + peft, as benchmarks/generic_speed.py wrote them."""
    lines = [
        "| encoder | data | tokens | side | CPU seconds | rankwise is faster, CPU time | by the clock | losses differ by "
        "| in products with frozen weights |",
        "|---|---|---:|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows_of("generic_speed.csv"):
        share = f"{100 * float(row['frozen_products']):.0f} %" if row["frozen_products"] else ""
        shown = ("encoder", "data", "tokens", "side", "cpu_seconds", "times_cpu", "times_wall", "loss_difference")
        lines.append(f"| {' | '.join(row[column] for column in shown)} | {share} |")
    return "\n".join(lines) + "\n"


def parity_table() -> str:
    """Accuracy of both sides by seed, as benchmarks/accuracy_peers.py wrote it."""
    lines = ["| side | accuracy by seed | mean | minus the peer's by seed, points |", "|---|---|---:|---|"]
    sides: dict[str, dict[str, float]] = {}
    for row in rows_of("parity.csv"):
        name = "Trainer + peft" if row["side"] == "peer" else f"rankwise {row['changes'] or 'as it is'}"
        sides.setdefault(name, {})[row["seed"]] = float(row["accuracy"])
    peer = sides.get("Trainer + peft", {})
    for name, found in sides.items():
        mean = sum(found.values()) / len(found)
        ahead = [f"{100 * (value - peer[seed]):+.2f}" for seed, value in found.items() if seed in peer and found is not peer]
        by_seed = ", ".join(percent2(value) for value in found.values())
        lines.append(f"| {name} | {by_seed} | {percent2(mean)} | {', '.join(ahead)} |")
    return "\n".join(lines) + "\n"


def scale_table() -> str:
    """Memory and time by rows, as benchmarks/scale.py wrote them."""
    lines = ["| rows | peak memory | seconds in all |", "|---:|---:|---:|"]
    for row in rows_of("scale.csv"):
        lines.append(f"| {int(row['rows']):,} | {row['peak_mb']} MB | {row['seconds']} |")
    return "\n".join(lines) + "\n"


def warm_table() -> str:
    """What a fitted head gives, as benchmarks/warm_start.py wrote it."""
    rows = rows_of("warm_start.csv")
    if not rows:
        return ""
    steps = [key for key in rows[0] if key.startswith("validation_after_")]
    tests = [key for key in rows[0] if key.startswith("test_") and key != "test_rows"]
    names = [f"validation, {key.removeprefix('validation_after_')} updates" for key in steps]
    names += [f"test, {key.removeprefix('test_').replace('_', ' ')}" for key in tests]
    lines = [f"| head at the start | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}"]
    lines += [f"| {row['head']} | {' | '.join(percent(row[key]) for key in (*steps, *tests))} |" for row in rows]
    return "\n".join(lines) + "\n"


def memory_table() -> str:
    """Predicted beside actual memory and time, as benchmarks/memory.py wrote them."""
    lines = ["| changes | predicted memory | actual | predicted seconds | actual |", "|---|---:|---:|---:|---:|"]
    for row in rows_of("memory.csv"):
        changes = f"`{row['changes']}`" if row["changes"] else "none"
        lines.append(
            f"| {changes} | {row['predicted_gb']} GB | {row['actual_gb']} GB | {row['predicted_s']} | {row['actual_s']} |"
        )
    return "\n".join(lines) + "\n"


def suspects_table() -> str:
    """Wrong labels found, as benchmarks/suspects.py wrote them."""
    lines = ["| wrong labels | features | list | rows | precision | recall |", "|---|---|---|---:|---|---|"]
    for row in rows_of("suspects.csv"):
        scores = (
            f"{percent(row[name])} [{percent(row[f'{name}_low'])}, {percent(row[f'{name}_high'])}]"
            for name in ("precision", "recall")
        )
        lines.append(f"| {row['noise']} | {row['features']} | {row['list']} | {int(row['rows']):,} | {' | '.join(scores)} |")
    return "\n".join(lines) + "\n"


def suspects_several_table() -> str:
    """Wrong labels found among several of a text, as benchmarks/suspects_several.py wrote them."""
    lines = [
        "| replaced by one drawn | features | probably wrong | precision | recall | of the first 100 wrong | by margin |"
    ]
    lines.append("|---|---|---:|---|---|---:|---:|")
    for row in rows_of("suspects_several.csv"):
        scores = (
            f"{percent(row[name])} [{percent(row[f'{name}_low'])}, {percent(row[f'{name}_high'])}]"
            for name in ("precision", "recall")
        )
        cells = (
            row["replaced_by"],
            row["features"],
            f"{int(row['rows']):,}",
            *scores,
            row["first_100"],
            row["first_100_by_margin"],
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def sweep_table() -> str:
    """A sweep beside the same trainings one by one, as benchmarks/sweep.py wrote it."""
    lines = ["| 16 trainings of 5 epochs | rows | seconds | times as fast |", "|---|---:|---:|---:|"]
    for row in rows_of("sweep.csv"):
        lines.append(f"| {row['side']} | {row['rows']} | {row['seconds']} | {row['times_as_fast']} |")
    return "\n".join(lines) + "\n"


def shift_table() -> str:
    """Accuracy on the rows as they are, and points lost under each kind of shift, as benchmarks/shift.py wrote them."""
    by_run: dict[tuple[str, str], dict[str, dict[str, str]]] = {}
    for row in rows_of("shift.csv"):
        by_run.setdefault((row["recipe"], row["seed"]), {})[row["kind"]] = row
    if not by_run:
        return ""
    names = [f"`{recipe}`" for recipe, _ in by_run]
    lines = [f"| the test texts | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    for kind in next(iter(by_run.values())):
        name = "accuracy" if kind == "original" else "drop"
        cells = (
            f"{percent(kinds[kind][name])} [{percent(kinds[kind][f'{name}_low'])}, {percent(kinds[kind][f'{name}_high'])}]"
            for kinds in by_run.values()
        )
        label = "as they are: accuracy" if kind == "original" else f"{kind.replace('_', ' ')}: points lost"
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def rows_of(name: str) -> list[dict[str, str]]:
    """The rows of a results file; none where it has not been written."""
    path = RESULTS.parent / name
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def percent2(share: float) -> str:
    return f"{100 * share:.2f}"


def percent(share: str) -> str:
    return f"{100 * float(share):.1f}"


if __name__ == "__main__":
    main()
