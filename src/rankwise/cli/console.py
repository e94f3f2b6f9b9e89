"""What several verbs show a person: plain tables, the picture of a plan, progress, scores with their intervals.

Results go to standard output, progress to standard error; a stream that is no terminal gets no colours, no progress.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from rankwise.planning.forecast import Forecast
from rankwise.planning.plan import Plan
from rankwise.recipe import SHORT_KINDS
from rankwise.stats.intervals import Interval
from rankwise.system.events import (
    AlreadyComplete,
    DataPrepared,
    Evaluated,
    Event,
    HeadFitted,
    HiddenStatesCached,
    MachineMeasured,
    MemoryRanOut,
    TrainingEnded,
    TrainingStarted,
    UpdateLogged,
    UpdateMade,
)

if TYPE_CHECKING:
    from rankwise.data.files.table import Layout

SHADES = " ░▒▓█"

BAR = (TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn())  # with which every progress bar begins

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def error(message: str) -> None:
    err.print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True)


def dim(message: str) -> None:
    out.print(f"[dim]{escape(message)}[/]")


def note(message: str) -> None:
    out.print(f"[yellow]note:[/] {escape(message)}")


def show_plan(name: str, plan: Plan, forecast: Forecast | None = None) -> None:
    """The ledger by section, a picture of what is adapted, what the run is predicted to cost, the notes."""
    ledger = plan.ledger
    out.print(f"[bold]{escape(name)}[/] on {escape(plan.encoder.name)}: {_what_trains(plan)}")
    table = plain_table("trained", "parameters", "share of the cap" if ledger.budget else "share of the model")
    whole = ledger.budget or ledger.total_parameters
    for section, parameters in ledger.sections().items():
        table.add_row(_section_name(section, plan), f"{parameters:,}", f"{parameters / whole:.1%}")
    table.add_section()
    trained = ledger.trainable_parameters
    table.add_row("[bold]total trained[/]", f"[bold]{trained:,}[/]", f"[bold]{trained / whole:.1%}[/]")
    if ledger.budget:
        table.add_row("cap", f"{ledger.budget:,}", "")
    table.add_row("whole model", f"{ledger.total_parameters:,}", "")
    out.print(table)
    if plan.sites:
        out.print(plan_map(plan))
    for line in forecast.lines() if forecast else ():
        out.print(escape(line))
    for line in plan.notes:
        note(line)


def plan_map(plan: Plan) -> Text:
    """Layers down (the last on top), kinds of linear layer across; the shade is the size relative to the largest.

    A size is an adapter's rank, a prefix's length or the number of scales.
    """
    kinds = plan.encoder.kinds
    entries = plan.ledger.adapters
    sizes = {(entry.layer, entry.kind): entry.rank or plan.prefix_length or entry.parameters for entry in entries}
    largest = max(sizes.values())
    picture = Text("\n      " + "".join(f"{SHORT_KINDS[kind]:^9}" for kind in kinds) + "     cost\n", style="dim")
    for layer in reversed(range(plan.encoder.layers)):
        picture.append(f"{layer:>4}  ", style="dim")
        for kind in kinds:
            size = sizes.get((layer, kind), 0)
            shade = SHADES[0] if size == 0 else SHADES[max(1, round(4 * size / largest))]
            label = f"{size:^4}" if size else " ·  "
            picture.append(shade * 2, style="cyan")
            picture.append(label, style="bold" if size else "dim")
            picture.append(shade * 2 + " ", style="cyan")
        cost = sum(entry.parameters for entry in entries if entry.layer == layer)
        picture.append(f"{cost:>9,}\n", style="dim")
    return picture


def show_layouts(layouts: Iterable[Layout]) -> None:
    """A line about the files that are read, one for all that are alike."""
    alike: dict[str, dict[str, None]] = {}
    for layout in layouts:
        name, _, description = layout.describe().partition(": ")
        alike.setdefault(description, {})[name] = None
    for description, names in alike.items():
        dim(f"{', '.join(names)}: {description}")


def shell(path: Path) -> str:
    """A path in a command to copy, quoted where a shell asks for it."""
    return escape(shlex.quote(str(path)))


class Bar:
    """A listener that draws a progress bar on standard error, from `with` to its end; none where that is no terminal."""

    def __init__(self, *columns: ProgressColumn, disable: bool = False) -> None:
        disable = disable or not err.is_terminal
        self.progress = Progress(*columns, console=err, transient=True, disable=disable)
        self.task: Any = None

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()


class TrainingProgress(Bar):
    """A bar with loss, speed and ETA, and a line for each evaluation."""

    def __init__(self) -> None:
        loss, eta = TextColumn("{task.fields[loss]}"), TextColumn("ETA")
        super().__init__(*BAR, loss, TimeElapsedColumn(), eta, TimeRemainingColumn())

    def __call__(self, event: Event) -> None:
        if isinstance(event, AlreadyComplete):
            dim(f"{event.folder} is already complete")
        elif isinstance(event, DataPrepared):
            for warning in event.warnings:
                note(warning)
        if not err.is_terminal:
            return
        self._draw(event)
        if line := _line(event):
            err.print(line)

    def _draw(self, event: Event) -> None:
        """Move the bar as an event says."""
        if isinstance(event, TrainingStarted):
            self.task = self.progress.add_task("training", total=event.total, completed=event.step, loss="")
        elif self.task is None:
            return
        elif isinstance(event, UpdateLogged):
            self.progress.update(self.task, completed=event.step, loss=f"loss {event.loss:.3f}")
        elif isinstance(event, UpdateMade):
            self.progress.update(self.task, completed=event.step)
        elif isinstance(event, TrainingEnded):
            self.progress.update(self.task, description="scoring")


def _line(event: Event) -> str:
    """The line that an event of a training prints above the bar, if any."""
    match event:
        case MachineMeasured():
            return f"[dim]{_machine(event)}[/]"
        case DataPrepared():
            rows = f"{event.train:,} train, {event.validation:,} validation, {event.test:,} test rows"
            return f"[dim]{rows}; at most {event.max_length} tokens[/]"
        case HiddenStatesCached():
            return f"[dim]{_hidden_states(event)}[/]"
        case HeadFitted():
            return f"[dim]head fitted on {event.rows:,} texts[/]"
        case MemoryRanOut():
            return f"memory ran out: going on with micro-batches of {event.micro_batch_size}"
        case Evaluated():
            best = "  [green]best[/]" if event.best else ""
            worst = "" if event.worst_shift is None else f", under the worst shift {event.worst_shift:.1%}"
            return (
                f"[dim]epoch {event.epoch:g}  training loss {event.train_loss:.3f}  validation[/] "
                f"{event.accuracy:.1%}[dim], loss {event.log_loss:.3f}{worst}[/]{best}"
            )
    return ""


def _machine(event: MachineMeasured) -> str:
    """`2 threads (1: 92, 2: 168 GFLOP/s; train.threads sets another number), bf16`."""
    speeds = ", ".join(f"{count}: {speed:.0f}" for count, speed in event.gflops.items())
    because = f" ({speeds} GFLOP/s; train.threads sets another number)" if speeds else ""
    processes = f"{event.processes} processes of " if event.processes > 1 else ""
    return f"{processes}{event.threads} {'thread' if event.threads == 1 else 'threads'}{because}, {event.precision}"


def _hidden_states(event: HiddenStatesCached) -> str:
    """What became of the hidden states cache for one split."""
    if event.bytes is None or event.took is None:
        return "frozen layers: no room in the cache (RANKWISE_CACHE_GB), so they run every time"
    how = "read from" if event.reused else "run once into"
    return (
        f"frozen layers below {event.layer}, {event.split}: {how} the cache, {event.bytes / 1e9:.2f} GB, {event.took:.1f} s"
    )


def show_engine(run: Any, engine: str) -> None:
    """Load the engine, and say on standard error how close an export comes to torch; torch itself needs no word."""
    about = getattr(run.predictor_on(engine).scorer, "about", "")
    if about:
        err.print(f"[dim]{escape(about)}[/]", soft_wrap=True)


def plain_table(first: str, *rest: str, right: Sequence[int] | None = None) -> Table:
    """A plain table; columns after the first are right-aligned unless `right` says which are."""
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(first)
    for column, heading in enumerate(rest, start=1):
        numeric = right is None or column in right
        table.add_column(heading, justify="right" if numeric else "left", no_wrap=numeric)
    return table


def counted(number: int, what: str) -> str:
    """A number and its noun: `1 update`, `2,000 updates`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def bar(value: int, largest: int) -> Text:
    return Text("█" * max(1 if value else 0, round(36 * value / max(1, largest))), style="cyan")


