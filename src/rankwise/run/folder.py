"""The run folder: a trained classifier on disk, in the formats that the Hugging Face ecosystem reads, and its proof.

README lists its files, `run.manifest` names them, `run.format` says what they hold. Nothing is pickled, and paths are
relative to where the run was made.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any

from rankwise.data.clean import Preprocessing
from rankwise.data.tasks import Task, task_called
from rankwise.data.tokenizer import read_tokenizer
from rankwise.errors import ModelError, RunError, require
from rankwise.inference.predict import Prediction, Predictor, TokenPredictor
from rankwise.run.decision import Decision, read_decision, write_decision
from rankwise.run.engines import engine_called
from rankwise.run.engines.onnx import exported
from rankwise.run.manifest import (
    HELD_OUT,
    HELD_OUT_TOKENS,
    PLAN,
    PREPROCESSING,
    RECIPE,
    RUN,
    SCORED_ROWS,
    SCORES,
    WORDS,
    check_files,
    check_format,
    check_run,
    read_manifest,
)
from rankwise.system.files import read_json

if TYPE_CHECKING:
    from rankwise.data.given import Label
    from rankwise.data.tokens import Tokens
    from rankwise.encoders.base import Base
    from rankwise.inference.explain import Explainer, Explanation
    from rankwise.inference.onnx_scorer import OnnxScorer
    from rankwise.inference.torch_scorer import DropoutScorer
    from rankwise.inference.words import Words
    from rankwise.model.classifier import Classifier
    from rankwise.planning.plan import Plan, PlanFacts
    from rankwise.recipe import Recipe
    from rankwise.run.engines import Engine
    from rankwise.run.format import RunFacts, RunScores, ScoredRows


MOST_SHOWN = 20  # classes of a run that a notebook shows
_LOADING = RLock()  # one thread loads at a time: while it does, warnings of libraries are off in the whole process


@dataclass(frozen=True)
class Run:
    """A finished run on disk.

    What predicting does without is read when it is first asked for, by modules that are imported then: of the time that a
    single text takes in a process of its own, imports are most. A file that does not fit its schema is a RunError, a recipe
    that does not a RecipeError.
    """

    folder: Path
    preprocessing: Preprocessing = field(repr=False)
    base_folder: Path | None = field(default=None, repr=False)
    """Where its base encoder is now, if not where the run says."""

    @classmethod
    def load(cls, folder: str | Path, *, verify: bool = True, base: str | Path | None = None) -> Run:
        """Open a run folder, checking every file against the manifest. Raises RunError.

        `base` is the folder of its base encoder, where that has moved.
        """
        folder = check_run(folder)
        manifest = read_manifest(folder)
        if verify:
            check_files(folder, manifest)
        preprocessing = read_json(folder / PREPROCESSING, Preprocessing)
        if problem := preprocessing.problem:
            raise RunError(f"{folder}: {PREPROCESSING}: {problem}; copy the folder again")
        return cls(folder, preprocessing, None if base is None else Path(base))

    @property
    def task(self) -> Task:
        """What is decided about a text, with its thresholds where it has some."""
        about = self.preprocessing
        return task_called(about.task, about.classes, about.thresholds, about.columns, about.bounds)

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe, every default filled in."""
        from rankwise.recipe import Recipe

        return Recipe.load(self.folder / RECIPE)

    @property
    def asked(self) -> Recipe:
        """The recipe that was asked for: of a ladder the one that was climbed, of which `recipe` is a rung."""
        if self.facts.ladder is None:
            return self.recipe
        from rankwise.recipe import Recipe

        return Recipe.from_dict(self.facts.ladder.asked)

    @cached_property
    def facts(self) -> RunFacts:
        """run.json: what was trained, on what, and what it took."""
        from rankwise.run.format import RunFacts

        facts = read_json(self.folder / RUN, RunFacts)
        check_format(self.folder, facts.format)
        if facts.ladder is not None and sum(rung.handed_over for rung in facts.ladder.rungs) != 1:
            raise RunError(f"{self.folder}: {RUN}: not one rung of its ladder was handed over; copy the folder again")
        return facts

    @cached_property
    def scripts(self) -> dict[str, int] | None:
        """How many training texts are mostly in each script, of run.json alone; None where it doesn't say.

        Predictions ask for it, which do without the modules that the whole of `facts` takes.
        """
        found: dict[str, int] | None = read_json(self.folder / RUN, dict[str, Any]).get("scripts")
        return found

    @cached_property
    def scores(self) -> RunScores:
        """scores.json: the test scores beside the baselines', and every evaluation during training."""
        from rankwise.run.format import RunScores

        scores = read_json(self.folder / SCORES, RunScores)
        if scores.classes != self.preprocessing.classes or not scores.agrees:
            raise RunError(f"{self.folder}: {SCORES} is of other classes than {PREPROCESSING}; copy the folder again")
        return scores

    @cached_property
    def plan_facts(self) -> PlanFacts:
        """plan.json: ranks, alphas and the ledger."""
        from rankwise.planning.plan import PlanFacts

        return read_json(self.folder / PLAN, PlanFacts)

    def _repr_html_(self) -> str:
        """Its test scores beside the baselines', in a notebook."""
        from rankwise.stats.score_names import called
        from rankwise.system import html

        test, facts = self.scores.test, self.facts
        names = [name for name in test.names if test.named(name).value is not None]
        rows = [(called(name), test.named(name).bracketed(".3f")) for name in names]
        beside = [
            (f"ahead of {name}, points", scores.difference.bracketed("+z.1f", times=100))
            for name, scores in self.scores.baselines.items()
        ]
        trained = f"{facts.trained_parameters.counted:,} parameters trained on {facts.base.name}, {facts.rows.train:,} rows"
        scored = html.table([*rows, *beside], (f"{test.rows:,} test rows", "")) if rows else html.line("scored on no rows")
        return html.card(self.folder, html.line(trained), scored, below=", ".join(self.preprocessing.classes[:MOST_SHOWN]))

    def scored_rows(self) -> ScoredRows:
        """What it said of each test row. Raises RunError for a run that did not keep that."""
        from rankwise.run.format import ScoredRows

        path = self.folder / SCORED_ROWS
        if not path.is_file():
            raise RunError(
                f"{self.folder}: {SCORED_ROWS} is missing, as of every run that was pulled, adopted or trained by an older "
                "rankwise; both on labelled rows: rankwise gate NEW --against OLD --data FILE"
            )
        return ScoredRows.read(path, self.preprocessing.classes)

    @cached_property
    def decision(self) -> Decision | None:
        """decision.json: when to answer and when to hand a text to a person; None where nobody typed `rankwise decide`."""
        return read_decision(self.folder, self.preprocessing.classes)

    def keep_decision(self, decision: Decision) -> None:
        """Write decision.json, and apply it from now on. Raises StorageError where the folder takes no file."""
        write_decision(self.folder, decision)
        vars(self)["decision"] = decision
        with _LOADING:
            for predictor in self._predictors.values():
                predictor.rule = decision.rule

    def held_out_rows(self) -> ScoredRows | None:
        """What it said of the rows that chose its weights, or, of few labelled rows, what other folds' classifiers said.

        None for a run without any, or of an older rankwise, which did not keep that.
        """
        from rankwise.run.format import ScoredRows

        path = self.folder / HELD_OUT
        return ScoredRows.read(path, self.preprocessing.classes) if path.is_file() else None

    def held_out_tokens(self) -> Tokens | None:
        """The token ids of the validation rows that `held_out_rows` tells of.

        None where there were none to spare, where the recipe keeps no texts, and of an older rankwise.
        """
        from rankwise.data.tokens import Tokens

        path = self.folder / HELD_OUT_TOKENS
        return Tokens.load(path) if path.is_file() else None

    def base(self) -> Base:
        """The base encoder, found again and checked; a whole model is its own base. Raises ModelError or RunError.

        Of a run that counts words it is the one that its recipe names, whose tokenizer it has.
        """
        from rankwise.encoders.base import Base, locate

        facts = self.facts.base
        if self.is_whole:
            if self.base_folder is not None:
                raise RunError(f"{self.folder} holds the whole model, so it needs no base; leave --base out")
            return Base(facts.name, facts.hub, str(self.folder), None, None)
        base = locate(self._base_name, revision=None if self.base_folder else facts.revision)
        digest = base.digest()
        yet_to_come = digest is None and base.location == facts.hub  # from the hub, and then this is asked again
        if facts.sha256 and digest != facts.sha256 and not yet_to_come:
            found = f"{digest[:12]}…" if digest else "none of its own"
            raise RunError(
                f"{self.folder}: base '{facts.name}' at {self._base_name} has other weights (sha256 {found}) than in "
                f"training ({facts.sha256[:12]}…); give the folder that has those: --base FOLDER"
            )
        return base

    def plan(self) -> Plan:
        """The plan, made again from the recipe."""
        from rankwise.encoders.finding import find
        from rankwise.planning.plan import plan

        # the config.json of a whole model describes the encoder, wherever the base is now
        base = str(self.folder) if self.is_whole else self._base_name
        classes = len(self.preprocessing.classes)
        encoder = find(base, classes=classes, revision=self.recipe.revision)
        if self.is_whole and {part.path for part in encoder.pooler} & set(self.plan_facts.frozen_head):
            encoder = encoder.with_new_pooler()  # which is in the folder now, but was not in the base
        planned = plan(self.recipe.model_copy(update={"base": base}), classes=classes, encoder=encoder)
        if self.counts_words:
            return planned.without_encoder(self.facts.trained_parameters.counted, planned.ledger.budget)
        return planned

    @property
    def is_whole(self) -> bool:
        """Whether its folder holds the encoder too, so that it needs no base."""
        return not self.recipe.adapter.is_apart and not self.counts_words

    @property
    def _base_name(self) -> str:
        """What its base is called: a known name, a hub id, or the folder where it is. Raises RunError where that is gone."""
        facts = self.facts.base
        if self.base_folder is not None:
            if not self.base_folder.is_dir():
                raise RunError(f"--base {self.base_folder}: no such folder; expected that of the run's base '{facts.name}'")
            return str(self.base_folder)
        if not facts.path:
            return facts.name
        base = os.path.normpath(self.folder / facts.path)
        if not os.path.isdir(base):
            raise RunError(
                f"{self.folder}: the run's base '{facts.name}' is not at {base}; type --base FOLDER with the folder where it "
                "is now (Run.load(folder, base=FOLDER))"
            )
        return base

    @property
    def counts_words(self) -> bool:
        """Whether its classifier counts words and has no encoder, as a ladder's first rung."""
        return (self.folder / WORDS).is_file()

    def words(self) -> Words:
        """The classifier of a run that counts words. Raises RunError."""
        reading = require("rankwise.inference.words", extra="words")
        words: Words = reading.Words.read(self.folder / WORDS, self.preprocessing.classes)
        return words

    def classifier(self) -> Classifier:
        """The classifier in eval mode, with the logits it had when it was saved. Raises ModelError where it counts words."""
        self.check_encoder()
        loading = require("rankwise.model.adapters", extra="train")
        with require("rankwise.run.consistency", extra="train").checked(self) as plan:
            base = self.base()
            there = base.folder
            classes, problem_type = self.preprocessing.classes, self.task.problem_type
            loaded: Classifier = loading.load(self.folder, base, plan, classes, problem_type=problem_type)
        if base.folder != there:  # the hub has sent its files, or others
            self.base()
        return loaded

    @property
    def predictor(self) -> Predictor:
        """Loaded once, then kept."""
        return self.predictor_on("torch")

    def predictor_on(self, engine: str) -> Predictor:
        """The predictor on an engine, as `predict` takes one, loaded once. Raises ModelError for an engine that is none."""
        with _LOADING:
            if engine not in self._predictors:
                predictor = self._load(engine)
                predictor.rule = None if self.decision is None else self.decision.rule
                self._predictors[engine] = predictor
            return self._predictors[engine]

    def _load(self, engine: str) -> Predictor:
        row, loading = engine_called(engine), "rankwise.model.load"
        tokenizer = read_tokenizer(self.folder) or require(loading, extra="train").tokenizer_in(self.folder)
        if self.counts_words:
            words = require("rankwise.inference.words", extra="words")
            predictor: Predictor = words.WordsPredictor(self.words(), tokenizer, self.preprocessing)
            return predictor
        if row.dropout and len(tokenizer) > (rows := self.plan().encoder.config.get("vocab_size", len(tokenizer))):
            raise RunError(
                f"{self.folder}: its tokenizer has {len(tokenizer):,} tokens, its encoder embeds {rows:,}; they don't belong "
                "together, so copy the folder again"
            )
        scorer, dropout = row.scorer(self), partial(self._load_dropout, row) if row.dropout else None
        return TokenPredictor(scorer, tokenizer, self.preprocessing, dropout_scorer=dropout)

    def _load_dropout(self, row: Engine) -> DropoutScorer:
        with _LOADING:
            return row.dropout_scorer(self)

    def exported(self, path: Path | None = None, *, threads: int | None = None) -> OnnxScorer:
        """The classifier in ONNX Runtime, on as many threads as the process may use when none are given.

        A file at `path`, in the run's folder or in the user's cache is used; else it is exported, once, and held against
        torch's logits. Raises MissingExtra without the extra `onnx`, or `export` to make the file, ModelError for an encoder
        that can't be exported, ReloadMismatch when the logits differ, RunError for a `path` that has another run's.
        """
        self.check_encoder()
        return exported(self, path, threads=threads)

    def merge(self, folder: str | Path) -> Path:
        """Write the classifier into `folder` as one transformers model, its adapter in its weights, and return the folder.

        It is held against the run's own logits, and can be the base of another run. Raises RunError for a folder with
        something in it, ModelError for a run that can't be merged, ReloadMismatch when logits differ.
        """
        self.check_encoder()
        merging = require("rankwise.run.export.merged", extra="train")
        written: Path = merging.write_merged(self, Path(folder))
        return written

    def predict(self, texts: Any, *, mc_dropout: int = 0, engine: str = "torch", decide: bool = True) -> list[Prediction]:
        """Label, score and probabilities of each raw text; cleaning and max length as in training.

        Where `rankwise decide` was typed, its decision is applied, unless `decide` is False.

        `texts` are a list, an array or a column of strings, or a frame with the columns that training read as text. Where
        training read pairs, each is one of them: `(first, second)`.
        `engine` is `torch` (fp32) or `fast` (bf16 where the hardware multiplies it), both on a GPU where there is one, or
        `onnx` (ONNX Runtime on the CPU).
        """
        return self.predictor_on(engine).predict(texts, mc_dropout=mc_dropout, decide=decide)

    def explain(self, texts: Any, *, label: Label | None = None, against: Label | None = None) -> list[Explanation]:
        """Why each raw text gets its label: what every word adds to the label's margin over the other classes.

        `label` explains that class instead of what is predicted, `against` its margin over one other class. Words of an
        encoder are scored by integrated gradients, which takes as long as some hundred predictions; where words are counted
        their weights are the scores. Raises DataError for a class that is none, MissingExtra without torch.
        """
        return self.explainer.explain(texts, label=label, against=against)

    @cached_property
    def explainer(self) -> Explainer:
        """What explains predictions, loaded once. Not for several threads at once."""
        if self.counts_words:
            counted: Explainer = require("rankwise.inference.word_weights", extra="words").WeightExplainer(self.predictor)
            return counted
        gradients = require("rankwise.inference.gradients", extra="train")
        with _LOADING:
            device = require("rankwise.system.device", extra="train").Device.for_predictions()
            tokenizer = read_tokenizer(self.folder) or require("rankwise.model.load", extra="train").tokenizer_in(self.folder)
            classifier = self.classifier().to(device.torch_device)
            explaining: Explainer = gradients.GradientExplainer.of(classifier, tokenizer, self.preprocessing)
        return explaining

    def check_encoder(self) -> None:
        """Raises ModelError for a run that counts words."""
        if self.counts_words:
            raise ModelError(
                f"{self.folder} counts words and has no encoder: scikit-learn runs {WORDS}, wherever that is; for an encoder "
                "train another rung: --rung features"
            )

    @cached_property
    def _predictors(self) -> dict[str, Predictor]:
        """By engine, as they are asked for."""
        return {}
