"""Writes the folder that `run/deployed.py` reads: whole, or not at all."""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rankwise.errors import require
from rankwise.run.deployed import EXPORT, FILES, TOKENIZER, Deployed
from rankwise.run.folder import Run
from rankwise.system.files import read_json, write_json
from rankwise.system.storage import check_new_folder, make_folder, sync, sync_all, told_refusals


def check_new(folder: Path) -> None:
    """Raises RunError for a folder that something else lies in."""
    if not (folder / EXPORT).is_file():
        check_new_folder(folder, "--out FOLDER")


def write_deployed(run: Run, about: Deployed, files: dict[str, Path], folder: Path) -> None:
    """Write a run's export into `folder`, in place of an earlier one; `files` are the model's, by their names there."""
    check_new(folder)
    with told_refusals(folder, "free room there, or give another folder of yours: --out FOLDER"):
        parent = make_folder(folder.parent)
        with TemporaryDirectory(prefix=f".{folder.name}-", dir=parent, ignore_cleanup_errors=True) as beside:
            draft = Path(beside) / folder.name
            draft.mkdir()
            for name, path in files.items():
                (draft / name).parent.mkdir(exist_ok=True)
                shutil.copyfile(path, draft / name)
            for name in TOKENIZER:
                if (run.folder / name).is_file():
                    shutil.copyfile(run.folder / name, draft / name)
            _limit(draft / "tokenizer_config.json", about.max_length)
            write_json(draft / "config.json", _config(run))
            write_json(draft / EXPORT, about)
            sync_all(draft)
            if folder.exists():
                folder.rename(Path(beside) / "before")
            draft.rename(folder)
        sync(parent)


def _limit(path: Path, max_length: int) -> None:
    """Have readers cut texts where training did."""
    write_json(path, {**read_json(path, dict[str, Any]), "model_max_length": max_length})


def _config(run: Run) -> dict[str, Any]:
    """The encoder's configuration with the run's classes, as transformers names them."""
    classes = run.preprocessing.classes
    names = require("transformers.models.auto.modeling_auto", extra="train").MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES
    config = dict(run.plan().encoder.config)
    return {
        **config,
        "architectures": [names.get(config["model_type"], f"{config['model_type']}ForSequenceClassification")],
        "id2label": {str(number): name for number, name in enumerate(classes)},
        "label2id": {name: number for number, name in enumerate(classes)},
        "problem_type": run.task.problem_type,
    }


def openvino_files(exported: Path, scratch: Path) -> dict[str, Path]:
    """An exported ONNX file as OpenVINO's own two, in fp32, made in a scratch folder."""
    openvino = require("openvino", extra="openvino")
    path = scratch / FILES["openvino"]
    openvino.save_model(openvino.convert_model(str(exported)), str(path), compress_to_fp16=False)
    return {path.name: path, path.with_suffix(".bin").name: path.with_suffix(".bin")}
