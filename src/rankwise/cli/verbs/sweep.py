"""`rankwise sweep SPACE`: search a space of recipes, tell how it goes, print the leaderboard and what to type next."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from typer import Argument, Option

from rankwise.cli import console
from rankwise.cli.arguments import JsonOption, RecipeOptions, print_json, takes_options
from rankwise.cli.options import classes_of, is_local, recipe_of, task_of
from rankwise.cli.stopping import exit_code
from rankwise.cli.verbs.study import SweepProgress, show_study
from rankwise.errors import PlanError, require
from rankwise.planning.plan import plan
from rankwise.recipe import Recipe
from rankwise.system.cores import has_nvidia, usable_cores
from rankwise.system.memory import available_bytes
from rankwise.system.storage import told_refusals
from rankwise.workflows.forecasting import forecast_of

if TYPE_CHECKING:
    from rankwise.sweep.engines.local import Engine, Work
    from rankwise.sweep.space import Space

MEMORY_SHARE = 0.8  # of what is free, for all trials together


@dataclass(frozen=True, kw_only=True)
class SweepOptions(RecipeOptions):
    space: Annotated[
        str, Argument(help="A built-in space (rank4-grid, lora-hyperparameters) or a YAML file.", metavar="SPACE")
    ]
    out: Annotated[
        Path | None, Option(help="The sweep's folder; sweeps/NAME of the space when left out. The same one goes on.")
    ] = None
    trials: Annotated[int | None, Option(min=1, help="Configurations to train; a grid's all, else 20, when left out.")] = None
    jobs: Annotated[int | None, Option(min=1, help="Trials beside each other; as cores and memory allow when left out.")] = (
        None
    )
    minutes: Annotated[float | None, Option(min=0.1, help="Time for the whole; the same command goes on after it.")] = None
    storage: Annotated[
        str | None, Option(metavar="URL", help="postgresql://user@host/database, shared by several machines.")
    ] = None
    engine: Annotated[
        Literal["local", "ray"], Option(help="local: processes here; ray: the Ray cluster that answers (extra cluster).")
    ] = "local"
    address: Annotated[str | None, Option(metavar="HOST:PORT", help="The Ray cluster; RAY_ADDRESS when left out.")] = None
    only_plan: Annotated[bool, Option("--plan", help="Only say what the space holds, and how much of it fits the cap.")] = (
        False
    )
    as_json: JsonOption = False


@takes_options
def sweep(options: SweepOptions) -> None:
    """Search a space of recipes on validation rows; train the best again, as whole runs on fresh seeds.

    A configuration over the cap is never trained, and none is trained twice. Killed at any moment, the same command goes on.
    """
    started = time.monotonic()
    from rankwise.sweep.space import Space

    require("optuna", extra="sweep")
    if options.engine == "ray":
        require("ray", extra="cluster")
    elif options.address is not None:
        raise PlanError(
            f"--address {options.address} is a Ray cluster's, and --engine is local; type --engine ray, or leave it out"
        )
    settings = [change for change in options.overrides or [] if change.startswith("search.")]
    changes = [change for change in options.overrides or [] if change not in settings]
    trials = [f"trials={options.trials}"] if options.trials else []
    loaded = Space.load(options.space, [setting.removeprefix("search.") for setting in settings] + trials)
    fixed = [change.partition("=")[0].strip() for change in changes]
    loaded = loaded.without([*fixed, *(["budget.parameters"] if options.budget is not None else [])])
    asked = recipe_of(Recipe.load(loaded.base, loaded.set), replace(options, overrides=changes))
    base = asked.without_climb
    if len(asked.rungs) > 1 and not options.as_json:
        console.note(f"{asked.name} climbs rungs, which a sweep does not: all it trains is of the rung {asked.rungs[-1]}")
    if options.only_plan:
        from rankwise.cli.verbs.space import show_space

        show_space(loaded, base, as_json=options.as_json)
        return
    loaded = _suited(loaded, base, quiet=options.as_json)
    loaded.check(base)
    from rankwise.sweep.driver import sweep as search
    from rankwise.sweep.results import Imported, TrialWork
    from rankwise.sweep.storage import NO_ROOM, Store
    from rankwise.sweep.study import write_tables

    engine = _engine(options, loaded, base)
    folder = options.out or Path("sweeps") / loaded.name
    work = TrialWork(Imported("rankwise.sweep.objective:objective"), Imported("rankwise.sweep.objective:whole_run"))
    minutes = None if options.minutes is None else options.minutes - (time.monotonic() - started) / 60
    progress = SweepProgress(loaded, quiet=options.as_json)
    try:
        with progress, told_refusals(folder, NO_ROOM):
            store = Store(folder, options.storage)
            study = search(base, loaded, work, store, engine=engine, minutes=minutes, listeners=[progress])
            write_tables(study, folder)
    except KeyboardInterrupt as stop:  # what runs is given back by then
        console.error(f"stopped; {folder} keeps what is finished, and the same command goes on")
        raise typer.Exit(exit_code(stop)) from None
    if options.as_json:
        print_json(
            {
                "folder": str(folder),
                "complete": not progress.unfinished,
                "study": study.name,
                "objectives": study.objectives,
                "best": asdict(best) if (best := study.best) else None,
                "front": [trial.number for trial in study.front()],
                "importances": study.importances(),
                "trials": [asdict(trial) for trial in study.trials],
                "finals": [asdict(final) for final in study.finals],
            }
        )
    else:
        show_study(study, folder)
        if progress.unfinished:
            console.note("not all of it is done; the same command goes on")
    over = [count for trial in study.trials if trial.state == "rejected" and (count := trial.trained_parameters) is not None]
    if over and len(over) == len(study.trials):
        least = min(over)
        raise PlanError(f"nothing in this space fits the cap; the smallest would train {least:,}; type --budget {least + 1}")


def _suited(space: "Space", base: Recipe, *, quiet: bool) -> "Space":
    """The space with objectives of the base's data, where that is here. Raises RecipeError for those of another task."""
    if not is_local(base):
        return space
    suited = space.suited(has_classes=task_of(base).has_classes)
    if suited is not space and not quiet:
        console.note(f"a number is estimated, so trials are compared by {suited.objectives[0].replace('_', ' ')}")
    return suited


def _engine(options: SweepOptions, space: "Space", base: Recipe) -> "Callable[[Work], Engine]":
    """What runs the trials: processes of this machine, no more than there are trials, or a Ray cluster."""
    if options.engine == "ray":
        from rankwise.sweep.engines.ray import RayEngine

        return partial(RayEngine, jobs=options.jobs, address=options.address)
    from rankwise.sweep.engines.local import LocalEngine

    return partial(LocalEngine, jobs=min(options.jobs or fitting_jobs(base), space.wanted))


def fitting_jobs(base: Recipe) -> int:
    """Trials that fit beside each other: one for each core, as far as memory reaches; one where they would share a GPU."""
    if has_nvidia():
        return 1
    cores = usable_cores()
    if base.adapter.unscored:  # memory hardly depends on how ranks are shared out, and probing takes its time
        base = base.with_overrides(["adapter.allocate=uniform"])
    try:
        peak = forecast_of(base, plan(base, classes=classes_of(base)), None).peak_bytes
    except PlanError:  # the base itself need not fit; what does is for each trial to say
        return cores
    return max(1, min(cores, int(MEMORY_SHARE * available_bytes() / peak)))
