"""The command line: the verbs put together, and what becomes of a mistake.

Heavy imports come late in each verb, so that `--help`, `plan`, `recipes` answer at once.

Exit codes: 0; 2 for the user's mistake (a RankwiseError or a wrong option); 1 for ours, or where the reader of a pipe left;
130 after Ctrl-C.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from rankwise.cli import console
from rankwise.cli.verbs.compare import compare
from rankwise.cli.verbs.data import data
from rankwise.cli.verbs.evaluate import evaluate
from rankwise.cli.verbs.learn_curve import learn_curve
from rankwise.cli.verbs.plan import plan
from rankwise.cli.verbs.predict import predict
from rankwise.cli.verbs.recipes import recipes, show_recipe
from rankwise.cli.verbs.report import report
from rankwise.cli.verbs.reproduce import reproduce
from rankwise.cli.verbs.sweep import sweep
from rankwise.cli.verbs.train import train
from rankwise.encoders.known import KNOWN
from rankwise.errors import RankwiseError, told_extras

USAGE_ERROR: Any = typer.BadParameter.__bases__[0]  # click's, which typer does not export by name
GOING_ON = {  # by verb: how to go on after Ctrl-C
    "train": "; a training goes on from its last checkpoint with --resume",
    "learn-curve": "; the same command goes on",
    "reproduce": "; the same command goes on",
}


class _Verbs(typer.core.TyperGroup):
    """The verbs; a mistake and Ctrl-C, for which typer itself has a traceback and no word, end one with a clear line."""

    def invoke(self, ctx: Any) -> Any:
        try:
            with told_extras():
                return super().invoke(ctx)
        except RankwiseError as problem:
            console.error(str(problem))
            raise typer.Exit(problem.exit_code) from None
        except KeyboardInterrupt:
            console.error(f"stopped{GOING_ON.get(ctx.invoked_subcommand or '', '')}")
            raise typer.Exit(130) from None


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
        from rankwise.recipe.keys import key_for
        from rankwise.recipe.recipe import Recipe

        known = [option for parameter in self.params for option in parameter.opts]
        if "--set" in known and (key := key_for(name.lstrip("-").replace("-", "_"), Recipe)):
            return f"--set {key}=VALUE"
        shorter = [option for option in known if name.startswith(f"{option}-")]
        return max(shorter, key=len, default="")

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
recipes_app = typer.Typer(help="List the built-in recipes, or show one.", invoke_without_command=True)
app.add_typer(recipes_app, name="recipes")


def main() -> None:
    """Run the `rankwise` command."""
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


app.command(short_help="Plan, train and evaluate a recipe; write a run folder.")(train)
app.command(
    short_help="What a recipe would train and cost, before it does.",
    epilog=f"Bases that need no network to plan: {', '.join(KNOWN)}; or a folder, or a Hugging Face id.",
)(plan)
recipes_app.callback()(recipes)
recipes_app.command("show", short_help="Print one recipe as YAML.")(show_recipe)
app.command(short_help="What to know of a data set; rows with wrong labels.")(data)
app.command(short_help="Score a run on labelled data, also under shift.")(evaluate)
app.command(short_help="Label texts from a file or the command line.")(predict)
app.command("learn-curve", short_help="Accuracy against rows, and what more would bring.")(learn_curve)
app.command("compare", short_help="Which run is better, and whether that is shown.")(compare)
app.command("reproduce", short_help="Run what a published report describes.")(reproduce)
app.command("report", short_help="Runs or a sweep as one HTML page.")(report)
app.command("sweep", short_help="Search recipes; train the best again.")(sweep)
for verb in (*app.registered_commands, *recipes_app.registered_commands):
    verb.cls = _Verb
