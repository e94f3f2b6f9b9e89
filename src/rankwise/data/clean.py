"""Text is cleaned by named steps, in the recipe's order; the same names are stored with a run and applied at prediction.

Each step is a pure function from text to text that runs in linear time: possessive quantifiers and bounded repeats, so
no text can make it crawl. What is removed leaves a space, so words never grow together; `whitespace` tidies up. A second
pass changes nothing, except where removal itself completes a pattern or HTML is escaped more than three deep.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html import unescape
from pathlib import Path
from typing import TypedDict

from rankwise.data.given import Label, as_given
from rankwise.data.pairs import is_pair, on_each_side
from rankwise.data.tasks.names import LABEL_COLUMNS, REGRESSION, TASKS
from rankwise.errors import DataError, nearest
from rankwise.system.files import Stored

Step = Callable[[str], str]

_BARE_BACKSLASH = re.compile(r"\\(?![ntr\\])")
_ESCAPE = re.compile(r"\\++[ntr]?")
_LETTER_IS_A_WORDS = re.compile(r"\\++(?:[ntr](?![a-z]))?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def escapes(text: str) -> str:
    r"""Literal \n, \t and \r, lone backslashes and control characters become spaces.

    Feeds such as AG News write a line break as a bare backslash ("said on\Monday"), so `\n` may be a break and the n of
    "nowhere". Where every backslash of a text is followed by n, t or r, they are escapes; else the letter is a word's.
    """
    if "\\" in text:
        pattern = _LETTER_IS_A_WORDS if _BARE_BACKSLASH.search(text) else _ESCAPE
        text = pattern.sub(" ", text)
    return _CONTROL.sub(" ", text)


# The space stands where the ampersand was lost. Only names that are no English words: " pound;" may be a weight.
_BROKEN_ENTITY = re.compile(
    r" (#\d{2,5}|#x[0-9a-f]{2,4}|quot|amp|apos|nbsp|lt|gt|hellip|[mn]dash|[lr]dquo|[lr]squo);", re.IGNORECASE
)
_STACKED_AMPERSAND = re.compile(r"&(?:(?:amp|#38|#x26);)++", re.IGNORECASE)
# Known names only: "<STX.N>" is a ticker, "a < b" is arithmetic.
_TAG = re.compile(
    r"</?+(?:a|abbr|b|big|blockquote|body|br|center|cite|code|div|em|font|h[1-6]|hr|html|i|iframe|img|input|li|nobr|ol|p|pre"
    r"|s|script|small|span|strike|strong|style|sub|sup|table|tbody|td|th|tr|tt|u|ul)(?=[\s/>])[^<>]*+>|<!--[^<>]*+>",
    re.IGNORECASE,
)


def html(text: str) -> str:
    """HTML entities become characters, also those that lost their ampersand (" #39;", " quot;"); tags are removed."""
    for _ in range(3):  # "&amp;lt;b&amp;gt;" is a tag, escaped twice
        before = text
        text = _BROKEN_ENTITY.sub(lambda lost: unescape(f"&{lost[1].lower()};"), text)
        text = unescape(_STACKED_AMPERSAND.sub("&", text)).replace("\xa0", " ")
        text = _TAG.sub(" ", text)
        if text == before:
            break
    return text


_EMAIL = re.compile(r"(?<![\w.+-])(?:[\w.+-]++@[\w-]++(?:\.[\w-]++)++)++")
_URL = re.compile(r"\b(?:https?://|ftp://|www\.)(?:[^\s<>\"]*[^\s<>\".,;:!?)\]}'])?", re.IGNORECASE)
# The look-behinds keep digits that belong to a word (F-16, v2.5), the look-ahead those that start one (3G, 1990's).
_NUMBER = re.compile(r"(?<!\w)(?<!\w[-.,:/])[+-]?[$€£¥]?\d++(?:[.,:/%-]\d++)*+%?+(?!\w|[-'’]\w)")


def emails(text: str) -> str:
    """E-mail addresses are removed."""
    return _EMAIL.sub(" ", text)


def urls(text: str) -> str:
    """Web addresses (http://, https://, ftp://, www.) are removed; punctuation after them stays."""
    return _URL.sub(" ", text)


def numbers(text: str) -> str:
    """Numbers are removed, with sign, currency and percent; words with digits stay: 3G, MP3, F-16, 16-year-old."""
    return _NUMBER.sub(" ", text)


# The sources that sign items in AG News and, from the same years, elsewhere. Abbreviations that also stand in ordinary
# brackets, such as (CBS), (UNI), (AL) or (Update1), are left out on purpose.
_AGENCIES = Path(__file__).with_name("agencies.txt")
_SITE = r"(?!www\.)[A-Za-z][\w-]{1,30}+\.(?:com|net|org)\b"
# A place of up to six words, with date: "NAJAF, Iraq", "MANCHESTER, Aug 30", "Islamabad, Sept 12."
_PLACE = r"(?:[A-Z0-9][\w.'/-]{0,29}+,?+ ){0,6}+"
_START = r"(?:\A\s*+|(?<=[.!?)>\"']\s)\s{0,3}+)"


@cache
def _agency_patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """An agency in brackets, and a dateline; made when a text may hold one."""
    names = sorted(map(re.escape, _AGENCIES.read_text("utf-8").splitlines()), key=len, reverse=True)
    one = f"(?:{'|'.join(names)}|{_SITE})"
    agency = rf"{one}(?: ?(?:/|&| amp;|and) ?{one})?"
    dateline = rf"{_START}(?:(?:{agency} --? |{_PLACE}\( ?{agency} ?\)(?: --? |: ))\s{{0,3}}+)++"
    return re.compile(rf"\( ?{agency} ?\)"), re.compile(dateline)


def agencies(text: str) -> str:
    """News agencies are removed: "(Reuters)", "(SPACE.com)", and datelines "AP - " or "LONDON (Reuters) - "."""
    if "(" not in text and "-" not in text:
        return text
    bracketed, dateline = _agency_patterns()
    text = bracketed.sub(" ", dateline.sub("", text))
    return dateline.sub("", text)  # a dateline may follow a bracket: "(AP)AP - The company"


def whitespace(text: str) -> str:
    """Runs of white space become one space; none is left at the ends."""
    return " ".join(text.split())


def has_surrogate(text: str) -> bool:
    """Whether a lone surrogate, half of a character, is in a text: no encoding can write it."""
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)


