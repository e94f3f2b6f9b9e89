"""Headless Chromium, as PySide6 brings it: a page is opened, keys are pressed, scripts ask what is to be seen.

`look` does that in a process of its own, for a browser takes the main thread.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from importlib.util import find_spec

import pytest

PATIENCE = 60.0  # seconds that a script's answer may take
FLAGS = "--no-sandbox --disable-gpu --single-process"
ASYNC = """
    window.answered = "";
    (async () => { %s })().then(
      (told) => { window.answered = JSON.stringify([told ?? null]) },
      (problem) => { window.answered = JSON.stringify(String(problem)) });
"""
MODIFIERS = {"Ctrl": "ControlModifier", "Shift": "ShiftModifier", "Meta": "MetaModifier"}


def look(url: str, steps: list[dict], *, dark: bool = False, width: int = 1000, height: int = 900) -> list:
    """What each step gives, of {"js": the body of an async function}, {"type": text}, {"keys": "Ctrl+Enter"}, {"png": path}.

    Skips the test where there is no Chromium.
    """
    if find_spec("PySide6") is None or find_spec("PySide6.QtWebEngineCore") is None:
        pytest.skip("no Chromium: pip install 'rankwise[browser]'")
    flags = FLAGS + (" --blink-settings=preferredColorScheme=0" if dark else "")
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "QTWEBENGINE_CHROMIUM_FLAGS": flags}
    told = json.dumps({"url": url, "steps": steps, "width": width, "height": height, "dark": dark})
    process = subprocess.run(
        [sys.executable, __file__], input=told, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert process.returncode == 0, process.stderr[-3000:]
    return json.loads(process.stdout.splitlines()[-1])


class Window:
    """A window of the browser, in the browser's process."""

    def __init__(self, *, width: int, height: int, dark: bool) -> None:
        from PySide6.QtCore import QEventLoop, Qt, QTimer
        from PySide6.QtWebEngineWidgets import QWebEngineView
        from PySide6.QtWidgets import QApplication

        self.qt, self.loop, self.timer = Qt, QEventLoop, QTimer
        self.app = QApplication([])
        self.app.styleHints().setColorScheme(Qt.ColorScheme.Dark if dark else Qt.ColorScheme.Light)
        self.view = QWebEngineView()
        self.view.resize(width, height)

    def open(self, url: str) -> None:
        from PySide6.QtCore import QUrl

        loaded: list[bool] = []
        self.view.loadFinished.connect(loaded.append)
        self.view.load(QUrl(url))
        self.view.show()
        self.view.setFocus()
        self._until(lambda: loaded)
        assert loaded == [True], f"{url} did not load"

    def do(self, step: dict) -> object:
        from PySide6.QtTest import QTest

        target = self.view.focusProxy() or self.view
        if "type" in step:
            QTest.keyClicks(target, step["type"])
        elif "keys" in step:
            *held, key = step["keys"].split("+")
            modifiers = self.qt.KeyboardModifier.NoModifier
            for name in held:
                modifiers |= getattr(self.qt.KeyboardModifier, MODIFIERS[name])
            QTest.keyClick(target, getattr(self.qt.Key, f"Key_{key}"), modifiers)
        elif "png" in step:
            height = int(str(self.js("return document.documentElement.scrollHeight")))
            self.view.resize(self.view.width(), min(height, 8_000))
            self._wait(0.7)
            self.view.grab().save(step["png"])
        else:
            return self.js(step["js"])
        self._wait(0.15)
        return None

    def js(self, body: str) -> object:
        """What the body of an async function returns."""
        answers: list[str] = []
        page = self.view.page()
        page.runJavaScript(ASYNC % body)
        self._until(
            lambda: answers, each=lambda: page.runJavaScript("window.answered", lambda told: told and answers.append(told))
        )
        told = json.loads(answers[0])
        assert isinstance(told, list), told
        return told[0]

    def _wait(self, seconds: float) -> None:
        loop = self.loop()
        self.timer.singleShot(int(1000 * seconds), loop.quit)
        loop.exec()

    def _until(self, holds, each=lambda: None) -> None:
        until = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < until, "the page does not answer"
            each()
            self._wait(0.05)


def main() -> None:
    told = json.load(sys.stdin)
    window = Window(width=told["width"], height=told["height"], dark=told["dark"])
    window.open(told["url"])
    answers = [window.do(step) for step in told["steps"]]
    print(json.dumps(answers), flush=True)
    os._exit(0)  # a browser in one process takes its time to end, or crashes then


if __name__ == "__main__":
    main()
