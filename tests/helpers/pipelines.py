"""Asks transformers' own pipeline what a run answers."""

from __future__ import annotations

import pytest
from transformers import pipeline

from rankwise.run.folder import Run


def check_pipeline(run: Run) -> None:
    """A pipeline loads the run's folder by itself, and gives each class the run's score."""
    classify = pipeline("text-classification", str(run.folder), top_k=None, device="cpu")
    for text in ("apple and pear", "zinc"):
        found = {entry["label"]: entry["score"] for entry in classify([text])[0]}
        assert found == pytest.approx(run.predict([text])[0].probabilities, abs=1e-5)