def percent(interval: Interval) -> str:
    """A share in percent: `89.5 [88.8, 90.2]`."""
    return _bracketed(interval, "z.1f", times=100)


def points(interval: Interval) -> str:
    """A difference of shares in percentage points: `+4.1 [+3.0, +5.2]`."""
    return _bracketed(interval, "+z.1f", times=100)


def number(interval: Interval) -> str:
    """Any other score: `0.314 [0.290, 0.341]`."""
    return _bracketed(interval, "z.3f", times=1)


def _bracketed(interval: Interval, form: str, *, times: int) -> str:
    """The estimate and, where it has them, its bounds."""
    value, low, high = (None if bound is None else times * bound for bound in (interval.value, interval.low, interval.high))
    if value is None:
        return "n/a"
    return f"{value:{form}}" if low is None or high is None else f"{value:{form}} [{low:{form}}, {high:{form}}]"


def hanging(mark: str, text: str) -> None:
    """Print text, with markup, after a mark; further lines begin under its first word."""
    for number, line in enumerate(Text.from_markup(text).wrap(out, out.width - len(mark) - 1)):
        line.rstrip()
        out.print(Text(f"{mark if number == 0 else ' ' * len(mark)} ") + line)


def _what_trains(plan: Plan) -> str:
    """What a plan trains, in a few words."""
    summary = plan.method.summary(plan.adapter, plan.ranks, len(plan.sites))
    return f"{summary}, {plan.head.kind} head" if plan.adapter.is_apart else summary


def _section_name(section: str, plan: Plan) -> str:
    """What a section of the ledger is called for people."""
    names = {
        "adapter": f"adapters on {len(plan.ranks)} linear layers",
        "magnitude": "magnitudes (DoRA)",
        "bias": "biases",
        "vector": f"scales on {len(plan.sites)} linear layers",
        "prefix": "virtual keys and values",
        "encoder": "the whole encoder",
        "head": f"{plan.head.kind} head",
    }
    return names[section]
