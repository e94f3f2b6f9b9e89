"""A run → the same run as it may be given away: what predicts, plans and was scored, without a row of anybody's data.

What is handed on is a list of names, so that a file which joins the run folder one day stays where it is until someone puts
it on the list. Texts in files that are on it are taken out, folders of this machine become names, and the manifest is written
anew; weights and tokenizer are copied to the bit.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from rankwise.inference.onnx_scorer import DIGITS, SEAL, is_whole, sealed
from rankwise.recipe import Recipe
from rankwise.run import manifest
from rankwise.run.decision import DECISION
from rankwise.run.deployed import EXPORT, FILES, Deployed, files_of
from rankwise.run.engines.onnx import FILE as ONNX_FILE
from rankwise.run.folder import Run
from rankwise.run.format import SHIFT, LadderFacts, RunFacts, RunScores
from rankwise.run.opening import last_part
from rankwise.system.files import read_json, sha256, write_json
from rankwise.system.sealed import write_sealed

TOKENIZER = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt", "vocab.json"),
    *("merges.txt", "spiece.model", "spm.model", "sentencepiece.bpe.model"),
)
POOLED = (
    *("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"),
    *("1_Pooling/config.json", "2_Dense/config.json", "2_Dense/model.safetensors"),
)
COPIED = {
    *(name for names in manifest.CLASSIFIERS for name in names),
    *(*TOKENIZER, *POOLED, manifest.PLAN, manifest.PREPROCESSING, manifest.VERSIONS),
}
REWRITTEN = {manifest.CARD, manifest.RECIPE, manifest.RUN, manifest.SCORES}
STAYS = {  # why the others stay, as a person is told
    manifest.SCORED_ROWS: "labels and probabilities of the test rows",
    manifest.HELD_OUT: "labels and probabilities of rows that trained or chose",
    manifest.HELD_OUT_TOKENS: "texts of rows that chose, as token ids",
    manifest.EVENTS: "what happened in training, with folders of this machine",
    manifest.CHECKPOINTS: "for training to go on from",
    SHIFT: "a text of the data",
}


def write_without_rows(run: Run, folder: Path, *, card: Callable[[str], str] = str) -> Mapping[str, str]:
    """Write a run into an empty folder without rows, texts or paths, and return what stays behind, with the reason.

    The folder is a run, which predicts as the other does; `card` makes its card of the run's. Raises RunError for a run that
    is damaged.
    """
    listed = manifest.read_manifest(run.folder).sha256
    for name in sorted(COPIED.intersection(listed)):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(run.folder / name, folder / name)
    (folder / manifest.CARD).write_text(card((run.folder / manifest.CARD).read_text("utf-8")), "utf-8")
    (folder / manifest.RECIPE).write_text(run.recipe.with_paths(last_part).to_yaml(), "utf-8")
    write_json(folder / manifest.RUN, _facts(run.facts))
    write_json(folder / manifest.SCORES, _scores(run.scores))
    manifest.write_manifest(folder)
    if run.decision is not None:
        write_sealed(folder / DECISION, replace(run.decision, run=sha256(folder / manifest.SCORES)))
    if (run.folder / ONNX_FILE).is_file() and is_whole(run.folder / ONNX_FILE):
        (folder / ONNX_FILE).write_bytes(_of_manifest(run.folder / ONNX_FILE, run.folder, folder))
    for form in manifest.EXPORTS:
        if (run.folder / form / EXPORT).is_file():
            _copy_export(run.folder, folder, form)
    there = {*listed, *(name for name in (SHIFT,) if (run.folder / name).is_file())}
    apart = {name if name in STAYS else PurePosixPath(name).parts[0] for name in there - COPIED - REWRITTEN}
    return {name: STAYS.get(name, "not known to be free of texts") for name in sorted(apart)}


def _facts(facts: RunFacts) -> RunFacts:
    """run.json without what was told of the data; a base that is a folder is found by its name, or given by --base."""
    base, ladder = facts.base, facts.ladder
    return replace(facts, base=replace(base, path=base.path and base.name), ladder=ladder and _ladder(ladder), notes=())


def _ladder(ladder: LadderFacts) -> LadderFacts:
    return replace(ladder, asked=Recipe.from_dict(dict(ladder.asked)).with_paths(last_part).to_dict())


def _scores(scores: RunScores) -> RunScores:
    """scores.json without the texts of mistakes."""
    mistakes = tuple(replace(mistake, text=None) for mistake in scores.test.mistakes)
    return replace(scores, test=replace(scores.test, mistakes=mistakes))


def _copy_export(run: Path, folder: Path, form: str) -> None:
    """Copy what `rankwise export` wrote, and nothing that lies beside it, as an export of the run with the new manifest."""
    graph = FILES[form]
    for name in files_of(form):
        if (run / form / name).is_file():
            (folder / form / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(run / form / name, folder / form / name)
    about = replace(read_json(folder / form / EXPORT, Deployed), source=sha256(folder / manifest.MANIFEST))
    write_json(folder / form / EXPORT, about)
    if graph.endswith(".onnx"):
        (folder / form / graph).write_bytes(_of_manifest(folder / form / graph, run, folder))


def _of_manifest(export: Path, before: Path, now: Path) -> bytes:
    """An export's bytes as one of the run with the new manifest, whose digest is as long as the old one's."""
    old, new = (sha256(folder / manifest.MANIFEST).encode() for folder in (before, now))
    return sealed(export.read_bytes()[: -len(SEAL) - DIGITS].replace(old, new))
