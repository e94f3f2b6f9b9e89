"""A run → a folder for another runtime, held against the run on rows that nothing was trained on.

Weights in 8 bits change answers, so they are handed over only where a paired test, that of `gate`, shows that they lose no
more than a margin: on the validation rows, whose tokens a run keeps, or on labelled rows of a file. In fp32 the logits
themselves are compared.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from rankwise.data.batches import Padding, collate
from rankwise.data.tokenizer import read_tokenizer
from rankwise.data.tokens import Tokens
from rankwise.errors import ModelError, ReloadMismatch, RunError, as_typed, require
from rankwise.inference.scorer import Scorer, logits
from rankwise.recipe import DataSpec, SourceSpec
from rankwise.run.deployed import FILES, Deployed, Held
from rankwise.run.engines import engine_called
from rankwise.run.folder import Run
from rankwise.run.format import ScoredRows
from rankwise.run.manifest import MANIFEST
from rankwise.system.cores import default_threads
from rankwise.system.files import sha256
from rankwise.workflows.compare import Answers
from rankwise.workflows.gate import Answered, Gate, check_margin, gate
from rankwise.workflows.score_files import logits_of_file, source_for

TIMED = 200  # texts, one at a time
TOLERANCE = 1e-3  # of a logit, between runtimes in fp32
KEPT = "the run's validation rows"


@dataclass(frozen=True)
class LabelledTokens:
    """Rows by which an export is held against its run."""

    tokens: Tokens
    labels: NDArray[np.int64]
    rows: NDArray[np.int64]
    described: str


def rows_kept(run: Run) -> LabelledTokens | None:
    """The validation rows whose tokens a run keeps; None where it keeps none."""
    tokens, scored = run.held_out_tokens(), run.held_out_rows()
    if tokens is None or scored is None:
        return None
    if len(tokens.window_counts) != len(scored.rows):
        raise RunError(f"{run.folder}: the tokens of its validation rows are of other rows; copy the folder again")
    return LabelledTokens(tokens, scored.truth, scored.rows, KEPT)


def rows_in(run: Run, spec: DataSpec) -> LabelledTokens:
    """Labelled rows of a file. Raises DataError."""
    source, numbering = source_for(spec, labelled=True)
    return read_rows(run, source, spec, numbering)


def read_rows(run: Run, source: SourceSpec, spec: DataSpec, numbering: tuple[str, ...] = ()) -> LabelledTokens:
    """Labelled rows of a source. Raises DataError."""
    table, split, _ = logits_of_file(run, source, spec, numbering=numbering, engine="onnx")
    return LabelledTokens(split.tokens, split.labels, split.rows, table.layout.describe())


@dataclass(frozen=True)
class Exported:
    """What `export` returns."""

    folder: Path | None
    """None where it was refused."""
    about: Deployed
    gate: Gate | None

    @property
    def exit_code(self) -> int:
        """As of `gate`: 0 handed over, 3 it loses more than the margin, 4 not enough rows to tell."""
        return 0 if self.gate is None else self.gate.exit_code


def export(
    run: Run, form: str, folder: Path | None = None, *, max_loss: float = 0.5, rows: LabelledTokens | None = None
) -> Exported:
    """Write a run in a format of `FILES` into a folder, or into one in the run's own, where its engine finds it.

    Weights in 8 bits are held against the run on `rows`, or else on its validation rows, and not written where they lose
    more than `max_loss` points, or where the rows are too few to tell. Raises RunError, ModelError, ReloadMismatch.
    """
    if form not in FILES:
        raise ModelError(f"format '{form}'; expected one of {', '.join(FILES)}")
    check_margin(max_loss)
    writing = require("rankwise.run.export.deployed", extra="export")
    target = folder or run.folder / form
    writing.check_new(target)
    if form == "onnx-int8":
        run.task.needs_classes("8 bits are held against a run by its", f"--format onnx is for {as_typed(run.folder)}")
    fp32 = run.exported()
    kept = rows or rows_kept(run)
    with TemporaryDirectory(prefix="rankwise-") as name:
        scratch = Path(name)
        files, scorer = _made(run, form, fp32.path, scratch)
        found = None
        if form == "onnx-int8":
            found = _held(run, fp32, scorer, kept, max_loss)
            files[FILES[form]] = _sealed(files[FILES[form]], found)
        elif form != "onnx":
            _check_alike(run, fp32, scorer, kept)
        times = (None, None) if kept is None else _timed(run, kept.tokens, scorer, fp32)
        about = Deployed(
            form=form,
            source=sha256(run.folder / MANIFEST),
            classes=run.preprocessing.classes,
            max_length=run.preprocessing.max_length,
            windows=run.preprocessing.windows,
            bytes=sum(path.stat().st_size for path in files.values()),
            bytes_fp32=fp32.path.stat().st_size,
            milliseconds=times[0],
            milliseconds_fp32=times[1],
            threads=default_threads(),
            held=None if found is None else found[1],
        )
        refused = found is not None and found[0].exit_code
        if not refused:
            writing.write_deployed(run, about, files, target)
    return Exported(None if refused else target, about, None if found is None else found[0])


def _made(run: Run, form: str, exported: Path, scratch: Path) -> tuple[dict[str, Path], Scorer]:
    """The model's files by their names in the folder, and what computes them."""
    classes = run.preprocessing.classes
    loading = require("rankwise.inference.onnx_scorer", extra="onnx")
    if form == "onnx":
        return {FILES[form]: exported}, loading.load_onnx(exported, classes)
    if form == "onnx-int8":
        quantized = require("rankwise.run.export.quantized", extra="export")
        path = scratch / "model.onnx"
        quantized.quantize(exported, path)
        quantized.seal(path, "not held against fp32")
        return {FILES[form]: path}, loading.load_onnx(path, classes, in_8_bits=True)
    engine_called(form)
    files = require("rankwise.run.export.deployed", extra="export").openvino_files(exported, scratch)
    reading = require("rankwise.inference.openvino_scorer", extra="openvino")
    return files, reading.load_openvino(scratch / FILES[form], classes)


