"""Text as it may be shown: what would steer a terminal or turn a line round is written out instead of obeyed.

A class name or a text from somebody's file may hold escape sequences, bells, or characters that reverse what follows. Every
edge at which people read (console, report, model card) puts text through `visible`; files of data keep it to the letter.
"""

import re

# Control characters but for tab and line feed, separators of lines and paragraphs, what embeds, overrides or isolates a
# direction of writing, and halves of a character, which no stream can encode. Marks that scripts need, as joiners, stay.
_STEERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """The text with what can't be seen written out: `\\x1b[31m`, `\\u202e`; line feeds and tabs stay."""
    return text if text.isprintable() else _STEERS.sub(_written_out, text)


def one_line(text: str, most: int | None = None) -> str:
    """The visible text in one line, runs of white space as one space, of at most so many characters."""
    line = visible(" ".join(text.split()))
    return line if most is None or len(line) <= most else f"{line[: most - 1]}…"


def visible_json(text: str) -> str:
    """JSON that reads back as the same, with what can't be seen as JSON's own escapes."""
    return _STEERS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _written_out(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
