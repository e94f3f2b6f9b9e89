"""Where a text's words stand, and where the characters of a clean text stood in the raw one.

A span is (start, end), as in `text[start:end]`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from difflib import SequenceMatcher

Span = tuple[int, int]

# Scripts that put no space between words: each character stands for itself there. Thai, Lao; Burmese; Khmer; kana; Han.
_WITHOUT_SPACES = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
_INSIDE = "'’-_@#"  # what joins words (don't, 16-year-old) or begins one (#irony, @user)
_BLOCKS = re.compile(r"\S+")


def word_spans(text: str) -> list[Span]:
    """Every word of a text, and every sign that is none, in order; they have no white space in them, and none overlap."""
    spans: list[Span] = []
    open_word = False  # whether the next letter belongs to the last span
    for place, character in enumerate(text):
        kind = unicodedata.category(character)
        if kind[0] == "M" or kind == "Cf":  # a mark on the character before it, or what joins it to the next
            if spans and spans[-1][1] == place:
                spans[-1] = (spans[-1][0], place + 1)
        elif character.isspace() or kind == "Cc":
            open_word = False
        elif _WITHOUT_SPACES.match(character):
            spans.append((place, place + 1))
            open_word = False
        elif kind[0] in "LN" or character in _INSIDE:
            if open_word:
                spans[-1] = (spans[-1][0], place + 1)
            else:
                spans.append((place, place + 1))
            open_word = True
        else:
            spans.append((place, place + 1))
            open_word = False
    return spans


def raw_spans(raw: str, clean: str, spans: Sequence[Span]) -> list[Span]:
    """The spans of a clean text in the raw text that it was made of.

    What cleaning has left as it was is found to the character; what it has rewritten stands where the rewritten part stood.
    """
    if raw == clean:
        return list(spans)
    starts, ends = _origins(raw, clean)
    return [(starts[start], ends[end - 1]) for start, end in spans]


def _origins(raw: str, clean: str) -> tuple[list[int], list[int]]:
    """Start and end in the raw text of each character of the clean one: compared by blocks between spaces, then in these."""
    starts, ends = [0] * len(clean), [0] * len(clean)
    raw_blocks, clean_blocks = ([found.span() for found in _BLOCKS.finditer(text)] for text in (raw, clean))
    words = [[text[start:end] for start, end in blocks] for text, blocks in ((raw, raw_blocks), (clean, clean_blocks))]
    for _, a, b, c, d in SequenceMatcher(None, words[0], words[1], autojunk=False).get_opcodes():
        if c == d:
            continue
        clean_start, clean_end = clean_blocks[c][0], clean_blocks[d - 1][1]
        raw_start = raw_blocks[a][0] if a < len(raw_blocks) else len(raw)
        raw_end = raw_blocks[b - 1][1] if b > a else raw_start
        within = SequenceMatcher(None, raw[raw_start:raw_end], clean[clean_start:clean_end], autojunk=False)
        for how, e, f, g, h in within.get_opcodes():
            for place in range(g, h):
                one = e + place - g
                whole = (one, one + 1) if how == "equal" else (e, f)
                starts[clean_start + place], ends[clean_start + place] = raw_start + whole[0], raw_start + whole[1]
    return starts, ends
