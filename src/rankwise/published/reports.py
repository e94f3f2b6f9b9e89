"""What the five source reports did and printed, as data: `NNN.yaml` beside this file, one for each.

An experiment's recipe names the report's own encoder, so the planner counts what it trained. Nothing here loads torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Literal

from pydantic import Field

from rankwise.errors import RecipeError, nearest
from rankwise.planning.plan import plan
from rankwise.recipe import Recipe
from rankwise.recipe.values import Count, Spec
from rankwise.recipe.yaml import parse
from rankwise.system.events import Event

DataName = Literal["ag_news", "imdb"]
SOURCES: dict[DataName, tuple[str, tuple[str, ...]]] = {
    "ag_news": ("hub:fancyzhx/ag_news", ("World", "Sports", "Business", "Sci/Tech")),
    "imdb": ("hub:stanfordnlp/imdb", ("neg", "pos")),
}  # where the reports took their data from, and its classes


@dataclass(frozen=True)
class ExperimentStarted(Event, kind="experiment"):
    """A reproduction comes to its training `number` of `total`."""

    name: str
    seed: int
    number: int
    total: int
    asked_by: str
    """The experiments that need this one, where it was not asked for itself."""
    done: bool
    """Whether it is finished already."""


class Experiment(Spec):
    """One thing that a report trained, or one way in which it asked what it had trained."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    """A short name, used for run folders and tables."""
    summary: str
    recipe: str
    """The built-in recipe that it varies."""
    overrides: tuple[str, ...] = ()
    """What is other than in the recipe, as for --set."""
    data: DataName = "ag_news"
    trained_parameters: int | None = None
    """As printed in the report."""
    scores: dict[str, str] = Field(default_factory=dict)
    """As printed in the report."""
    asks: str | None = None
    """Instead of training, ask the runs of the experiment with this name again."""
    mc_dropout: Count | None = None
    """Passes with dropout on that are averaged; with `asks`."""

    def load(self) -> Recipe:
        """The recipe that it trains, on the report's own encoder and data."""
        source, classes = SOURCES[self.data]
        data = [f"data.source={source}", f"data.classes=[{', '.join(classes)}]"]
        recipe = Recipe.load(self.recipe, [*data, *self.overrides])
        return recipe.model_copy(update={"name": self.name, "summary": self.summary, "published": None})

    def counted(self) -> int:
        """What it trains on the report's own encoder, by the planner; no weights are needed."""
        return plan(self.load(), classes=len(SOURCES[self.data][1])).ledger.trainable_parameters


class Report(Spec):
    """A report: what it trained, and what in it does not add up."""

    number: str = Field(pattern=r"^\d{3}$")
    title: str
    experiments: tuple[Experiment, ...]
    doubts: tuple[str, ...]
    """What does not add up, a sentence each."""

    def chosen(self, names: Sequence[str]) -> tuple[Experiment, ...]:
        """The experiments with these names, and those that they ask; all where there are no names. Raises RecipeError."""
        known = {experiment.name: experiment for experiment in self.experiments}
        for name in names:
            if name not in known:
                hint = nearest(name, known) or f"; it has {', '.join(known)}"
                raise RecipeError(f"report {self.number} has no experiment '{name}'{hint}")
        wanted = {*(names or known)}
        wanted |= {asked for name in wanted if (asked := known[name].asks)}
        return tuple(experiment for experiment in self.experiments if experiment.name in wanted)


def reports() -> list[Report]:
    """Read all reports, ordered by number."""
    folder = resources.files("rankwise.published")
    files = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".yaml")), key=lambda entry: entry.name)
    return [Report.model_validate(parse(file.name, file.read_text("utf-8"))[0]) for file in files]


def find_report(name: str) -> Report:
    """By number (`002` or `2`), or by the name of a recipe that it describes. Raises RecipeError."""
    known = reports()
    for report in known:
        by_number = name.isdecimal() and int(name) == int(report.number)
        if by_number or name in (experiment.recipe for experiment in report.experiments):
            return report
    names = [*(report.number for report in known), *(e.recipe for report in known for e in report.experiments)]
    hint = "." if name.isdecimal() else nearest(name, names) or "."
    raise RecipeError(f"no report is called '{name}'{hint} Known: {', '.join(dict.fromkeys(names))}")
