"""`RankwiseClassifier`, a scikit-learn estimator: texts and labels in, a classifier fitted as `rankwise train` fits one.

Nothing is set aside for a test, for whoever uses scikit-learn has rows of their own for that. No folder is written until
one is asked for (`save`) or the estimator is pickled, whose pickle holds the run folder's files: weights as safetensors, the
rest as JSON. Fits of one process share tokens and frozen layers' hidden states, so folds and settings cost little.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from numbers import Real
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from rankwise.data.files.table import table_of
from rankwise.data.given import column_names, is_missing, listed, name_of
from rankwise.data.labelled import split_tables
from rankwise.data.tasks import SINGLE_LABEL
from rankwise.encoders.base import locate
from rankwise.errors import DataError
from rankwise.recipe import Recipe
from rankwise.recipe.recipe import AT_ONCE, Rung
from rankwise.run.folder import Run
from rankwise.system.events import Listener
from rankwise.workflows.in_memory import Common, FittedClassifier, fit_in_memory
from rankwise.workflows.telling import told

COMMON = Common()  # this process's


class InvalidInput(DataError, ValueError):
    """Texts or labels that no classifier can be fitted to, as scikit-learn's callers expect it: a ValueError."""


class RankwiseClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A text classifier, fine-tuned under a budget of trainable parameters.

    `X` is a list, a column (pandas, Polars, numpy) or a frame of one column of strings; or a list of pairs of them, `(first,
    second)`. `y` has one label a text. What is fitted:

    recipe: a built-in recipe's name, a YAML file, or a Recipe; its data's files are not read.
    rung: train this rung of the recipe's ladder alone, once: "tfidf", "features", "top" or "all".
    budget: the most parameters that may train; the recipe's when left out.
    minutes: the most minutes that a fit may take.
    epochs, learning_rate, rank: what a search tunes most; the recipe's when left out.
    overrides: any other keys of the recipe, such as {"adapter.targets": "all"}.
    class_weight: None, "balanced", or a weight by label; other labels weigh 1.
    validation_fraction: the share of the rows that chooses the checkpoint. Up to 1,000 rows a climb of several rungs, as
        `auto` is, takes folds of all rows in its place, four fits for each rung with adapters, and trains on every row.
    random_state: an integer, or a RandomState to draw one from; None keeps the recipe's seeds, so that fits can be repeated.
    verbose: 1 tells on standard error how it goes on.

    Samples have no weights of their own: there is no `sample_weight`.
    Attributes of what was fitted: `classes_`, sorted; `recipe_`, what was trained; `n_parameters_`, how many.
    """

    def __init__(
        self,
        recipe: str | Path | Recipe = "auto",
        *,
        rung: str | None = None,
        budget: int | None = None,
        minutes: float | None = None,
        epochs: float | None = None,
        learning_rate: float | None = None,
        rank: int | str | None = None,
        overrides: Mapping[str, Any] | None = None,
        class_weight: str | Mapping[Any, float] | None = None,
        validation_fraction: float | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.recipe = recipe
        self.rung = rung
        self.budget = budget
        self.minutes = minutes
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.rank = rank
        self.overrides = overrides
        self.class_weight = class_weight
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any) -> Self:
        """Train on texts and their labels. Raises a RankwiseError that says what to change."""
        texts, labels = _texts_of(X), _labels_of(y)
        if len(texts) != len(labels):
            raise InvalidInput(f"{len(texts):,} texts and {len(labels):,} labels; expected one label for each text")
        classes = np.unique(labels)
        if len(classes) < 2:
            raise InvalidInput(f"y has one class, {classes.tolist()[0]!r}; expected two classes or more to tell apart")
        recipe = self._asked(classes)
        table = table_of(texts, labels.tolist(), recipe.data)
        none = table.take(np.arange(0))
        labelled = split_tables(recipe.data, table, test=none, by_folds=bool(recipe.rungs))
        telling: AbstractContextManager[list[Listener]] = told() if self.verbose else nullcontext([])
        with telling as listeners:
            fitted = fit_in_memory(labelled, recipe, listeners=listeners, common=COMMON)
        self.classes_ = classes
        self.recipe_ = fitted.job.recipe
        self.n_parameters_ = fitted.job.trained_parameters
        self._model: FittedClassifier | Run = fitted
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """The likeliest label of each text, of the type that `y` had (N,)."""
        likeliest = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[likeliest])

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """The probability of each class (N, C), in the order of `classes_`."""
        check_is_fitted(self)
        texts, in_order = _texts_of(X), list(map(name_of, self.classes_.tolist()))
        if not texts:
            raise InvalidInput("X has no texts; expected one or more")
        if isinstance(self._model, Run):
            predictor = self._model.predictor
            found = predictor.task.probabilities(predictor.logits(predictor.read(texts)))
            names = self._model.preprocessing.classes
        else:
            found, names = self._model.probabilities(texts), self._model.job.data.classes
        return np.asarray(found[:, [names.index(name) for name in in_order]])

    def save(self, folder: str | Path) -> Run:
        """Write a run folder, which `rankwise` and plain peft and transformers load, and return the run.

        Its scores are those of the rows that were held out from training. Raises RunError for a folder with something in it.
        """
        check_is_fitted(self)
        if isinstance(self._model, FittedClassifier):
            return self._model.save(folder)
        Path(folder).mkdir(parents=True, exist_ok=True)
        _write(Path(folder), _files_of(self._model.folder))
        return Run.load(folder)

    def __getstate__(self) -> dict[str, Any]:
        """The parameters, and of a fitted classifier its run folder's files, by name."""
        state: dict[str, Any] = dict(super().__getstate__())
        model = state.pop("_model", None)
        if isinstance(model, Run):
            state["_files"] = _files_of(model.folder)
        elif model is not None:
            with tempfile.TemporaryDirectory(prefix="rankwise-run-") as folder:
                state["_files"] = _files_of(model.save(Path(folder) / "run").folder)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Files go into a temporary folder, which goes with the estimator; the run in it is checked against its manifest."""
        files = state.pop("_files", None)
        super().__setstate__(state)
        if files is not None:
            folder = Path(tempfile.mkdtemp(prefix="rankwise-run-"))
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
            _write(folder, files)
            self._model = _loaded(folder, self.recipe_)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_model")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.target_tags.multi_output = False
        return tags

    def _asked(self, classes: NDArray[Any]) -> Recipe:
        """The recipe with the estimator's parameters in it, which reads no files."""
        recipe = self.recipe if isinstance(self.recipe, Recipe) else Recipe.load(self.recipe)
        without_files = dict.fromkeys(("source", "train", "validation", "test"))
        data = recipe.data.model_copy(update={**without_files, "classes": ()})
        if data.task == "auto":
            data = data.model_copy(update={"task": SINGLE_LABEL})
        recipe = recipe.model_copy(update={"data": data})
        changes: dict[str, Any] = {
            "budget.parameters": self.budget,
            "budget.minutes": self.minutes,
            "train.epochs": self.epochs,
            "train.learning_rate": self.learning_rate,
            "adapter.rank": self.rank,
            "data.split.validation": self.validation_fraction,
            "train.class_weights": self._weights(classes),
            **self._seeds(),
        }
        given = {key: value for key, value in changes.items() if value is not None}
        recipe = recipe.with_overrides({**given, **(self.overrides or {})})
        if self.rung is None:
            return recipe
        recipe = recipe.with_overrides({"rungs": self.rung}).rung(cast(Rung, self.rung))
        return recipe if self.rung in AT_ONCE else recipe.without_climb

    def _weights(self, classes: NDArray[Any]) -> Any:
        """A recipe's `class_weights`."""
        if not isinstance(self.class_weight, Mapping):
            return self.class_weight
        known = dict(zip(classes.tolist(), map(name_of, classes.tolist()), strict=True))
        if unknown := [label for label in self.class_weight if label not in known]:
            raise InvalidInput(f"class_weight names {unknown[0]!r}, which is no class of y; expected some of {list(known)}")
        return {known[label]: float(weight) for label, weight in self.class_weight.items()}

    def _seeds(self) -> dict[str, int]:
        if self.random_state is None:
            return {}
        seed = self.random_state
        if not isinstance(seed, (int, np.integer)):
            seed = check_random_state(seed).randint(2**31 - 1)
        return {"train.seed": int(seed), "data.split.seed": int(seed)}


