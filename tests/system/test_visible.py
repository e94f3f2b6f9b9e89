"""What would steer a terminal is written out; what people write in any script stays as it is."""

from __future__ import annotations

import json

import pytest

from rankwise.system.visible import one_line, visible, visible_json

STEERING = [
    "\x1b[31mred",
    "bell\x07",
    "back\x08",
    "\x9b2J",
    "over\u202eesrever",
    "\u2066isolate",
    "a\x7f",
    "a\rb",
    "\u2028",
    "\x00",
]


@pytest.mark.parametrize("text", STEERING)
def test_what_steers_is_written_out(text):
    shown = visible(text)
    assert shown.isprintable()
    assert shown.encode("ascii", "backslashreplace").decode().isprintable()
    assert f"\\{'x' if ord(max(text, key=lambda c: not c.isprintable())) < 256 else 'u'}" in shown


@pytest.mark.parametrize(
    "text", ["plain", "Ünï çödé", "👩‍👩‍👧 family", "שלום\u200f", "مرحبا", "नमस्ते", "e\u0301", "a\tb\nc", "A\u00a0B"]
)
def test_what_people_write_stays(text):
    assert visible(text) == text


def test_half_a_character_can_be_printed():
    visible("\ud83d").encode("utf-8")


def test_one_line_has_no_line_feeds_and_is_cut():
    assert one_line("a\r\n  b\tc") == "a b c"
    assert one_line("x" * 50, 10) == "x" * 9 + "…"
    assert one_line("a\x1b[2Jb") == "a\\x1b[2Jb"


@pytest.mark.parametrize("text", STEERING)
def test_json_reads_back_as_it_was(text):
    written = visible_json(json.dumps({text: [text]}, indent=2, ensure_ascii=False))
    assert all(line.isprintable() for line in written.split("\n"))
    assert json.loads(written) == {text: [text]}
