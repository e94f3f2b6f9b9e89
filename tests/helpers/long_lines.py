"""What a command prints in lines as long as they are, whatever width the consoles took when they were first imported."""

from __future__ import annotations

import pytest

from rankwise.cli import console


def in_long_lines(monkeypatch: pytest.MonkeyPatch, width: int = 500) -> None:
    """Until the end of the test, no line is wrapped before so many characters."""
    for stream in (console.out, console.err):
        monkeypatch.setattr(stream, "_width", width)
        monkeypatch.setattr(stream, "_height", 25)  # without which a terminal's own size would count