def _texts_of(X: Any) -> list[Any]:
    """The texts, or pairs of texts, that were given. Raises InvalidInput naming the position of what is none."""
    if column_names(X) is not None:
        names = column_names(X) or []
        if len(names) != 1:
            told = ", ".join(map(str, names))
            fix = f"X['{names[0]}']" if names else "a column of texts"
            raise InvalidInput(f"X is a table of the columns {told}; expected one column of texts: {fix}")
        X = X[names[0]]
    if isinstance(X, (str, bytes)) or not hasattr(X, "__len__"):
        raise InvalidInput(f"X is a {type(X).__name__}; expected a list, an array or a column of texts")
    if getattr(X, "ndim", 1) > 1:
        if X.ndim > 2 or X.shape[1] != 1:
            raise InvalidInput(f"X has the shape {X.shape}; expected texts (N,), or (N, 1)")
        X = X[:, 0]
    texts = list(listed(X))
    for number, text in enumerate(texts):
        is_pair = isinstance(text, (tuple, list)) and len(text) == 2 and all(isinstance(side, str) for side in text)
        if not isinstance(text, str) and not is_pair:
            found = f"missing ({text})" if is_missing(text) else f"a {type(text).__name__} ({text!r:.40})"
            raise InvalidInput(f"X, row {number}, is {found}; expected a text")
    return texts


