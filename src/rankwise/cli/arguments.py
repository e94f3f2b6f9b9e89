"""What the verbs of the command line share: arguments, options with their help, JSON on standard output."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from inspect import Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_type_hints

import typer
from typer import Argument, Option

from rankwise.run.engines import ENGINES, HELP
from rankwise.system.visible import visible_json

if TYPE_CHECKING:
    EngineName = str
else:
    EngineName = Literal[tuple(ENGINES)]  # the choices that typer shows and checks

RecipeArg = Annotated[str, Argument(metavar="RECIPE", help="A built-in recipe (rankwise recipes) or a YAML file.")]
SetOption = Annotated[
    list[str] | None, Option("--set", help="Change a key, such as --set train.epochs=2. Repeatable.", metavar="KEY=VALUE")
]
MinutesOption = Annotated[float | None, Option(help="Time for the whole run; updates and schedule are made to fit.")]
MemoryOption = Annotated[float | None, Option(help="Peak memory in GB; micro-batches are made to fit.", metavar="GB")]
FastOption = Annotated[
    bool, Option("--fast", help="bf16 where the hardware has it, no dropout in the encoder: about twice as fast.")
]
JsonOption = Annotated[bool, Option("--json", help="Print JSON on standard output, nothing else.")]
TextColumn = Annotated[list[str] | None, Option(help="Text column, name or position. Repeatable.")]
TextPairColumn = Annotated[list[str] | None, Option(help="Column of a pair's second text, name or position. Repeatable.")]
LabelColumn = Annotated[list[str] | None, Option(help="Label column, name or position. Repeatable.")]
RunArg = Annotated[Path, Argument(metavar="RUN", help="A run folder, such as runs/quickstart.")]
BaseOption = Annotated[
    Path | None, Option(metavar="FOLDER", help="Where the run's base encoder is now; checked by its sha256.")
]
EngineOption = Annotated[EngineName, Option(help=HELP)]

Options = TypeVar("Options")


def takes_options(verb: Callable[[Options], None]) -> Callable[..., None]:
    """The command of a verb that takes one dataclass of options: typer sees a parameter for every field of it."""
    (kind,) = (hint for name, hint in get_type_hints(verb).items() if name != "return")
    hints = get_type_hints(kind, include_extras=True)

    @wraps(verb)
    def command(**values: Any) -> None:
        verb(kind(**values))

    parameters = [part.replace(annotation=hints[name]) for name, part in signature(kind).parameters.items()]
    command.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = hints
    return command


@dataclass(frozen=True, kw_only=True)
class RecipeOptions:
    """What changes a recipe, for every verb that trains or plans one."""

    data: Annotated[str | None, Option(help="A file, a folder of files, hub:NAME, or sample.")] = None
    budget: Annotated[str | None, Option(help="Trainable parameters: 1000000, 50k, 1M, or none.")] = None
    fast: FastOption = False
    overrides: SetOption = None


def print_json(*parts: object) -> None:
    """Print a value, dataclasses in it as their fields; the keys of several values go into one object."""
    from rankwise.system.files import to_json

    plain = [to_json(part) for part in parts]
    whole = plain[0] if len(plain) == 1 else {key: value for part in plain for key, value in part.items()}
    typer.echo(visible_json(json.dumps(whole, indent=2, ensure_ascii=False)))
