"""The command line: the verbs put together, and what becomes of a mistake.

Heavy imports come late in each verb, so that `--help`, `plan`, `recipes` answer at once.

Exit codes: 0, also where the reader of a pipe has seen enough; 2 for the user's mistake (a RankwiseError or a wrong option);
1 for ours; 130 after Ctrl-C, 143 after SIGTERM. `gate` alone has two more: 3 for a run that is worse, 4 for too few rows.
"""

import atexit
import gc
from importlib import import_module
from typing import Annotated, Any

import typer

from rankwise.cli.stopping import exit_code, heed_sigterm, whole_output
from rankwise.errors import RankwiseError, told_extras

USAGE_ERROR: Any = typer.BadParameter.__bases__[0]  # click's, which typer does not export by name

VERBS = {  # what `rankwise --help` says of each, before its file is imported
    "train": "Plan, train and evaluate a recipe; write a run folder.",
    "plan": "What a recipe would train and cost, before it does.",
    "data": "What to know of a data set; rows with wrong labels.",
    "evaluate": "Score a run on labelled data, also under shift.",
    "decide": "When a run answers and when a person does, with a bound.",
    "predict": "Label texts from a file or the command line.",
    "serve": "Runs behind HTTP, for clients that people have already.",
    "export": "Write a run for ONNX Runtime, in 8 bits too, or OpenVINO.",
    "merge": "Write a run as one transformers model, its adapter merged.",
    "push": "Send a run to the Hugging Face hub, without its rows.",
    "pull": "Fetch a run from the Hugging Face hub.",
    "adopt": "Make an adapter of peft's a run.",
    "learn-curve": "Accuracy against rows, and what more would bring.",
    "compare": "Which run is better, and whether that is shown.",
    "gate": "Whether a new run is worse than the one in use, for CI.",
    "reproduce": "Run what a published report describes.",
    "report": "Runs or a sweep as one HTML page.",
    "sweep": "Search recipes; train the best again.",
    "recipes": "List the built-in recipes, or show one.",
}
GOING_ON = {  # after Ctrl-C or SIGTERM
    "train": "; a training goes on from its last checkpoint with --resume",
    "learn-curve": "; the same command goes on",
    "reproduce": "; the same command goes on",
}


class _Verbs(typer.core.TyperGroup):
    """The verbs, of which only the one that is typed is imported.

    A mistake and Ctrl-C, for which typer itself has a traceback and no word, end it with a clear line.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = {name: typer.core.TyperCommand(name, short_help=line) for name, line in VERBS.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return name, _verb(name) if name else command, rest

    def invoke(self, ctx: Any) -> Any:
        try:
            with told_extras():
                return super().invoke(ctx)
        except RankwiseError as problem:
            message, code = str(problem), problem.exit_code
        except KeyboardInterrupt as stop:
            message, code = f"stopped{GOING_ON.get(ctx.invoked_subcommand, '')}", exit_code(stop)
        from rankwise.cli import console

        console.error(message)
        raise typer.Exit(code)


def _verb(name: str) -> Any:
    """The command of a verb: its file's function of that name, or the typer app, where it has verbs of its own.

    The file's EPILOG, if any, ends its help.
    """
    word = name.replace("-", "_")
    module = import_module(f"rankwise.cli.verbs.{word}")
    app = getattr(module, word)
    if not isinstance(app, typer.Typer):
        verb, app = app, typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(name, epilog=getattr(module, "EPILOG", None))(verb)
    for command in app.registered_commands:
        command.cls = _Verb
    return typer.main.get_command(app)


class _Verb(typer.core.TyperCommand):
    """A verb whose usage has RECIPE where typer writes {RECIPE}, which reads like a set of choices.

    For an option that it does not have it suggests the key or the option that may be meant.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except USAGE_ERROR as problem:
            problem.message = problem.message.replace("Value error, ", "")
            if hasattr(problem, "possibilities") and (hint := self._meant(problem.option_name)):
                problem.message, problem.possibilities = f"{problem.message}; did you mean {hint}?", None
            raise

    def _meant(self, name: str) -> str:
        """What an unknown option may be: a recipe's key, or an option whose name it begins with."""
        from rankwise.recipe.problems import key_for
        from rankwise.recipe.recipe import Recipe

        known = [option for parameter in self.params for option in parameter.opts]
        if "--set" in known and (key := key_for(name.lstrip("-").replace("-", "_"), Recipe)):
            return f"--set {key}=VALUE"
        return max((option for option in known if name.startswith(f"{option}-")), key=len, default="")

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [piece.replace("{", "").replace("}", "") for piece in super().collect_usage_pieces(ctx)]


app = typer.Typer(
    name="rankwise",
    cls=_Verbs,
    help="Fine-tune text classifiers under a hard cap on trainable parameters: plan, train, prove, hand over.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the `rankwise` command."""
    atexit.register(gc.freeze)  # Python looks for cycles once more when it ends, among all that libraries made: a wasted wait
    heed_sigterm()
    with whole_output():
        app()


def _print_version(wanted: bool) -> None:
    if wanted:
        import rankwise

        typer.echo(f"rankwise {rankwise.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    del version  # its callback has answered
