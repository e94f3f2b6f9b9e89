"""`rankwise decide`: when a run answers and when it hands a text to a person, with a bound on its mistakes."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from rankwise.cli import arguments, console
from rankwise.cli.options import check_data, spec_for, with_columns
from rankwise.cli.progress import WorkProgress
from rankwise.data.labelled import losses
from rankwise.errors import DataError
from rankwise.run.decision import DECISION
from rankwise.run.manifest import check_run
from rankwise.system.events import Events

if TYPE_CHECKING:
    from rankwise.run.decision import Answers, Decision, Measured
    from rankwise.run.folder import Run
    from rankwise.run.format import ScoredRows
    from rankwise.stats.scaling import Scaling
    from rankwise.workflows.decide import Chance, Held
    from rankwise.workflows.ranges import Reach

FOLDS = "by classifiers that other folds trained, so what they promise is of those; the test rows tell of the one handed over"


@dataclass(frozen=True, kw_only=True)
class DecideOptions:
    run: arguments.RunArg
    max_error: Annotated[str | None, Option(metavar="SHARE", help="Answer where at most so many are wrong, such as 2%.")] = (
        None
    )
    coverage: Annotated[str | None, Option(metavar="SHARE", help="Answer so many of the texts, such as 90%.")] = None
    costs: Annotated[Path | None, Option(metavar="FILE", help="Decide by costs: YAML with unsure, wrong, pairs.")] = None
    sets: Annotated[
        str | None, Option(metavar="SHARE", help="Give each text a set that holds the true label so often, a number a range.")
    ] = None
    unlike: Annotated[
        str, Option(metavar="SHARE", help="Of texts like those of training, how many may be called unlike; 0: none.")
    ] = "1%"
    data: Annotated[str | None, Option(help="Labelled rows to choose by, instead of those that the run held out.")] = None
    text_column: arguments.TextColumn = None
    text_pair_column: arguments.TextPairColumn = None
    label_column: arguments.LabelColumn = None
    engine: arguments.EngineOption = "torch"
    base: arguments.BaseOption = None
    overrides: arguments.SetOption = None
    as_json: arguments.JsonOption = False


@arguments.takes_options
def decide(options: DecideOptions) -> None:
    """Decide when a run answers, verify that on its test rows, and keep it for predict. Alone: what can be promised.

    Of a run that estimates numbers: how far the true one may be from the estimate.
    """
    check_run(options.run)
    asked = [name for name in ("max_error", "coverage", "costs") if getattr(options, name) is not None]
    if len(asked) > 1:
        names = " and ".join(f"--{name.replace('_', '-')}" for name in asked)
        raise DataError(f"{names}: give one of them; the others follow from it")
    shares = {name: _share(name, getattr(options, name)) for name in ("max_error", "coverage", "sets", "unlike")}
    if options.data is not None:
        check_data(options.data)
    from rankwise.run.folder import Run
    from rankwise.workflows.costs import read_costs
    from rankwise.workflows.decide import Wish, chances, check_wish, reaches
    from rankwise.workflows.decide import decide as make

    run = Run.load(options.run, base=options.base)
    costs = None if options.costs is None else read_costs(options.costs, run.preprocessing.classes)
    given = {name: value for name, value in shares.items() if value is not None}
    wish = Wish(costs=costs, **given)
    check_wish(wish)
    rows = None if options.data is None else _rows(run, options)
    if not wish.words and not run.task.has_classes:
        where, reached = reaches(run, rows=rows)
        if options.as_json:
            arguments.print_json({"chosen_on": where, "can_promise": [vars(one) for one in reached]})
        else:
            _show_reaches(options.run, where, reached)
        return
    if not wish.words:
        held, found = chances(run, rows=rows, unlike=wish.unlike)
        if options.as_json:
            arguments.print_json({"chosen_on": held.where, "can_promise": [vars(chance) for chance in found]})
        else:
            _show_chances(options.run, held, found)
        return
    replaced = (run.folder / DECISION).exists()
    decision = make(run, wish, rows=rows)
    if options.as_json:
        arguments.print_json(decision)
        return
    _show(options.run, decision, replaced=replaced)


def _share(name: str, typed: str | None) -> float | None:
    """`2%` or 0.02 → 0.02. Raises DataError for what is neither."""
    if typed is None:
        return None
    try:
        value = float(typed.removesuffix("%").strip()) / (100 if typed.endswith("%") else 1)
    except ValueError:
        value = float("nan")
    if not 0 <= value <= 1:
        raise DataError(f"--{name.replace('_', '-')} {typed}: expected a share, such as 2% or 0.02")
    return value


def _rows(run: "Run", options: DecideOptions) -> "ScoredRows":
    """What the run says of the rows in --data."""
    from rankwise.workflows.decide import rows_of_file
    from rankwise.workflows.score_files import seen_in_training, source_for

    spec = spec_for(run.recipe, str(options.data), options.overrides)
    source, numbering = source_for(spec, labelled=True)
    source = with_columns(source, options.text_column, options.label_column, options.text_pair_column)
    with WorkProgress() as progress:
        table, rows = rows_of_file(run, source, spec, numbering=numbering, engine=options.engine, events=Events(progress))
    if not options.as_json:
        console.dim(table.layout.describe())
        for line in (*losses(table.layout.name, table), *table.warnings):
            console.note(line)
        if seen := seen_in_training(run, table):
            console.note(
                f"{seen:,} of {len(rows.truth):,} rows have texts that this run trained on or chose by, on which it is surer "
                "and more often right than on new ones; give rows that it has not seen"
            )
    return rows


def _show(folder: Path, decision: "Decision", *, replaced: bool) -> None:
    from rankwise.workflows.decide import share

    promised, verified = decision.promised, decision.verified
    console.dim(f"{decision.chosen_on} chose; {verified.rows:,} test rows verified, which had no say")
    if decision.folds:
        console.note(f"{decision.chosen_on}, {FOLDS}")
    if decision.rule.reach is not None:
        _show_range(decision, decision.rule.reach)
        _show_notes(folder, decision, replaced=replaced)
        return
    if decision.calibration is not None:
        _show_calibration(decision.rule.scaling, decision.calibration)
    console.out.print()
    answers = f"answers [bold]{share(verified.answered / verified.rows)}[/] of the texts"
    if decision.rule.costs is not None and verified.cost is not None:
        cost = verified.cost.bracketed(".3g")
        console.out.print(f"{answers}; a text costs [bold]{cost}[/]; if all were answered, {verified.cost_without:.3g}")
    elif decision.max_error is not None:
        console.out.print(f"{answers}, at most [bold]{share(decision.max_error)}[/] of these wrong")
    else:
        console.out.print(f"{answers}, at most [bold]{share(verified.error_bound)}[/] of these wrong")
    console.out.print(console.plain_table("", "rows that chose", "test rows", rows=_both(promised, verified)))
    if decision.verdict:
        console.out.print(f"[bold]{decision.verdict}[/]")
    _show_notes(folder, decision, replaced=replaced)


def _both(promised: "Answers", verified: "Answers") -> list[tuple[str, ...]]:
    """What a decision comes to on the rows that chose it, and on the test rows."""
    both = (promised, verified)
    rows: list[tuple[str, ...]] = [
        ("rows", *(f"{answers.rows:,}" for answers in both)),
        ("answered %", *(console.percent(answers.coverage) for answers in both)),
        ("of these wrong %", *(console.percent(answers.error) for answers in both)),
        ("95 % upper bound, %", *(f"{100 * answers.error_bound:.1f}" for answers in both)),
    ]
    if verified.holds is not None:
        rows.append(("sets that hold it %", *(console.percent(answers.holds or answers.error) for answers in both)))
        rows.append(("labels in a set", *(f"{answers.set_size:.2f}" for answers in both)))
    if verified.unlike or promised.unlike:
        rows.append(("unlike training", *(f"{answers.unlike:,}" for answers in both)))
    return rows


def _show_range(decision: "Decision", reach: float) -> None:
    """How far ranges reach, and how often they hold the true number."""
    from rankwise.workflows.decide import share

    texts = "" if decision.sets is None else f"of {share(decision.sets)} of the texts "
    console.out.print(f"\n{texts}the true number is at most [bold]{reach:.3g}[/] from the estimate")
    both = (decision.promised, decision.verified)
    rows = [
        ("rows", *(f"{answers.rows:,}" for answers in both)),
        ("ranges that hold it %", *(console.percent(answers.holds or answers.error) for answers in both)),
        ("mean width", *(f"{answers.set_size:.3g}" for answers in both)),
    ]
    console.out.print(console.plain_table("", "rows that chose", "test rows", rows=rows))
    if decision.verdict:
        console.out.print(f"[bold]{decision.verdict}[/]")


def _show_reaches(folder: Path, where: str, reached: "list[Reach]") -> None:
    """How far ranges reach that hold the true number so often, and how to ask for them."""
    console.out.print(f"What {where} can promise of the true number, true in 19 of 20 such choices:")
    rows = []
    for one in reached:
        asked, why = f"--sets {100 * one.sets:g}%", f"{one.more_rows:,} more rows would do"
        if one.reach is None:
            rows.append((f"{100 * one.sets:g}", "none", why if one.more_rows else "too many are beyond the bounds"))
        else:
            rows.append((f"{100 * one.sets:g}", f"{one.reach:.3g}", asked))
    console.out.print(console.plain_table("of the texts, %", "from the estimate at most", "", rows=rows, right=(0, 1)))
    console.out.print(f"\nnext: [bold]rankwise decide {console.shell(folder)} --sets 90%[/]", soft_wrap=True)


def _show_calibration(scaling: "Scaling", measured: "Measured") -> None:
    how = f"temperature {scaling.temperature:.2f}{' and a bias for each class' if scaling.bias else ''}"
    if scaling.temperature == 1 and not scaling.bias:
        how = "no temperature: none lowers the log-loss"
    console.out.print(
        f"[dim]{how}; on the test rows log-loss {console.number(measured.log_loss)} → "
        f"{console.number(measured.log_loss_calibrated)}, calibration error {console.number(measured.calibration_error)} → "
        f"{console.number(measured.calibration_error_calibrated)}[/]"
    )


def _show_notes(folder: Path, decision: "Decision", *, replaced: bool) -> None:
    console.dim(
        "exact binomial intervals of 95 %, the upper bound one-sided; they hold for texts that come from where these rows did"
    )
    if decision.looks > 1:
        console.note(
            f"this is decision number {decision.looks} that these test rows verify; of many, some look good by chance, so "
            "settle on what you want before you look"
        )
    console.dim(f"{'replaced' if replaced else 'written to'} {folder / DECISION}")
    console.out.print(f"\nnext: [bold]rankwise predict {console.shell(folder)} FILE[/]", soft_wrap=True)


def _show_chances(folder: Path, held: "Held", found: "list[Chance]") -> None:
    """What can be promised, and how to ask for it."""
    from rankwise.workflows.decide import about, share

    console.out.print(f"What {held.where} can promise, true in 19 of 20 such choices:")
    if held.folds:
        console.note(f"{held.where}, {FOLDS}")
    rows = []
    for chance in found:
        if chance.threshold is not None:
            can = f"{100 * chance.threshold.answered / len(held.rows.truth):.1f}"
            rows.append((share(chance.max_error), can, f"--max-error {100 * chance.max_error:g}%"))
        else:
            more = (
                f"about {about(chance.more_rows)} more rows would do"
                if chance.more_rows
                else "the surest are wrong too often"
            )
            rows.append((share(chance.max_error), "none", more))
    console.out.print(console.plain_table("wrong, at most", "answered %", "", rows=rows, right=(1,)))
    console.out.print(f"\nnext: [bold]rankwise decide {console.shell(folder)} --max-error 5%[/]", soft_wrap=True)
