"""Which base fits these texts: of each encoder that is known what a recipe's run on it would cost, and how it takes them.

Nothing is loaded but tokenizers that are on this machine; a base's weights, its torch and the network are not asked for.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankwise.data.files.table import table_of
from rankwise.data.labelled import Volume, read_splits, volume_of
from rankwise.data.pairs import joined
from rankwise.data.scripts import script_counts, script_of
from rankwise.encoders.base import KNOWN, folder_of, short_name
from rankwise.encoders.finding import find
from rankwise.encoders.languages import MANY, knows, unread
from rankwise.errors import ModelError, OverBudget, OverDeployment, OverMemory, OverTime, PlanError
from rankwise.planning.plan import plan, settled
from rankwise.planning.workload import CHARACTERS_PER_TOKEN, SPECIAL_TOKENS
from rankwise.recipe import Recipe
from rankwise.recipe.recipe import Overrides
from rankwise.workflows.forecasting import Machine, forecast_of

MOST_TEXTS = 2_000  # that a tokenizer is measured on
MOST_PIECES = 1.6  # of a word: English came to 1.0-1.2 in English tokenizers, Spanish, French, German and Italian to 2.0-2.1
LEAST_SHARE = 0.01  # of texts in a script, or of tokens that are unknown, below which a base may do without it
UNSPACED = {"Han", "Japanese", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan"}  # which write no space between words
LIMITS: Mapping[type[PlanError], str] = {
    OverBudget: "parameters",
    OverMemory: "memory",
    OverTime: "minutes",
    OverDeployment: "answering",
}
ENGLISH = ("en",)

_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, kw_only=True)
class Pieces:
    """What a tokenizer makes of texts."""

    unknown: float
    """The share of tokens that stand for what it doesn't know."""
    per_word: float | None
    """Tokens of a word, on the average; None where the texts have no words with spaces between them."""
    split: float | None
    """The share of words that it splits."""

    @property
    def fits(self) -> bool:
        """Whether it was made for languages like that of the texts, by all that can be seen."""
        return self.unknown < LEAST_SHARE and (self.per_word is None or self.per_word < MOST_PIECES)


@dataclass(frozen=True, kw_only=True)
class BaseFit:
    """What a recipe's run on a base would cost, and how the base fits the texts."""

    base: str
    hub: str | None
    """Its Hugging Face id, where it has one."""
    here: bool
    """Whether its files are on this machine."""
    gated: bool
    """Whether the hub asks to log in and accept its terms first."""
    languages: tuple[str, ...]
    """What it was published for, in ISO 639 codes; empty where nobody knows."""
    parameters: int | None = None
    """Of encoder and head."""
    context: int | None = None
    """The most tokens that it reads at once, or was trained to; None where nothing says so."""
    longer: float | None = None
    """The share of texts with more tokens than that: counted where its tokenizer is here, else estimated from characters."""
    seconds: float | None = None
    peak_bytes: int | None = None
    over: str | None = None
    """The limit that is too low, one of LIMITS; `recipe` where that can't be planned on this base."""
    refused: str | None = None
    """Why, in a sentence."""
    unread: Mapping[str, int]
    """How many texts are mostly in each script that none of its languages is written in."""
    pieces: Pieces | None = None
    """What its tokenizer makes of the texts; None where that is not here."""


@dataclass(frozen=True, kw_only=True)
class Suggestions:
    """The known bases under a recipe and its caps, and the one to take."""

    recipe: str
    rows: int
    """Training texts."""
    scripts: Mapping[str, int]
    """How many of them are mostly in each script."""
    bases: tuple[BaseFit, ...]
    """Those that fit first; among them what is here first, then the quickest."""
    recommended: str | None
    """None where no base fits the texts and the caps."""
    reason: str

    @property
    def seem_english(self) -> bool | None:
        """Whether tokenizers for English that are here take the words for English; None where none is here."""
        measured = [fit.pieces.fits for fit in self.bases if fit.pieces is not None and fit.languages == ENGLISH]
        return all(measured) if measured else None

    def fits(self, fit: BaseFit) -> bool:
        """Whether a base knows these texts, by all that can be seen."""
        lost = sum(fit.unread.values()) > LEAST_SHARE * self.rows
        if lost or (fit.pieces is not None and not fit.pieces.fits):
            return False
        if fit.languages == ENGLISH:
            return self.seem_english is not False
        of_another = len(fit.languages) == 1 and knows(fit.languages, "Latin") and MANY not in fit.languages
        return not (of_another and self.seem_english)


def suggest(
    recipe: Recipe | str | Path = "auto", *, overrides: Overrides = (), texts: Any = None, labels: Any = None
) -> Suggestions:
    """What each known base would cost a recipe's run, and how it fits the texts.

    `texts` and `labels` are as `train` takes them, instead of the recipe's files. Beside the known bases the recipe's own is
    looked at. Raises RecipeError and DataError.
    """
    recipe = recipe.with_overrides(overrides) if isinstance(recipe, Recipe) else Recipe.load(recipe, overrides)
    recipe = recipe.dearest
    if recipe.adapter.unscored:  # whose scores would take a pass through each base
        recipe = recipe.with_overrides(["adapter.allocate=uniform"])
    if texts is None:
        tables, numbering, left_out = read_splits(recipe.data)
    else:
        tables, numbering, left_out = {"train": table_of(texts, labels, recipe.data)}, (), ()
    known, train = volume_of(recipe.data, tables, numbering, left_out), tables["train"].texts
    scripts, machine = script_counts(train), Machine.measured(recipe)
    sample = [joined(train[row]) for row in np.linspace(0, len(train) - 1, min(MOST_TEXTS, len(train))).astype(int).tolist()]
    names = dict.fromkeys([recipe.base, *(name for name in KNOWN if name != short_name(recipe.base))])
    fits = [_fit(name, recipe, known, machine, scripts, sample) for name in names]
    return _recommending(
        Suggestions(recipe=recipe.name, rows=len(train), scripts=scripts, bases=tuple(fits), recommended=None, reason=""),
        own=recipe.base,
    )


