"""The script that a text is written in (Latin, Cyrillic, Han, …), from the names that Unicode gives its letters.

A script is no language: what tells English from German would be a detector of its own, with data of its own.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Set
from functools import cache

JAPANESE = "Japanese"
"""What is written in kana and Han together, as one script (`Jpan` in ISO 15924)."""
CALLED = {"CJK": "Han", "HIRAGANA": JAPANESE, "KATAKANA": JAPANESE}
WIDTHS = {"FULLWIDTH", "HALFWIDTH"}
NO_SCRIPT = {"MATHEMATICAL", "MODIFIER", "MICRO", "FEMININE", "MASCULINE", "DOUBLE-STRUCK", "SCRIPT", "BLACK-LETTER"}
LEAST_KANA = 0.1  # of Han and kana together, from which a text is Japanese: Chinese has none

_LATIN = re.compile("[A-Za-z]")


def script_of(text: str) -> str | None:
    """The script of most of a text's letters; None of a text without letters."""
    if text.isascii():  # nearly every English text, in a hundredth of the time
        return "Latin" if _LATIN.search(text) else None
    letters: Counter[str] = Counter()
    for character, count in Counter(text).items():
        if script := _script_of(character):
            letters[script] += count
    if letters[JAPANESE] > LEAST_KANA * (letters[JAPANESE] + letters["Han"]):
        letters[JAPANESE] += letters.pop("Han", 0)
    script, most = max(letters.items(), key=lambda entry: entry[1], default=("", 0))
    return script if most else None


def script_counts(texts: Iterable[str]) -> dict[str, int]:
    """How many texts are mostly in each script, the most frequent first; those without letters are left out."""
    return dict(Counter(script for text in texts if (script := script_of(text))).most_common())


def unseen_scripts(counts: Mapping[str, int], trained: Set[str] | Mapping[str, int], rows: int) -> str:
    """`12 of 300 texts are mostly Cyrillic, which no training text was`; empty where training had every script.

    `counts` are those of `rows` texts by script, `trained` the scripts of the training texts.
    """
    new = {script: count for script, count in counts.items() if script not in trained}
    if not new:
        return ""
    first, *others = new.items()
    told = f"{first[1]:,} of {rows:,} texts {'is' if first[1] == 1 else 'are'} mostly {first[0]}"
    more = "".join(f", {count:,} mostly {script}" for script, count in others)
    return f"{told}{more}, which no training text was"


@cache
def _script_of(character: str) -> str:
    """The script of a letter; empty of anything else."""
    if not character.isalpha():
        return ""
    words = [word for word in unicodedata.name(character, "").split() if word not in WIDTHS]
    if not words or words[0] in NO_SCRIPT:
        return ""
    return CALLED.get(words[0], words[0].capitalize())
