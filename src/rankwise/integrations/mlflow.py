"""A run as a model of MLflow: saved, logged and registered as any flavour is, loaded as a run or as a pyfunc, without pickle.

What MLflow keeps is the run without its rows (`run.export.without_rows`), and its base beside it where that is a folder, so
that the model is whole wherever it goes. `mlflow-skinny` is enough; a registry needs the store that it has anyhow.
"""

import shutil
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rankwise.data.tasks.names import LABEL_COLUMNS, MULTI_LABEL, REGRESSION
from rankwise.errors import NAME, RunError, require
from rankwise.run.export.without_rows import write_without_rows
from rankwise.run.folder import Run

FLAVOR = NAME
RUN, BASE = "run", "base"  # folders of a model
WEIGHTLESS = ("*.bin", "*.h5", "*.msgpack", "*.ot", "*.onnx", ".*")  # of a base, what is not read where it has safetensors


def save_model(
    run: Run,
    path: str | Path,
    *,
    mlflow_model: Any = None,
    pip_requirements: Sequence[str] | None = None,
    signature: Any = None,
    metadata: dict[str, Any] | None = None,
) -> None:
    """Write a run into a new folder as MLflow reads models.

    `pip_requirements` are those of this rankwise with torch where none are given, the signature that of the run's columns.
    Raises RunError for a folder with something in it.
    """
    models, pyfunc = _mlflow("models"), _mlflow("pyfunc")
    folder, model = Path(path), models.Model() if mlflow_model is None else mlflow_model
    if folder.exists() and any(folder.iterdir()):
        raise RunError(f"{folder} is not empty; give a folder that is new")
    (folder / RUN).mkdir(parents=True)
    write_without_rows(run, folder / RUN)
    if run.facts.base.hub is None and not run.is_whole and not run.counts_words:
        shutil.copytree(run.base().location, folder / BASE, ignore=_unread(Path(run.base().location)))
    model.signature = signature or _signature(run)
    if metadata is not None:
        model.metadata = metadata
    model.add_flavor(FLAVOR, rankwise_version=version(NAME), data=RUN)
    pyfunc.add_to_model(model, loader_module=__name__, python_env="python_env.yaml")
    model.save(str(folder / "MLmodel"))
    needed = list(pip_requirements or _requirements(run))
    (folder / "requirements.txt").write_text("".join(f"{line}\n" for line in needed), "utf-8")
    _mlflow("utils.environment")._PythonEnv.current().to_yaml(str(folder / "python_env.yaml"))


def log_model(run: Run, name: str = "model", *, registered_model_name: str | None = None, **options: Any) -> Any:
    """Log a run as a model of MLflow's active run, register it under a name where one is given; MLflow's ModelInfo of it.

    `options` are those of `save_model`, and of `mlflow.models.Model.log`, such as `tags`.
    """
    this, registered = sys.modules[__name__], registered_model_name
    return _mlflow("models").Model.log(None, this, name=name, registered_model_name=registered, run=run, **options)


def load_model(model_uri: str, dst_path: str | None = None) -> Run:
    """The run of a model that was saved or logged: a folder, `runs:/…`, `models:/NAME/VERSION` or `models:/NAME@ALIAS`.

    Raises RunError for a model of another flavour, or whose files are not as they were saved.
    """
    folder = Path(_mlflow("artifacts").download_artifacts(artifact_uri=str(model_uri), dst_path=dst_path))
    if FLAVOR not in (flavors := _mlflow("models").Model.load(str(folder)).flavors):
        raise RunError(f"{model_uri} is a model of {', '.join(flavors) or 'no flavour'}; expected one that {NAME} logged")
    return _run_in(folder)


class Predictions:
    """What `mlflow.pyfunc.load_model` predicts with: a frame in, a frame out."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """A row for each of the input: `label` and `score`, each class's probability, `unsure` where a decision was made.

        An estimated number has no score, and the `low` and `high` end of its range where a decision was made.
        The input is a frame with the columns that training read as text, or with one column, or texts. Raises DataError.
        """
        del params
        pd, frame = require("pandas", extra="mlflow"), model_input
        if isinstance(frame, pd.DataFrame) and len(frame.columns) == 1 and not self.run.preprocessing.reads_pairs:
            frame = frame.iloc[:, 0]
        said = self.run.predict(frame)
        rows = {"label": [one.label for one in said], "score": [one.score for one in said]}
        if self.run.preprocessing.task == REGRESSION:
            del rows["score"]
            if ranges := [one.range for one in said if one.range is not None]:
                rows |= {"low": [low for low, _ in ranges], "high": [high for _, high in ranges]}
        elif self.run.decision is not None:
            rows |= {"unsure": [one.unsure for one in said], "reason": [one.reason for one in said]}
        for label in self.run.preprocessing.labels if said and said[0].probabilities else ():
            rows[f"probability_{label}"] = [one.probabilities[label] for one in said]
        index = model_input.index if isinstance(model_input, (pd.DataFrame, pd.Series)) else None
        return pd.DataFrame(rows, index=index)


def _load_pyfunc(path: str) -> Predictions:
    """What MLflow calls for a model with this module as its loader."""
    return Predictions(_run_in(Path(path)))


def _run_in(folder: Path) -> Run:
    base = folder / BASE
    return Run.load(folder / RUN, base=base if base.is_dir() else None)


def _unread(base: Path) -> Any:
    """What of a base's folder is not copied: other formats of weights where it has safetensors."""
    return shutil.ignore_patterns(*WEIGHTLESS) if any(base.glob("*.safetensors")) else None


def _requirements(run: Run) -> list[str]:
    extras = "words" if run.counts_words else "minilm,train" if run.facts.base.name == "minilm" else "train"
    return [f"{NAME}[{extras}]=={version(NAME)}", "pandas"]


def _signature(run: Run) -> Any:
    """The columns that the run reads, and those that `Predictions` gives where these are known beforehand."""
    types, made = _mlflow("types"), _mlflow("models.signature").ModelSignature
    about = run.preprocessing
    named = [*about.text, *(about.text_pair or ())]
    columns = [str(name) for name in named] if all(isinstance(name, str) for name in named) and named else ["text"]
    inputs = types.Schema([types.ColSpec(types.DataType.string, name) for name in columns])
    if about.task in (MULTI_LABEL, LABEL_COLUMNS) or about.label_type is not None:
        return made(inputs=inputs)
    kind = types.DataType.double if about.task == REGRESSION else types.DataType.string
    told = [types.ColSpec(kind, "label"), types.ColSpec(types.DataType.double, "score")]
    return made(inputs=inputs, outputs=types.Schema(told[:1] if about.task == REGRESSION else told))


def _mlflow(module: str) -> Any:
    """A module of MLflow's. Raises MissingExtra."""
    return require(f"mlflow.{module}", extra="mlflow")