def _held(run: Run, fp32: Scorer, scorer: Scorer, kept: LabelledTokens | None, margin: float) -> tuple[Gate, Held]:
    """The gate that 8 bits must pass. Raises RunError where there are no rows."""
    if kept is None:
        raise RunError(
            f"{run.folder} keeps no validation rows by which 8 bits could be held against it; give labelled rows that it was "
            "not trained on: --data FILE"
        )
    scored = [_scored(run, one, kept) for one in (scorer, fp32)]
    new, old = (Answers(run, one) for one in scored)
    found = gate(Answered(new, old, kept.described), margin=margin, promises=False)
    decided = [run.task.decide(one.probabilities.astype(np.float64)) for one in scored]
    changed = decided[0] != decided[1]
    count = int((changed if changed.ndim == 1 else changed.any(axis=1)).sum())
    return found, Held(
        rows=found.rows, data=found.data, margin=margin, difference=found.difference, score=found.score, changed=count
    )


def _scored(run: Run, scorer: Scorer, kept: LabelledTokens) -> ScoredRows:
    probabilities = run.task.probabilities(_logits(run, scorer, kept.tokens)).astype(np.float32)
    return ScoredRows(kept.rows, kept.labels, probabilities)


def _logits(run: Run, scorer: Scorer, tokens: Tokens) -> NDArray[np.float32]:
    return logits(scorer, tokens, padding=_padding(run), batch_size=run.recipe.evaluate.batch_size)


def _padding(run: Run) -> Padding:
    tokenizer = read_tokenizer(run.folder) or require("rankwise.model.load", extra="train").tokenizer_in(run.folder)
    return Padding.of(tokenizer)


def _sealed(path: Path, found: tuple[Gate, Held]) -> Path:
    """The quantised file with what its 8 bits cost, in words."""
    _, held = found
    cost = f"{held.difference.bracketed('+.2f', times=100)} points of {found[0].score_name} on {held.rows:,} rows"
    require("rankwise.run.export.quantized", extra="export").seal(path, cost)
    return path


def _check_alike(run: Run, fp32: Scorer, scorer: Scorer, kept: LabelledTokens | None) -> None:
    """Raises ReloadMismatch where another runtime's logits are not those of ONNX Runtime."""
    if kept is None:
        batches = require("rankwise.run.export.onnx", extra="export").probes_of(run)
    else:
        padding, shortest = _padding(run), np.argsort(kept.tokens.lengths)
        rows = shortest[np.linspace(0, len(shortest) - 1, min(64, len(shortest))).astype(int)]
        batches = [collate(kept.tokens, list(map(int, rows[start : start + 4])), padding) for start in range(0, len(rows), 4)]
    apart = max(float(np.abs(np.asarray(fp32.logits(batch)) - np.asarray(scorer.logits(batch))).max()) for batch in batches)
    if not apart <= TOLERANCE:
        raise ReloadMismatch(f"{run.folder}: its logits differ by up to {apart:.1e} on this runtime; nothing was written")


def _timed(run: Run, tokens: Tokens, *scorers: Scorer) -> tuple[float, ...]:
    """Median milliseconds of each scorer for a window at a time, in turns."""
    padding = _padding(run)
    rows = np.linspace(0, len(tokens) - 1, min(TIMED, len(tokens))).astype(int)
    batches = [collate(tokens, [int(row)], padding) for row in rows]
    for scorer in scorers:
        for batch in batches[:5]:
            scorer.logits(batch)
    spent: list[list[float]] = [[] for _ in scorers]
    for batch in batches:
        for scorer, seconds in zip(scorers, spent, strict=True):
            begun = time.perf_counter()
            np.asarray(scorer.logits(batch))
            seconds.append(time.perf_counter() - begun)
    return tuple(round(1000 * median(seconds), 3) for seconds in spent)
