"""What a text may look like where a classifier is used: kinds of shift, each a function of the text and a seed alone.

Kinds work on the raw text, before any cleaning, as the world does. They leave the class of a text to a human reader as it
was; a text of which nothing would be left stays as it is. Where words or letters are drawn, the draw depends on seed, kind
and text, so the same text is always shifted in the same way, wherever it stands. Shares of words are ours; sources of
the kinds stand with them. `shifted_tokens` turns N texts into tokens once, so that scoring them is all that is left to do.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankwise.data.clean import Preprocessing, agencies, whitespace
from rankwise.data.pairs import is_pair, on_each_side
from rankwise.data.store import Texts
from rankwise.data.tokens import Tokens, tokenize_to_disk

TYPO_SHARE = 0.15  # of the words of four letters and more
DROPPED_SHARE = 0.2  # of all words
LEAST_TITLE = 3  # words before a full stop that ends a sentence: "U.S. stocks", "Ky. Company"

Kind = Callable[[str, Random, str], str]  # text, generator, what joins text columns


@dataclass(frozen=True)
class Shifted:
    """What one kind of shift makes of N texts: the tokens of those M whose tokens it changes."""

    kind: str
    indices: NDArray[np.int64] = field(repr=False)
    """Which texts have other tokens, (M,), rising."""
    texts: Sequence[str] = field(repr=False)
    """These M texts, changed and clean."""
    tokens: Tokens = field(repr=False)
    """Their tokens."""


def shift(text: str, kind: str, *, seed: int = 0, join: str = " . ") -> str:
    """The text under one kind of shift, each side of a pair on its own; `join` is what stands between joined columns."""
    if is_pair(text):
        return on_each_side(lambda side: shift(side, kind, seed=seed, join=join), text)
    shifted = KINDS[kind](text, Random(f"{seed} {kind} {text}"), join)
    return text if not shifted or shifted.isspace() else shifted


def shifted_tokens(
    texts: Sequence[str], tokens: Tokens, kinds: Iterable[str], tokenizer: Any, preprocessing: Preprocessing, *, seed: int = 0
) -> tuple[Shifted, ...]:
    """The tokens, on disk, that every kind changes in raw texts whose clean texts have `tokens`."""
    shifted = []
    for kind in kinds:
        changed = Texts.of(preprocessing.apply(shift(text, kind, seed=seed, join=preprocessing.join)) for text in texts)
        after = tokenize_to_disk(tokenizer, changed, **preprocessing.limits)
        other = (not after.same_text(tokens, text) for text in range(len(texts)))
        indices = np.flatnonzero(np.fromiter(other, dtype=np.bool_))
        shifted.append(Shifted(kind, indices, changed.take(indices), after.take(indices)))
    return tuple(shifted)


def typos(text: str, random: Random, _join: str) -> str:
    """One slip inside 15 % of the longer words: letters swapped, left out or doubled, or the next key hit.

    Swaps and keys of Belinkov & Bisk (arXiv 1711.02173), omissions and repetitions of Moradi & Samwald (arXiv 2108.12237);
    first and last letters stay.
    """
    return _WORD.sub(lambda word: _misspelt(word[0], random) if random.random() < TYPO_SHARE else word[0], text)


def lower(text: str, _random: Random, _join: str) -> str:
    """All letters in lower case; nothing to an encoder and cleaning steps that know no case."""
    return text.lower()


def upper(text: str, _random: Random, _join: str) -> str:
    """All letters in upper case; nothing to an encoder and cleaning steps that know no case."""
    return text.upper()


def title(text: str, _random: Random, join: str) -> str:
    """The title alone: what stands before the first join of text columns, or else the first sentence.

    A join of spaces tells nothing, so there it is the first sentence.
    A sentence ends at a full stop, question or exclamation mark before white space, after three words or more.
    """
    first, joined, _ = text.partition(join) if join.strip(" ") else (text, "", "")
    if joined and first.strip():
        return first
    beginnings = (text[: end.end()] for end in _SENTENCE_END.finditer(text))
    return next((first for first in beginnings if len(first.split()) >= LEAST_TITLE), text)


def no_agencies(text: str, _random: Random, _join: str) -> str:
    """Without the names of news agencies, "(Reuters)" and "AP - ", which give away where an item comes from.

    The cleaning step `agencies`; a run that cleans with it loses nothing here.
    """
    without = agencies(text)
    return text if without == text else whitespace(without)


def masked_numbers(text: str, _random: Random, _join: str) -> str:
    """Each digit as #, so that dates, prices and scores say nothing (Rush et al., arXiv 1509.00685, prepare news so)."""
    return _DIGIT.sub("#", text)


def dropped_words(text: str, random: Random, _join: str) -> str:
    """Each word left out with a chance of 20 %, at least one kept: random deletion (Wei & Zou, arXiv 1901.11196)."""
    words = text.split()
    kept = [word for word in words if random.random() >= DROPPED_SHARE]
    return " ".join(kept or words[:1])


def shuffled_sentences(text: str, random: Random, _join: str) -> str:
    """Sentences in another order, the title among them: sentence permutation (Lewis et al., arXiv 1910.13461)."""
    sentences = _BETWEEN_SENTENCES.split(text.strip())
    order = random.sample(range(len(sentences)), len(sentences))
    if order == sorted(order):  # drawn as it was: turned on by one
        order = [*order[1:], *order[:1]]
    return " ".join(sentences[index] for index in order)


_KINDS = (typos, lower, upper, title, no_agencies, masked_numbers, dropped_words, shuffled_sentences)
KINDS: Mapping[str, Kind] = {kind.__name__: kind for kind in _KINDS}

_WORD = re.compile(r"[^\W\d_]{4,}")
_DIGIT = re.compile(r"\d")
_SENTENCE_END = re.compile(r"(?<![.!?])[.!?]++[\"')\]]*+(?=\s)")
_BETWEEN_SENTENCES = re.compile(r"(?<=[.!?])\s+")
_KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_BESIDE = {letter: row[max(0, at - 1) : at] + row[at + 1 : at + 2] for row in _KEYBOARD for at, letter in enumerate(row)}


def _misspelt(word: str, random: Random) -> str:
    """The word with one slip at a letter that is neither the first nor the last."""
    at = random.randrange(1, len(word) - 1)
    before, letter, after = word[:at], word[at], word[at + 1 :]
    slip = random.choice(("swap", "omit", "double", "key"))
    if slip == "swap":
        at = min(at, len(word) - 3)
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if slip == "omit":
        return before + after
    keys = _BESIDE.get(letter.lower(), "") if slip == "key" else ""  # none for a letter that English keyboards lack
    key = random.choice(keys) if keys else letter * 2
    return before + (key.upper() if letter.isupper() else key) + after
