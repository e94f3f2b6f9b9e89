"""An engine that is not installed names what is missing, and the engines that another extra brings."""

from __future__ import annotations

from typing import cast

import pytest

from rankwise.errors import MissingExtra
from rankwise.run.engines import SavedRun, engine_called


@pytest.mark.parametrize(("name", "others"), [("torch", "onnx"), ("onnx", "torch or fast")])
def test_a_missing_engine_names_the_others(name: str, others: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_called(name)

    def missing(module: str, *, extra: str) -> None:
        raise MissingExtra(f"'it' is not installed, and this needs it; type: pip install 'rankwise[{extra}]'")

    monkeypatch.setattr("rankwise.run.engines.require", missing)
    with pytest.raises(MissingExtra, match=rf"\[{engine.extra}\]'; or use what another extra brings: --engine {others}$"):
        engine.scorer(cast(SavedRun, None))
