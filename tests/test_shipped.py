"""Every YAML that ships, and the README's, says what today's code takes, and can be planned."""

from __future__ import annotations

import re
from contextlib import suppress
from itertools import islice
from pathlib import Path

import pytest

import rankwise
from rankwise.cli.verbs.space import configurations
from rankwise.errors import OverBudget
from rankwise.planning.plan import plan
from rankwise.published.reports import find_report
from rankwise.recipe import Recipe
from rankwise.sweep.results import configured
from rankwise.sweep.space import Space

PACKAGE = Path(rankwise.__file__).parent
README = PACKAGE.parents[1] / "README.md"


def recipe_plans(name: str) -> None:
    for base in {Recipe.load(name).base, "minilm"}:
        ledger = plan(Recipe.load(name, [f"base={base}"]), classes=4).ledger
        assert ledger.trainable_parameters > 0
        assert ledger.fits or ledger.budget is None


def space_plans(name: str | Path) -> None:
    space = Space.load(name)
    base = Recipe.load(space.base, space.set)
    space.check(base)
    fits = 0
    for params in islice(configurations(space), 0, None, 13):  # of hundreds
        with suppress(OverBudget):
            fits += plan(configured(base, params), classes=4).ledger.fits
    assert fits > 0


def report_plans(number: str) -> None:
    for experiment in find_report(number).experiments:
        assert experiment.counted() > 0, experiment.name


KINDS = {"recipe/builtin": recipe_plans, "sweep/spaces": space_plans, "published": report_plans}


@pytest.mark.parametrize(
    "path", sorted(path for path in PACKAGE.rglob("*.yaml") if path.name != "style.yaml"), ids=lambda path: path.stem
)
def test_a_yaml_that_ships_is_one_of_the_kinds_that_can_be_named_and_plans(path: Path) -> None:
    KINDS[path.parent.relative_to(PACKAGE).as_posix()](path.stem)


def test_the_space_of_the_readme_plans(tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    (tmp_path / "news.yaml").write_text(text, "utf-8")
    space_plans(tmp_path / "news.yaml")
