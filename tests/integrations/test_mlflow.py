"""A run goes through MLflow and comes back: saved, logged, registered, loaded as a run and as a pyfunc; the real package."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from rankwise.errors import DataError, RunError
from rankwise.run.folder import Run

mlflow = pytest.importorskip(
    "mlflow", reason="mlflow is not installed: pip install '.[mlflow]', or mlflow-skinny and sqlalchemy"
)
pd = pytest.importorskip("pandas")

from rankwise.integrations import mlflow as flavor  # noqa: E402

pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:mlflow"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
TEXTS = ["apple iron apple", "a very old zinc", "near the danube"]


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A tracking store and a registry in a SQLite file, artifacts in a folder."""
    pytest.importorskip("sqlalchemy")
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    client = mlflow.MlflowClient()
    mlflow.set_experiment(
        experiment_id=client.create_experiment("words", artifact_location=(tmp_path / "artifacts").as_uri())
    )
    return client


def probabilities(run):
    return [said.probabilities for said in run.predict(TEXTS)]


def test_a_saved_run_is_loaded_and_gives_the_same_probabilities_to_the_bit(run_for, tmp_path):
    run = run_for("bert")
    flavor.save_model(run, tmp_path / "model")
    shutil.move(tmp_path / "model", tmp_path / "moved")  # its base goes with it
    assert probabilities(flavor.load_model(tmp_path / "moved")) == probabilities(run)


@pytest.mark.parametrize(
    "changes", [["head.kind=pooled", "head.start=fitted", "rungs=[tfidf]"], ["adapter.method=head"]], ids=str
)
def test_what_needs_no_base_is_saved_without_one(run_for, tmp_path, changes):
    run = run_for("bert", *changes)
    flavor.save_model(run, tmp_path / "model")
    assert not (tmp_path / "model" / "base").exists()
    assert probabilities(flavor.load_model(tmp_path / "model")) == probabilities(run)


def test_a_pyfunc_takes_a_frame_and_gives_one(run_for, tmp_path):
    run = run_for("bert")
    flavor.save_model(run, tmp_path / "model")
    model = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    frame = pd.DataFrame({"text": TEXTS}, index=[7, 8, 9])
    told = model.predict(frame)
    said = run.predict(TEXTS)
    assert list(told.columns) == ["label", "score", *(f"probability_{name}" for name in run.preprocessing.classes)]
    assert list(told["label"]) == [one.label for one in said]
    assert np.array_equal(told["score"], [one.score for one in said])
    assert list(told.index) == [7, 8, 9]
    with pytest.raises(mlflow.exceptions.MlflowException, match="text"):
        model.predict(pd.DataFrame({"body": [1], "title": [2]}))


def test_nothing_in_it_is_a_pickle_or_a_row(run_for, tmp_path, rows):
    flavor.save_model(run_for("bert"), tmp_path / "model")
    files = [path for path in (tmp_path / "model").rglob("*") if path.is_file()]
    assert not [path for path in files if path.suffix in (".pkl", ".pickle", ".joblib", ".bin", ".pt", ".parquet")]
    everything = b"\n".join(path.read_bytes() for path in files)
    assert not [text for text in rows.texts if text.encode() in everything]
    assert "cloudpickle" not in (tmp_path / "model" / "MLmodel").read_text()


def test_a_logged_run_is_registered_and_found_by_version_and_alias(run_for, store):
    run = run_for("bert")
    with mlflow.start_run():
        logged = flavor.log_model(run, "classifier", registered_model_name="words")
        mlflow.log_metric("accuracy", run.scores.test.accuracy.value)
    assert probabilities(flavor.load_model(logged.model_uri)) == probabilities(run)
    store.set_registered_model_alias("words", "production", 1)
    for uri in ("models:/words/1", "models:/words@production"):
        assert probabilities(flavor.load_model(uri)) == probabilities(run)
    by_pyfunc = mlflow.pyfunc.load_model("models:/words/1").predict(pd.DataFrame({"text": TEXTS}))
    assert list(by_pyfunc["label"]) == [said.label for said in run.predict(TEXTS)]


def test_another_flavours_model_is_refused(tmp_path):
    mlflow.models.Model(flavors={"sklearn": {}}).save(str(tmp_path / "MLmodel"))
    with pytest.raises(RunError, match="is a model of sklearn; expected one that rankwise logged"):
        flavor.load_model(tmp_path)


def test_a_file_that_was_changed_is_told(run_for, tmp_path):
    flavor.save_model(run_for("bert"), tmp_path / "model")
    (tmp_path / "model" / "run" / "plan.json").write_text("{}")
    with pytest.raises(RunError, match=r"plan.json is not what was saved"):
        flavor.load_model(tmp_path / "model")


def test_a_folder_with_something_in_it_is_left_as_it_is(run_for, tmp_path):
    (tmp_path / "mine.txt").write_text("kept")
    with pytest.raises(RunError, match="is not empty"):
        flavor.save_model(run_for("bert"), tmp_path)


def test_texts_that_are_none_are_told_by_their_row(run_for):
    with pytest.raises(DataError):
        flavor.Predictions(Run.load(run_for("bert").folder)).predict(pd.DataFrame({"text": [1.5]}))