def _labels_of(y: Any) -> NDArray[Any]:
    """The labels (N,) with the type they have in `y`. Raises InvalidInput for what has several labels a text, or none."""
    if y is None:
        raise InvalidInput("requires y to be passed, but the target y is None; expected a label for each text")
    values = y.to_numpy() if hasattr(y, "to_numpy") else y if hasattr(y, "ndim") else list(y)
    if getattr(values, "ndim", 2) == 2 and not isinstance(values, list) and values.shape[1] == 1:
        values = values[:, 0]
    lengths = {len(value) for value in values if isinstance(value, (list, tuple))}
    if getattr(values, "ndim", 1) != 1 or len(lengths) == 1:
        shape = getattr(values, "shape", (len(values), *lengths))
        raise InvalidInput(
            f"y has the shape {shape}; expected one label for each text (N,). For several labels a text train a run: "
            "rankwise.train('auto', texts=…, labels=…)"
        )
    kinds = set[str]()
    for number, label in enumerate(listed(values)):
        if is_missing(label):
            raise InvalidInput(f"y, row {number}, is missing ({label}); expected a label")
        if not isinstance(label, (str, bool, Real, np.bool_)):
            raise InvalidInput(f"y, row {number}, is a {type(label).__name__}; expected a string or a whole number")
        if isinstance(label, Real) and float(label) % 1:
            raise InvalidInput(f"y, row {number}, is {label}: Unknown label type: continuous; expected a class")
        kinds.add("strings" if isinstance(label, str) else "truth" if isinstance(label, (bool, np.bool_)) else "numbers")
    if len(kinds) > 1:
        raise InvalidInput(f"y has labels of several types, {' and '.join(sorted(kinds))}; expected labels of one")
    return np.asarray(values)


def _loaded(folder: Path, recipe: Recipe) -> Run:
    """The run in a folder, its base found by the name that it was asked for by, wherever that is on this machine."""
    run = Run.load(folder)
    if run.is_whole or run.counts_words:
        return run
    base = locate(recipe.base, revision=recipe.revision)
    return run if base.location == base.hub else Run.load(folder, verify=False, base=base.location)


def _files_of(folder: Path) -> dict[str, bytes]:
    """A folder's files by their paths in it."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise InvalidInput(f"the pickle names the file '{name}', which is outside its folder; make it again")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
