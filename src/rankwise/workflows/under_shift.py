"""A run and labelled rows → its scores under each kind of shift, beside those on the rows as they are: a ShiftReport.

Every kind is scored on the same rows, so a drop is a paired difference with a paired interval. `original` comes first, the
others in the recipe's order.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

from rankwise.data.files.table import Table
from rankwise.data.pairs import shown
from rankwise.data.prepare import Split
from rankwise.data.shifts import shift, shifted_tokens
from rankwise.data.tasks import Labels, Probabilities, Task
from rankwise.inference.evaluation import Evaluation, probabilities_under
from rankwise.run.folder import Run
from rankwise.run.format import SHIFT, KindScores, ShiftReport
from rankwise.stats.intervals import Interval
from rankwise.stats.paired import paired_bootstrap
from rankwise.stats.scores import Scores
from rankwise.system.sealed import write_sealed
from rankwise.system.storage import told_refusals

LOOKED_AT = 300  # texts among which the one is chosen that shows most


def shift_report(run: Run, table: Table, split: Split, plain: Evaluation, *, engine: str = "torch") -> ShiftReport:
    """Scores of a run under each of its recipe's `evaluate.shifts`, on rows that `evaluate_file` read and scored."""
    predictor, scoring, kinds = run.predictor_on(engine), run.recipe.evaluate, run.recipe.evaluate.shifts
    task, logits_of = predictor.task, partial(predictor.logits_of, batch_size=scoring.batch_size)
    shifted = shifted_tokens(table.texts, split.tokens, kinds, predictor.tokenizer, predictor.preprocessing)
    join = predictor.preprocessing.join
    first = table.texts[:LOOKED_AT]  # of these the one that most kinds change, the shortest of equals
    text = min((-sum(shift(text, kind, join=join) != text for kind in kinds), len(text), text) for text in first)[2]

    kinds_scores = [_kind_scores("original", 0, plain.scores, Interval(0.0, 0.0, 0.0), text)]
    for change in shifted:
        probabilities = probabilities_under(change, plain.probabilities, task, logits_of)
        scores = task.scores(probabilities, plain.truth, scoring)
        drop = _drop(task, plain.probabilities, probabilities, plain.truth, scoring.confidence)
        example = shift(text, change.kind, join=join)
        kinds_scores.append(_kind_scores(change.kind, len(change.indices), scores, drop, example))
    if not scoring.keep_texts:
        text, kinds_scores = "", [replace(kind, example="") for kind in kinds_scores]
    else:
        text, kinds_scores = shown(text), [replace(kind, example=shown(kind.example)) for kind in kinds_scores]
    name = table.layout.path if table.layout.path.startswith("hub:") else Path(table.layout.path).name
    return ShiftReport(name, len(split), scoring.confidence, text, tuple(kinds_scores))


def _kind_scores(kind: str, changed: int, scores: Scores, drop: Interval, example: str) -> KindScores:
    r2, pearson = (scores.named(name) if name in scores.names else None for name in ("r2", "pearson"))
    return KindScores(kind, scores.rows, changed, scores.accuracy, scores.macro_f1, drop, example, r2=r2, pearson=pearson)


def _drop(task: Task, plain: Probabilities, shifted: Probabilities, truth: Labels, confidence: float) -> Interval:
    """What a shift costs: of numbers R², else the share of rows that are wholly right."""
    if not task.has_classes:
        return task.difference(plain, (task, shifted), truth, confidence)
    return paired_bootstrap(task.right(plain, truth), task.right(shifted, truth), confidence=confidence)


def write_report(report: ShiftReport, folder: Path) -> Path:
    """Write shift.json into a run's folder. Raises StorageError where it takes no file."""
    path = folder / SHIFT
    with told_refusals(path, "free room there, or copy the run to a folder of yours"):
        write_sealed(path, report)
    return path
