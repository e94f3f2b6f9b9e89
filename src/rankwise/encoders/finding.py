"""A base's name, folder or Hugging Face id → its encoder, as its config.json and its checkpoint say, and how it is pooled."""

import json
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from rankwise.encoders.base import KNOWN, cached_folder, encoder_folder, short_name
from rankwise.encoders.describe import describe
from rankwise.encoders.encoder import Encoder
from rankwise.encoders.family import Config
from rankwise.encoders.weights import CHECKPOINTS, PICKLED, SAFETENSORS, TO_SAFETENSORS, named_tensors, weight_files
from rankwise.errors import ModelError, as_set, as_typed, nearest
from rankwise.system.hub import is_reachable

POOLING_FILE = "1_Pooling/config.json"
ADAPTER_CONFIG = "adapter_config.json"  # of peft
MISSPELT = 0.9  # how like a known name a misspelt one is; xlm-roberta-xl and gottbert-base are bases of their own


def find(base: str, *, classes: int, revision: str | None = None) -> Encoder:
    """The encoder called `base`: a known name, a local folder with a config.json, or a Hugging Face id.

    Where its checkpoint is on this machine and lacks a pooler that its family has, the pooler counts to the head. Known names
    and folders need no network. Raises ModelError when there is no such encoder, or no way to reach it.
    """
    if base in KNOWN:
        encoder = describe(KNOWN[base].config, name=base, classes=classes)
        here = cached_folder(base, revision=revision) if encoder.pooler else None
        return encoder if here is None else _as_in(next(iter(weight_files(here)), None), encoder)
    folder = Path(base).expanduser()
    name = folder.resolve().name if folder.is_dir() else base  # plans and cards travel: no path of this machine
    encoder = describe(_read_config(base, folder, revision), name=name, classes=classes)
    weights = _weights(base, folder, revision)
    if weights is None:
        return encoder
    return replace(_as_in(weights, encoder), notes=(*encoder.notes, *_notes(name, weights)))


def stated_pooling(base: str, config: Config, *, revision: str | None = None) -> str | None:
    """ "mean" or "token", where a base says what was read of it in training: in `1_Pooling/config.json`, as sentence encoders
    have it, or as `classifier_pooling`. None where it says neither, or another. Raises ModelError for a file that is no JSON.
    """
    if base in KNOWN and KNOWN[base].pooling:
        return KNOWN[base].pooling
    folder = Path(base).expanduser()
    path: Path | None = folder / POOLING_FILE
    if encoder_folder(folder.parent) == folder:  # within a folder of sentence-transformers before 2.0
        path = folder.parent / POOLING_FILE
    if not folder.is_dir():
        path = None if base in KNOWN else _fetched_if_there(base, POOLING_FILE, revision)
    if path is None or not path.is_file():
        return {"mean": "mean", "cls": "token"}.get(str(config.get("classifier_pooling")))
    stated = _json_object(path, f"{base}: {POOLING_FILE}")
    on = {key for key, value in stated.items() if value is True} | {f"pooling_mode_{stated.get('pooling_mode')}"}
    means = bool(on & {"pooling_mode_mean_tokens", "pooling_mode_mean"})
    tokens = bool(on & {"pooling_mode_cls_token", "pooling_mode_cls", "pooling_mode_lasttoken"})
    return None if means == tokens else "mean" if means else "token"


def _read_config(base: str, folder: Path, revision: str | None) -> Config:
    if folder.is_dir():
        path = encoder_folder(folder) / "config.json"
        if not path.is_file():
            raise ModelError(f"{base}: {_without_config(base, folder)}")
        if (path.parent / ADAPTER_CONFIG).is_file():
            raise ModelError(
                f"{base}: {ADAPTER_CONFIG} is beside its weights, so transformers puts that adapter into them unasked; "
                "merge it (merge_and_unload().save_pretrained(FOLDER)), or give a copy without it"
            )
    elif folder.exists():
        raise ModelError(f"{base}: a file; expected a model folder, a Hugging Face id or one of {', '.join(KNOWN)}")
    else:
        path = _fetch_config(base, revision)
    return _json_object(path, f"{base}: config.json")


