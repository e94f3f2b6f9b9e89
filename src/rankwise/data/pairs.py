"""A pair of texts, such as premise and hypothesis, held as one string: its two sides with a NUL between them.

No text has a NUL, for whatever reads texts refuses one. So a pair goes wherever a text does (files, hashes, splits, repeats):
two pairs are equal where both sides are. What works on words takes each side on its own; a tokenizer gets both, as the two
segments that its encoder was pre-trained with.
"""

from collections.abc import Callable

BETWEEN = "\0"
SHOWN_BETWEEN = " ⇄ "


def pair_of(first: str, second: str) -> str:
    """The pair of two texts."""
    return f"{first}{BETWEEN}{second}"


def is_pair(text: str) -> bool:
    return BETWEEN in text


def sides(text: str) -> list[str]:
    """Both texts of a pair; of any other text itself."""
    return text.split(BETWEEN)


def apart(text: str) -> str | tuple[str, ...]:
    """What a person would give: a pair as (first, second), any other text as it is."""
    return tuple(sides(text)) if is_pair(text) else text


def on_each_side(change: Callable[[str], str], text: str) -> str:
    """The text with each of its sides changed on its own."""
    return BETWEEN.join(map(change, sides(text))) if BETWEEN in text else change(text)


def joined(text: str) -> str:
    """Both texts of a pair as one, each character where it stood; any other text as it is."""
    return text.replace(BETWEEN, " ")


def is_blank(text: str) -> bool:
    """Whether there is nothing to read, of a pair on either side."""
    return any(not side or side.isspace() for side in sides(text))


def shown(text: str) -> str:
    """The text for people to read: both sides of a pair with an arrow between them."""
    return text.replace(BETWEEN, SHOWN_BETWEEN)