STEPS: Mapping[str, Step] = {step.__name__: step for step in (escapes, html, emails, urls, numbers, agencies, whitespace)}


def clean(text: str, steps: Sequence[str]) -> str:
    """The text after these steps, in this order, each side of a pair on its own.

    Raises DataError for a step that does not exist.
    """
    if steps and is_pair(text):
        return on_each_side(lambda side: clean(side, steps), text)
    for step in steps:
        try:
            text = STEPS[step](text)
        except KeyError:
            known = ", ".join(STEPS)
            raise DataError(f"no cleaning step is called '{step}'{nearest(step, STEPS)} There are {known}") from None
    return text


class Limits(TypedDict):
    """How much of a text is read; what tokenising takes."""

    max_length: int
    windows: int


LONGEST = 1_000_000  # tokens of a text and windows of one: more than any encoder reads


@dataclass(frozen=True)
class Preprocessing(Stored):
    """What makes tokens of raw text, the same in training and serving, and the classes; it travels with the run."""

    classes: tuple[str, ...]
    clean: tuple[str, ...]
    max_length: int
    join: str = " . "
    text: tuple[str | int, ...] = ()
    """Column names of the training file, for prediction files that say nothing else."""
    numbering: tuple[str, ...] = ()
    """Class names in the order that whole-number labels count them; empty where nothing says the order."""
    windows: int | None = None
    """Windows of `max_length` tokens that a longer text is read in, at most; None where it is cut."""
    label_type: str | None = None
    """What labels were in Python where they were no strings, as `data.given` names it."""
    task: str | None = None
    """What is decided about a text, as `data.tasks` names it; None for one of the classes."""
    thresholds: tuple[float, ...] | None = None
    """Of a task with several labels the probability from which a text has a class, for each of them."""
    columns: Mapping[str, int] | None = None
    """Of a task with several label columns how many classes each of them has, in the order of the classes."""
    text_pair: tuple[str | int, ...] | None = None
    """Column names of the second text, where what is classified is a pair of texts; None where it is one text."""
    bounds: tuple[float, float] | None = None
    """Of an estimated number the lowest and the highest that is told; None where any may be."""

    @property
    def reads_pairs(self) -> bool:
        """Whether what is classified is a pair of texts."""
        return self.text_pair is not None

    @property
    def labels(self) -> tuple[Label, ...]:
        """The classes as predictions give them: in the type that they were given in."""
        return tuple(as_given(name, self.label_type) for name in self.classes)

    @property
    def problem(self) -> str | None:
        """What of it makes no sense, where its file was written by somebody else; None where all does."""
        if self.task == REGRESSION:
            if len(self.classes) != 1:
                return f"{len(self.classes)} names for the one number that is estimated"
            if self.bounds is not None and not self.bounds[0] < self.bounds[1]:
                return f"its bounds are {self.bounds[0]:g} and {self.bounds[1]:g}; expected a lower and a higher number"
        elif len(self.classes) < 2 or len(set(self.classes)) < len(self.classes):
            return f"{len(self.classes)} classes, {len(set(self.classes))} of them different; expected two or more"
        windows = 1 if self.windows is None else self.windows
        if not 1 <= self.max_length <= LONGEST or not 1 <= windows <= LONGEST:
            return f"{windows:,} windows of {self.max_length:,} tokens; expected 1 to {LONGEST:,} of each"
        if self.reads_pairs and windows > 1:
            return f"{windows:,} windows for a pair of texts, which is read in one"
        if unknown := [step for step in self.clean if step not in STEPS]:
            return f"no cleaning step is called '{unknown[0]}'{nearest(unknown[0], STEPS)}"
        if self.numbering and sorted(self.numbering) != sorted(self.classes):
            return "its numbering does not number its classes"
        if self.task is not None and self.task not in TASKS:
            return f"its task is '{self.task:.40}'{nearest(self.task, TASKS)}; expected one of {', '.join(TASKS)}"
        if self.task == LABEL_COLUMNS and sum((self.columns or {}).values()) != len(self.classes):
            return f"its columns have {sum((self.columns or {}).values())} classes, and there are {len(self.classes)}"
        if self.thresholds is not None and not (
            len(self.thresholds) == len(self.classes) and all(0 < threshold < 1 for threshold in self.thresholds)
        ):
            return (
                f"{len(self.thresholds)} thresholds for {len(self.classes)} classes; expected one for each, between 0 and 1"
            )
        return None

    @property
    def limits(self) -> Limits:
        """Windows and tokens of a text, at most."""
        return {"max_length": self.max_length, "windows": self.windows or 1}

    def apply(self, text: str) -> str:
        """The clean text, which a tokenizer takes."""
        return clean(text, self.clean)