def _recommending(found: Suggestions, own: str) -> Suggestions:
    """The suggestions in order, and with one of them recommended: the recipe's `own` base where it fits and is here."""

    def order(fit: BaseFit) -> tuple[bool, bool, bool, bool, float]:
        one_of_others = len(fit.languages) == 1 and fit.languages not in (ENGLISH, (MANY,))  # which, letters don't tell
        return not found.fits(fit) or fit.over is not None, not fit.here, fit.gated, one_of_others, fit.seconds or 0.0

    bases = tuple(sorted(found.bases, key=order))
    able = [fit for fit in bases if found.fits(fit) and fit.over is None]
    mine = next((fit for fit in able if fit.base == own and fit.here), None)
    best = mine or next(iter(able), None)
    if best is None:
        reason = "no base that is known fits both the texts and the caps"
    elif best is mine:
        reason = "it is the recipe's own, is here, and nothing in the texts speaks against it"
    else:
        where = "is here" if best.here else "is not here yet"
        reason = f"of those that fit the texts and the caps it is the quickest, and {where}"
    return Suggestions(
        recipe=found.recipe,
        rows=found.rows,
        scripts=found.scripts,
        bases=bases,
        recommended=best.base if best else None,
        reason=reason,
    )


def _fit(
    name: str, recipe: Recipe, known: Volume, machine: Machine, scripts: Mapping[str, int], sample: Sequence[str]
) -> BaseFit:
    """What there is to say of one base."""
    about, own = KNOWN.get(short_name(name) or name), name == recipe.base
    revision = recipe.revision if own else None
    languages = about.languages if about else ()
    folder = folder_of(name, revision=revision)
    facts: dict[str, Any] = {
        "base": name,
        "hub": about.hub if about else None if folder and Path(name).expanduser().is_dir() else name,
        "here": folder is not None,
        "gated": about.gated if about else False,
        "languages": languages,
        "unread": unread(languages, scripts) if languages else {},
    }
    try:
        measured = None if folder is None else _measured(folder, sample)
        facts["pieces"] = measured[0] if measured else None
        encoder = find(name, classes=len(known.classes), revision=revision)
        context: int | None = encoder.longest or encoder.config.get("max_position_embeddings")
        tokens = measured[1] if measured else known.characters / CHARACTERS_PER_TOKEN + SPECIAL_TOKENS
        longer = None if context is None else float((tokens > context).mean())
        facts |= {"parameters": encoder.total_parameters, "context": context, "longer": longer}
        on_it = recipe if own else recipe.with_overrides([f"base={name}", "revision=null"])
        on_it = settled(on_it, encoder, pairs=known.pairs)
        planned = plan(on_it, classes=len(known.classes))
        cost = forecast_of(on_it, planned, known, machine)
    except (PlanError, ModelError) as problem:
        over = next((limit for kind, limit in LIMITS.items() if isinstance(problem, kind)), "recipe")
        return BaseFit(**facts, over=over, refused=str(problem))
    return BaseFit(**facts, seconds=round(cost.seconds, 1), peak_bytes=cost.peak_bytes)


def _measured(folder: Path, sample: Sequence[str]) -> tuple[Pieces, NDArray[np.int64]] | None:
    """(what the tokenizer in a folder makes of texts, the tokens of each, special ones included (N,)).

    None where the folder has no tokenizer.json, or the library that reads it is not installed. Raises ModelError for a file
    that it can't read.
    """
    path = folder / "tokenizer.json"
    try:
        from tokenizers import Tokenizer
    except ImportError:
        return None
    if not path.is_file():
        return None
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises no other
        raise ModelError(f"{path}: the tokenizers library can't read it ({error}); fetch or save it again") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    unknown = _unknown_token(tokenizer)
    encoded = [row.ids for row in tokenizer.encode_batch(list(sample))]
    tokens = np.array([len(ids) for ids in encoded], dtype=np.int64)
    lost = sum(ids.count(unknown) for ids in encoded) if unknown is not None else 0
    per_word, split = _of_words(tokenizer, sample)
    return Pieces(unknown=lost / max(1, int(tokens.sum())), per_word=per_word, split=split), tokens


def _of_words(tokenizer: Any, texts: Iterable[str]) -> tuple[float | None, float | None]:
    """(tokens of a word on the average, the share of words of several), of words that have spaces between them."""
    words = Counter(word for text in texts for word in _WORD.findall(text))
    words = Counter({word: count for word, count in words.items() if script_of(word) not in UNSPACED})
    if not words:
        return None, None
    counts = np.array(list(words.values()))
    encoded = tokenizer.encode_batch([f" {word}" for word in words], add_special_tokens=False)
    pieces = np.array([len(row.ids) for row in encoded])
    return float(pieces @ counts / counts.sum()), float((pieces > 1) @ counts / counts.sum())


def _unknown_token(tokenizer: Any) -> int | None:
    """The id of what stands for the unknown; None for a tokenizer of bytes, which has none."""
    found = (tokenizer.token_to_id(token) for token in ("[UNK]", "<unk>"))
    return next((number for number in found if number is not None), None)
