"""`rankwise plan --suggest`: the known bases under a recipe's caps, how each fits the texts, and what to type next."""

from collections.abc import Iterable, Iterator, Sequence

from rich.markup import escape

from rankwise.cli import console
from rankwise.cli.arguments import print_json
from rankwise.encoders.languages import named
from rankwise.planning.forecast import duration, gigabytes
from rankwise.recipe import Recipe
from rankwise.system.hub import is_reachable
from rankwise.workflows.suggest import ENGLISH, BaseFit, Suggestions, suggest

MOST_SHOWN = 20  # bases in the table
MOST_NAMED = 6  # in a line on those that are not in it
LIMITS = {
    "parameters": "the least that trains is over the cap of parameters",
    "memory": "a single row is over the memory",
    "minutes": "a few updates are over the minutes",
    "answering": "they are too large or too slow to answer within the budget",
    "recipe": "the recipe can't be planned on them",
}


def suggest_bases(recipe: Recipe, typed: Sequence[str], *, own: str, as_json: bool) -> None:
    """Print what each base costs and how it fits; `typed` are the words after `rankwise train`, `own` the recipe's base."""
    with console.working("looking at texts and bases"):
        found = suggest(recipe)
    best = next((fit for fit in found.bases if fit.base == found.recommended), None)
    words = [*typed, *(["--set", f"base={best.base}"] if best and best.base != own else [])]
    command = f"rankwise train {' '.join(words)}" if best else None
    if as_json:
        print_json(found, {"command": command})
        return
    shares = ", ".join(f"{script} {count / found.rows:.1%}" for script, count in found.scripts.items())
    texts = console.counted(found.rows, "training text")
    console.out.print(f"[bold]{texts}[/] by the script of most of their letters: {shares or 'none'}")
    console.out.print()
    able = [fit for fit in found.bases if found.fits(fit) and fit.over is None]
    if able:
        _show_table(able, found.recommended)
    for line in (*_left_out(found), *_measured(found.bases)):
        console.hanging(" ", line)
    console.out.print()
    if best is None:
        console.note(f"{found.reason}: raise a cap, or give a folder or a Hugging Face id: --set base=…")
        return
    console.out.print(f"[bold]recommended[/]  {escape(best.base)}: {found.reason}")
    console.out.print(f"  {escape(command or '')}", soft_wrap=True)
    if not best.here and best.hub and not is_reachable():
        console.note(f"the hub can't be reached from here; where it can, type: hf download {best.hub}")


def _show_table(fits: Iterable[BaseFit], recommended: str | None) -> None:
    """A row for each base; how many texts are longer than it reads at once only where some are."""
    fits = tuple(fits)
    long = any(fit.longer for fit in fits)
    headings = ("size", "languages", "context", *(["longer"] if long else []), "time", "memory", "here")
    table = console.plain_table("base", *headings, right={*range(1, len(headings))} - {2})
    table.columns[0].overflow = "fold"
    for fit in fits[:MOST_SHOWN]:
        name = escape(fit.base)
        table.add_row(
            f"[bold]{name}[/]" if fit.base == recommended else name,
            f"{(fit.parameters or 0) / 1e6:,.0f} M",
            named(fit.languages) if fit.languages else "?",
            "" if fit.context is None else f"{fit.context:,}",
            *([] if not long else ["" if fit.longer is None else f"{fit.longer:.1%}"]),
            duration(fit.seconds or 0.0),
            gigabytes(fit.peak_bytes or 0),
            "yes" if fit.here else "gated" if fit.gated else "",
        )
    console.out.print(table)
    about = ["size: parameters", "context: tokens read at once", *(["longer: texts of more than those"] if long else [])]
    if more := [f"{fit.base}{' (gated)' * fit.gated}" for fit in fits[MOST_SHOWN:]]:
        console.hanging(" ", f"[dim]others that fit, which --json tells of: {escape(', '.join(more))}[/]")
    gated = "; gated: the hub asks to log in and accept its terms" if any(fit.gated for fit in fits) else ""
    console.dim("; ".join((*about, "time, memory: predicted for the run", f"here: on this machine{gated}")))


def _left_out(found: Suggestions) -> Iterator[str]:
    """A line for each reason for which bases are not in the table."""
    groups: dict[str, list[str]] = {}
    for fit in found.bases:
        if not found.fits(fit):
            groups.setdefault(_misfit(fit, found), []).append(fit.base)
        elif fit.over is not None:
            groups.setdefault(LIMITS[fit.over], []).append(fit.base)
    for reason, names in groups.items():
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED + 1 else ""
        named_ones = names[:MOST_NAMED] if more else names
        yield f"[yellow]{escape(reason)}:[/] {escape(', '.join(named_ones))}{more}"


def _misfit(fit: BaseFit, found: Suggestions) -> str:
    """Why a base does not know the texts."""
    if fit.unread:
        scripts = ", ".join(f"{script} ({count / found.rows:.1%} of the texts)" for script, count in fit.unread.items())
        return f"published for languages that are not written in {scripts}"
    if fit.pieces is not None and not fit.pieces.fits:
        return "made for another language, as its tokenizer shows, which is here"
    if fit.languages == ENGLISH:
        return "published for English, in whose tokenizer these texts look like another language"
    return "published for another language than English, which these texts look like"


def _measured(fits: Iterable[BaseFit]) -> Iterator[str]:
    """What tokenizers that are here make of the texts, and a line on the others."""
    alone = True
    for fit in fits:
        if fit.pieces is not None:
            alone = False
            yield f"[dim]the tokenizer of {escape(fit.base)} on these texts: {_about(fit)}[/]"
    others = "no tokenizer is here, so none is measured" if alone else "other tokenizers are not here, and not measured"
    yield f"[dim]{others}: languages are those that a base was published for[/]"


def _about(fit: BaseFit) -> str:
    """`1.12 pieces a word, 8.5% of words split, 0.0% of tokens unknown`."""
    if fit.pieces is None:
        return "not measured"
    words = (
        ""
        if fit.pieces.per_word is None
        else f"{fit.pieces.per_word:.2f} pieces a word, {fit.pieces.split:.1%} of words split, "
    )
    return f"{words}{fit.pieces.unknown:.1%} of tokens unknown"
