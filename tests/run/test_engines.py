"""An engine that is not installed names what is missing, and the engines that another extra brings."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import cast

import pytest

from rankwise.errors import MissingExtra
from rankwise.run.engines import SavedRun, engine_called
from rankwise.run.folder import Run


@pytest.mark.parametrize(
    ("name", "others"), [("torch", "onnx or onnx-int8 or openvino"), ("onnx", "torch or fast or openvino")]
)
def test_a_missing_engine_names_the_others(name: str, others: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_called(name)

    def missing(module: str, *, extra: str) -> None:
        raise MissingExtra(f"'it' is not installed, and this needs it; type: pip install 'rankwise[{extra}]'")

    monkeypatch.setattr("rankwise.run.engines.require", missing)
    with pytest.raises(MissingExtra, match=rf"\[{engine.extra}\]'; or use what another extra brings: --engine {others}$"):
        engine.scorer(cast(SavedRun, None))


def test_what_an_export_lacks_is_told_before_it_is_begun(
    run_for: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtra, match=r"'onnx' is not installed, and this needs it; type: pip install .*\[export\]"):
        engine_called("onnx").is_ready(run_for("bert", "train.seed=9"))