def _without_config(base: str, folder: Path) -> str:
    """What a folder without config.json is, and what to do with it."""
    is_run = (folder / "run.json").is_file()
    if (folder / ADAPTER_CONFIG).is_file():
        if is_run:
            merged = f"{base.rstrip('/')}-merged"
            typed = f"rankwise merge {as_typed(base)} --out {as_typed(merged)}, then {as_set('base', merged)}"
            return f"an adapter of a rankwise run, not an encoder; merge it into its base first: {typed}"
        return "an adapter of peft, not an encoder; merge it first: merge_and_unload().save_pretrained(FOLDER)"
    if is_run:
        return "a rankwise run that counts words and has no encoder; give the base of a run that has: --set base=minilm"
    return "a folder without config.json; expected a model saved by save_pretrained"


def _weights(base: str, folder: Path, revision: str | None) -> Path | None:
    """The file that names a base's tensors, where it is on this machine."""
    if folder.is_dir():
        return next(iter(weight_files(encoder_folder(folder))), None)
    from huggingface_hub import try_to_load_from_cache

    cached = (try_to_load_from_cache(base, name, revision=revision) for name in CHECKPOINTS)
    return next((Path(path) for path in cached if isinstance(path, str)), None)


def _as_in(weights: Path | None, encoder: Encoder) -> Encoder:
    """The encoder as it is in a checkpoint, whose pooler may be missing."""
    names = None if weights is None else named_tensors(weights)
    if names is None or not encoder.pooler or any(f".{name}".endswith(_ends(encoder)) for name in names):
        return encoder
    return encoder.with_new_pooler()


def _ends(encoder: Encoder) -> tuple[str, ...]:
    """How the names of a pooler's tensors end in a checkpoint, with the encoder's own name before them or without."""
    return tuple(name.removeprefix(encoder.root) for part in encoder.pooler for name, _ in part.tensors)


def _notes(name: str, weights: Path) -> tuple[str, ...]:
    if not weights.name.startswith(PICKLED):
        return ()
    fix = f"; in its folder: {TO_SAFETENSORS}" if weights.name == PICKLED else ""
    return (f"the weights of {name} are pickled ({weights.name}); better in {SAFETENSORS}{fix}",)


def _json_object(path: Path, name: str) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text("utf-8"))
    except json.JSONDecodeError as error:
        raise ModelError(f"{name} is not JSON (line {error.lineno})") from error
    if not isinstance(config, dict):
        raise ModelError(f"{name} holds a {type(config).__name__}, expected an object")
    return config


def _fetched_if_there(base: str, name: str, revision: str | None) -> Path | None:
    """A file of a base on the hub; None where it has none, or where the hub can't be reached and it is not cached."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(base, name, revision=revision, local_files_only=not is_reachable()))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError):
        return None


def _fetch_config(base: str, revision: str | None) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    own = short_name(base)
    spelt = [own] if own else get_close_matches(base, KNOWN, n=1, cutoff=MISSPELT)
    hint = nearest(base, spelt) or "."
    reachable = is_reachable()
    try:
        return Path(hf_hub_download(base, "config.json", revision=revision, local_files_only=not reachable))
    except HFValidationError as error:
        raise ModelError(f"'{base}' is neither a known base, nor a folder, nor a Hugging Face id{hint}") from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        cached = f"it is not cached in {HF_HUB_CACHE} and the hub can't be reached from here"
        reason = "the hub has no such model" if reachable else cached
        raise ModelError(
            f"base '{base}': {reason}{hint} Give a local folder or a base whose configuration ships with rankwise, such as "
            f"{_some_known()} (rankwise plan --help lists all {len(KNOWN)})"
        ) from error


def _some_known() -> str:
    """`minilm, roberta-base (English), eurobert-210m (many languages)`."""
    english = [name for name, known in KNOWN.items() if not known.multilingual]
    others = [name for name, known in KNOWN.items() if known.multilingual]
    return f"{', '.join(english[:3])} (English) or {others[0]} (many languages)"
