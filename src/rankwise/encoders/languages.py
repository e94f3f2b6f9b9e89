"""The languages that bases were published for, by ISO 639 code, and the scripts that each is written in."""

from collections.abc import Iterable, Mapping

MANY = "mul"
"""ISO 639-2's code for many languages: of a base that was trained on fifty or more, in whatever scripts they have."""

LANGUAGES = {
    "ar": ("Arabic", ("Arabic",)),
    "cs": ("Czech", ("Latin",)),
    "de": ("German", ("Latin",)),
    "en": ("English", ("Latin",)),
    "es": ("Spanish", ("Latin",)),
    "fr": ("French", ("Latin",)),
    "hi": ("Hindi", ("Devanagari",)),
    "it": ("Italian", ("Latin",)),
    "ja": ("Japanese", ("Japanese", "Han")),
    "ko": ("Korean", ("Hangul",)),
    "nl": ("Dutch", ("Latin",)),
    "pl": ("Polish", ("Latin",)),
    "pt": ("Portuguese", ("Latin",)),
    "ru": ("Russian", ("Cyrillic",)),
    "th": ("Thai", ("Thai",)),
    "tr": ("Turkish", ("Latin",)),
    "vi": ("Vietnamese", ("Latin",)),
    "zh": ("Chinese", ("Han",)),
}
"""Name and scripts by code, the scripts as `data.scripts` calls them."""


def named(languages: Iterable[str]) -> str:
    """`English`, the number of several, or `many`."""
    codes = tuple(languages)
    if MANY in codes:
        return "many"
    return LANGUAGES[codes[0]][0] if len(codes) == 1 else str(len(codes))


def knows(languages: Iterable[str], script: str) -> bool:
    """Whether one of the languages is written in a script."""
    return any(code == MANY or script in LANGUAGES[code][1] for code in languages)


def unread(languages: Iterable[str], scripts: Mapping[str, int]) -> dict[str, int]:
    """Of scripts, each with how many texts are in it, those that none of the languages is written in."""
    codes = tuple(languages)
    return {script: count for script, count in scripts.items() if not knows(codes, script)}
