"""What a recipe's run is predicted to cost on this machine, without loading torch."""

from dataclasses import dataclass
from typing import Self

from rankwise.data.labelled import Volume
from rankwise.planning.forecast import GPU_GFLOPS, Forecast, forecast
from rankwise.planning.plan import Plan
from rankwise.planning.workload import Work
from rankwise.recipe import Recipe
from rankwise.system import cores
from rankwise.system.speed import fastest_threads


@dataclass(frozen=True)
class Machine:
    """What a recipe would be computed on."""

    gflops: float
    threads: int
    bf16: bool
    gpu: bool = False

    @classmethod
    def measured(cls, recipe: Recipe) -> Self:
        """This machine under a recipe's precision and threads; a GPU's speed is taken to be that of a modest one."""
        if cores.has_nvidia():
            return cls(GPU_GFLOPS, threads=1, bf16=recipe.train.precision != "fp32", gpu=True)
        threads, by_threads = fastest_threads(recipe.train.threads or min(cores.usable_cores(), cores.default_threads()))
        bf16 = recipe.train.precision == "bf16" or (recipe.train.precision == "auto" and cores.has_bf16())
        return cls(by_threads[threads], threads, bf16)


def forecast_of(recipe: Recipe, plan: Plan, known: Volume | None, machine: Machine | None = None) -> Forecast:
    """What a run is predicted to cost on a machine, this one unless another is given.

    For 1,000 texts of full length where no data is known. Raises OverTime, OverMemory and OverDeployment.
    """
    work = work_of(recipe, plan, known)
    machine = machine or Machine.measured(recipe)
    return forecast(plan, recipe, work, gflops=machine.gflops, threads=machine.threads, bf16=machine.bf16, gpu=machine.gpu)


def work_of(recipe: Recipe, plan: Plan, known: Volume | None) -> Work:
    """How much text there is, as far as that is known before texts are tokens."""
    if known is None:
        return Work.assumed(max_length=recipe.data.max_length, encoder_longest=plan.encoder.longest)
    return known.work(recipe.data, encoder_longest=plan.encoder.longest)
