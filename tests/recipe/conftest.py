"""Recipes that are read from a YAML text, and the messages with which they are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from rankwise.errors import RecipeError
from rankwise.recipe.recipe import Recipe


@pytest.fixture
def read(tmp_path, monkeypatch):
    """YAML text → the recipe, read from r.yaml in the current folder, so that messages start with `r.yaml:`."""
    monkeypatch.chdir(tmp_path)

    def load(text, *overrides):
        Path("r.yaml").write_text(text, "utf-8")
        return Recipe.load("r.yaml", overrides)

    return load


@pytest.fixture
def refused(read):
    """YAML text → the message of its refusal."""

    def message(text, *overrides):
        with pytest.raises(RecipeError) as caught:
            read(text, *overrides)
        return str(caught.value)

    return message
