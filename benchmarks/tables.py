"""Fill the README's tables from the planner and from benchmarks/results; `--check` only says whether they are current.

python benchmarks/tables.py
"""

from __future__ import annotations

import csv
import re
import sys
from pathlib import Path

from rankwise import Recipe, builtin_recipes, plan

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "recipes.csv"


def main() -> None:
    readme = ROOT / "README.md"
    before = readme.read_text("utf-8")
    after = before
    for name, table in (("recipes", recipes_table()), ("results", results_table()), ("heads", heads_table())):
        after = re.sub(
            rf"(<!-- begin: {name} [^>]*-->\n).*?(<!-- end: {name} )",
            lambda found, table=table: f"{found[1]}{table}{found[2]}",
            after,
            flags=re.DOTALL,
        )
    if "--check" in sys.argv:
        sys.exit("README.md is not current; type: make tables" if before != after else 0)
    readme.write_text(after, "utf-8")


def recipes_table() -> str:
    """Planned and published parameters of every built-in recipe."""
    lines = ["| recipe | on | trains | the report prints | what it is |", "|---|---|---:|---:|---|"]
    for name in builtin_recipes():
        recipe = Recipe.load(name)
        trained = plan(recipe, classes=4).ledger.trainable_parameters
        published = recipe.published
        counted = published.trainable_parameters if published else None
        printed = f"{counted:,}" if counted else ("not given" if published else "")
        report = f" (report {published.report[:3]})" if published else ""
        lines.append(f"| `{name}` | {recipe.base} | {trained:,} | {printed} | {recipe.summary}{report} |")
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


def percent(share: str) -> str:
    return f"{100 * float(share):.1f}"


if __name__ == "__main__":
    main()
